"""`tune(keep_weights=k)`: the best k trials keep their weights."""

import pickle

import flax.linen as nn
import jax
import numpy as np
import optax
import pytest
from toys import DESCENT, DESCENT_SPACE, X, Y, tune

import jaxtune as jt


def check(result, num):
    """The best `num` trials have the weights that their metrics are from, all others none."""
    for trial in result.ranking[:num]:
        loss = float(np.sum(trial.state["x"] ** 2))
        assert loss == pytest.approx(trial.replicates["loss"][0], rel=1e-5)
        assert trial.state["count"] == trial.best_step
    assert [trial.states for trial in result.ranking[num:]] == [None] * (len(result.trials) - num)


def test_one_is_kept_unless_more_are_wanted():
    check(tune(DESCENT, DESCENT_SPACE, scheduler=jt.FullBudget(4, 10)), 1)


@pytest.mark.parametrize("num", [3, 5])
@pytest.mark.parametrize(
    "options",
    [
        {"scheduler": jt.FullBudget(7, 20)},
        {"scheduler": jt.FullBudget(7, 20), "keep": "best", "evaluate_every": 5},
        {"scheduler": jt.FullBudget(7, 20), "replicates": 2},
        {"scheduler": jt.PopulationBasedTraining(7, 20, 5)},
    ],
    ids=["full", "best", "replicates", "pbt"],
)
def test_the_best_few_are_kept(options, num):
    check(tune(DESCENT, DESCENT_SPACE, keep_weights=num, **options), num)


def test_pruned_ones_have_none():
    check(tune(DESCENT, DESCENT_SPACE, scheduler=jt.SuccessiveHalving(8, 5, 20, eta=2), keep_weights=8), 2)


def test_those_that_stopped_early_are_kept_too():
    def evaluate(key, state, data, hp):  # the trials of even lr get worse from step 10 on
        worse = (hp["lr"] < 5e-3) & (state["count"] > 10)
        return DESCENT.evaluate(key, state, data, hp) | {"score": hp["lr"] + worse}

    task = DESCENT.replace(evaluate=evaluate)
    options = {"metric": "score", "mode": "min", "evaluate_every": 5, "patience": 2, "keep_weights": 3}
    result = tune(task, DESCENT_SPACE, scheduler=jt.FullBudget(8, 40), keep="best", **options)
    assert {trial.status.split(" at ")[0] for trial in result.ranking[:3]} == {"stopped early"}
    for trial in result.ranking[:3]:
        assert trial.state["count"] == trial.best_step
    assert result.ranking[3].states is None


def test_a_search_that_goes_on_keeps_the_best_of_both():
    first = tune(DESCENT, DESCENT_SPACE, scheduler=jt.FullBudget(4, 10), keep_weights=4)
    result = tune(DESCENT, DESCENT_SPACE, scheduler=jt.FullBudget(4, 10), keep_weights=6, previous=first)
    check(result, 6)
    assert {trial.id < 4 for trial in result.ranking[:6]} == {True, False}
    two = tune(DESCENT, DESCENT_SPACE, scheduler=jt.FullBudget(4, 10), keep_weights=2, previous=first)
    check(two, 2)


def test_all_that_diverged_keep_nothing():
    result = tune(DESCENT, {"lr": jt.Uniform(50.0, 60.0)}, scheduler=jt.FullBudget(3, 200), keep_weights=3)
    assert [trial.states for trial in result.trials] == [None] * 3


def test_they_predict_and_outlive_a_pickle():
    task = jt.supervised(
        nn.Dense(1),
        optimizer=lambda hp: optax.sgd(hp["lr"]),
        loss=optax.squared_error,
        train=(X[:30], Y[:30]),
        validation=(X[30:], Y[30:]),
        batch_size=8,
    )
    space = {"lr": jt.LogUniform(1e-3, 3e-2)}
    result = tune(task, space, scheduler=jt.FullBudget(3, 20), keep_weights=2)
    again = pickle.loads(pickle.dumps(result)).with_task(task, space)
    for trial, other in zip(result.ranking[:2], again.ranking[:2], strict=True):
        predicted = trial.predict(X[30:])
        assert np.mean((predicted - Y[30:]) ** 2) == pytest.approx(trial.metrics["loss"], rel=1e-5)
        np.testing.assert_array_equal(predicted, other.predict(X[30:]))
        np.testing.assert_allclose(trial.model.apply(trial.variables, X[30:]), predicted, rtol=1e-6)
    with pytest.raises(ValueError, match=r"has none here: the best trial .* tune\(keep_weights=k\)"):
        result.ranking[2].predict(X)
    assert jax.tree.leaves(result.ranking[0].variables)[0].shape


def test_a_number_of_trials():
    with pytest.raises(ValueError, match="keep_weights"):
        tune(DESCENT, DESCENT_SPACE, scheduler=jt.FullBudget(3, 5), keep_weights=0)
