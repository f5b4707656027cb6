"""What samplers see of the trials before: tables of a fixed size, in which a count tells how much is filled."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from jaxtune.engine.search import Search
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
    num_trials, dtype = len(points), jax.dtypes.canonicalize_dtype(float)
    runs = history.values(problem.metric) * (1.0 if problem.mode == "min" else -1.0)  # [e, R, T]
    values = np.full((num_trials, len(steps)), np.nan, dtype)
    errors = values.copy()
    own = np.searchsorted(steps, history.step)
    with np.errstate(invalid="ignore"):
        mean = runs.mean(axis=1)
        error = runs.std(axis=1, ddof=1) / np.sqrt(runs.shape[1]) if runs.shape[1] > 1 else np.full_like(mean, np.nan)
    for e, column in enumerate(own):
        there = history.active[e]
        values[there, column] = np.where(np.isfinite(mean[e]), mean[e], np.nan)[there]
        errors[there, column] = error[e][there]
    last = history.mean(problem.metric)[history.last, np.arange(num_trials)]
    return Observed(
        points=np.asarray(points, np.float32),
        values=values,
        steps=steps,
        errors=errors,
        failed=history.failed | ~np.isfinite(last),
        generation=history.generation.astype(np.int32),
        count=np.int32(num_trials),
    )


def of_previous(problem: Problem, previous: Result, steps: np.ndarray) -> Observed:
    """Trials of an earlier result whose hyperparameters lie in the space of this search."""
    known, points = [], []
    for t, hparams in enumerate(trial.hparams for trial in previous.trials):
        try:
            points.append(problem.space.encode(hparams))
        except (TypeError, ValueError):
            continue
        known.append(t)
    every = np.zeros((previous.history.num_trials, problem.space.num_dims), np.float32)
    every[known] = np.reshape(points, (len(known), problem.space.num_dims))
    found = observe(problem, previous.history, every, steps)
    fields = {name: getattr(found, name)[known] for name in ("points", "values", "errors", "failed", "generation")}
    return found._replace(**fields, count=np.int32(len(known)))


def joined(parts: Sequence[Observed], capacity: int) -> Observed:
    """Trials of several searches in tables of a fixed number of rows."""
    count = sum(len(part.points) for part in parts)

    def table(name: str) -> Any:
        rows = np.concatenate([getattr(part, name) for part in parts])
        return np.concatenate([rows, np.zeros((capacity - count, *rows.shape[1:]), rows.dtype)])

    fields = {name: table(name) for name in ("points", "values", "errors", "failed", "generation")}
    return Observed(**fields, steps=parts[0].steps, count=np.int32(count))


def capacity(num_trials: int) -> int:
    """Rows of tables that hold so many trials: a power of two, so that searches of about one size share a program."""
    return 1 << max(num_trials - 1, 0).bit_length()
