"""What happens in a search as events of its log, and back from these: numbers are exact to the last bit.

A search can be read from its log alone: `Journal` makes the same record and the same standing from the events, by the
functions by which the search made them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxtune.engine import standing as standings
from jaxtune.engine.lanes import HEALTHY
from jaxtune.engine.standing import Decision, Standing
from jaxtune.results.history import History
from jaxtune.results.record import Record
from jaxtune.spaces.written import Names, value_read, value_written
from jaxtune.storage.log import numbers

Event = dict[str, Any]


class Rules(NamedTuple):
    """What tells how a standing changes."""

    metric: str
    mode: str
    keeps_best: bool
    patience: int | None


def proposed(
    standing: Standing, rows: Iterable[Mapping[str, Any]], names: Names, layouts: Sequence[Sequence[Any]]
) -> Event:
    """All trials of a generation are chosen, and how many lanes of each group are trained at once.

    Args:
        standing: At the start.
        rows: Configurations.
        names: Of what is neither number nor text in them.
        layouts: Of each group, the sizes that its population may take: (slots, width) pairs.
    """
    return {
        "event": "proposed",
        "runs": len(standing.values),
        "dtype": standing.values.dtype.name,
        "brackets": standing.bracket.tolist(),
        "points": standing.points.tolist(),
        "configurations": [{key: value_written(value, names) for key, value in row.items()} for row in rows],
        "layouts": [[[size.slots, size.width] for size in sizes] for sizes in layouts],
    }


def evaluated(
    step: int,
    metrics: Mapping[str, np.ndarray],
    training: np.ndarray,
    diverged: np.ndarray,
    decides: bool,
    lane_steps: int,
    explored: Mapping[str, np.ndarray],
    seconds: float,
) -> Event:
    """All trials in training were evaluated; R runs, T trials.

    Args:
        step: Step count.
        metrics: Name -> [R, T].
        training: [T] bool.
        diverged: [R, T], see `Standing`.
        decides: Whether a decision follows.
        lane_steps: Spent by then.
        explored: Name -> [T], hyperparameters that were explored, in force until then.
        seconds: Since the search began.
    """
    trials = np.flatnonzero(training)
    event: Event = {
        "event": "evaluated",
        "step": step,
        "lane_steps": lane_steps,
        "seconds": round(seconds, 3),
        "decides": decides,
        "trials": trials.tolist(),
        "metrics": {name: numbers(values[:, trials].tolist()) for name, values in metrics.items()},
    }
    lost = diverged[:, trials]
    if (lost != HEALTHY).any():
        event["diverged"] = lost.tolist()
    if explored:
        event["explored"] = {name: [values.dtype.name, values.tolist()] for name, values in explored.items()}
    return event


def stopped(step: int, out: np.ndarray) -> Event:
    """Trials of `out` [T] ran out of patience."""
    return {"event": "stopped", "step": step, "trials": np.flatnonzero(out).tolist()}


def decided(step: int, training: np.ndarray, source: np.ndarray, points: np.ndarray) -> Event:
    """A rung is over: see `Decision`."""
    moved = np.flatnonzero(source != np.arange(len(source)))
    event: Event = {"event": "decided", "step": step, "trials": np.flatnonzero(training).tolist()}
    if len(moved):
        event["sources"] = {str(t): int(source[t]) for t in moved}
        event["points"] = {str(t): points[t].tolist() for t in moved}
    return event


def narrowed(generation: int, group: int, width: int) -> Event:
    """Memory ran out; a group goes on with fewer lanes at once."""
    return {"event": "narrowed", "generation": generation, "group": group, "width": width}


def resumed(events: int) -> Event:
    """The search goes on from where it stood after so many events; those since then don't count any more."""
    return {"event": "resumed", "events": events}


def generations(events: Iterable[Event]) -> list[list[Event]]:
    """The events of each generation."""
    found: list[list[Event]] = []
    for event in events:
        if event["event"] == "proposed":
            found.append([])
        if found:
            found[-1].append(event)
    return found


def valid(events: Iterable[Event]) -> list[Event]:
    """The events that count."""
    found: list[Event] = []
    for event in events:
        if event["event"] == "resumed":
            del found[event["events"] :]
        found.append(event)
    return found


class Journal:
    """What events tell: a record and a standing.

    Args:
        events: The valid ones of a generation, from the first on.
        rules: Of the search.

    Attributes:
        points: [T, D], at the start.
        rows: Configurations there.
        layouts: Of each group, (slots, width) pairs.
        record: What happened.
        standing: Where trials stand.
        num_decisions: How many there were.
        past: Of each evaluation: step, and points [T, D] in force on the way there.
    """

    def __init__(self, events: Sequence[Event], rules: Rules) -> None:
        first = events[0]
        self._rules = rules
        self.rows = [{key: value_read(value) for key, value in row.items()} for row in first["configurations"]]
        self.layouts = [[(slots, width) for slots, width in sizes] for sizes in first["layouts"]]
        self.record = Record()
        self.num_decisions = 0
        self.past: list[tuple[int, np.ndarray]] = []
        num_trials = len(self.rows)
        self.points = np.asarray(first["points"], np.float32).reshape(num_trials, -1)
        bracket = np.asarray(first["brackets"], np.int32)
        self._dtype = np.dtype(first["dtype"])
        self.standing = standings.at_start(np, self.points, bracket, first["runs"], self._dtype)
        for event in events:
            tell = getattr(self, f"_{event['event']}", None)
            if tell is not None:
                tell(event)

    def history(self, rows: Sequence[dict[str, Any]], log_names: Sequence[str], steps: int) -> History:
        """What happened, as arrays; see `Record.history`."""
        return self.record.history(self.standing, rows, log_names, steps)

    def _narrowed(self, event: Event) -> None:
        def width(slots: int, before: int) -> int:
            return next(w for w in range(min(before, event["width"]), 0, -1) if slots % w == 0)

        sizes = self.layouts[event["group"]]
        self.layouts[event["group"]] = [(slots, width(slots, before)) for slots, before in sizes]

    def _evaluated(self, event: Event) -> None:
        rules, before = self._rules, self.standing
        trials, shape = np.asarray(event["trials"], int), before.values.shape
        metrics = {}
        for name, values in event["metrics"].items():
            metrics[name] = np.full(shape, np.nan, self._dtype)
            metrics[name][:, trials] = np.asarray(values, self._dtype)
        diverged = np.full(shape, HEALTHY, np.int32)
        if "diverged" in event:
            diverged[:, trials] = event["diverged"]
        explored = {name: np.asarray(values, dtype) for name, (dtype, values) in event.get("explored", {}).items()}
        step, training = event["step"], before.training
        self.past.append((step, before.points))
        self.standing, _ = standings.evaluated(
            np, before, metrics[rules.metric], diverged, step, rules.mode, rules.keeps_best
        )
        seconds = event.get("seconds", math.nan)  # which old logs don't tell
        self.record.append(step, metrics, training, event["decides"], event["lane_steps"], explored, seconds)

    def _stopped(self, event: Event) -> None:
        self.standing, _ = standings.without_patience(np, self.standing, self._rules.patience or 0, event["step"])

    def _decided(self, event: Event) -> None:
        num_trials = len(self.rows)
        training = np.isin(np.arange(num_trials), event["trials"])
        source, points = np.arange(num_trials, dtype=np.int32), self.standing.points.copy()
        for t, other in event.get("sources", {}).items():
            source[int(t)] = other
        for t, point in event.get("points", {}).items():
            points[int(t)] = point
        self.standing = standings.decided(np, self.standing, Decision(training, source, points), event["step"])
        self.record.source[-1] = self.standing.source
        self.num_decisions += 1
