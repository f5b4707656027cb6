"""A traced dropout rate that stock Flax layers accept."""

import numbers
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxtune.tasks.weak import weaken

__all__ = ["rate"]

# The largest float32 below 1. At a rate of exactly 1 a dropout layer would divide by zero, and its gradient
# would be NaN even though the mask hides the value; the layers' own guard is the very branch that a traced
# rate can't take.
_LARGEST = 1.0 - 2.0**-24


def rate(x: ArrayLike) -> Any:
    """A dropout rate that may be traced, for the stock Dropout and attention layers of linen and nnx.

    The layers ask `rate == 0.0`, `rate == 1.0` or `rate > 0.0` in Python, which a traced value can't
    answer. The wrapper answers as a number strictly between 0 and 1 would, so the layers take their general
    path, which is also right at rate 0. The mask compares uniform numbers with the rate; under `vmap` over
    rates with a shared key the numbers are drawn once, and results equal those of the layer with a float of
    the same value.

    Args:
        x: shape `[]`, in [0, 1]. A Python or NumPy number passes unchanged. A traced value above 1 - 2^-24,
            so also 1 itself, counts as 1 - 2^-24, which keeps values and gradients finite.

    Returns:
        `x` itself if it is a number, else a wrapper that takes part in arithmetic as a weakly typed array.
        It is no pytree: a module carries it as a setting, not as state to be trained, saved or copied.

    Raises:
        ValueError: `x` is not a scalar, or a known number outside [0, 1].

    Example:
        >>> import flax.linen as nn
        >>> import jax
        >>> import jax.numpy as jnp
        >>> import jaxtune as jt
        >>> @jax.jit
        ... def zeros(x):
        ...     dropout = nn.Dropout(jt.rate(x), deterministic=False)
        ...     return jnp.mean(dropout.apply({}, jnp.ones(10_000), rngs={"dropout": jax.random.key(0)}) == 0)
        >>> [round(float(zeros(x)), 1) for x in (0.0, 0.3, 0.7)]
        [0.0, 0.3, 0.7]
    """
    if isinstance(x, _Rate):
        return x
    if isinstance(x, numbers.Real):
        if not 0 <= x <= 1:
            raise ValueError(f"rate needs a value in [0, 1], got {x!r}.")
        return x
    if jnp.ndim(x) != 0:
        raise ValueError(f"rate needs a scalar, got shape {jnp.shape(x)}.")
    return _Rate(jnp.minimum(weaken(x), _LARGEST))


def _arithmetic(name: str) -> Callable[..., Any]:
    """The operator `name` of the wrapped array, for a `_Rate` on either side."""

    def operator(self: "_Rate", *others: Any) -> Any:
        values = [other.value if isinstance(other, _Rate) else other for other in others]
        return getattr(self.value, name)(*values)

    return operator


class _Rate:
    """A scalar known to lie strictly between 0 and 1 where Python asks, and an array everywhere else.

    Equality and hash go by identity of the array, so that Flax can compare modules without looking at a
    traced value. Against any number equality is False: branches on special rates are not taken.

    Attributes:
        value: shape `[]`, a weakly typed float.
    """

    # NumPy scalars on the left then leave the operation to this class instead of building an object array.
    __array_ufunc__ = None

    def __init__(self, value: jax.Array) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"rate({self.value})"

    def __jax_array__(self) -> jax.Array:
        return self.value

    def __float__(self) -> float:
        return float(self.value)  # JAX's own error if traced: whoever needs a number should hear why there is none

    def __bool__(self) -> bool:
        return True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Rate) and other.value is self.value

    def __hash__(self) -> int:
        return id(self.value)

    def __gt__(self, other: Any) -> Any:
        return True if _known(other) and other <= 0 else self.value > other

    def __ge__(self, other: Any) -> Any:
        return True if _known(other) and other <= 0 else self.value >= other

    def __lt__(self, other: Any) -> Any:
        return True if _known(other) and other >= 1 else self.value < other

    def __le__(self, other: Any) -> Any:
        return True if _known(other) and other >= 1 else self.value <= other


for _name in ("add", "sub", "mul", "truediv", "pow"):
    setattr(_Rate, f"__{_name}__", _arithmetic(f"__{_name}__"))
    setattr(_Rate, f"__r{_name}__", _arithmetic(f"__r{_name}__"))
for _name in ("__neg__", "__abs__"):
    setattr(_Rate, _name, _arithmetic(_name))


def _known(x: Any) -> bool:
    """Whether `x` is a number that Python can compare."""
    return isinstance(x, numbers.Real)
