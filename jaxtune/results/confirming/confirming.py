"""From a result and the wish to confirm its winner to what became of its best trials."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from jaxtune.engine.host import Host
from jaxtune.engine.search import Search
from jaxtune.interface.warning import warn
from jaxtune.monitoring.progress import Progress, part_of
from jaxtune.results.conditions import conditions
from jaxtune.results.confirming.confirm import Confirm
from jaxtune.results.confirming.rounds import Confirmed, Rounds
from jaxtune.results.trial import Trial
from jaxtune.tasks.fingerprints import array_digest, digest


def train_again(result: Any, search: Search, confirm: Confirm, host: Host, progress: bool, directory: Any) -> Confirmed:
    """Trains the best trials of a result again.

    Args:
        result: A `Result` with a best trial.
        search: That found it.
        confirm: How many trials and seeds.
        host: Waits for programs, and tells when to end.
        progress: Whether to show a progress bar.
        directory: A folder that keeps seeds that are done, or None.

    Raises:
        ValueError: No trial is of the space of this search.
    """
    fine = candidates(result, search, confirm.top)
    steps = int(result.history.reach[fine[0].id])
    sizes = {frozenset(indices.items()): tuple(map(tuple, made)) for indices, made in result.sizes}
    known = "" if directory is None else identity(result, search)
    rounds = Rounds(search, fine, steps, confirm, sizes, host, directory, known)
    with (
        part_of("confirming"),
        Progress(rounds.lane_steps, rounds.steps, progress, compiling=lambda: host.compiling) as view,
    ):
        found = rounds.run(partial(_show, view, result.metric))
        if found.interrupted:
            why = "Interrupted" if host.pressed else "Time is up"
            view.message(f"{why} after {int(found.seeds.sum())} of {found.budget} trainings to confirm the winner.")
    if found.lost.all():
        warn(f"All {len(found.lost)} trials failed on fresh seeds, so the winner is not confirmed.")
    return found


def candidates(result: Any, search: Search, top: int) -> list[Trial]:
    """The best trials that a search can train.

    Raises:
        ValueError: There is none.
    """
    fine = [trial for trial in result.ranking if math.isfinite(trial.metrics[result.metric])]
    found = [trial for trial in fine if _is_of(trial, search)]
    if not found:
        raise ValueError("No trial with a finite value is of the space of this search: none can be trained again.")
    if found[:top] != fine[:top]:
        warn("Trials of previous that are none of this space are not confirmed.")
    return found[:top]


def _is_of(trial: Trial, search: Search) -> bool:
    try:
        search.problem.space.encode(trial.hparams)
    except (TypeError, ValueError):
        return False
    return True


def identity(result: Any, search: Search) -> str:
    """What decides about the values of all trainings, but for hyperparameters and seeds."""
    weights = result.weights.get(result.ranking[0].id)
    states = None if weights is None else array_digest(weights.states)
    how = search.keep, search.patience, search.plan.rows, search.seed if isinstance(search.seed, int) else None
    asked = sorted((conditions(search) | {"traces": result.conditions.get("traces")}).items())
    return digest((states, how, asked, array_digest(search.task.train)))


def _show(view: Progress, metric: str, done: int, step: int, phase: str, training: int, best: float | None) -> None:
    view.update(done, step, phase, training, best, metric)
