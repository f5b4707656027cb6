"""The table of trials that links all pictures: one row per trial, best first, in every picture the same."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxtune.results.report.figures.frame import FAINT, Scale, plain, value_scale
from jaxtune.results.text import short

_MARKERS = {"finished": "circle", "stopped early": "square", "pruned": "triangle", "diverged": "x"}
_DASHES = {"pruned": [4, 2], "diverged": [2, 2]}


class Rows(NamedTuple):
    """What pictures draw from.

    Attributes:
        source: Bokeh's table; further columns may be added to it.
        view: Which of its rows are shown; the page's filters change it.
        values: Scale of the metric that ranks.
    """

    source: Any
    view: Any
    values: Scale


def make_rows(contents: Mapping[str, Any]) -> Rows:
    """The table of a report's trials, its columns: id, rank, text of the value, status, mark, dash, colour, value."""
    from bokeh.models import CDSView, ColumnDataSource, IndexFilter

    trials, search = contents["trials"], contents["search"]
    values = trials["metrics"][search["metric"]]
    scale = value_scale(values, search["mode"])
    inside = scale.inside(values)
    columns = {
        "id": trials["id"],
        "rank": trials["rank"],
        "told": ["none" if v is None else short(v, 4) for v in values],
        "status": [plain(status) for status in trials["status"]],
        "mark": [_MARKERS.get(kind, "diamond") for kind in trials["kind"]],
        "dash": [_DASHES.get(kind, []) for kind in trials["kind"]],
        "colour": ["#8a8f98"] * len(values),  # the page's script colours, by what is asked for
        "value": rounded(np.where(np.isnan(inside), scale.worst(search["mode"]), inside)),
    }
    source = ColumnDataSource(columns, name="trials")
    everyone = list(range(len(values)))
    return Rows(source, CDSView(filter=IndexFilter(indices=everyone, name="shown")), scale)


TIPS = [("trial", "@id"), ("rank", "@rank"), ("value", "@told"), ("status", "@status")]


def add_lines(figure: Any, rows: Rows, xs: str, ys: str, width: float = 1.2) -> Any:
    """A line per trial, dashed where it was pruned or diverged; strong where it is selected."""
    alpha = float(np.clip(6.0 / math.sqrt(max(1, len(rows.source.data["id"]))), 0.25, 0.85))
    return figure.multi_line(
        xs,
        ys,
        source=rows.source,
        view=rows.view,
        line_color="colour",
        line_dash="dash",
        name="lines",
        line_width=width,
        line_alpha=alpha,
        selection_line_alpha=1.0,
        selection_line_width=2 * width,
        nonselection_line_alpha=0.15 * alpha,
        nonselection_line_color="colour",
    )


def add_marks(figure: Any, rows: Rows, x: str, y: str, size: int = 7) -> Any:
    """A mark per trial, its shape the status."""
    return figure.scatter(
        x,
        y,
        source=rows.source,
        view=rows.view,
        marker="mark",
        size=size,
        color="colour",
        line_color="colour",
        alpha=0.75,
        selection_alpha=1.0,
        nonselection_alpha=FAINT,
        nonselection_color="colour",
    )


def rounded(values: Sequence[float] | np.ndarray, digits: int = 5) -> list[float]:
    """As many digits as a picture can show; NaN stays, which is drawn nowhere (None would be drawn at 0)."""
    return [float(f"{v:.{digits}g}") for v in values]
