"""The configurations of a study: the sampler's points, decoded. One compiled function for `tune` and `search`."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxtune import checks
from jaxtune.space import Space

SAMPLE, EXPLORE, TRAIN = range(3)  # what keys of a study are for


def study_key(key: jax.Array, purpose: int) -> jax.Array:
    """The key of one purpose, from the key of the study."""
    return jax.random.fold_in(key, purpose)


@partial(jax.jit, static_argnames=("sampler", "space", "num_points"))
def sample(key: jax.Array, *, sampler: Any, space: Space, num_points: int) -> jax.Array:
    """Points [T, D] of the unit cube that a sampler proposes for a study.

    Raises:
        ValueError: There is nothing to choose, or the sampler's points are none of the unit cube.
    """
    if space.num_dims == 0 and num_points > 1:
        raise ValueError(f"The space holds constants only, so {num_points} trials would be equal: set trials=1.")
    points = sampler(study_key(key, SAMPLE), space, None, num_points)
    checks.check_points(points, num_points, space.num_dims)
    return jnp.asarray(points, jnp.float32)


@partial(jax.jit, static_argnames="space")
def decode(unit: jax.Array, *, space: Space) -> dict[str, jax.Array]:
    """Hyperparameters, name -> [T], of points [T, D] of the unit cube; option indices of the static ones."""
    return space.decode(unit)
