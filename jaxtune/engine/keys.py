"""What random keys are for: they derive from search, replicate, purpose and step, never from the trial."""

from typing import Any

import jax

SAMPLE, EXPLORE, TRAIN, GENERATION, CONFIRM = range(5)  # what a key of a search is for
INIT, ORDER, STEP, EVALUATE = range(4)  # what a key of a replicate is for


def search_key(key: jax.Array, purpose: int) -> jax.Array:
    """The key that serves one purpose of a search."""
    return jax.random.fold_in(key, purpose)


def generation_key(key: jax.Array, generation: Any) -> jax.Array:
    """The key of one generation of a search, counted from 0: for the first one that of the search."""
    later = jax.random.fold_in(search_key(key, GENERATION), generation)
    return key if isinstance(generation, int) and generation == 0 else later


def replicate_key(key: jax.Array, replicate: Any, purpose: int) -> jax.Array:
    """The key that serves one purpose in one replicate; `key` is that of training."""
    return jax.random.fold_in(jax.random.fold_in(key, replicate), purpose)
