"""`Confirm`: that the best trials of a search are trained again before one of them is called the winner."""

from dataclasses import dataclass
from typing import Any

from jaxtune.interface.counts import set_counts
from jaxtune.interface.habits import hinted


@hinted
@dataclass(frozen=True)
class Confirm:
    """Trains the best few trials of a search again, on seeds that it never used, and ranks them by that alone.

    The best of many noisy values is partly the luckiest one. For `tune(confirm=)`; see `Result.confirm`.

    Args:
        top: How many trials, at least 1.
        replicates: Seeds per trial that the budget of `top * replicates` trainings allows, at least 1: those that are
            clearly worse get fewer of them, those that can't be told from the first get more.

    Raises:
        ValueError: A number is below 1.

    Example:
        >>> import jaxtune as jt
        >>> jt.Confirm(top=4)
        Confirm(top=4, replicates=5)
    """

    top: int = 8
    replicates: int = 5

    def __post_init__(self) -> None:
        set_counts(self, "top", "replicates")

    def budget(self, together: int, top: int | None = None) -> int:
        """Trainings that there are for all trials, which get their seeds so many at a time."""
        return (self.top if top is None else top) * -(-self.replicates // together) * together


def check_confirm(confirm: Any, num_trials: int) -> None:
    """Raises unless this is None or a `Confirm` of at most so many trials."""
    if confirm is None:
        return
    if not isinstance(confirm, Confirm):
        raise TypeError(f"confirm must be None or a jt.Confirm(top=8, replicates=5), got {confirm!r}.")
    if confirm.top > num_trials:
        raise ValueError(
            f"confirm takes the best top={confirm.top} trials, but there are {num_trials}: set top={num_trials}."
        )
