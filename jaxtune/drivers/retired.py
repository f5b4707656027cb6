"""Weights of trials that stopped early, kept aside while they compete: the best few of each bracket."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np


class Retired(NamedTuple):
    """A trial that stopped early."""

    score: float  # lower is better
    trial: int
    bracket: int
    state: Any = None


def retire(
    known: Sequence[Retired],
    out: np.ndarray,
    scores: np.ndarray,
    bracket: np.ndarray,
    most: int,
    state_of: Callable[[int], Any],
) -> list[Retired]:
    """Who has weights kept aside once more trials have stopped.

    Args:
        known: Who has them so far.
        out: [T] bool, trials that have just stopped.
        scores: [T], of all trials.
        bracket: [T], of all trials.
        most: How many of a bracket are kept.
        state_of: Fetches the weights of a trial; called for those that remain.
    """
    new = {int(t): Retired(float(scores[t]), int(t), int(bracket[t])) for t in np.flatnonzero(out)}
    kept: list[Retired] = []
    for number in sorted({one.bracket for one in (*known, *new.values())}):
        rivals = [one for one in (*known, *new.values()) if one.bracket == number]
        kept += sorted(rivals, key=lambda one: one[:2])[:most]  # ties: the lower id
    return [one._replace(state=state_of(one.trial)) if one.trial in new else one for one in kept]
