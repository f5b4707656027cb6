"""What a smaller search would have found: the best of n trials as a function of n.

Dodge, Gururangan, Card, Schwartz and Smith, Show your work: improved reporting of experimental results, EMNLP 2019;
without replacement, as Tang et al., Showing your work doesn't always work, ACL 2020, correct it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

from jaxtune.results.history import History

_NUMBERS = 60  # of n, at most


@dataclass(frozen=True, eq=False)
class ExpectedBest:
    """The best of n trials that are drawn from those of a search.

    Attributes:
        num: Int [K], numbers of trials n, ascending from 1 to N.
        mean: Float [K], the expected best value.
        low: Float [K], lower end of the interval in which the best value lies in 95 % of the draws.
        high: Float [K], its upper end.
    """

    num: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def expected_best(values: np.ndarray, mode: str) -> ExpectedBest:
    """The exact distribution of the best of n of N values, drawn without replacement.

    Only trials that were trained alike and chosen independently of one another say what fewer of them would find.

    Args:
        values: Float [N]; those that are not finite count as the worst one.
        mode: "min" or "max", which way values are better.

    Raises:
        ValueError: No value is finite.

    Example:
        >>> import numpy as np
        >>> found = expected_best(np.array([1.0, 2.0, 3.0]), "min")
        >>> found.num.tolist(), found.mean.round(3).tolist()
        ([1, 2, 3], [2.0, 1.333, 1.0])
    """
    finite = np.isfinite(values)
    if not finite.any():
        raise ValueError("expected_best needs a finite value, and there is none.")
    sign = 1.0 if mode == "min" else -1.0
    cost = np.sort(np.where(finite, sign * values, (sign * values[finite]).max()))  # [N], best first
    total = len(cost)
    num = np.unique(np.geomspace(1, total, _NUMBERS).round().astype(int))
    chance = np.exp(
        _log_combinations(total - 1 - np.arange(total), num[:, None] - 1) - _log_combinations(total, num)[:, None]
    )
    up_to = chance.cumsum(axis=1)  # [K, N]: that the best is among the first
    ends = [sign * cost[np.minimum((up_to < share).sum(axis=1), total - 1)] for share in (0.025, 0.975)]
    low, high = ends if mode == "min" else ends[::-1]
    return ExpectedBest(num, sign * (chance @ cost), low, high)


def sample(history: History, metric: str) -> tuple[int, np.ndarray] | None:
    """The last step to which all trials of the first generation were trained, and their values there, float [N].

    None where fewer trials would not have been a smaller search, because they copied one another, or no value is
    finite.
    """
    own = np.flatnonzero(history.generation == 0)
    together = np.flatnonzero(history.active[:, own].all(axis=1))
    if len(together) == 0 or (history.source != np.arange(history.num_trials)).any():
        return None
    values = history.mean(metric)[together[-1], own]
    return (int(history.step[together[-1]]), values) if np.isfinite(values).any() else None


def _log_combinations(number: np.ndarray | int, chosen: np.ndarray) -> np.ndarray:
    """Logarithm of the binomial coefficient; -inf where more are chosen than there are."""
    rest = np.asarray(number) - chosen
    some = gammaln(np.asarray(number) + 1.0) - gammaln(chosen + 1.0) - gammaln(np.maximum(rest, 0) + 1.0)
    return np.where(rest >= 0, some, -np.inf)
