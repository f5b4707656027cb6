"""Trials, hyperparameters and curves of a report: plain values, as JSON has them, column by column.

Shapes: N trials that are shown, best first; E evaluations.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from jaxtune.results.analysis.dimensions import Dimension
from jaxtune.results.plots.axes import MISSING
from jaxtune.results.tables import hparam_names
from jaxtune.results.text import short
from jaxtune.results.trial import Trial

MOST_TRIALS = 4096  # in a report; of more than these, the best half as many and every so many-th of the others
_MOST_POINTS = 120_000  # of all curves; longer ones are thinned
_MOST_TRAINING = 20  # of the best trials, whose values on training data are shown too


def shown(ids: Sequence[int]) -> list[int]:
    """The ids of a ranking that a report has room for, in their order."""
    if len(ids) <= MOST_TRIALS:
        return list(ids)
    best, rest = list(ids[: MOST_TRIALS // 2]), ids[MOST_TRIALS // 2 :]
    every = np.linspace(0, len(rest) - 1, MOST_TRIALS - len(best)).astype(int)
    return best + [rest[i] for i in every]


def trials(ranked: Sequence[Trial], ranks: Sequence[int], metric: str, found: Sequence[Dimension]) -> dict[str, Any]:
    """One list per column, a value per trial.

    Args:
        ranked: Trials that are shown, best first.
        ranks: Their places in the ranking of all trials, from 1.
        metric: What ranks them.
        found: Dimensions of all trials.
    """
    ids = [trial.id for trial in ranked]
    names = [metric, *(name for name in ranked[0].metrics if name != metric)]
    return {
        "id": ids,
        "rank": list(ranks),
        "status": [str(trial.status) for trial in ranked],
        "kind": [trial.status.kind for trial in ranked],
        "steps": [trial.steps for trial in ranked],
        "generation": [trial.generation for trial in ranked],
        "bracket": [trial.bracket for trial in ranked],
        "metrics": {name: numbers(trial.metrics[name] for trial in ranked) for name in names},
        "standard_error": {name: numbers(trial.standard_error[name] for trial in ranked) for name in names},
        "hyperparameters": {one.name: _values(one, ids) for one in found},
    }


def hyperparameters(found: Sequence[Dimension]) -> list[dict[str, Any]]:
    """What is known of each one that varies: its scale, its range, and its options as Python writes them."""
    return [
        {
            "name": one.name,
            "kind": one.kind,
            "low": one.low,
            "high": one.high,
            "bounded": one.bounded,
            "integer": one.integer,
            "options": list(one.options),
            "literals": _literals(one),
        }
        for one in found
    ]


def constants(hparams: Sequence[Mapping[str, Any]], found: Sequence[Dimension]) -> list[dict[str, str]]:
    """Name, text and Python literal of each hyperparameter that is the same for all trials."""
    varying = {one.name for one in found}
    first = hparams[0]
    return [
        {"name": name, "text": short(first[name]), "literal": literal(first[name])}
        for name in hparam_names(hparams)
        if name not in varying
    ]


def curves(values: np.ndarray, steps: np.ndarray, ids: Sequence[int]) -> list[dict[str, list]]:
    """Step counts and values of each trial's evaluations, in the order of `ids`; thinned where there are very many.

    Args:
        values: [E, T], NaN where a trial was not in training or had diverged.
        steps: [E].
        ids: Trials.
    """
    known = [np.flatnonzero(np.isfinite(values[:, t])) for t in ids]
    most = max(8, _MOST_POINTS // max(1, len(ids)))
    if sum(map(len, known)) > _MOST_POINTS:
        known = [_thinned(one, most) for one in known]
    return [
        {"steps": steps[one].tolist(), "values": numbers(values[one, t])} for t, one in zip(ids, known, strict=True)
    ]


def on_training_data(
    values: np.ndarray | None, steps: np.ndarray, ids: Sequence[int], failed: np.ndarray
) -> list[dict[str, list]]:
    """Likewise for what the best trials did on the data that they were trained on; empty where that is not known."""
    best = [t for t in ids[:_MOST_TRAINING] if not failed[t]]
    return [] if values is None else curves(values, steps, best)


def numbers(values: Any) -> list[float | None]:
    """As JSON has them: None where there is no finite one."""
    return [float(value) if value is not None and math.isfinite(value) else None for value in values]


def literal(value: Any) -> str:
    """A value as Python source: functions and classes by their names."""
    if isinstance(value, tuple):
        return f"({', '.join(map(literal, value))}{',' if len(value) == 1 else ''})"
    name = getattr(value, "__name__", None)
    if name is not None:
        return str(name) if str(name).isidentifier() else "..."  # a lambda has no name that Python would know
    return f'float("{value}")' if isinstance(value, float) and not math.isfinite(value) else repr(value)


def _thinned(indices: np.ndarray, most: int) -> np.ndarray:
    return indices[np.unique(np.linspace(0, len(indices) - 1, most).astype(int))] if len(indices) > most else indices


def _values(one: Dimension, ids: Iterable[int]) -> list[Any]:
    """Per trial a number, or the text of an option; None where the trial has none."""
    if one.kind == "category":
        index = (one.places * one.high - 0.5).round()
        return [None if math.isnan(index[t]) else one.options[int(index[t])] for t in ids]
    return [None if one.values[t] is MISSING else one.values[t] for t in ids]


def _literals(one: Dimension) -> dict[str, str]:
    """Text of an option -> the option as Python source, for those that were tried."""
    if one.kind != "category":
        return {}
    texts = _values(one, range(len(one.values)))
    tried = {text: value for text, value in zip(texts, one.values, strict=True) if text is not None}
    return {text: literal(value) for text, value in tried.items()}
