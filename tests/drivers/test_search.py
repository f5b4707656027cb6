"""`search`: the whole of a search as one pure function."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toys import DESCENT, DESCENT_SPACE, NET, NET_SPACE, Listed

import jaxtune as jt

tune = partial(jt.tune, progress=False)  # on all devices, as `search`
HALVING = jt.SuccessiveHalving(trials=40, min_steps=10, max_steps=90)  # 8 devices: 5 rows, then 2, then 1
SHORT = jt.SuccessiveHalving(trials=16, min_steps=10, max_steps=30)
SCHEDULERS = {
    "halving": HALVING,
    "short": SHORT,
    "hyperband": jt.Hyperband(min_steps=10, max_steps=30),
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


@pytest.mark.parametrize(("name", "replicates"), [*((name, 1) for name in SCHEDULERS if name != "short"), ("short", 3)])
def test_equals_tune_to_the_last_bit(name, replicates):
    options = {"scheduler": SCHEDULERS[name], "replicates": replicates}
    run = compiled(NET_SPACE, **options)
    for seed in (0, 1):
        outcome = run(jax.random.key(seed), NET)
        assert_equal(outcome, tune(NET, NET_SPACE, seed=seed, **options))


def test_equals_tune_where_arrays_shrink(free_programs):
    scheduler = jt.SuccessiveHalving(trials=40, min_steps=5, max_steps=40, eta=2)
    outcome = compiled(NET_SPACE, scheduler=scheduler)(jax.random.key(0), NET)
    assert_equal(outcome, tune(NET, NET_SPACE, scheduler=scheduler))


def breaking(at):
    """`DESCENT`, but the trials with the larger half of the learning rates, the better ones, break at a step."""

    def step(key, state, batch, hp, step):
        state, info = DESCENT.step(key, state, batch, hp)
        return state, {"loss": jnp.where((step == at) & (hp["lr"] > 1e-3), jnp.inf, info["loss"])}

    return DESCENT.replace(step=step)


def test_equals_tune_where_trials_diverge():
    task = breaking(at=5)
    result = tune(task, DESCENT_SPACE, scheduler=SHORT)
    outcome = compiled(DESCENT_SPACE, scheduler=SHORT)(jax.random.key(0), task)
    diverged = np.asarray(outcome.diverged)
    assert (np.where(outcome.hparams["lr"] > 1e-3, 5, -1) == diverged).all()
    assert np.isnan(outcome.metrics["loss"][diverged == 5]).all()
    assert diverged[outcome.best] == -1
    np.testing.assert_array_equal(diverged, result.history.diverged)
    assert outcome.best == result.best.id


def test_there_is_no_best_where_all_finalists_diverge():
    """`tune` names the best of those pruned, whose weights are gone; `search` has only weights to offer."""
    task = breaking(at=13)  # after the rung at 10
    outcome = compiled(DESCENT_SPACE, scheduler=SHORT)(jax.random.key(0), task)
    best = tune(task, DESCENT_SPACE, scheduler=SHORT).best
    assert outcome.best == -1
    assert best.status == "pruned at step 10"
    assert best.state is None


def test_where_all_diverge_nothing_is_finite():
    task = DESCENT.replace(step=lambda key, state, batch, hp: (state, {"loss": hp["lr"] * jnp.nan}))
    outcome = compiled(DESCENT_SPACE, scheduler=jt.FullBudget(4, 10))(jax.random.key(0), task)
    assert outcome.best == -1
    assert (outcome.diverged == 0).all()
    assert np.isnan(outcome.metrics["loss"]).all()


def test_mode_max():
    run = compiled(DESCENT_SPACE, scheduler=SHORT, metric="loss", mode="max")
    outcome = run(jax.random.key(0), DESCENT)
    assert outcome.best == np.argmin(outcome.hparams["lr"])


@pytest.mark.parametrize("scheduler", [SHORT, SCHEDULERS["pbt"]], ids=["halving", "pbt"])
def test_vmapped_over_keys_equals_one_by_one(scheduler):
    keys = jax.random.split(jax.random.key(7), 3)
    run = compiled(DESCENT_SPACE, scheduler=scheduler)
    outcomes = jax.jit(jax.vmap(run, in_axes=(0, None)))(keys, DESCENT)
    assert len(set(np.asarray(outcomes.metrics["start"]).flat)) == 3
    for index, key in enumerate(keys):
        one, among = run(key, DESCENT), jax.tree.map(lambda x, i=index: x[i], outcomes)
        np.testing.assert_array_equal(among.hparams["lr"], one.hparams["lr"])
        np.testing.assert_array_equal(among.steps, one.steps)
        np.testing.assert_allclose(among.metrics["loss"], one.metrics["loss"], rtol=1e-5)
        np.testing.assert_allclose(among.state["x"], one.state["x"], rtol=1e-5)
        assert among.best == one.best


def test_legacy_keys():
    run = compiled(DESCENT_SPACE, scheduler=jt.FullBudget(trials=4, steps=10))
    typed, legacy = run(jax.random.key(5), DESCENT), run(jax.random.PRNGKey(5), DESCENT)
    jax.tree.map(np.testing.assert_array_equal, typed, legacy)


def test_other_data_of_the_same_shapes_compile_nothing():
    run = compiled(NET_SPACE, scheduler=SCHEDULERS["full"])
    first = run(jax.random.key(0), NET)
    second = run(jax.random.key(0), NET.replace(validation=(NET.validation[0], NET.validation[1] + 1)))
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
