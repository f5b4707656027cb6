"""Rules about the number of trials: too few, or more than enough."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from jaxtune.results.analysis.tuning import expected_best
from jaxtune.results.diagnosis.facts import Facts
from jaxtune.results.diagnosis.finding import Rule, Seen
from jaxtune.results.diagnosis.words import percent
from jaxtune.results.text import short

_MIN_TRIALS = 16  # whose best value says something about more and fewer of them
_GAINED = 0.1  # of the way from a good trial to the best, by the second half of the trials: worth going on
_SPARED = 0.03  # of that way, by three quarters of them: not worth having
_GOOD = 0.25  # quantile of a good trial; a typical one is as bad as ranges are wide
_DODGE = "Dodge et al.: Show your work, 2019; Tang et al.: Showing your work doesn't always work, 2020"


class _Bests(NamedTuple):
    """What some of the trials would have found, and all of them did, at a step that all came to; lower is better.

    Nothing that is found counts as worse than a good trial.
    """

    num: int  # some
    total: int  # all
    step: int
    some: float  # expected best of these
    all: float
    good: float  # a good one of all

    @property
    def gained(self) -> float:
        """By all over some, as a share of the way from a good trial to the best, in [0, 1]."""
        return (self.some - self.all) / (self.good - self.all)


def _more(facts: Facts) -> Iterator[Seen]:
    found = _bests(facts, 0.5)
    if found is not None and found.gained >= _GAINED:
        yield Seen(
            f"More trials would probably find better ones: {_told(facts, found)}. So the second half of them made "
            f"{percent(found.gained)} of the way from a good trial (the best quarter) to the best; a part of that may "
            "be luck.",
            "Go on with as many again: tune(..., previous=result).",
        )


def _fewer(facts: Facts) -> Iterator[Seen]:
    found = _bests(facts, 0.25)
    if found is not None and found.gained <= _SPARED:
        yield Seen(
            f"Fewer trials would have been enough: {_told(facts, found)}.",
            f"Take about {found.num} trials next time, and spend the rest on more steps or on replicates=.",
        )


def _bests(facts: Facts, share: float) -> _Bests | None:
    """The best of a share of the trials and of all, at the last evaluation in which all took part.

    Those that diverged are as bad as any. None of too few trials, and where these are no independent draws.
    """
    history, total = facts.history, facts.history.num_trials
    rung = facts.first_rung(np.ones(total, bool))
    costs = facts.costs()[:, rung]
    if facts.chosen or total < _MIN_TRIALS or not np.isfinite(costs).any():
        return None
    costs = np.where(np.isfinite(costs), costs, np.nanmax(costs))
    best, good = float(costs.min()), float(np.quantile(costs, _GOOD))
    # A mean over values of a loss that explodes is that of the worst one, however rarely nothing better is drawn.
    curve, num = expected_best(np.minimum(costs, good), "min"), int(total * share)
    some = float(np.interp(num, curve.num, curve.mean))
    return _Bests(num, total, int(history.step[rung]), some, best, good) if good > best else None


def _told(facts: Facts, found: _Bests) -> str:
    sign = facts.sign(facts.metric)
    return (
        f"at step {found.step}, the last with all {found.total} in training, the best of {found.num} of them has "
        f"{facts.metric} {short(sign * found.some)} on average, the best of all {short(sign * found.all)}"
    )


RULES = (
    Rule(
        "more trials",
        "The second half of the trials brought 10 % or more of the way from a good trial (the best quarter) to the "
        "best, on average; what is worse than a good one counts as good. Searches of one generation only.",
        "More trials: `previous=result`.",
        _DODGE,
        _more,
        needs=(Facts.lacks_draws,),
    ),
    Rule(
        "fewer trials",
        "A quarter of the trials would have come within 3 % of that way to the best, on average. Searches of one "
        "generation only.",
        "Fewer trials, more steps or replicates.",
        _DODGE,
        _fewer,
        needs=(Facts.lacks_draws,),
    ),
)
