"""Linen modules as pure functions."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
from flax import linen as nn

from jaxtune.functions import call
from jaxtune.models.common import is_nnx, named, train_flags


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
        if is_nnx(module):
            raise TypeError("model returned an nnx module; a function that makes one has to ask for rngs: (hp, rngs).")
        if not isinstance(module, nn.Module):
            raise TypeError(f"model must return a Flax module, got {named(module)}.")
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
                f"variables must be a nested dict as module.init returns it, {{'params': ...}}, got {named(variables)}."
            )
        other = dict(variables)
        return other.pop("params", {}), other
