"""The rule about hyperparameters that hardly matter."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from jaxtune.results.analysis.dimensions import Dimension
from jaxtune.results.analysis.importance import importance
from jaxtune.results.diagnosis.facts import Facts
from jaxtune.results.diagnosis.finding import Rule, Seen
from jaxtune.results.diagnosis.words import enumerated
from jaxtune.results.text import short

_REGIONS = 1.0, 0.5  # gross mistakes decide among all trials, and hide what matters among the better half
_IDLE = 0.1  # share of a hyperparameter, below which little is lost by fixing it
_OF_EVEN = 0.5  # of an even share: among many hyperparameters each has a small one, also where all matter alike


def _irrelevant(facts: Facts) -> Iterator[Seen]:
    if facts.chosen or not facts.ranked:
        return  # values that were chosen for being good no longer tell what is bad
    idle = _idle(facts)
    if not idle:
        return
    several, fixed = len(idle) > 1, enumerated([_at_winner(facts, name) for name in idle])
    yield Seen(
        f"{enumerated(list(idle))} hardly matter{'' if several else 's'}, neither among all trials nor among the "
        f"better half of them: {'each' if several else 'it'} has at most {math.ceil(100 * max(idle.values()))} % of "
        "all importance (95 % confidence).",
        f"Fix {fixed}, as the winner has {'them' if several else 'it'}, and search fewer hyperparameters or "
        "others instead.",
        hyperparameter=None if several else next(iter(idle)),
    )


def _idle(facts: Facts) -> dict[str, float]:
    """Name -> highest share, of those that have a low one in all regions; the most important there first."""
    try:
        found = [importance(facts.result, region=region) for region in _REGIONS]
    except ValueError:
        return {}  # there are too few trials
    limit = min(_IDLE, _OF_EVEN / len(found[0]))
    highest = {one.name: max(shares[one.name].high for shares in found) for one in found[-1]}
    vary = {one.name for one in facts.dimensions if _varies(one)}
    return {name: high for name, high in highest.items() if high < limit and name in vary}


def _varies(one: Dimension) -> bool:
    """Whether trials that have a hyperparameter differ in it: a constant of one branch is fixed already."""
    return len(np.unique(one.places[np.isfinite(one.places)])) > 1


def _at_winner(facts: Facts, name: str) -> str:
    """A hyperparameter with its value, if the winner has one."""
    one = next(one for one in facts.dimensions if one.name == name)
    place = one.places[facts.ranked[0]]
    if np.isnan(place):
        return name
    known = one.options[int(place * one.high)] if one.options else short(one.values[facts.ranked[0]], 2)
    return f"{name} at {known}"


RULES = (
    Rule(
        "irrelevant",
        "The share of the hyperparameter in `jt.importance` is below 10 %, and below half of an even share where there "
        "are more than five, with 95 % confidence: among all trials and among the better half (`region=0.5`). Searches "
        "of one generation only.",
        "Fix it, such as at the winner's value.",
        "Watanabe, Bansal, Hutter: PED-ANOVA, 2023; Bergstra, Bengio: Random search for hyper-parameter optimization, "
        "2012",
        _irrelevant,
        needs=(Facts.lacks_draws,),
    ),
)
