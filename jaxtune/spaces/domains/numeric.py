"""Numbers of domains: validation, rounding, cells."""

from __future__ import annotations

import math
import numbers
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.spaces.values import FLOAT32_MAX

MAX_CELLS = 2**24  # a float32 unit names no more


def draw_units(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Float32 in [0, 1), every multiple of 2**-24 alike; `jax.random.uniform` draws every second one only."""
    return (jax.random.bits(key, shape, jnp.uint32) >> 8).astype(jnp.float32) * jnp.float32(1 / MAX_CELLS)


def set_fields(domain: Any, **values: Any) -> None:
    """Sets fields of a frozen dataclass, in its `__post_init__`."""
    for name, value in values.items():
        object.__setattr__(domain, name, value)


def number(owner: str, name: str, value: Any) -> float:
    """Checks that a value is a number and returns it as a float."""
    if isinstance(value, str):
        hint = " (YAML reads 1e-3 as text, write 1.0e-3)" if _reads_as_number(value) else ""
        raise TypeError(f"{owner} needs a number for {name}, got the string {value!r}{hint}.")
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
        raise TypeError(f"{owner} needs a number for {name}, got {value!r} of type {type(value).__name__}.")
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _reads_as_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def bounds(domain: Any) -> tuple[float, float]:
    """Checks the bounds of a domain and returns them as floats."""
    owner = type(domain).__name__
    low, high = number(owner, "low", domain.low), number(owner, "high", domain.high)
    given = f"got low={domain.low}, high={domain.high}"
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"{owner} needs finite bounds, {given}.")
    if max(abs(low), abs(high), high - low) > FLOAT32_MAX:
        raise ValueError(f"{owner} needs a range that fits float32 (up to {FLOAT32_MAX:.3g}), {given}.")
    return low, high


def check_flags(domain: Any) -> None:
    """Checks the flags that a domain may have."""
    owner = type(domain).__name__
    if not (domain.static is None or isinstance(domain.static, bool)):
        raise TypeError(f"{owner} needs static=True, False or None, got static={domain.static!r}.")
    for name in ("log", "ordered"):
        if not isinstance(getattr(domain, name), bool):
            raise TypeError(f"{owner} needs {name}=True or False, got {name}={getattr(domain, name)!r}.")


def member(domain: Any, value: Any) -> float:
    """Checks that a value lies in a domain of numbers, and returns it as a float between the bounds."""
    given = number(str(domain), "the value", value)
    inside = domain.low <= given <= domain.high
    # A float32 that decoded from a bound may lie outside it by its rounding.
    if not inside and not any(same_float32(given, bound) for bound in (domain.low, domain.high)):
        raise ValueError(f"{domain} does not contain {value}.")
    return min(max(given, domain.low), domain.high)


def same_float32(a: float, b: float) -> bool:
    """Whether two numbers are rounded to the same float32."""
    with np.errstate(over="ignore"):
        return bool(np.float32(a) == np.float32(b))


def as_float(unit: Any) -> jax.Array:
    """An array of floats of JAX's default precision."""
    return jnp.asarray(unit, jnp.result_type(float))


def between(domain: Any, unit: jax.Array, value: jax.Array) -> jax.Array:
    """Keeps rounded values inside the bounds, and makes the ends of the unit interval hit them exactly."""
    value = jnp.clip(value, domain.low, domain.high)
    return jnp.where(unit <= 0, domain.low, jnp.where(unit >= 1, domain.high, value))


def cell(position: jax.Array, num_cells: int) -> jax.Array:
    """Index of the cell a position in [0, num_cells] lies in; the upper end belongs to the last cell."""
    return jnp.clip(jnp.floor(position).astype(jnp.int32), 0, num_cells - 1)


def even(levels: int) -> np.ndarray:
    """Evenly spaced numbers from 0 to 1, or the middle if there is room for one only."""
    return np.linspace(0.0, 1.0, levels) if levels > 1 else np.array([0.5])
