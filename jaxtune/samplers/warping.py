"""Values of trials as a model can take them: about standard normal, whatever their scale, outliers and failures.

Shapes: H rows, E evaluations.

Reference: Song et al., "The Vizier Gaussian Process Bandit Algorithm", arXiv:2408.11527, for half ranks and failures.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

_SHRINKAGE = 3.0  # good values that the spread of the evaluation before counts for
_FAILURE = 1.0  # how far a failed trial lies behind the worst other one
_BEST = -8.0  # no value is taken to be better than that


class Warped(NamedTuple):
    """Values that were warped.

    Attributes:
        values: about standard normal at each evaluation, 0 where there are none.
        errors: standard errors in the same units, 0 where none is known.
        failure: the value of a failed trial.
    """

    values: jax.Array  # [H, E] float32
    errors: jax.Array  # [H, E] float32
    failure: jax.Array  # [] float32


def warp(values: jax.Array, errors: jax.Array, there: jax.Array) -> Warped:
    """Keeps distances in the better half of each evaluation, and ranks only in the worse one.

    So no outlier rules the scale, and a model looks closely where it matters. The scale is the spread of the better
    half about the median; few values borrow from the evaluation before.

    Args:
        values: lower is better, [H, E].
        errors: standard errors, NaN where unknown, [H, E].
        there: which values there are, [H, E] bool.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxtune.samplers.warping import warp
        >>> values = jnp.array([[1.0], [2.0], [3.0], [4.0], [1e9]])
        >>> [f"{value:.1f}" for value in warp(values, values * jnp.nan, values > 0).values[:, 0]]
        ['-1.5', '-0.8', '0.0', '0.5', '1.3']
    """
    values = jnp.where(there, values, 0)
    median, quantile = jax.vmap(_median_and_quantiles, 1, (0, 1))(values, there)
    better = there & (values <= median)
    total, number = jnp.sum(jnp.where(better, (values - median) ** 2, 0), axis=0), jnp.sum(better, axis=0)

    def shrunk(before: jax.Array, own: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        variance = (own[0] + _SHRINKAGE * before) / (own[1] + _SHRINKAGE)
        return variance, variance

    pooled = jnp.sum(total) / jnp.maximum(jnp.sum(number), 1).astype(jnp.float32)
    scale = jnp.sqrt(jax.lax.scan(shrunk, pooled, (total, number.astype(jnp.float32)))[1])
    scale = jnp.where(scale > 0, scale, 1)
    distance = jnp.maximum((values - median) / scale, _BEST)
    worse = jnp.minimum(distance, jnp.sqrt(jnp.float32(2)) * jax.lax.erf_inv(2 * jnp.maximum(quantile, 0.5) - 1))
    warped = jnp.where(there, jnp.where(distance > 0, worse, distance), 0)
    known = jnp.where(there & jnp.isfinite(errors), jnp.minimum(errors / scale, 1), 0)
    return Warped(warped, known, jnp.max(warped, initial=0) + _FAILURE)


def _median_and_quantiles(values: jax.Array, there: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The median of some values (the lower of two), and which quantile each of them is: [] and [H]."""
    number, order = jnp.sum(there), jnp.argsort(jnp.where(there, values, jnp.inf))
    place = jnp.zeros(len(values), jnp.float32).at[order].set(jnp.arange(len(values), dtype=jnp.float32))
    quantile = (place + 0.5) / jnp.maximum(number, 1).astype(jnp.float32)
    return values[order[jnp.maximum(number - 1, 0) // 2]], jnp.minimum(quantile, 0.999)
