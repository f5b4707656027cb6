"""What single hyperparameters do to a metric around a baseline, as tables, text and pictures."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jaxtune.interface.entry import given_back
from jaxtune.results.plots import axes
from jaxtune.results.plots.style import BEST, BLUE, DOTTED, crosses, key, panels
from jaxtune.results.result import Result
from jaxtune.results.text import labels, short
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

        Error bars are confidence intervals of the difference from the baseline, so they tell whether a value differs
        from the dotted line, not how exactly its mean is known. Diverged points are crosses.

        Returns:
            Array of matplotlib Axes.

        Raises:
            ImportError: matplotlib is not installed.
        """
        with panels(len(self.effects), 2.9, 3.1, self.metric) as (figure, shown):
            limits = self._scale(shown[0])
            for ax, effect in zip(shown, self.effects, strict=True):
                self._draw(ax, effect, worst=limits[0] if self.mode == "max" else limits[1])
                ax.set_title(f"effect {_with_interval(effect)}", fontsize=9.5)
            key(figure, sum(len(effect.diverged) for effect in self.effects), "baseline", color=BEST, ms=6)
        return shown

    def _scale(self, ax: Any) -> tuple[float, float]:
        """Scale the y axis: all means, and error bars as far as they are not much longer than the means lie apart."""
        means = [self.value, *(point.mean for effect in self.effects for point in effect.points)]
        low, high = float(np.nanmin(means)), float(np.nanmax(means))
        if low > 0 and high > 10 * low:
            ax.set_yscale("log")
            margin = (high / low) ** 0.08
            limits = low / margin, high * margin
        else:
            ends = np.concatenate([self._ends(effect) for effect in self.effects], axis=None)
            spread = (high - low) or 0.1 * abs(high) or 1.0
            reached = np.append(np.clip(ends, low - 0.5 * spread, high + 0.5 * spread), [low, high])
            limits = float(np.nanmin(reached)) - 0.06 * spread, float(np.nanmax(reached)) + 0.06 * spread
        ax.set_ylim(limits)
        return limits

    def _draw(self, ax: Any, effect: Effect, worst: float) -> None:
        """One panel; diverged points are crosses at the edge on which the worst ones lie."""
        points = effect.points
        x = _positions(ax, [point.value for point in points], effect.name in self._log_names)
        mean, (low, high) = np.array([point.mean for point in points]), self._ends(effect)
        fine, own = np.isfinite(mean), np.array([point.trial.id == 0 for point in points])
        ax.axhline(self.value, color="#4A5568", **DOTTED)
        ax.plot(x[fine], mean[fine], color=BLUE, linewidth=1.2, alpha=0.5, zorder=2)
        bars, style = np.abs(np.stack((mean - low, high - mean))), {"elinewidth": 1.2, "capsize": 2.5, "zorder": 3}
        for kind, colour, size in ((fine & ~own, BLUE, 4.5), (fine & own, BEST, 6.0)):
            ax.errorbar(x[kind], mean[kind], bars[:, kind], fmt="o", color=colour, ms=size, **style)
        crosses(ax, x[~fine], np.full((~fine).sum(), worst))
        ax.set_xlabel(effect.name)

    def _ends(self, effect: Effect) -> np.ndarray:
        """Float [2, P]: where the error bars of its points end."""
        return np.clip(self.value + np.array([(point.low, point.high) for point in effect.points]).T, *self._bounds)

    def __repr__(self) -> str:
        head = f"Sensitivity of {self.metric} ({self.mode}), {short(self.value, 4)} at the baseline"
        seeds = self.result.trials[0].replicates[self.metric].size
        head += f"; {100 * self.confidence:g} % intervals over {seeds} seeds"
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


def _positions(ax: Any, values: Sequence[Any], log: bool) -> np.ndarray:
    """Scale the x axis of a panel; returns where its values lie."""
    if all(map(axes.has_place, values)):
        axes.scale_numbers(ax, values, log)
        return np.asarray(values, float)
    axes.label_places(ax, range(len(values)), labels(values, longest=20), len(values))
    return np.arange(len(values), dtype=float)
