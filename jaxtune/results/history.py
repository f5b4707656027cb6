"""The record of a search as arrays, the ranking of its trials, and errors of means.

Everything here is host-side numpy; nothing trains, compiles or decides.

Shapes: T trials, R replicates, E evaluations in the order they were made. Evaluation e closes the *interval*
of training that ends at step count `step[e]`; a decision (prune, exploit) may follow it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np

from jaxtune.engine.standing import precise_mean
from jaxtune.results.text import listing
from jaxtune.spaces.values import portable


@dataclass(frozen=True, eq=False)
class History:
    """The record of a search so far, at least one evaluation of it.

    Attributes:
        hparams: a sequence with a dict of plain Python values per trial, as at the start of the trial; length T.
        log_names: names of the hyperparameters whose domain is logarithmic.
        bracket: int [T], the set of trials this one is ranked among.
        step: int [E], number of steps made by then (one counter serves all trials).
        metrics: name -> float [E, R, T] in the precision in which trials are ranked; NaN where the trial was not in
            training.
        active: bool [E, T], the trial was in training at that evaluation; all trials are at the first.
        decided: bool [E], the scheduler decided there; true for the last row of a search that finishes.
        pruned: int [T], step count of the rung that pruned the trial, or -1.
        stopped: int [T], step count of the evaluation at which the trial ran out of patience, or -1.
        kept: int [T], index of the evaluation that counts: each trial's last one, or the one of its best checkpoint.
        reach: int [T], step count up to which the trial competed: its last evaluation or, if it stopped early, that
            of the others.
        diverged: int [T], 0-based step of the first non-finite loss in any replicate, or -1; for a metric
            that is non-finite at an evaluation, the last step before it: `step[e] - 1`. A trial that PBT
            overwrites with a healthy one is back at -1 from its next evaluation on.
        source: int [E, T], after evaluation e trial t went on from the weights of trial `source[e, t]`.
        schedule: name -> float [E, T], value of an explored hyperparameter during the interval that *ends* at
            e; empty when the scheduler never explores.
        lane_steps: int [E], lane-steps spent so far.
        seconds: float [E], time since the search began; NaN where that is not known.
        total_steps: int [T], step count at which the trial's search ends.
        generation: int [T], how many times the plan had run before the trial was chosen; only trials of one generation
            share initial weights and batches.
    """

    hparams: Sequence[dict[str, Any]]
    log_names: tuple[str, ...]
    bracket: np.ndarray  # int [T]
    step: np.ndarray  # int [E]
    metrics: dict[str, np.ndarray]  # float [E, R, T]
    active: np.ndarray  # bool [E, T]
    decided: np.ndarray  # bool [E]
    pruned: np.ndarray  # int [T]
    stopped: np.ndarray  # int [T]
    kept: np.ndarray  # int [T]
    reach: np.ndarray  # int [T]
    diverged: np.ndarray  # int [T]
    source: np.ndarray  # int [E, T]
    schedule: dict[str, np.ndarray]  # float [E, T]
    lane_steps: np.ndarray  # int [E]
    seconds: np.ndarray  # float [E]
    total_steps: np.ndarray  # int [T]
    generation: np.ndarray  # int [T]

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: the fields, without the user's functions."""
        return {one.name: getattr(self, one.name) for one in fields(self)} | {"hparams": tuple(portable(self.hparams))}

    @property
    def num_trials(self) -> int:
        """T."""
        return len(self.hparams)

    @cached_property
    def last(self) -> np.ndarray:
        """Int [T]: index of each trial's last evaluation."""
        return len(self.step) - 1 - np.argmax(self.active[::-1], axis=0)

    @cached_property
    def first(self) -> np.ndarray:
        """Int [T]: index of each trial's first evaluation."""
        return np.argmax(self.active, axis=0)

    @cached_property
    def failed(self) -> np.ndarray:
        """Bool [T]: the trial ended diverged."""
        return self.diverged >= 0

    @cached_property
    def steps(self) -> np.ndarray:
        """Int [T]: steps each trial was trained for; for a diverged one those before the bad one."""
        return np.where(self.failed, self.diverged, self.step[self.last])

    def values(self, name: str) -> np.ndarray:
        """Float64 [E, R, T] of one metric, NaN where the trial was not training or had diverged."""
        keep = self.active & ~(self.failed & (self.step[:, None] > self.diverged))
        return np.where(keep[:, None, :], np.asarray(self.metrics[name], dtype=np.float64), np.nan)

    def at_kept(self, name: str) -> np.ndarray:
        """Float64 [T, R] of one metric at the evaluation of each trial that counts; NaN if it has diverged."""
        kept = self.values(name)[self.kept, :, np.arange(self.num_trials)]
        # A trial may diverge after it looked good; sorting a table must not bring it to the top.
        return np.where(self.failed[:, None], np.nan, kept)

    def mean(self, name: str) -> np.ndarray:
        """Float64 [E, T]: mean over the replicates; one non-finite replicate makes the mean non-finite."""
        with np.errstate(invalid="ignore"):  # inf - inf is a fact about the trial, not a numerical accident
            return self.values(name).mean(axis=1)

    @cached_property
    def slots(self) -> np.ndarray:
        """Int [E, T]: the trial in whose place the weights that trial t ended with were during interval e."""
        own = np.arange(self.num_trials)
        slots = np.tile(own, (len(self.step), 1))
        for e in range(len(self.step) - 2, -1, -1):
            came_from = self.source[e, slots[e + 1]]
            slots[e] = np.where(e < self.last, came_from, own)
        return slots

    @cached_property
    def moved(self) -> np.ndarray:
        """Bool [T]: the weights that the trial ended with were in another trial's place for some time."""
        e = np.arange(len(self.step))[:, None]
        return np.any((self.slots != np.arange(self.num_trials)) & (e >= self.first) & (e <= self.last), axis=0)


def _course(history: History, name: str) -> np.ndarray:
    """Float [E, T]: a number's values over a search, which may never have explored it; NaN in trials without it."""
    values = [hparams.get(name, np.nan) for hparams in history.hparams]
    return history.schedule.get(name, np.tile(np.asarray(values), (len(history.step), 1)))


def joined(before: History, after: History) -> History:
    """The record of a search that continued another one: its evaluations and trials follow those of the other."""
    num_before, num_after = before.num_trials, after.num_trials
    evaluations = len(before.step)

    def diagonal(a: np.ndarray, b: np.ndarray, fill: Any) -> np.ndarray:
        """[E1, ..., T1] and [E2, ..., T2] to [E1 + E2, ..., T1 + T2]."""
        a = np.concatenate([a, np.full((*a.shape[:-1], num_after), fill, a.dtype)], axis=-1)
        b = np.concatenate([np.full((*b.shape[:-1], num_before), fill, b.dtype), b], axis=-1)
        return np.concatenate([a, b])

    each = {
        name: np.concatenate([getattr(before, name), getattr(after, name)])
        for name in ("pruned", "stopped", "reach", "diverged", "total_steps", "step", "decided")
    }
    own = np.arange(num_before + num_after)
    source = diagonal(before.source, after.source + num_before, -1)
    explored = before.schedule | after.schedule
    return History(
        hparams=(*before.hparams, *after.hparams),
        log_names=tuple(dict.fromkeys(before.log_names + after.log_names)),
        bracket=np.concatenate([before.bracket, after.bracket + before.bracket.max() + 1]),
        metrics={name: diagonal(before.metrics[name], after.metrics[name], np.nan) for name in after.metrics},
        active=diagonal(before.active, after.active, False),
        kept=np.concatenate([before.kept, after.kept + evaluations]),
        source=np.where(source < 0, own, source),
        schedule={name: diagonal(_course(before, name), _course(after, name), np.nan) for name in explored},
        lane_steps=np.concatenate([before.lane_steps, after.lane_steps + before.lane_steps[-1]]),
        seconds=np.concatenate([before.seconds, after.seconds + before.seconds[-1]]),
        generation=np.concatenate([before.generation, after.generation + before.generation.max() + 1]),
        **each,
    )


def rank_trials(history: History, metric: str, mode: str) -> list[int]:
    """Trial ids, best first.

    By how far they competed, then by the value that counts: values at different step counts are not comparable.
    So those in training at the end come first. Diverged trials and those without a finite value come last.
    Ties go to the lower id.

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
        raise ValueError(f"metric={metric!r} was not recorded; there are {listing(history.metrics)}.")
    ids = np.arange(history.num_trials)
    cost = precise_mean(history.at_kept(metric).astype(history.metrics[metric].dtype)) * (1 if mode == "min" else -1)
    bad = history.failed | ~np.isfinite(cost)
    reach = np.where(bad, -1, history.reach)
    # lexsort goes by its last key first.
    return np.lexsort((ids, np.where(bad, 0.0, cost), -reach, bad)).tolist()


def with_errors(values: Mapping[str, np.ndarray], num_folds: int | None = None) -> dict[str, float]:
    """The mean of each metric's values [R] under its name and, of several, its standard error under `<name>_se`.

    Where a metric has that name itself, the error is `error_<name>_se`.
    """
    means = {name: float(np.mean(v, dtype=np.float64)) for name, v in values.items()}
    errors = {f"{name}_se": float(standard_error(v, num_folds)) for name, v in values.items() if len(v) > 1}
    return means | {f"error_{name}" if name in means else name: error for name, error in errors.items()}


def standard_error(values: np.ndarray, num_folds: int | None = None) -> np.ndarray:
    """Standard error of the mean over the last axis; NaN for a single value.

    Replicates of a fold share its data, so that they tell no more about the choice of examples than one of them: the
    values of a cross-validation count as one for each fold, the mean over its replicates.

    Args:
        values: [..., R], replicate by replicate.
        num_folds: F of a cross-validation.
    """
    if num_folds is not None:
        values = values.reshape(*values.shape[:-1], -1, num_folds).mean(axis=-2)
    num = values.shape[-1]
    if num < 2:
        return np.full(values.shape[:-1], np.nan)
    return values.std(axis=-1, ddof=1) / math.sqrt(num)
