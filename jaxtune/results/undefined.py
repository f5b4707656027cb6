"""Metrics that are undefined for some data: said before a search, where the data show it, and after its evaluations.

An area under the curve of a fold without positive examples is NaN whatever the model. That is no divergence: trials go
on and are ranked last, and nobody's learning rate is to blame.
"""

from contextlib import suppress
from typing import Any

import numpy as np

from jaxtune.engine.data import of_fold
from jaxtune.engine.search import Search
from jaxtune.interface.warning import warn


def warn_undefined(search: Search) -> bool:
    """Warns of metrics that can't be computed on the validation or test data, or in a fold.

    Returns:
        Whether the metric of the search is among them.
    """
    task, problem, folds = search.task, search.problem, search.folds
    parts: dict[str, Any] = {"the validation data": task.validation, "the test data": task.test}
    if folds is not None:
        parts |= {f"fold {n} of {len(folds)}": of_fold(task, fold).validation for n, fold in enumerate(folds, start=1)}
    parts = {name: data for name, data in parts.items() if data is not None}
    found: dict[str, list[str]] = {}
    with suppress(Exception):  # it looks at random outputs, which a metric need not take
        for metric, part in task.evaluation.undefined_metrics(task.train, parts, problem.first.values):
            found.setdefault(metric, []).append(part)
    for metric, where in found.items():
        ranks = "; no trial can be ranked by it" if metric == problem.metric and where != ["the test data"] else ""
        warn(
            f"The metric {metric!r} is undefined (NaN) in {' and '.join(where)}, whatever the model{ranks}: are all "
            "classes there?"
        )
    return problem.metric in found


def undefined_runs(values: np.ndarray, num_folds: int | None) -> str:
    """Where a metric is NaN, in words; empty where it is not.

    Args:
        values: [T, R], of trials that are healthy.
        num_folds: F of a cross-validation, or None.
    """
    runs = np.flatnonzero(np.isnan(values).any(axis=0))
    if not len(runs):
        return ""
    trials = f"{int(np.isnan(values).any(axis=1).sum())} of {len(values)} trials"
    if num_folds is None:
        return f"for {trials}"
    folds = sorted({int(run) % num_folds + 1 for run in runs})
    return f"in fold {', '.join(map(str, folds))} of {num_folds} for {trials}"
