"""Who of several candidates is best, from values on common seeds: who gets more seeds, and what can be told apart.

Values of a seed are paired: all candidates have the same initial weights, batches and masks. So a seed's luck drops out
of their differences, and what is left is the noise of a candidate on a seed, whose variance is estimated from all of
them together (a two-way layout without interaction).

Shapes: S seeds, in the order in which they were trained, K candidates. Scores [S, K] are lower where better, NaN where
a candidate was not trained; who stops getting seeds gets none later.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

_OUT = 0.05  # a candidate is out where a paired test at this level says that it is worse than the first
_MOST_DF = 1000.0  # beyond which the distribution is a normal one


@dataclass(frozen=True, eq=False)
class Race:
    """What is known after some seeds.

    Attributes:
        scores: [S, K].
        lost: [K] bool: diverged, or undefined, on some seed, and out of the race.
        confidence: That all intervals together hold the true differences.
    """

    scores: np.ndarray
    lost: np.ndarray
    confidence: float = 0.95

    @cached_property
    def seeds(self) -> np.ndarray:
        """Int [K]: how many seeds each was trained with."""
        counts: np.ndarray = np.isfinite(self.scores).sum(axis=0)
        return counts

    @cached_property
    def order(self) -> list[int]:
        """Candidates, best first: by how long they were in the race, then by their mean; the lost come last."""
        means = np.array([_mean(column) for column in self.scores.T])
        keys = np.arange(len(self.lost)), np.where(self.lost, 0.0, means), -self.seeds, self.lost
        return np.lexsort(keys).tolist()  # goes by the last key first

    @cached_property
    def racing(self) -> np.ndarray:
        """Bool [K]: has got all seeds so far."""
        most: np.ndarray = ~self.lost & (self.seeds == self.seeds[~self.lost].max(initial=0))
        return most

    def noise(self, among: np.ndarray) -> tuple[float, float]:
        """Variance of a score once what its seed and its candidate have in common is taken away, and its freedom.

        NaN and 0 where there is too little to tell.

        Args:
            among: Bool [K], the candidates that are looked at.
        """
        scores = self.scores[:, among]
        seed, candidate = np.nonzero(np.isfinite(scores))
        num_seeds, num = scores.shape
        freedom = len(seed) - num_seeds - num + 1
        if num < 2 or freedom < 1:
            return np.nan, 0.0
        design = np.concatenate([np.eye(num_seeds)[seed], np.eye(num)[candidate]], axis=1)
        values = scores[seed, candidate]
        rest = values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
        return float(rest @ rest / freedom), float(freedom)

    def difference(self, candidate: int, among: np.ndarray | None = None) -> tuple[float, float, float]:
        """How much worse a candidate is than the first on the seeds of both, with its standard error and its freedom.

        The variance is that of all candidates still in the race and of this one, or that of these two, whichever is
        larger: few seeds tell little of two alone, and those that differ much from seed to seed must not pass for the
        others.

        Args:
            candidate: Its number.
            among: Bool [K], candidates whose noise counts; None for those still in the race.
        """
        paired = self.scores[:, candidate] - self.scores[:, self.order[0]]
        paired = paired[np.isfinite(paired)]
        known = (self.racing if among is None else among).copy()
        known[[candidate, self.order[0]]] = True
        variance, freedom = self.noise(known)
        if not len(paired):
            return np.nan, np.nan, 0.0
        variance = 2 * variance if len(paired) < 2 else np.fmax(2 * variance, paired.var(ddof=1))
        return float(paired.mean()), float(np.sqrt(variance / len(paired))), freedom

    def interval(self, candidate: int) -> tuple[float, float]:
        """The interval of that difference.

        Tukey's for all pairs, so that it may be looked at whoever comes first, and at all of them.
        """
        mean, error, freedom = self.difference(candidate)
        half = _all_pairs(self.confidence, int(np.sum(~self.lost)), freedom) * error
        return mean - half, mean + half

    @property
    def is_separable(self) -> bool | None:
        """Whether the first is better than the second beyond chance; None where there is no second, or one seed."""
        second = self.order[1] if len(self.order) > 1 else None
        if second is None or self.lost[second] or not self.difference(second)[2]:
            return None
        return self.interval(second)[0] > 0

    @property
    def left(self) -> np.ndarray:
        """Bool [K]: who gets more seeds: has got all so far, and is not worse than the first by a paired test.

        Whoever is out takes its noise along, so that the others are tested again without it.
        """
        left, out = self.racing.copy(), np.ones(len(self.lost), bool)
        while out.any():
            out = np.array([bool(left[n]) and self._is_worse(n, left) for n in range(len(left))])
            left &= ~out
        return left

    def _is_worse(self, candidate: int, among: np.ndarray) -> bool:
        from scipy.stats import t  # here, because it doubles the time to import jaxtune

        mean, error, freedom = self.difference(candidate, among)
        return candidate != self.order[0] and freedom > 0 and mean > float(t.ppf(1 - _OUT, freedom)) * error


def _mean(column: np.ndarray) -> float:
    known = column[np.isfinite(column)]
    return float(known.mean()) if len(known) else np.inf


@lru_cache(maxsize=256)
def _all_pairs(confidence: float, num: int, freedom: float) -> float:
    """Standard errors of a difference that the differences of all pairs of so many means stay within."""
    if num < 2 or freedom < 1:
        return float("nan")
    from scipy.stats import studentized_range  # as above

    return float(studentized_range.ppf(confidence, num, min(freedom, _MOST_DF)) / np.sqrt(2))
