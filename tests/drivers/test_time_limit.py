"""Searches that end when time is up, with what is known by then."""

import jax
import numpy as np
import pytest
from toys import DESCENT, DESCENT_SPACE, descent_loss, tune

import jaxtune as jt

LONG = jt.FullBudget(3, 10**9)


def test_a_search_ends_after_the_burst_in_which_time_is_up(capsys):
    result = jt.tune(DESCENT, DESCENT_SPACE, scheduler=LONG, time_limit=0.3)
    (step,) = result.history.step
    assert 0 < step < 10**9
    assert result.interrupted
    assert {trial.status for trial in result.trials} == {"interrupted"}
    assert 0 < result.timing["total"] < 60
    assert result.best.state["count"] == step
    assert (
        f"Time is up at step {step} of 1000000000: the result holds what is known by then." in capsys.readouterr().err
    )


def test_there_is_a_result_even_without_any_time():
    result = tune(DESCENT, DESCENT_SPACE, scheduler=LONG, time_limit=0)
    assert result.interrupted
    expected = [descent_loss(t.metrics["start"], t.hparams["lr"], t.steps) for t in result.trials]
    np.testing.assert_allclose([t.metrics["loss"] for t in result.trials], expected, rtol=1e-3, atol=1e-30)


def test_a_limit_that_is_not_reached_changes_nothing():
    options = {"scheduler": jt.SuccessiveHalving(6, 5, 20, eta=2)}
    limited, free = (tune(DESCENT, DESCENT_SPACE, time_limit=limit, **options) for limit in (1e6, None))
    assert not limited.interrupted
    np.testing.assert_array_equal(limited.history.metrics["loss"], free.history.metrics["loss"])


@pytest.mark.parametrize("limit", [-1, "60", float("nan"), float("inf"), True])
def test_a_limit_is_a_number_of_seconds(limit):
    with pytest.raises(ValueError, match="^time_limit must be a number of seconds, got "):
        tune(DESCENT, DESCENT_SPACE, scheduler=LONG, time_limit=limit)


def labelled():
    x = np.zeros(8, np.float32)
    task = DESCENT.replace(
        step=lambda key, state, batch, hp: DESCENT.step(key, state, batch, hp),
        evaluate=lambda key, state, data, hp: DESCENT.evaluate(key, state, data, hp),
    )
    return task.replace(train=(x, x), batch_size=2)


def test_nested_stops_and_says_how_far_it_came():
    outer = jt.nested(labelled(), DESCENT_SPACE, splits=2, scheduler=LONG, time_limit=0.1, progress=False)
    assert str(outer) == "Nested: interrupted after 0 of 2 splits"
    assert outer.interrupted.interrupted


def test_staged_stops_and_says_how_far_it_came():
    space = DESCENT_SPACE | {"momentum": jt.Uniform(0.0, 1.0)}
    task = DESCENT.replace(evaluate=lambda key, state, data, hp: {"loss": hp["lr"] + hp["momentum"]})
    found = jt.staged(task, space, scheduler=jt.FullBudget(2, 10), time_limit=0, progress=False)
    assert repr(found).startswith("Staged: 1 stages of 2, ")


def test_a_refit_ends_with_what_it_has():
    task = labelled().replace(validation=(np.zeros(2, np.float32),) * 2)
    result = tune(task, DESCENT_SPACE, scheduler=jt.FullBudget(2, 10))
    cut = result.refit(steps=10**9, replicates=2, time_limit=0.1)
    assert cut.interrupted
    assert 0 < cut.steps < 10**9
    assert cut.states["count"].tolist() == [cut.steps] * 2
    whole = result.refit(steps=20, time_limit=1e6)
    assert not whole.interrupted
    jax.tree.map(np.testing.assert_array_equal, whole.states, result.refit(steps=20).states)
