"""A search as tables, curves and pictures."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from jaxtune.results import tables
from jaxtune.results.history import History, rank_trials
from jaxtune.results.plots.axes import MISSING
from jaxtune.results.plots.search import plot_curves, plot_space
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

    def plot_curves(self, metric: str | None = None, ax: Any = None) -> Any:
        """Plot every trial's metric over steps: pruned trials faded, diverged ones crossed, the best on top.

        Args:
            metric: name of a metric; None for the one that ranks.
            ax: matplotlib Axes to draw into; None makes a figure.

        Returns:
            The Axes.

        Raises:
            ImportError: matplotlib is not installed.
            ValueError: the metric was not recorded.
        """
        name = metric or self.metric
        return plot_curves(
            self.history.step,
            self.curves(name)[name],
            [trial.status.kind for trial in self.trials],
            name=name,
            best=self._best_id,
            mode=self._mode_of(name),
            stops=self.history.steps,
            rungs=self.history.step[self.history.decided],
            ax=ax,
        )

    def plot_space(self, names: Sequence[str] | None = None, metric: str | None = None) -> Any:
        """Plot each trial's last value against each hyperparameter, coloured by steps trained.

        Args:
            names: hyperparameters, one panel each; None for those that differ between trials.
            metric: name of a metric; None for the one that ranks.

        Returns:
            Array of matplotlib Axes, one per panel.

        Raises:
            ImportError: matplotlib is not installed.
            ValueError: a hyperparameter or the metric is unknown.
        """
        name = metric or self.metric
        self.curves(name)  # raises where the metric is unknown
        known = tables.hparam_names(self.history.hparams)
        unknown = [n for n in names or () if n not in known]
        if unknown:
            raise ValueError(f"There is no hyperparameter {unknown[0]!r}; there are {listing(known)}.")
        shown = names or tables.varying(self.trials, known)
        return plot_space(
            {n: [trial.hparams.get(n, MISSING) for trial in self.trials] for n in shown},
            np.array([trial.metrics[name] for trial in self.trials]),
            self.history.steps,
            name=name,
            best=self._best_id,
            mode=self._mode_of(name),
            log_names=self.history.log_names,
        )

    @property
    def _best_id(self) -> int | None:
        """The trial that leads, if one has a finite value."""
        first = self.ranking[0]
        return first.id if np.isfinite(first.metrics[self.metric]) else None

    def _mode_of(self, name: str) -> str | None:
        """Which way a metric is better, where that is known."""
        if name in (self.metric, f"train_{self.metric}"):
            return self.mode
        return "min" if "loss" in name else None
