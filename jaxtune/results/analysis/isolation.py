"""The best trial in each part of a hyperparameter's range, with all others at their best.

Isolation plots, of Godbole, Dahl, Gilmer, Shallue and Nado, Deep Learning Tuning Playbook, 2023: what a value of one
hyperparameter costs when the others are tuned for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jaxtune.results.analysis.dimensions import Dimension


@dataclass(frozen=True)
class Bucket:
    """A part of a range, or an option.

    Attributes:
        low: Place in [0, 1] at which it begins.
        high: Place at which it ends.
        trial: Id of the best trial in it.
        num_trials: How many trials are in it.
    """

    low: float
    high: float
    trial: int
    num_trials: int


def isolation(dimension: Dimension, order: Sequence[int] | np.ndarray, num: int = 10) -> list[Bucket]:
    """The buckets of one dimension that have trials, in the order of its range.

    Args:
        dimension: A hyperparameter of T trials.
        order: Ids of trials, best first.
        num: Into how many equal parts a range is divided; each option of a category, and each whole number where there
            are no more than that, has a bucket of its own.

    Example:
        >>> import numpy as np
        >>> lr = Dimension("lr", "log", [1e-4, 1e-3, 1e-2], np.array([0.0, 0.5, 1.0]), 1e-4, 1e-2)
        >>> [(bucket.trial, bucket.num_trials) for bucket in isolation(lr, [2, 1, 0], num=2)]
        [(0, 1), (2, 2)]
    """
    order = np.asarray(order)
    edges = bucket_edges(dimension, num)
    places = dimension.places[order]
    having, places = order[~np.isnan(places)], places[~np.isnan(places)]
    bucket = np.clip(np.searchsorted(edges, places, side="right") - 1, 0, len(edges) - 2)
    found, first, counts = np.unique(bucket, return_index=True, return_counts=True)
    return [
        Bucket(float(edges[b]), float(edges[b + 1]), int(having[i]), int(count))
        for b, i, count in zip(found, first, counts, strict=True)
    ]


def bucket_edges(dimension: Dimension, num: int) -> np.ndarray:
    """Places, ascending, between which the buckets of a dimension lie."""
    if dimension.options:
        return np.linspace(0.0, 1.0, len(dimension.options) + 1)
    values = dimension.high - dimension.low + 1
    if dimension.integer and dimension.kind == "linear" and 1 < values <= num:
        return (np.arange(values + 1) - 0.5) / (values - 1)  # each value in the middle of its own
    return np.linspace(0.0, 1.0, num + 1)
