"""What happens during a search, evaluation by evaluation, until it becomes a `History`."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

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
    widths: list[tuple[int, int]] = field(default_factory=list)  # (group, lanes at once): as chosen, and as narrowed

    @property
    def last_step(self) -> int:
        """Step of the last evaluation; 0 before the first."""
        return self.step[-1] if self.step else 0

    @property
    def spent(self) -> int:
        """Lane-steps spent by then."""
        return self.lane_steps[-1] if self.lane_steps else 0

    def append(self, step: int, metrics: dict, active: np.ndarray, decided: bool, cost: int, explored: dict) -> None:
        """Adds an evaluation, after which every trial goes on with its own weights until `source` is changed."""
        self.step.append(step)
        self.metrics.append(metrics)
        self.active.append(active)
        self.decided.append(decided)
        self.source.append(np.arange(len(active)))
        self.schedule.append(explored)
        self.lane_steps.append(cost + self.spent)

    def history(self, **rest: Any) -> History:
        """As arrays."""
        return History(
            step=np.asarray(self.step, int),
            metrics={name: np.stack([m[name] for m in self.metrics]) for name in self.metrics[0]},
            active=np.stack(self.active),
            decided=np.asarray(self.decided),
            source=np.stack(self.source),
            schedule={name: np.stack([hp[name] for hp in self.schedule]) for name in self.schedule[0]},
            lane_steps=np.asarray(self.lane_steps),
            **rest,
        )
