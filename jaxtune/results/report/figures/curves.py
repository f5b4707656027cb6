"""Learning curves: a line per trial, with the rungs at which the worst were given up; a box selects who comes there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxtune.results.report.figures.frame import (
    BEST,
    FAINT,
    RED,
    frame,
    hover,
    name_axes,
    no_box_hits,
    padded,
    value_scale,
)
from jaxtune.results.report.figures.rows import TIPS, Rows, add_lines, add_marks, rounded

_BAND = 1000  # trials; of more, the quantiles are drawn over their lines


def figure(contents: Mapping[str, Any], rows: Rows) -> Any:
    """The picture."""
    search, curves = contents["search"], contents["curves"]
    every = [value for curve in (*curves, *contents["training_curves"]) for value in curve["values"]]
    scale = value_scale(every, search["mode"])
    steps = [step for curve in curves for step in curve["steps"]]
    log = bool(steps) and min(steps) > 0 and max(steps) > 10 * min(steps)
    rows.source.data["steps"] = [curve["steps"] for curve in curves]
    rows.source.data["curve"] = [rounded(scale.inside(curve["values"])) for curve in curves]
    made = no_box_hits(
        frame(
            "curves",
            380,
            x_axis_type="log" if log else "linear",
            x_range=padded(min(steps, default=0), max(steps, default=1), log),
            y_axis_type="log" if scale.log else "linear",
            y_range=(scale.low, scale.high),
        )
    )
    _mark_rungs(made, contents)
    lines = add_lines(made, rows, "steps", "curve")
    hover(made, [lines, _draw_points(made, rows)], TIPS, line_policy="nearest")
    _draw_best(made, contents, scale)
    _draw_crosses(made, rows, contents, scale)
    if len(curves) > _BAND:
        _draw_quantiles(made, curves, scale)
    name_axes(made, "steps", search["metric"], scale, counts=True)
    return made


def _mark_rungs(made: Any, contents: Mapping[str, Any]) -> None:
    from bokeh.models.annotations import Span

    rungs = sorted({rung["step"] for rung in contents["rungs"] if rung["pruned"]})
    for step in rungs[:40]:
        made.add_layout(Span(location=step, dimension="height", line_color="#8a8f98", line_dash=[2, 3]))


def _draw_points(made: Any, rows: Rows) -> Any:
    """A point for each curve that has but one, and hence no line."""
    each = list(zip(rows.source.data["steps"], rows.source.data["curve"], strict=True))
    alone = [(x[0], y[0]) if len(x) == 1 else (math.nan, math.nan) for x, y in each]
    rows.source.data["alone_step"], rows.source.data["alone_value"] = (list(one) for one in zip(*alone, strict=True))
    return add_marks(made, rows, "alone_step", "alone_value", 4)


def _draw_best(made: Any, contents: Mapping[str, Any], scale: Any) -> None:
    """The best trial over all others, with what it did on its training data."""
    best, ids = contents["search"]["best"], contents["trials"]["id"]
    if best not in ids:
        return
    row = ids.index(best)
    curve = contents["curves"][row]
    made.line(curve["steps"], scale.inside(curve["values"]), color=BEST, line_width=3)
    training = contents["training_curves"]
    if row < len(training):
        own = training[row]
        made.line(own["steps"], scale.inside(own["values"]), color=BEST, line_width=2, line_dash=[1, 4])


def _draw_crosses(made: Any, rows: Rows, contents: Mapping[str, Any], scale: Any) -> None:
    """A cross where each diverged trial ends: where its curve does or, without one, at the worse edge."""
    worst = scale.worst(contents["search"]["mode"])
    x, y = [], []
    first = min((curve["steps"][0] for curve in contents["curves"] if curve["steps"]), default=1)
    each = zip(contents["trials"]["kind"], contents["trials"]["steps"], rows.source.data["curve"], strict=True)
    for kind, steps, curve in each:
        x.append(max(steps, first) if kind == "diverged" else math.nan)
        y.append((curve[-1] if curve else worst) if kind == "diverged" else math.nan)
    if "diverged" in contents["trials"]["kind"]:
        rows.source.data["end_step"], rows.source.data["end_value"] = x, y
        where = {"source": rows.source, "view": rows.view}
        made.scatter("end_step", "end_value", **where, marker="x", size=7, color=RED, nonselection_alpha=FAINT)


def _draw_quantiles(made: Any, curves: list[dict[str, list]], scale: Any) -> None:
    """Median, and the band that holds 80 % of the trials that are still in training."""
    at: dict[int, list[float]] = {}
    for curve in curves:
        for step, value in zip(curve["steps"], curve["values"], strict=True):
            if value is not None:
                at.setdefault(step, []).append(value)
    steps = sorted(step for step, values in at.items() if len(values) >= 10)
    if len(steps) > 1:
        low, middle, high = (scale.inside([np.percentile(at[s], q) for s in steps]) for q in (10, 50, 90))
        made.varea(steps, low, high, fill_color="#8a8f98", fill_alpha=0.35)
        made.line(steps, middle, color="#8a8f98", line_width=2.5)
