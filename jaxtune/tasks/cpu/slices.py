"""Convolutions, and the gradient of max-pooling, as shifted slices, on the CPU backend.

XLA's CPU backend runs a convolution inside a loop several times slower than outside of it, and under `vmap` over lanes
it computes their weight gradients as if every image met every lane. Matrix products of slices suffer from neither. It
scatters the gradient of every pooling window one by one; here each position in the windows is a slice of the whole
array: where it holds the maximum, and none before it does, the gradient goes there.

A user's trace is rewritten before the lanes are added: models stay as they are. Gradients are convolutions in it like
any other. The choice is made when a program is lowered: accelerators keep the native operations.
"""

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core.primitives import conv_general_dilated_p, select_and_scatter_add_p

MAX_SLICES = 64  # 7 x 7 makes 49; compile time grows with their number


def _on_cpu(equation: Any, slices: Callable) -> Callable:
    """How to compute an equation: by slices on CPUs, as it is elsewhere."""
    native = functools.partial(equation.primitive.bind, **equation.params)
    return lambda *inputs: lax.platform_dependent(*inputs, cpu=slices, default=native)


def _faster_convolution(equation: Any) -> Callable | None:
    """How to compute a convolution, or None where the native one is better everywhere."""
    (lhs, rhs), params = (var.aval.shape for var in equation.invars), SimpleNamespace(**equation.params)
    spec = params.dimension_numbers
    kernel, sizes = [rhs[axis] for axis in spec.rhs_spec[2:]], [lhs[axis] for axis in spec.lhs_spec[2:]]
    out = _out_sizes(sizes, kernel, params)
    if min(math.prod(kernel), math.prod(out)) > MAX_SLICES or 0 in (*lhs, *rhs, *out):
        return None
    return _on_cpu(equation, functools.partial(_convolution, kernel=kernel, out=out, params=params))


def _out_sizes(sizes: Sequence[int], kernel: Sequence[int], params: Any) -> list[int]:
    """Spatial sizes of the result."""
    sides = zip(sizes, params.lhs_dilation, params.padding, strict=True)
    padded = [(n - 1) * d + 1 + sum(pad) for n, d, pad in sides]
    windows = [(n - 1) * d + 1 for n, d in zip(kernel, params.rhs_dilation, strict=True)]
    return [max(0, (n - w) // s + 1) for n, w, s in zip(padded, windows, params.window_strides, strict=True)]


def _convolution(lhs: jax.Array, rhs: jax.Array, kernel: list[int], out: list[int], params: Any) -> jax.Array:
    """The convolution, with lhs as [G, N, *spatial, C] and rhs as [G, *kernel, C, O], where G counts groups."""
    (n, c, *space), (o, i, *window), out_spec = params.dimension_numbers
    groups = params.feature_group_count * params.batch_group_count  # one of them is 1
    lhs, rhs = lhs.transpose(n, *space, c), rhs.transpose(*window, i, o)
    if params.batch_group_count > 1:
        lhs = lhs.reshape(groups, -1, *lhs.shape[1:])
    else:
        lhs = jnp.moveaxis(lhs.reshape(*lhs.shape[:-1], groups, -1), -2, 0)
    rhs = jnp.moveaxis(rhs.reshape(*rhs.shape[:-1], groups, -1), -2, 0)
    interior = [(*pad, d - 1) for pad, d in zip(params.padding, params.lhs_dilation, strict=True)]
    lhs = lax.pad(lhs, jnp.zeros((), lhs.dtype), [(0, 0, 0), (0, 0, 0), *interior, (0, 0, 0)])
    strides, apart, dtype = params.window_strides, params.rhs_dilation, params.preferred_element_type
    product = functools.partial(lax.dot_general, precision=params.precision, preferred_element_type=dtype)
    if math.prod(kernel) <= math.prod(out):  # [G, N, *out, kernel * C] by [G, kernel * C, O]
        patches = jnp.concatenate(list(_slices(lhs, kernel, apart, out, strides)), axis=-1)
        last = len(kernel) + 2
        result = product(patches, rhs.reshape(groups, -1, rhs.shape[-1]), (((last,), (1,)), ((0,), (0,))))
    else:  # the window of a weight gradient is as large as an image: a patch for each position of the result
        patches = jnp.stack(list(_slices(lhs, out, strides, kernel, apart)), axis=2)
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


def _faster_pooling_gradient(equation: Any) -> Callable | None:
    """How to compute the gradient of a pooling, or None where the native form is better everywhere."""
    params = SimpleNamespace(**equation.params)
    if params.select_prim is not lax.ge_p or math.prod(params.window_dimensions) > MAX_SLICES:
        return None
    return _on_cpu(equation, functools.partial(_pooling_gradient, params=params))


def _pooling_gradient(source: jax.Array, operand: jax.Array, params: Any) -> jax.Array:
    """The gradient of the maxima of windows, `source`, added up at the elements of `operand` that are the maxima."""
    strides = params.window_strides
    padded = lax.pad(operand, jnp.array(-jnp.inf, operand.dtype), [(*pad, 0) for pad in params.padding])
    reach = [(n - 1) * s + 1 for n, s in zip(source.shape, strides, strict=True)]
    starts = list(itertools.product(*map(range, params.window_dimensions)))
    stops = [[a + r for a, r in zip(start, reach, strict=True)] for start in starts]
    values = [lax.slice(padded, a, b, strides) for a, b in zip(starts, stops, strict=True)]
    largest, free = functools.reduce(jnp.maximum, values), jnp.ones(source.shape, bool)
    total, zero = jnp.zeros_like(padded), jnp.zeros((), source.dtype)
    for value, start, stop in zip(values, starts, stops, strict=True):
        here = free & (value == largest)
        free &= ~here
        ends = zip(start, padded.shape, stop, strides, strict=True)
        total += lax.pad(jnp.where(here, source, zero), zero, [(a, n - b, s - 1) for a, n, b, s in ends])
    return lax.pad(total, zero, [(-low, -high, 0) for low, high in params.padding])


RULES = {conv_general_dilated_p: _faster_convolution, select_and_scatter_add_p: _faster_pooling_gradient}
