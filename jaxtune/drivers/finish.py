"""From the state of a search to the result that its user gets."""

import itertools
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from jaxtune.drivers.retired import Retired
from jaxtune.engine.groups import Groups
from jaxtune.engine.search import Search
from jaxtune.engine.standing import Standing
from jaxtune.results.history import History, rank_trials
from jaxtune.results.result import Result
from jaxtune.results.winner import Winner
from jaxtune.spaces.configurations import Rows
from jaxtune.storage.record import Record


def history(search: Search, record: Record, standing: Standing, rows: Rows) -> History:
    """What happened, as arrays; `rows` are the configurations at the start."""
    step, last = np.asarray(record.step), record.step[-1]
    own_last = step[len(step) - 1 - np.argmax(np.stack(record.active)[::-1], axis=0)]
    end = last if standing.training.any() else search.plan.steps
    return record.history(
        hparams=rows,
        log_names=search.problem.space.log_names,
        bracket=standing.bracket,
        total_steps=np.full(search.plan.trials, search.plan.steps),
        pruned=standing.pruned.astype(int),
        stopped=standing.stopped.astype(int),
        kept=np.searchsorted(step, standing.step),
        reach=np.where(standing.pruned >= 0, standing.pruned, np.where(standing.competing, end, own_last)).astype(int),
        diverged=standing.first_diverged(np).astype(int),
    )


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


def states_of(groups: Groups, retired: list[Retired]) -> dict[int, Callable[[], Any]]:
    """Trial -> what fetches its states: of those in training, and of those whose weights were kept aside."""
    return groups.states() | {one.trial: partial(lambda state: state, one.state) for one in retired}
