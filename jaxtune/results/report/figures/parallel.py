"""Parallel coordinates: a line per trial through its hyperparameters and its value; a box on an axis selects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxtune.results.report.figures.frame import BEST, INK, Scale, cut, frame, label_places, no_box_hits, texts, ticks
from jaxtune.results.report.figures.rows import Rows, add_lines, rounded

_NOTHING = -0.09  # where trials lie that have no value: below all that have one
MOST_AXES = 24


def figure(contents: Mapping[str, Any], rows: Rows) -> Any:
    """The picture; its axes are the hyperparameters, in their order, and the metric."""
    from bokeh.models.annotations import BoxAnnotation

    hyperparameters, search = contents["hyperparameters"][:MOST_AXES], contents["search"]
    values = contents["trials"]["metrics"][search["metric"]]
    places = [place_of(one, contents["trials"]["hyperparameters"][one["name"]]) for one in hyperparameters]
    along = np.stack([*places, rows.values.place(values)], axis=1)  # [N, axes]
    along = np.where(np.isnan(along), _NOTHING, along)
    num = along.shape[1]
    rows.source.data["axes"] = [list(range(num))] * len(along)
    rows.source.data["places"] = [rounded(line, 3) for line in along]
    ranges: dict[str, Any] = {"x_range": (-0.4, num - 0.6), "y_range": (-0.16, 1.06), "x_axis_location": "above"}
    made = no_box_hits(frame("parallel", 380, **ranges))
    for i in range(num):
        made.segment(i, 0, i, 1, line_color="#8a8f98", line_width=1)
    add_lines(made, rows, "axes", "places", 1.0)
    if search["best"] in contents["trials"]["id"]:
        best = along[contents["trials"]["id"].index(search["best"])]
        made.line(list(range(num)), rounded(best, 3), color=BEST, line_width=3)
    for i, one in enumerate([*hyperparameters, _metric(search, rows.values)]):
        _name_places(made, i, one)
        style: dict[str, Any] = {"visible": False, "fill_alpha": 0.25, "fill_color": BEST}
        made.add_layout(BoxAnnotation(name=f"brush{i}", left=i - 0.08, right=i + 0.08, **style))
    label_places(made.xaxis, {i: one["name"] for i, one in enumerate([*hyperparameters, {"name": search["metric"]}])})
    if num > 6:
        made.xaxis.major_label_orientation = 0.5
    made.yaxis.visible = made.grid.visible = False
    made.xaxis.axis_line_color = made.xaxis.major_tick_line_color = None
    return made


def place_of(one: Mapping[str, Any], values: list[Any]) -> np.ndarray:
    """Float [N] in 0 to 1, where values of a hyperparameter lie on its axis; NaN where there is none."""
    if one["kind"] == "category":
        index = {option: (i + 0.5) / len(one["options"]) for i, option in enumerate(one["options"])}
        return np.array([np.nan if value is None else index[value] for value in values])
    return Scale(one["low"], one["high"], one["kind"] == "log").place(values)


def _metric(search: Mapping[str, Any], scale: Scale) -> dict[str, Any]:
    return {"name": search["metric"], "kind": "log" if scale.log else "linear", "low": scale.low, "high": scale.high}


def _name_places(made: Any, axis: int, one: Mapping[str, Any]) -> None:
    """Writes values beside an axis."""
    named = ticks_of(one)
    style = {"x_offset": 5, "y_offset": 4, "text_font_size": "11px", "text_color": INK}
    marks = made.text([axis] * len(named), list(named), list(named.values()), **style)
    marks.level = "overlay"


def ticks_of(one: Mapping[str, Any]) -> dict[float, str]:
    """Place in 0 to 1 -> text, of some values of a hyperparameter."""
    if one["kind"] == "category":
        options = one["options"]
        every = max(1, len(options) // 12)
        return {(i + 0.5) / len(options): cut(options[i], 16) for i in range(0, len(options), every)}
    log = one["kind"] == "log"
    marks = ticks(one["low"], one["high"], log)
    return dict(zip(Scale(one["low"], one["high"], log).place(marks).tolist(), texts(marks), strict=True))
