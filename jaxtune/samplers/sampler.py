"""What a sampler is, and what it may know of trials that were trained before."""

from typing import Any, NamedTuple, Protocol

import jax

from jaxtune.spaces.space import Space


class Observed(NamedTuple):
    """Trials that were trained before: the first `count` of H rows, of which the others are padding.

    H is a fixed capacity, so that a search that goes on compiles nothing new; E evaluations, D domains.

    Attributes:
        points: where the trials lie in the unit cube.
        values: how good they were at each evaluation, lower is better; NaN where there was none, or it failed.
        steps: how many steps had been made by each evaluation, increasing.
        errors: standard errors of `values` over replicates; NaN where a single run tells none.
        failed: whether training failed, because it diverged or the metric is undefined, at the last evaluation.
        generation: the generation that each trial was proposed in.
        count: how many rows are trials; may be traced.
    """

    points: Any  # [H, D] float32
    values: Any  # [H, E] float
    steps: Any  # [E] int32
    errors: Any  # [H, E] float
    failed: Any  # [H] bool
    generation: Any  # [H] int32
    count: Any  # [] int32


class Sampler(Protocol):
    """A pure function that chooses points of the unit cube. It has no state, and can be hashed.

    One that needs trials to learn from says how many must have succeeded by a method `num_needed(space)`. One that has
    no more points than those of its first call, as a grid, says so by an attribute `exhaustive = True`; one that is no
    function of arrays, and is called outside of compiled programs with a key that is not traced, by `on_host = True`.
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
