"""The parts of a report's page, as HTML. Everything that users have named is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jaxtune.results.tables import as_html

_CONTROLS = """
<div id="controls" role="region" aria-label="selection and filters">
<div class="line"><span id="status" role="status"></span>
<button type="button" id="clear">clear (Esc)</button>
<label>trials <input type="text" id="find" placeholder="3, 17, 20-30"></label>
<label>colour by <select id="colour"></select></label><span id="legend"></span></div>
<details><summary>filters</summary>
<div class="line"><fieldset id="kinds"><legend>status</legend></fieldset></div>
<div class="line"><label>only the best <input type="number" id="top" min="1"></label><span id="parts"></span></div>
<div class="line"><label>range of <select id="range"></select></label>
<label>from <input type="number" id="low" step="any"></label>
<label>to <input type="number" id="high" step="any"></label>
<button type="button" id="add">add</button><span id="ranges"></span>
<button type="button" id="everything">show all</button></div>
</details>
</div>"""

_TABLE = """
<section aria-labelledby="table-heading"><h2 id="table-heading">Trials</h2>
<p class="about">A click or the space bar chooses a row, in all pictures too; with shift all rows up to it. Arrows walk
through the rows, headings sort. Hyperparameters that are the same for all trials are left out.</p>
<p><label><input type="checkbox" id="only"> only those that are chosen</label></p>
<div class="scroll"><table role="grid" aria-multiselectable="true" aria-labelledby="table-heading">
<thead><tr id="head"></tr></thead><tbody id="rows"></tbody></table></div>
<p id="empty" hidden>No trial is left.</p>
<p id="pages"><button type="button" id="earlier">earlier</button> <span id="page"></span>
<button type="button" id="later">later</button></p>
<p id="copies">Copy the chosen trials, or the best:
<button type="button" id="copy-hp">as Python</button>
<button type="button" id="copy-points">as jt.Points</button>
<button type="button" id="copy-csv">as CSV</button></p>
<textarea id="copied" aria-label="what was copied" readonly hidden></textarea>
</section>"""

_DIFFERENCE = """
<section aria-labelledby="difference-heading"><h2 id="difference-heading">Difference of two trials</h2>
<p><label>trial <input type="number" id="first"></label> <label>and trial <input type="number" id="second"></label></p>
<div id="difference" class="scroll" tabindex="0" role="region" aria-label="difference of two trials"></div></section>"""


def body(contents: Mapping[str, Any], places: Mapping[str, str]) -> Iterator[str]:
    """The parts in the order in which they are read.

    Args:
        contents: Of the report.
        places: Name of a picture -> the element that it is drawn into.
    """
    yield _headline(contents)
    yield _next(contents["findings"])
    yield _confirmation(contents["confirmation"])
    yield _CONTROLS
    yield _TABLE
    yield from _pictures(contents, places)
    yield _DIFFERENCE
    yield _reproduce(contents)


def _headline(contents: Mapping[str, Any]) -> str:
    first, *rest = contents["headline"]
    search = contents["search"]
    sample = (
        f"<p>{search['shown']:,} of the {search['trials']:,} trials are on this page: the best, and an even sample of "
        "the others.</p>"
        if search["shown"] < search["trials"]
        else ""
    )
    sentences = "".join(f"<p>{html.escape(sentence)}</p>" for sentence in rest)
    title = html.escape(f"{search['metric']} of {search['trials']:,} trials")
    return f'<header><h1>{title}</h1><p class="lead">{html.escape(first)}</p>{sentences}{sample}</header>'


def _next(findings: Sequence[Mapping[str, Any]]) -> str:
    if not findings:
        items = "<p>Nothing stands out.</p>"
    else:
        items = "".join(
            f"<li>{html.escape(one['sentence'])} <strong class='advice'>{html.escape(one['advice'])}</strong> "
            f"<span class='source'>{html.escape(one['source'])}</span></li>"
            for one in findings
        )
        items = f'<ol class="findings">{items}</ol>'
    return f'<section aria-labelledby="next-heading"><h2 id="next-heading">What to do next</h2>{items}</section>'


def _confirmation(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return ""
    table = f'<div class="scroll" tabindex="0" role="region" aria-label="fresh seeds">{as_html(found["rows"])}</div>'
    return (
        '<section aria-labelledby="confirmation-heading"><h2 id="confirmation-heading">On fresh seeds</h2>'
        f"<p>{html.escape(found['verdict'])}</p>{table}</section>"
    )


def _pictures(contents: Mapping[str, Any], places: Mapping[str, str]) -> Iterator[str]:
    metric = contents["search"]["metric"]
    better = "low" if contents["search"]["mode"] == "min" else "high"
    yield _picture(
        "parallel",
        "Parallel coordinates",
        f"A line per trial through its hyperparameters to its {metric}; {better} is better. Drag along an axis to "
        "choose a range; boxes on several axes all have to hold. What has no value lies below the axes.",
        [places["parallel"]],
    )
    yield _picture(
        "curves",
        "Learning curves",
        f"{metric} on validation data over training steps. Dashed lines were pruned, at the dotted rungs; crosses "
        "diverged; the strong line is the best trial, dotted on its training data. A box chooses who comes there.",
        [places["curves"]],
    )
    panels = [place for name, place in places.items() if name.startswith("slice")]
    if panels:
        yield _picture(
            "slices",
            "Slices",
            f"Each trial's {metric} over each of its hyperparameters. Circles were trained to the end, triangles "
            "pruned, crosses diverged.",
            panels,
        )
    yield _picture(
        "progress",
        "Best so far",
        f"The best {metric} that any trial had reached, over what was spent; points are trials that took the lead.",
        [places["progress"]],
    )


def _picture(name: str, title: str, about: str, places: Sequence[str]) -> str:
    """A section with a picture of one or several panels, what it shows in words, and its numbers as a table."""
    shown = places[0] if len(places) == 1 else f'<div class="panels">{"".join(places)}</div>'
    return (
        f'<section aria-labelledby="{name}-heading"><h2 id="{name}-heading">{title}</h2>'
        f'<figure><figcaption class="about">{html.escape(about)}</figcaption>{shown}</figure>'
        f'<details data-table="{name}"><summary>show as table</summary></details></section>'
    )


def _reproduce(contents: Mapping[str, Any]) -> str:
    search = contents["search"]
    known = {"seed": search["seed"], **search["call"], **search["where"], "made": contents["made"]}
    known |= {f"{part}, seconds": f"{seconds:.1f}" for part, seconds in search["seconds"].items()}
    known |= {f"{one['name']} (constant)": one["text"] for one in contents["constants"]}
    rows = "".join(
        f"<dt>{html.escape(str(name))}</dt><dd>{html.escape(str(value))}</dd>"
        for name, value in known.items()
        if value is not None
    )
    return (
        '<section aria-labelledby="reproduce-heading"><h2 id="reproduce-heading">To reproduce it</h2>'
        f"<dl>{rows}</dl></section>"
    )
