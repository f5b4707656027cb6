"""Flax modules as pure functions: one view of linen and nnx."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
from flax import linen as nn
from flax import nnx

from jaxtune import checks
from jaxtune.functions import asks_for, call, parameters

# A model factory may ask for these extras by name; all methods of a model below pass them on.
EXTRAS = ("step", "total_steps")
_FLAGS = {"train": True, "training": True, "is_training": True, "deterministic": False}  # value in training


def train_flags(module: Any, train: bool) -> dict[str, Any]:
    """The arguments by which a module's `__call__` is told whether it is training, found by their names."""
    _, *others = inspect.signature(module.__call__).parameters.values() or (None,)
    for p in others:
        if p.name not in _FLAGS and p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            raise TypeError(
                f"{type(module).__name__}.__call__ has a required parameter {p.name!r} that jaxtune does not "
                f"know; it passes the inputs and, by name, {', '.join(_FLAGS)}."
            )
    # Flax's idiom: a flag that is given to the constructor must not be given to the call as well.
    names = {p.name for p in others if p.default is p.empty or not isinstance(getattr(module, p.name, None), bool)}
    return {name: value if train else not value for name, value in _FLAGS.items() if name in names}


@dataclass(frozen=True)
class LinenModel:
    """A linen module, or a function `(hp[, step, total_steps])` that makes one."""

    module: nn.Module | Callable[..., nn.Module]

    def __hash__(self) -> int:
        try:
            return hash(self.module)
        except TypeError:  # a module with a list among its attributes, such as nn.Sequential
            return hash(type(self.module))

    def build(self, hp: dict, **extras: Any) -> nn.Module:
        """The module for these hyperparameters."""
        if isinstance(self.module, nn.Module):
            return self.module
        module = call("model", self.module, hp, **extras)
        if isinstance(module, nnx.Module):
            raise TypeError("model returned an nnx module; a function that makes one has to ask for rngs: (hp, rngs).")
        if not isinstance(module, nn.Module):
            raise TypeError(f"model must return a Flax module, got {_named(module)}.")
        return module

    def init(self, key: jax.Array, hp: dict, inputs: Any, **extras: Any) -> tuple[Any, Any]:
        """Fresh parameters and other variables."""
        module = self.build(hp, **extras)
        # One stream named "params" serves every other stream of linen too.
        variables = dict(module.init({"params": key}, inputs, **train_flags(module, False)))
        params = variables.pop("params", {})
        variables.pop("intermediates", None)
        return params, variables

    def train(self, key: jax.Array, hp: dict, params: Any, other: Any, inputs: Any, **extras: Any) -> tuple[Any, Any]:
        """Outputs in training mode, and the other variables after it."""
        module = self.build(hp, **extras)
        return module.apply(
            {"params": params, **other},
            inputs,
            rngs={"params": key},
            mutable=list(other),
            **train_flags(module, True),
        )

    def predict(self, key: jax.Array, hp: dict, params: Any, other: Any, inputs: Any, **extras: Any) -> Any:
        """Outputs in evaluation mode."""
        module = self.build(hp, **extras)
        return module.apply({"params": params, **other}, inputs, rngs={"params": key}, **train_flags(module, False))

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
                "variables must be a nested dict as module.init returns it, {'params': ...}, "
                f"got {_named(variables)}."
            )
        other = dict(variables)
        return other.pop("params", {}), other


@dataclass(frozen=True)
class NnxModel:
    """An nnx module class or a function `(hp, rngs[, step, total_steps])` that makes one.

    The module is built anew in every trace: a graph definition kept from another trace would leak the tracers
    in its attributes. Its random streams are seeded from the step's key and never carried, so that draws stay
    shared.
    """

    factory: Callable[..., nnx.Module]

    def build(self, key: jax.Array, hp: dict, **extras: Any) -> tuple[Any, Any, Any, Any]:
        """Graph definition, parameters, other variables, and random streams."""
        module = call("model", self.factory, hp, rngs=nnx.Rngs(key), **extras)
        if isinstance(module, nn.Module):
            raise TypeError("model returned a linen module; a function that makes one takes hp alone.")
        if not isinstance(module, nnx.Module):
            raise TypeError(f"model must return an nnx module, got {_named(module)}.")
        parts: Any = nnx.split(module, nnx.RngState, nnx.Param, ...)
        graph, streams, params, other = parts
        return graph, params, other, streams

    def init(self, key: jax.Array, hp: dict, inputs: Any, **extras: Any) -> tuple[Any, Any]:
        """Fresh parameters and other variables."""
        del inputs
        _, params, other, _ = self.build(key, hp, **extras)
        return nnx.to_pure_dict(params), nnx.to_pure_dict(other)

    def _merge(self, key: jax.Array, hp: dict, params: Any, other: Any, **extras: Any) -> nnx.Module:
        graph, fresh_params, fresh_other, streams = self.build(key, hp, **extras)
        nnx.replace_by_pure_dict(fresh_params, params)
        nnx.replace_by_pure_dict(fresh_other, other)
        return nnx.merge(graph, fresh_params, fresh_other, streams)

    def train(self, key: jax.Array, hp: dict, params: Any, other: Any, inputs: Any, **extras: Any) -> tuple[Any, Any]:
        """Outputs in training mode, and the other variables after it."""
        module = self._merge(key, hp, params, other, **extras)
        module.train()
        outputs = module(inputs, **train_flags(module, True))
        changed = nnx.state(module, nnx.Not(nnx.Any(nnx.RngState, nnx.Param)))
        return outputs, nnx.to_pure_dict(changed)

    def predict(self, key: jax.Array, hp: dict, params: Any, other: Any, inputs: Any, **extras: Any) -> Any:
        """Outputs in evaluation mode."""
        module = self._merge(key, hp, params, other, **extras)
        module.eval()
        return module(inputs, **train_flags(module, False))

    def variables(self, params: Any, other: Any) -> Any:
        """Parameters and other variables as nested dicts."""
        return {"params": params, "other": other}

    def model(self, hp: dict, params: Any, other: Any, **extras: Any) -> nnx.Module:
        """What a user gets to keep: the trained module in evaluation mode."""
        module = self._merge(jax.random.key(0), hp, params, other, **extras)
        module.eval()
        return module

    def split(self, variables: Any) -> tuple[Any, Any]:
        """Parameters and other variables, of what `self.variables` returns, of a State, or of a dict of parameters."""
        if isinstance(variables, nnx.State):
            _, params, other = nnx.split_state(variables, nnx.RngState, nnx.Param, ...)
            return nnx.to_pure_dict(params), nnx.to_pure_dict(other)
        if not isinstance(variables, Mapping):
            advice = "; pass nnx.state(module)" if isinstance(variables, nnx.Module) else ""
            raise TypeError(f"variables must be an nnx.State or a nested dict, got {_named(variables)}{advice}.")
        if variables.keys() <= {"params", "other"}:
            return variables.get("params", {}), variables.get("other", {})
        return variables, {}


def flax_model(model: Any) -> LinenModel | NnxModel:
    """Finds out what kind of model a user passed.

    Raises:
        TypeError: A linen class, an nnx instance, or something else.
    """
    if isinstance(model, nnx.Module):
        raise TypeError(
            "model is an nnx instance; pass its class or a function (hp, rngs) -> module, so that every "
            "trial can build its own."
        )
    if isinstance(model, type) and issubclass(model, nn.Module):
        raise TypeError(f"model is the class {model.__name__}; pass {model.__name__}(...) or a function of hp.")
    if isinstance(model, nn.Module):
        return LinenModel(model)
    if not callable(model):
        raise TypeError(f"model must be a Flax module or a function that makes one, got {type(model).__name__}.")
    if asks_for(model, "rngs"):
        _check_takes_hp(model)
        return NnxModel(model)
    checks.check_function("model", model, ("hp",))
    return LinenModel(model)


def _check_takes_hp(factory: Callable) -> None:
    """Raises TypeError unless an nnx class or function can be called with (hp, rngs=rngs) and what it asks for."""
    others = [p for p in parameters(factory) if p.name not in ("rngs", *EXTRAS)]
    positional = [p for p in others if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.VAR_POSITIONAL)]
    required = [p for p in others if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    if len(required) > 1 or not positional:
        name, takes = getattr(factory, "__name__", "model"), ", ".join(p.name for p in parameters(factory))
        raise TypeError(
            f"model is called with (hp, rngs), but {name} takes ({takes}): "
            f"pass a function, as in lambda hp, rngs: {name}(...)."
        )


def _named(value: Any) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else f"a value of type {type(value).__name__}"
