"""How well each trial did, as a percentile of the ranking: comparable where the metric's values are not.

Shapes: T trials, E evaluations.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jaxtune.results.history import History, rank_trials


def percentiles(order: Sequence[int] | np.ndarray, sound: np.ndarray) -> np.ndarray:
    """Float [T] in [0, 1]: 1 for the best trial; 0 for those that have no finite value, which nothing ranks.

    Args:
        order: Ids of all T trials, best first, those without a finite value last.
        sound: Bool [T], the trial has one.

    Example:
        >>> import numpy as np
        >>> percentiles([2, 0, 1, 3], np.array([True, True, True, False])).tolist()
        [0.75, 0.5, 1.0, 0.0]
    """
    found = np.zeros(len(sound))
    found[np.asarray(order)] = 1.0 - np.arange(len(sound)) / len(sound)
    return np.where(sound, found, 0.0)


def quality_of(history: History, metric: str, mode: str) -> tuple[np.ndarray, np.ndarray]:
    """Percentile of each trial in the ranking of a search, float [T], and whether it has a finite value, bool [T]."""
    sound = ~history.failed & np.isfinite(history.at_kept(metric).mean(axis=1))
    return percentiles(rank_trials(history, metric, mode), sound), sound


def quality_at(history: History, metric: str, mode: str) -> np.ndarray:
    """Float [E, T]: percentile of each trial among those that were in training at an evaluation; NaN for others."""
    values = history.mean(metric) * (1 if mode == "min" else -1)
    found = np.full(values.shape, np.nan)
    for e, row in enumerate(values):
        trained = np.flatnonzero(history.active[e])
        cost = np.where(np.isfinite(row[trained]), row[trained], np.inf)
        found[e, trained] = percentiles(np.argsort(cost, kind="stable"), np.isfinite(cost))
    return found
