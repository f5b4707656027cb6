"""How good places of two hyperparameters are, whatever the others were.

Kernel regression: Nadaraya, On estimating regression, Theory of Probability and its Applications 9, 1964; Watson,
Smooth regression analysis, Sankhya A 26, 1964.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jaxtune.results.analysis.dimensions import Dimension

_MOST = 2000  # trials
_NARROWEST = 0.03  # bandwidth
_FEWEST = 0.3  # trials, weighted by how near they are, below which nothing is known of a place


@dataclass(frozen=True, eq=False)
class Surface:
    """An estimate over a grid.

    Attributes:
        x: Float [X], places in [0, 1] of the first hyperparameter: evenly spaced, or the options of a category.
        y: Float [Y], of the second.
        quality: Float [Y, X], mean percentile of the trials around; NaN where there are none.
    """

    x: np.ndarray
    y: np.ndarray
    quality: np.ndarray


def surface(first: Dimension, second: Dimension, quality: np.ndarray, resolution: int = 48) -> Surface:
    """The mean quality of trials around each place of two hyperparameters, by distance, with Scott's bandwidth.

    Args:
        first: Along x.
        second: Along y.
        quality: Float [T], how good each trial is, see `percentiles`.
        resolution: Places of a range that are estimated.

    Example:
        >>> import numpy as np
        >>> lr = Dimension("lr", "linear", [0.0, 1.0], np.array([0.0, 1.0]), 0.0, 1.0)
        >>> act = Dimension("act", "category", ["relu", "tanh"], np.array([0.25, 0.75]), 0.0, 2.0, ("relu", "tanh"))
        >>> found = surface(lr, act, np.array([1.0, 0.5]), resolution=3)
        >>> found.quality.shape, found.quality[:, 0].tolist()
        ((2, 3), [1.0, nan])
    """
    having = np.flatnonzero(~np.isnan(first.places + second.places))
    if len(having) > _MOST:
        having = having[np.linspace(0, len(having) - 1, _MOST).astype(int)]
    x, y = _grid(first, resolution), _grid(second, resolution)
    near_x, near_y = _kernel(x, first, having), _kernel(y, second, having)  # [X, n], [Y, n]
    weight = near_y @ near_x.T
    mean = np.divide((near_y * quality[having]) @ near_x.T, weight, out=np.full(weight.shape, np.nan), where=weight > 0)
    return Surface(x, y, np.where(weight >= _FEWEST, mean, np.nan))


def share_trials(first: Dimension, second: Dimension) -> bool:
    """Whether any trial has both."""
    return bool(np.any(~np.isnan(first.places + second.places)))


def _grid(dimension: Dimension, resolution: int) -> np.ndarray:
    num = len(dimension.options)
    return (np.arange(num) + 0.5) / num if num else np.linspace(0.0, 1.0, resolution)


def _kernel(grid: np.ndarray, dimension: Dimension, having: np.ndarray) -> np.ndarray:
    """Float [grid, n]: how near trials are; those of other options not at all."""
    distance = grid[:, None] - dimension.places[having]
    if dimension.options:
        return (np.abs(distance) < 0.5 / len(dimension.options)).astype(float)
    if len(having) == 0:
        return np.zeros(distance.shape)
    scott = dimension.places[having].std() * len(having) ** (-1 / 6)
    bandwidth = max(scott, _NARROWEST)
    return np.exp(-0.5 * (distance / bandwidth) ** 2)
