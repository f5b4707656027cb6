"""What a sampler is."""

from typing import Protocol

import jax

from jaxtune.samplers.observed import Observed
from jaxtune.spaces.space import Space


class Sampler(Protocol):
    """A pure function that chooses points of the unit cube. It has no state, and can be hashed.

    One that has no more points than those of its first call, as a grid, says so by an attribute `exhaustive = True`.
    """

    def __call__(self, key: jax.Array, space: Space, history: Observed | None, num_points: int) -> jax.Array:
        """Points [num_points, D] float32 in [0, 1].

        Args:
            key: Typed key, may be traced.
            space: A space of D domains.
            history: Trials that were trained before, or None.
            num_points: How many are wanted; more are asked for, with the same key, where some are refused.
        """
        ...

    def __hash__(self) -> int:
        """Equal samplers share a compiled program."""
        ...
