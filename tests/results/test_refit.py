"""Training the winner again on training and validation data together."""

import numpy as np
import pytest
from counting import COUNTING, IDS, LINE, LR, VALLEY, VALLEY_SPACE, X, Y, descend, falling
from toys import Listed, tune

import jaxtune as jt

SEEN = COUNTING.replace(train=IDS[:25], validation=IDS[25:35], test=IDS[35:])
RATES = {"lr": jt.Uniform(0.0, 1.0)}
ALL = X[:18], Y[:18]  # training and validation examples of LINE


def start_of(task, **options):
    """Initial weights [R, ...]: those that nothing has trained."""
    return tune(task, {"lr": 0.0}, scheduler=jt.FullBudget(1, 1), **options).best.states


def error_of(w, x, y):
    """What `LINE` reports of weights trained on all but the test data."""
    return np.mean((x @ w + ALL[1].mean() - y) ** 2)


# What it trains on, and for how long


@pytest.mark.parametrize("options", [{}, {"replicates": 2}], ids=["one", "two"])
def test_full_batch_refit_equals_training_by_hand(options):
    result = tune(LINE, {"lr": jt.Uniform(0.01, 0.04)}, scheduler=jt.FullBudget(4, 20), **options)
    refit = result.refit(replicates=3)
    start = start_of(LINE, replicates=3)
    assert refit.steps == 20
    assert refit.states.shape == (3, 2)
    lr = result.best.hparams["lr"]
    expected = [descend(w, *ALL, falling(lr, 20, 20)) for w in start]
    np.testing.assert_allclose(refit.states, expected, rtol=1e-4, atol=1e-5)
    tested = refit.test()
    errors = [error_of(w, X[18:], Y[18:]) for w in expected]
    assert tested["loss"] == pytest.approx(np.mean(errors), rel=1e-4)
    assert tested["loss_se"] == pytest.approx(np.std(errors, ddof=1) / np.sqrt(3), rel=1e-3)
    assert tested["mean"] == pytest.approx(ALL[1].mean())  # statistics of all that was trained on


def test_full_batch_refit_after_folds():
    task = LINE.replace(train=ALL, validation=None)
    result = tune(task, RATES, scheduler=jt.FullBudget(4, 20), folds=3)
    refit = result.refit(replicates=4)
    expected = [descend(w, *ALL, falling(result.best.hparams["lr"], 20, 20)) for w in start_of(LINE, replicates=4)]
    np.testing.assert_allclose(refit.states, expected, rtol=1e-4, atol=1e-5)


def test_given_steps_have_a_schedule_of_their_own():
    result = tune(LINE, RATES, scheduler=jt.FullBudget(4, 20))
    states = result.refit(steps=35).states
    expected = descend(start_of(LINE)[0], *ALL, falling(result.best.hparams["lr"], 35, 35))
    np.testing.assert_allclose(states[0], expected, rtol=1e-4, atol=1e-5)


def test_a_checkpoint_is_refitted_for_its_own_steps_on_the_schedule_of_the_search():
    """The best weights come after 30 of 80 steps; the rate goes on falling towards step 80."""
    import jax.numpy as jnp

    def evaluate(key, state, data, hp, step, stats):
        return LINE.evaluate(key, state, data, hp, stats) | {"distance": jnp.abs(step - 30.0)}

    task = LINE.replace(evaluate=evaluate)
    result = tune(
        task, {"lr": jt.Uniform(0.05, 0.1)}, scheduler=jt.FullBudget(2, 80), evaluate_every=10, keep="best",
        metric="distance", mode="min",
    )  # fmt: skip
    refit = result.refit()
    assert result.best.best_step == refit.steps == 30
    expected = descend(start_of(LINE)[0], *ALL, falling(result.best.hparams["lr"], 30, 80))
    np.testing.assert_allclose(refit.states[0], expected, rtol=1e-4, atol=1e-5)
    assert refit.test()["distance"] == 0.0  # metrics may ask for the step, too


def test_batches_come_from_training_and_validation_data():
    refit = tune(SEEN, LR, scheduler=jt.FullBudget(3, 35)).refit()
    np.testing.assert_array_equal(refit.state["seen"], [8] * 35 + [0] * 5)  # 8 epochs of 35 examples


def test_batches_come_from_all_folds():
    task = SEEN.replace(train=IDS[:35], validation=None)
    refit = tune(task, LR, scheduler=jt.FullBudget(3, 35), folds=3).refit(replicates=5)
    np.testing.assert_array_equal(refit.states["seen"], [[8] * 35 + [0] * 5] * 5)


def test_batch_sizes_of_the_winner():
    space = {"lr": 0.01, "batch_size": jt.Choice([4, 14])}
    sampler = Listed.of({"lr": 0.01, "batch_size": 14})
    result = tune(SEEN, space, scheduler=jt.FullBudget(1, 35), sampler=sampler)
    refit = result.refit(steps=70)
    assert refit.state["updates"] == 70 * 8 / 14
    assert refit.state["told"] == 40
    np.testing.assert_array_equal(refit.state["seen"], [16] * 35 + [0] * 5)


def test_a_task_without_data_is_trained_again():
    refit = tune(VALLEY, VALLEY_SPACE, scheduler=jt.FullBudget(3, 20)).refit(steps=15)
    assert refit.state["count"] == 15


# Replicates


def test_replicates_are_the_seeds_of_the_search_and_further_ones():
    result = tune(LINE, RATES, scheduler=jt.FullBudget(3, 10), replicates=2)
    five, two = result.refit(replicates=5), result.refit(replicates=2)
    np.testing.assert_array_equal(five.states[:2], two.states)
    assert len(np.unique(five.states, axis=0)) == 5
    np.testing.assert_array_equal(five.state, five.states[0])


# PBT


def test_population_based_training_is_replayed():
    """The winner has weights of several trials, and a rate that changed: all of it happens again."""
    scheduler = jt.PopulationBasedTraining(6, steps=40, interval=5)
    result = tune(LINE, {"lr": jt.LogUniform(1e-3, 0.4)}, scheduler=scheduler, seed=2)
    course = result.best.schedule("lr")
    assert len(course.values) > 1
    assert len(set(course.values)) > 1
    rates = [float(course(n)) * (1 - n / 40) for n in range(40)]
    expected = descend(start_of(LINE, seed=2)[0], *ALL, rates)
    np.testing.assert_allclose(result.refit().states[0], expected, rtol=1e-4, atol=1e-5)
    longer = [float(course(n)) * (1 - n / 60) for n in range(60)]  # the last value goes on
    expected = descend(start_of(LINE, seed=2)[0], *ALL, longer)
    np.testing.assert_allclose(result.refit(steps=60).states[0], expected, rtol=1e-4, atol=1e-5)


# Programs


@pytest.mark.parametrize(
    ("scheduler", "options"),
    [
        (jt.SuccessiveHalving(16, 10, 90), {}),
        (jt.SuccessiveHalving(16, 10, 90), {"replicates": 2, "keep": "best"}),
        (jt.Hyperband(10, 90), {"folds": 3}),
        (jt.FullBudget(5, 40), {"folds": 2, "replicates": 2}),
        (jt.PopulationBasedTraining(6, 40, 10), {}),
    ],
    ids=["halving", "best", "hyperband-folds", "folds", "pbt"],
)
def test_refit_compiles_nothing(compiled, scheduler, options):
    task = SEEN.replace(train=IDS[:35], validation=None) if "folds" in options else SEEN
    result = tune(task, LR, scheduler=scheduler, **options)
    compiled.clear()
    result.refit(replicates=3)
    assert not compiled


def test_single_updates_compile(compiled):
    """The counter above does count."""
    task = SEEN.replace(step=lambda *args, total_steps: COUNTING.step(*args, total_steps))
    result = tune(task, LR, scheduler=jt.FullBudget(2, 10))
    compiled.clear()
    result.refit(steps=7)
    assert compiled == {"advance": 1}


# Looking at the test split


def test_tests_are_counted_by_the_result():
    result = tune(SEEN, LR, scheduler=jt.FullBudget(2, 10))
    refit = result.refit()
    assert result.num_tests == 0
    refit.test()
    result.test()
    refit.test()
    assert result.num_tests == 3


def test_leaves_of_a_refit():
    result = tune(SEEN, LR, scheduler=jt.FullBudget(2, 10))
    refit = result.refit(replicates=2)
    assert refit.hparams == result.best.hparams
    assert refit.replicates == 2
    assert refit.variables is None
    assert refit.model is None
    assert refit.test()["validated"] == IDS[35:].sum()


def test_weights_and_model_of_a_supervised_refit():
    import flax.linen as nn
    import optax

    task = jt.supervised(
        nn.Dense(1), optimizer=lambda hp: optax.sgd(hp["lr"]), loss=optax.squared_error, batch_size=4,
        preprocess=jt.standardize(targets=True), train=(X[:12], Y[:12, None]), validation=(X[12:18], Y[12:18, None]),
        test=(X[18:], Y[18:, None]),
    )  # fmt: skip
    refit = tune(task, {"lr": jt.LogUniform(1e-2, 0.3)}, scheduler=jt.FullBudget(3, 60)).refit()
    kernel, bias = (refit.variables["params"][name] for name in ("kernel", "bias"))
    mean, std = X[:18].mean(axis=0), X[:18].std(axis=0)
    predicted = ((X[18:] - mean) / std @ kernel + bias) * Y[:18].std() + Y[:18].mean()
    tested = np.mean((predicted - Y[18:, None]) ** 2) / Y[:18].var()  # the loss sees standardized targets
    assert refit.test()["loss"] == pytest.approx(tested, rel=1e-3)
    assert refit.model is not None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"steps": 0}, "steps"), ({"replicates": 0}, "replicates"), ({"steps": 2.5}, "steps")],
    ids=["steps", "replicates", "fraction"],
)
def test_wrong_numbers_are_refused(arguments, message):
    result = tune(SEEN, LR, scheduler=jt.FullBudget(2, 10))
    with pytest.raises((ValueError, TypeError), match=message):
        result.refit(**arguments)


def test_a_refit_without_test_data():
    refit = tune(COUNTING, LR, scheduler=jt.FullBudget(2, 10)).refit()
    with pytest.raises(ValueError, match="needs test data"):
        refit.test()
