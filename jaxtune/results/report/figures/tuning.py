"""What a smaller search would have found: the expected best of n trials."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxtune.results.report.figures.frame import BEST, GREY, frame, name_axes, value_scale


def figure(contents: Mapping[str, Any]) -> Any:
    """The picture, with the band that holds the best of 95 % of such searches."""
    found, search = contents["tuning"], contents["search"]
    scale = value_scale([*found["mean"], *found["low"], *found["high"]], search["mode"], whole=True)
    options: dict[str, Any] = {"x_axis_type": "log" if found["trials"][-1] > 10 else "linear"}
    options |= {"y_axis_type": "log" if scale.log else "linear", "y_range": (scale.low, scale.high)}
    made = frame("tuning", 260, tools="save", **options)
    low, mean, high = (scale.inside(found[name]) for name in ("low", "mean", "high"))
    made.varea(found["trials"], low, high, fill_color=GREY, fill_alpha=0.3)
    made.line(found["trials"], mean, color=BEST, line_width=2.5)
    name_axes(made, "trials", f"best {search['metric']} at step {found['step']:,}", scale, counts=True)
    return made
