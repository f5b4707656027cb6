"""Ctrl-C within the studies that are made of searches: they stop, and say what holds."""

import signal
from importlib import import_module

import jax.numpy as jnp
import numpy as np
import pytest
from toys import DESCENT, DESCENT_SPACE, ONE

import jaxtune as jt
from jaxtune.drivers.tune import tune

PRACTICE = [import_module(f"jaxtune.practice.{name}") for name in ("overfit", "range_test", "sensitivity", "staged")]
OPTIONS = {"progress": False, "placement": ONE}


@pytest.fixture
def press(monkeypatch):
    """Presses Ctrl-C at an evaluation of a search: `press(2, search=1)` at the second one of the first search."""

    def prepare(evaluation, search=1):
        searches = []

        def interrupted(*args, **kwargs):
            searches.append([])
            if len(searches) != search:
                return tune(*args, **kwargs)
            if evaluation == 0:
                raise KeyboardInterrupt

            def callback(result):
                searches[-1].append(result)
                if len(searches[-1]) == evaluation:
                    signal.raise_signal(signal.SIGINT)

            return tune(*args, **kwargs, callback=callback)

        for module in (import_module("jaxtune.practice.nested"), *PRACTICE):
            monkeypatch.setattr(module, "tune", interrupted)
        return searches

    return prepare


# Nested cross-validation

X = np.linspace(0, 1, 40, dtype=np.float32)
SPLIT = DESCENT.replace(
    train=(X, X),
    step=lambda key, state, batch, hp: DESCENT.step(key, state, None, hp),
    evaluate=lambda key, state, data, hp: {"loss": jnp.mean(data[0]) + hp["lr"]},
)


def nested(**options):
    options = {"splits": 4, "scheduler": jt.FullBudget(2, 20), "evaluate_every": 10} | OPTIONS | options
    return jt.nested(SPLIT, DESCENT_SPACE, **options)


def test_nested_stops_and_keeps_whole_splits(press):
    whole = nested()
    searches = press(1, search=3)
    cut = nested()
    assert len(searches) == 3
    assert len(cut.results) == len(cut.winners) == 2
    np.testing.assert_array_equal(cut.scores["loss"], whole.scores["loss"][:2])
    assert (cut.num_splits, cut.interrupted.interrupted, whole.interrupted) == (4, True, None)
    assert cut.interrupted.history.step[-1] == 10
    assert str(cut).startswith("Nested: interrupted after 2 of 4 splits; theirs: test loss ")
    assert str(whole).startswith("Nested: 4 splits, test loss ")


def test_nested_without_a_whole_split_has_no_scores(press):
    press(1)
    cut = nested()
    assert (cut.scores, cut.mean, cut.results) == ({}, {}, [])
    assert str(cut) == "Nested: interrupted after 0 of 4 splits"


def test_an_early_second_press_loses_no_split(press):
    press(0, search=2)
    cut = nested()
    assert len(cut.results) == 1
    assert cut.interrupted is None
    press(0)
    with pytest.raises(KeyboardInterrupt):
        nested()


def test_an_interrupted_refit_loses_no_search(press, monkeypatch):
    refit, calls = jt.Result.refit, []

    def interrupted(self, **options):
        calls.append(self)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return refit(self, **options)

    monkeypatch.setattr(jt.Result, "refit", interrupted)
    cut = nested(refit=1, validation=0.25)
    assert len(cut.results) == 1
    assert cut.interrupted is calls[1]
    assert not cut.interrupted.interrupted


# Staged search


def test_staged_keeps_whole_stages(press):
    space = DESCENT_SPACE | {"momentum": jt.Uniform(0.0, 1.0)}
    task = DESCENT.replace(evaluate=lambda key, state, data, hp: {"loss": hp["lr"] + hp["momentum"]})
    press(0, search=2)
    cut = jt.staged(task, space, scheduler=jt.FullBudget(2, 10), **OPTIONS)
    assert len(cut.results) == 1
    press(1, search=2)
    scheduler = jt.SuccessiveHalving(4, 5, 10)
    cut = jt.staged(task, space, scheduler=scheduler, **OPTIONS)
    assert "interrupted in stage 2" in repr(cut)


# The range test


def falling_until_one(key, state, batch, hp):
    """The loss falls with the learning rate up to 1, and explodes there."""
    return state, {"loss": jnp.where(hp["lr"] < 1.0, 2.0 - hp["lr"], jnp.exp(10 * hp["lr"]))}


SWEPT = DESCENT.replace(step=falling_until_one)


def test_a_range_test_ends_with_the_rate_it_reached(press):
    sweep = {"low": 1e-3, "high": 100.0, "trials": 2, "steps": 100} | OPTIONS
    whole = jt.lr_range_test(SWEPT, {}, **sweep)
    press(50)
    cut = jt.lr_range_test(SWEPT, {}, **sweep)
    assert cut.interrupted
    assert not whole.interrupted
    assert len(cut.learning_rates) == 50
    np.testing.assert_array_equal(cut.learning_rates, whole.learning_rates[:50])
    np.testing.assert_array_equal(cut.losses, whole.losses[:, :50])
    assert not cut.diverged.any()
    assert whole.diverged.all()
    assert cut.suggestion.high == pytest.approx(1e-3 * 1e5 ** (49 / 99), rel=1e-5)  # of step 49 of 0 ... 99
    assert "2 lanes, interrupted" not in repr(whole)
    assert "1 lanes, interrupted" in repr(cut)
    assert "the whole sweep would tell more" in repr(cut)


def test_a_range_test_that_saw_no_descent_says_why(press):
    press(2)
    flat = DESCENT.replace(step=lambda key, state, batch, hp: (state, {"loss": 1.0 + 0 * hp["lr"]}))
    with pytest.raises(ValueError, match="The sweep was interrupted at a learning rate of .*, before the loss fell"):
        jt.lr_range_test(flat, {}, **OPTIONS)


# The overfitting check

LINE = jt.Task(
    init=lambda key, hp: jnp.float32(1.0),
    step=lambda key, x, batch, hp: (x * (1 - hp["lr"]), {}),
    evaluate=lambda key, x, data, hp: {"loss": x},
    train=(X, X),
    validation=(X, X),
)


def test_an_overfitting_check_gives_no_verdict_too_early(press):
    check = {"steps": 50, "trials": 1, "examples": 4} | OPTIONS
    assert jt.overfit_check(LINE, {"lr": 0.2}, **check).verdict == "passes"
    press(5)
    cut = jt.overfit_check(LINE, {"lr": 0.2}, **check)
    assert cut.verdict == "interrupted"
    assert cut.reason.startswith("Stopped at step 5 of 50, with a loss of 0.3277, 33 % of the initial one")
    press(45)
    assert jt.overfit_check(LINE, {"lr": 0.2}, **check).verdict == "passes"  # this holds whatever comes after


# Sensitivity


def test_sensitivity_says_how_long_it_trained(press, monkeypatch):
    press(1)
    task = DESCENT.replace(evaluate=lambda key, state, data, hp: {"loss": state["count"] * hp["lr"]})
    module = import_module("jaxtune.practice.sensitivity")
    pressed = module.tune
    monkeypatch.setattr(module, "tune", lambda *args, **kwargs: pressed(*args, evaluate_every=10, **kwargs))
    cut = jt.sensitivity(task, {"lr": 1e-3}, DESCENT_SPACE, steps=30, **OPTIONS)
    assert cut.steps == 10
    assert cut["lr"].size == pytest.approx(10 * (1e-2 - 1e-4), rel=1e-4)
    assert "interrupted: these are effects on 10 steps of training, not on 30" in repr(cut)


def test_sensitivity_compares_nothing_that_trained_for_unequal_times(monkeypatch):
    def unequal(*args, **kwargs):
        result = tune(*args, evaluate_every=10, **kwargs)
        result.interrupted = True
        result.history.last[1:] = 0
        return result

    monkeypatch.setattr(import_module("jaxtune.practice.sensitivity"), "tune", unequal)
    with pytest.raises(KeyboardInterrupt, match="before all points were trained equally long") as caught:
        jt.sensitivity(DESCENT, {"lr": 1e-3}, DESCENT_SPACE, steps=30, **OPTIONS)
    assert len(caught.value.result.trials) > 1
