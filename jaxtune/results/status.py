"""How trials stand in the end."""

from __future__ import annotations

import functools

import numpy as np

from jaxtune.results.history import History


class Status(str):
    """How a trial stands: a text that can be read, compared and stored as such.

    Attributes:
        kind: "finished", "pruned", "stopped early", "diverged", "interrupted" or "in training".
        step: When that happened; None at the end of a search.

    Example:
        >>> from jaxtune.results.status import Status
        >>> Status("pruned", 200), Status("pruned", 200).kind
        ('pruned at step 200', 'pruned')
    """

    __slots__ = ("kind", "step")
    kind: str
    step: int | None

    def __new__(cls, kind: str, step: int | None = None) -> Status:
        """The text of both."""
        self = super().__new__(cls, kind if step is None else f"{kind} at step {step}")
        self.kind, self.step = kind, step
        return self

    def __getnewargs__(self) -> tuple[str, int | None]:  # type: ignore[override]  # what a pickle gives to __new__
        return self.kind, self.step


def statuses(history: History, interrupted: bool) -> list[Status]:
    """The status of each trial; `interrupted` if the search has come to an end, before its last rung or there."""
    unfinished = "interrupted" if interrupted else "in training"  # a callback sees searches that go on
    at_end = np.where(history.reach == history.total_steps, "finished", unfinished)
    columns = (history.diverged, history.pruned, history.stopped, at_end)
    return list(map(_status, *(column.tolist() for column in columns)))


@functools.lru_cache(maxsize=4096)  # a search of 100,000 trials has few different ones
def _status(diverged: int, pruned: int, stopped: int, at_end: str) -> Status:
    # A diverged trial is dropped at the next rung as well; that it diverged is the reason.
    for kind, step in (("diverged", diverged), ("pruned", pruned), ("stopped early", stopped)):
        if step >= 0:
            return Status(kind, step)
    return Status(at_end)
