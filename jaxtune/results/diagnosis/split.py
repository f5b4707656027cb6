"""The single threshold on a hyperparameter that best parts trials of two kinds, as the first cut of a decision tree.

Shapes: T trials.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
    """A threshold, beyond which most trials are of the kind that was looked for.

    Attributes:
        dimension: Of the hyperparameter.
        cut: Its value at the threshold.
        above: Whether they lie above it, or else below.
        beyond: Bool [T], the trials there.
        inside: Share of the kind among these.
        outside: Share of the kind among all others.
        gain: The likelihood ratio statistic of the two shares.
    """

    dimension: Dimension
    cut: float
    above: bool
    beyond: np.ndarray
    inside: float
    outside: float
    gain: float

    @property
    def is_clear(self) -> bool:
        """Whether it tells where trials of the kind are, beyond chance."""
        return self.gain >= _MIN_GAIN and self.inside > _MOST and self.outside <= _FEW * self.inside

    @property
    def side(self) -> str:
        """Where trials of the kind are, such as "above 0.3"."""
        return f"{'above' if self.above else 'below'} {rounded(self.cut)}"

    @property
    def other_side(self) -> str:
        """Where they are not."""
        return f"{'below' if self.above else 'above'} {rounded(self.cut)}"


def told(splits: Sequence[Split]) -> str:
    """A sentence about the shares, such as "That is 85 % of those with lr above 0.3, and 2 % of the others."."""
    parts = [f"{percent(one.inside)} of those with {one.dimension.name} {one.side}" for one in splits]
    return f"That is {', '.join(parts)}, and {percent(splits[-1].outside)} of the others."


def advised(splits: Sequence[Split]) -> str:
    """The settings that leave these trials out, such as "lr above 0.001 and below 0.3"."""
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
    """The threshold that tells most about who is of a kind, by information gain; None where none is clear.

    Args:
        dimensions: Numeric ones.
        kind: Bool [T].
        known: Bool [T], the trials that count.
    """
    found = [split for one in dimensions if (split := _of_dimension(one, kind, known)) is not None]
    best = max(found, key=lambda split: split.gain, default=None)
    return best if best is not None and best.is_clear else None


def _of_dimension(dimension: Dimension, kind: np.ndarray, known: np.ndarray) -> Split | None:
    trials = np.flatnonzero(known & np.isfinite(dimension.places))
    order = trials[np.argsort(dimension.places[trials], kind="stable")]
    places, hits = dimension.places[order], np.cumsum(kind[order])
    below = np.arange(1, len(order) + 1)
    fits = (below >= _MIN_SIDE) & (len(order) - below >= _MIN_SIDE) & np.append(places[1:] > places[:-1], False)
    if not fits.any():
        return None
    counts = np.stack([hits, below - hits, hits[-1] - hits, len(order) - below - hits[-1] + hits])  # [4, T]
    at = int(np.argmax(np.where(fits, _gain(counts), -1.0)))
    low, high = hits[at] / below[at], (hits[-1] - hits[at]) / (len(order) - below[at])
    place = (places[at] + places[at + 1]) / 2
    above = bool(high > low)
    beyond = known & ((dimension.places > place) if above else (dimension.places < place))
    shares = float(max(low, high)), float(min(low, high))
    return Split(dimension, dimension.value_at(place), above, beyond, *shares, float(_gain(counts)[at]))


def _gain(counts: np.ndarray) -> np.ndarray:
    """The G statistic of tables of two by two, [4, ...]: of the kind and not, below and above."""
    a, b, c, d = counts
    total = a + b + c + d

    def term(x: np.ndarray) -> np.ndarray:
        return x * np.log(np.maximum(x, 1))

    sides = term(a + b) + term(c + d) + term(a + c) + term(b + d)
    return 2 * (term(a) + term(b) + term(c) + term(d) + term(total) - sides)
