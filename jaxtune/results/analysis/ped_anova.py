"""Importances by PED-ANOVA: how differently good trials lie along a hyperparameter than trials do in general.

Watanabe, Bansal and Hutter, PED-ANOVA: efficiently quantifying hyperparameter importance in arbitrary subspaces, IJCAI
2023 (arXiv:2304.10255). For hyperparameters that only some trials have, the share of trials that have it counts too, as
in Conditional PED-ANOVA, 2026 (arXiv:2601.20800).

Shapes: n trials, D dimensions, C cells that a dimension is divided into and one more for trials without it, B
repetitions.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.special import ndtr

CELLS = 50
_REPETITIONS = 200
_CONFIDENCE = 0.95
_PRIOR = 1.0  # trials that are spread over the whole range, so that no density is 0
_NARROWEST = 0.5 / 1.64  # bandwidth of a kernel that has 90 % of its mass in one cell


def shares(
    places: np.ndarray, cells: np.ndarray, category: np.ndarray, top: int, region: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each dimension's share of what tells the best trials from those of a region, with a 95 % interval.

    Any few trials lie differently along a dimension than all do, whether it matters or not: what as many trials chosen
    by chance would show is subtracted, so that the share of noise is near 0. Intervals are from bootstrap samples of
    the trials, from which theirs is subtracted.

    Args:
        places: Float [n, D] in [0, 1], trials in rows from the best to the worst; NaN where one has no such dimension.
        cells: Int [D], number of cells: options of a category, at most `CELLS` for numbers.
        category: Bool [D], its cells have no order.
        top: How many of the first rows are the best trials.
        region: How many of the first rows are what they are compared with, more than `top`.

    Returns:
        Shares, their lower and upper ends, float [D] each; shares add up to 1, or all are 0.

    Example:
        >>> import numpy as np
        >>> decides, noise = np.linspace(0.0, 1.0, 200), np.random.default_rng(0).random(200)
        >>> places = np.stack([decides, noise], axis=1)
        >>> found, low, high = shares(places, np.array([50, 50]), np.array([False, False]), top=20, region=200)
        >>> bool(found[0] > 0.9), bool(low[1] == 0.0)
        (True, True)
    """
    rng = np.random.default_rng(0)
    index = _cell_of(places, cells, category)
    rows = np.arange(region)
    drawn = [np.sort(rng.integers(0, len(places), len(places)))[:region] for _ in range(_REPETITIONS)]

    def told(samples: list[np.ndarray], shuffled: bool) -> np.ndarray:
        best = [(rng.permutation(sample) if shuffled else sample)[:top] for sample in samples]
        return divergence(_counts(index, best, cells), _counts(index, samples, cells), cells, category)

    seen = told([rows], shuffled=False) - told([rows] * _REPETITIONS, shuffled=True).mean(axis=0)
    again = told(drawn, shuffled=False) - told(drawn, shuffled=True).mean(axis=0)
    share, repeated = _normalised(seen)[0], _normalised(again)
    tail = 50 * (1 - _CONFIDENCE)
    low, high = np.percentile(repeated, [tail, 100 - tail], axis=0)
    return share, np.minimum(low, share), np.maximum(high, share)


def divergence(top: np.ndarray, region: np.ndarray, cells: np.ndarray, category: np.ndarray) -> np.ndarray:
    """Pearson divergence of the best trials' density from the region's, along each dimension.

    Args:
        top: Int [B, D, C + 1], the best trials in each cell and, last, those that have no such dimension.
        region: Int [B, D, C + 1], those that they are compared with.
        cells: Int [D].
        category: Bool [D].

    Returns:
        Float [B, D]; of a dimension that only some trials have that among these, times (share of the best that have
        it)^2 / (share of the region that has it).
    """
    found = np.zeros(top.shape[:2])
    for d, (num, is_category) in enumerate(zip(cells, category, strict=True)):
        tables = (counts[:, d, :num] for counts in (top, region))
        best, others = (_with_prior(counts if is_category else _smoothed(counts)) for counts in tables)
        having = _share_having(top[:, d]) ** 2 / np.maximum(_share_having(region[:, d]), 1e-12)
        found[:, d] = having * (others * (best / others - 1.0) ** 2).sum(axis=1)
    return found


def _cell_of(places: np.ndarray, cells: np.ndarray, category: np.ndarray) -> np.ndarray:
    """Int [n, D]: the cell in which a trial lies; C where it has no such dimension."""
    position = np.where(category, np.floor(places * cells), np.round(places * (cells - 1)))
    return np.where(np.isnan(places), cells.max(), np.clip(position, 0, cells - 1)).astype(int)


def _counts(index: np.ndarray, samples: list[np.ndarray], cells: np.ndarray) -> np.ndarray:
    """Int [B, D, C + 1]: how many trials of each sample of rows lie in each cell."""
    shape = len(cells), cells.max() + 1
    flat = index + shape[1] * np.arange(len(cells))
    counts = [np.bincount(flat[rows].ravel(), minlength=np.prod(shape)) for rows in samples]
    return np.stack(counts).reshape(len(samples), *shape)


def _share_having(counts: np.ndarray) -> np.ndarray:
    return 1.0 - counts[:, -1] / counts.sum(axis=1)


def _smoothed(counts: np.ndarray) -> np.ndarray:
    """Float [B, C]: counts [B, C] spread by normal kernels, none of which leaves the range."""
    num = counts.shape[1]
    distance = np.arange(1 - num, num)
    edges = (np.append(distance, num) - 0.5) / _bandwidth(counts)[:, None]
    mass = np.diff(ndtr(edges), axis=1)  # by distance
    kernels = sliding_window_view(mass, num, axis=1)[:, ::-1]  # [B, from C, to C]
    return np.einsum("bc,bcg->bg", counts / kernels.sum(axis=2), kernels)


def _with_prior(counts: np.ndarray) -> np.ndarray:
    smoothed = counts + _PRIOR / counts.shape[1]
    return smoothed / smoothed.sum(axis=1, keepdims=True)


def _bandwidth(counts: np.ndarray) -> np.ndarray:
    """Float [B] in cells: Scott's rule with the smaller of standard deviation and interquartile range."""
    position, number = np.arange(counts.shape[1]), np.maximum(counts.sum(axis=1), 1)
    mean = counts @ position / number
    variance = (counts * (position - mean[:, None]) ** 2).sum(axis=1) / np.maximum(number - 1, 1)
    below = counts.cumsum(axis=1).T
    first = (below < np.maximum(number // 4, 1)).sum(axis=0)
    third = (below <= 3 * number // 4).sum(axis=0)
    spread = np.minimum((third - first) / 1.34, np.sqrt(variance))
    return np.maximum(1.059 * spread * number**-0.2, _NARROWEST)


def _normalised(divergences: np.ndarray) -> np.ndarray:
    """Shares [B, D] of what is above chance; all 0 where nothing is."""
    above = np.maximum(divergences, 0.0)
    total = above.sum(axis=1, keepdims=True)
    return np.divide(above, total, out=np.zeros_like(above), where=total > 0)
