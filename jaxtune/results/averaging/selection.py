"""Who is averaged with which weight: ensemble selection, on values that somebody else computes.

Caruana, Niculescu-Mizil, Crew and Ksikes, "Ensemble selection from libraries of models", ICML 2004.
"""

from collections.abc import Callable

import numpy as np

Costs = Callable[[np.ndarray], np.ndarray]  # from counts [K] to the cost [K] of one more of each, low is good


def greedy(costs: Costs, candidates: np.ndarray, num: int, size: int) -> np.ndarray:
    """Adds so many candidates, one at a time and each as often as it helps most, and keeps the best beginning of it.

    Args:
        costs: Of averages; what is no number counts as the worst.
        candidates: Their numbers, [C] below K, ascending; the first of equally good ones is taken.
        num: K.
        size: How many are added.

    Returns:
        How often each is in, int [K].
    """
    counts, best, kept = np.zeros(num, int), np.inf, np.zeros(num, int)
    for _ in range(size):
        values = costs(counts)[candidates]
        values = np.where(np.isnan(values), np.inf, values)
        counts[candidates[np.argmin(values)]] += 1
        if values.min() < best or not kept.any():
            best, kept = values.min(), counts.copy()
    return kept


def bagged(costs: Costs, num: int, size: int, bags: int, seed: int) -> np.ndarray:
    """The mean over selections from random halves of the candidates, which depend less on single values.

    A bag has half of the candidates, but as many as are to be selected where there are so many: of few candidates all,
    so that there is one selection only.

    Args:
        costs: See `greedy`.
        num: K.
        size: How many are selected in each bag.
        bags: How many bags there are; one holds all candidates.
        seed: Of the bags.

    Returns:
        Weights, float [K], with sum 1.
    """
    share = num if bags == 1 else max((num + 1) // 2, min(num, size))
    if share == num:
        bags = 1
    rng, known = np.random.default_rng(seed), dict[bytes, np.ndarray]()

    def once(counts: np.ndarray) -> np.ndarray:
        """All bags begin alike."""
        key = counts.tobytes()
        if key not in known:
            known[key] = costs(counts)
        return known[key]

    drawn = [np.sort(rng.choice(num, share, replace=False)) for _ in range(bags)]
    counts = [greedy(once, candidates, num, size) for candidates in drawn]
    return np.mean([one / one.sum() for one in counts], axis=0)
