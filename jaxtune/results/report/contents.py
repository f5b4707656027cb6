"""What a report says, as plain values: `report.json`, from which the page is made.

docs/report.md describes the keys. Numbers that are not finite are null.
"""

from __future__ import annotations

import datetime
from dataclasses import asdict
from typing import Any

import jaxtune
from jaxtune.results.analysis.in_force import dimensions_of
from jaxtune.results.report import analyses, columns, sections
from jaxtune.results.report.headline import headline

FORMAT = 1


def contents(result: Any) -> dict[str, Any]:
    """All that a report of a search shows.

    Args:
        result: A `Result`, of a search that is over or not.

    Returns:
        Strings, numbers, None, lists and dicts of these, as JSON has them.
    """
    history, ranking = result.history, result._order
    ids = columns.shown(ranking)
    rank = {trial: place for place, trial in enumerate(ranking, start=1)}
    ranked = [result.trials[t] for t in ids]
    diagnosis = result.diagnose()
    found, weights = dimensions_of(history, result.space), analyses.importance_of(result)
    return {
        "format": FORMAT,
        "jaxtune": jaxtune.__version__,
        "made": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "headline": headline(result),
        "findings": [asdict(finding) for finding in diagnosis],
        "unchecked": diagnosis.unchecked,
        "search": _search(result, len(ids)),
        "hyperparameters": columns.hyperparameters(found),
        "constants": columns.constants([trial.hparams for trial in ranked], found),
        "trials": columns.trials(ranked, [rank[t] for t in ids], result.metric, found)
        | sections.on_fresh_seeds(result, ids),
        "curves": columns.curves(history.mean(result.metric), history.step, ids),
        "training_curves": _training_curves(result, ids),
        "progress": sections.progress(history, result.metric, result.mode),
        "rungs": sections.rungs(history),
        "importance": weights,
        "contour": analyses.contour(result, found, [one["name"] for one in weights["hyperparameters"]]),
        "tuning": analyses.tuning(result),
        "isolation": [analyses.buckets(result, one) for one in found],
        "lineage": analyses.ancestry(result, ranked),
        "confirmation": sections.confirmation(result),
    }


def _search(result: Any, num_shown: int) -> dict[str, Any]:
    return {
        "metric": result.metric,
        "mode": result.mode,
        "seed": result.seed,
        "best": result._best_id,
        "trials": len(result.trials),
        "shown": num_shown,
        "runs": result.num_runs,
        "folds": result.num_folds,
        "interrupted": result.interrupted,
        "tests": result.num_tests,
        "seconds": result.timing,
        "space": result.space,
        **{name: result.setting.get(name, {}) for name in ("call", "where")},
    }


def _training_curves(result: Any, ids: list[int]) -> list[dict[str, list]]:
    name, history = f"train_{result.metric}", result.history
    values = history.mean(name) if name in history.metrics else None
    return columns.on_training_data(values, history.step, ids, history.failed)
