"""What samplers may know of trials that were trained before."""

from typing import Any, NamedTuple


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
