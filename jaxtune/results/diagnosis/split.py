"""The threshold or option of a hyperparameter that best parts trials of two kinds: a decision tree's first cut.

Shapes: T trials.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from jaxtune.results.analysis.dimensions import Dimension
from jaxtune.results.diagnosis.words import percent, rounded

_MIN_SIDE = 5  # trials on each side, below which a share says little
_MIN_GAIN = 15.0  # of the likelihood ratio (G) statistic; random cuts of a hundred trials in ten dimensions stay below
_MOST = 0.5  # beyond the threshold more than half are of the kind, and a clear majority of all
_FEW = 0.5  # before it at most half as large a share
_MOST_SPLITS = 2  # a range has two ends


@dataclass(frozen=True, eq=False)
class Split:
    """A part of the values of a hyperparameter, with which most trials are of the kind that was looked for.

    Attributes:
        dimension: Of the hyperparameter.
        side: The part, such as "above 0.3" or "sgd".
        other_side: The rest of them.
        beyond: Bool [T], the trials of the part.
        inside: Share of the kind among these.
        outside: Share of the kind among all others.
        gain: The likelihood ratio statistic of the two shares.
    """

    dimension: Dimension
    side: str
    other_side: str
    beyond: np.ndarray
    inside: float
    outside: float
    gain: float

    @property
    def is_clear(self) -> bool:
        """Whether it tells where trials of the kind are, beyond chance."""
        return self.gain >= _MIN_GAIN and self.inside > _MOST and self.outside <= _FEW * self.inside


def told(splits: Sequence[Split]) -> str:
    """A sentence about the shares, such as "They are 85 % of the trials with lr above 0.3, and 2 % of the others."."""
    first, *more = splits
    parts = [f"{percent(first.inside)} of the trials with {first.dimension.name} {first.side}"]
    for one in more:
        name = "" if one.dimension.name == first.dimension.name else f"with {one.dimension.name} "
        parts.append(f"{percent(one.inside)} of those {name}{one.side}")
    return f"They are {', '.join(parts)}, and {percent(splits[-1].outside)} of the others."


def advised(splits: Sequence[Split]) -> str:
    """The settings that leave these trials out, such as "lr above 0.001 and below 0.3" or "opt adam"."""
    names = [one.dimension.name for one in splits]
    told = [f"{'' if n and names[n - 1] == name else f'{name} '}" for n, name in enumerate(names)]
    return " and ".join(f"{name}{one.other_side}" for name, one in zip(told, splits, strict=True))


def best_splits(
    dimensions: Sequence[Dimension], kind: np.ndarray, known: np.ndarray, winner: int | None
) -> list[Split]:
    """The clearest threshold, and that for what is left, which may be at the other end; none that the winner is beyond.

    Args:
        dimensions: Numeric ones.
        kind: Bool [T].
        known: Bool [T], the trials that count.
        winner: Its id, if there is one.
    """
    found: list[Split] = []
    while len(found) < _MOST_SPLITS and (split := best_split(dimensions, kind, known)) is not None:
        found.append(split)
        known = known & ~split.beyond
    return [split for split in found if winner is None or not split.beyond[winner]]


def best_split(dimensions: Iterable[Dimension], kind: np.ndarray, known: np.ndarray) -> Split | None:
    """The threshold or option that tells most about who is of a kind, by information gain; None where none is clear.

    Args:
        dimensions: Of all kinds.
        kind: Bool [T].
        known: Bool [T], the trials that count.
    """
    found = [
        split
        for one in dimensions
        for split in (_options if one.kind == "category" else _threshold)(one, kind, known & np.isfinite(one.places))
    ]
    best = max(found, key=lambda split: split.gain, default=None)
    return best if best is not None and best.is_clear else None


def _threshold(one: Dimension, kind: np.ndarray, known: np.ndarray) -> Iterator[Split]:
    trials = np.flatnonzero(known)
    order = trials[np.argsort(one.places[trials], kind="stable")]
    places, hits = one.places[order], np.cumsum(kind[order])
    below = np.arange(1, len(order) + 1)
    fits = (below >= _MIN_SIDE) & (len(order) - below >= _MIN_SIDE) & np.append(places[1:] > places[:-1], False)
    if not fits.any():
        return
    counts = np.stack([hits, below - hits, hits[-1] - hits, len(order) - below - hits[-1] + hits])  # [4, T]
    at = int(np.argmax(np.where(fits, _gain(counts), -1.0)))
    place = (places[at] + places[at + 1]) / 2
    cut = rounded(one.value_at(place))
    yield _of_parts(
        one, kind, known & (one.places < place), known & (one.places > place), f"below {cut}", f"above {cut}"
    )


def _options(one: Dimension, kind: np.ndarray, known: np.ndarray) -> Iterator[Split]:
    """Each option against all others that trials have."""
    option = np.where(known, one.places * one.high, -1.0).astype(int)
    tried = np.unique(option[known])
    for this in tried:
        there, rest = known & (option == this), known & (option != this)
        if min(there.sum(), rest.sum()) >= _MIN_SIDE:
            others = " or ".join(one.options[other] for other in tried if other != this)
            yield _of_parts(one, kind, there, rest, one.options[this], others)


def _of_parts(one: Dimension, kind: np.ndarray, a: np.ndarray, b: np.ndarray, named_a: str, named_b: str) -> Split:
    """Of two parts of the trials, bool [T] each, the one with more of the kind."""
    counts = np.array([(kind & a).sum(), (~kind & a).sum(), (kind & b).sum(), (~kind & b).sum()])
    gain, share_a, share_b = float(_gain(counts)), float(kind[a].mean()), float(kind[b].mean())
    if share_b > share_a:
        return Split(one, named_b, named_a, b, share_b, share_a, gain)
    return Split(one, named_a, named_b, a, share_a, share_b, gain)


def _gain(counts: np.ndarray) -> np.ndarray:
    """The G statistic of tables of two by two, [4, ...]: of the kind and not, below and above."""
    a, b, c, d = counts
    total = a + b + c + d

    def term(x: np.ndarray) -> np.ndarray:
        return x * np.log(np.maximum(x, 1))

    sides = term(a + b) + term(c + d) + term(a + c) + term(b + d)
    return 2 * (term(a) + term(b) + term(c) + term(d) + term(total) - sides)
