"""`tune(keep_weights=k)`: the best k trials keep their weights."""

import itertools
import pickle
import warnings
from functools import partial

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


# More than an earlier call kept


def _score(key, state, data, hp):  # trials of low lr are best from the beginning, the others get better
    return DESCENT.evaluate(key, state, data, hp) | {"score": hp["lr"] - 1e-6 * (hp["lr"] > 2e-3) * state["count"]}


EARLY = {"evaluate_every": 5, "patience": 2, "keep": "best", "metric": "score", "mode": "min"}
RAISED = {  # task, options, evaluations before the search is cut off
    "full": (DESCENT, {"scheduler": jt.FullBudget(6, 20), "evaluate_every": 5}, 2),
    "pbt": (DESCENT, {"scheduler": jt.PopulationBasedTraining(6, 20, 5)}, 2),
    "halving": (DESCENT, {"scheduler": jt.SuccessiveHalving(8, 5, 20, eta=2)}, 1),
    "generations": (DESCENT, {"scheduler": jt.FullBudget(6, 20), "generations": 3}, 2),
    "early": (DESCENT.replace(evaluate=_score), {"scheduler": jt.FullBudget(8, 40), **EARLY}, 4),
}


def kept(result):
    """Ids of the trials that have weights, all of which are those that their metrics are from; nobody else's fail."""
    for trial in result.trials:
        if trial.states is None:
            with pytest.raises(ValueError, match=r"keep_weights=k\) from its first call on"):
                trial.predict(X)
        else:
            assert float(np.sum(trial.state["x"] ** 2)) == pytest.approx(trial.replicates["loss"][0], rel=1e-5)
            assert trial.state["count"] == trial.best_step
    return {trial.id for trial in result.trials if trial.states is not None}


def best(result, num):
    """Ids of the best trials that were never pruned."""
    return [trial.id for trial in result.ranking if trial.status.kind != "pruned"][:num]


@pytest.mark.parametrize("over", [False, True], ids=["unfinished", "finished"])
@pytest.mark.parametrize("name", RAISED)
def test_those_that_ended_before_more_were_wanted_are_named(name, over, tmp_path):
    task, options, cut = RAISED[name]
    search = partial(tune, task, DESCENT_SPACE, directory=tmp_path, checkpoint_every=0, **options)
    calls = itertools.count(1)
    first = search(callback=None if over else lambda result: next(calls) == cut)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        result = search(keep_weights=5)
    assert first.interrupted != over
    there, wanted = kept(result), best(result, 5)
    now = first.trials[-1].generation
    ended = {t.id for t in first.trials if over or t.status.kind == "stopped early" or t.generation < now}
    gaps = [trial for trial in wanted if trial not in there]
    assert set(gaps) == ended & set(wanted) - set(first.weights)
    assert bool(gaps) == (over or name in ("generations", "early"))
    assert [f"trials {', '.join(map(str, gaps))} ha" in str(one.message) for one in said] == [True] * bool(gaps)
    assert kept(jt.load(tmp_path, task, DESCENT_SPACE)) == there
    result.save(tmp_path / "more" / "copy")
    assert jt.load(tmp_path / "more" / "copy").weights.keys() == there


@pytest.mark.parametrize("name", RAISED)
def test_fewer_than_before_are_no_gaps(name, tmp_path):
    task, options, cut = RAISED[name]
    search = partial(tune, task, DESCENT_SPACE, directory=tmp_path, checkpoint_every=0, **options)
    calls = itertools.count(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        search(keep_weights=5, callback=lambda result: next(calls) == cut)
        assert kept(search(keep_weights=2)) == set(best(jt.load(tmp_path), 2))


def test_gaps_of_an_earlier_search_are_named():
    first = tune(DESCENT, DESCENT_SPACE, scheduler=jt.FullBudget(4, 20))
    with pytest.warns(UserWarning, match=r"keep_weights=6, but of the best 6 trials (\d, )*\d have no weights"):
        result = tune(DESCENT, DESCENT_SPACE, scheduler=jt.FullBudget(4, 10), keep_weights=6, previous=first)
    assert kept(result) == {*first.weights, 4, 5, 6, 7}


def test_an_ensemble_is_of_those_that_have_weights(tmp_path):
    task = jt.supervised(
        nn.Dense(1),
        optimizer=lambda hp: optax.sgd(hp["lr"]),
        loss=optax.squared_error,
        train=(X[:30], Y[:30]),
        validation=(X[30:40], Y[30:40]),
        test=(X[40:], Y[40:]),
        batch_size=8,
    )
    search = partial(tune, task, {"lr": jt.LogUniform(1e-3, 3e-2)}, scheduler=jt.FullBudget(4, 20), directory=tmp_path)
    search(keep_weights=2)
    with pytest.warns(UserWarning, match="have no weights"):
        result = search(keep_weights=4)
    assert {trial.id for trial, _ in result.ensemble(size=4).members} <= set(best(result, 2))
    assert np.isfinite(result.test()["loss"])


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
