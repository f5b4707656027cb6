"""Slices: each trial's value over each of its hyperparameters, a panel for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxtune.results.report.figures.frame import frame, hover, label_places, name_axes, padded
from jaxtune.results.report.figures.rows import TIPS, Rows, add_marks, rounded
from jaxtune.results.text import short

MOST_PANELS = 24


def panel(contents: Mapping[str, Any], rows: Rows, number: int) -> Any:
    """The picture of one hyperparameter."""
    one = contents["hyperparameters"][number]
    values = contents["trials"]["hyperparameters"][one["name"]]
    category, log = one["kind"] == "category", one["kind"] == "log"
    options: dict[str, Any] = {
        "x_axis_type": "log" if log else "linear",
        "y_axis_type": "log" if rows.values.log else "linear",
        "y_range": (rows.values.low, rows.values.high),
    }
    options["x_range"] = (-0.1, len(one["options"]) + 0.1) if category else padded(one["low"], one["high"], log)
    made = frame(f"slice{number}", 260, **options)
    x = _spread(one["options"], values) if category else [None if v is None else float(v) for v in values]
    rows.source.data[f"x{number}"] = rounded([np.nan if v is None else v for v in x], 6)
    marks = add_marks(made, rows, f"x{number}", "value", 6)
    rows.source.data[f"told{number}"] = ["none" if v is None else short(v, 4) for v in values]
    hover(made, [marks], [(one["name"], f"@told{number}"), *TIPS])
    if category:
        every = max(1, len(one["options"]) // 12)
        label_places(made.xaxis, {i + 0.5: one["options"][i] for i in range(0, len(one["options"]), every)})
        if sum(map(len, one["options"])) > 30:
            made.xaxis.major_label_orientation = 0.6
    name_axes(made, one["name"], contents["search"]["metric"], rows.values)
    return made


def _spread(options: list[str], values: list[Any]) -> list[float | None]:
    """Places of options; trials of one option are spread evenly, so that equal values stay visible."""
    index = {option: i + 0.5 for i, option in enumerate(options)}
    offset = 0.5 * ((np.arange(len(values)) * 0.618034) % 1.0 - 0.5)
    return [None if value is None else index[value] + o for value, o in zip(values, offset.tolist(), strict=True)]
