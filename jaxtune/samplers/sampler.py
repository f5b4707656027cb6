"""What a sampler is, and what it may know of trials that were trained before."""

from typing import Any, NamedTuple, Protocol

import jax

from jaxtune.spaces.space import Space


class Observed(NamedTuple):
    """Trials that were trained before, H of them.

    Attributes:
        points: where they lie in the unit cube.
        values: how good they turned out; lower is better, NaN where training failed.
    """

    points: Any  # [H, D] float32
    values: Any  # [H] float


def num_observed(history: Observed | None) -> int:
    """H, or 0 without a history."""
    return 0 if history is None else len(history.points)


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
