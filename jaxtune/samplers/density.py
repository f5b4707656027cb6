"""Densities of configurations: kernels around some of them, relative to configurations drawn at random.

A kernel is a product over the dimensions that exist at its centre: a normal bell cut at 0 and 1, or, where
neighbours are not alike, the centre's option with all others mixed in. A further component, as heavy as one kernel,
is the whole cube, so that nothing ever loses all probability.

Shapes: N centres, M points, D dimensions.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp

from jaxtune.samplers import axes
from jaxtune.spaces.space import Space

_MIN_WIDTH = 0.03  # of a bell; narrower ones would search around few trials only
_MIN_OTHER = 0.1  # share of other options


class Density(NamedTuple):
    """A mixture of kernels.

    Attributes:
        centres: canonical points.
        options: option indices where neighbours are not alike.
        active: the dimensions that exist.
        member: which rows are centres.
        width: standard deviations of bells; where neighbours are not alike the share of options drawn at random.
    """

    centres: jax.Array  # [N, D] float32
    options: jax.Array  # [N, D] int32
    active: jax.Array  # [N, D] bool
    member: jax.Array  # [N] bool
    width: jax.Array  # [D] float32


def density(space: Space, points: jax.Array, member: jax.Array) -> Density:
    """Places a kernel on each member, as wide as Scott's rule says: spread * n ** (-1 / (D + 4)), with a floor.

    The spread is the standard deviation; of options, the probability that two members differ.

    Args:
        space: the space, D at least 1.
        points: canonical points [N, D].
        member: which of them count, [N] bool.
    """
    options, active = axes.options(space, points), axes.active(space, points)
    counts = active & member[:, None]
    number = jnp.maximum(jnp.sum(counts, axis=0), 1).astype(jnp.float32)
    mean = jnp.sum(jnp.where(counts, points, 0), axis=0) / number
    spread = jnp.sqrt(jnp.sum(jnp.where(counts, (points - mean) ** 2, 0), axis=0) / number)
    floor = np.maximum(_MIN_WIDTH, axes.cell_widths(space) / 2)  # a neighbouring cell can be reached
    for i, share in enumerate(axes.shares(space)):
        if share is not None:
            hits = jnp.sum(jax.nn.one_hot(options[:, i], len(share), dtype=jnp.float32) * counts[:, i, None], axis=0)
            spread = spread.at[i].set(1 - jnp.sum((hits / number[i]) ** 2))
            floor[i] = _MIN_OTHER
    width = jnp.maximum(spread * number ** jnp.float32(-1 / (space.num_dims + 4)), floor)
    return Density(points, options, active, member, width)


def draw(key: jax.Array, space: Space, kernels: Density, num_points: int) -> jax.Array:
    """Draws points, [num_points, D] float32; the first of many are those of few.

    What does not exist at the centre, but does at the new point, is drawn evenly.
    """
    # One call for all random numbers: each one compiles for a third of a second.
    uniform = jax.random.uniform(key, (num_points, 1 + 3 * space.num_dims), jnp.float32)
    which, (even, place, option) = uniform[:, 0], jnp.split(uniform[:, 1:], 3, axis=1)
    members = jnp.cumsum(kernels.member)  # by which the number of rows changes nothing
    number = jnp.floor(which * (members[-1] + 1)).astype(jnp.int32)
    row = jnp.minimum(jnp.searchsorted(members, number, side="right"), len(members) - 1)
    is_kernel = (number < members[-1])[:, None] & kernels.active[row]
    centre, scale = kernels.centres[row], np.sqrt(2, dtype=np.float32) * kernels.width
    low, high = jax.lax.erf(-centre / scale), jax.lax.erf((1 - centre) / scale)
    bell = jnp.clip(centre + scale * jax.lax.erf_inv(low + place * (high - low)), 0, 1)
    is_choice = np.array([share is not None for share in axes.shares(space)])
    near = jnp.where(is_choice, jnp.where(option < kernels.width, even, centre), bell)
    return jnp.where(is_kernel, near, even)


def log_density(space: Space, kernels: Density, points: jax.Array) -> jax.Array:
    """The logarithm of the density at canonical points, relative to the cube's: [M] float32 for [M, D]."""
    # Logarithms of kernels are linear in features of the point: one product of matrices gives all of them.
    of_points, of_kernels = zip(*_features(space, kernels, points), strict=True)
    product = jnp.matmul(jnp.concatenate(of_points, axis=1), jnp.concatenate(of_kernels, axis=1).T, precision="highest")
    product = jnp.where(kernels.member, product, -jnp.inf)
    whole = jnp.zeros((len(points), 1), jnp.float32)
    return logsumexp(jnp.concatenate([product, whole], axis=1), axis=1) - jnp.log1p(jnp.sum(kernels.member))


def _features(space: Space, kernels: Density, points: jax.Array) -> Iterator[tuple[jax.Array, jax.Array]]:
    """Features [M, F] of points and their factors [N, F] in the logarithms of kernels; 0 where nothing exists."""
    is_bell = np.array([share is None for share in axes.shares(space)])
    there, of_kernel = axes.active(space, points), kernels.active
    scale = np.sqrt(2, dtype=np.float32) * kernels.width
    inside = 0.5 * (jax.lax.erf((1 - kernels.centres) / scale) + jax.lax.erf(kernels.centres / scale))
    height = -jnp.log(inside * kernels.width * np.sqrt(2 * np.pi, dtype=np.float32))
    x, centre, precision = points - 0.5, kernels.centres - 0.5, kernels.width**-2
    factors = (height - 0.5 * precision * centre**2, precision * centre, -0.5 * precision * jnp.ones_like(centre))
    for feature, factor in zip((jnp.ones_like(x), x, x**2), factors, strict=True):
        yield (feature * there)[:, is_bell], (factor * of_kernel)[:, is_bell]
    options = axes.options(space, points)
    for i, share in enumerate(axes.shares(space)):
        if share is not None:
            same = jax.nn.one_hot(kernels.options[:, i], len(share), dtype=jnp.float32) * (1 - kernels.width[i]) / share
            log_kernel = jnp.log(kernels.width[i] + same) * of_kernel[:, i, None]
            yield jax.nn.one_hot(options[:, i], len(share), dtype=jnp.float32) * there[:, i, None], log_kernel
