"""Rules about ranges: the best value at an end, and values at which training diverges."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from jaxtune.results.analysis.dimensions import Dimension
from jaxtune.results.diagnosis.facts import NUM_LEADERS, Facts
from jaxtune.results.diagnosis.finding import Rule, Seen
from jaxtune.results.diagnosis.split import advised, best_split, told
from jaxtune.results.diagnosis.words import counted, ids, of_best, rounded
from jaxtune.results.text import short

_ZONE = 0.05, 0.1  # of a range, on its own scale, that counts as its end; wide where trials are few
_SPREAD = 3  # trials that lie in it where there are few and all are spread evenly
_BEST_OF = 10  # the best are a tenth of all trials, two at least and five at most: few trials can't crowd at an end
_CHANCE = 0.02  # that so many of the best lie there by themselves; several hyperparameters have two ends each
_NEARLY_ONE = 0.9  # an end from here to 1 is that of shares, such as decay rates; learning rates end well below
_WASTED = 0.1  # of all trials diverged: fewer are what finding the highest learning rate costs
_GRADIENTS = "gradients (optax.clip_by_global_norm(1.0))"


def edge(facts: Facts) -> Iterator[Seen]:
    """Ends of ranges at which the best trials crowd."""
    num = facts.history.num_trials
    best = facts.ranked[: min(max(num // _BEST_OF, 2), NUM_LEADERS)]
    zone = float(np.clip(_SPREAD / num, *_ZONE))
    for one in facts.numbers:
        for end in (0.0, 1.0):
            there = np.abs(one.places - end) <= zone
            if one.bounded and _is_crowded(facts, best, there, zone):
                yield _at_end(one, end, best, there)


def _is_crowded(facts: Facts, best: list[int], there: np.ndarray, zone: float) -> bool:
    """Whether the winner and half of the best lie where so many would hardly lie by chance.

    The chance of one is what all others of the first generation have there, which were chosen knowing nothing.
    """
    from scipy.stats import binom  # here, because it doubles the time to import jaxtune

    if not best or not there[best[0]]:
        return False
    others = facts.history.generation == facts.history.generation.min()
    others[best] = False
    chance = max(zone, float(there[others].mean())) if others.any() else zone
    num = int(there[best].sum())
    return 2 * num >= len(best) and bool(binom.sf(num - 1, len(best), chance) <= _CHANCE)


def _at_end(one: Dimension, end: float, best: list[int], there: np.ndarray) -> Seen:
    trials = [trial for trial in best if there[trial]]
    side, further, limit = ("upper", "higher", one.high) if end else ("lower", "lower", one.low)
    what = (
        f"The best value of {one.name} lies at the {side} end of its range: {short(one.values[trials[0]])} (trial "
        f"{trials[0]}) of {short(one.low)} to {short(one.high)}{of_best(len(trials), len(best))}."
    )
    if _is_natural(one, end):
        advice = (
            f"Fix {one.name} at {short(limit)} if it can't go beyond, and search others instead; else widen the range."
        )
    else:
        what += " Better values may lie beyond."
        advice = (
            f"Search again with {further} values of {one.name}, to about {_beyond(one, end)}; previous=result keeps "
            "the trials that there are."
        )
    return Seen(what, advice, ids(trials), one.name)


def _is_natural(one: Dimension, end: float) -> bool:
    """Whether a range ends where such numbers tend to end: rates at 0 and 1, counts at 0 and 1."""
    if one.integer:
        return not end and one.low in (0, 1)
    return one.high == 1.0 if end else one.low == 0.0


def _is_share(one: Dimension) -> bool:
    """Whether a range looks like one of probabilities or decay rates, which can't be above 1."""
    passes = one.kind == "linear" and one.high + (one.high - one.low) / 2 > 1
    return one.low >= 0 and one.high <= 1 and (passes or one.high >= _NEARLY_ONE)


def _beyond(one: Dimension, end: float) -> str:
    """A new end, further out; of whole numbers by one at least."""
    value = _further(one, end)
    if not one.integer:
        # Of decay rates, what counts is how much is missing from 1.
        return f"{1 - float(rounded(1 - value)):.6g}" if end and _is_share(one) else rounded(value)
    if end:
        return str(max(round(value), int(one.high) + 1))
    value = min(round(value), int(one.low) - 1)
    return str(max(value, 1) if one.low > 0 else value)


def _further(one: Dimension, end: float) -> float:
    """Out by half of what is missing from 1, a quarter of a logarithmic range, or half of a linear one."""
    if end and _is_share(one):
        return one.high + (1 - one.high) / 2
    if one.kind == "log":
        factor = (one.high / one.low) ** 0.25
        return one.high * factor if end else one.low / factor
    half = (one.high - one.low) / 2
    value = one.high + half if end else one.low - half
    return max(value, one.low / 2) if one.low > 0 else value


def diverged(facts: Facts) -> Iterator[Seen]:
    """Many trials that diverged, and where."""
    failed = facts.history.failed
    if failed.mean() < _WASTED:
        return
    what = f"{counted(int(failed.sum()), len(failed))} trials diverged: their loss was no finite number any more."
    trials = ids(np.flatnonzero(failed))
    split = best_split(facts.dimensions, failed, np.ones(len(failed), bool))
    if split is None:
        rates = "Search lower learning rates, or clip" if facts.has_learning_rate else "Clip"
        yield Seen(what, f"{rates} {_GRADIENTS}.", trials)
    elif facts.winner is not None and split.beyond[facts.winner]:
        advice = f"The best trial is among them, so keep such values, and clip {_GRADIENTS}."
        yield Seen(f"{what} {told([split])}", advice, trials, split.dimension.name)
    else:
        advice = f"Search {advised([split])} only, or clip {_GRADIENTS}."
        yield Seen(f"{what} {told([split])}", advice, trials, split.dimension.name)


RULES = (
    Rule(
        "edge",
        "The winner and half of the best tenth (two to five trials) lie within 5 % of an end of a range (10 % where "
        "trials are few), more than chance would put there. Not for hyperparameters that population-based training "
        "changes: it moves them to ends by itself.",
        "Widen the range there; where it can't go on, fix the value.",
        "Godbole, Dahl, Gilmer, Shallue, Nado: Deep Learning Tuning Playbook, 2023, Identifying bad search space "
        "boundaries",
        edge,
    ),
    Rule(
        "diverged",
        "10 % or more of the trials diverged; with the threshold or the option of a hyperparameter that parts "
        "them best.",
        "Search on the other side of the threshold, or other options, or clip gradients.",
        "Pascanu, Mikolov, Bengio: On the difficulty of training recurrent neural networks, 2013; Quinlan: Induction "
        "of decision trees, 1986 (the threshold)",
        diverged,
    ),
)
