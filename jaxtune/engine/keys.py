"""What random keys are for: they derive from search, replicate, purpose and step, never from the trial."""

from typing import Any

import jax

SAMPLE, EXPLORE, TRAIN = range(3)  # what a key of a search is for
INIT, ORDER, STEP, EVALUATE = range(4)  # what a key of a replicate is for


def search_key(key: jax.Array, purpose: int) -> jax.Array:
    """The key that serves one purpose of a search."""
    return jax.random.fold_in(key, purpose)


def replicate_key(key: jax.Array, replicate: Any, purpose: int) -> jax.Array:
    """The key that serves one purpose in one replicate; `key` is that of training."""
    return jax.random.fold_in(jax.random.fold_in(key, replicate), purpose)
