"""The best value so far over what was spent; its points are the trials that were in front."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxtune.results.report.figures.frame import BEST, frame, hover, name_axes, value_scale
from jaxtune.results.report.figures.rows import rounded
from jaxtune.results.text import short


def figure(contents: Mapping[str, Any]) -> Any:
    """The picture; its `rows` tell which trial a point is."""
    from bokeh.models import ColumnDataSource

    progress, search = contents["progress"], contents["search"]
    row = {trial: i for i, trial in enumerate(contents["trials"]["id"])}
    scale = value_scale(progress["value"], search["mode"], whole=True)
    source = ColumnDataSource(
        {
            "lane_steps": progress["lane_steps"],
            "seconds": [s if s is None else round(s, 2) for s in progress["seconds"]],
            "value": rounded(scale.inside(progress["value"])),
            "told": ["none" if v is None else short(v, 4) for v in progress["value"]],
            "trial": progress["trial"],
            "rows": [[row[trial]] if trial in row else [] for trial in progress["trial"]],
        },
        tags=["linked"],
    )
    made = frame("progress", 260, y_axis_type="log" if scale.log else "linear", y_range=(scale.low, scale.high))
    made.step("lane_steps", "value", source=source, mode="after", color=BEST, line_width=2, nonselection_alpha=1.0)
    marks = made.scatter("lane_steps", "value", source=source, size=8, color=BEST, nonselection_alpha=0.25)
    tips = [("trial", "@trial"), ("value", "@told"), ("training steps", "@lane_steps{0,0}"), ("seconds", "@seconds")]
    hover(made, [marks], tips)
    name_axes(made, "training steps of all trials", f"best {search['metric']} so far", scale, counts=True)
    return made
