"""What the rules look at, computed once per result.

Shapes: T trials, E evaluations. A *cost* is a value of a metric with the sign that makes lower ones better.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from jaxtune.results.analysis.dimensions import Dimension, dimensions
from jaxtune.results.history import History
from jaxtune.results.tables import hparam_names

NUM_LEADERS = 5  # trials at the top that a finding has to hold for, by half at least: one alone may be a fluke
_MIN_HALF = 3  # evaluations in each half of a curve, below which a trend can't be told from a wiggle


class Curve(NamedTuple):
    """Costs of one trial where they are finite, along its lineage."""

    steps: np.ndarray  # int [e]
    costs: np.ndarray  # float [e]

    @property
    def is_readable(self) -> bool:
        """Whether both of its halves have evaluations enough to be compared."""
        late = int(np.sum(self.steps > self.steps[-1] / 2)) if len(self.steps) else 0
        return late >= _MIN_HALF and len(self.steps) - late >= _MIN_HALF


@dataclass(frozen=True, eq=False)
class Facts:
    """A search as its rules see it.

    Attributes:
        result: A `Result`.
    """

    result: Any

    @property
    def history(self) -> History:
        """The record."""
        return self.result.history

    @property
    def metric(self) -> str:
        """Name of the metric that ranks."""
        return self.result.metric

    @cached_property
    def winner(self) -> int | None:
        """Id of the best trial, the confirmed one where there is one; None where no trial has a finite value."""
        first = self.result.ranking[0]
        return self.result.best.id if np.isfinite(first.metrics[self.metric]) else None

    @cached_property
    def ranked(self) -> list[int]:
        """Ids of trials with a finite value, the winner first and all others as the search ranked them."""
        finite = np.isfinite(self.history.at_kept(self.metric)).all(axis=1)
        order = [one for one in self.result._order if finite[one] and one != self.winner]
        return order if self.winner is None else [self.winner, *order]

    @cached_property
    def leaders(self) -> list[int]:
        """The first few of these."""
        return self.ranked[:NUM_LEADERS]

    @cached_property
    def finalists(self) -> list[int]:
        """Those of the leaders that were trained to the end of the search, none unless the winner was."""
        done = self.history.step[self.history.last] == self.history.total_steps
        return [one for one in self.leaders if done[one]] if self.leaders and done[self.leaders[0]] else []

    @cached_property
    def explored(self) -> bool:
        """Whether hyperparameters changed during training: how a trial ended then says little about how it began."""
        return bool(self.history.schedule)

    @property
    def chosen(self) -> bool:
        """Whether what earlier trials had shown had a say in later ones: they are no independent draws then."""
        return self.explored or len(np.unique(self.history.generation)) > 1

    @cached_property
    def dimensions(self) -> list[Dimension]:
        """Hyperparameters that differ between trials and were constant in each."""
        found = dimensions(self.history.hparams, self.history.log_names, self.result.space)
        return [one for one in found if one.name not in self.history.schedule]

    @cached_property
    def numbers(self) -> list[Dimension]:
        """Those that are numbers."""
        return [one for one in self.dimensions if one.kind != "category"]

    @cached_property
    def has_learning_rate(self) -> bool:
        """Whether a hyperparameter is named like one."""
        names = [name.lower() for name in hparam_names(self.history.hparams)]
        return any("lr" in name or "learning_rate" in name for name in names)

    @cached_property
    def pair(self) -> tuple[str, str] | None:
        """Names of a metric on validation and on training data: of the one that ranks, else of the loss."""
        known = self.history.metrics
        names = [(name, f"train_{name}") for name in (self.metric, "loss")]
        return next((pair for pair in names if known.keys() >= set(pair)), None)

    def sign(self, name: str) -> float:
        """1 for a metric that is better when lower, else -1; what does not rank is a loss here."""
        return -1.0 if self.result.mode == "max" and name in (self.metric, f"train_{self.metric}") else 1.0

    @cached_property
    def _own_costs(self) -> dict[str, np.ndarray]:
        """Name -> float [T, E], of the weights that were in each trial's place."""
        found = {name: self.history.mean(name) * self.sign(name) for name in {self.metric, *(self.pair or ())}}
        return {name: np.where(np.isfinite(costs), costs, np.nan).T for name, costs in found.items()}

    @cached_property
    def _costs(self) -> dict[str, np.ndarray]:
        slots, active = self.history.slots.T, self.history.active.T
        return {
            name: np.where(active, np.take_along_axis(costs.T, slots.T, axis=1).T, np.nan)
            for name, costs in self._own_costs.items()
        }

    def costs(self, name: str | None = None) -> np.ndarray:
        """Float [T, E] of a metric, of the weights that each trial ended with; NaN where there is no finite value.

        Args:
            name: The metric that ranks, or one of the pair; None for the former.
        """
        return self._costs[name or self.metric]

    def curve(self, trial: int, name: str | None = None) -> Curve:
        """The costs of one trial, of the metric that ranks or of one of the pair."""
        costs = self.costs(name)[trial]
        known = np.isfinite(costs)
        return Curve(self.history.step[known], costs[known])

    def span(self, trial: int, name: str | None = None) -> float:
        """How far a trial brought a metric down, at least 0: the unit in which its changes are told.

        From where it stood at its first evaluation or, if that was late for it, where trials of the first generation,
        which were chosen knowing nothing, typically stood then. Ratios of values would mean nothing for accuracies and
        logarithms.
        """
        own, begin = self.curve(trial, name).costs, int(self.history.step[self.history.first[trial]])
        if not len(own):
            return 0.0
        return float(max(own[0], self._starts[name or self.metric].get(begin, own[0])) - own.min())

    @cached_property
    def _starts(self) -> dict[str, dict[int, float]]:
        """Name -> step of a first evaluation -> the typical cost there, of trials of the first generation."""
        history = self.history
        first, begin = history.generation == history.generation.min(), history.step[history.first]
        found: dict[str, dict[int, float]] = {}
        for name, costs in self._own_costs.items():
            starts = costs[np.arange(history.num_trials), history.first]
            known = first & np.isfinite(starts)
            found[name] = {int(step): float(np.median(starts[known & (begin == step)])) for step in set(begin[known])}
        return found

    def first_rung(self, own: np.ndarray) -> int:
        """Index of the last evaluation in which all trials of one generation took part, but those that diverged.

        Args:
            own: Bool [T], the trials of the generation.
        """
        healthy = own & ~self.history.failed
        return int(self.history.last[healthy if healthy.any() else own].min())

    # What rules may lack, as told to the user; None where it is there

    def lacks_curves(self) -> str | None:
        """Evaluations enough along the way of the winner."""
        curve = None if self.winner is None else self.curve(self.winner)
        if curve is None or curve.is_readable:
            return None
        num = len(curve.steps)
        return f"the winner's curve has {num} point{'s' * (num != 1)}; evaluate_every= gives more"

    def lacks_training(self) -> str | None:
        """A metric on training data."""
        names = dict.fromkeys((f"train_{self.metric}", "train_loss"))
        return None if self.pair else f"there is no {' or '.join(names)} beside the same on validation data"

    def lacks_draws(self) -> str | None:
        """Trials that are independent draws."""
        if self.explored:
            return "hyperparameters changed during training"
        return "later trials were chosen by what earlier ones had shown" if self.chosen else None

    # Of the evaluation that counts

    @cached_property
    def kept(self) -> np.ndarray:
        """Float [T, N]: values of the metric that ranks, one per seed or, of a cross-validation, per fold."""
        values, folds = self.history.at_kept(self.metric), self.result.num_folds
        return values if folds is None else values.reshape(len(values), -1, folds).mean(axis=1)

    @property
    def num_values(self) -> int:
        """N."""
        return self.kept.shape[1]

    @property
    def runs(self) -> str:
        """What these are, for sentences."""
        return "seeds" if self.result.num_folds is None else "folds"
