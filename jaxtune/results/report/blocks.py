"""The parts of a report's page, as HTML. Everything that users have named is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jaxtune.results.report.captions import ABOUT, FRESH, LEARNT, PANELS, TITLES
from jaxtune.results.report.headline import counted
from jaxtune.results.tables import as_html

_CONTROLS = """
<div id="controls" role="region" aria-label="selection and filters">
<div class="line"><span id="status" role="status"></span>
<button type="button" id="clear">clear (Esc)</button>
<label>trials <input type="text" id="find" placeholder="3, 17, 20-30"></label>
<label>colour by <select id="colour"></select></label><span id="legend"></span></div>
<p id="ranges-selected"></p>
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
<p class="about">A click or the space bar selects a row, in all pictures too; with shift all rows up to it. Arrows
walk through the rows, headings sort. Bold is the winner. The rank goes by how long a trial was trained, then by its
value: one that was pruned stands behind all that went on. Hyperparameters that are the same for all trials are left
out.</p>
<p><label><input type="checkbox" id="only"> only those that are selected</label></p>
<div class="scroll"><table role="grid" aria-multiselectable="true" aria-labelledby="table-heading">
<thead><tr id="head"></tr></thead><tbody id="rows"></tbody></table></div>
<p id="empty" hidden>No trial is left.</p>
<p id="pages"><button type="button" id="earlier">earlier</button> <span id="page"></span>
<button type="button" id="later">later</button></p>
<p id="copies">Copy <span id="copy-who"></span>:
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
    yield _next(contents["findings"], contents["unchecked"])
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
    heading = f'<h1>{html.escape(title(contents))}</h1><p class="lead">{html.escape(first)}</p>'
    return f"<header>{heading}{sentences}{sample}</header>"


def title(contents: Mapping[str, Any]) -> str:
    """What was searched."""
    search, names = contents["search"], [one["name"] for one in contents["hyperparameters"]]
    over = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
    trials = counted(search["trials"], "trial")
    wins = f"the {'lowest' if search['mode'] == 'min' else 'highest'} {search['metric']} wins"
    return f"Search over {over}: {trials}, {wins}" if names else f"{trials}, {wins}"


def _next(findings: Sequence[Mapping[str, Any]], unchecked: str | None) -> str:
    if not findings:
        items = "<p>Nothing stands out.</p>"
    else:
        items = "".join(
            f"<li>{html.escape(one['sentence'])} <strong class='advice'>{html.escape(one['advice'])}</strong> "
            f"<span class='source'>{html.escape(one['source'])}</span></li>"
            for one in findings
        )
        items = f'<ol class="findings">{items}</ol>'
    note = f'<p class="about">{html.escape(unchecked)}</p>' if unchecked else ""
    return f'<section aria-labelledby="next-heading"><h2 id="next-heading">What to do next</h2>{items}{note}</section>'


def _confirmation(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return ""
    table = f'<div class="scroll" tabindex="0" role="region" aria-label="fresh seeds">{as_html(found["rows"])}</div>'
    return (
        '<section aria-labelledby="confirmation-heading"><h2 id="confirmation-heading">On fresh seeds</h2>'
        f'<p class="about">{FRESH}</p>{table}</section>'
    )


def _pictures(contents: Mapping[str, Any], places: Mapping[str, str]) -> Iterator[str]:
    """The pictures that there are, in the order in which people look."""
    learns = len(set(contents["trials"]["generation"])) > 1
    for name, heading in TITLES.items():
        panels = [place for key, place in places.items() if key.rstrip("0123456789") == PANELS.get(name)]
        if panels or name in places:
            about = ABOUT[name].format(**_words(contents)) + (LEARNT if name == "importance" and learns else "")
            yield _picture(name, heading, about, places.get(name, ""), panels)
        elif name == "importance" and contents["importance"]["why_not"]:
            yield f"<section><h2>{heading}</h2><p>{html.escape(contents['importance']['why_not'])}</p></section>"


def _words(contents: Mapping[str, Any]) -> dict[str, Any]:
    """What the texts below pictures say of this search."""
    search = contents["search"]
    return {
        "metric": search["metric"],
        "better": "low" if search["mode"] == "min" else "high",
        "step": f"{contents['tuning']['step']:,}" if contents["tuning"] else "",
    }


def _picture(name: str, heading: str, about: str, whole: str, panels: Sequence[str]) -> str:
    """A section with a picture as wide as the page, panels below, what they show in words, and numbers as a table."""
    below = f'<div class="panels">{"".join(panels)}</div>' if panels else ""
    return (
        f'<section aria-labelledby="{name}-heading"><h2 id="{name}-heading">{heading}</h2>'
        f'<figure><figcaption class="about">{html.escape(about)}{_in_python(name)}</figcaption>{whole}{below}</figure>'
        f'<details data-table="{name}"><summary>show as table</summary></details></section>'
    )


def _in_python(name: str) -> str:
    method = {"slices": "space", "tuning": "progress", "rungs": None}.get(name, name)
    return "" if method is None else f" In Python: <code>result.plot_{method}()</code>."


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
