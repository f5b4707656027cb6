"""What single hyperparameters do to a metric around a baseline, as tables, text and pictures."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jaxtune.interface.signatures import given_back
from jaxtune.results.plots.practice import plot_sensitivity
from jaxtune.results.result import Result
from jaxtune.results.text import short
from jaxtune.results.trial import Trial


@given_back
@dataclass(frozen=True, eq=False)
class Point:
    """The baseline with another value of one hyperparameter.

    Attributes:
        value: of the hyperparameter.
        trial: what became of it; the baseline's own trial where the value is that of the baseline.
        mean: the metric, mean over replicates; NaN if it diverged.
        difference: `mean` minus that of the baseline.
        low: lower end of the confidence interval of the difference.
        high: upper end.
    """

    value: Any
    trial: Trial = field(repr=False)
    mean: float
    difference: float
    low: float
    high: float

    @property
    def diverged(self) -> bool:
        """Whether it has no finite mean."""
        return not np.isfinite(self.mean)


@given_back
@dataclass(frozen=True, eq=False)
class Effect:
    """What one hyperparameter does to the metric.

    Attributes:
        name: the hyperparameter.
        size: range of the mean metric over its points that did not diverge.
        low: lower end of the confidence interval of the size, at least 0.
        high: upper end; of a metric in [0, 1], such as an accuracy, at most 1.
        best: the value with the best mean.
        points: in the order of the domain, that of the baseline among them.
    """

    name: str
    size: float
    low: float
    high: float
    best: Any
    points: tuple[Point, ...] = field(repr=False)

    @property
    def diverged(self) -> tuple[Any, ...]:
        """Values at which training diverged."""
        return tuple(point.value for point in self.points if point.diverged)


@given_back
@dataclass(frozen=True, eq=False)
class Sensitivity:
    """Effects of single hyperparameters around a baseline.

    Attributes:
        metric: what was measured.
        mode: "min" or "max".
        baseline: hyperparameters of the baseline.
        value: the metric there, mean over replicates.
        confidence: level of all intervals.
        effects: one per hyperparameter, the largest first.
        result: the search behind it; trial 0 is the baseline.
        steps: that every trial has been trained for: fewer than wanted if it was stopped early (Ctrl-C).
    """

    metric: str
    mode: str
    baseline: dict[str, Any]
    value: float
    confidence: float
    effects: tuple[Effect, ...] = field(repr=False)
    result: Result = field(repr=False)
    steps: int
    _log_names: tuple[str, ...] = field(repr=False)
    _bounds: tuple[float, float] = field(repr=False)  # of the metric

    def __getitem__(self, name: str) -> Effect:
        """The effect of one hyperparameter."""
        for effect in self.effects:
            if effect.name == name:
                return effect
        raise KeyError(f"No effect of {name!r} was measured, only of {', '.join(e.name for e in self.effects)}.")

    def table(self) -> list[dict[str, Any]]:
        """One dict per hyperparameter, the largest effect first: its size with interval, and its best value."""
        return [
            {
                "hyperparameter": effect.name,
                "effect": effect.size,
                "low": effect.low,
                "high": effect.high,
                "baseline": self.baseline[effect.name],
                "best": effect.best,
                "diverged": len(effect.diverged),
                "points": len(effect.points),
            }
            for effect in self.effects
        ]

    def records(self) -> list[dict[str, Any]]:
        """One dict per point: the mean, and its difference from the baseline with interval."""
        return [
            {
                "hyperparameter": effect.name,
                "value": point.value,
                self.metric: point.mean,
                "difference": point.difference,
                "low": point.low,
                "high": point.high,
                "status": point.trial.status,
            }
            for effect in self.effects
            for point in effect.points
        ]

    def plot(self) -> Any:
        """Draws one panel per hyperparameter, the largest effect first: the metric over its values.

        Returns:
            Array of matplotlib Axes.

        Raises:
            ImportError: matplotlib is not installed.
        """
        return plot_sensitivity(
            {effect.name: self._panel(effect) for effect in self.effects},
            name=self.metric,
            baseline=self.value,
            titles=[f"effect {_with_interval(effect)}" for effect in self.effects],
            mode=self.mode,
            log_names=self._log_names,
        )

    def _panel(self, effect: Effect) -> dict[str, list[Any]]:
        points = effect.points
        return {
            "value": [point.value for point in points],
            "mean": [point.mean for point in points],
            "low": [max(self.value + point.low, self._bounds[0]) for point in points],
            "high": [min(self.value + point.high, self._bounds[1]) for point in points],
            "baseline": [point.trial.id == 0 for point in points],
        }

    def __repr__(self) -> str:
        head = f"Sensitivity of {self.metric} ({self.mode}), {short(self.value, 4)} at the baseline"
        head += (
            f"; {100 * self.confidence:g} % intervals over {self.result.trials[0].replicates[self.metric].size} seeds"
        )
        if self.result.interrupted:
            total = np.max(self.result.history.total_steps)
            head += f"\n  interrupted: these are effects on {self.steps} steps of training, not on {total}"
        width = max(len(effect.name) for effect in self.effects)
        lines = [
            f"  {effect.name:{width}}  effect {_with_interval(effect)}, best at {short(effect.best)}"
            + (f", diverged at {', '.join(map(short, effect.diverged))}" if effect.diverged else "")
            for effect in self.effects
        ]
        span = self._bounds[1] - self._bounds[0]
        if any(effect.high == span for effect in self.effects):
            lines.append(f"  intervals end at {span:g}, which {self.metric} can't exceed: more replicates shorten them")
        return "\n".join([head, *lines])


def _with_interval(effect: Effect) -> str:
    return f"{short(effect.size)} [{short(effect.low)}, {short(effect.high)}]"
