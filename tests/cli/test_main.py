"""The command line: help, mistakes, Ctrl-C, and small searches from end to end."""

import ast
import csv
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import pytest
from scripts import environment

import jaxtune
from jaxtune.cli import main as command
from jaxtune.cli.demo import digits

COMMAND = [sys.executable, "-m", "jaxtune", "demo"]


def run(*arguments):
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment())


@pytest.fixture
def main():
    """`main` in this process, whose devices are started first so that it leaves them alone."""
    jax.devices()
    return command.main


@pytest.fixture
def no_search(monkeypatch):
    """Fails the test if a search begins."""
    monkeypatch.setattr(digits, "search", lambda *_, **__: pytest.fail("a search began"))


# Help


def test_imports_the_standard_library_only():
    tree = ast.parse(Path(command.__file__).read_text())
    names = [node.module for node in tree.body if isinstance(node, ast.ImportFrom)]
    names += [alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names]
    assert names
    assert {name.split(".")[0] for name in names} <= {*sys.stdlib_module_names, "jaxtune"}  # which waits to be asked


def test_help_imports_neither_jax_nor_the_demo():
    code = """
import sys
from jaxtune.cli.main import main
try:
    main(["demo", "--help"])
finally:
    loaded = sorted(name for name in ("jax", "numpy", "rich", "sklearn", "matplotlib") if name in sys.modules)
    print("loaded:", loaded)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "loaded: []"
    assert all(option in done.stdout for option in ("--scheduler", "--trials", "--max-steps", "--seed"))


def test_version(main, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"jaxtune {jaxtune.__version__}\n"


def test_help_fits_a_terminal(main, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as stop:
        main(["demo", "--help"])
    assert stop.value.code == 0
    assert max(len(line) for line in capsys.readouterr().out.splitlines()) <= 84


# Mistakes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--trials 0", "SuccessiveHalving needs trials to be a whole number >= 1, got trials=0."),
        ("--trials -3 --scheduler full", "FullBudget needs trials to be a whole number >= 1, got trials=-3."),
        ("--trials 1 --scheduler pbt", "PopulationBasedTraining needs trials >= 2, got trials=1."),
        ("--max-steps 0", "SuccessiveHalving needs max_steps to be a whole number >= 1, got max_steps=0."),
        ("--max-steps -7 --scheduler hyperband", "Hyperband needs max_steps to be a whole number >= 1"),
        ("--trials 9 --scheduler hyperband", "hyperband takes no number of trials: its brackets fix it."),
    ],
)
def test_bad_numbers_give_one_line(main, no_search, capsys, arguments, message):
    assert main(["demo", *arguments.split()]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith(f"jaxtune demo: {message}")


@pytest.mark.parametrize("arguments", ["", "demo --seed -1", "demo --seed x", "demo --seed 4294967296"])
def test_unreadable_arguments(main, capsys, arguments):
    with pytest.raises(SystemExit) as stop:
        main(arguments.split())
    assert stop.value.code == 2
    expected = "a seed is a whole number in 0 ... 2**32 - 1" if arguments else "required: command"
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize(("module", "name"), [("sklearn", "scikit-learn"), ("matplotlib", "matplotlib")])
def test_missing_extra_is_named(main, no_search, capsys, monkeypatch, module, name):
    monkeypatch.setitem(sys.modules, module, None)
    assert main(["demo"]) == 1
    assert capsys.readouterr().err == f'jaxtune demo needs {name}: pip install "jaxtune[demo]"\n'


def test_output_that_is_a_file(main, no_search, capsys, tmp_path):
    (tmp_path / "file").touch()
    assert main(["demo", "--output", str(tmp_path / "file")]) == 1
    assert capsys.readouterr().err == f"jaxtune demo: can't write to {tmp_path / 'file'}: File exists.\n"


def test_population_that_does_not_fit(main, capsys, monkeypatch, tmp_path):
    def search(*_, **__):
        raise MemoryError("about 7 lanes would fit")

    monkeypatch.setattr(digits, "search", search)
    assert main(["demo", "--output", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "jaxtune demo: about 7 lanes would fit\n"


def test_interrupted_before_anything_is_known(main, capsys, monkeypatch, tmp_path):
    def search(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(digits, "search", search)
    assert main(["demo", "--output", str(tmp_path)]) == 130
    assert capsys.readouterr().err == "jaxtune demo: interrupted.\n"


# Searches


def check_report(out, folder, trials):
    """Everything that the demo promises is there; returns the winner's test accuracy."""
    assert f" {trials:,} configurations on " in out
    ids = re.findall(r"^ +(\d+) .*(?:finished|pruned at step \d+|interrupted) *$", out, re.MULTILINE)
    assert len(ids) == min(10, trials)
    with open(folder / "trials.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["id"]) for row in rows] == list(range(trials))
    assert {"lr", "weight_decay", "dropout", "loss", "accuracy", "steps", "status"} <= set(rows[0])
    for name in ("curves.png", "space.png"):
        assert (folder / name).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    total, *parts = map(float, re.findall(r"(\d+\.\d) s", re.search("Time: .*", out)[0]))
    assert len(parts) == 4
    assert abs(total - sum(parts)) < 0.3  # each is rounded
    assert re.search(r"Speed: [\d,]+ lane-steps per second on \d+ CPU cores?", out)
    assert f"Wrote curves.png, space.png, trials.csv, report.html to {folder}" in out
    assert out.rstrip().endswith(f"Open {(folder / 'report.html').absolute()} in a browser")
    assert f"{trials:,} trials, the lowest loss wins" in (folder / "report.html").read_text(encoding="utf-8")
    return float(re.search(r"Test accuracy of the winner: (\d\.\d+)", out)[1])


@pytest.mark.slow
def test_default_demo_finds_a_good_network(tmp_path):
    begin = time.monotonic()
    done = run("--output", tmp_path / "new" / "folder")
    elapsed = time.monotonic() - begin
    assert done.returncode == 0, done.stderr
    told = float(re.search(r"Time: (\d+\.\d) s", done.stdout)[1])
    assert 0.5 * elapsed < told < elapsed + 0.2  # all but leaving the interpreter
    assert check_report(done.stdout, tmp_path / "new" / "folder", trials=512) >= 0.97
    assert "83,200 of 83,200 lane-steps" in done.stderr


_COUNTING = """
import sys
from collections import Counter
import jax.monitoring
from jaxtune.cli import main as command
events = Counter()
jax.monitoring.register_event_listener(lambda event, **_: events.update([event]))
status = command.main(sys.argv[1:])
print([events[f"/jax/compilation_cache/cache_{what}"] for what in ("hits", "misses")], file=sys.stderr)
sys.exit(status)
"""


@pytest.mark.slow
def test_a_second_process_compiles_nothing(tmp_path):
    small = ["--scheduler", "full", "--trials", "2", "--max-steps", "10"]
    command, counts = [sys.executable, "-c", _COUNTING, "demo", *small], []
    for number, changed in enumerate(({}, {}, {"JAX_ENABLE_COMPILATION_CACHE": "false"})):
        given = {name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"}
        given |= {"XDG_CACHE_HOME": str(tmp_path)} | changed
        folder = ["--directory", str(tmp_path / f"run{number}")]
        done = subprocess.run([*command, *folder], capture_output=True, text=True, timeout=300, env=given)
        assert done.returncode == 0, done.stderr
        counts.append(ast.literal_eval(done.stderr.splitlines()[-1]))
    assert counts[0][1] > 10
    assert counts[1] == [sum(counts[0]), 0]
    assert counts[2] == [0, 0]  # the user wants no cache
    assert any((tmp_path / "jaxtune" / "programs").iterdir())


@pytest.mark.slow
def test_cnn(tmp_path):
    done = run("--model", "cnn", "--trials", 8, "--max-steps", 60, "--output", tmp_path)
    assert done.returncode == 0, done.stderr
    assert check_report(done.stdout, tmp_path, trials=8) > 0.5


@pytest.mark.slow
def test_a_confirmed_winner_is_shown_by_demo_and_show(main, capsys, tmp_path):
    arguments = ["--scheduler", "full", "--trials", "3", "--max-steps", "20", "--confirm", "--directory", str(tmp_path)]
    assert main(["demo", *arguments]) == 0
    out, err = capsys.readouterr()
    assert "confirming, seed 1, 3 trials, step 20 of 20" in err
    assert re.search(r"The best of them on fresh seeds\s+rank +trial +seeds +loss +worse by +seen", out)
    assert re.search(r"Trial \d (can't be distinguished from|is better than) trial \d", out)
    assert re.search(r"Time: .*, confirm \d+\.\d s, test", out)
    assert main(["show", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "on fresh seeds; the search saw" in shown
    assert "The best of them on fresh seeds" in shown


@pytest.mark.slow
@pytest.mark.parametrize(("name", "trials"), [("hyperband", 6), ("pbt", 8), ("full", 8)])
def test_other_schedulers(main, capsys, tmp_path, name, trials):
    chosen = [] if name == "hyperband" else ["--trials", str(trials)]
    arguments = ["--scheduler", name, *chosen, "--max-steps", "60", "--output", str(tmp_path)]
    assert main(["demo", *arguments]) == 0
    assert check_report(capsys.readouterr().out, tmp_path, trials) > 0.5


@pytest.mark.slow
def test_ctrl_c_reports_what_is_known(tmp_path):
    arguments = ["--trials", "8", "--max-steps", "1000000", "--output", str(tmp_path)]
    process = subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr.readline().startswith("rung 1/")  # there is something to report now
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "Traceback" not in err
    assert "8 configurations so far" in out
    check_report(out, tmp_path, trials=8)
