"""Importances of hand-written searches whose truth is known."""

import math
import sys

import numpy as np
import pytest
from histories import NAN, make_history

import jaxtune as jt
from jaxtune.results.result import Result

RNG = np.random.default_rng(0)
LR = np.geomspace(1e-4, 1.0, 64)[RNG.permutation(64)]
MOMENTUM = RNG.random(64)
HPARAMS = [{"lr": float(lr), "momentum": float(m), "act": "relu"} for lr, m in zip(LR, MOMENTUM, strict=True)]
BY_LR, BY_MOMENTUM = np.abs(np.log(LR / 1.3e-2)), np.abs(MOMENTUM - 0.5)


def searched(values, step=(10,), hparams=HPARAMS, mode="min", **changes):
    history = make_history(np.atleast_2d(values), list(step), hparams=list(hparams), metric="loss", **changes)
    return Result(history=history, metric="loss", mode=mode, seed=0, ended=True)


def test_the_one_that_decides_comes_first():
    found = jt.importance(searched(BY_LR))
    assert found.names == ["lr", "momentum"]  # a constant is none
    assert found["lr"].share > 0.95
    assert found["lr"].low > 0.7
    assert found["momentum"].low == 0.0
    assert (found.num_trials, found.num_top, found.step) == (64, 7, None)


def test_higher_may_be_better():
    assert jt.importance(searched(-BY_MOMENTUM, mode="max"))["momentum"].share > 0.9


def test_the_order_of_trials_changes_nothing():
    order = np.random.default_rng(1).permutation(64)
    shuffled = searched(BY_LR[order], hparams=[HPARAMS[t] for t in order])
    assert jt.importance(shuffled) == jt.importance(searched(BY_LR))


def test_at_a_rung_trials_are_compared_by_their_value_there():
    """Early the learning rate matters, among those that went on the momentum does."""
    goes_on = np.median(BY_LR) > BY_LR
    values = np.stack([BY_LR, np.where(goes_on, BY_MOMENTUM, NAN)])
    result = searched(values, [10, 40], pruned=np.where(goes_on, -1, 10))
    early, late = jt.importance(result, step=10), jt.importance(result, step=40)
    assert early.names[0] == "lr"
    assert late.names[0] == "momentum"
    assert (early.num_trials, late.num_trials, late.step) == (64, 32, 40)
    with pytest.raises(ValueError, match=r"step=20: nothing was evaluated there; there were evaluations at 10, 40\."):
        jt.importance(result, step=20)


def test_trials_that_diverged_are_the_worst():
    values = np.where(LR > 0.01, NAN, BY_MOMENTUM)
    broken = searched(values, active=np.ones((1, 64), bool), diverged=np.where(LR > 0.01, 3, -1))
    for step in (None, 10):
        found = jt.importance(broken, step=step)
        assert found.num_trials == 64
        assert found["lr"].low > 0.0
        assert jt.importance(broken, step=step, region=0.4)["momentum"].share > 0.9  # 26 of the 32 sound ones


def test_what_is_explored_counts_as_it_was_last():
    lr = np.stack([np.full(64, 0.1), LR]).astype(np.float32)
    result = searched(
        np.stack([BY_MOMENTUM, BY_LR]), [10, 20], hparams=[hp | {"lr": 0.1} for hp in HPARAMS], schedule={"lr": lr}
    )
    assert jt.importance(result).names[0] == "lr"
    assert jt.importance(result, step=10).names == ["momentum"]


def test_few_trials_are_refused():
    with pytest.raises(ValueError, match=r"needs 10 trials, 5 of them with a finite 'loss'; there are 9, 9 with one"):
        jt.importance(searched(BY_LR[:9], hparams=HPARAMS[:9]))
    most = np.arange(64) > 3
    result = searched(np.where(most, NAN, BY_LR), active=np.ones((1, 64), bool), diverged=np.where(most, 3, -1))
    with pytest.raises(ValueError, match="there are 64, 4 with one"):
        jt.importance(result)


def test_nothing_but_divergence_is_refused():
    result = searched(np.full(64, NAN), active=np.ones((1, 64), bool), diverged=np.full(64, 3))
    with pytest.raises(ValueError, match=r"none of the 64 trials has a finite 'loss'"):
        jt.importance(result)


def test_constants_are_refused():
    with pytest.raises(ValueError, match="no hyperparameter differs"):
        jt.importance(searched(BY_LR, hparams=[{"lr": 0.1}] * 64))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top": 0.0}, "0 < top < region <= 1"),
        ({"top": 0.5, "region": 0.5}, "0 < top < region <= 1"),
        ({"region": 1.5}, "0 < top < region <= 1"),
        ({"top": 0.01, "region": 0.05}, "take a larger region"),
        ({"method": "shap"}, "'ped_anova' or 'fanova', got 'shap'"),
    ],
)
def test_arguments_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        jt.importance(searched(BY_LR), **options)


def test_only_results_have_importances():
    with pytest.raises(TypeError, match="got a list"):
        jt.importance([])


def test_records_and_text():
    found = jt.importance(searched(BY_LR))
    assert [set(row) for row in found.records()] == [{"name", "share", "low", "high"}] * 2
    assert [one.name for one in found] == found.names
    lines = repr(found).splitlines()
    assert lines[0] == "Importance for loss (ped_anova, best 7 of 64 trials)"
    assert lines[1].split()[0] == "lr"
    with pytest.raises(KeyError, match="there are lr, momentum"):
        found["depth"]


def test_functional_anova_is_optunas():
    pytest.importorskip("optuna")
    pytest.importorskip("sklearn")
    act = [("relu", "tanh")[i % 2] for i in range(64)]
    hparams = [hp | {"act": a} for hp, a in zip(HPARAMS, act, strict=True)]
    for hp in hparams[::3]:
        del hp["momentum"]  # as in a branch
    found = jt.importance(searched(BY_LR, hparams=hparams), method="fanova")
    assert found.names[0] == "lr"
    assert found["lr"].share > 0.8
    assert sum(one.share for one in found) == pytest.approx(1.0)
    assert all(math.isnan(one.low) and math.isnan(one.high) for one in found)
    assert repr(found).startswith("Importance for loss (fanova, 64 trials)")


@pytest.mark.parametrize(("missing", "extra"), [("optuna", "optuna"), ("sklearn", "optuna,demo")])
def test_functional_anova_names_its_extra(monkeypatch, missing, extra):
    pytest.importorskip("optuna")
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=rf"jaxtune\[{extra}\]"):
        jt.importance(searched(BY_LR), method="fanova")
