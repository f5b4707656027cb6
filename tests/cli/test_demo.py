"""The parts of the demo: data, schedulers, and the clock."""

import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

import jaxtune as jt
from jaxtune.cli.demo import digits, report

# The data


def test_splits_are_fixed_disjoint_and_balanced():
    splits = digits.splits()
    assert {name: x.shape for name, (x, _) in splits.items()} == {
        "train": (1437, 64),
        "validation": (180, 64),
        "test": (180, 64),
    }
    from sklearn.datasets import load_digits

    everything = np.concatenate([np.column_stack((x * 8 + 8, y)) for x, y in splits.values()])
    expected = np.column_stack(load_digits(return_X_y=True))
    assert sorted(map(tuple, everything)) == sorted(map(tuple, expected))  # each digit in exactly one split
    for _, labels in splits.values():
        share = np.bincount(labels, minlength=10) / len(labels)
        assert np.all(np.abs(share - 0.1) < 0.015)
    for again, once in zip(jax.tree.leaves(digits.splits()), jax.tree.leaves(splits), strict=True):
        np.testing.assert_array_equal(again, once)


def test_equal_tasks_compile_once():
    assert digits.task("mlp").functions == digits.task("mlp").functions
    assert digits.task("mlp").functions != digits.task("cnn").functions


# Schedulers


def test_default_schedulers():
    def default(name):
        return digits.scheduler(name, None, 3200)

    assert default("halving") == jt.SuccessiveHalving(512, min_steps=50, max_steps=3200, eta=4)
    assert default("hyperband") == jt.Hyperband(min_steps=50, max_steps=3200, eta=4)
    assert default("hyperband").plan().trials == 98  # as --help says
    assert default("pbt") == jt.PopulationBasedTraining(32, 3200, interval=200)
    assert default("full") == jt.FullBudget(32, 3200)


def test_a_short_training_decides_after_a_quarter():
    rows = digits.scheduler("halving", 8, 60).plan().rows
    assert [(row.stop, row.keep) for row in rows] == [(15, (2,)), (60, (2,))]


@pytest.mark.parametrize("name", ["halving", "hyperband", "pbt", "full"])
def test_all_evaluations_lie_on_the_curve(name):
    """Otherwise the innermost loop of the program would get very short."""
    for max_steps in (*range(1, 260), 997, 3200, 10_007):
        every = digits.interval(max_steps)
        trials = None if name == "hyperband" else 8
        plan = digits.scheduler(name, trials, max_steps).plan()
        assert all(row.stop % every == 0 for row in plan.rows)
        first = every if name == "full" else plan.rows[0].stop
        assert first <= plan.steps / 4 + every / 2 or max_steps < 4  # Hyperband rounds its rungs
        assert abs(plan.steps - max_steps) <= first / 2
        assert len(plan.with_curve(every).rows) >= min(4, max_steps)


@pytest.mark.parametrize(
    ("name", "early"), [("halving", [10, 20, 30, 40]), ("hyperband", [10, 20, 30, 40]), ("pbt", [])]
)
def test_curves_begin_before_the_first_decision(monkeypatch, name, early):
    """Most trials end there: of one point each there would be a smear in the picture."""
    tuned = {}
    monkeypatch.setattr(digits.jt, "tune", lambda task, space, **options: tuned.update(options))
    digits.search(None, digits.scheduler(name, None, 3200), digits.interval(3200), seed=0)
    plan = tuned["scheduler"].plan().with_curve(tuned["evaluate_every"])
    early = [] if name == "pbt" else [10, 20, 30, 40]  # generations are watched anyway
    assert [row.stop for row in plan.rows if row.stop < 50] == early
    assert [row for row in plan.rows if row.keep] == list(digits.scheduler(name, None, 3200).plan().rows)
    assert len(plan.rows) == 64 + len(early)


def test_hyperband_refuses_a_number_of_trials():
    with pytest.raises(ValueError, match="hyperband takes no number of trials"):
        digits.scheduler("hyperband", 8, 3200)


# The clock


def test_process_age_starts_with_the_process():
    code = "import time; time.sleep(0.5); from jaxtune.cli.demo.report import process_age; print(process_age())"
    begin = time.monotonic()
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert 0.5 <= float(out) <= time.monotonic() - begin + 0.1


def test_process_age_without_proc(monkeypatch):
    age = report.process_age()

    def missing(*args, **kwargs):
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", missing)
    assert abs(report.process_age() - age) < 3  # psutil may round to a second
