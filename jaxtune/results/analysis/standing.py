"""How well each trial did, as a percentile of the ranking: comparable where the metric's values are not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


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
