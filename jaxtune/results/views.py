"""A search as tables and curves."""

from __future__ import annotations

import os
from dataclasses import KW_ONLY, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from jaxtune.results import tables
from jaxtune.results.history import History, rank_trials
from jaxtune.results.text import listing
from jaxtune.results.trial import Trials, make_trials


@dataclass(eq=False, repr=False)
class Views:
    """What can be looked at, of whatever has a history and trials; see `Result` for what they are."""

    history: History
    _: KW_ONLY
    metric: str
    mode: str
    interrupted: bool = False
    ended: bool = False
    weights: dict[int, Any] = field(default_factory=dict)
    num_folds: int | None = None
    space: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        self._order = rank_trials(self.history, self.metric, self.mode)  # ids, best first

    @cached_property
    def trials(self) -> Trials:
        """All trials, by id."""
        trained = {trial: kept.trained for trial, kept in self.weights.items()}
        return make_trials(self.history, self.interrupted or self.ended, trained, self.num_folds)

    @cached_property
    def ranking(self) -> Trials:
        """All trials, best first.

        Those that competed longest come first: a pruned trial is never before one that went on, whatever it had
        reached by then. Trials that went equally far are ranked by their last value (the best one with `keep="best"`);
        diverged ones come last.
        """
        return self.trials.ordered(self._order)

    @property
    def num_runs(self) -> int:
        """Values per trial of each metric: replicates times folds."""
        return self.history.metrics[self.metric].shape[1]

    # As tables

    def records(self) -> list[dict[str, Any]]:
        """One plain dict per trial, by id: id, hyperparameters, metrics, steps, status, bracket, generation.

        With several replicates the ranking metric's standard error is `<metric>_se`. A hyperparameter that a
        trial doesn't have is None; one that is named like another column gets the prefix `hp_`. A metric that is named
        like a fixed column gets `metric_`, a standard error whose name is taken `error_`.
        """
        return tables.records(self.trials, self.history, self.metric)

    def to_dataframe(self) -> Any:
        """The `records` as a pandas DataFrame.

        Raises:
            ImportError: pandas is not installed.
        """
        return tables.dataframe(self.records(), "result.to_dataframe()", "result.records() gives plain dicts")

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write the `records` as a CSV file.

        Text that a spreadsheet would take for a formula (it starts with = + - or @) gets a leading quote.
        """
        tables.write_csv(path, self.records())

    def table(self, num: int = 10) -> list[dict[str, str]]:
        """The best trials as formatted text, one dict (heading -> cell) per row."""
        return tables.ranked(self.ranking[:num], self.history, self.metric)

    # As curves

    def curves(self, metric: str | None = None) -> dict[str, np.ndarray]:
        """Metrics over steps, averaged over replicates.

        Args:
            metric: one metric's name; None for all.

        Returns:
            {"steps": int [E], name: float [T, E]}; NaN where a trial was not in training or had diverged.

        Raises:
            ValueError: the metric was not recorded.
        """
        if metric is not None and metric not in self.history.metrics:
            raise ValueError(f"There is no metric {metric!r}; there are {listing(self.history.metrics)}.")
        names = self.history.metrics if metric is None else (metric,)
        return {name: self.history.mean(name).T for name in names} | {"steps": self.history.step}

    def curves_dataframe(self) -> Any:
        """Every evaluation of every trial as a pandas DataFrame in long format, as seaborn and `groupby` take it.

        One row per evaluation of a trial that was in training, with the columns `trial`, `replicate` (where there are
        several), `fold` (of a cross-validation), `step`, and one per metric; NaN once the trial has diverged. So
        `seaborn.lineplot(frame, x="step", y="loss", hue="trial")` shows the mean and spread over replicates, and
        `frame.join(result.to_dataframe().set_index("id")["lr"], on="trial")` adds a hyperparameter. A metric that is
        named like another column gets `metric_`.

        Raises:
            ImportError: pandas is not installed.
        """
        table = tables.curves(self.history, self.num_folds)
        return tables.dataframe(table, "result.curves_dataframe()", "result.curves() gives arrays")

    def progress(self) -> tuple[np.ndarray, np.ndarray]:
        """What the search had found for what it had spent: lane-steps int [E], best value so far float [E].

        `plt.plot(*a.progress()); plt.plot(*b.progress())` compares two searches.
        """
        values = self.history.mean(self.metric)
        values = np.where(np.isfinite(values), values, np.nan)
        better = np.fmin if self.mode == "min" else np.fmax  # these skip NaN
        best = better.reduce(values, axis=1, initial=np.nan)
        return self.history.lane_steps, better.accumulate(best)

    @property
    def _best_id(self) -> int | None:
        """The trial that leads, if one has a finite value."""
        first = self.ranking[0]
        return first.id if np.isfinite(first.metrics[self.metric]) else None
