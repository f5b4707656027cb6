"""What samplers see of the trials before: tables of a fixed size, in which a count tells how much is filled."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxtune.engine.search import Search
from jaxtune.engine.standing import precise_mean
from jaxtune.interface.warning import warn
from jaxtune.results.history import History
from jaxtune.results.result import Result
from jaxtune.samplers.sampler import Observed
from jaxtune.tasks.problem import Problem


def evaluations(search: Search, previous: Result | None) -> np.ndarray:
    """Step counts [E], increasing, at which there are values."""
    before = [] if previous is None else previous.history.step.tolist()
    return np.unique([*before, *(row.stop for row in search.plan.rows)]).astype(np.int32)


def observe(problem: Problem, history: History, points: np.ndarray, steps: np.ndarray) -> Observed:
    """The trials of a search, H of them.

    Args:
        problem: What is searched now.
        history: The record of the search.
        points: [H, D], where its trials lie.
        steps: [E], see `evaluations`.
    """
    found = nothing(np, problem, steps, len(points))._replace(
        points=np.asarray(points, np.float32),
        generation=history.generation.astype(np.int32),
        count=np.int32(len(points)),
    )
    for e, column in enumerate(np.searchsorted(steps, history.step)):
        values = history.metrics[problem.metric][e].astype(found.values.dtype)
        lost = np.broadcast_to(history.failed & (history.step[e] > history.diverged), values.shape)
        found = with_evaluation(np, found, column, history.active[e], values, lost, problem.mode)
    for t in np.flatnonzero(history.stopped >= 0):  # who ran out of patience competes with the value that counts
        later = (steps > history.step[history.last[t]]) & (steps <= history.reach[t]) & np.isin(steps, history.step)
        found.values[t, later] = found.values[t, np.searchsorted(steps, history.step[history.kept[t]])]
    return found


def nothing(xp: Any, problem: Problem, steps: Any, num_trials: int) -> Observed:
    """Tables of so many trials in which nothing is filled; `xp` is numpy, or jax.numpy in a traced search."""
    dtype, shape = jax.dtypes.canonicalize_dtype(float), (num_trials, len(steps))
    return Observed(
        points=xp.zeros((num_trials, problem.space.num_dims), np.float32),
        values=xp.full(shape, np.nan, dtype),
        steps=xp.asarray(steps, np.int32),
        errors=xp.full(shape, np.nan, dtype),
        failed=xp.zeros(num_trials, bool),
        generation=xp.zeros(num_trials, np.int32),
        count=xp.asarray(0, np.int32),
    )


def with_evaluation(xp: Any, seen: Observed, column: Any, training: Any, values: Any, lost: Any, mode: str) -> Observed:
    """The same tables with one more evaluation.

    Args:
        xp: See `nothing`.
        seen: The tables, H trials.
        column: Of the evaluation.
        training: [H] bool, who was evaluated.
        values: [R, H], of the metric of the search.
        lost: [R, H] bool, whose training failed before.
        mode: "min" or "max".
    """
    runs, num_trials = values.shape
    mean = precise_mean(values.T) * (1.0 if mode == "min" else -1.0)
    fine = xp.isfinite(mean) & ~lost.any(axis=0)
    alone = xp.full(num_trials, np.nan, mean.dtype)
    error = (xp.std(values, axis=0, ddof=1) / runs**0.5).astype(mean.dtype) if runs > 1 else alone
    here = (training & fine)[:, None] & (xp.arange(len(seen.steps)) == column)
    return seen._replace(
        values=xp.where(here, mean[:, None], seen.values),
        errors=xp.where(here, error[:, None], seen.errors),
        failed=xp.where(training, ~fine, seen.failed),
    )


def extended(seen: Observed, made: Observed, generation: Any) -> Observed:
    """Tables with the trials of one more generation."""
    start = seen.count

    def table(name: str) -> Any:
        return lax.dynamic_update_slice_in_dim(getattr(seen, name), getattr(made, name), start, axis=0)

    fields = {name: table(name) for name in ("points", "values", "errors", "failed")}
    numbers = jnp.full(len(made.points), generation, jnp.int32)
    whole = lax.dynamic_update_slice_in_dim(seen.generation, numbers, start, axis=0)
    return seen._replace(**fields, generation=whole, count=start + len(made.points))


def of_previous(problem: Problem, previous: Result, steps: np.ndarray) -> Observed:
    """Trials of an earlier result whose hyperparameters lie in the space of this search."""
    known, points = [], []
    for t, hparams in enumerate(trial.hparams for trial in previous.trials):
        try:
            points.append(problem.space.encode(hparams))
        except (TypeError, ValueError):
            continue
        known.append(t)
    others = previous.history.num_trials - len(known)
    if others:
        warn(f"{others} trials of previous are none of this space: samplers don't see them.")
    every = np.zeros((previous.history.num_trials, problem.space.num_dims), np.float32)
    every[known] = np.reshape(points, (len(known), problem.space.num_dims))
    found = observe(problem, previous.history, every, steps)
    fields = {name: getattr(found, name)[known] for name in ("points", "values", "errors", "failed", "generation")}
    return found._replace(**fields, count=np.int32(len(known)))


def joined(parts: Sequence[Observed], capacity: int) -> Observed:
    """Trials of several searches in tables of a fixed number of rows."""
    count = sum(len(part.points) for part in parts)
    first = 0  # number of a part's first generation
    numbered = []
    for part in parts:
        numbered.append(part._replace(generation=part.generation + first))
        first += int(part.generation.max(initial=-1)) + 1

    def table(name: str) -> Any:
        rows = np.concatenate([getattr(part, name) for part in numbered])
        return np.concatenate([rows, np.zeros((capacity - count, *rows.shape[1:]), rows.dtype)])

    fields = {name: table(name) for name in ("points", "values", "errors", "failed", "generation")}
    return Observed(**fields, steps=parts[0].steps, count=np.int32(count))


def capacity(num_trials: int) -> int:
    """Rows of tables that hold so many trials: a power of two, so that searches of about one size share a program."""
    return 1 << max(num_trials - 1, 0).bit_length()
