"""Points of the unit cube as hyperparameters, compiled."""

import functools

import jax
import numpy as np
from jax.typing import ArrayLike

from jaxtune.spaces.space import Space
from jaxtune.tasks.executables import Jitted


def decode(points: ArrayLike, *, space: Space) -> dict[str, jax.Array]:
    """Hyperparameters, key -> [T], of points [T, D] of the unit cube; option indices of the static ones."""
    return _decoding(space)(points)


@functools.lru_cache(maxsize=32)
def _decoding(space: Space) -> Jitted:
    return Jitted(space.decode)


def decoded(points: ArrayLike, space: Space) -> dict[str, np.ndarray]:
    """The same on the host."""
    return {key: np.asarray(values) for key, values in decode(points, space=space).items()}
