"""A Gaussian process over configurations and step counts.

    value(x, s) = f(x, s) + offset(s) + noise,    cov f = amplitude^2 * matern(x, x') * exp(-|log s - log s'| / rung)

where the Matern kernel of smoothness 5/2 has a length scale for each dimension, and offsets, wide ones, say that values
after different numbers of steps lie at different heights. Options that are not alike are one apart.

Shapes: N rows, P points, D dimensions.

Reference: Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006, chapters 2, 4 and 5.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxtune.samplers import axes
from jaxtune.samplers.matrices import inverse
from jaxtune.spaces.space import Space

_NUM_STEPS, _RATE = 40, 0.15  # of Adam, on logarithms
_OFFSET = 1.0  # standard deviation of an offset, as wide as values are
_JITTER = 1e-3  # of a variance about 1, for float32


class Rows(NamedTuple):
    """What was observed.

    Attributes:
        points: canonical points.
        log_steps: logarithms of step counts.
        values: about standard normal.
        variances: known ones, of values.
        there: the others are padding.
    """

    points: jax.Array  # [N, D] float32
    log_steps: jax.Array  # [N] float32
    values: jax.Array  # [N] float32
    variances: jax.Array  # [N] float32
    there: jax.Array  # [N] bool


class Scales(NamedTuple):
    """The hyperparameters of the process, as logarithms."""

    lengths: jax.Array  # [D] float32
    rung: jax.Array  # [] float32, of the logarithm of steps
    amplitude: jax.Array  # [] float32
    noise: jax.Array  # [] float32, a standard deviation


class Posterior(NamedTuple):
    """What is known of f at some points."""

    mean: jax.Array  # [P] float32
    covariance: jax.Array  # [P, P] float32


def typical(num_dims: int) -> tuple[Scales, Scales]:
    """Means and standard deviations of the weak normal priors; lengths as of Hvarfner et al., ICML 2024."""
    mean = Scales(*(jnp.float32(value) for value in (0.5 * np.log(num_dims) - 0.5, 1.0, 0.0, -1.5)))
    deviation = Scales(*(jnp.float32(value) for value in (1.0, 1.0, 0.5, 1.0)))
    return mean._replace(lengths=jnp.full(num_dims, mean.lengths)), deviation


def fit(space: Space, rows: Rows) -> Scales:
    """The scales of highest posterior density, by a fixed number of steps from the typical ones."""
    squares, gaps = _squares(space, rows.points, rows.points), _gaps(rows.log_steps, rows.log_steps)
    mean, deviation = typical(space.num_dims)

    def loss(scales: Scales) -> jax.Array:
        covariance = _of_values(scales, rows, squares, gaps)
        inverted = inverse(jax.lax.stop_gradient(covariance))
        weights = inverted @ rows.values
        # The derivative of the negative log likelihood in the covariance: no decomposition has to be differentiated.
        slope = 0.5 * (inverted - weights[:, None] * weights)
        prior = jax.tree.map(lambda x, m, d: jnp.sum(0.5 * ((x - m) / d) ** 2), scales, mean, deviation)
        return jnp.sum(slope * covariance) + sum(prior)

    optimizer, start = optax.adam(_RATE), jax.tree.map(jnp.asarray, mean)

    def step(carry: tuple, _: None) -> tuple[tuple, None]:
        scales, state = carry
        updates, state = optimizer.update(jax.grad(loss)(scales), state)
        return (optax.apply_updates(scales, updates), state), None

    return jax.lax.scan(step, (start, optimizer.init(start)), None, length=_NUM_STEPS)[0][0]


def posterior(space: Space, scales: Scales, rows: Rows, points: jax.Array, log_step: jax.Array) -> Posterior:
    """What is known of f at canonical points [P, D] after one number of steps."""
    squares, gaps = _squares(space, rows.points, rows.points), _gaps(rows.log_steps, rows.log_steps)
    inverted = inverse(_of_values(scales, rows, squares, gaps))
    across = _of_f(scales, _squares(space, points, rows.points), jnp.abs(rows.log_steps - log_step))
    across = jnp.where(rows.there, across, 0)
    weights = jnp.matmul(across, inverted, precision="highest")
    prior = _of_f(scales, _squares(space, points, points), jnp.float32(0))
    return Posterior(weights @ rows.values, prior - jnp.matmul(weights, across.T, precision="highest"))


def _squares(space: Space, some: jax.Array, others: jax.Array) -> jax.Array:
    """Squared distances in each dimension, [D, N, P]."""
    near = (some.T[:, :, None] - others.T[:, None]) ** 2
    differ = axes.options(space, some).T[:, :, None] != axes.options(space, others).T[:, None]
    is_choice = np.array([share is not None for share in axes.shares(space)])
    return jnp.where(is_choice[:, None, None], differ.astype(jnp.float32), near)


def _gaps(some: jax.Array, others: jax.Array) -> jax.Array:
    return jnp.abs(some[:, None] - others)


def _of_f(scales: Scales, squares: jax.Array, gaps: jax.Array) -> jax.Array:
    """Covariances of f."""
    precision = jnp.exp(-2 * scales.lengths)
    # Its root has no derivative at 0, hence the smallest number that changes nothing.
    far = jnp.sqrt(5 * jnp.tensordot(precision, squares, 1, precision="highest") + 1e-12)
    matern = (1 + far + far**2 / 3) * jnp.exp(-far)
    return jnp.exp(2 * scales.amplitude) * matern * jnp.exp(-gaps * jnp.exp(-scales.rung))


def _of_values(scales: Scales, rows: Rows, squares: jax.Array, gaps: jax.Array) -> jax.Array:
    """Covariances of values; padding is independent of everything."""
    covariance = _of_f(scales, squares, gaps) + _OFFSET**2 * (gaps == 0)
    covariance = jnp.where(rows.there[:, None] & rows.there, covariance, 0)
    noise = jnp.where(rows.there, jnp.exp(2 * scales.noise) + rows.variances + _JITTER, 1)
    return covariance + jnp.diag(noise)
