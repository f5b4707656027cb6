"""`Confirmation`: the best trials of a search as they did on fresh seeds."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from jaxtune.interface.entry import given_back
from jaxtune.interface.habits import Answering
from jaxtune.results import tables
from jaxtune.results.chosen import Chosen
from jaxtune.results.confirming.race import Race
from jaxtune.results.confirming.rounds import Confirmed
from jaxtune.results.history import standard_error
from jaxtune.results.text import short, with_error
from jaxtune.results.trial import Status, Trial

_COLUMNS = "trial", "seeds", "difference", "low", "high", "seen", "failed"


class _Candidate(NamedTuple):
    """One of the trials, in numbers: NaN where there are none."""

    trial: Trial
    seeds: int
    mean: float
    error: float
    difference: float  # how much worse than the first
    low: float
    high: float
    failed: bool


@given_back
@dataclass(eq=False, repr=False)
class Confirmation(Chosen, Answering):
    """The best trials of a search, trained again on seeds that it never used, and ranked by these alone.

    The winner: `best` (a Trial, with the weights of all its fresh seeds), `test()`, `gap()`, `refit()`, as a result has
    them. All of them: `records()`, `table()`, `to_dataframe()`; in text and notebooks the object itself. For later:
    `result`.

    Attributes:
        metric: Name of the metric that ranks.
        mode: "min" or "max", which way it is better.
        num_folds: Of a cross-validation, else None.
        history: Of the search.
    """

    _result: Any  # of the search
    _confirmed: Confirmed
    _tested: dict[str, np.ndarray] | None = None

    def __post_init__(self) -> None:
        result = self._result
        self.metric, self.mode, self.num_folds, self.history = (
            result.metric,
            result.mode,
            result.num_folds,
            result.history,
        )

    @property
    def interrupted(self) -> bool:
        """Whether it ended before all seeds were trained (Ctrl-C, time_limit)."""
        return self._confirmed.interrupted

    @property
    def num_tests(self) -> int:
        """How often the test split of the search was looked at."""
        return self._result.num_tests

    @property
    def num_trials(self) -> int:
        """How many trials were trained again."""
        return len(self._confirmed.trials)

    @property
    def num_seeds(self) -> int:
        """How many seeds the first one got."""
        return int(self._confirmed.seeds[self._race.order[0]])

    @property
    def has_winner(self) -> bool:
        """Whether a trial went through all of its fresh seeds; else `best` is what the search saw."""
        return not self._race.lost.all() and bool(self._race.seeds.any())

    @property
    def is_separable(self) -> bool | None:
        """Whether the first is better than the second beyond chance; None where one seed, or one trial, can't tell."""
        return self._race.is_separable

    @property
    def ranking(self) -> list[int]:
        """Ids of the trials, best first: by how long they got seeds, then by their mean; those that failed last."""
        return [int(self._confirmed.trials[n]) for n in self._race.order]

    @property
    def result(self) -> Any:
        """That of the search with the confirmed winner as its best, as after `tune(confirm=)`; it can be saved."""
        return replace(self._result, confirmed=self._confirmed)

    @cached_property
    def best(self) -> Trial:
        """The winner, with the values and the weights of its fresh seeds; that of the search where all failed."""
        if not self.has_winner:
            return self._seen
        values = self._values(self._race.order[0])
        return replace(
            self._seen,
            metrics={name: float(x.mean()) for name, x in values.items()},
            replicates={name: x[:, 0] if self.num_folds is None else x for name, x in values.items()},
            standard_error={name: float(standard_error(x.ravel(), self.num_folds)) for name, x in values.items()},
            status=Status("finished"),
            steps=self._confirmed.steps,
            best_step=self._confirmed.step,
            lineage=((0, self._seen.id),),
            states=None if self.winner is None else self.winner.trained.states,
            _trained=None if self.winner is None else self.winner.trained,
        )

    @property
    def winner(self) -> Any:
        """Its weights, with its search; None where these are not at hand."""
        return self._confirmed.winner if self.has_winner else self._result.weights.get(self._seen.id)

    @property
    def _seen(self) -> Trial:
        return self._result.trials[self.ranking[0] if self.has_winner else int(self._confirmed.trials[0])]

    def _count_test(self) -> None:
        self._result._count_test()

    def _candidates(self) -> np.ndarray:
        return self._result._candidates()

    @cached_property
    def _race(self) -> Race:
        return self._confirmed.race(self.metric, self.mode)

    def _values(self, candidate: int) -> dict[str, np.ndarray]:
        """Name -> [S, F], on the seeds that it got."""
        count = self._confirmed.seeds[candidate]
        return {name: x[:count, :, candidate] for name, x in self._confirmed.metrics.items()}

    # As tables

    def records(self) -> list[dict[str, Any]]:
        """One plain dict per trial, best first.

        Keys: `trial`, its hyperparameters, `seeds` (how many it got), the metric (mean over these) and `<metric>_se`
        (its standard error), `difference` (how much worse than the first on the seeds of both, positive whichever way
        the metric is better), the interval of that from `low` to `high` (in 95 % of confirmations all intervals hold
        their true differences), `seen` (the value in the search), and `failed` (it diverged, or was undefined, on some
        seed). Names that collide get the prefixes of `Result.records`.
        """
        taken = set(_COLUMNS)
        metric, error = tables.headings([self.metric, f"{self.metric}_se"], "metric_", taken).values()
        hparams = [one.trial.hparams for one in self._candidates_in_order]
        names = tables.headings(tables.hparam_names(hparams), "hp_", taken)
        return [
            {"trial": one.trial.id}
            | {column: one.trial.hparams.get(name) for name, column in names.items()}
            | {"seeds": one.seeds, metric: one.mean, error: one.error}
            | {"difference": one.difference, "low": one.low, "high": one.high}
            | {"seen": one.trial.metrics[self.metric], "failed": one.failed}
            for one in self._candidates_in_order
        ]

    @cached_property
    def _candidates_in_order(self) -> list[_Candidate]:
        race, found = self._race, []
        for trial, n in zip(self.ranking, race.order, strict=True):
            values = self._values(n)[self.metric].mean(axis=1)
            failed, nothing = bool(race.lost[n]), math.nan
            difference, low, high = nothing, nothing, nothing
            if n != race.order[0] and not failed and len(values):
                difference, (low, high) = race.difference(n)[0], race.interval(n)
            mean = float(values.mean()) if len(values) and not failed else nothing
            error = nothing if failed else float(standard_error(values))
            one = self._result.trials[trial], int(self._confirmed.seeds[n]), mean, error, difference, low, high, failed
            found.append(_Candidate(*one))
        return found

    def table(self) -> list[dict[str, str]]:
        """The trials as formatted text, best first, one dict (heading -> cell) per row."""
        taken = {"rank", "trial", "seeds", "worse by", "seen"}
        metric = tables.headings([self.metric], "metric_", taken)[self.metric]
        return [
            {"rank": str(rank), "trial": str(one.trial.id), "seeds": str(one.seeds)}
            | {metric: "failed" if one.failed else with_error(one.mean, one.error)}
            | {"worse by": _with_interval(one), "seen": short(one.trial.metrics[self.metric], 4)}
            | {f"hp {name}": short(value) for name, value in one.trial.hparams.items()}
            for rank, one in enumerate(self._candidates_in_order, start=1)
        ]

    def to_dataframe(self) -> Any:
        """The `records` as a pandas DataFrame.

        Raises:
            ImportError: pandas is not installed.
        """
        return tables.dataframe(
            self.records(), "confirmation.to_dataframe()", "confirmation.records() gives plain dicts"
        )

    # As text

    def __str__(self) -> str:
        lines = [
            f"  {rank}. trial {one.trial.id}: {self._words(one)}"
            for rank, one in enumerate(self._candidates_in_order, start=1)
        ]
        hparams = ", ".join(f"{name}={short(value)}" for name, value in self.best.hparams.items())
        return "\n".join([self._head(), *lines, f"  {self.verdict}", f"    {hparams}"])

    __repr__ = __str__

    def _head(self) -> str:
        counts, budget = self._confirmed.seeds, self._confirmed.budget
        each = f"{counts.min()} to {counts.max()}" if counts.min() < counts.max() else f"{counts.max()}"
        cut = ", interrupted" if self.interrupted else ""
        who, seeds = _number(len(counts), "trial"), "fresh seed" if counts.max() == 1 else "fresh seeds"
        return f"Confirmation: {who} on {each} {seeds} ({counts.sum()} of {budget} trainings{cut})"

    def _words(self, one: _Candidate) -> str:
        seen = f"the search saw {short(one.trial.metrics[self.metric], 4)}"
        if not one.seeds:
            return seen
        value = f"{self.metric} {with_error(one.mean, one.error)}" if not one.failed else "failed"
        worse = "" if math.isnan(one.difference) else f", worse by {_with_interval(one)}"
        return f"{value} on {_number(one.seeds, 'seed')}{worse}; {seen}"

    @property
    def verdict(self) -> str:
        """Whether the winner is better than the others beyond chance, in a sentence or two."""
        race, found = self._race, self._candidates_in_order
        failed = [str(one.trial.id) for one in found if one.failed]
        if not self._confirmed.seeds.any():
            return f"No seed was trained to its end: trial {self._seen.id} is what the search saw as the best."
        if len(failed) == len(found):
            return (
                f"All {len(found)} trials failed on fresh seeds (diverged, or {self.metric} was undefined): trial "
                f"{self._seen.id} stays the winner that the search saw, and is not to be trusted."
            )
        also = f" Trial{'s' * (len(failed) > 1)} {', '.join(failed)} failed on a fresh seed." if failed else ""
        first, *others = (one for one in found if not one.failed)
        if not others:
            return f"Only trial {first.trial.id} was confirmed.{also}"
        second = others[0]
        if race.is_separable is None:
            return (
                f"One seed can't tell whether trial {first.trial.id} is better than trial {second.trial.id}: confirm "
                f"with more replicates.{also}"
            )
        if race.is_separable:
            return f"Trial {first.trial.id} is better than trial {second.trial.id} beyond chance.{also}"
        near = [one for one in others if one.low <= 0 and one.seeds == first.seeds] or [second]
        more = f" and {len(near) - 1} more" if len(near) > 1 else ""
        return (
            f"Trial {first.trial.id} can't be distinguished from trial {near[0].trial.id}{more}: take any of them, or "
            f"confirm with more replicates.{also}"
        )

    def _repr_html_(self) -> str:
        """The table, for notebooks."""
        text = html.escape(f"{self._head()}\n{self.verdict}")
        return f"<div><pre>{text}</pre>{tables.as_html(self.table())}</div>"


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"


def _with_interval(one: _Candidate) -> str:
    if math.isnan(one.difference):
        return ""
    return f"{short(one.difference)}" + ("" if math.isnan(one.low) else f" [{short(one.low)}, {short(one.high)}]")
