"""The gradient of max-pooling as shifted slices, on the CPU backend.

XLA's CPU backend scatters the gradient of every window one by one. Here each position in the windows is a slice of the
whole array: where it holds the maximum, and none before it does, the gradient goes there.
"""

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core.primitives import select_and_scatter_add_p

MAX_SLICES = 64  # compile time grows with their number


def _faster(equation: Any) -> Callable | None:
    """How to compute the gradient on CPUs, or None where the native form is better everywhere."""
    params = equation.params
    if params["select_prim"] is not lax.ge_p or math.prod(params["window_dimensions"]) > MAX_SLICES:
        return None
    slices = functools.partial(_by_slices, **params)
    native = functools.partial(select_and_scatter_add_p.bind, **params)
    return lambda source, operand: lax.platform_dependent(source, operand, cpu=slices, default=native)


def _by_slices(
    source: jax.Array,
    operand: jax.Array,
    *,
    window_dimensions: Sequence[int],
    window_strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    **_: Any,
) -> jax.Array:
    """The gradient of the maxima of windows, `source`, added up at the elements of `operand` that are the maxima."""
    padded = lax.pad(operand, jnp.array(-jnp.inf, operand.dtype), [(*pad, 0) for pad in padding])
    reach = [(n - 1) * s + 1 for n, s in zip(source.shape, window_strides, strict=True)]
    starts = list(itertools.product(*map(range, window_dimensions)))
    stops = [[a + r for a, r in zip(start, reach, strict=True)] for start in starts]
    values = [lax.slice(padded, a, b, window_strides) for a, b in zip(starts, stops, strict=True)]
    largest, free = functools.reduce(jnp.maximum, values), jnp.ones(source.shape, bool)
    total, zero = jnp.zeros_like(padded), jnp.zeros((), source.dtype)
    for value, start, stop in zip(values, starts, stops, strict=True):
        here = free & (value == largest)
        free &= ~here
        ends = zip(start, padded.shape, stop, window_strides, strict=True)
        total += lax.pad(jnp.where(here, source, zero), zero, [(a, n - b, s - 1) for a, n, b, s in ends])
    return lax.pad(total, zero, [(-low, -high, 0) for low, high in padding])


RULES = {select_and_scatter_add_p: _faster}
