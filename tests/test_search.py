"""`search`: the whole of a search as one pure function."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toys import DESCENT, DESCENT_SPACE, NET, NET_SPACE, Listed

import jaxtune as jt

tune = partial(jt.tune, progress=False)  # on all devices, as `search`
HALVING = jt.SuccessiveHalving(trials=16, min_steps=10, max_steps=90)
SCHEDULERS = {
    "halving": HALVING,
    "hyperband": jt.Hyperband(min_steps=10, max_steps=90),
    "pbt": jt.PopulationBasedTraining(trials=8, steps=60, interval=20),
    "full": jt.FullBudget(trials=8, steps=60),
}


def compiled(space, **options):
    """(key, task) -> Outcome, as one program; the task is an argument, so that its data are no constants."""
    return jax.jit(lambda key, task: jt.search(key, task, space, **options))


def assert_equal(outcome, result):
    """To the last bit: every trial's last value, and the weights of the best."""
    trials = result.trials
    assert outcome.best == result.best.id
    np.testing.assert_array_equal(outcome.steps, [t.steps for t in trials])
    np.testing.assert_array_equal(outcome.diverged, result.history.diverged)
    for name, values in outcome.hparams.items():
        np.testing.assert_array_equal(values, np.float32([t.hparams[name] for t in trials]))
    for name, values in outcome.metrics.items():
        expected = [np.mean(t.replicates[name], dtype=np.float32) for t in trials]
        if result.history.metrics[name].shape[1] == 1:
            np.testing.assert_array_equal(values, expected)
        else:  # a mean of three numbers may be rounded in another order; the states below are exact
            np.testing.assert_allclose(values, expected, rtol=1e-6)
    jax.tree.map(np.testing.assert_array_equal, outcome.state, result.best.states)


@pytest.mark.parametrize(("name", "replicates"), [*((name, 1) for name in SCHEDULERS), ("halving", 3)])
def test_equals_tune_to_the_last_bit(name, replicates):
    options = {"scheduler": SCHEDULERS[name], "replicates": replicates}
    run = compiled(NET_SPACE, **options)
    for seed in (0, 1):
        outcome = run(jax.random.key(seed), NET)
        assert_equal(outcome, tune(NET, NET_SPACE, seed=seed, **options))


def test_equals_tune_where_trials_diverge():
    def step(key, state, batch, hp, step):
        state, info = DESCENT.step(key, state, batch, hp)
        return state, {"loss": jnp.where((step == 13) & (hp["lr"] > 1e-3), jnp.inf, info["loss"])}

    task, options = DESCENT.replace(step=step), {"scheduler": HALVING, "metric": "loss"}
    result = tune(task, DESCENT_SPACE, **options)
    outcome = compiled(DESCENT_SPACE, **options)(jax.random.key(0), task)
    diverged = np.asarray(outcome.diverged)
    assert set(diverged) == {-1, 13}
    assert np.isnan(outcome.metrics["loss"][diverged == 13]).all()
    assert outcome.diverged[outcome.best] == -1
    np.testing.assert_array_equal(diverged, result.history.diverged)
    assert outcome.best == result.best.id


def test_where_all_diverge_nothing_is_finite():
    task = DESCENT.replace(step=lambda key, state, batch, hp: (state, {"loss": hp["lr"] * jnp.nan}))
    outcome = compiled(DESCENT_SPACE, scheduler=jt.FullBudget(4, 10))(jax.random.key(0), task)
    assert outcome.best == 0
    assert (outcome.diverged == 0).all()
    assert np.isnan(outcome.metrics["loss"]).all()


def test_mode_max():
    run = compiled(DESCENT_SPACE, scheduler=HALVING, metric="loss", mode="max")
    outcome = run(jax.random.key(0), DESCENT)
    assert outcome.best == np.argmin(outcome.hparams["lr"])


def test_without_jit():
    """Slow, but it is a plain function."""
    scheduler = jt.FullBudget(trials=2, steps=5)
    outcome = jt.search(jax.random.key(0), DESCENT, DESCENT_SPACE, scheduler=scheduler)
    jitted = compiled(DESCENT_SPACE, scheduler=scheduler)(jax.random.key(0), DESCENT)
    np.testing.assert_allclose(outcome.metrics["loss"], jitted.metrics["loss"], rtol=1e-5)


@pytest.mark.parametrize("name", ["halving", "pbt"])
def test_vmapped_over_keys_equals_one_by_one(name):
    options = {"scheduler": SCHEDULERS[name]}
    keys = jax.random.split(jax.random.key(7), 3)
    run = compiled(NET_SPACE, **options)
    many = jax.jit(jax.vmap(lambda key, task: jt.search(key, task, NET_SPACE, **options), in_axes=(0, None)))
    outcomes = many(keys, NET)
    assert len(set(np.asarray(outcomes.hparams["lr"]).flat)) >= 3 * 6
    for index, key in enumerate(keys):
        one, among = run(key, NET), jax.tree.map(lambda x, i=index: x[i], outcomes)
        np.testing.assert_array_equal(among.hparams["lr"], one.hparams["lr"])
        np.testing.assert_array_equal(among.steps, one.steps)
        np.testing.assert_allclose(among.metrics["loss"], one.metrics["loss"], rtol=1e-3)
        assert among.best == one.best


def test_legacy_keys():
    run = compiled(DESCENT_SPACE, scheduler=jt.FullBudget(trials=4, steps=10))
    typed, legacy = run(jax.random.key(5), DESCENT), run(jax.random.PRNGKey(5), DESCENT)
    jax.tree.map(np.testing.assert_array_equal, typed, legacy)


def test_other_data_of_the_same_shapes_compile_nothing():
    run = compiled(NET_SPACE, scheduler=SCHEDULERS["full"])
    first = run(jax.random.key(0), NET)
    second = run(jax.random.key(0), NET.replace(validation=jax.tree.map(np.negative, NET.validation)))
    assert run._cache_size() == 1
    assert (first.metrics["loss"] != second.metrics["loss"]).all()


def test_static_hyperparameters_are_refused_by_name():
    space = NET_SPACE | {"width": jt.Choice((4, 8))}
    with pytest.raises(ValueError, match="search compiles one program, and 'width' is static: make it a constant"):
        compiled(space, scheduler=HALVING)(jax.random.key(0), NET)


# The toy of the PBT paper (Jaderberg et al., 2017, figure 2): the aim is 1.2 - x0 ** 2 - x1 ** 2, and what each of two
# members climbs is a surrogate whose hyperparameters see one of the two parameters only.


def _toy_step(key, theta, batch, hp):
    slope = -2 * jnp.stack([hp["h0"], hp["h1"]]) * theta
    return theta + 0.01 * slope, {}


TOY = jt.Task(
    init=lambda key, hp: jnp.full(2, 0.9),
    step=_toy_step,
    evaluate=lambda key, theta, data, hp: {"Q": 1.2 - jnp.sum(theta**2)},
)
MEMBERS = Listed.of({"h0": 1.0, "h1": 0.0}, {"h0": 0.0, "h1": 1.0})


def toy_scores(scheduler, task=TOY):
    """The best Q [100] of 100 seeds."""
    space = {"h0": jt.Uniform(0.0, 1.0), "h1": jt.Uniform(0.0, 1.0)}

    def one(key, task):
        outcome = jt.search(key, task, space, scheduler=scheduler, sampler=MEMBERS, metric="Q", mode="max")
        return outcome.metrics["Q"][outcome.best]

    keys = jax.random.split(jax.random.key(0), 100)
    return np.asarray(jax.jit(jax.vmap(one, in_axes=(0, None)))(keys, task))


def test_grid_search_on_the_toy_of_the_paper():
    """Either member brings one parameter to 0, and the other stays at 0.9."""
    expected = 1.2 - 0.81 - (0.9 * (1 - 2 * 0.01) ** 200) ** 2
    np.testing.assert_allclose(toy_scores(jt.FullBudget(trials=2, steps=200)), expected, rtol=1e-5)
    assert expected == pytest.approx(0.39, abs=1e-3)


def test_population_based_training_on_the_toy_of_the_paper():
    scores = toy_scores(jt.PopulationBasedTraining(trials=2, steps=200, interval=10))
    assert scores.mean() > 1.15
    assert scores.min() > 0.9  # no seed is stuck
    assert scores.max() <= 1.2
