"""What a search hands back: its record as arrays, one `Trial` per configuration, and the `Result` over them.

Everything here is host-side numpy, computed from one `History`; nothing trains, compiles or decides.

Shapes: T trials, R replicates, E evaluations in the order they were made. Evaluation e closes the *interval*
of training that ends at step count `step[e]`; a decision (prune, exploit) may follow it.
"""

from __future__ import annotations

import csv
import html
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune import plots


@dataclass(frozen=True, eq=False)
class History:
    """The record of a search, written row by row while it runs.

    Attributes:
        hparams: one dict of plain Python values per trial, as at the start of the trial; length T.
        log_names: names of the hyperparameters whose domain is logarithmic.
        bracket: int [T], the set of trials this one is ranked among.
        step: int [E], number of steps made by then (one counter serves all trials).
        metrics: name -> float [E, R, T]; NaN where the trial was not in training.
        active: bool [E, T], the trial was in training at that evaluation.
        decided: bool [E], the scheduler decided there; true for the last row of a search that finishes.
        pruned: int [T], step count of the rung that pruned the trial, or -1.
        diverged: int [T], first step (from 0) with a non-finite loss or metric in any replicate, or -1. A
            metric that is non-finite at an evaluation counts for the last step before it, `step[e] - 1`.
        source: int [E, T], after evaluation e trial t went on from the weights of trial `source[e, t]`.
        schedule: name -> float [E, T], value of an explored hyperparameter during the interval that *ends* at
            e; empty when the scheduler never explores.
        lane_steps: int [E], lane-steps spent so far.
    """

    hparams: tuple[dict[str, Any], ...]
    log_names: tuple[str, ...]
    bracket: np.ndarray  # int [T]
    step: np.ndarray  # int [E]
    metrics: dict[str, np.ndarray]  # float [E, R, T]
    active: np.ndarray  # bool [E, T]
    decided: np.ndarray  # bool [E]
    pruned: np.ndarray  # int [T]
    diverged: np.ndarray  # int [T]
    source: np.ndarray  # int [E, T]
    schedule: dict[str, np.ndarray]  # float [E, T]
    lane_steps: np.ndarray  # int [E]

    @property
    def num_trials(self) -> int:
        """T."""
        return len(self.hparams)

    @property
    def num_evaluations(self) -> int:
        """E."""
        return len(self.step)

    @cached_property
    def lost(self) -> np.ndarray:
        """Bool [E, T]: the weights of the trial had diverged by evaluation e.

        PBT may overwrite a diverged trial with a healthy one; from then on it counts as healthy.
        """
        late = (self.diverged >= 0) & (self.step[:, None] > self.diverged)  # [E, T]
        replaced = late & (self.source != np.arange(self.num_trials))
        before = np.zeros_like(replaced)
        before[1:] = np.logical_or.accumulate(replaced, axis=0)[:-1]
        return late & ~before

    @cached_property
    def last(self) -> np.ndarray:
        """Int [T]: index of the trial's last evaluation, -1 if it was never evaluated."""
        if self.num_evaluations == 0:
            return np.full(self.num_trials, -1)
        latest = self.num_evaluations - 1 - np.argmax(self.active[::-1], axis=0)
        return np.where(self.active.any(axis=0), latest, -1)

    @cached_property
    def failed(self) -> np.ndarray:
        """Bool [T]: the trial ended diverged."""
        failed = self.diverged >= 0
        if self.num_evaluations == 0:
            return failed
        replaced = ~self.lost & (
            self.step[:, None] > self.diverged
        )  # [E, T]: evaluated healthy after it diverged
        return failed & ~(self.active & replaced).any(axis=0)

    def values(self, name: str) -> np.ndarray:
        """Float64 [E, R, T] of one metric, NaN where the trial was not training or had diverged."""
        keep = (self.active & ~self.lost)[:, None, :]
        return np.where(keep, np.asarray(self.metrics[name], dtype=np.float64), np.nan)

    def mean(self, name: str) -> np.ndarray:
        """Float64 [E, T]: mean over the replicates; one non-finite replicate makes the mean non-finite."""
        with np.errstate(invalid="ignore"):  # inf - inf is a fact about the trial, not a numerical accident
            return self.values(name).mean(axis=1)

    @cached_property
    def slots(self) -> np.ndarray:
        """Int [E, T]: the trial in whose place the weights that trial t ended with were during interval e."""
        own = np.arange(self.num_trials)
        slots = np.tile(own, (self.num_evaluations, 1))
        for e in range(self.num_evaluations - 2, -1, -1):
            came_from = self.source[e, slots[e + 1]]
            slots[e] = np.where(e < self.last, came_from, own)
        return slots


@dataclass(frozen=True)
class PiecewiseConstant:
    """A hyperparameter's value over the steps of a trial, as an Optax-compatible schedule.

    `values[i]` holds from step `boundaries[i - 1]` up to but not including `boundaries[i]`. Equal by value
    and hashable, so that an optimizer built from it a second time compiles nothing.

    >>> lr = PiecewiseConstant(boundaries=(100, 200), values=(0.1, 0.03, 0.05))
    >>> [round(float(lr(count)), 3) for count in (0, 99, 100, 250)]
    [0.1, 0.1, 0.03, 0.05]
    """

    boundaries: tuple[int, ...]
    values: tuple[float, ...]  # one more than boundaries

    def __call__(self, count: Any) -> jax.Array:
        """The value at step `count` (from 0): a Python, numpy or traced integer, or an array of them."""
        # A chain of `where` on Python numbers stays weakly typed, as hyperparameters are inside user code;
        # indexing an array would give strong float32, which changes the dtype of a bfloat16 optimizer state.
        value = jnp.broadcast_to(self.values[0], jnp.shape(count))
        for boundary, following in zip(self.boundaries, self.values[1:], strict=True):
            value = jnp.where(count >= boundary, following, value)
        return value


@dataclass(frozen=True, eq=False)
class Trial:
    """One configuration and what became of it.

    Attributes:
        id: position in `Result.trials`.
        hparams: hyperparameters by name; after PBT those that were last in force.
        metrics: name -> value at the trial's last evaluation, mean over replicates; NaN once it has diverged.
        steps: steps trained; for a diverged trial, those before the bad one.
        status: "finished", "pruned at step 200", "diverged at step 37" or "interrupted".
        bracket: the set of trials it was ranked among.
        replicates: name -> float [R], the values that `metrics` averages.
        standard_error: name -> standard error of the mean over replicates; NaN for one replicate.
        lineage: (first step, trial id) pairs, oldest first: where the weights were trained. `((0, id),)`
            unless PBT copied them from elsewhere.
        states: for the best trial only, its state with a leading replicate axis.
    """

    id: int
    hparams: dict[str, Any]
    metrics: dict[str, float]
    steps: int
    status: str
    bracket: int
    replicates: dict[str, np.ndarray] = field(repr=False)
    standard_error: dict[str, float] = field(repr=False)
    lineage: tuple[tuple[int, int], ...] = field(repr=False)
    states: Any = field(default=None, repr=False)
    _explored: dict[str, PiecewiseConstant] = field(default_factory=dict, repr=False)
    _variables_of: Callable[[Any], Any] | None = field(default=None, repr=False)
    _model_of: Callable[[Any, dict[str, Any]], Any] | None = field(default=None, repr=False)

    @cached_property
    def state(self) -> Any:
        """The trained state of replicate 0; None unless this is the best trial."""
        return self._of(0)

    @cached_property
    def variables(self) -> Any:
        """The trained weights of replicate 0; None unless this is the best trial and its task names them."""
        known = self.states is not None and self._variables_of is not None
        return self._variables_of(self.state) if known else None  # type: ignore[misc]

    @cached_property
    def model(self) -> Any:
        """The model of replicate 0, ready for prediction; None unless this is the best trial and has one."""
        known = self.states is not None and self._model_of is not None
        return self._model_of(self.state, self.hparams) if known else None  # type: ignore[misc]

    def _of(self, replicate: int) -> Any:
        return None if self.states is None else jax.tree.map(lambda leaf: leaf[replicate], self.states)

    def schedule(self, name: str) -> PiecewiseConstant:
        """How one hyperparameter changed while these weights were trained, as an Optax-compatible schedule.

        After PBT it follows the lineage, so training once with it replays the trial:
        `optax.sgd(best.schedule("lr"))`. A hyperparameter that was never explored gives a constant.

        Args:
            name: a numeric hyperparameter.

        Returns:
            A function of the step count (from 0; may be traced).

        Raises:
            KeyError: the trial has no such hyperparameter, or it is not a number.
        """
        if name in self._explored:
            return self._explored[name]
        if name not in self.hparams:
            raise KeyError(f"schedule({name!r}): trial {self.id} has {_listing(self.hparams)}.")
        if not _is_number(self.hparams[name]):
            raise KeyError(
                f"schedule({name!r}): {name} is {self.hparams[name]!r}, only numbers have a schedule."
            )
        return PiecewiseConstant((), (self.hparams[name],))


def rank_trials(history: History, metric: str, mode: str) -> list[int]:
    """Trial ids, best first.

    First the trials in training at the last rung decided, by their values there; a value from an earlier rung
    is not comparable, so the others follow by how far they got, then by value. Diverged trials and those
    without a finite value come last. Ties go to the lower id. Before any decision the last evaluation stands
    for the rung.

    Args:
        history: the record of the search.
        metric: name in `history.metrics`; its mean over replicates ranks.
        mode: "min" or "max".

    Returns:
        All T ids.

    Raises:
        ValueError: mode is neither "min" nor "max", or the metric was not recorded.
    """
    if mode not in ("min", "max"):
        raise ValueError(f"mode must be 'min' or 'max', got {mode!r}.")
    if metric not in history.metrics:
        raise ValueError(f"metric={metric!r} was not recorded; there are {_listing(history.metrics)}.")
    ids = np.arange(history.num_trials)
    if history.num_evaluations == 0:
        return ids.tolist()
    rungs = np.flatnonzero(history.decided)
    rung = rungs[-1] if len(rungs) else history.num_evaluations - 1
    at_rung = history.active[rung]
    where = np.where(at_rung, rung, history.last)  # [T]; -1 reads the last row, which is NaN for such a trial
    cost = history.mean(metric)[where, ids] * (1 if mode == "min" else -1)
    bad = history.failed | ~np.isfinite(cost)
    reach = np.where(bad, -1, history.step[where])
    # lexsort goes by its last key first. Nobody reaches further than the trials at the last rung do.
    return np.lexsort((ids, np.where(bad, 0.0, cost), -reach, bad)).tolist()


class Result:
    """What a search found. `result.best` is the winner; every other view is one method away.

    Args:
        history: the record, as arrays.
        metric: name of the metric that ranked the trials.
        mode: "min" or "max".
        seed: the seed of the search.
        interrupted: the search was stopped early (Ctrl-C or a callback).
        timing: seconds by part, such as "compile", "run" and "total".
        best_state: state of the trial that `rank_trials` puts first, leaves with a leading replicate axis.
        test_fn: evaluates the test split for that trial: () -> name -> [R]. None where there is no test data.
        variables_of: one replicate's state -> its weights.
        model_of: (one replicate's state, hparams) -> a model ready for prediction.

    Attributes:
        num_tests: how often `test()` has looked at the test split.
    """

    def __init__(
        self,
        history: History,
        *,
        metric: str,
        mode: str,
        seed: int,
        interrupted: bool = False,
        timing: Mapping[str, float] | None = None,
        best_state: Any = None,
        test_fn: Callable[[], Mapping[str, Any]] | None = None,
        variables_of: Callable[[Any], Any] | None = None,
        model_of: Callable[[Any, dict[str, Any]], Any] | None = None,
    ):
        self.history = history
        self.metric = metric
        self.mode = mode
        self.seed = seed
        self.interrupted = interrupted
        self.timing = dict(timing or {})
        self.num_tests = 0
        self._order = rank_trials(history, metric, mode)
        self._best = {"states": best_state, "_variables_of": variables_of, "_model_of": model_of}
        self._test_fn = test_fn

    # The trials

    @cached_property
    def trials(self) -> list[Trial]:
        """All trials, by id."""
        return _trials(self.history, self.interrupted, self._order[0] if self._has_best else -1, self._best)

    @cached_property
    def ranking(self) -> list[Trial]:
        """All trials, best first (see `rank_trials`)."""
        return [self.trials[t] for t in self._order]

    @property
    def best(self) -> Trial:
        """The winner, with its trained `state`, `variables` and `model`.

        Raises:
            ValueError: no trial has a finite value, because all diverged or none was evaluated.
        """
        if self._has_best:
            return self.ranking[0]
        if not self.history.failed.all():
            raise ValueError(f"There is no best trial: none has a finite {self.metric!r}.")
        raise ValueError(
            f"Every trial diverged, so there is no best one. Tried: {_ranges(self.history.hparams)}. "
            "Search lower learning rates, or clip the gradients."
        )

    @cached_property
    def _has_best(self) -> bool:
        if not self._order or self.history.num_evaluations == 0:
            return False
        first = self._order[0]
        value = self.history.mean(self.metric)[self.history.last[first], first]
        return bool(not self.history.failed[first] and np.isfinite(value))

    def test(self) -> dict[str, float]:
        """Evaluate the best trial on the test split, which selection never saw. Calls count in `num_tests`.

        Returns:
            The mean over replicates under each metric's name and, with several replicates, its standard error
            under `<name>_se`.

        Raises:
            ValueError: the task has no test data, or there is no best trial.
        """
        if self._test_fn is None:
            raise ValueError("test() needs test data: give the task test=.")
        _ = self.best  # raises where nothing won
        values = {name: np.atleast_1d(np.asarray(v, np.float64)) for name, v in self._test_fn().items()}
        self.num_tests += 1
        means = {name: float(v.mean()) for name, v in values.items()}
        errors = {f"{name}_se": float(_standard_error(v)) for name, v in values.items() if len(v) > 1}
        return means | errors

    # As tables

    def records(self) -> list[dict[str, Any]]:
        """One plain dict per trial, by id: id, hyperparameters, metrics, steps, status, bracket.

        With several replicates the ranking metric's standard error is `<metric>_se`. A hyperparameter that a
        trial doesn't have is None; one that is named like another column gets the prefix `hp_`.
        """
        metrics = list(self.history.metrics)
        error = [f"{self.metric}_se"] if self._num_replicates > 1 else []
        columns = self._hparam_columns({"id", "steps", "status", "bracket", *metrics, *error})
        return [
            {"id": trial.id}
            | {column: trial.hparams.get(name) for name, column in columns.items()}
            | {name: trial.metrics[name] for name in metrics}
            | {name: trial.standard_error[self.metric] for name in error}
            | {"steps": trial.steps, "status": trial.status, "bracket": trial.bracket}
            for trial in self.trials
        ]

    def to_dataframe(self) -> Any:
        """The `records` as a pandas DataFrame.

        Raises:
            ImportError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError(
                'result.to_dataframe() needs pandas: pip install "jaxtune[pandas]". '
                "Without it, result.records() gives plain dicts."
            ) from error
        return pandas.DataFrame(self.records())

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write the `records` as a CSV file.

        Text that a spreadsheet would take for a formula (it starts with = + - or @) gets a leading quote.
        """
        records = self.records()
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow([_csv_cell(name) for name in (records[0] if records else ())])
            writer.writerows([_csv_cell(value) for value in record.values()] for record in records)

    def table(self, num: int = 10) -> list[dict[str, str]]:
        """The best trials as formatted text, one dict (heading -> cell) per row."""
        metrics = [name for name in self.history.metrics if not name.startswith("train_")]
        metrics.sort(key=lambda name: name != self.metric)  # the one that ranks comes first
        columns = self._hparam_columns({"rank", "trial", "steps", "status", *metrics})
        return [
            {"rank": str(rank), "trial": str(trial.id)}
            | {name: _with_error(trial.metrics[name], trial.standard_error[name]) for name in metrics}
            | {c: _short(trial.hparams[n]) if n in trial.hparams else "" for n, c in columns.items()}
            | {"steps": str(trial.steps), "status": trial.status}
            for rank, trial in enumerate(self.ranking[:num], start=1)
        ]

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
            raise ValueError(f"There is no metric {metric!r}; there are {_listing(self.history.metrics)}.")
        names = self.history.metrics if metric is None else (metric,)
        return {name: self.history.mean(name).T for name in names} | {"steps": self.history.step}

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
        return plots.plot_curves(
            self.history.step,
            self.curves(name)[name],
            [trial.status for trial in self.trials],
            name=name,
            best=self._order[0] if self._has_best else None,
            mode=self._mode_of(name),
            stops=np.array([trial.steps for trial in self.trials]),
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
        known = _names(self.history.hparams)
        unknown = [n for n in names or () if n not in known]
        if unknown:
            raise ValueError(f"There is no hyperparameter {unknown[0]!r}; there are {_listing(known)}.")
        return plots.plot_space(
            {
                n: [trial.hparams.get(n) for trial in self.trials]
                for n in names or _varying(self.trials, known)
            },
            np.array([trial.metrics[name] for trial in self.trials]),
            np.array([trial.steps for trial in self.trials]),
            name=name,
            best=self._order[0] if self._has_best else None,
            mode=self._mode_of(name),
            log_names=self.history.log_names,
        )

    # As text

    @property
    def _num_replicates(self) -> int:
        return self.history.metrics[self.metric].shape[1]

    def _mode_of(self, name: str) -> str | None:
        """Which way a metric is better, where that is known."""
        if name in (self.metric, f"train_{self.metric}"):
            return self.mode
        return "min" if "loss" in name else None

    def _hparam_columns(self, taken: set[str]) -> dict[str, str]:
        """Hyperparameter -> heading that differs from all those taken."""
        return {name: f"hp_{name}" if name in taken else name for name in _names(self.history.hparams)}

    def __repr__(self) -> str:
        lines = [f"Result: {len(self.trials)} trials, {self._counts()}"]
        if self.interrupted:
            lines.append("  interrupted: the search was stopped before its end")
        if self._has_best:
            best = self.ranking[0]
            value = _with_error(best.metrics[self.metric], best.standard_error[self.metric])
            lines.append(
                f"  best: trial {best.id}, {self.metric} {value} ({self.mode}) after {best.steps} steps"
            )
            lines.append("    " + ", ".join(f"{name}={_short(v)}" for name, v in best.hparams.items()))
        else:
            lines.append(f"  best: none, no trial has a finite {self.metric}")
        if self.timing:
            lines.append("  time: " + ", ".join(f"{part} {_seconds(s)}" for part, s in self.timing.items()))
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """The summary and the ten best trials, for notebooks."""
        rows = self.table()
        head = "".join(f"<th>{html.escape(name)}</th>" for name in (rows[0] if rows else ()))
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row.values()) + "</tr>"
            for row in rows
        )
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        return f"<div><pre>{html.escape(repr(self))}</pre>{table}</div>"

    def _counts(self) -> str:
        kinds = [trial.status.split()[0] for trial in self.trials]
        order = ("finished", "pruned", "diverged", "interrupted")
        return ", ".join(f"{kinds.count(kind)} {kind}" for kind in order if kind in kinds)


# From arrays to trials


def _trials(history: History, interrupted: bool, best: int, of_best: Mapping[str, Any]) -> list[Trial]:
    """All trials; `of_best` holds the fields that only trial `best` gets."""
    last = {name: _at_last(history, name) for name in history.metrics}  # [T, R]
    with np.errstate(invalid="ignore"):
        mean = {name: values.mean(axis=1).tolist() for name, values in last.items()}
        error = {name: _standard_error(values).tolist() for name, values in last.items()}
    steps = _steps(history).tolist()
    return [
        Trial(
            id=t,
            hparams=_hparams_in_force(history, t),
            metrics={name: values[t] for name, values in mean.items()},
            steps=steps[t],
            status=_status(history, interrupted, t),
            bracket=int(history.bracket[t]),
            replicates={name: values[t] for name, values in last.items()},
            standard_error={name: values[t] for name, values in error.items()},
            lineage=_lineage(history, t),
            _explored=_explored(history, t),
            **(of_best if t == best else {}),
        )
        for t in range(history.num_trials)
    ]


def _at_last(history: History, name: str) -> np.ndarray:
    """Float [T, R]: each trial's values at its last evaluation; NaN if there is none or it diverged since."""
    values = history.values(name)  # [E, R, T]
    if len(values) == 0:
        return np.full((history.num_trials, values.shape[1]), np.nan)
    # A diverged trial may have looked good at its last evaluation; sorting a table must not bring it to the
    # top.
    last = values[history.last, :, np.arange(history.num_trials)]
    return np.where(history.failed[:, None], np.nan, last)


def _steps(history: History) -> np.ndarray:
    """Int [T]: steps each trial was trained for."""
    with_zero = np.append(history.step, 0)  # index -1: never evaluated
    return np.where(history.failed, history.diverged, with_zero[history.last])


def _status(history: History, interrupted: bool, trial: int) -> str:
    # A diverged trial is dropped at the next rung as well; that it diverged is the reason.
    if history.failed[trial]:
        return f"diverged at step {history.diverged[trial]}"
    if history.pruned[trial] >= 0:
        return f"pruned at step {history.pruned[trial]}"
    return "interrupted" if interrupted else "finished"


def _intervals(history: History, trial: int) -> tuple[np.ndarray, np.ndarray]:
    """First step and slot, both int [e], of each interval the trial's weights went through."""
    num = history.last[trial] + 1
    starts = np.append(0, history.step)[:num]
    return starts, history.slots[:num, trial]


def _changes(values: np.ndarray) -> np.ndarray:
    """Indices at which a new run of equal values starts."""
    return np.flatnonzero(np.append(True, values[1:] != values[:-1]))


def _lineage(history: History, trial: int) -> tuple[tuple[int, int], ...]:
    starts, slots = _intervals(history, trial)
    if len(slots) == 0:
        return ((0, trial),)
    return tuple((int(starts[i]), int(slots[i])) for i in _changes(slots))


def _explored(history: History, trial: int) -> dict[str, PiecewiseConstant]:
    """The course of each explored hyperparameter along the trial's lineage."""
    starts, slots = _intervals(history, trial)
    courses = {}
    for name, table in history.schedule.items():
        if name not in history.hparams[trial] or len(slots) == 0:
            continue
        values = table[np.arange(len(slots)), slots]
        at = _changes(values)
        initial = [history.hparams[slots[i]][name] for i in at]
        courses[name] = PiecewiseConstant(
            boundaries=tuple(starts[at[1:]].tolist()),
            values=tuple(_like(old, value) for old, value in zip(initial, values[at].tolist(), strict=True)),
        )
    return courses


def _hparams_in_force(history: History, trial: int) -> dict[str, Any]:
    explored = {name: course.values[-1] for name, course in _explored(history, trial).items()}
    return {**history.hparams[trial], **explored}


def _like(initial: Any, value: float) -> Any:
    """`value` as the Python type that the hyperparameter has; an unchanged one is returned as it was."""
    if np.float32(initial) == np.float32(value):
        return initial
    return round(value) if isinstance(initial, int) else value


def _standard_error(values: np.ndarray) -> np.ndarray:
    """Standard error of the mean over the last axis; NaN for a single value."""
    num = values.shape[-1]
    if num < 2:
        return np.full(values.shape[:-1], np.nan)
    return values.std(axis=-1, ddof=1) / math.sqrt(num)


# Words and numbers for people


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)


def _names(hparams: Iterable[Mapping[str, Any]]) -> list[str]:
    """Every hyperparameter's name, in the order of the space (conditional ones may miss in some trials)."""
    return list(dict.fromkeys(name for hp in hparams for name in hp))


def _varying(trials: Sequence[Trial], names: Sequence[str]) -> list[str]:
    """Names whose value differs between trials; all names when none does."""
    varying = [name for name in names if len({repr(trial.hparams.get(name)) for trial in trials}) > 1]
    return varying or list(names)


def _ranges(hparams: Sequence[Mapping[str, Any]]) -> str:
    """The ranges of the learning rates tried or, where none is named so, of all numbers."""
    values = {name: [hp[name] for hp in hparams if name in hp] for name in _names(hparams)}
    numeric = {name: v for name, v in values.items() if all(_is_number(x) for x in v)}
    rates = {n: v for n, v in numeric.items() if "lr" in n.lower() or "learning_rate" in n.lower()}
    chosen = rates or numeric
    return (
        ", ".join(f"{n} from {_short(min(v))} to {_short(max(v))}" for n, v in chosen.items()) or "no numbers"
    )


def _listing(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


def _short(value: Any, digits: int = 3) -> str:
    if isinstance(value, (float, np.floating)):
        return f"{value:.{digits}g}"
    return _text(value)


def _with_error(value: float, error: float) -> str:
    text = _short(value, digits=4)
    return text if math.isnan(error) else f"{text} ± {_short(error, digits=2)}"


def _seconds(value: float) -> str:
    return f"{value:.1f} s"


def _text(value: Any) -> str:
    """A function's name, anything else as Python prints it."""
    return getattr(value, "__name__", None) or str(value)


def _csv_cell(value: Any) -> Any:
    if value is None or _is_number(value):
        return value
    text = _text(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
