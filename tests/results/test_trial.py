import dataclasses
import doctest
import math
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from histories import NAN, halving, make_history, pbt
from scipy import stats

import jaxtune.results.trial
from jaxtune.results.result import Result
from jaxtune.results.trial import PiecewiseConstant


def make_result(history, metric="accuracy", mode="max", **options):
    return Result(history, metric=metric, mode=mode, seed=7, **options)


def test_halving_status_steps_metrics():
    trials = make_result(halving()).trials
    assert [t.id for t in trials] == [0, 1, 2, 3]
    assert [t.status for t in trials] == ["pruned at step 10", "finished", "finished", "diverged at step 4"]
    assert [t.steps for t in trials] == [10, 40, 40, 4]
    np.testing.assert_allclose([t.metrics["accuracy"] for t in trials], [0.5, 0.9, 0.8, NAN], rtol=1e-6)
    assert [t.lineage for t in trials] == [((0, i),) for i in range(4)]
    assert trials[1].hparams == {"lr": 0.01, "act": "=1+1"}


def test_a_search_that_goes_on_has_trials_in_training():
    history = dataclasses.replace(halving(), total_steps=np.full(4, 1000))
    assert [t.status for t in make_result(history).trials][1:3] == ["in training", "in training"]


def test_interrupted_marks_only_those_still_in_training():
    result = make_result(dataclasses.replace(halving(), total_steps=np.full(4, 1000)), interrupted=True)
    assert [t.status.split()[0] for t in result.trials] == [
        "pruned",
        "interrupted",
        "interrupted",
        "diverged",
    ]


def test_a_frozen_diverged_lane_shows_no_value():
    # The engine may go on evaluating the frozen, still finite weights of a diverged lane.
    history = make_history([[0.2, 0.3], [0.1, 0.9]], [10, 20], diverged=np.array([-1, 15]))
    result = make_result(history)
    assert result.best.id == 0
    assert math.isnan(result.trials[1].metrics["accuracy"])
    np.testing.assert_allclose(result.curves()["accuracy"], [[0.2, 0.1], [0.3, NAN]], rtol=1e-6)


def test_divergence_after_the_last_evaluation_hides_the_value():
    active = [[True, True], [True, False]]
    history = make_history([[0.2, 0.9], [0.3, NAN]], [10, 20], active=active, diverged=np.array([-1, 15]))
    trial = make_result(history).trials[1]
    assert math.isnan(trial.metrics["accuracy"])
    assert (trial.steps, trial.status) == (15, "diverged at step 15")


@pytest.mark.parametrize("replicates", [1, 5, 20])
def test_standard_errors_of_folds_cover_the_truth(replicates):
    """Student's intervals of 95 % from five folds whose replicates share their data."""
    rng = np.random.default_rng(0)
    folds = rng.normal(size=(4000, 1, 5))
    values = (folds + 0.1 * rng.normal(size=(4000, replicates, 5))).reshape(4000, -1)
    error = jaxtune.results.history.standard_error(values, num_folds=5)
    covered = np.abs(values.mean(axis=1)) < stats.t.ppf(0.975, 4) * error
    assert covered.mean() == pytest.approx(0.95, abs=0.015)


def test_replicates_mean_and_standard_error():
    history = make_history([[[1.0, 0.0], [2.0, 0.0], [6.0, NAN]]], [5], active=[[True, True]])
    trial, broken = make_result(history).trials
    assert trial.metrics["accuracy"] == 3.0
    assert trial.standard_error["accuracy"] == pytest.approx(math.sqrt(7 / 3))  # sd² = (4 + 1 + 9) / 2
    np.testing.assert_array_equal(trial.replicates["accuracy"], [1, 2, 6])
    assert math.isnan(broken.metrics["accuracy"])


def test_state_variables_and_model_belong_to_the_best():
    states = {"w": jnp.arange(6.0).reshape(2, 3)}
    first = states["w"][0]
    trained = SimpleNamespace(states=states, variables=first, model=lambda hparams: (hparams["lr"], first.sum()))
    result = make_result(halving(), weights={1: SimpleNamespace(trained=trained)})
    assert result.best is result.trials[1]
    assert result.best is result.ranking[0]
    np.testing.assert_array_equal(result.best.variables, [0, 1, 2])
    assert result.best.state["w"].shape == (3,)
    assert result.best.states is states
    assert result.best.model == (0.01, 3.0)
    loser = result.trials[0]
    assert (loser.states, loser.state, loser.variables, loser.model) == (None, None, None, None)


def test_trials_are_made_once_and_only_when_asked_for(monkeypatch):
    made = []
    trial = jaxtune.results.trial.Trial
    monkeypatch.setattr(jaxtune.results.trial, "Trial", lambda **fields: made.append(fields["id"]) or trial(**fields))
    result = make_result(halving())
    assert len(result.trials) == len(result.ranking) == 4
    assert made == []
    assert result.best.id == 1
    assert made == [1]
    assert [t.id for t in result.ranking] == [1, 2, 0, 3]
    assert [t.id for t in result.trials[1:3]] == [1, 2]
    assert result.trials[-1] is result.ranking[-1]
    assert sorted(made) == [0, 1, 2, 3]
    assert repr(result.trials) == repr(list(result.trials))


# PBT


def test_pbt_lineage():
    trials = make_result(pbt()).trials
    assert trials[0].lineage == ((0, 0),)
    assert trials[1].lineage == ((0, 0), (10, 1))
    assert trials[2].lineage == ((0, 0), (10, 1), (20, 2))


def test_pbt_schedule_follows_the_lineage():
    best = make_result(pbt()).best
    assert best.id == 2
    lr = best.schedule("lr")
    assert lr.boundaries == (10, 20)
    np.testing.assert_allclose(lr.values, [0.1, 0.12, 0.15], rtol=1e-6)
    np.testing.assert_allclose([lr(i) for i in (0, 9, 10, 19, 20, 29, 99)], [0.1, 0.1, 0.12, 0.12, 0.15, 0.15, 0.15])
    assert best.schedule("k") == PiecewiseConstant((10, 20), (4, 6, 9))
    assert isinstance(best.schedule("k").values[-1], int)


def test_pbt_hparams_are_those_last_in_force():
    trials = make_result(pbt()).trials
    assert trials[2].hparams == {"lr": pytest.approx(0.15), "k": 9, "act": "relu", "wd": 0.5}
    assert trials[0].hparams["lr"] == 0.1  # exactly: it never changed
    assert trials[0].schedule("lr") == PiecewiseConstant((), (0.1,))


def test_pbt_weights_may_come_back_to_their_slot():
    source = np.array([[1, 0], [1, 1], [0, 1]])  # they swap at 10; 0 takes from 1 at 20
    history = make_history(np.full((3, 2), 0.5), [10, 20, 30], source=source)
    trials = make_result(history).trials
    assert trials[0].lineage == ((0, 0), (10, 1), (20, 0))
    assert trials[1].lineage == ((0, 0), (10, 1))


def test_pbt_evaluations_without_a_decision_do_not_split_the_lineage():
    source = np.array([[0, 1], [0, 0], [0, 1], [0, 1]])
    history = make_history(np.full((4, 2), 0.5), [5, 10, 15, 20], source=source, decided=[False, True, False, True])
    assert make_result(history).trials[1].lineage == ((0, 0), (10, 1))


def test_pbt_exploit_after_the_last_evaluation_is_not_in_the_lineage():
    history = make_history([[0.5, 0.4]], [10], source=np.array([[0, 0]]))
    assert make_result(history).trials[1].lineage == ((0, 1),)


def test_pbt_a_diverged_trial_that_was_overwritten_is_healthy():
    history = make_history(
        [[0.3, NAN], [0.4, 0.5], [0.6, 0.7]],
        [10, 20, 30],
        active=np.ones((3, 2), bool),
        diverged=np.array([-1, -1]),  # the engine's own mark goes with the weights
        source=np.array([[0, 0], [0, 1], [0, 1]]),
    )
    result = make_result(history)
    assert result.best.id == 1
    assert (result.best.status, result.best.steps) == ("finished", 30)
    assert result.best.lineage == ((0, 0), (10, 1))


def test_pbt_divergence_in_the_interval_after_the_exploit_counts():
    # Overwritten at 10 *before* it diverged at step 10 (the eleventh step).
    history = make_history(
        [[0.3, 0.2], [0.4, NAN]],
        [10, 20],
        active=np.ones((2, 2), bool),
        diverged=np.array([-1, 10]),
        source=np.array([[0, 0], [0, 1]]),
    )
    assert make_result(history).trials[1].status == "diverged at step 10"


# Schedules


def test_schedule_is_traceable_weak_and_equal_by_value():
    lr = make_result(pbt()).best.schedule("lr")
    traced = jax.jit(lr)(jnp.int32(12))
    assert traced == pytest.approx(0.12)
    assert traced.weak_type
    assert jnp.asarray(1, jnp.bfloat16).dtype == (traced * jnp.asarray(1, jnp.bfloat16)).dtype
    np.testing.assert_allclose(lr(np.array([0, 10, 25])), [0.1, 0.12, 0.15], rtol=1e-6)
    assert hash(lr) == hash(make_result(pbt()).best.schedule("lr"))


def test_schedule_replays_in_optax():
    optimizer = optax.sgd(make_result(pbt()).best.schedule("lr"))
    weights = jnp.zeros((), jnp.bfloat16)

    def step(carry, _):
        weights, state = carry
        update, state = optimizer.update(jnp.ones((), jnp.bfloat16), state, weights)
        return (optax.apply_updates(weights, update), state), update

    _, updates = jax.lax.scan(step, (weights, optimizer.init(weights)), length=30)
    np.testing.assert_allclose(updates[jnp.array([0, 10, 29])].astype(float), [-0.1, -0.12, -0.15], rtol=1e-2)


def test_schedule_constant_and_refusals():
    trial = make_result(pbt()).trials[0]
    assert float(trial.schedule("wd")(3)) == 0.5
    assert trial.schedule("wd")(np.arange(4)).shape == (4,)
    with pytest.raises(KeyError, match=r"schedule\('lrr'\): trial 0 has lr, k, act, wd"):
        trial.schedule("lrr")
    with pytest.raises(KeyError, match="act is 'relu', only numbers have a schedule"):
        trial.schedule("act")


def test_docstring_examples():
    assert doctest.testmod(jaxtune.results.trial).failed == 0
