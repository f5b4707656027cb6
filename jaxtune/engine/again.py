"""Training given trials from the beginning, each by the hyperparameters that it has from step to step; none is dropped.

Shapes: K trials, R runs of each.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxtune.engine import standing as standings
from jaxtune.engine.groups import Groups
from jaxtune.engine.host import Host
from jaxtune.engine.search import Search
from jaxtune.engine.standing import Standing

Table = Mapping[str, np.ndarray]  # key -> [K]
Sizes = Mapping[frozenset, Sequence[tuple[int, int]]]  # options of a group -> (slots, width) of its populations


class Outcome(NamedTuple):
    """What became of one trial."""

    metrics: dict[str, np.ndarray]  # name -> [R], at the evaluation that counts
    lost: bool  # a run of it diverged
    step: int  # of that evaluation
    states: Any  # leaves [R, ...] on the host


def train_again(
    search: Search,
    course: Sequence[Table],
    host: Host,
    sizes: Sizes,
    show: Callable[[float], None],
) -> list[Outcome] | None:
    """Trains all trials of a search whose plan decides nothing.

    Args:
        search: The search.
        course: Of each row of its plan, as far as they are trained, the hyperparameters on the way there.
        host: Waits for programs, and tells when to end.
        sizes: That have programs, where these are known.
        show: Called with the steps done, every second or so.

    Returns:
        What became of each; None where the search was to end before.
    """
    groups = Groups(search, course[0], host, lambda group: None, _sizes(search, course[0], sizes))
    groups.prefetch()
    try:
        return _train(search, groups, course, show)
    finally:
        groups.close()


def _sizes(search: Search, hp: Table, known: Sizes) -> list[Sequence[tuple[int, int]] | None]:
    """Of each group, those of the known sizes that it needs."""
    variants, group_of = search.problem.space.groups(hp)
    found: list[Sequence[tuple[int, int]] | None] = []
    for number, variant in enumerate(variants):
        sizes = known.get(frozenset(variant.indices.items()), ())
        large = [n for n, (slots, _) in enumerate(sizes) if slots >= int(np.sum(group_of == number))]
        found.append(sizes[large[-1] :] if large else None)
    return found


def _train(
    search: Search, groups: Groups, course: Sequence[Table], show: Callable[[float], None]
) -> list[Outcome] | None:
    plan, metrics, states, start = search.plan, dict[str, np.ndarray](), dict[int, Any](), 0
    dtype = jax.dtypes.canonicalize_dtype(float)
    nowhere = np.zeros((plan.trials, 0), np.float32)  # hyperparameters come from the course
    standing = standings.at_start(np, nowhere, np.zeros(plan.trials, np.int32), search.runs, dtype)
    groups.spawn(standing)
    for number, row in enumerate(plan.rows[: len(course)]):
        if not standing.training.any():
            break
        if groups.train(standing, start, row.stop, show) < row.stop:
            return None
        values, diverged = groups.evaluate(standing, row.stop)
        standing, counts = standings.evaluated(
            np, standing, values[search.problem.metric], diverged, row.stop, search.problem.mode, search.keeps_best
        )
        metrics = {name: np.where(counts, x, metrics.get(name, np.nan)) for name, x in values.items()}
        if search.keeps_best:
            groups.keep(standing, counts)
        if number + 1 < len(course):
            standing = _move(search, groups, standing, course[number + 1], row.stop, states)
        start = row.stop
    states |= {trial: fetch() for trial, fetch in groups.states().items()}
    return [_outcome(standing, metrics, states, trial) for trial in range(plan.trials)]


def _move(search: Search, groups: Groups, standing: Standing, hp: Table, stop: int, states: dict[int, Any]) -> Standing:
    """Lets trials go on with their next hyperparameters, but for those that ran out of patience."""
    if search.patience is not None:
        standing, out = standings.without_patience(np, standing, search.patience, stop)
        states |= {trial: groups.of(trial).state(trial) for trial in np.flatnonzero(out).tolist()}
    groups.move(standing, hp)
    return standing


def _outcome(standing: Standing, metrics: Table, states: Mapping[int, Any], trial: int) -> Outcome:
    return Outcome(
        metrics={name: values[:, trial] for name, values in metrics.items()},
        lost=bool(standing.lost[:, trial].any()),
        step=int(standing.step[trial]),
        states=states[trial],
    )
