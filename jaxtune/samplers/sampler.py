"""What a sampler is, and what it may know of trials that were trained before."""

from typing import Any, NamedTuple, Protocol

import jax

from jaxtune.spaces.space import Space


class Observed(NamedTuple):
    """Trials that were trained before: H rows, of which the first `count` are filled.

    Attributes:
        points: [H, D] float32, where trials lie in the unit cube.
        values: [H, E] float, lower is better, at each evaluation; NaN where there was none, or it failed.
        steps: [E] int32, step counts of the evaluations, increasing.
        errors: [H, E] float, standard errors of the values over replicates; NaN where a single run tells none.
        failed: [H] bool, whether training failed: it diverged, or the metric is undefined.
        generation: [H] int32; values of different generations have other initial weights and batches.
        count: [] int32, how many rows are filled.
    """

    points: Any
    values: Any
    steps: Any
    errors: Any
    failed: Any
    generation: Any
    count: Any


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
