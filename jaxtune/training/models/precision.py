"""A model that computes in another floating-point type than that of its parameters."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


@dataclass(frozen=True)
class InPrecision:
    """A model whose parameters and inputs are converted for each call, and whose outputs are float32 again.

    Gradients flow back through the conversion, so that the optimizer works on the parameters in their own type. Other
    variables, such as BatchNorm's averages, are left alone. Users get the module itself, in the type of its parameters.
    """

    inner: Any  # LinenModel | NnxModel
    dtype: np.dtype

    def __getattr__(self, name: str) -> Any:
        """Everything else is the model's own."""
        if name == "inner":  # of one that is being copied
            raise AttributeError(name)
        return getattr(self.inner, name)

    def train(self, key: jax.Array, hp: dict, params: Any, other: Any, inputs: Any, **extras: Any) -> tuple[Any, Any]:
        """Outputs in training mode, and the other variables after it."""
        outputs, other = self.inner.train(key, hp, self._narrow(params), other, self._narrow(inputs), **extras)
        return self._wide(outputs), other

    def predict(self, key: jax.Array, hp: dict, params: Any, other: Any, inputs: Any, **extras: Any) -> Any:
        """Outputs in evaluation mode."""
        return self._wide(self.inner.predict(key, hp, self._narrow(params), other, self._narrow(inputs), **extras))

    def _narrow(self, tree: Any) -> Any:
        return jax.tree.map(lambda x: x.astype(self.dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x, tree)

    def _wide(self, tree: Any) -> Any:
        return jax.tree.map(lambda x: x.astype(jnp.float32) if x.dtype == self.dtype else x, tree)


def checked_dtype(dtype: Any) -> np.dtype:
    """The type, if models can compute in it.

    Raises:
        TypeError: This is no floating-point type.
    """
    with suppress(TypeError):
        if jnp.issubdtype(found := jnp.dtype(dtype), jnp.floating):
            return found
    raise TypeError(f"compute_dtype must be a floating-point type such as jax.numpy.bfloat16, got {dtype!r}.")
