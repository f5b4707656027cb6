"""The rule about whether the winner is better than the second."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from jaxtune.results.diagnosis.facts import Facts
from jaxtune.results.diagnosis.finding import Rule, Seen
from jaxtune.results.diagnosis.words import ids
from jaxtune.results.text import short

_LEVEL = 0.05  # of a two-sided test
_TINY = 1e-300  # in place of 0 below a fraction bar
_CONFIRM = "result.confirm() trains the best ones again on fresh seeds"


def _tie(facts: Facts) -> Iterator[Seen]:
    if facts.winner is None:
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
        f"One seed can't tell how much of the lead is luck: trial {facts.winner} has {facts.metric} {short(first, 4)}, "
        f"trial {rivals[0]} {short(second, 4)}{more}.",
        f"Confirm the winner before you trust it: {_CONFIRM}.",
        ids([facts.ranked[0], rivals[0]]),
    )


def _several(facts: Facts, rivals: list[int]) -> Iterator[Seen]:
    near = [one for one in rivals if _could_be_chance(facts, one)]
    if rivals[0] not in near:
        return
    value, second = (float(facts.kept[one].mean()) for one in (facts.winner, rivals[0]))
    more = f", and {len(near) - 1} more can't either" if len(near) > 1 else ""
    yield Seen(
        f"Trial {facts.winner} ({facts.metric} {short(value, 4)}) can't be told from trial {rivals[0]} "
        f"({short(second, 4)}) by {facts.num_values} {facts.runs}{more}: such a difference is within chance.",
        f"Take the simplest of them, or tell them apart: {_CONFIRM}.",
        ids([facts.ranked[0], *near]),
    )


def _could_be_chance(facts: Facts, other: int) -> bool:
    """Whether a t-test can't tell a trial from the winner: in pairs where both shared their seeds, else Welch's."""
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
    alone = confirmation.num_trials < 2 or confirmation.records()[1]["failed"]
    if confirmation.is_separable or alone:
        return
    first, second = confirmation.ranking[:2]
    if confirmation.num_seeds < 2:
        what = f"One fresh seed can't tell whether trial {first} is better than trial {second}."
    else:
        row = confirmation.records()[1]
        low, high, mean = (short(row[key]) for key in ("low", "high", "difference"))
        what = (
            f"On {confirmation.num_seeds} fresh seeds {facts.metric} of trial {first} is better than that of trial "
            f"{second} by {mean}, which may be chance (95 % interval: {low} to {high})."
        )
    more = f"result.confirm(top=2, replicates={4 * confirmation.num_seeds})"
    yield Seen(what, f"Take the simpler of the two, or tell them apart by more seeds: {more}.", ids([first, second]))


RULES = (
    Rule(
        "tie",
        "The first can't be told from the second: by the confirmation, by a t-test of replicates or folds at the 5 % "
        "level (in pairs within a generation), or because there is one seed of each.",
        "`result.confirm()`; or take the simplest of those that can't be told apart.",
        "Bouthillier et al.: Accounting for variance in machine learning benchmarks, 2021; Dror et al.: The "
        "hitchhiker's guide to testing statistical significance, 2018",
        _tie,
    ),
)
