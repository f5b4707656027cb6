"""How much each hyperparameter matters: bars with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxtune.results.report.figures.frame import frame, label_places, name_axes

MOST_BARS = 24
_BAR = "#4b78d6"


def figure(contents: Mapping[str, Any]) -> Any:
    """The picture."""
    rows = contents["importance"]["hyperparameters"][:MOST_BARS]
    places = [len(rows) - i for i in range(len(rows))]
    ranges = {"x_range": (0, 1.02), "y_range": (0.3, len(rows) + 0.7)}
    made = frame("importance", 90 + 24 * len(rows), tools="save", **ranges)
    shares = [row["share"] for row in rows]
    made.hbar(y=places, right=shares, height=0.6, color=_BAR, alpha=0.85)
    told = [(y, row["low"], row["high"]) for y, row in zip(places, rows, strict=True) if row["low"] is not None]
    if told:
        y, low, high = zip(*told, strict=True)
        made.segment(low, y, high, y, line_color="#8a8f98", line_width=3)
    name_axes(made, "share of importance, which adds up to 1", "")
    label_places(made.yaxis, {y: row["name"] for y, row in zip(places, rows, strict=True)})
    made.ygrid.visible = False
    return made
