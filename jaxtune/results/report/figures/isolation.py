"""Isolation: the best trial in each part of a hyperparameter's range, a panel for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxtune.results.report.figures.frame import BEST, FAINT, frame, hover, label_places, name_axes
from jaxtune.results.report.figures.parallel import place_of, ticks_of
from jaxtune.results.report.figures.rows import Rows, rounded
from jaxtune.results.text import short


def panel(contents: Mapping[str, Any], rows: Rows, number: int) -> Any:
    """The picture of one hyperparameter; brighter where the best was trained longer."""
    from bokeh.models import ColumnDataSource

    one, found = contents["hyperparameters"][number], contents["isolation"][number]["buckets"]
    ends = [[bucket["option"] or bucket[end] for bucket in found] for end in ("from", "to")]
    low, high = (place_of(one, values) for values in ends)
    row = {trial: i for i, trial in enumerate(contents["trials"]["id"])}
    most, worst = max(contents["trials"]["steps"]), rows.values.worst(contents["search"]["mode"])
    values = [worst if bucket["value"] is None else bucket["value"] for bucket in found]
    half = 0.5 / len(one["options"]) if one["options"] else 0.0
    source = ColumnDataSource(
        {
            "left": rounded(low - half),
            "right": rounded(high + half),
            "value": rounded(rows.values.inside(values)),
            "mark": ["x" if bucket["value"] is None else "circle" for bucket in found],
            "told": ["none" if bucket["value"] is None else short(bucket["value"], 4) for bucket in found],
            "trial": [bucket["trial"] for bucket in found],
            "count": [bucket["trials"] for bucket in found],
            "steps": [bucket["steps"] for bucket in found],
            "alpha": [0.35 + 0.6 * bucket["steps"] / max(1, most) for bucket in found],
            "middle": rounded((low + high) / 2),
            "rows": [[row[bucket["trial"]]] if bucket["trial"] in row else [] for bucket in found],
        },
        tags=["linked"],
    )
    made = frame(
        f"isolation{number}",
        230,
        x_range=(-0.03, 1.03),
        y_axis_type="log" if rows.values.log else "linear",
        y_range=(rows.values.low, rows.values.high),
    )
    made.segment("left", "value", "right", "value", source=source, color=BEST, line_width=3, alpha="alpha")
    style = {"size": 8, "color": BEST, "alpha": "alpha", "nonselection_alpha": FAINT}
    marks = made.scatter("middle", "value", source=source, marker="mark", **style)
    tips = [("best trial", "@trial"), ("value", "@told"), ("steps", "@steps"), ("of", "@count trials")]
    hover(made, [marks], tips)
    name_axes(made, one["name"], contents["search"]["metric"], rows.values)
    label_places(made.xaxis, ticks_of(one))
    return made
