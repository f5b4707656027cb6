"""Trials that were trained on from one rung to the next, and whether that made them worse.

Shapes: n of T trials.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from jaxtune.results.diagnosis.facts import Facts

_WORSE = 0.05  # of all improvement: losing less is a wiggle
_MOST = 0.75  # of the trials got worse; chance alone makes it half of them
_MIN_WORSE = 4  # trials trained on, below which three quarters say little


@dataclass(frozen=True, eq=False)
class Stretch:
    """Training from a rung to the next, of trials that stayed healthy in one bracket or, joined, in several.

    Attributes:
        early: Step count of the rung.
        late: That of the next, or of the end.
        trials: Int [n], ids of those that were trained on.
        costs: Float [n, 2], at both.
        worse: Bool [n], whose value got worse.
    """

    early: int
    late: int
    trials: np.ndarray
    costs: np.ndarray
    worse: np.ndarray

    def worsens(self, winner: int | None) -> bool:
        """Whether most of its trials got worse, and the winner if it is one of them."""
        return bool(self.worse.mean() >= _MOST and self.worse[self.trials == winner].all())


@dataclass(frozen=True, eq=False)
class TrainedOn:
    """All stretches of a search.

    Attributes:
        facts: What is known of it.
    """

    facts: Facts

    @cached_property
    def by_steps(self) -> dict[tuple[int, int], list[Stretch]]:
        """Step counts of a rung and the next -> one stretch per bracket: only trials of one were cut by one rule."""
        found = defaultdict(list)
        for bracket in np.unique(self.facts.history.bracket):
            for one in self._of_bracket(self.facts.history.bracket == bracket):
                found[one.early, one.late].append(one)
        return dict(sorted(found.items()))

    @cached_property
    def worsening(self) -> list[Stretch]:
        """The stretches at the end that made trials worse, brackets joined; none where too few trials tell."""
        found: list[Stretch] = []
        for brackets in reversed(self.by_steps.values()):
            joined = _joined(brackets)
            if not joined.worsens(self.facts.winner):
                break
            found.insert(0, joined)
        return found if any(len(one.trials) >= _MIN_WORSE for one in found) else []

    def _of_bracket(self, own: np.ndarray) -> Iterator[Stretch]:
        """Those of one bracket, `own` is bool [T]."""
        history, costs = self.facts.history, self.facts.costs()
        there = history.active[:, own].any(axis=1)
        cuts = np.unique(history.pruned[own & (history.pruned >= 0)])
        if not len(cuts):
            return
        rungs = [int(np.flatnonzero(there & (history.step == cut))[-1]) for cut in cuts]
        for early, late in zip(rungs, [*rungs[1:], int(history.last[own].max())], strict=True):
            trials = np.flatnonzero(own & np.isfinite(costs[:, early]) & np.isfinite(costs[:, late]))
            if early < late and len(trials):
                both = costs[trials][:, [early, late]]
                typical = float(np.nanmedian(costs[own, early]))
                steps = int(history.step[early]), int(history.step[late])
                yield Stretch(*steps, trials, both, self._is_worse(trials, both, typical))

    def _is_worse(self, trials: np.ndarray, costs: np.ndarray, typical: float) -> np.ndarray:
        """Bool [n]: worse than before by more than wiggles, and than a typical trial was before.

        Those that are trained on were chosen for a good value, which may be luck and passes by itself; but then they
        are no worse than trials that were not chosen.
        """
        spans = np.array([self.facts.span(trial) for trial in trials])
        early, late = costs.T
        return (late - early > _WORSE * spans) & (late > typical)


def _joined(brackets: Sequence[Stretch]) -> Stretch:
    parts = [(one.trials, one.costs, one.worse) for one in brackets]
    return Stretch(brackets[0].early, brackets[0].late, *map(np.concatenate, zip(*parts, strict=True)))
