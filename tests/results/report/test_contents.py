import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from histories import make_history
from reports import halving, pbt

from jaxtune.results.report import columns
from jaxtune.results.report.contents import FORMAT, contents
from jaxtune.results.result import Result


def strict(result):
    """The contents, read back by a strict reader of JSON."""

    def refuse(name):
        raise AssertionError(name)

    return json.loads(json.dumps(contents(result), allow_nan=False), parse_constant=refuse)


def of(values, step, **changes):
    return Result(make_history(values, step, metric="loss", **changes), metric="loss", mode="min", seed=0, ended=True)


def test_columns_are_best_first_and_null_where_nothing_is():
    found = strict(halving(8, lost=1))
    assert found["format"] == FORMAT
    assert found["trials"]["id"][0] == 0
    assert found["trials"]["rank"] == list(range(1, 9))
    assert found["trials"]["metrics"]["loss"][-1] is None
    assert found["trials"]["kind"][-1] == "diverged"
    assert found["curves"][-1] == {"steps": [], "values": []}
    assert len(found["trials"]["hyperparameters"]["lr"]) == 8


def test_every_key_is_documented():
    text = (Path(__file__).parents[3] / "docs" / "report.md").read_text(encoding="utf-8")
    found = strict(pbt())

    def keys(value):
        if isinstance(value, dict):
            for key, inner in value.items():
                yield key
                yield from keys(inner)
        for inner in value if isinstance(value, list) else ():
            yield from keys(inner)

    found["search"]["space"], found["hyperparameters"][1]["literals"] = None, None  # whose keys are the user's
    users = {"loss", "lr", "act", "layers"}
    plain = {key for key in keys({k: v for k, v in found.items() if k != "made"}) if key not in users}
    assert [key for key in sorted(plain) if f"`{key}`" not in text] == []


def test_findings_are_those_of_diagnose():
    result = halving()
    assert [one["sentence"] for one in strict(result)["findings"]] == [one.sentence for one in result.diagnose()] != []


def test_hyperparameters_have_the_range_that_was_searched_and_options_in_order():
    found = {one["name"]: one for one in strict(halving())["hyperparameters"]}
    assert (found["lr"]["low"], found["lr"]["high"], found["lr"]["kind"]) == (1e-5, 1.0, "log")
    assert found["act"]["options"] == ["relu", "tanh", "gelu"]
    assert found["act"]["literals"]["relu"] == "'relu'"
    assert found["layers"]["integer"]
    assert strict(halving())["constants"] == [{"name": "width", "text": "64", "literal": "64"}]


def test_functions_are_written_by_their_names():
    assert columns.literal(len) == "len"
    assert columns.literal((1, "a", 0.5)) == "(1, 'a', 0.5)"
    assert columns.literal((2,)) == "(2,)"
    assert eval(columns.literal(math.inf)) == math.inf


def test_the_headline_says_who_won_against_whom_and_what_was_spent():
    first, hparams, compared, counts, spent, confirmed, tested = strict(halving())["headline"]
    assert first.startswith("Trial 0 is the best: loss 0.125")
    assert first.endswith(" after 400 steps.")
    assert hparams.startswith("lr=")
    assert "width" not in hparams  # which is the same for all
    assert compared.startswith("After 50 steps, when all 64 trials were in training: the winner 0.201, the median")
    assert counts == "64 trials: 8 finished, 53 pruned, 3 diverged."
    assert spent == "The search made 25,600 training steps, the cost of 64 full trainings."
    assert confirmed.startswith("Nothing was confirmed")
    assert tested == "The test data have not been looked at."


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "64 trials: 8 finished, 53 pruned, 3 diverged."),
        ({"interrupted": True}, "The search was stopped before its end."),
        ({"interrupted": True, "ended": False}, "The search has not come to its end yet."),
    ],
)
def test_the_headline_tells_how_the_search_stands(changes, words):
    assert strict(replace(halving(), **changes))["headline"][3].endswith(words)


def test_the_winner_is_compared_with_the_first_configuration():
    result = of([[3.0, 1.0, 2.0], [2.5, 0.5, np.nan]], [5, 10], active=[[True] * 3, [True, True, False]])
    assert strict(result)["headline"][2] == (
        "After 5 steps, when all 3 trials were in training: the winner 1, the first configuration 3, the median 2."
    )


def test_one_of_something_is_said_so():
    found = strict(of([[1.0]], [10]))["headline"]
    assert "1 trial: 1 finished." in found
    assert any(
        sentence.startswith("The search made 10 training steps, the cost of 1 full training") for sentence in found
    )


def test_a_path_is_one():
    with pytest.raises(TypeError, match="path must be that of a file, such as report.html, got 3"):
        halving(8).report(3)


@pytest.mark.parametrize("path", ["there", "nowhere/report.html"])
def test_pages_are_written_into_files(tmp_path, path):
    (tmp_path / "there").mkdir()
    with pytest.raises(OSError, match=r"is a folder: name a file|There is no folder .*nowhere for report.html"):
        halving(8).report(tmp_path / path)
    assert [one.name for one in tmp_path.iterdir()] == ["there"]


def test_the_headline_tells_what_the_test_data_say():
    tested = {"loss": np.array([0.5, 0.7]), "accuracy": np.array([0.9, 0.8])}
    result = replace(halving(), num_tests=1, _tested=tested)
    assert strict(result)["headline"][-1] == (
        "On the test data: loss 0.6 ± 0.1, accuracy 0.85 ± 0.05 (looked at once)."
    )


def test_the_headline_without_a_winner():
    result = of([[np.nan, np.nan]], [10], active=[[True, True]], diverged=np.array([1, 2]))
    assert strict(result)["headline"][0] == "There is no best trial: none has a finite loss."


def test_progress_has_each_one_that_took_the_lead():
    found = strict(of([[3.0, 4.0, 9.0], [2.5, 1.0, 8.0], [2.0, 1.5, 7.0]], [1, 2, 3]))["progress"]
    assert found["trial"] == [0, 1, 1]
    assert found["value"] == [3.0, 1.0, 1.0]
    assert found["lane_steps"] == [3, 6, 9]
    assert found["seconds"] == [0.5, 1.0, 1.5]


def test_rungs_add_up():
    for rung in strict(halving())["rungs"]:
        assert rung["trials"] == rung["pruned"] + rung["diverged"] + rung["went_on"]
    assert [rung["trials"] for rung in strict(halving())["rungs"]] == [64, 32, 16, 8]
    assert strict(halving())["rungs"][0] == {
        "generation": 0,
        "bracket": 0,
        "step": 50,
        "trials": 64,
        "pruned": 29,
        "diverged": 3,
        "went_on": 32,
    }


def test_lineages_lead_to_the_best_trial():
    result = pbt()
    found = strict(result)["lineage"]
    assert found["best"][-1] == result.best.id
    led = [copy for copy in found["copies"] if copy["leads_to_best"]]
    slots = [found["best"][0], *(copy["to"] for copy in led)]
    assert [slot for i, slot in enumerate(found["best"]) if i == 0 or slot != found["best"][i - 1]] == slots
    course = found["schedules"]["lr"][0]
    assert course["values"][-1] == result.best.hparams["lr"]
    assert len(course["steps"]) == len(course["values"])
    assert strict(halving())["lineage"] is None


def test_more_trials_than_a_page_has_room_for_are_sampled():
    ids = columns.shown(range(16_384))
    assert len(ids) == len(set(ids)) == columns.MOST_TRIALS
    assert ids[: columns.MOST_TRIALS // 2] == list(range(columns.MOST_TRIALS // 2))
    assert ids[-1] == 16_383
    assert np.diff(ids).max() <= 8


def test_long_curves_are_thinned_and_keep_their_ends(monkeypatch):
    monkeypatch.setattr(columns, "_MOST_POINTS", 40)
    curve = columns.curves(np.tile(np.arange(100.0)[:, None], (1, 2)), np.arange(100), [0, 1])[0]
    assert len(curve["steps"]) == 20
    assert (curve["steps"][0], curve["steps"][-1]) == (0, 99)


@pytest.mark.parametrize(
    "result",
    [
        of([[1.0]], [10]),
        of([[np.nan]], [10], active=[[True]], diverged=np.array([3])),
        of([[1.0, 2.0]], [10], hparams=({"lr": 0.1}, {"lr": 0.1})),
        of([[[1.0, 2.0], [np.nan, 3.0]]], [10], active=[[True, True]]),
        of([[1.0, 2.0]], [10], hparams=({"a": 1, "b": None}, {"a": (1, 2)})),
        replace(halving(8), space=None, setting={}, timing={}),
        replace(halving(8), interrupted=True, ended=False),
        halving(40, num_hparams=40),
        pbt(),
    ],
    ids=["one", "all diverged", "all alike", "replicates", "mixed", "unknown", "interrupted", "wide", "pbt"],
)
def test_every_search_has_contents(result):
    found = strict(result)
    assert len(found["trials"]["id"]) == found["search"]["shown"] == len(result.trials)
