"""The rule about ranges that are wider than they need be: where all of the best trials lie close together.

Shapes: k of T trials.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from jaxtune.results.analysis.dimensions import Dimension
from jaxtune.results.diagnosis.curves import slow
from jaxtune.results.diagnosis.facts import Facts
from jaxtune.results.diagnosis.finding import Rule, Seen
from jaxtune.results.diagnosis.ranges import diverged, edge
from jaxtune.results.diagnosis.words import enumerated, ids, outward

_BEST_OF = 10  # the best are a tenth of all trials
_FEWEST = 10  # of them, which lie within half of a range by chance with a probability of 1 %
_HALF = 0.5  # of a range, on its own scale: leaving out less saves little
_CHANCE = 0.05  # that the best lie so close together in any of the hyperparameters by themselves
_ROOM = 0.05  # of a range, left on each side of the best


@dataclass(frozen=True, eq=False)
class _Part:
    """The part of a numeric range that holds the best trials.

    Attributes:
        dimension: Of the hyperparameter.
        low: Its lower end, as a place in [0, 1].
        high: Its upper end.
    """

    dimension: Dimension
    low: float
    high: float

    def __str__(self) -> str:
        low, high = (self._text(place, upper) for place, upper in ((self.low, False), (self.high, True)))
        if low == high:
            return f"{self.name} {low}"
        if self.low <= _ROOM:
            return f"{self.name} of at most {high}"
        return f"{self.name} {f'of at least {low}' if self.high >= 1 - _ROOM else f'from {low} to {high}'}"

    @property
    def name(self) -> str:
        """Of the hyperparameter."""
        return self.dimension.name

    @property
    def domain(self) -> str:
        """As one writes it in a space, with a little room."""
        one = self.dimension
        low, high = self._text(self.low - _ROOM, False), self._text(self.high + _ROOM, True)
        kind = "Integer" if one.integer else "LogUniform" if one.kind == "log" else "Uniform"
        log = ", log=True" if one.integer and one.kind == "log" else ""
        step = f", step={self._step}" if one.integer and self._step > 1 else ""
        return f'"{self.name}": jt.{kind}({low}, {high}{log}{step})'

    @property
    def _step(self) -> int:
        """The distance between whole numbers that were tried."""
        values = [int(value) for value in np.array(self.dimension.values)[np.isfinite(self.dimension.places)]]
        return math.gcd(*(value - int(self.dimension.low) for value in values))

    def _text(self, place: float, upper: bool) -> str:
        """The value at a place, rounded outward but not out of the range that was searched."""
        one = self.dimension
        value = one.value_at(place)
        if one.integer:
            steps = (value - one.low) / self._step
            value = one.low + self._step * (math.ceil(steps - 1e-6) if upper else math.floor(steps + 1e-6))
        else:
            value = outward(value, upper, value if one.kind == "log" else _HALF * (one.high - one.low))
        return f"{min(max(value, one.low), one.high):.6g}"


@dataclass(frozen=True, eq=False)
class _Options:
    """The options of a category that the best trials have.

    Attributes:
        name: Of the hyperparameter.
        options: Their texts.
    """

    name: str
    options: list[str]

    def __str__(self) -> str:
        return f"{self.name} {' or '.join(self.options)}"

    @property
    def domain(self) -> str:
        """In words, for an option may be anything."""
        return f"{self.name} only {' or '.join(self.options)}"


def _narrow(facts: Facts) -> Iterator[Seen]:
    if facts.explored:
        return
    # Trials of later generations may have been put where good ones were.
    peers = facts.history.generation == facts.history.generation.min()
    best = [trial for trial in facts.ranked if peers[trial]][: peers.sum() // _BEST_OF]
    if len(best) < _FEWEST:
        return
    told = {seen.hyperparameter for rule in (edge, diverged, slow) for seen in rule(facts)}
    others = peers & ~np.isin(np.arange(len(peers)), best)
    asked = [one for one in facts.dimensions if one.name not in told and (one.bounded or one.kind == "category")]
    parts = [part for one in asked if (part := _part(one, best, others, _CHANCE / len(asked))) is not None]
    if parts:
        yield Seen(
            f"The best {len(best)} of {'' if peers.all() else 'the first '}{peers.sum()} trials have "
            f"{enumerated(list(map(str, parts)))}.",
            f"Search there: {', '.join(part.domain for part in parts)}.",
            ids(best),
            parts[0].name if len(parts) == 1 else None,
        )


def _part(one: Dimension, best: list[int], others: np.ndarray, level: float) -> _Part | _Options | None:
    """What holds the best trials of a hyperparameter, if it is small and chance can't explain it."""
    places = one.places[best]
    places, drawn = places[np.isfinite(places)], one.places[others & np.isfinite(one.places)]
    if len(places) < _FEWEST or not len(drawn):
        return None
    if one.kind == "category":
        found = np.unique(places)
        share = float(np.isin(drawn, found).mean())
        ways = math.comb(len(np.unique(np.append(drawn, found))), len(found))
        named = [one.options[int(place * len(one.options))] for place in found]
        return _Options(one.name, named) if ways * share ** len(places) <= level else None
    low, high = float(places.min()), float(places.max())
    share = max(high - low, float(np.mean((drawn >= low) & (drawn <= high))))
    return _Part(one, low, high) if share < _HALF and _within(share, len(places)) <= level else None


def _within(width: float, num: int) -> float:
    """The probability that the range of so many uniform draws from [0, 1] is at most so wide."""
    return num * width ** (num - 1) - (num - 1) * width**num


RULES = (
    Rule(
        "narrow",
        "All of the best tenth (ten trials at least, of the first generation) lie within half of a range, on its own "
        "scale, or have some of the options only, and chance would put them there in 5 % of searches at most. Not for "
        "hyperparameters that *edge*, *diverged* or *slow* speaks of.",
        "Search there, with a little room.",
        "Godbole, Dahl, Gilmer, Shallue, Nado: Deep Learning Tuning Playbook, 2023; Bergstra, Bengio: Random search "
        "for hyper-parameter optimization, 2012",
        _narrow,
    ),
)
