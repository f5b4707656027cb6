"""What a search found, in a few sentences."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from jaxtune.results.history import with_errors
from jaxtune.results.tables import varying
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
        seeds = counted(result.confirmation.num_seeds, "fresh seed")
        yield f"{sentence}, the mean of {seeds}; the search saw {seen}."
    else:
        when = f"after {best.steps:,} steps" if best.best_step == best.steps else f"at step {best.best_step:,}"
        yield f"{sentence} {when}{_runs(result)}."
    changing = varying(result.trials, list(best.hparams))
    yield ", ".join(f"{name}={short(best.hparams[name])}" for name in changing)


def _runs(result: Any) -> str:
    """What the value is the mean of."""
    if result.num_folds is None:
        return f", the mean of {result.num_runs} seeds" if result.num_runs > 1 else ""
    seeds = result.num_runs // result.num_folds
    return f", the mean of {result.num_folds} folds" + (f" with {seeds} seeds each" if seeds > 1 else "")


def _compared(result: Any) -> Iterator[str]:
    """The winner against others, where all had made as many steps."""
    history, best = result.history, result._best_id
    if best is None:
        return
    peers = np.flatnonzero(history.generation == history.generation[best])
    together = np.flatnonzero(history.active[:, peers].all(axis=1))
    if len(peers) < 3 or not len(together):
        return
    values = history.mean(result.metric)[together[-1]]
    known = values[peers][np.isfinite(values[peers])]
    if not np.isfinite(values[best]):
        return
    of, whose = (" of its generation", "its") if len(peers) < history.num_trials else ("", "the")
    others = [f"the median {short(float(np.median(known)))}"]
    if best != peers[0]:
        others.insert(0, f"{whose} first configuration {_value(values[peers[0]], history.failed[peers[0]])}")
    yield (
        f"After {history.step[together[-1]]:,} steps, when all {len(peers):,} trials{of} were in training: the winner "
        f"{short(float(values[best]))}, {', '.join(others)}."
    )


def _value(value: float, failed: bool) -> str:
    return short(float(value)) if np.isfinite(value) else "diverged" if failed else "not finite"


def counted(number: int, what: str) -> str:
    """So many of something."""
    return f"{number:,} {what}{'s' * (number != 1)}"


def _counts(result: Any) -> str:
    sentence = f"{counted(len(result.trials), 'trial')}: {result._counts()}."
    if not result.interrupted:
        return sentence
    if not result.ended:
        return f"{sentence} The search has not come to its end yet."
    what = "search" if result.confirmed is None else "confirmation"
    return f"{sentence} The {what} was stopped before its end."


def _spent(result: Any) -> str:
    history = result.history
    spent, full = int(history.lane_steps[-1]), int(history.total_steps.max()) * result.num_runs
    parts = [f"{part} {seconds:.1f} s" for part, seconds in result.timing.items() if part != "total"]
    took = f", in {result.timing['total']:.1f} s ({', '.join(parts)})" if parts else ""
    return (
        f"The search made {spent:,} training steps, the cost of {short(spent / full)} full "
        f"training{'s' * (spent != full)}{took}."
    )


def _confirmed(result: Any) -> str:
    if result.confirmation is None:
        return "Nothing was confirmed on fresh seeds: part of the best value is luck."
    return str(result.confirmation.verdict)


def _tested(result: Any) -> str:
    if not result.num_tests:
        return "The test data have not been looked at."
    times = {1: "once", 2: "twice"}.get(result.num_tests, f"{result.num_tests} times")
    if result._tested is None:
        return f"The test data were looked at {times}."
    tested = with_errors(result._tested, result.num_folds)
    values = ", ".join(
        f"{name} {with_error(tested[name], tested.get(f'{name}_se', math.nan))}" for name in result._tested
    )
    return f"On the test data: {values} (looked at {times})."
