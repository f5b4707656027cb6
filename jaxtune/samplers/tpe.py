"""Tree-structured Parzen estimators: more points where good trials are dense and others are not."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from jaxtune.interface.habits import hinted
from jaxtune.samplers import axes
from jaxtune.samplers.density import Density, density, draw, log_density
from jaxtune.samplers.ranking import ranking
from jaxtune.samplers.sampler import Observed
from jaxtune.samplers.sobol import Sobol
from jaxtune.spaces.domains.numeric import number
from jaxtune.spaces.space import Space

_NUM_CANDIDATES = 24  # for each point
_BLOCK = 64  # points whose candidates are rated at a time


@hinted
@dataclass(frozen=True)
class TPE:
    """Proposes points that are likely under good trials and unlikely under all others.

    Trials are ordered by how deep a scheduler let them come, then by their value there; the best share of them are
    the good ones. A kernel density is fitted to these and one to the rest. Each point is the best of 24 candidates
    drawn from the good density, by the ratio of the two. Points of a batch are chosen independently, so that a whole
    generation is proposed at once; equal configurations are proposed only once. All of `Uniform`, `Integer`, `Choice`
    and conditional choices are understood. As long as less than D + 1 trials succeeded, the points are Sobol's.

    With `Hyperband` this is BOHB, but for the order: BOHB looks at the deepest rung with enough trials only. Under one
    halving after another that was measured to be worse, under Hyperband, whose last bracket trains what is random to
    the end, a little better.

    References: Bergstra et al., "Algorithms for Hyper-Parameter Optimization", NeurIPS 2011; Falkner et al., "BOHB",
    ICML 2018, for kernels over all dimensions together; Watanabe, "Tree-Structured Parzen Estimator",
    arXiv:2304.11127, for what each part of it does.

    Args:
        good: share of the trials that count as good, above 0 and below 1.
        random: share of the points that are taken from a Sobol sequence instead, from 0 to 1.

    Raises:
        TypeError: if a share is not a number.
        ValueError: if a share is out of its range.

    Example:
        >>> import jax
        >>> import jaxtune as jt
        >>> space = jt.Space.of({"lr": jt.LogUniform(1e-4, 1.0), "act": jt.Choice(("relu", "tanh"))})
        >>> jt.TPE(good=0.1)(jax.random.key(0), space, None, 5).shape
        (5, 2)
    """

    good: float = 0.15
    random: float = 0.05

    def __post_init__(self) -> None:
        good, random = number("TPE", "good", self.good), number("TPE", "random", self.random)
        if not 0 < good < 1:
            raise ValueError(f"TPE needs good above 0 and below 1, a share of the trials, got {self.good}.")
        if not 0 <= random <= 1:
            raise ValueError(f"TPE needs random from 0 to 1, a share of the points, got {self.random}.")

    def num_needed(self, space: Space) -> int:
        """How many trials must have succeeded before there is a model: D + 1."""
        return space.num_dims + 1

    def __call__(self, key: jax.Array, space: Space, history: Observed | None, num_points: int) -> jax.Array:
        """Draws points.

        Args:
            key: typed key, may be traced.
            space: the space, D domains.
            history: trials trained before; without enough of them the points are Sobol's.
            num_points: how many points; the first of many are those of few.

        Returns:
            [num_points, D] float32 in [0, 1].
        """
        spread = jnp.asarray(Sobol()(key, space, history, num_points))
        if history is None or len(history.points) < self.num_needed(space) or space.num_dims == 0:
            return spread
        random_key, model_key = jax.random.split(jax.random.fold_in(key, history.count))
        proposed = jax.lax.cond(
            ranking(history).num_healthy < self.num_needed(space),
            lambda: spread,
            lambda: _propose(model_key, space, history, spread, self.good),
        )
        is_random = jax.random.uniform(random_key, (num_points, 1), jnp.float32) < self.random
        return jnp.where(is_random, spread, proposed)


def good_and_others(space: Space, history: Observed, good: float) -> tuple[Density, Density]:
    """The densities of the best `good` share of the healthy trials, two of them at least, and of all other trials."""
    ranked = ranking(history)
    num_good = jnp.maximum(jnp.ceil(good * ranked.num_healthy).astype(jnp.int32), 2)
    points = axes.canonical(space, history.points)
    is_good = ranked.healthy & (ranked.place < num_good)
    is_other = (jnp.arange(len(points)) < history.count) & ~is_good
    return density(space, points, is_good), density(space, points, is_other)


def _propose(key: jax.Array, space: Space, history: Observed, spread: jax.Array, good: float) -> jax.Array:
    """The best of some candidates for each point, or `spread` where none is new, [num_points, D]."""
    likely, unlikely = good_and_others(space, history, good)
    candidates = axes.canonical(space, draw(key, space, likely, len(spread) * _NUM_CANDIDATES))
    seen = jnp.where((jnp.arange(len(likely.member)) < history.count)[:, None], likely.centres, -1)
    new = axes.is_new(jnp.concatenate([seen, candidates]))[len(seen) :].reshape(len(spread), _NUM_CANDIDATES)

    def best(some: tuple[jax.Array, jax.Array, jax.Array]) -> jax.Array:
        points, new, otherwise = some
        ratio = log_density(space, likely, points) - log_density(space, unlikely, points)
        return jnp.where(jnp.any(new), points[jnp.argmax(jnp.where(new, ratio, -jnp.inf))], otherwise)

    each = (candidates.reshape(len(spread), _NUM_CANDIDATES, -1), new, spread)
    return jax.lax.map(best, each, batch_size=_BLOCK)
