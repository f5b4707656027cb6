"""Which trials were better than which, though they were evaluated after different numbers of steps.

Shapes: H rows, E evaluations.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxtune.samplers.sampler import Observed


class Ranking(NamedTuple):
    """The rows of an `Observed` in order.

    Attributes:
        order: rows, best first: healthy trials, then failed ones, then padding.
        place: of each row in that order.
        depth: the index of each row's deepest evaluation that has a value, -1 where none has.
        healthy: whether each row is a trial that did not fail and has a value.
        num_healthy: how many.
    """

    order: jax.Array  # [H] int32
    place: jax.Array  # [H] int32
    depth: jax.Array  # [H] int32
    healthy: jax.Array  # [H] bool
    num_healthy: jax.Array  # [] int32


def ranking(history: Observed) -> Ranking:
    """Orders trials by how deep they came, then by their value there, lower first; failed ones come last.

    Whoever was pruned was worse than those that went on; so this is an order of all trials, though values after
    different numbers of steps can't be compared. Ties keep the order of the rows.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxtune.samplers.ranking import ranking
        >>> from jaxtune.samplers.sampler import Observed
        >>> nan, rows = jnp.nan, 3
        >>> values = jnp.array([[0.5, nan], [0.9, 0.4], [nan, nan]])
        >>> failed, steps = jnp.array([False, False, True]), jnp.array([1, 4])
        >>> none = jnp.zeros((3, 1)), jnp.zeros(3, int)
        >>> history = Observed(none[0], values, steps, values * nan, failed, none[1], 3)
        >>> ranking(history).order.tolist()
        [1, 0, 2]
    """
    values = jnp.asarray(history.values)
    real = jnp.arange(len(values)) < history.count
    there = jnp.isfinite(values)
    depth = jnp.max(jnp.where(there, jnp.arange(values.shape[1]), -1), axis=1, initial=-1).astype(jnp.int32)
    healthy = real & (depth >= 0) & ~jnp.asarray(history.failed)
    value = jnp.take_along_axis(values, jnp.maximum(depth, 0)[:, None], axis=1)[:, 0]
    keys = (jnp.where(healthy, value, 0.0), jnp.where(healthy, -depth, 0), ~healthy, ~real)  # the last one first
    order = jnp.lexsort(keys).astype(jnp.int32)
    place = jnp.zeros_like(order).at[order].set(jnp.arange(len(order), dtype=jnp.int32))
    return Ranking(order, place, depth, healthy, jnp.sum(healthy, dtype=jnp.int32))
