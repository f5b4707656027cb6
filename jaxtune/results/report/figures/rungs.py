"""How many trials came to each rung, and what became of them there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxtune.results.report.figures.frame import (
    BEST,
    GREY,
    INK,
    RED,
    frame,
    hover,
    label_places,
    name_axes,
    no_box_hits,
)

MOST_BARS = 60
_PARTS = {"went_on": BEST, "pruned": GREY, "diverged": RED}


def figure(contents: Mapping[str, Any]) -> Any:
    """The picture: a bar per rung, of those who went on, were pruned, and diverged before it."""
    from bokeh.models import ColumnDataSource

    rungs = contents["rungs"][:MOST_BARS]
    made = no_box_hits(frame("rungs", 260, x_range=(-0.6, max(1, len(rungs)) - 0.4)))
    bottom = [0] * len(rungs)
    for part, colour in _PARTS.items():
        if not any(rung[part] for rung in rungs):
            continue
        source = ColumnDataSource(
            {
                "x": list(range(len(rungs))),
                "bottom": bottom,
                "top": [b + rung[part] for b, rung in zip(bottom, rungs, strict=True)],
                "count": [rung[part] for rung in rungs],
                "step": [rung["step"] for rung in rungs],
                "rows": [_rows(contents, rung, part) for rung in rungs],
            },
            tags=["linked"],
        )
        label = part.replace("_", " ")
        style = {"color": colour, "line_color": None, "nonselection_alpha": 0.35}
        bars = made.vbar("x", 0.7, "top", "bottom", source=source, legend_label=label, **style)
        hover(made, [bars], [("rung at step", "@step"), (label, "@count")])
        bottom = [b + rung[part] for b, rung in zip(bottom, rungs, strict=True)]
    name_axes(made, "rung", "trials")
    label_places(made.xaxis, {i: _name(contents, rung) for i, rung in enumerate(rungs)})
    if len(rungs) > 8:
        made.xaxis.major_label_orientation = 0.8
    made.legend.background_fill_alpha = 0.0
    made.legend.label_text_color = INK
    made.legend.border_line_color = None
    made.add_layout(made.legend[0], "right")
    return made


def _name(contents: Mapping[str, Any], rung: Mapping[str, Any]) -> str:
    """At which step, and whose rung it is where there are several sets of trials."""
    several = [f"{key} {rung[key]}" for key in ("generation", "bracket") if len(set(contents["trials"][key])) > 1]
    return ", ".join([f"step {rung['step']:,}", *several])


def _rows(contents: Mapping[str, Any], rung: Mapping[str, Any], part: str) -> list[int]:
    """Which of the trials that are shown make up a part of a bar."""
    trials, step = contents["trials"], rung["step"]
    same = [one for one in contents["rungs"] if _set(one) == _set(rung) and one["step"] < step]
    before = max((one["step"] for one in same), default=0)
    each = zip(trials["generation"], trials["bracket"], trials["kind"], trials["steps"], strict=True)
    found = []
    for row, (generation, bracket, kind, steps) in enumerate(each):
        if (generation, bracket) == _set(rung) and part == _fate(kind, steps, before, step):
            found.append(row)
    return found


def _set(rung: Mapping[str, Any]) -> tuple[int, int]:
    return rung["generation"], rung["bracket"]


def _fate(kind: str, steps: int, before: int, step: int) -> str | None:
    """What became at a rung of a trial that was trained for so many steps; None if it never came there."""
    if kind == "diverged" and steps < step:
        return "diverged" if steps >= before else None
    if steps < step:
        return None
    return "pruned" if kind == "pruned" and steps == step else "went_on"
