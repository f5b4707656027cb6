"""Bayesian optimization: a Gaussian process says what is worth trying."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import norm

from jaxtune.interface.habits import did_you_mean, hinted
from jaxtune.samplers import axes
from jaxtune.samplers.density import Density, draw
from jaxtune.samplers.gaussian_process import Posterior, Rows, fit, posterior
from jaxtune.samplers.matrices import factor
from jaxtune.samplers.ranking import Ranking, ranking
from jaxtune.samplers.sampler import Observed
from jaxtune.samplers.sobol import Sobol
from jaxtune.samplers.tpe import good_and_others
from jaxtune.samplers.warping import warp
from jaxtune.spaces.space import Space

_ACQUISITIONS = ("thompson", "expected_improvement")
_NUM_NEEDED = 3  # trials that succeeded
_MAX_ROWS = 256  # of the process; its time grows with their cube
_RANDOM = 0.05  # share of points that are Sobol's, so that no option loses all probability
_GOOD = 0.15  # share of the trials that are elites
_BLOCK = 64  # points that are chosen from the same pool
_LIKELY, _NEAR, _EVEN = 224, 224, 64  # candidates of a pool, by their origin


@hinted
@dataclass(frozen=True)
class Bayesian:
    """Proposes points that a Gaussian process, fitted to all trials so far, takes for the best.

    The process has a Matern kernel with a length scale for each dimension, times a correlation that falls with the
    distance of step counts, so that short training tells something of long one. Its scales maximise the marginal
    likelihood; see `jaxtune.samplers.gaussian_process`. It sees each trial's first and deepest evaluation, warped so
    that outliers and failures don't rule the scale, and their standard errors; at most 256 of them, the best ones and
    an even selection of the others.

    Points are chosen from a pool of 512: draws from the density of good trials (as in `TPE`), steps from the best
    trials in some dimensions, and Sobol points; one in twenty is a Sobol point anyway. As long as less than 3 trials
    succeeded, all are. 64 points after 512 trials take a tenth of a second.

    References: Thompson, Biometrika 1933, and Kandasamy et al., AISTATS 2018, for batches of draws; Ginsbourger et al.,
    2010, for believed values; Ament et al., NeurIPS 2023, for the logarithm of the expected improvement; Daxberger and
    Low, ICML 2017, for several step counts in one process.

    Args:
        acquisition: how points of a batch are chosen. `"expected_improvement"`: one after the other by the logarithm of
            the expected improvement, where the values of those chosen before are believed to be what was predicted.
            `"thompson"`: each is the best one in a draw from the posterior, which explores more.

    Raises:
        ValueError: if `acquisition` is neither.

    Example:
        >>> import jax
        >>> import jaxtune as jt
        >>> space = jt.Space.of({"lr": jt.LogUniform(1e-4, 1.0), "act": jt.Choice(("relu", "tanh"))})
        >>> jt.Bayesian()(jax.random.key(0), space, None, 5).shape
        (5, 2)
    """

    acquisition: str = "expected_improvement"

    def __post_init__(self) -> None:
        if self.acquisition not in _ACQUISITIONS:
            raise ValueError(
                f"Bayesian needs acquisition='thompson' or 'expected_improvement', got {self.acquisition!r}"
                f"{did_you_mean(self.acquisition, _ACQUISITIONS)}."
            )

    def num_needed(self, space: Space) -> int:
        """How many trials must have succeeded before there is a model: 3."""
        return _NUM_NEEDED

    def __call__(self, key: jax.Array, space: Space, history: Observed | None, num_points: int) -> jax.Array:
        """Chooses points.

        Args:
            key: typed key, may be traced.
            space: the space, D domains.
            history: trials trained before; without enough of them the points are Sobol's.
            num_points: how many points; the first of many are those of few.

        Returns:
            [num_points, D] float32 in [0, 1].
        """
        spread = jnp.asarray(Sobol()(key, space, history, num_points))
        if history is None or len(history.points) < _NUM_NEEDED or space.num_dims == 0:
            return spread
        ranked, (random_key, model_key) = ranking(history), jax.random.split(jax.random.fold_in(key, history.count))
        proposed = jax.lax.cond(
            ranked.num_healthy < _NUM_NEEDED,
            lambda: spread,
            lambda: self._proposed(model_key, space, history, ranked, num_points),
        )
        is_random = jax.random.uniform(random_key, (num_points, 1), jnp.float32) < _RANDOM
        return jnp.where(is_random, spread, proposed)

    def _proposed(self, key: jax.Array, space: Space, history: Observed, ranked: Ranking, num_points: int) -> jax.Array:
        rows, top = observations(space, history, ranked)
        # Scales are fitted to every second row: an eighth of the time.
        scales = fit(space, Rows(*(array[::2] for array in rows)) if len(rows.there) == _MAX_ROWS else rows)
        likely, _ = good_and_others(space, history, _GOOD)

        def block(key: jax.Array) -> jax.Array:
            pool_key, choice_key = jax.random.split(key)
            pool, new = candidates(pool_key, space, history, ranked, likely)
            known = posterior(space, scales, rows, pool, top)
            if self.acquisition == "thompson":
                return pool[by_thompson(choice_key, known, new, min(num_points, _BLOCK))]
            return pool[by_improvement(known, new, min(num_points, _BLOCK))]

        blocks = jnp.arange(-(-num_points // _BLOCK))
        keys = jax.vmap(lambda number: jax.random.fold_in(key, number))(blocks)
        return jax.lax.map(block, keys).reshape(-1, space.num_dims)[:num_points]


def observations(space: Space, history: Observed, ranked: Ranking) -> tuple[Rows, jax.Array]:
    """What the process learns from, and the logarithm of the step count it is asked about: the deepest reached.

    Each trial's deepest evaluation, and its first, which all trials have: without it, values of those that went on
    would be compared with nothing. Failed trials count as bad at the deepest.
    """
    values, row = jnp.asarray(history.values, jnp.float32), jnp.arange(len(history.points))
    there = jnp.isfinite(values) & ranked.healthy[:, None]
    warped = warp(values, jnp.asarray(history.errors, jnp.float32), there)
    top = jnp.max(jnp.where(ranked.healthy, ranked.depth, 0))
    failed = (row < history.count) & ~ranked.healthy
    points, log_steps = axes.canonical(space, history.points), jnp.log(jnp.asarray(history.steps, jnp.float32))
    deepest, first = jnp.where(failed, top, ranked.depth), jnp.argmax(there, axis=1)

    def at(evaluation: jax.Array, which: jax.Array) -> Rows:
        value = jnp.where(failed, warped.failure, warped.values[row, evaluation])
        return Rows(points, log_steps[evaluation], value, warped.errors[row, evaluation] ** 2, which)

    both = at(deepest, row < history.count), at(first, ranked.healthy & (first < ranked.depth))
    rows = Rows(*(jnp.concatenate(pair) for pair in zip(*both, strict=True)))
    kept = _selected(jnp.tile(ranked.place, 2), rows.there)
    return Rows(*(array[kept] for array in rows)), log_steps[top]


def _selected(place: jax.Array, there: jax.Array) -> jax.Array:
    """Which rows the process takes: the best ones up to half of its size, and an even selection of the others."""
    size = min(_MAX_ROWS, len(place))
    spread = (place.astype(jnp.uint32) * np.uint32(2654435769) >> 2) + 1  # multiples of the golden ratio, modulo 1
    return jnp.argsort(jnp.where(there, jnp.where(place < size // 4, np.uint32(0), spread), np.uint32(2**31)))[:size]


def candidates(
    key: jax.Array, space: Space, history: Observed, ranked: Ranking, likely: Density
) -> tuple[jax.Array, jax.Array]:
    """A pool of canonical points [P, D], and which of them are new, [P] bool."""
    likely_key, near_key, even_key = jax.random.split(key, 3)
    drawn = draw(likely_key, space, likely, _LIKELY)
    near, even = _near_elites(near_key, space, likely, ranked), Sobol()(even_key, space, None, _EVEN)
    pool = axes.canonical(space, jnp.concatenate([drawn, near, even]))
    seen = jnp.where((jnp.arange(len(ranked.order)) < history.count)[:, None], likely.centres, -1)
    return pool, axes.is_new(jnp.concatenate([seen, pool]))[len(seen) :]


def _near_elites(key: jax.Array, space: Space, likely: Density, ranked: Ranking) -> jax.Array:
    """Steps of many sizes from elites, better ones more often, in some of the dimensions: [224, D]."""
    which, size, share, *each = jnp.split(
        jax.random.uniform(key, (_NEAR, 3 + 2 * space.num_dims), jnp.float32), [1, 2, 3, 3 + space.num_dims], axis=1
    )
    moved, step = each
    number = jnp.sum(likely.member)
    place = jnp.floor(which[:, 0] ** 2 * number).astype(jnp.int32)
    elite = likely.centres[ranked.order[place]]
    length = 0.02 * 25**size  # up to half of the range
    near = elite + length * (2 * step - 1)
    near = 1 - jnp.abs(1 - jnp.abs(near))  # reflected at 0 and 1
    is_choice = np.array([options is not None for options in axes.shares(space)])
    near = jnp.where(is_choice, step, near)
    return jnp.where(moved < jnp.maximum(share, 1.5 / space.num_dims), near, elite)


def by_thompson(key: jax.Array, known: Posterior, free: jax.Array, num_points: int) -> jax.Array:
    """Indices [num_points] of the lowest candidate in each of some draws, none twice.

    Args:
        key: typed key.
        known: of P candidates.
        free: which of them may be chosen, [P] bool.
        num_points: how many.
    """
    size = len(known.mean)
    root = factor(known.covariance + 2e-3 * jnp.eye(size, dtype=jnp.float32))
    normal = jax.random.normal(key, (num_points, size), jnp.float32)
    draws = known.mean + jnp.matmul(normal, root.T, precision="highest")

    def choose(free: jax.Array, values: jax.Array) -> tuple[jax.Array, jax.Array]:
        chosen = jnp.argmin(jnp.where(free, values, jnp.inf))
        return free.at[chosen].set(False), chosen

    return jax.lax.scan(choose, free, draws)[1]


def by_improvement(known: Posterior, free: jax.Array, num_points: int) -> jax.Array:
    """Indices [num_points] chosen one after the other by the log expected improvement on the lowest mean."""
    lowest = jnp.min(known.mean)

    def choose(carry: tuple[jax.Array, jax.Array], _: None) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
        covariance, free = carry
        deviation = jnp.sqrt(jnp.maximum(jnp.diag(covariance), 1e-6))
        gain = log_improvement((lowest - known.mean) / deviation) + jnp.log(deviation)
        chosen = jnp.argmax(jnp.where(free, gain, -jnp.inf))
        column = covariance[chosen]  # a believed value changes no mean
        covariance -= column[:, None] * column / (column[chosen] + 1e-2)
        return (covariance, free.at[chosen].set(False)), chosen

    return jax.lax.scan(choose, (known.covariance, free), None, length=num_points)[1]


def log_improvement(z: jax.Array) -> jax.Array:
    """log(pdf(z) + z cdf(z)) of the standard normal distribution, by its asymptote below -4."""
    near = jnp.maximum(z, -4)
    far = jnp.minimum(z, -4)
    return jnp.where(
        z > -4,
        jnp.log(norm.pdf(near) + near * norm.cdf(near)),
        norm.logpdf(far) + jnp.log1p(-3 / (far**2 + 3)) - 2 * jnp.log(-far),
    )
