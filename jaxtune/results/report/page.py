"""The page of a report: one HTML file with its data, pictures, script and style in it, which asks for nothing."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

from jaxtune.results.report import blocks
from jaxtune.results.report.figures import (
    contour,
    curves,
    importance,
    isolation,
    lineage,
    parallel,
    progress,
    rungs,
    slices,
    tuning,
)
from jaxtune.results.report.figures.frame import bokeh
from jaxtune.results.report.figures.rows import make_rows

_PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>$style</style>
</head>
<body>
<main>
$body
</main>
<script type="application/json" id="contents">$contents</script>
<script>$bokeh</script>
$pictures
<script>$script</script>
</body>
</html>
""")


def page(contents: Mapping[str, Any]) -> str:
    """The HTML of a report.

    Args:
        contents: See `contents.contents`.

    Raises:
        ImportError: Bokeh is not installed.
    """
    bokeh()
    from bokeh.document import Document
    from bokeh.embed import components

    figures, document = _figures(contents), Document()
    with document.models.freeze():  # else all models are looked through again for each picture
        for figure in figures.values():
            document.add_root(figure)
    pictures, places = components(figures)
    return _PAGE.substitute(
        title=html.escape(blocks.title(contents)),
        style=_asset("page.css"),
        body="\n".join(blocks.body(contents, places)),
        contents=_in_script(json.dumps(contents, allow_nan=False, separators=(",", ":"))),
        bokeh=_bokeh_script(),
        pictures=pictures,
        script=_asset("page.js"),
    )


def _figures(contents: Mapping[str, Any]) -> dict[str, Any]:
    """Name -> picture, all of one document."""
    rows = make_rows(contents)
    panels = range(min(len(contents["hyperparameters"]), slices.MOST_PANELS))
    found = {"parallel": parallel.figure(contents, rows), "curves": curves.figure(contents, rows)}
    found |= {f"slice{i}": slices.panel(contents, rows, i) for i in panels}
    if contents["importance"]["hyperparameters"]:
        found["importance"] = importance.figure(contents)
    if contents["contour"]:
        found["contour"] = contour.figure(contents, rows)
    found |= progress.panels(contents)
    if contents["tuning"]:
        found["tuning"] = tuning.figure(contents)
    found |= {f"isolation{i}": isolation.panel(contents, rows, i) for i in panels}
    if contents["lineage"]:
        found["lineage"] = lineage.figure(contents, rows)
        explored = range(len(contents["lineage"]["schedules"]))
        found |= {f"schedule{i}": lineage.schedule(contents, rows, i) for i in explored}
    if any(rung["pruned"] or rung["diverged"] for rung in contents["rungs"]):
        found["rungs"] = rungs.figure(contents)
    return found


def _asset(name: str) -> str:
    return resources.files("jaxtune.results.report").joinpath("assets", name).read_text(encoding="utf-8")


def _bokeh_script() -> str:
    """Bokeh's own script, out of the installed package; its widgets and tables are not needed."""
    from bokeh.util.paths import bokehjs_path

    script = Path(bokehjs_path(), "js", "bokeh.min.js").read_text(encoding="utf-8")
    return script.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _in_script(text: str) -> str:
    """JSON that ends no script, whatever names are in it."""
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
