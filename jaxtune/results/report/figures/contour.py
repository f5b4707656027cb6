"""How good places of the two most important hyperparameters are, with all trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxtune.results.report.figures.frame import frame, hover, label_places, name_axes
from jaxtune.results.report.figures.parallel import place_of, ticks_of
from jaxtune.results.report.figures.rows import TIPS, Rows, add_marks, rounded

_WORST, _BEST = (75, 120, 214), (230, 97, 0)


def figure(contents: Mapping[str, Any], rows: Rows) -> Any:
    """The picture, in places of the two ranges, whose values stand at the axes."""
    found = contents["contour"]
    known = {one["name"]: one for one in contents["hyperparameters"]}
    axes = [known[name] for name in found["names"]]
    for key, one in zip(("across", "up"), axes, strict=True):
        rows.source.data[key] = rounded(place_of(one, contents["trials"]["hyperparameters"][one["name"]]), 4)
    made = frame("contour", 380, x_range=(-0.03, 1.03), y_range=(-0.03, 1.03))
    x, y, quality = (np.array(found[name], float) for name in ("x", "y", "percentile"))
    (left, right), (bottom, top) = _edges(x), _edges(y)
    row, column = np.nonzero(np.isfinite(quality))
    made.quad(
        left=left[column],
        right=right[column],
        bottom=bottom[row],
        top=top[row],
        color=[_blend(value) for value in quality[row, column]],
        line_color=None,
        alpha=0.45,
    )
    hover(made, [add_marks(made, rows, "across", "up", 6)], TIPS)
    name_axes(made, axes[0]["name"], axes[1]["name"])
    for axis, one in zip((made.xaxis, made.yaxis), axes, strict=True):
        label_places(axis, ticks_of(one))
    made.grid.visible = False
    return made


def _edges(middles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    half = 0.5 * (middles[1] - middles[0]) if len(middles) > 1 else 0.5
    return middles - half, middles + half


def _blend(place: float) -> str:
    parts: Sequence[int] = [round(a + place * (b - a)) for a, b in zip(_WORST, _BEST, strict=True)]
    return "#{:02x}{:02x}{:02x}".format(*parts)
