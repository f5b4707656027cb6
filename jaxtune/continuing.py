"""Going on from an earlier search: what makes two searches comparable, and what samplers see of the first."""

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxtune.folds import Fold
from jaxtune.observed import Observed
from jaxtune.resolve import Problem
from jaxtune.result import Result
from jaxtune.task import Task


def check_previous(previous: Any, problem: Problem, task: Task, replicates: int, folds: Sequence[Fold] | None) -> None:
    """Raises unless an earlier result can be continued by this search: its values have to be comparable."""
    if previous is None:
        return
    if not isinstance(previous, Result):
        raise TypeError(f"previous must be a Result of tune(), got {type(previous).__name__}.")
    here = {"metric": problem.metric, "mode": problem.mode, "reports": sorted(_reports(problem))}
    before = {"metric": previous.metric, "mode": previous.mode, "reports": sorted(previous.history.metrics)}
    here |= conditions(task, replicates, folds)
    before |= previous.conditions
    for what, value in here.items():
        if value != before[what]:
            raise ValueError(f"previous has {what} {before[what]!r}, this search {value!r}: both must agree.")


def conditions(task: Task, replicates: int, folds: Sequence[Fold] | None) -> dict[str, Any]:
    """What has to be equal for two searches to be comparable, besides what they measure."""
    digest = None
    if folds is not None:
        indices = np.concatenate([part for fold in folds for part in fold]).astype(np.int64)
        digest = f"{len(folds)} with the digest {zlib.crc32(indices.tobytes()):08x}"  # other seeds deal other folds
    return {"replicates": replicates, "folds": digest, "batch_size": task.batch_size}


def _reports(problem: Problem) -> list[str]:
    functions = problem.functions(next(iter(problem.space.static_combinations())))
    return [*functions.metrics, *(f"train_{name}" for name in functions.info)]


def observed(problem: Problem, previous: Result) -> Observed:
    """What samplers see of an earlier search: trials whose hyperparameters lie in the space of this one."""
    points, values = [], []
    for trial in previous.trials:
        try:
            points.append(problem.space.encode(trial.hparams))
        except (TypeError, ValueError):
            continue
        values.append(trial.metrics[problem.metric] * (1.0 if problem.mode == "min" else -1.0))
    shape = (len(points), problem.space.num_dims)
    return Observed(np.asarray(points, np.float32).reshape(shape), np.asarray(values, np.float32))
