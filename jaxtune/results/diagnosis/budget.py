"""Rules about the budget: rungs that mislead, too few trials, or more than enough.

Shapes: T trials, E evaluations.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from jaxtune.results.analysis.tuning import expected_best
from jaxtune.results.diagnosis.facts import Facts
from jaxtune.results.diagnosis.finding import Rule, Seen
from jaxtune.results.diagnosis.words import ids, percent
from jaxtune.results.text import short

_LOW = 0.5  # rank correlation between rungs, below which the order at the first says little about that at the second
_MIN_PAIRS = 5  # trials trained from one rung to the next, of a bracket, below which it has no rank correlation
_QUANTILE = 1.645  # of a normal distribution: 95 % on one side
_MIN_TRIALS = 16  # whose best value says something about more and fewer of them
_GAINED = 0.1  # of the way from a good trial to the best, by the second half of the trials: worth going on
_SPARED = 0.03  # of that way, by three quarters of them: not worth having
_GOOD = 0.25  # quantile of a good trial; a typical one is as bad as ranges are wide
_DODGE = "Dodge et al.: Show your work, 2019; Tang et al.: Showing your work doesn't always work, 2020"


def _rungs(facts: Facts) -> Iterator[Seen]:
    found = defaultdict(list)
    for bracket in np.unique(facts.history.bracket):
        for steps, correlation, trials in _of_bracket(facts, facts.history.bracket == bracket):
            found[steps].append((correlation, trials))
    for (early, late), brackets in sorted(found.items()):
        correlation, highest = _pooled(brackets)
        num = sum(len(trials) for _, trials in brackets)
        if highest < _LOW:
            yield Seen(
                f"The order of trials at step {early} said little about that at step {late}: of the {num} that were "
                f"trained on, ranks correlate by {correlation:.2f} (1 is the same order, 0 none; below {highest:.2f} "
                "with 95 % confidence). Those that were cut can't be known; among them the order may have held better.",
                f"Cut later or fewer: a larger min_steps=, or a smaller eta=, so that more than {early} steps decide.",
                ids(np.concatenate([trials for _, trials in brackets])),
            )


def _of_bracket(facts: Facts, own: np.ndarray) -> Iterator[tuple[tuple[int, int], float, np.ndarray]]:
    """Steps, rank correlation and trials of each rung and the next, of those that were trained on and stayed healthy.

    Only trials of one bracket are compared, which were started together and cut by one rule.
    """
    history, costs = facts.history, facts.costs()
    there = history.active[:, own].any(axis=1)
    cuts = np.unique(history.pruned[own & (history.pruned >= 0)])
    if not len(cuts):
        return
    rungs = [int(np.flatnonzero(there & (history.step == cut))[-1]) for cut in cuts]
    for early, late in zip(rungs, [*rungs[1:], int(history.last[own].max())], strict=True):
        trials = np.flatnonzero(own & np.isfinite(costs[:, early]) & np.isfinite(costs[:, late]))
        if early < late and len(trials) >= _MIN_PAIRS:
            yield (
                (int(history.step[early]), int(history.step[late])),
                _rank_correlation(costs[trials][:, [early, late]]),
                trials,
            )


def _rank_correlation(pairs: np.ndarray) -> float:
    """Spearman's, of pairs [n, 2]."""
    from scipy.stats import rankdata  # here, because it doubles the time to import jaxtune

    ranks = rankdata(pairs, axis=0)
    return float(np.corrcoef(ranks.T)[0, 1]) if (np.ptp(ranks, axis=0) > 0).all() else 1.0


def _pooled(brackets: Sequence[tuple[float, np.ndarray]]) -> tuple[float, float]:
    """The correlation of several brackets together and its upper limit, by Fisher's transformation."""
    weights = np.array([len(trials) - 3 for _, trials in brackets])
    turned = np.arctanh(np.clip([correlation for correlation, _ in brackets], -0.99, 0.99))
    mean = float(weights @ turned / weights.sum())
    return float(np.tanh(mean)), float(np.tanh(mean + _QUANTILE / np.sqrt(weights.sum())))


# How many trials


class _Bests(NamedTuple):
    """What some of the trials would have found, and all of them did, at a step that all came to; lower is better."""

    num: int  # some
    total: int  # all
    step: int
    some: float  # expected best of these
    all: float
    good: float  # a good one of all

    @property
    def gained(self) -> float:
        """By all over some, as a share of the way from a good trial to the best."""
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
    curve, num = expected_best(costs, "min"), int(total * share)
    best, good = float(costs.min()), float(np.quantile(costs, _GOOD))
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
        "rungs",
        "Among trials trained on from a rung to the next, the rank correlation (Spearman's) is below 0.5 with 95 % "
        "confidence; brackets are looked at one by one, and pooled.",
        "Cut later or fewer: `min_steps=`, `eta=`.",
        "Jamieson, Talwalkar: Non-stochastic best arm identification and hyperparameter optimization, 2016; Li et al.: "
        "Hyperband, 2018",
        _rungs,
    ),
    Rule(
        "more trials",
        "The second half of the trials brought 10 % or more of the way from a good trial (the best quarter) to the "
        "best, on average. Searches of one generation only.",
        "More trials: `previous=result`.",
        _DODGE,
        _more,
    ),
    Rule(
        "fewer trials",
        "A quarter of the trials would have come within 3 % of that way to the best, on average. Searches of one "
        "generation only.",
        "Fewer trials, more steps or replicates.",
        _DODGE,
        _fewer,
    ),
)
