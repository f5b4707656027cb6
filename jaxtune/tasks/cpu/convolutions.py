"""Convolutions as shifted slices and matrix products, on the CPU backend.

XLA's CPU backend runs a convolution inside a loop several times slower than outside of it, and under `vmap` over lanes
it computes their weight gradients as if every image met every lane. Matrix products suffer from neither. A user's trace
is therefore rewritten before the lanes are added: models stay as they are. Gradients are convolutions in it like any
other. The choice is made when a program is lowered: accelerators keep the native operations.
"""

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core.primitives import conv_general_dilated_p

MAX_SLICES = 64  # 7 x 7 makes 49; compile time grows with their number


def _faster(equation: Any) -> Callable | None:
    """How to compute a convolution on CPUs, or None where the native one is better everywhere."""
    lhs, rhs = (var.aval for var in equation.invars)
    spec, params = equation.params["dimension_numbers"], equation.params
    kernel, sizes = [rhs.shape[axis] for axis in spec.rhs_spec[2:]], [lhs.shape[axis] for axis in spec.lhs_spec[2:]]
    out = _out_sizes(sizes, kernel, **params)
    if min(math.prod(kernel), math.prod(out)) > MAX_SLICES or 0 in (*lhs.shape, *rhs.shape, *out):
        return None
    slices = functools.partial(_by_slices, kernel=kernel, out=out, **params)
    native = functools.partial(conv_general_dilated_p.bind, **params)
    return lambda lhs, rhs: lax.platform_dependent(lhs, rhs, cpu=slices, default=native)


def _out_sizes(
    sizes: Any, kernel: Any, *, window_strides: Any, padding: Any, lhs_dilation: Any, rhs_dilation: Any, **_: Any
) -> list[int]:
    """Spatial sizes of the result."""
    padded = [(n - 1) * d + 1 + sum(pad) for n, d, pad in zip(sizes, lhs_dilation, padding, strict=True)]
    windows = [(n - 1) * d + 1 for n, d in zip(kernel, rhs_dilation, strict=True)]
    return [max(0, (n - w) // s + 1) for n, w, s in zip(padded, windows, window_strides, strict=True)]


def _by_slices(
    lhs: jax.Array,
    rhs: jax.Array,
    *,
    dimension_numbers: Any,
    kernel: list[int],
    out: list[int],
    window_strides: Any,
    padding: Any,
    lhs_dilation: Any,
    rhs_dilation: Any,
    feature_group_count: int,
    batch_group_count: int,
    precision: Any,
    preferred_element_type: Any,
    **_: Any,
) -> jax.Array:
    """The convolution, with lhs as [G, N, *spatial, C] and rhs as [G, *kernel, C, O], where G counts groups."""
    (n, c, *space), (o, i, *window), out_spec = dimension_numbers
    groups = feature_group_count * batch_group_count  # one of them is 1
    lhs, rhs = lhs.transpose(n, *space, c), rhs.transpose(*window, i, o)
    if batch_group_count > 1:
        lhs = lhs.reshape(groups, -1, *lhs.shape[1:])
    else:
        lhs = jnp.moveaxis(lhs.reshape(*lhs.shape[:-1], groups, -1), -2, 0)
    rhs = jnp.moveaxis(rhs.reshape(*rhs.shape[:-1], groups, -1), -2, 0)
    interior = [(*pad, d - 1) for pad, d in zip(padding, lhs_dilation, strict=True)]
    lhs = lax.pad(lhs, jnp.zeros((), lhs.dtype), [(0, 0, 0), (0, 0, 0), *interior, (0, 0, 0)])
    product = functools.partial(lax.dot_general, precision=precision, preferred_element_type=preferred_element_type)
    if math.prod(kernel) <= math.prod(out):  # [G, N, *out, kernel * C] by [G, kernel * C, O]
        patches = jnp.concatenate(list(_slices(lhs, kernel, rhs_dilation, out, window_strides)), axis=-1)
        last = len(kernel) + 2
        result = product(patches, rhs.reshape(groups, -1, rhs.shape[-1]), (((last,), (1,)), ((0,), (0,))))
    else:  # the window of a weight gradient is as large as an image: a patch for each position of the result
        patches = jnp.stack(list(_slices(lhs, out, window_strides, kernel, rhs_dilation)), axis=2)
        axes = range(1, len(kernel) + 2)
        result = product(patches, rhs, ((tuple(a + 2 for a in axes), tuple(axes)), ((0,), (0,))))
        result = result.reshape(*result.shape[:2], *out, -1)
    result = jnp.moveaxis(result, 0, -2)
    result = result.reshape(*result.shape[:-2], -1)  # [N, *out, G * O]
    order = (0, result.ndim - 1, *range(1, result.ndim - 1))
    return result.transpose(*order).transpose(*(out_spec.index(axis) for axis in range(result.ndim)))


def _slices(x: jax.Array, starts: Sequence[int], apart: Any, sizes: Sequence[int], strides: Any) -> Iterator[jax.Array]:
    """A strided slice of the spatial axes of [G, N, *spatial, C] for each start, `apart` from the next one."""
    for start in itertools.product(*map(range, starts)):
        first = [s * a for s, a in zip(start, apart, strict=True)]
        stop = [f + (n - 1) * s + 1 for f, n, s in zip(first, sizes, strides, strict=True)]
        yield lax.slice(x, (0, 0, *first, 0), (*x.shape[:2], *stop, x.shape[-1]), (1, 1, *strides, 1))


RULES = {conv_general_dilated_p: _faster}
