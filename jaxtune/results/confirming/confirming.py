"""From a result and the wish to confirm its winner to what became of its best trials."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from jaxtune.engine.host import Host
from jaxtune.engine.search import Search
from jaxtune.monitoring.progress import Progress, part_of
from jaxtune.results.confirming.confirm import Confirm
from jaxtune.results.confirming.rounds import Confirmed, Rounds
from jaxtune.tasks.fingerprints import array_digest


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
        ValueError: A trial is none of the space of this search.
    """
    fine = [trial for trial in result.ranking if math.isfinite(trial.metrics[result.metric])]
    steps = int(result.history.reach[fine[0].id])
    sizes = {frozenset(indices.items()): tuple(map(tuple, made)) for indices, made in result.sizes}
    identity = "" if directory is None else array_digest(result.weights[result.ranking[0].id].states)
    rounds = Rounds(search, fine[: confirm.top], steps, confirm, sizes, host, directory, identity)
    with (
        part_of("confirming"),
        Progress(rounds.lane_steps, rounds.steps, progress, compiling=lambda: host.compiling) as view,
    ):
        return rounds.run(partial(_show, view, result.metric))


def _show(view: Progress, metric: str, done: int, step: int, phase: str, training: int, best: float | None) -> None:
    view.update(done, step, phase, training, best, metric)
