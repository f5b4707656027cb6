"""What a search found, in a few sentences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from jaxtune.results.text import short, with_error


def headline(result: Any) -> list[str]:
    """Sentences of plain text: the winner, what it is compared with, what was spent, confirmed and tested."""
    return [*_winner(result), *_compared(result), _counts(result), _spent(result), _confirmed(result), _tested(result)]


def _winner(result: Any) -> Iterator[str]:
    if result._best_id is None:
        yield f"There is no best trial: none has a finite {result.metric}."
        return
    best = result.best
    value = with_error(best.metrics[result.metric], best.standard_error[result.metric])
    sentence = f"Trial {best.id} is the best: {result.metric} {value}"
    if result.confirmation is not None and result.confirmation.has_winner:
        seen = short(result._seen.metrics[result.metric], 4)
        seeds = result.confirmation.num_seeds
        yield f"{sentence}, the mean of {seeds} fresh seeds; the search saw {seen}."
    else:
        when = f"after {best.steps:,} steps" if best.best_step == best.steps else f"at step {best.best_step:,}"
        yield f"{sentence} {when}{_runs(result)}."


def _runs(result: Any) -> str:
    if result.num_folds is not None:
        return f", the mean of {result.num_folds} folds" + (
            f" with {result.num_runs // result.num_folds} seeds each" if result.num_runs > result.num_folds else ""
        )
    return f", the mean of {result.num_runs} seeds" if result.num_runs > 1 else ""


def _compared(result: Any) -> Iterator[str]:
    """The winner against others, where all had made as many steps."""
    if result._best_id is None:
        return
    history, best = result.history, result._best_id
    peers = np.flatnonzero(history.generation == history.generation[best])
    together = np.flatnonzero(history.active[:, peers].all(axis=1))
    if len(peers) < 3 or not len(together):
        return
    at = together[-1]
    values = history.mean(result.metric)[at, peers]
    own, first = values[peers.tolist().index(best)], values[0]
    known = values[np.isfinite(values)]
    if not np.isfinite(own) or not len(known):
        return
    where = (
        "At the end"
        if (history.active[at:] == history.active[at]).all() and at == len(history.step) - 1
        else (
            f"At step {history.step[at]:,}, the last one that all {len(peers):,} trials"
            + (" of its generation" if len(peers) < history.num_trials else "")
            + " were trained to,"
        )
    )
    initial = f"trial {peers[0]}, the first one, {short(first, 3) if np.isfinite(first) else 'had diverged'}"
    yield f"{where} it had {short(own, 3)}, {initial}, and the median was {short(float(np.median(known)), 3)}."


def _counts(result: Any) -> str:
    sentence = f"{len(result.trials):,} trials: {result._counts()}."
    return f"{sentence} The search was stopped before its end." if result.interrupted else sentence


def _spent(result: Any) -> str:
    history = result.history
    spent, full = int(history.lane_steps[-1]), int(history.total_steps.max()) * result.num_runs
    sentence = f"{spent:,} training steps were made, as many as {short(spent / full, 3)} trainings to the end take"
    return f"{sentence}, in {result.timing['total']:.1f} s." if "total" in result.timing else f"{sentence}."


def _confirmed(result: Any) -> str:
    if result.confirmation is None:
        return "Nothing was confirmed on fresh seeds: part of the best value is luck."
    return str(result.confirmation.verdict)


def _tested(result: Any) -> str:
    if not result.num_tests:
        return "The test data have not been looked at."
    times = {1: "once", 2: "twice"}.get(result.num_tests, f"{result.num_tests} times")
    return f"The test data were looked at {times}."
