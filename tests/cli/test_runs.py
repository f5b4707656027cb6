"""`jaxtune list`, `show`, `watch` and `report`."""

import threading

import jax
import pytest
from toys import NET, NET_SPACE, tune

import jaxtune as jt
from jaxtune.cli import main as command, runs

HALVING = jt.SuccessiveHalving(8, 5, 20, eta=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two runs, one of which is not over."""
    path = tmp_path_factory.mktemp("runs")
    tune(NET, NET_SPACE, scheduler=HALVING, directory=path / "whole")
    tune(NET, NET_SPACE, scheduler=HALVING, directory=path / "cut", callback=lambda result: True)
    return path


@pytest.fixture
def main(monkeypatch):
    jax.devices()
    monkeypatch.setenv("COLUMNS", "150")
    return command.main


def test_list_has_a_row_per_run(main, folder, capsys):
    assert main(["list", str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = {line.split()[0]: line.split()[1] for line in lines if line.split() and line.split()[0] in ("whole", "cut")}
    assert rows == {"whole": "finished", "cut": "stopped"}


def test_list_of_nothing(main, tmp_path, capsys):
    assert main(["list", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"There are no runs in {tmp_path}.\n"
    assert main(["list", str(tmp_path / "nothing")]) == 1
    assert capsys.readouterr().err == f"jaxtune list: There is no folder {tmp_path / 'nothing'}.\n"


@pytest.mark.parametrize(
    ("name", "words"), [("whole", ("finished", "2 finished, 6 pruned")), ("cut", ("stopped", "interrupted"))]
)
def test_show_tells_what_was_found(main, folder, capsys, name, words):
    assert main(["show", str(folder / name)]) == 0
    out = capsys.readouterr().out
    assert all(word in out for word in words)
    assert out.count("\n") > 15  # the ten best


@pytest.mark.parametrize("name", ["whole", "cut"])
def test_report_writes_a_page(main, folder, tmp_path, capsys, name):
    assert main(["report", str(folder / name), "--output", str(tmp_path / "it.html")]) == 0
    assert capsys.readouterr().out == f"Wrote {tmp_path / 'it.html'}\n"
    assert "8 trials, the lowest loss wins" in (tmp_path / "it.html").read_text(encoding="utf-8")
    assert main(["report", str(folder / name)]) == 0
    assert (folder / name / "report.html").exists()


def test_report_of_no_run(main, tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"jaxtune report: {tmp_path} holds no run: there is no search.json.\n"


def test_show_of_no_run(main, tmp_path, capsys):
    assert main(["show", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"jaxtune show: {tmp_path} holds no run.\n"


def test_show_repairs(main, tmp_path, capsys):
    tune(NET, NET_SPACE, scheduler=HALVING, directory=tmp_path, callback=lambda result: True)
    log = tmp_path / "log.jsonl"
    log.write_bytes(log.read_bytes() + b"garbage\n")
    assert main(["show", str(tmp_path)]) == 0
    assert "damaged" in capsys.readouterr().out
    assert main(["show", "--repair", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Cut 8 bytes off the log")
    assert "stopped" in out


def test_watch_follows_a_search_to_its_end(main, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(runs, "_SECONDS", 0.05)
    begun, looked = threading.Event(), threading.Event()

    def callback(result):
        begun.set()
        looked.wait(30)

    def search():
        tune(NET, NET_SPACE, scheduler=HALVING, directory=tmp_path, callback=callback)

    original = runs.run_records

    def records(directory):
        found = original(directory)
        if found[0]["state"] == "running":
            looked.set()
        return found

    monkeypatch.setattr(runs, "run_records", records)
    thread = threading.Thread(target=search)
    thread.start()
    assert begun.wait(60)
    assert main(["watch", str(tmp_path)]) == 0
    thread.join()
    out = capsys.readouterr().out
    assert "finished" in out
    assert "of 80 lane-steps" in out
