"""The best value so far over what was spent; its points are the trials that were in front."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxtune.results.report.figures.frame import BEST, frame, hover, name_axes, value_scale
from jaxtune.results.report.figures.rows import rounded
from jaxtune.results.text import short

_SPENT = {"lane_steps": "training steps of all trials", "seconds": "seconds"}


def panels(contents: Mapping[str, Any]) -> dict[str, Any]:
    """Name -> picture, over training steps and, where they are known, over seconds; none where nobody had a value."""
    progress = contents["progress"]
    known = [spent for spent in _SPENT if progress[spent] and None not in progress[spent]]
    return {f"spent{i}": _panel(contents, f"spent{i}", spent) for i, spent in enumerate(known)}


def _panel(contents: Mapping[str, Any], name: str, spent: str) -> Any:
    """A picture, whose `rows` tell which trial a point is."""
    from bokeh.models import ColumnDataSource

    progress, search = contents["progress"], contents["search"]
    row = {trial: i for i, trial in enumerate(contents["trials"]["id"])}
    scale = value_scale(progress["value"], search["mode"], whole=True)
    source = ColumnDataSource(
        {
            "lane_steps": progress["lane_steps"],
            "seconds": ["unknown" if s is None else round(s, 2) for s in progress["seconds"]],
            "value": rounded(scale.inside(progress["value"])),
            "told": ["none" if v is None else short(v, 4) for v in progress["value"]],
            "trial": progress["trial"],
            "rows": [[row[trial]] if trial in row else [] for trial in progress["trial"]],
        },
        tags=["linked"],
    )
    made = frame(name, 260, y_axis_type="log" if scale.log else "linear", y_range=(scale.low, scale.high))
    made.step(spent, "value", source=source, mode="after", color=BEST, line_width=2, nonselection_alpha=1.0)
    marks = made.scatter(spent, "value", source=source, size=8, color=BEST, nonselection_alpha=0.25)
    tips = [("trial", "@trial"), ("value", "@told"), ("training steps", "@lane_steps{0,0}"), ("seconds", "@seconds")]
    hover(made, [marks], tips)
    name_axes(made, _SPENT[spent], f"best {search['metric']} so far", scale, counts=spent == "lane_steps")
    return made
