"""What happens in a running search, for whoever wants to listen."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from jaxtune.interface.warning import warn


@dataclass(frozen=True)
class Started:
    """All trials have their initial weights, or are about to get them."""

    trials: int
    lane_steps: int  # that the search will spend
    steps: int  # of a full training


@dataclass(frozen=True)
class Progressed:
    """Trials were trained for a while, at most about a second."""

    lane_steps: int  # spent so far
    step: int
    phase: str  # what is trained towards, such as "rung 2/5"
    training: int  # trials
    best: float | None  # value of the trial that leads
    metric: str


@dataclass(frozen=True)
class Evaluated:
    """All trials in training were evaluated; R runs, T trials."""

    step: int
    metrics: Mapping[str, np.ndarray]  # name -> [R, T], NaN for trials not in training
    training: np.ndarray  # [T] bool
    diverged: np.ndarray  # [R, T] int32, see `Standing`
    decides: bool  # whether a decision follows
    lane_steps: int  # spent by then
    explored: Mapping[str, np.ndarray]  # name -> [T], hyperparameters that were explored, in force until then
    seconds: float  # since the search began


@dataclass(frozen=True)
class Decided:
    """A rung is over."""

    step: int
    training: np.ndarray  # [T] bool: who goes on
    source: np.ndarray  # [T] int32: from whose weights
    points: np.ndarray  # [T, D]: with which hyperparameters


@dataclass(frozen=True)
class Stopped:
    """Trials ran out of patience."""

    step: int
    out: np.ndarray  # [T] bool: which


@dataclass(frozen=True)
class Reached:
    """A moment at which a search can be saved."""

    step: int
    size: int  # bytes of arrays, about
    rung: bool  # a decision was made just now
    fetch: Callable[[], tuple[dict[str, Any], dict[str, dict[str, Any]]]]  # where it stands, and arrays by part
    last: bool  # it ends here


@dataclass(frozen=True)
class Narrowed:
    """Memory ran out; a group goes on with fewer lanes at once."""

    generation: int
    group: int  # its number in that
    trials: np.ndarray  # its trials
    width: int


@dataclass(frozen=True)
class Interrupted:
    """The search ends before its plan does."""

    step: int | None  # of the last evaluation
    reason: str


@dataclass(frozen=True)
class Finished:
    """The search is over, interrupted or not."""

    result: Any  # a `Result`


Event: TypeAlias = Started | Progressed | Evaluated | Stopped | Decided | Reached | Narrowed | Interrupted | Finished
Listener: TypeAlias = Callable[[Event], None]


class Stream:
    """Tells listeners what happens. One that fails is reported once and hears nothing more: the search goes on.

    Example:
        >>> from jaxtune.monitoring.events import Decided, Stream
        >>> heard = []
        >>> tell = Stream([heard.append])
        >>> tell(Decided(10, training=None, source=None, points=None))
        >>> heard[0].step
        10
    """

    def __init__(self, listeners: Iterable[Listener] = ()) -> None:
        self._listeners = list(listeners)

    def __call__(self, event: Event) -> None:
        """Tells all of them."""
        for listener in tuple(self._listeners):
            try:
                listener(event)
            except Exception as error:
                self._listeners.remove(listener)
                name = getattr(listener, "__name__", type(listener).__name__)
                warn(f"{name} failed while it listened to the search, and hears nothing more: {error!r}.")
