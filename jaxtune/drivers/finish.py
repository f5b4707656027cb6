"""From the state of a search to the result that its user gets."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from jaxtune.drivers.retired import Retired
from jaxtune.engine.groups import Groups
from jaxtune.engine.search import Search
from jaxtune.engine.standing import Standing
from jaxtune.interface.warning import warn
from jaxtune.results.confirming import rounds
from jaxtune.results.history import History, rank_trials
from jaxtune.results.result import Result
from jaxtune.results.text import listing
from jaxtune.results.winner import Winner


def weights(
    search: Search,
    standing: Standing,
    groups: Groups,
    states: Mapping[int, Callable[[], Any]],
    known: History,
    previous: Result | None,
) -> dict[int, Winner]:
    """Trial -> its weights, of the best ones that still have some.

    Args:
        search: The search.
        standing: Where its trials stand.
        groups: Its groups.
        states: Trial -> what fetches its states.
        known: The history of the result, with that of the search before.
        previous: The result of the search before.
    """
    found = {} if previous is None else dict(previous.weights)
    first = 0 if previous is None else len(previous.trials)
    ranked = rank_trials(known, search.problem.metric, search.problem.mode)
    best = (t for t in ranked if not known.failed[t] and (t in found or t - first in states))

    def winner(trial: int) -> Winner:
        group = groups.of(trial)
        return Winner(
            search=search,
            case=group.case,
            hp={name: groups.hp[key][trial] for name, key in group.keys.items()},
            step=int(standing.step[trial]),
            states=states[trial](),
            layouts=group.layouts,
        )

    kept = itertools.islice(best, search.keep_weights)
    return {t: found[t] if t in found else winner(t - first) for t in kept}


def bound(search: Search, result: Result, previous: Result | None) -> Result:
    """A result from a folder, with weights that can be used; those of an earlier search are as they are there."""
    first, known = (0, {}) if previous is None else (previous.history.num_trials, previous.weights)
    weights = {trial: known[trial] for trial in result.weights if trial in known}
    for trial, kept in result.weights.items():
        if trial >= first:
            weights[trial] = kept.bound(search.task, search.problem.space, result)
    confirmed = rounds.bound(result.confirmed, search.task, search.problem.space, result)
    return replace(result, weights=weights, confirmed=confirmed)


def warn_of_gaps(search: Search, result: Result) -> None:
    """Says which of the best trials have no weights because they ended in an earlier call, which kept fewer."""
    history = result.history
    ranked = rank_trials(history, search.problem.metric, search.problem.mode)
    best = [t for t in ranked if not history.failed[t] and history.pruned[t] < 0][: search.keep_weights]
    gaps = [t for t in best if t not in result.weights]
    if gaps and not result.interrupted:
        which = listing(map(str, gaps[:10])) + (f" and {len(gaps) - 10} more" if len(gaps) > 10 else "")
        warn(
            f"keep_weights={search.keep_weights}, but of the best {len(best)} trials {which} "
            f"{'has' if len(gaps) == 1 else 'have'} no weights: an earlier call, in which they ended, kept none of "
            "theirs. tune(sampler=jt.Points([trial.hparams, ...])) trains them again, result.confirm() the best ones "
            "on fresh seeds."
        )


def states_of(groups: Groups, retired: list[Retired]) -> dict[int, Callable[[], Any]]:
    """Trial -> what fetches its states: of those in training, and of those whose weights were kept aside."""
    return groups.states() | {one.trial: partial(lambda state: state, one.state) for one in retired}
