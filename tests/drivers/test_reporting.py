"""Reports in the folder of a run: while it runs, at its end, and when they can't be written."""

import builtins
import importlib.util
import json

import pytest
from toys import NET, NET_SPACE, tune

import jaxtune as jt
from jaxtune.drivers import reporting
from jaxtune.results.report.report import Report

HALVING = jt.SuccessiveHalving(8, 5, 20, eta=2)


@pytest.fixture
def pages(monkeypatch):
    monkeypatch.setattr(reporting, "find_spec", importlib.util.find_spec)


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_a_run_ends_with_both(pages, tmp_path):
    result = tune(NET, NET_SPACE, scheduler=HALVING, directory=tmp_path, confirm=jt.Confirm(2, 2))
    found = read(tmp_path / "report.json")
    assert found["search"]["best"] == result.best.id
    assert found["confirmation"]["verdict"] == result.confirmation.verdict
    assert found["search"]["call"]["scheduler"] == repr(HALVING)
    assert all(seconds > 0 for seconds in found["progress"]["seconds"])
    assert "8 trials, the lowest loss wins" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert jt.load(tmp_path).best.id == result.best.id  # what is looked at is no part of the run


def test_the_same_call_again_writes_no_other(tmp_path):
    tune(NET, NET_SPACE, scheduler=HALVING, directory=tmp_path)
    made = read(tmp_path / "report.json")["made"]
    (tmp_path / "report.json").unlink()
    tune(NET, NET_SPACE, scheduler=HALVING, directory=tmp_path)
    assert not (tmp_path / "report.json").exists()
    tune(NET, NET_SPACE, scheduler=HALVING, directory=tmp_path, overwrite=True)
    assert read(tmp_path / "report.json")["made"] >= made


def test_a_running_search_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(reporting, "_SECONDS", 0.0)
    monkeypatch.setattr(reporting, "_SHARE", 1e9)
    seen = []

    def look(result):
        seen.append(read(tmp_path / "report.json")["search"])

    tune(NET, NET_SPACE, scheduler=HALVING, directory=tmp_path, callback=look)
    assert [one["trials"] for one in seen] == [8] * len(seen) != []
    assert all(one["interrupted"] for one in seen)


def test_a_minute_has_to_go_by(tmp_path):
    seen = []

    def look(result):
        seen.append((tmp_path / "report.json").exists())

    tune(NET, NET_SPACE, scheduler=HALVING, directory=tmp_path, callback=look)
    assert not any(seen)
    assert (tmp_path / "report.json").exists()


def test_a_report_that_fails_costs_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr(Report, "write_json", lambda self, path: (_ for _ in ()).throw(OSError("no space")))
    with pytest.warns(UserWarning, match=r"The report in .* can't be written: OSError\('no space'\). The result is"):
        result = tune(NET, NET_SPACE, scheduler=HALVING, directory=tmp_path)
    assert jt.load(tmp_path).best.id == result.best.id


def test_without_bokeh_the_json_is_there_and_the_page_names_the_extra(tmp_path, monkeypatch):
    result = tune(NET, NET_SPACE, scheduler=HALVING, directory=tmp_path)
    assert (tmp_path / "report.json").exists()
    assert not (tmp_path / "report.html").exists()
    importing = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("bokeh"):
            raise ImportError(name)
        return importing(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r'pip install "jaxtune\[report\]"'):
        result.report(tmp_path / "it.html")
    assert not (tmp_path / "it.html").exists()
    result.report().write_json(tmp_path / "it.json")
    assert read(tmp_path / "it.json")["search"]["best"] == result.best.id


def test_overwriting_a_run_deletes_its_report(tmp_path):
    tune(NET, NET_SPACE, scheduler=HALVING, directory=tmp_path)
    (tmp_path / "report.html").write_text("old")
    tune(NET, NET_SPACE, scheduler=HALVING, directory=tmp_path, overwrite=True)
    assert not (tmp_path / "report.html").exists()
