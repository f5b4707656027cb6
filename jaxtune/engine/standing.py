"""Where the trials of a search stand: tables with an entry per trial, and what evaluations and decisions make of them.

Both drivers use these functions: with `numpy` between calls of programs, and with `jax.numpy` inside one.

Shapes: T trials, R runs of each, D domains of the space.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.struct
import numpy as np

from jaxtune.engine.lanes import HEALTHY


class Standing(flax.struct.PyTreeNode):
    """Where every trial stands."""

    points: Any  # [T, D] float32: its hyperparameters, in the unit cube
    bracket: Any  # [T] int32: those that it is ranked among
    training: Any  # [T] bool: it is in training
    competing: Any  # [T] bool: so it is, or it stopped early and competes with the value it has
    values: Any  # [R, T] float: the metric of the search, at the evaluation that counts
    step: Any  # [T] int32: of that evaluation
    diverged: Any  # [R, T] int32: first step with a non-finite loss or metric, or HEALTHY
    best: Any  # [T] float: the lowest score so far
    waiting: Any  # [T] int32: evaluations since then
    pruned: Any  # [T] int32: step of the rung that pruned it, or -1
    stopped: Any  # [T] int32: step at which it ran out of patience, or -1
    source: Any  # [T] int32: the trial from whose weights it went on after the last decision

    def first_diverged(self, xp: Any) -> Any:
        """[T] int32: the first step at which a run of a trial diverged, or HEALTHY."""
        first = xp.where(self.lost, self.diverged, np.iinfo(np.int32).max).min(axis=0)
        return xp.where(self.lost.any(axis=0), first, HEALTHY)

    @property
    def lost(self) -> Any:
        """[R, T] bool: runs that have diverged."""
        return self.diverged != HEALTHY


class Decision(NamedTuple):
    """The outcome of a rung."""

    training: Any  # [T] bool: goes on
    source: Any  # [T] int32: the trial whose weights it goes on with; itself where nothing is copied
    points: Any  # [T, D] float: hyperparameters it goes on with, in the unit cube


def at_start(xp: Any, points: Any, bracket: Any, runs: int, dtype: Any) -> Standing:
    """All trials in training.

    Args:
        xp: `numpy` or `jax.numpy`, here and below.
        points: [T, D].
        bracket: [T].
        runs: R.
        dtype: Of values.
    """
    num_trials = len(points)
    nothing = xp.full(num_trials, -1, np.int32)
    return Standing(
        points=points,
        bracket=bracket,
        training=xp.ones(num_trials, bool),
        competing=xp.ones(num_trials, bool),
        values=xp.full((runs, num_trials), np.nan, dtype),
        step=xp.zeros(num_trials, np.int32),
        diverged=xp.full((runs, num_trials), HEALTHY, np.int32),
        best=xp.full(num_trials, np.inf, dtype),
        waiting=xp.zeros(num_trials, np.int32),
        pruned=nothing,
        stopped=nothing,
        source=xp.arange(num_trials, dtype=np.int32),
    )


def precise_mean(values: Any) -> Any:
    """Means [T] of values [T, R] in their own precision, as at the rungs.

    Ties are common, and all who rank trials have to see the same ones.
    """
    return values.copy().mean(axis=1, dtype=values.dtype)


def scores(xp: Any, values: Any, lost: Any, mode: str) -> Any:
    """[T], lower is better, of values [R, T]: the mean over runs.

    Infinite for what has diverged or is not finite, minus infinity too: argmin, top_k and argsort each have other ideas
    about NaN.
    """
    score = precise_mean(values.T) * (1.0 if mode == "min" else -1.0)
    return xp.where(xp.isfinite(score) & ~lost.any(axis=0), score, np.inf).astype(values.dtype)


def evaluated(
    xp: Any, standing: Standing, values: Any, diverged: Any, stop: Any, mode: str, keeps_best: bool
) -> tuple[Standing, Any]:
    """The standing after an evaluation, and for which trials [T] it is the one that counts.

    Args:
        xp: See `at_start`.
        standing: Before it.
        values: [R, T], the metric of the search.
        diverged: [R, T] int32, first steps with a non-finite loss or metric, or HEALTHY.
        stop: Step of the evaluation.
        mode: "min" or "max".
        keeps_best: Whether the best evaluation counts, not the last.
    """
    training = standing.training
    standing = standing.replace(diverged=xp.where(training, diverged, standing.diverged))
    score = scores(xp, values, standing.lost, mode)
    better = training & (score < standing.best)
    counts = better if keeps_best else training
    standing = standing.replace(
        values=xp.where(counts, values, standing.values),
        step=xp.where(counts, stop, standing.step),
        best=xp.where(better, score, standing.best),
        waiting=xp.where(better, 0, standing.waiting + 1),
        source=xp.arange(training.shape[0], dtype=np.int32),
    )
    return standing, counts


def decided(xp: Any, standing: Standing, decision: Decision, stop: Any) -> Standing:
    """The standing after a rung at a step."""
    goes_on = decision.training
    return standing.replace(
        points=decision.points,
        training=standing.training & goes_on,
        competing=goes_on,
        pruned=xp.where(standing.competing & ~goes_on, stop, standing.pruned),
        source=decision.source,
    )


def without_patience(xp: Any, standing: Standing, patience: int, stop: Any) -> tuple[Standing, Any]:
    """The standing once trials that have waited for too long have stopped, and which [T] these are."""
    out = standing.training & (standing.waiting >= patience)
    return standing.replace(training=standing.training & ~out, stopped=xp.where(out, stop, standing.stopped)), out
