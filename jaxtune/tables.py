"""A search as tables: plain records, a CSV file, and the leading trials as text and HTML.

A hyperparameter that is named like another column gets the prefix `hp_`.
"""

from __future__ import annotations

import csv
import html
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jaxtune.history import History
from jaxtune.text import csv_cell, short, with_error
from jaxtune.trial import Trial


def records(trials: Sequence[Trial], history: History, metric: str) -> list[dict[str, Any]]:
    """One plain dict per trial, in their order.

    Args:
        trials: those to list.
        history: the record that they are from.
        metric: the metric that ranks; with several replicates or folds it gets a column of standard errors.
    """
    metrics = list(history.metrics)
    error = [f"{metric}_se"] if history.metrics[metric].shape[1] > 1 else []
    columns = _hparam_columns(history, {"id", "steps", "status", "bracket", *metrics, *error})
    return [
        {"id": trial.id}
        | {column: trial.hparams.get(name) for name, column in columns.items()}
        | {name: trial.metrics[name] for name in metrics}
        | {name: trial.standard_error[metric] for name in error}
        | {"steps": trial.steps, "status": trial.status, "bracket": trial.bracket}
        for trial in trials
    ]


def write_csv(path: str | os.PathLike[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes rows of the same columns as a CSV file with a heading."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([csv_cell(name) for name in (rows[0] if rows else ())])
        writer.writerows([csv_cell(value) for value in row.values()] for row in rows)


def ranked(trials: Sequence[Trial], history: History, metric: str) -> list[dict[str, str]]:
    """Trials, best first, as formatted text, one dict (heading -> cell) per row; the metric that ranks comes first."""
    metrics = [name for name in history.metrics if not name.startswith("train_")]
    metrics.sort(key=lambda name: name != metric)
    columns = _hparam_columns(history, {"rank", "trial", "steps", "status", *metrics})
    return [
        {"rank": str(rank), "trial": str(trial.id)}
        | {name: with_error(trial.metrics[name], trial.standard_error[name]) for name in metrics}
        | {c: short(trial.hparams[n]) if n in trial.hparams else "" for n, c in columns.items()}
        | {"steps": str(trial.steps), "status": trial.status}
        for rank, trial in enumerate(trials, start=1)
    ]


def as_html(rows: Sequence[Mapping[str, str]]) -> str:
    """Rows of the same columns as an HTML table with a heading."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in (rows[0] if rows else ()))
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row.values()) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def hparam_names(hparams: Iterable[Mapping[str, Any]]) -> list[str]:
    """Every hyperparameter's name, in the order of the space (conditional ones may miss in some trials)."""
    return list(dict.fromkeys(name for hp in hparams for name in hp))


def _hparam_columns(history: History, taken: set[str]) -> dict[str, str]:
    """Hyperparameter -> heading that differs from all those taken."""
    return {name: f"hp_{name}" if name in taken else name for name in hparam_names(history.hparams)}
