"""What happens during a search, evaluation by evaluation, until it becomes a `History`."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jaxtune.engine.standing import Standing
from jaxtune.results.history import History


@dataclass
class Record:
    """What happened, evaluation by evaluation."""

    step: list[int] = field(default_factory=list)
    metrics: list[dict[str, np.ndarray]] = field(default_factory=list)  # name -> [R, T]
    active: list[np.ndarray] = field(default_factory=list)  # [T]
    decided: list[bool] = field(default_factory=list)
    source: list[np.ndarray] = field(default_factory=list)  # [T]
    schedule: list[dict[str, np.ndarray]] = field(default_factory=list)  # name -> [T]
    lane_steps: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)  # since it began; the time between two processes doesn't count
    widths: list[tuple[int, int]] = field(default_factory=list)  # (group, lanes at once): as chosen, and as narrowed
    _begin: float = field(default_factory=time.monotonic)

    @property
    def last_step(self) -> int:
        """Step of the last evaluation; 0 before the first."""
        return self.step[-1] if self.step else 0

    @property
    def spent(self) -> int:
        """Lane-steps spent by then."""
        return self.lane_steps[-1] if self.lane_steps else 0

    def append(
        self,
        step: int,
        metrics: dict,
        active: np.ndarray,
        decided: bool,
        spent: int,
        explored: dict,
        seconds: float | None = None,
    ) -> None:
        """Adds an evaluation, after which every trial goes on with its own weights until `source` is changed.

        Without `seconds` it was made just now; with them in another process, after which time goes on from here.
        """
        if seconds is not None:
            self._begin = time.monotonic() - seconds
        self.seconds.append(time.monotonic() - self._begin if seconds is None else seconds)
        self.step.append(step)
        self.metrics.append(metrics)
        self.active.append(active)
        self.decided.append(decided)
        self.source.append(np.arange(len(active)))
        self.schedule.append(explored)
        self.lane_steps.append(spent)

    def history(
        self, standing: Standing, rows: Sequence[dict[str, Any]], log_names: Sequence[str], steps: int
    ) -> History:
        """As arrays.

        Args:
            standing: Where the trials stand.
            rows: Their configurations at the start.
            log_names: Names of hyperparameters whose domains are logarithmic.
            steps: At which the search ends.
        """
        step = np.asarray(self.step, int)
        own_last = step[len(step) - 1 - np.argmax(np.stack(self.active)[::-1], axis=0)]
        end = step[-1] if standing.training.any() else steps
        return History(
            hparams=rows,
            log_names=tuple(log_names),
            bracket=standing.bracket,
            step=step,
            metrics={name: np.stack([m[name] for m in self.metrics]) for name in self.metrics[0]},
            active=np.stack(self.active),
            decided=np.asarray(self.decided),
            pruned=standing.pruned.astype(int),
            stopped=standing.stopped.astype(int),
            kept=np.searchsorted(step, standing.step),
            reach=np.where(standing.pruned >= 0, standing.pruned, np.where(standing.competing, end, own_last)).astype(
                int
            ),
            diverged=standing.first_diverged(np).astype(int),
            source=np.stack(self.source),
            schedule={name: np.stack([hp[name] for hp in self.schedule]) for name in self.schedule[0]},
            lane_steps=np.asarray(self.lane_steps),
            seconds=np.asarray(self.seconds),
            total_steps=np.full(len(standing.bracket), steps),
            generation=np.zeros(len(standing.bracket), int),
        )
