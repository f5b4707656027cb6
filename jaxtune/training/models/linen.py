"""Linen modules as pure functions."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
from flax import linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxtune.tasks.checks import kind
from jaxtune.tasks.functions import call
from jaxtune.training.models.common import Flags, is_nnx, never_drops, train_flags


@dataclass(frozen=True, eq=False)
class LinenModel:
    """A linen module, or a function `(hp[, step, total_steps])` that makes one."""

    module: nn.Module | Callable[..., nn.Module]
    flags: Flags | None = None  # as the user gave them

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, LinenModel) or self.flags != other.flags:
            return False
        try:
            return self.module is other.module or bool(self.module == other.module)
        except ValueError:  # a module with arrays among its attributes, which don't compare
            return False

    def __hash__(self) -> int:
        try:
            return hash(self.module)
        except TypeError:  # one with a list among them, such as nn.Sequential
            return hash(type(self.module))

    def build(self, hp: dict, **extras: Any) -> nn.Module:
        """The module for these hyperparameters."""
        if isinstance(self.module, nn.Module):
            return self.module
        module = call("model", self.module, hp, **extras)
        if is_nnx(module):
            raise TypeError("model returned an nnx module; a function that makes one has to ask for rngs: (hp, rngs).")
        if not isinstance(module, nn.Module):
            raise TypeError(f"model must return a Flax module, got {kind(module)}.")
        return module

    def init(self, key: jax.Array, hp: dict, inputs: Any, **extras: Any) -> tuple[Any, Any]:
        """Fresh parameters and other variables."""
        module = self.build(hp, **extras)
        # One stream named "params" serves every other stream of linen too.
        variables = dict(module.init({"params": key}, inputs, **train_flags(module, False, self.flags)))
        params = variables.pop("params", {})
        variables.pop("intermediates", None)
        if variables.keys() <= {"batch_stats"}:
            return params, variables
        after = jax.eval_shape(partial(self._applied, True, **extras), key, hp, params, variables, inputs)[1]
        before, after = flatten_dict(variables), flatten_dict(after)
        kept = {path: x for path, x in before.items() if not _has_grown(x, after[path])}  # what is sown is no state
        return params, unflatten_dict(kept)

    def train(self, key: jax.Array, hp: dict, params: Any, other: Any, inputs: Any, **extras: Any) -> tuple[Any, Any]:
        """Outputs in training mode, and the other variables after it."""
        outputs, after = self._applied(True, key, hp, params, other, inputs, **extras)
        changed = flatten_dict(after)
        return outputs, unflatten_dict({path: changed[path] for path in flatten_dict(other)})

    def _applied(self, train: bool, key: Any, hp: dict, params: Any, other: Any, inputs: Any, **extras: Any) -> Any:
        module, variables = self.build(hp, **extras), self.variables(params, other)
        mutable, flags = list(other) if train else False, train_flags(module, train, self.flags)
        return module.apply(variables, inputs, rngs={"params": key}, mutable=mutable, **flags)

    def predict(self, key: jax.Array, hp: dict, params: Any, other: Any, inputs: Any, **extras: Any) -> Any:
        """Outputs in evaluation mode."""
        return self._applied(False, key, hp, params, other, inputs, **extras)

    def asleep(self, key: jax.Array, hp: dict, params: Any, other: Any, inputs: Any, **extras: Any) -> list[str]:
        """Names of the layers that act in training only, if all of them are switched off in it."""
        seen: list[tuple[str, bool]] = []

        def watch(following: Callable, args: Any, kwargs: Any, context: Any) -> Any:
            off = _is_off(context.module, args, kwargs) if context.method_name == "__call__" else None
            if off is not None:
                seen.append((type(context.module).__name__, off))
            return following(*args, **kwargs)

        with nn.intercept_methods(watch):
            self.train(key, hp, params, other, inputs, **extras)
        return [name for name, _ in seen] if all(off for _, off in seen) else []

    def variables(self, params: Any, other: Any) -> Any:
        """Variables as `module.apply` takes them."""
        return {"params": params, **other}

    def model(self, hp: dict, params: Any, other: Any, **extras: Any) -> nn.Module:
        """What a user gets to keep: the module with concrete hyperparameters."""
        del params, other
        return self.build(hp, **extras)

    def split(self, variables: Any) -> tuple[Any, Any]:
        """Parameters and other variables, of variables as `module.init` returns them."""
        if not isinstance(variables, Mapping):
            raise TypeError(
                f"variables must be a nested dict as module.init returns it, {{'params': ...}}, got {kind(variables)}."
            )
        other = {name: x for name, x in variables.items() if name != "intermediates"}
        return other.pop("params", {}), other


def _has_grown(before: Any, after: Any) -> bool:
    """Whether a step sows one more value into a variable."""
    return isinstance(before, tuple) and isinstance(after, tuple) and len(after) > len(before)


def _is_off(module: nn.Module, args: Any, kwargs: Any) -> bool | None:
    """Whether a layer of Flax is called as in evaluation; None for one that does the same in training."""
    names = {"deterministic", "use_running_average"}.intersection(inspect.signature(type(module)).parameters)
    if not names or not type(module).__module__.startswith("flax.linen.") or never_drops(module, None):
        return None
    given = inspect.signature(type(module).__call__).bind_partial(module, *args, **kwargs).arguments
    values = (given.get(name) if given.get(name) is not None else getattr(module, name) for name in names)
    return all(value is True for value in values)
