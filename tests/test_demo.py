"""The parts of the demo: data, schedulers, the convolution for CPUs, and the clock."""

import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax import lax

import jaxtune as jt
from jaxtune.demos import digits, report
from jaxtune.demos.convolution import shifted_convolution

CONV = {"window_strides": (1, 1), "padding": "SAME", "dimension_numbers": ("NHWC", "HWIO", "NHWC")}


# The convolution


@pytest.mark.parametrize("kernel", [(3, 3), (2, 2), (5, 3), (1, 4)])
def test_shifted_convolution_equals_lax(kernel):
    keys = jax.random.split(jax.random.key(0), 3)
    images = jax.random.normal(keys[0], (4, 6, 7, 3))
    kernels = jax.random.normal(keys[1], (*kernel, 3, 5))
    direction = jax.random.normal(keys[2], (4, 6, 7, 5))

    @partial(jax.jit, static_argnums=0)
    def value_and_grads(convolution, images, kernels):
        values, pull_back = jax.vjp(partial(convolution, **CONV), images, kernels)
        return values, pull_back(direction)

    ours, native = (value_and_grads(f, images, kernels) for f in (shifted_convolution, lax.conv_general_dilated))
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(native), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-4)


def test_shifted_convolution_in_a_flax_layer():
    images = jax.random.normal(jax.random.key(0), (2, 8, 8, 3))
    native = nn.Conv(4, (3, 3))
    variables = native.init(jax.random.key(1), images)
    ours = nn.Conv(4, (3, 3), conv_general_dilated=shifted_convolution)
    np.testing.assert_allclose(ours.apply(variables, images), native.apply(variables, images), atol=1e-5)


@pytest.mark.parametrize(
    "setting",
    [
        {"strides": 2},
        {"padding": "VALID"},
        {"kernel_dilation": 2},
        {"input_dilation": 2},
        {"feature_group_count": 2},
    ],
)
def test_shifted_convolution_refuses_what_it_does_not_know(setting):
    layer = nn.Conv(4, (3, 3), conv_general_dilated=shifted_convolution, **setting)
    with pytest.raises(ValueError, match="no strides, dilation or groups, and no padding but 'SAME'"):
        layer.init(jax.random.key(0), jnp.ones((1, 8, 8, 2)))


def test_cnn_takes_the_native_convolution_elsewhere(monkeypatch):
    assert digits.cnn({"dropout": 0.1}).convolution is shifted_convolution
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert digits.cnn({"dropout": 0.1}).convolution is None


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


def test_hyperband_refuses_a_number_of_trials():
    with pytest.raises(ValueError, match="hyperband takes no number of trials"):
        digits.scheduler("hyperband", 8, 3200)


# The clock


def test_process_age_starts_with_the_process():
    code = "import time; time.sleep(0.5); from jaxtune.demos.report import process_age; print(process_age())"
    begin = time.monotonic()
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert 0.5 <= float(out) <= time.monotonic() - begin + 0.1


def test_process_age_without_proc(monkeypatch):
    age = report.process_age()

    def missing(*args, **kwargs):
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", missing)
    assert abs(report.process_age() - age) < 3  # psutil may round to a second
