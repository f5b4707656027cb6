"""The page in a real browser: it asks for nothing, links all pictures, can be used by keys, and trusts no names."""

import ast
import csv
import io
import json
import math

import numpy as np
import pytest
from histories import make_history
from pages import Page, browser, context, needs_browser
from reports import halving, pbt

import jaxtune as jt
from jaxtune.results.report.contents import contents
from jaxtune.results.report.figures import frame
from jaxtune.results.report.page import page
from jaxtune.results.report.report import Report
from jaxtune.results.result import Result

pytestmark = needs_browser
HALVING = halving()
PBT = pbt()
CONTENTS = contents(HALVING)
IDS = CONTENTS["trials"]["id"]
VALUES = CONTENTS["trials"]["metrics"]["loss"]
SCALE = frame.value_scale(VALUES, "min")
SCALE_OF_CURVES = frame.value_scale([v for curve in CONTENTS["curves"] for v in curve["values"]], "min")


@pytest.fixture(scope="module")
def chromium():
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Result -> the file of its report, made once."""
    folder, made = tmp_path_factory.mktemp("reports"), {}

    def write(result):
        if id(result) not in made:
            report = result if isinstance(result, Report) else result.report()
            made[id(result)] = report.write(folder / f"{len(made)}.html").path
        return made[id(result)]

    return write


@pytest.fixture
def shown(chromium, written):
    """Opens the page of a result; afterwards nothing may have gone wrong on it."""
    opened = []

    def show(result):
        one = Page(window.new_page())
        opened.append(one)
        one.open(written(result))
        return one

    with context(chromium) as window:
        yield show
        for one in opened:
            assert one.problems == []


def ids_where(test):
    return sorted(trial for row, trial in enumerate(IDS) if test(row))


def value(row):
    return SCALE.worst("min") if VALUES[row] is None else float(SCALE.inside([VALUES[row]])[0])


def hparam(name):
    return CONTENTS["trials"]["hyperparameters"][name]


# What is there


def test_every_view_is_there_and_has_a_table(shown):
    one = shown(HALVING)
    views = {"parallel", "curves", "importance", "contour", "spent0", "spent1", "tuning", "rungs"}
    panels = {f"{name}{i}" for name in ("slice", "isolation") for i in range(6)}
    assert set(one.figures()) == views | panels
    assert {"lineage", "schedule0"} <= set(shown(PBT).figures())
    tables = one.page.locator("details[data-table]")
    for i in range(tables.count()):
        tables.nth(i).locator("summary").click()
        tables.nth(i).locator("tbody tr").first.wait_for(timeout=5000)


def test_the_headline_comes_before_all_scripts():
    text = page(CONTENTS)
    assert text.index(CONTENTS["headline"][0]) < text.index("<script")


def test_the_data_are_on_the_page(shown):
    read = shown(HALVING).js("() => JSON.parse(document.getElementById('contents').textContent)")
    assert read["trials"] == json.loads(json.dumps(CONTENTS["trials"]))


# Brushes: each selects who Python says, in all views


def test_a_box_on_a_slice(shown):
    one = shown(HALVING)
    one.brush("slice0", 1e-3, SCALE.low * 1.001, 1e-1, 0.5)
    wanted = ids_where(lambda row: 1e-3 <= hparam("lr")[row] <= 1e-1 and value(row) <= 0.5)
    assert one.selected == wanted != []
    assert one.status == f"{len(wanted)} of 64 selected"
    rates = sorted(hparam("lr")[IDS.index(trial)] for trial in wanted)
    assert f"lr {rates[0]:.4g} to {rates[-1]:.4g}" in one.page.inner_text("#ranges-selected").replace("e-", "e-")
    chosen = one.page.locator("#rows tr[aria-selected=true]")
    assert sorted(int(chosen.nth(i).locator("td").nth(1).inner_text()) for i in range(chosen.count())) == wanted


def test_boxes_on_two_axes_of_parallel_coordinates(shown):
    one = shown(HALVING)
    one.brush("parallel", -0.2, 0.4, 0.2, 0.8)
    on_lr = ids_where(lambda row: 10**-3 <= hparam("lr")[row] <= 10**-1)
    assert one.selected == on_lr
    one.brush("parallel", 1.8, 0.45, 2.2, 1.05)
    both = ids_where(lambda row: 10**-3 <= hparam("lr")[row] <= 10**-1 and (hparam("layers")[row] - 1) / 7 >= 0.45)
    assert one.selected == both != on_lr
    one.page.keyboard.press("Escape")
    assert one.selected == []


def test_a_box_on_learning_curves_selects_whose_line_comes_through(shown):
    """Also between two evaluations, where a line is straight on logarithmic axes."""
    one = shown(HALVING)
    curves = CONTENTS["curves"]
    one.brush("curves", 60, 0.55, 80, 0.83)
    wanted = []
    for trial, curve in zip(IDS, curves, strict=True):
        if len(curve["values"]) > 1:
            first, second = (float(SCALE_OF_CURVES.place([v])[0]) for v in curve["values"][:2])
            on_screen = [first + (math.log2(step / 50)) * (second - first) for step in np.geomspace(60, 80, 200)]
            low, high = SCALE_OF_CURVES.place([0.55, 0.83])
            wanted += [trial] * any(low <= y <= high for y in on_screen)
    assert one.selected == sorted(wanted) != []


def test_a_box_on_the_contour(shown):
    one = shown(HALVING)
    one.brush("contour", 0.2, 0.2, 0.7, 0.9)
    known = {one["name"]: one for one in CONTENTS["hyperparameters"]}
    from jaxtune.results.report.figures.parallel import place_of

    x, y = (place_of(known[name], hparam(name)) for name in CONTENTS["contour"]["names"])
    assert one.selected == ids_where(lambda row: 0.2 <= x[row] <= 0.7 and 0.2 <= y[row] <= 0.9) != []


def test_a_box_on_progress_selects_who_took_the_lead(shown):
    one = shown(HALVING)
    spent = CONTENTS["progress"]["lane_steps"]
    best = CONTENTS["progress"]["value"]
    one.brush("spent0", spent[0] - 50, best[-1], (spent[-2] + spent[-1]) / 2, best[0])
    assert one.selected == sorted(set(CONTENTS["progress"]["trial"])) != []
    one.page.keyboard.press("Escape")
    assert one.selected == []
    seconds = CONTENTS["progress"]["seconds"]
    one.brush("spent1", seconds[0] - 0.05, best[-1], (seconds[-2] + seconds[-1]) / 2, best[0])
    assert one.selected == sorted(set(CONTENTS["progress"]["trial"]))


def test_a_box_on_isolation_selects_the_best_of_each_part(shown):
    one = shown(HALVING)
    one.brush("isolation0", 0.0, SCALE.low * 1.001, 0.5, SCALE.high * 0.999)
    buckets = CONTENTS["isolation"][0]["buckets"]
    inside = [b["trial"] for b in buckets if (math.log10(b["from"]) + math.log10(b["to"])) / 2 <= -2.5]
    assert one.selected == sorted(inside) != []


def test_a_click_on_a_rung_selects_who_was_pruned_there(shown):
    one = shown(HALVING)
    one.page.mouse.click(*one.at("rungs", 1, 25))
    one.page.wait_for_timeout(200)
    assert one.selected == ids_where(lambda row: CONTENTS["trials"]["status"][row] == "pruned at step 100") != []


def test_a_box_over_a_rung_selects_all_who_came_there(shown):
    one = shown(HALVING)
    one.brush("rungs", 0.7, 2, 1.3, 20)
    assert one.selected == ids_where(lambda row: CONTENTS["trials"]["steps"][row] >= 100) != []
    one.brush("rungs", -0.3, 2, 0.3, 20)
    assert one.selected == sorted(IDS)


def test_a_click_on_a_line_selects_its_trial(shown):
    one = shown(HALVING)
    steps, values = (CONTENTS["curves"][20][name] for name in ("steps", "values"))
    assert len(steps) == 2
    one.page.mouse.click(*one.at("curves", math.sqrt(steps[0] * steps[1]), math.sqrt(values[0] * values[1])))
    one.page.wait_for_timeout(200)
    (hit,) = one.selected
    assert abs(hit - IDS[20]) <= 1  # lines lie close to one another


def test_boxes_go_when_something_else_is_selected(shown):
    one = shown(HALVING)
    boxes = "() => [0, 1, 2].map(i => Bokeh.documents[0].get_model_by_name(`brush${i}`).visible)"
    one.brush("parallel", -0.2, 0.4, 0.2, 0.8)
    assert one.js(boxes) == [True, False, False]
    one.page.locator("#rows tr").first.click()
    assert one.js(boxes) == [False, False, False]


def test_tables_of_pictures_follow_the_selection(shown):
    one = shown(HALVING)
    table = one.page.locator("details[data-table=curves]")
    table.locator("summary").click()
    table.locator("tbody tr").first.wait_for(timeout=5000)
    assert "Of the first 20 trials" in table.inner_text()
    one.page.fill("#find", "3")
    one.page.keyboard.press("Tab")
    rows = table.locator("tbody tr")
    assert {rows.nth(i).locator("td").first.inner_text() for i in range(rows.count())} == {"3"}


def test_boxes_on_lineages_and_schedules(shown):
    one = shown(PBT)
    one.brush("lineage", 1, 1.5, 30, 4.5)
    assert one.selected == [2, 3, 4]
    courses = contents(PBT)
    rates = [course["values"] for course in courses["lineage"]["schedules"]["lr"]]
    least, middle = min(map(min, rates)), sorted(map(min, rates))[4]
    one.brush("schedule0", 0.5, least, 50, middle * 1.001)
    assert one.selected == sorted(t for t, r in zip(courses["trials"]["id"], rates, strict=True) if min(r) <= middle)


def test_who_is_selected_is_inked_where_it_lies_and_others_fade(shown):
    one = shown(HALVING)
    inside = [row for row in range(len(IDS)) if VALUES[row] is not None and SCALE.low < VALUES[row] < SCALE.high]
    strong, faint = inside[0], inside[-1]
    one.page.fill("#find", str(IDS[strong]))
    one.page.keyboard.press("Tab")
    assert one.selected == [IDS[strong]]
    for number, name in enumerate(("lr", "layers")):
        panel = f"slice{(0, 2)[number]}"
        here, there = (one.pixel(panel, hparam(name)[row], value(row)) for row in (strong, faint))
        assert max(here) - min(here) > 100, (panel, here)
        assert max(there) - min(there) < 80, (panel, there)


# The table


def test_keys_walk_through_the_table_and_choose(shown):
    one = shown(HALVING)
    one.page.locator("#rows tr").first.focus()
    keys = one.page.keyboard
    keys.press("ArrowDown")
    keys.press("Space")
    assert one.selected == [IDS[1]]
    keys.press("Shift+ArrowDown")
    keys.press("Shift+ArrowDown")
    assert one.selected == sorted(IDS[1:4])
    keys.press("Space")
    assert one.selected == sorted(IDS[1:3])
    keys.press("End")
    assert one.js("() => document.activeElement.cells[1].textContent") == str(IDS[-1])
    keys.press("Escape")
    assert one.status == "0 of 64 selected"


@pytest.mark.parametrize("heading", ["loss", "lr"])
def test_sorting_puts_what_is_missing_last_whichever_way(shown, heading):
    one = shown(HALVING)
    column = one.js(
        "name => [...document.querySelectorAll('#head th')].findIndex(h => h.textContent === name)", heading
    )
    for direction in ("ascending", "descending"):
        one.page.locator("#head button", has_text=heading).first.click()
        assert one.page.locator("#head th").nth(column).get_attribute("aria-sort") == direction
        cells = one.js("i => [...document.querySelectorAll('#rows tr')].map(r => r.cells[i].textContent)", column)
        known = [float(cell) for cell in cells if cell]
        assert known == sorted(known, reverse=direction == "descending")
        assert cells[len(known) :] == [""] * (len(cells) - len(known))
        assert len(cells) - len(known) == (3 if heading == "loss" else 0)


def test_filters_take_trials_away_everywhere(shown):
    one = shown(HALVING)
    one.page.click("#controls summary")
    one.page.fill("#top", "20")
    one.page.keyboard.press("Tab")
    assert one.status == "0 of 64 selected, 20 of 64 shown"
    assert one.page.locator("#rows tr").count() == 20
    one.page.uncheck("#kinds input[value=pruned]")
    one.page.select_option("#range", "hp:lr")
    one.page.fill("#low", "1e-3")
    one.page.click("#add")
    wanted = ids_where(
        lambda row: row < 20 and CONTENTS["trials"]["kind"][row] == "finished" and hparam("lr")[row] >= 1e-3
    )
    shown_rows = one.js("() => Bokeh.documents[0].get_model_by_name('shown').indices")
    assert sorted(IDS[row] for row in shown_rows) == wanted
    one.brush("slice0", 1e-5, SCALE.low * 1.001, 1.0, SCALE.high * 0.999)
    assert one.selected == wanted
    one.page.click("#everything")
    assert one.status == f"{len(wanted)} of 64 selected"


def test_what_is_copied_evaluates_to_the_hyperparameters(shown):
    one = shown(HALVING)
    one.page.fill("#find", "0, 5, 8-9")
    one.page.keyboard.press("Tab")
    one.page.click("#copy-points")
    points = eval(one.page.input_value("#copied"), {"jt": jt})
    assert one.js("() => navigator.clipboard.readText()") == one.page.input_value("#copied")
    assert points == jt.Points([HALVING.trials[t].hparams for t in (0, 5, 8, 9)])
    one.page.click("#copy-hp")
    rows = ast.literal_eval(one.page.input_value("#copied").removeprefix("hps = "))
    assert rows == [HALVING.trials[t].hparams for t in (0, 5, 8, 9)]
    one.page.keyboard.press("Escape")
    one.page.click("#copy-hp")
    text = one.page.input_value("#copied")
    assert text.startswith("hp = ")
    assert ast.literal_eval(text.removeprefix("hp = ")) == HALVING.best.hparams
    one.page.click("#copy-csv")
    rows = list(csv.DictReader(io.StringIO(one.page.input_value("#copied"))))
    assert len(rows) == 64
    assert float(rows[0]["lr"]) == HALVING.best.hparams["lr"]


def test_the_confirmed_winner_is_the_one_that_is_copied(shown):
    """The search may have seen another trial as the best."""
    made = contents(HALVING)
    made["search"]["best"] = 3
    made["trials"] |= {"fresh": [None, 0.4, 0.3, 0.2, *[None] * 60], "fresh_error": [None] * 64}
    one = shown(Report(made))
    one.page.click("#copy-hp")
    assert ast.literal_eval(one.page.input_value("#copied").removeprefix("hp = ")) == HALVING.trials[3].hparams
    assert [one.page.input_value(f"#{which}") for which in ("first", "second")] == ["3", "2"]
    assert one.page.locator("#rows tr.best td").nth(1).inner_text() == "3"


def test_two_trials_are_compared_in_what_differs(shown):
    one = shown(HALVING)
    one.page.fill("#find", "3, 4")
    one.page.keyboard.press("Tab")
    rows = one.page.locator("#difference tbody tr")
    shown_rows = {
        rows.nth(i).locator("th").inner_text(): rows.nth(i).locator("td").all_inner_texts() for i in range(rows.count())
    }
    for name in ("lr", "layers", "x0"):
        a, b = (HALVING.trials[t].hparams[name] for t in (3, 4))
        assert (name in shown_rows) == (a != b)
        if a != b:
            assert [float(text) for text in shown_rows[name]] == pytest.approx([a, b, b - a], rel=1e-3)


def test_colours_follow_what_is_asked_for(shown):
    one = shown(HALVING)
    one.page.select_option("#colour", "hp:act")
    drawn = one.js("() => Bokeh.documents[0].get_model_by_name('trials').data.colour")
    by_option = {}
    for colour, option in zip(drawn, hparam("act"), strict=True):
        by_option.setdefault(option, set()).add(colour)
    assert sorted(map(len, by_option.values())) == [1, 1, 1]
    assert len(set.union(*by_option.values())) == 3


def test_a_trial_that_is_not_there_is_said(shown):
    one = shown(HALVING)
    one.page.fill("#find", "999, abc")
    one.page.keyboard.press("Tab")
    assert one.status == "no such trial is shown: 999, abc"


# Hostile, odd and large searches


HOSTILE = [
    "</script><script>window.hacked=1</script>",
    "<img src=x onerror=window.hacked=1>",
    "$$x^2$$",
    "ü" * 80,
    "q\"'&<>",
    "__proto__",
]


def test_names_run_nothing(shown):
    rows = tuple(
        {name: ("<b>a</b>", "</script>")[t % 2] if i == 0 else t * (i + 1.0) for i, name in enumerate(HOSTILE)}
        for t in range(12)
    )
    history = make_history(np.arange(12.0)[None] + 1, [10], hparams=rows, metric="<i>loss</i>")
    one = shown(Result(history, metric="<i>loss</i>", mode="min", seed=0, ended=True))
    assert one.js("() => window.hacked") is None
    assert one.page.locator("main i, main img, #rows b").count() == 0
    heads = one.page.locator("#head button").all_inner_texts()
    assert set(HOSTILE) <= set(heads)
    one.page.click("#copy-hp")
    assert ast.literal_eval(one.page.input_value("#copied").removeprefix("hp = ")) == rows[0]


@pytest.mark.parametrize("kind", ["one", "all diverged", "wide", "alike", "thousands"])
def test_odd_searches_have_a_page(shown, kind):
    results = {
        "one": lambda: halving(1, lost=0, evaluations=1),
        "all diverged": lambda: Result(
            make_history([[np.nan] * 4], [10], active=[[True] * 4], diverged=np.array([1, 2, 3, 4])),
            metric="accuracy",
            mode="max",
            seed=0,
            ended=True,
        ),
        "wide": lambda: halving(32, num_hparams=40),
        "alike": lambda: Result(
            make_history([[1.0, 1.0, 1.0]], [10], hparams=({"lr": 0.1},) * 3), metric="accuracy", mode="max", seed=0
        ),
        "thousands": lambda: halving(16_384, lost=500),
    }
    one = shown(results[kind]())
    assert "curves" in one.figures()
    assert one.page.inner_text("h1").endswith("wins")
    if kind == "thousands":
        assert "4,096 of the 16,384 trials are on this page" in one.page.inner_text("header")


def test_pages_are_small():
    assert len(page(contents(halving(512, 10, 8)))) < 3e6
    assert len(page(contents(halving(4096, 10, 8)))) < 8e6


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
def test_nothing_stands_in_the_way_of_readers(chromium, written, scheme, width):
    """No violation of WCAG 2 at level A or AA, in Bokeh's own parts neither; nothing is wider than the window."""
    from axe_playwright_python.sync_playwright import Axe

    with context(chromium, width, color_scheme=scheme) as window:
        one = Page(window.new_page())
        one.open(written(HALVING))
        one.page.click("#controls summary")
        one.page.locator("details[data-table] summary").first.click()
        rules = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}}
        found = Axe().run(one.page, options=rules)
        assert [violation["id"] for violation in found.response["violations"]] == [], found.generate_report()
        assert one.js("() => document.documentElement.scrollWidth") <= width
        assert one.problems == []
