"""A search as pictures."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxtune.results import tables
from jaxtune.results.analysis.dimensions import Dimension
from jaxtune.results.analysis.importance import importance
from jaxtune.results.analysis.in_force import dimensions_of
from jaxtune.results.analysis.isolation import isolation
from jaxtune.results.analysis.lineage import lineage
from jaxtune.results.analysis.standing import quality_at, quality_of
from jaxtune.results.analysis.surface import share_trials, surface
from jaxtune.results.analysis.tuning import expected_best, sample
from jaxtune.results.plots.axes import MISSING
from jaxtune.results.plots.contour import plot_contour
from jaxtune.results.plots.importance import plot_importance
from jaxtune.results.plots.isolation import plot_isolation
from jaxtune.results.plots.lineage import plot_lineage
from jaxtune.results.plots.parallel import plot_parallel
from jaxtune.results.plots.progress import plot_progress
from jaxtune.results.plots.search import plot_curves, plot_space
from jaxtune.results.text import listing
from jaxtune.results.views import Views


class Pictures(Views):
    """What can be drawn, with matplotlib, of whatever has a history and trials."""

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
        _check_list("plot_space", names)
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

    def plot_parallel(self, names: Sequence[str] | None = None, ax: Any = None) -> Any:
        """Plot every trial as a line through its hyperparameters to its place in the ranking, dark where it is good.

        Trials that diverged are thin and red; after PBT the hyperparameters are those that were last in force.

        Args:
            names: hyperparameters, in the order of the axes; None for those that differ between trials.
            ax: matplotlib Axes to draw into; None makes a figure.

        Returns:
            The Axes.

        Raises:
            ImportError: matplotlib is not installed.
            ValueError: a hyperparameter is unknown or the same in all trials.
        """
        found = self._dimensions("plot_parallel", names)
        quality, sound = quality_of(self.history, self.metric, self.mode)
        return plot_parallel(found, quality, sound, name=self.metric, best=self._best_id, ax=ax)

    def plot_importance(
        self,
        *,
        step: int | None = None,
        top: float = 0.1,
        region: float = 1.0,
        method: str = "ped_anova",
        ax: Any = None,
    ) -> Any:
        """Plot how much each hyperparameter matters, with 95 % intervals; see `jt.importance` for the numbers.

        Args:
            step: compare trials by their value at this evaluation; None for the ranking at the end.
            top: share of the trials that are the best.
            region: share of the trials that these are compared with.
            method: "ped_anova" or "fanova".
            ax: matplotlib Axes to draw into; None makes a figure.

        Returns:
            The Axes.

        Raises:
            ImportError: matplotlib, or what "fanova" needs, is not installed.
            ValueError: there are too few trials, all diverged, or an argument is out of range.
        """
        return plot_importance(importance(self, step=step, top=top, region=region, method=method), ax)

    def plot_contour(self, x: str | None = None, y: str | None = None, ax: Any = None) -> Any:
        """Plot how good places of two hyperparameters are, whatever the others were: the mean rank of trials nearby.

        Args:
            x: a hyperparameter; None for the most important one.
            y: another one; None for the most important one beside `x`.
            ax: matplotlib Axes to draw into; None makes a figure.

        Returns:
            The Axes.

        Raises:
            ImportError: matplotlib is not installed.
            ValueError: a hyperparameter is unknown or the same in all trials, there is only one, or no trial has both.
        """
        known = {one.name: one for one in self._dimensions("plot_contour", None)}
        given = [name for name in (x, y) if name is not None]
        self._dimensions("plot_contour", given)  # raises where one is unknown
        names = self._by_importance(list(known)) if len(given) < 2 else given
        pairs = itertools.product(names if x is None else [x], names if y is None else [y])
        together = ((known[a], known[b]) for a, b in pairs if a != b and share_trials(known[a], known[b]))
        first, second = next(together, (None, None))
        if first is None or second is None:
            raise ValueError(
                "plot_contour() needs two hyperparameters that differ between trials, and trials that have both; got "
                f"{listing(given or known)}."
            )
        quality, sound = quality_of(self.history, self.metric, self.mode)
        found = surface(first, second, quality)
        return plot_contour(first, second, found, sound, name=self.metric, best=self._best_id, ax=ax)

    def plot_progress(self) -> Any:
        """Plot the best value so far over the lane-steps spent.

        A second panel has the expected best of n of the trials, which says whether fewer would have done: at the last
        step to which all of the first generation were trained, since only they were trained alike and chosen
        independently. Population-based training has none.

        Returns:
            Array of matplotlib Axes, one or two.

        Raises:
            ImportError: matplotlib is not installed.

        Source: Dodge et al., Show your work: improved reporting of experimental results, EMNLP 2019.
        """
        spent, best = self.progress()
        found = sample(self.history, self.metric)
        return plot_progress(
            spent,
            best,
            name=self.metric,
            mode=self.mode,
            begins=spent[np.unique(self.history.first)[1:] - 1],
            expected=None if found is None else (found[0], expected_best(found[1], self.mode)),
        )

    def plot_isolation(self, names: Sequence[str] | None = None) -> Any:
        """Plot the best trial in each part of each hyperparameter's range: what a value costs at the others' best.

        Bars are coloured by steps trained where these differ: values at different step counts are not comparable, and
        the best of a part are those that competed longest.

        Args:
            names: hyperparameters, one panel each; None for those that differ between trials.

        Returns:
            Array of matplotlib Axes, one per panel.

        Raises:
            ImportError: matplotlib is not installed.
            ValueError: a hyperparameter is unknown or the same in all trials.

        Source: Godbole, Dahl, Gilmer, Shallue and Nado, Deep Learning Tuning Playbook, 2023.
        """
        found = self._dimensions("plot_isolation", names)
        return plot_isolation(
            [(one, isolation(one, self._order)) for one in found],
            self.history.at_kept(self.metric).mean(axis=1),
            self.history.steps,
            name=self.metric,
            mode=self.mode,
            best=self._best_id,
        )

    def plot_lineage(self, trial: int | None = None) -> Any:
        """Plot who copied whom in population-based training, and the schedules of what was explored.

        Args:
            trial: id of the trial whose way is highlighted; None for the best one.

        Returns:
            Array of matplotlib Axes: the lineage and, below it, one per explored hyperparameter.

        Raises:
            ImportError: matplotlib is not installed.
            ValueError: no trial went on from another one's weights, or there is no such trial.

        Source: Jaderberg et al., Population based training of neural networks, 2017.
        """
        history = self.history
        leading = self._order[0] if self._best_id is None else self._best_id
        chosen = leading if trial is None else trial
        if chosen not in range(history.num_trials):
            raise ValueError(f"plot_lineage(trial={trial!r}): trials have ids from 0 to {history.num_trials - 1}.")
        found = lineage(history, chosen)
        if len(found.copies) == 0:
            raise ValueError(
                "plot_lineage() is for population-based training: in this search no trial went on from the weights of "
                "another one."
            )
        return plot_lineage(
            found,
            self._order,
            quality_at(history, self.metric, self.mode),
            {name: table for name, table in history.schedule.items() if name in history.hparams[chosen]},
            name=self.metric,
            trial=chosen,
            log_names=history.log_names,
        )

    def _by_importance(self, names: list[str]) -> list[str]:
        """Names, the most important first; as they are where importances can't be known."""
        try:
            return importance(self).names
        except ValueError:
            return names

    def _dimensions(self, caller: str, names: Sequence[str] | None) -> list[Dimension]:
        """What differs between trials, or those of these names."""
        _check_list(caller, names)
        known = {one.name: one for one in dimensions_of(self.history, self.space)}
        if not known:
            raise ValueError(f"{caller}() needs a hyperparameter that differs between trials, and there is none.")
        for name in names or ():
            if name not in known:
                raise ValueError(
                    f"{caller}(): {name!r} is no hyperparameter that differs between trials; {listing(known)} do."
                )
        return list(known.values()) if names is None else [known[name] for name in names]

    def _mode_of(self, name: str) -> str | None:
        """Which way a metric is better, where that is known."""
        if name in (self.metric, f"train_{self.metric}"):
            return self.mode
        return "min" if "loss" in name else None


def _check_list(caller: str, names: Any) -> None:
    if isinstance(names, str):
        raise TypeError(f"{caller}(): names are a list, got {names!r}: write [{names!r}].")
