"""The rule about whether the winner is better than the second."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from jaxtune.results.diagnosis.confirmation import all_failed
from jaxtune.results.diagnosis.facts import Facts
from jaxtune.results.diagnosis.finding import Rule, Seen
from jaxtune.results.diagnosis.words import ids
from jaxtune.results.text import short

_LEVEL = 0.05  # of a two-sided test
_TINY = 1e-300  # in place of 0 below a fraction bar
_EQUAL = 1e-6  # of a value: what differs by less differs by rounding to single precision
_MORE = 4  # times as many seeds halve an interval
_CONFIRM = "result.confirm() trains the best ones again on fresh seeds"


def _tie(facts: Facts) -> Iterator[Seen]:
    if facts.winner is None or all_failed(facts):
        return
    if facts.result.confirmation is not None:
        yield from _confirmed(facts, facts.result.confirmation)
        return
    # Values at other step counts are no values of the same thing.
    rivals = [one for one in facts.ranked[1:] if facts.history.reach[one] == facts.history.reach[facts.winner]]
    if rivals and facts.num_values < 2:
        yield _one_seed(facts, rivals)
    elif rivals:
        yield from _several(facts, rivals)


def _one_seed(facts: Facts, rivals: list[int]) -> Seen:
    first, second = (float(facts.kept[one].mean()) for one in (facts.winner, rivals[0]))
    num = len(rivals) - 1
    more = f", and {num} more {'was' if num == 1 else 'were'} trained as long" if num else ""
    return Seen(
        f"The lead may be luck, for each trial has but one seed: trial {facts.winner} has {facts.metric} "
        f"{short(first, 4)}, trial {rivals[0]} {short(second, 4)}{more}.",
        f"Confirm the winner before you trust it: {_CONFIRM}.",
        ids([facts.ranked[0], rivals[0]]),
    )


def _several(facts: Facts, rivals: list[int]) -> Iterator[Seen]:
    near = [one for one in rivals if _could_be_chance(facts, one)]
    if rivals[0] not in near:
        return
    value, second = (float(facts.kept[one].mean()) for one in (facts.winner, rivals[0]))
    if _is_rounding(facts.kept[facts.winner] - facts.kept[rivals[0]], value):
        yield _equal(facts, ids(facts.ranked[:1] + rivals[:1]), value, facts.runs)
        return
    yield Seen(
        f"Trial {facts.winner} ({facts.metric} {short(value, 4)}) can't be distinguished from trial {rivals[0]} "
        f"({short(second, 4)}) by {facts.num_values} {facts.runs}{_nor(near)}: such a difference is within chance.",
        f"Take the simple{'st of them' if near[1:] else 'r of the two'}, or distinguish them: {_CONFIRM}.",
        ids([facts.ranked[0], *near]),
    )


def _is_rounding(differences: np.ndarray, value: float) -> bool:
    """Whether two trials that have about such a value differ by nothing else; not so where that is unknown (NaN)."""
    return bool((np.abs(differences) <= _EQUAL * abs(value)).all())


def _equal(facts: Facts, trials: tuple[int, ...], value: float, runs: str) -> Seen:
    """Two trials that are equal on each seed, which no number of seeds tells apart."""
    return Seen(
        f"Trials {trials[0]} and {trials[1]} are equal: both have {facts.metric} {short(value, 4)}, on all {runs}.",
        "Take the simpler of the two: more seeds would hardly tell them apart.",
        trials,
    )


def _nor(near: list[int]) -> str:
    return f", nor from {len(near) - 1} more" if near[1:] else ""


def _could_be_chance(facts: Facts, other: int) -> bool:
    """Whether a t-test can't distinguish a trial from the winner: in pairs where both shared seeds, else Welch's."""
    from scipy.stats import t  # here, because it doubles the time to import jaxtune

    values, num = facts.kept[[facts.ranked[0], other]], facts.num_values
    difference = abs(float(values[0].mean() - values[1].mean()))
    if facts.history.generation[facts.winner] == facts.history.generation[other]:
        variance, freedom = float(np.var(values[0] - values[1], ddof=1)), num - 1.0
    else:
        each = np.var(values, axis=1, ddof=1)
        variance, freedom = float(each.sum()), (num - 1) * float(each.sum() ** 2 / max((each**2).sum(), _TINY))
    limit = t.ppf(1 - _LEVEL / 2, max(freedom, 1.0)) * np.sqrt(variance / num)
    return bool(difference <= limit)


def _confirmed(facts: Facts, confirmation: Any) -> Iterator[Seen]:
    if not confirmation.has_winner:
        yield Seen(
            confirmation.verdict, f"Do not trust the score of the winner: {_CONFIRM}.", ids(confirmation.ranking)
        )
        return
    leader, *others = [row for row in confirmation.records() if not row["failed"]]
    if confirmation.is_separable or not others:
        return
    first, second = leader["trial"], others[0]["trial"]
    value = facts.result.best.metrics[facts.metric]
    if _is_rounding(np.array([others[0]["low"], others[0]["high"]]), value):
        yield _equal(facts, (first, second), value, "fresh seeds")
        return
    near = [row["trial"] for row in others if not row["low"] > 0 and row["seeds"] == leader["seeds"]] or [second]
    if confirmation.num_seeds < 2:
        what = f"One fresh seed can't show whether trial {first} is better than trial {second}{_nor(near)}."
    else:
        low, high, mean = (short(others[0][key]) for key in ("low", "high", "difference"))
        what = (
            f"Trial {first} can't be distinguished from trial {second}{_nor(near)}: on {confirmation.num_seeds} fresh "
            f"seeds it leads by {mean} in {facts.metric}, which may be chance (95 % interval: {low} to {high})."
        )
    top = 1 + max(facts.result._order.index(trial) for trial in (first, *near))  # candidates are the first of these
    yield Seen(
        what,
        f"Take the simple{'st of them' if near[1:] else 'r of the two'}, or distinguish them by more seeds: "
        f"result.confirm(top={top}, replicates={_MORE * confirmation.num_seeds}).",
        ids([first, *near]),
    )


RULES = (
    Rule(
        "tie",
        "The first can't be distinguished from the second: by the confirmation, by a t-test of replicates or folds at "
        "the 5 % level (in pairs within a generation), or because there is one seed of each.",
        "`result.confirm()`; or take the simplest of those that can't be distinguished.",
        "Bouthillier et al.: Accounting for variance in machine learning benchmarks, 2021; Dror et al.: The "
        "hitchhiker's guide to testing statistical significance, 2018",
        _tie,
    ),
)
