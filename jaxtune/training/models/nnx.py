"""NNX modules as pure functions. Apart from linen's, so that who uses linen does not wait for the import of nnx."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn, nnx
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxtune.tasks.checks import kind
from jaxtune.tasks.functions import call
from jaxtune.training.models.common import Flags, never_drops, train_flags


@dataclass(frozen=True)
class NnxModel:
    """An nnx module class or a function `(hp, rngs[, step, total_steps])` that makes one.

    The module is built anew in every trace: a graph definition kept from another trace would leak the tracers
    in its attributes. Its random streams are seeded from the step's key and never carried, so that draws stay
    shared.
    """

    factory: Callable[..., nnx.Module]
    flags: Flags | None = None  # as the user gave them

    def build(self, key: jax.Array, hp: dict, **extras: Any) -> tuple[Any, Any, Any, Any]:
        """Graph definition, parameters, other variables, and random streams."""
        module = call("model", self.factory, hp, rngs=nnx.Rngs(key), **extras)
        if isinstance(module, nn.Module):
            raise TypeError("model returned a linen module; a function that makes one takes hp alone.")
        if not isinstance(module, nnx.Module):
            raise TypeError(f"model must return an nnx module, got {kind(module)}.")
        parts: Any = nnx.split(module, nnx.RngState, nnx.Param, ...)
        graph, streams, params, other = parts
        return graph, params, other, streams

    def init(self, key: jax.Array, hp: dict, inputs: Any, **extras: Any) -> tuple[Any, Any]:
        """Fresh parameters and other variables."""
        del inputs
        _, params, other, _ = self.build(key, hp, **extras)
        return nnx.to_pure_dict(params), nnx.to_pure_dict(other)

    def _merge(self, train: bool, key: Any, hp: dict, params: Any, other: Any, **extras: Any) -> nnx.Module:
        graph, fresh_params, fresh_other, streams = self.build(key, hp, **extras)
        nnx.replace_by_pure_dict(fresh_params, params)
        nnx.replace_by_pure_dict(fresh_other, other)
        module = nnx.merge(graph, fresh_params, fresh_other, streams)
        (module.train if train else module.eval)()
        return module

    def train(self, key: jax.Array, hp: dict, params: Any, other: Any, inputs: Any, **extras: Any) -> tuple[Any, Any]:
        """Outputs in training mode, and the other variables after it."""
        module = self._merge(True, key, hp, params, other, **extras)
        outputs = module(inputs, **train_flags(module, True, self.flags))
        changed = nnx.to_pure_dict(nnx.state(module, nnx.Not(nnx.Any(nnx.RngState, nnx.Param))))
        sown = flatten_dict(changed).keys() - flatten_dict(other).keys()
        return outputs, unflatten_dict({path: x for path, x in flatten_dict(changed).items() if path not in sown})

    def predict(self, key: jax.Array, hp: dict, params: Any, other: Any, inputs: Any, **extras: Any) -> Any:
        """Outputs in evaluation mode."""
        module = self._merge(False, key, hp, params, other, **extras)
        return module(inputs, **train_flags(module, False, self.flags))

    def asleep(self, key: jax.Array, hp: dict, params: Any, other: Any, inputs: Any, **extras: Any) -> list[str]:
        """Names of the layers that act in training only, if none of them does anything in it."""
        module = self._merge(True, key, hp, params, other, **extras)
        layers = [type(layer).__name__ for _, layer in nnx.iter_modules(module) if _acts_in_training(layer)]
        before = _moving(module)
        module(inputs, **train_flags(module, True, self.flags))
        return layers if all(x is y for x, y in zip(before, _moving(module), strict=True)) else []

    def variables(self, params: Any, other: Any) -> Any:
        """Parameters and other variables as nested dicts."""
        return {"params": params, "other": other}

    def model(self, hp: dict, params: Any, other: Any, **extras: Any) -> nnx.Module:
        """What a user gets to keep: the trained module in evaluation mode."""
        params, other = jax.tree.map(jnp.asarray, (params, other))  # a layer may write into its variables
        return self._merge(False, jax.random.key(0), hp, params, other, **extras)

    def split(self, variables: Any) -> tuple[Any, Any]:
        """Parameters and other variables, of what `self.variables` returns, of a State, or of a dict of parameters."""
        if isinstance(variables, nnx.State):
            _, params, other = nnx.split_state(variables, nnx.RngState, nnx.Param, ...)
            return nnx.to_pure_dict(params), nnx.to_pure_dict(other)
        if not isinstance(variables, Mapping):
            advice = "; pass nnx.state(module)" if isinstance(variables, nnx.Module) else ""
            raise TypeError(f"variables must be an nnx.State or a nested dict, got {kind(variables)}{advice}.")
        if variables.keys() <= {"params", "other"}:
            return variables.get("params", {}), variables.get("other", {})
        return variables, {}


def _acts_in_training(layer: nnx.Module) -> bool:
    if isinstance(layer, nnx.BatchNorm):
        return True
    return hasattr(layer, "deterministic") and not never_drops(layer, 0.0)


def _moving(module: nnx.Module) -> list[Any]:
    """What layers change when they act: running averages, and how many numbers were drawn."""
    return jax.tree.leaves(nnx.state(module, nnx.Any(nnx.BatchStat, nnx.RngCount)))
