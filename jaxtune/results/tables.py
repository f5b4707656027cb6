"""A search as tables: plain records, a CSV file, and the leading trials as text and HTML; tables for papers.

No column hides another one: where names collide, metrics get the prefix `metric_`, the standard error `error_` and
hyperparameters `hp_`.
"""

from __future__ import annotations

import csv
import html
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from jaxtune.results.history import History
from jaxtune.results.plots.axes import MISSING
from jaxtune.results.text import csv_cell, labels, short, told_apart, with_error
from jaxtune.results.trial import Trial
from jaxtune.spaces.values import is_number, typed

_LATEX = str.maketrans(
    {c: f"\\{c}" for c in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$"}
    | {"<": r"\textless{}", ">": r"\textgreater{}"}
)


def records(trials: Sequence[Trial], history: History, metric: str) -> list[dict[str, Any]]:
    """One plain dict per trial, in their order.

    Args:
        trials: those to list.
        history: the record that they are from.
        metric: the metric that ranks; with several replicates or folds it gets a column of standard errors.
    """
    taken = {"id", "steps", "status", "bracket", "generation"}
    metrics = headings(history.metrics, "metric_", taken)
    error = headings([f"{metric}_se"] if history.metrics[metric].shape[1] > 1 else [], "error_", taken)
    columns = headings(hparam_names(history.hparams), "hp_", taken)
    return [
        {"id": trial.id}
        | {column: trial.hparams.get(name) for name, column in columns.items()}
        | {column: trial.metrics[name] for name, column in metrics.items()}
        | {column: trial.standard_error[metric] for column in error.values()}
        | {"steps": trial.steps, "status": trial.status, "bracket": trial.bracket, "generation": trial.generation}
        for trial in trials
    ]


def curves(history: History, num_folds: int | None) -> dict[str, np.ndarray]:
    """Every value of every metric in long format: columns of equal length, see `Result.curves_dataframe`."""
    evaluations, num_runs, _ = next(iter(history.metrics.values())).shape
    trained = np.broadcast_to(history.active.T[:, None, :], (history.num_trials, num_runs, evaluations))
    trial, run, evaluation = np.nonzero(trained)
    places = {"trial": trial}
    if num_runs > (num_folds or 1):
        places["replicate"] = run // (num_folds or 1)
    if num_folds is not None:
        places["fold"] = run % num_folds
    places["step"] = history.step[evaluation]
    columns = headings(history.metrics, "metric_", set(places))
    return places | {column: history.values(name)[evaluation, run, trial] for name, column in columns.items()}


def splits(winners: Sequence[Mapping[str, Any]], scores: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """One plain dict per split of a nested search: its number, the winner's hyperparameters, and the test metrics."""
    taken = {"split"}
    metrics = headings(scores, "metric_", taken)
    columns = headings(hparam_names(winners), "hp_", taken)
    return [
        {"split": number + 1}
        | {column: winner.get(name) for name, column in columns.items()}
        | {column: float(scores[name][number]) for name, column in metrics.items()}
        for number, winner in enumerate(winners)
    ]


def dataframe(table: Any, who: str, instead: str) -> Any:
    """A pandas DataFrame of records or columns.

    Raises:
        ImportError: pandas is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise ImportError(f'{who} needs pandas: pip install "jaxtune[pandas]". Without it, {instead}.') from error
    return pandas.DataFrame(table)


def write_csv(path: str | os.PathLike[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes rows of the same columns as a CSV file with a heading."""
    columns = {name: _csv_column([row[name] for row in rows]) for name in (rows[0] if rows else ())}
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([csv_cell(name) for name in columns])
        writer.writerows(zip(*columns.values(), strict=True))


def ranked(trials: Sequence[Trial], history: History, metric: str) -> list[dict[str, str]]:
    """Trials, best first, as formatted text, one dict (heading -> cell) per row; the metric that ranks comes first."""
    metrics = [name for name in history.metrics if not name.startswith("train_")]
    metrics.sort(key=lambda name: name != metric)
    taken = {"rank", "trial", "steps", "status"}
    shown = headings(metrics, "metric_", taken)
    columns = headings(hparam_names(history.hparams), "hp_", taken)
    cells = {column: _text_column(trials, history, name) for name, column in columns.items()}
    return [
        {"rank": str(row + 1), "trial": str(trial.id)}
        | {column: with_error(trial.metrics[name], trial.standard_error[name]) for name, column in shown.items()}
        | {column: texts[row] for column, texts in cells.items()}
        | {"steps": str(trial.steps), "status": trial.status}
        for row, trial in enumerate(trials)
    ]


def as_html(rows: Sequence[Mapping[str, str]]) -> str:
    """Rows of the same columns as an HTML table with a heading."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in (rows[0] if rows else ()))
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row.values()) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def tabular(heading: Sequence[str], rows: Sequence[Sequence[str]], last: Sequence[str]) -> str:
    r"""A LaTeX `tabular`, its first column to the left and all others to the right; needs `\usepackage{booktabs}`.

    Args:
        heading: One text per column.
        rows: Texts.
        last: A row below a line of its own.
    """
    body = [r"\toprule", _row(heading), r"\midrule", *map(_row, rows), r"\midrule", _row(last), r"\bottomrule"]
    return "\n".join([rf"\begin{{tabular}}{{l{'r' * (len(heading) - 1)}}}", *body, r"\end{tabular}"])


def hparam_names(hparams: Iterable[Mapping[str, Any]]) -> list[str]:
    """Every hyperparameter's name, in the order of the space (conditional ones may miss in some trials)."""
    return list(dict.fromkeys(name for hp in hparams for name in hp))


def varying(trials: Sequence[Trial], names: Sequence[str]) -> list[str]:
    """Names of hyperparameters whose value differs between trials; all names when none does."""
    changed = [name for name in names if len({typed(trial.hparams.get(name, MISSING)) for trial in trials}) > 1]
    return changed or list(names)


def ranges(hparams: Sequence[Mapping[str, Any]]) -> str:
    """The ranges of the learning rates tried or, where none is named so, of all numbers."""
    values = {name: [hp[name] for hp in hparams if name in hp] for name in hparam_names(hparams)}
    numeric = {name: v for name, v in values.items() if all(is_number(x) for x in v)}
    rates = {n: v for n, v in numeric.items() if "lr" in n.lower() or "learning_rate" in n.lower()}
    chosen = rates or numeric
    return ", ".join(f"{n} from {short(min(v))} to {short(max(v))}" for n, v in chosen.items()) or "no numbers"


def headings(names: Iterable[str], prefix: str, taken: set[str]) -> dict[str, str]:
    """Name -> heading: the name or, where that is taken, one with the prefix. Adds the headings to those taken."""
    kept = set(names) - taken
    taken |= kept  # a name that is free stays as it is, also where a prefix would make it of another one
    found = {}
    for name in names:
        heading = name
        while name not in kept and heading in taken:
            heading = prefix + heading
        found[name] = heading
        taken.add(heading)
    return found


def _row(cells: Sequence[str]) -> str:
    return " & ".join(cell.translate(_LATEX) for cell in cells) + r" \\"


def _text_column(trials: Sequence[Trial], history: History, name: str) -> list[str]:
    """A hyperparameter as text, empty where a trial doesn't have it."""
    # Labels look at all trials, so that a function's number says the same in every table and picture, but a float
    # has only to differ from those beside it.
    others = [hp[name] for hp in history.hparams if name in hp and not is_number(hp[name])]
    shown = [trial.hparams[name] for trial in trials if name in trial.hparams]
    texts = iter(labels(others + shown)[len(others) :])
    return [next(texts) if name in trial.hparams else "" for trial in trials]


def _csv_column(values: Sequence[Any]) -> list[Any]:
    cells = [csv_cell(value) for value in values]
    texts = told_apart(values, ["" if cell is None else str(cell) for cell in cells])
    return [cell if cell is None or is_number(cell) else text for cell, text in zip(cells, texts, strict=True)]
