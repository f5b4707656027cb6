"""Parts of a report that are more than columns of trials: progress, rungs, confirmation.

Shapes: T trials, E evaluations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxtune.results.history import History
from jaxtune.results.report.columns import numbers


def progress(history: History, metric: str, mode: str) -> dict[str, list]:
    """Each time that a better value was found: after how many lane-steps and seconds, by whom; and where it ended."""
    sign = 1.0 if mode == "min" else -1.0
    costs = sign * history.mean(metric)  # [E, T]
    costs = np.where(np.isfinite(costs), costs, np.inf)
    least, who = costs.min(axis=1), costs.argmin(axis=1)
    before = np.minimum.accumulate(np.append(np.inf, least[:-1]))
    found = np.flatnonzero(least < before)
    if not len(found):
        return {"lane_steps": [], "seconds": [], "value": [], "trial": []}
    last, end = [*found, found[-1]], [*found, -1]
    return {
        "lane_steps": history.lane_steps[end].tolist(),
        "seconds": numbers(history.seconds[end]),
        "value": numbers(sign * least[last]),
        "trial": who[last].tolist(),
    }


def rungs(history: History) -> list[dict[str, Any]]:
    """How many trials of each generation and bracket came to each rung, and what became of them there."""
    rows = []
    for generation, bracket in sorted({*zip(history.generation.tolist(), history.bracket.tolist(), strict=True)}):
        own = (history.generation == generation) & (history.bracket == bracket)
        for e in np.flatnonzero(history.decided & history.active[:, own].any(axis=1)):
            step, here = int(history.step[e]), own & history.active[e]
            diverged = int((here & history.failed & (history.diverged < step)).sum())
            pruned = int((here & (history.pruned == step) & ~history.failed).sum())
            rows.append(
                {
                    "generation": generation,
                    "bracket": bracket,
                    "step": step,
                    "trials": int(here.sum()),
                    "pruned": pruned,
                    "diverged": diverged,
                    "went_on": int(here.sum()) - pruned - diverged,
                }
            )
    return rows


def confirmation(result: Any) -> dict[str, Any] | None:
    """How the best did on fresh seeds, a row per trial; None where nothing was confirmed."""
    found = result.confirmation
    if found is None:
        return None
    words = {"worse by": "worse than the first by", "seen": "in the search"}
    rows = [
        {words.get(name, name): text for name, text in row.items() if not name.startswith("hp ")}
        for row in found.table()
    ]
    return {"verdict": found.verdict, "rows": rows}


def on_fresh_seeds(result: Any, ids: Sequence[int]) -> dict[str, list[float | None]]:
    """Mean and standard error of the metric on fresh seeds, for trials that were confirmed; empty if none was.

    Args:
        result: The result.
        ids: Trials, in the order wanted.
    """
    if result.confirmation is None:
        return {}
    metric, error = (f"{result.metric}{end}" for end in ("", "_se"))
    known = {row["trial"]: row for row in result.confirmation.records()}
    fresh = [known.get(t, {}) for t in ids]
    return {
        "fresh": numbers(row.get(metric) for row in fresh),
        "fresh_error": numbers(row.get(error) for row in fresh),
    }
