"""BOHB's own rule for what a model learns from, in the place of jaxtune's order of all trials."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

import jaxtune as jt


@dataclass(frozen=True)
class HighestRung:
    """TPE that looks at no trials but those of the highest rung with enough of them; a third of the points is random.

    Enough are D + 3, those that BOHB asks for. Falkner et al., "BOHB", ICML 2018, algorithm 2.
    """

    def num_needed(self, space):
        """How many trials must have succeeded before there is a model."""
        return space.num_dims + 3

    def __call__(self, key, space, history, num_points):
        """Points [num_points, D]."""
        sampler = jt.TPE(random=1 / 3)
        if history is None:
            return sampler(key, space, None, num_points)
        there = jnp.isfinite(history.values) & (jnp.arange(len(history.points)) < history.count)[:, None]
        numbers = jnp.arange(there.shape[1])
        rung = jnp.max(jnp.where(there.sum(axis=0) >= self.num_needed(space), numbers, -1))
        counts = jnp.any(there & (numbers == rung), axis=1)
        order = jnp.argsort(~counts)
        seen = history._replace(
            points=jnp.asarray(history.points)[order],
            values=jnp.where(numbers == rung, history.values, jnp.nan)[order],
            failed=jnp.zeros(len(order), bool),
            count=jnp.sum(counts),
        )
        fresh = jnp.where(history.count == 0, key, jax.random.fold_in(key, history.count))
        return sampler(fresh, space, seen, num_points)
