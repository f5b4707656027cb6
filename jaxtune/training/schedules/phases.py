"""What schedules are made of: a position in [0, 1] along a phase, and curves over it.

Every branch on an argument is a `where`, because arguments may be traced; what a `where` doesn't take is kept
finite, because it would otherwise make gradients NaN. Every constant is a Python number and every quotient starts
from `1.0 * count`, so that schedules of Python or weakly typed arguments have weakly typed values: strong float32
ones would turn the bfloat16 state of an optimizer into float32.
"""

from collections.abc import Callable
from typing import TypeAlias

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

Scalar: TypeAlias = jax.Array | float  # shape [], traced or not
Count: TypeAlias = jax.Array | float  # steps done so far, any shape


def position(count: Count, steps: Scalar) -> jax.Array:
    """How far `count` is on the way through a phase of `steps`: 0 at its start, 1 from its end on."""
    # The inner where keeps 0/0 out of the branch not taken, where it would still make the gradient NaN.
    divisor = jnp.where(steps > 0, steps, 1)
    # A quotient of two int32 arrays would be a strong float32; 1.0 * count is weak, and stays so.
    return jnp.where(steps > 0, jnp.clip(1.0 * count / divisor, 0.0, 1.0), 1.0)


def line(where: jax.Array, start: Scalar, end: Scalar) -> jax.Array:
    """The straight line from `start` to `end` over a position."""
    return (start - end) * (1 - where) + end


def cosine(where: jax.Array, exponent: Scalar = 1.0) -> jax.Array:
    """Half a cosine wave from 1 to 0 over a position, raised to `exponent`."""
    return raised(0.5 * (1 + jnp.cos(jnp.pi * where)), exponent)


def raised(share: jax.Array, exponent: Scalar) -> jax.Array:
    """`share ** exponent` for shares >= 0."""
    # The slope of share ** exponent at 0 is infinite for exponents below 1: infinity times 0 would be NaN.
    end = 0.0 ** jax.lax.stop_gradient(jnp.asarray(exponent))
    return jnp.where(share > 0, jnp.where(share > 0, share, 1.0) ** exponent, end)


def known(value: ArrayLike) -> float | None:
    """The number, if it is known while the schedule is made; None if it is traced."""
    try:
        return float(value)  # type: ignore[arg-type]  # a complex number is none of ours
    except jax.errors.ConcretizationTypeError:
        return None


def check(function: str, value: ArrayLike, wanted: str, holds: Callable[[float], bool]) -> None:
    """Refuses a known value of which something does not hold; says nothing about a traced one."""
    number = known(value)
    if number is not None and not holds(number):
        raise ValueError(f"{function} needs {wanted}, got {number:g}.")


def check_positive(function: str, name: str, value: Scalar) -> None:
    """Refuses a known value that is not positive; says nothing about a traced one."""
    check(function, value, f"{name} > 0", lambda number: number > 0)
