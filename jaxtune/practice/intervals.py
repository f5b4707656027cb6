"""Confidence intervals of paired differences, cut to what is possible."""

import re
from typing import Any, NamedTuple

import numpy as np

from jaxtune.tasks.task import Task

_SHARES = {"acc", "accuracy", "auc", "auroc", "dice", "f1", "iou", "precision", "recall", "top1", "top5"}


class Interval(NamedTuple):
    """An estimate, and the ends of its confidence interval."""

    middle: float
    low: float
    high: float


def paired(differences: np.ndarray, confidence: float, lowest: float, highest: float) -> Interval:
    """The interval of a mean of differences [R] by Student's t, cut to the differences that there can be."""
    from scipy import stats

    num = len(differences)
    error = differences.std(ddof=1) / np.sqrt(num)
    half = float(stats.t.ppf(0.5 + 0.5 * confidence, num - 1) * error)
    middle = float(differences.mean())
    return Interval(middle, float(np.maximum(middle - half, lowest)), float(np.minimum(middle + half, highest)))


def possible(task: Task, metric: str, values: Any) -> tuple[float, float]:
    """The range in which a metric lies, whatever the model.

    That of shares is known: of jaxtune's own metrics, and of those that are named so and never left [0, 1].

    Args:
        task: What reports it.
        metric: Its name.
        values: All that were seen.
    """
    lowest, highest = task.evaluation.range_of(metric)
    named = _SHARES.intersection(re.split(r"[^a-z0-9]+", metric.lower()))
    seen = np.asarray(values)[np.isfinite(values)]
    return (0.0, 1.0) if named and np.all((seen >= 0) & (seen <= 1)) else (lowest, highest)
