"""Population-based training: who went on from whose weights, and the schedules that came of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxtune.results.report.figures.frame import BEST, GREY, frame, hover, name_axes, no_box_hits, value_scale
from jaxtune.results.report.figures.rows import TIPS, Rows, add_lines, rounded


def figure(contents: Mapping[str, Any], rows: Rows) -> Any:
    """The tree: a line per slot of the population, steps to the right, and copies between them."""
    found, trials = contents["lineage"], contents["trials"]
    end = max(found["stop"])
    rows.source.data["life"] = [[0, end]] * len(trials["id"])
    rows.source.data["slot"] = [[trial, trial] for trial in trials["id"]]
    made = no_box_hits(frame("lineage", 420))
    hover(made, [add_lines(made, rows, "life", "slot")], TIPS, line_policy="interp")
    for leads, colour, width in ((False, GREY, 1.0), (True, BEST, 3.0)):
        copies = [copy for copy in found["copies"] if copy["leads_to_best"] == leads]
        x = [copy["step"] for copy in copies]
        arrows = made.segment(
            x, [c["from"] for c in copies], x, [c["to"] for c in copies], color=colour, line_width=width, alpha=0.8
        )
        made.scatter(x, [c["to"] for c in copies], size=5, color=colour)
        arrows.level = "overlay" if leads else "glyph"
    each = [(a, b, slot) for a, b, slot in zip(found["start"], found["stop"], found["best"], strict=True) if slot >= 0]
    start, stop, slot = zip(*each, strict=True)
    made.segment(start, slot, stop, slot, color=BEST, line_width=3)
    name_axes(made, "steps", "trial", counts=True)
    return made


def schedule(contents: Mapping[str, Any], rows: Rows, number: int) -> Any:
    """An explored hyperparameter along the lineage of each trial."""
    name = list(contents["lineage"]["schedules"])[number]
    courses, end = contents["lineage"]["schedules"][name], max(contents["lineage"]["stop"])
    known = {one["name"]: one for one in contents["hyperparameters"]}
    log = known[name]["kind"] == "log" if name in known else False
    x, y = [], []
    for course in courses:
        stops = [*course["steps"][1:], end]
        x.append([step for pair in zip(course["steps"], stops, strict=False) for step in pair])
        y.append(rounded([value for value in course["values"] for _ in range(2)]))
    rows.source.data[f"schedule{number}x"], rows.source.data[f"schedule{number}y"] = x, y
    made = no_box_hits(frame(f"schedule{number}", 260, y_axis_type="log" if log else "linear"))
    hover(made, [add_lines(made, rows, f"schedule{number}x", f"schedule{number}y")], TIPS)
    scale = value_scale([value for line in y for value in line], "min", whole=True)
    name_axes(made, "steps", name, scale if log else None, counts=True)
    return made
