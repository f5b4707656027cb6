"""`benchmarks/limits.py` runs, and its arithmetic is right. What it measures is no test's business."""

import re
from importlib import import_module

import numpy as np
import pytest
from scripts import ROOT, number, rows, run, runs

import jaxtune as jt
from jaxtune.engine.population import Layout


@pytest.fixture
def script(monkeypatch):
    """A function that imports a script."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return import_module


@runs("benchmarks/limits.py")
def test_limits_has_all_its_sections(tmp_path):
    text = run("benchmarks/limits.py", "--plot", "growth.png", cwd=tmp_path)
    code = (ROOT / "benchmarks/limits.py").read_text(encoding="utf-8")
    titles = re.findall(r'": \("(.*)", \w+\),', code)
    assert re.findall("^### (.*)$", text, re.MULTILINE) == titles
    assert len(titles) == 7
    tables = rows(text)
    growing = {r["growth with"] for r in tables if "growth with" in r}
    assert growing == {"lanes", "steps", "trials", "rungs", "hyperparameters", "undecided integers", "groups"}
    (count,) = (r for r in tables if r.get("measured") == "programs compiled")
    one, two = (number(value.split(": ")[1]) for value in count["values, n: value"].split(", "))
    assert 3 <= one < two <= 2 * one + 3  # each group has programs of its own
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_exponent_is_that_of_the_upper_half(script, power):
    exponent = script("limit.growth").exponent
    points = [(n, max(100.0, 100 * (n / 64) ** power)) for n in (1, 4, 16, 64, 256, 1024, 4096)]  # flat at first
    assert exponent(points) == pytest.approx(power)
    assert exponent(points[-2:]) == pytest.approx(power)


def test_picture_is_written(script, tmp_path):
    growth = script("limit.growth")
    curve = growth.Curve("lanes", "us per step", [(1, 1.0), (4, 2.0), (16, 4.0)])
    growth.draw([curve] * 4, tmp_path / "growth.png")
    assert (tmp_path / "growth.png").stat().st_size > 1000


def test_costs_of_a_lane_step(script):
    flops, never, moved = script("limit.peak")._costs(64)
    products = 64 * 64 + 64 * 64 + 64 * 10
    assert flops == 2 * 64 * products * 3  # forwards, gradients of weights, gradients of inputs
    assert never == 2 * 64 * 64 * 64  # gradients of the inputs of the first layer
    assert moved == 40 * (products + 64 + 64 + 10)


@pytest.mark.parametrize("count", [1, 7, 12, 13, 24])
def test_rows_computed_cover_all_trials_in_whole_chunks(script, count):
    mesh = jt.Placement().mesh()
    devices = mesh.devices.size
    layout = Layout(mesh, rows=24, width=3, runs=1, burst=1, batch_size=None, fewest=None, keeps_best=False)
    rows = script("limit.useful").rows_computed(layout, count)
    slots = np.arange(count)
    needed = [3 * -(-int(np.sum(slots % devices == device)) // 3) for device in range(devices)]
    assert rows % 3 == 0
    assert sum(needed) <= rows <= devices * max(needed)  # devices may all do as much as the busiest one


def test_host_time_leaves_out_programs(script):
    host = script("limit.host")
    (times,) = host.host_times(jt.FullBudget(4, 10), 1)
    assert times["device"] > 0
    assert times["total"] == pytest.approx(sum(times[part] for part in ("device", "compile", "host")))
    calls = {name: getattr(host.Programs, name) for name in host.CALLS}
    with host.Stopwatch():
        assert all(getattr(host.Programs, name) is not call for name, call in calls.items())
    assert all(getattr(host.Programs, name) is call for name, call in calls.items())


def test_verdict_names_what_is_missed(script):
    verdict = script("limit.report").verdict
    assert "met" in verdict("at least 95 %", [])
    assert "MISSED by a (90 %), b (80 %)" in verdict("at least 95 %", ["a (90 %)", "b (80 %)"])
