"""What is computed for a report out of all trials: importance, surface, tuning curve, best per part, lineage."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxtune.results.analysis.dimensions import Dimension
from jaxtune.results.analysis.importance import importance
from jaxtune.results.analysis.isolation import isolation
from jaxtune.results.analysis.lineage import lineage
from jaxtune.results.analysis.standing import quality_of
from jaxtune.results.analysis.surface import share_trials, surface
from jaxtune.results.analysis.tuning import expected_best, sample
from jaxtune.results.report.columns import numbers
from jaxtune.results.trial import Trial


def importance_of(result: Any) -> dict[str, Any]:
    """Shares with intervals, the most important first; or, in words, why there are none."""
    try:
        found = importance(result)
    except ValueError as error:
        return {"hyperparameters": [], "why_not": str(error)}
    rows = [
        {"name": one.name, **dict(zip(("share", "low", "high"), numbers((one.share, one.low, one.high)), strict=True))}
        for one in found
    ]
    if not any(one.share for one in found):
        return {"hyperparameters": [], "why_not": "No hyperparameter can be told from chance by so few trials."}
    return {"hyperparameters": rows, "why_not": None}


def contour(result: Any, found: Sequence[Dimension], names: Sequence[str]) -> dict[str, Any] | None:
    """How good places of the two most important hyperparameters are: mean percentile of the trials around.

    Args:
        result: The result.
        found: Its dimensions.
        names: Of these, the most important first.
    """
    known = {one.name: one for one in found}
    pairs = ((known[a], known[b]) for a, b in itertools.combinations(names or known, 2))
    first, second = next((pair for pair in pairs if share_trials(*pair)), (None, None))
    if first is None or second is None:
        return None
    quality, _ = quality_of(result.history, result.metric, result.mode)
    map_ = surface(first, second, quality, resolution=24)
    return {
        "names": [first.name, second.name],
        "x": numbers(map_.x),
        "y": numbers(map_.y),
        "percentile": [numbers(np.round(row, 3)) for row in map_.quality],
    }


def tuning(result: Any) -> dict[str, Any] | None:
    """The expected best of n trials, at the last step to which all of the first generation were trained."""
    known = sample(result.history, result.metric)
    if known is None or len(known[1]) < 2:
        return None
    step, values = known
    found = expected_best(values, result.mode)
    return {
        "step": step,
        "trials": found.num.tolist(),
        "mean": numbers(found.mean),
        "low": numbers(found.low),
        "high": numbers(found.high),
    }


def buckets(result: Any, one: Dimension) -> dict[str, Any]:
    """The best trial in each part of a hyperparameter's range."""
    rows = []
    for bucket in isolation(one, result._order):
        trial = result.trials[bucket.trial]
        middle = (bucket.low + bucket.high) / 2
        part = one.options[int(middle * len(one.options))] if one.options else None
        rows.append(
            {
                "from": None if part is not None else one.value_at(bucket.low),
                "to": None if part is not None else one.value_at(bucket.high),
                "option": part,
                "trial": trial.id,
                "value": numbers([trial.metrics[result.metric]])[0],
                "steps": trial.steps,
                "trials": bucket.num_trials,
            }
        )
    return {"name": one.name, "buckets": rows}


def ancestry(result: Any, ranked: Sequence[Trial]) -> dict[str, Any] | None:
    """Who went on from whose weights, and with which hyperparameters; None where nobody did.

    Args:
        result: The result.
        ranked: Trials that are shown.
    """
    history = result.history
    if result._best_id is None or not (history.source != np.arange(history.num_trials)).any():
        return None
    found = lineage(history, result._best_id)
    leads = found.leads
    copies = [
        {"step": int(history.step[e]), "from": int(a), "to": int(b), "leads_to_best": bool(leads[i])}
        for i, (e, a, b) in enumerate(found.copies)
    ]
    return {
        "start": found.start.tolist(),
        "stop": found.stop.tolist(),
        "best": found.path.tolist(),
        "copies": copies,
        "schedules": {name: [_course(trial, name) for trial in ranked] for name in history.schedule},
    }


def _course(trial: Trial, name: str) -> dict[str, list]:
    """A hyperparameter along the lineage of a trial: from which step on which value."""
    if name not in trial.hparams:
        return {"steps": [], "values": []}
    found = trial.schedule(name)
    return {"steps": [0, *found.boundaries], "values": list(found.values)}
