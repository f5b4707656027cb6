"""Results that go through pickle: arrays and plain values, without task, functions and devices."""

import copy
import pickle
import subprocess
import sys

import flax.linen as nn
import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
import optax
import pytest
from toys import DESCENT, DESCENT_SPACE, TWO, tune

import jaxtune as jt
from jaxtune.spaces.values import Named

mpl.use("Agg")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 4)).astype(np.float32)
Y = X[:, :1] - 2 * X[:, 1:2]
SPACE = {
    "lr": jt.LogUniform(1e-3, 0.1),
    "activation": jt.Choice([nn.relu, lambda x: x, lambda x: 2 * x]),
    "clip": jt.Choice([None, 1.0]),
}


def task_of(scale=1.0):
    return jt.supervised(
        lambda hp: nn.Sequential([nn.Dense(4), hp["activation"], nn.Dense(1)]),
        optimizer=lambda hp: optax.chain(
            optax.identity() if hp["clip"] is None else optax.clip(hp["clip"]), optax.adam(hp["lr"])
        ),
        loss=lambda outputs, targets: scale * optax.squared_error(outputs, targets),
        metrics={"mae": jt.metrics.mae},
        preprocess=jt.standardize(),
        train=(X[:30], Y[:30]),
        validation=(X[30:40], Y[30:40]),
        test=(X[40:], Y[40:]),
        batch_size=10,
    )


@pytest.fixture(scope="module")
def result():
    space = jt.constrain(SPACE, lambda hp: hp["lr"] < 0.09)
    return tune(task_of(), space, scheduler=jt.SuccessiveHalving(9, 5, 10, eta=2), replicates=2, placement=TWO)


@pytest.fixture(scope="module")
def again(result):
    return pickle.loads(pickle.dumps(result))


def test_everything_that_is_data_survives(result, again):
    assert again.best.metrics == result.best.metrics
    assert [t.id for t in again.ranking] == [t.id for t in result.ranking]
    np.testing.assert_array_equal(again.curves()["mae"], result.curves()["mae"])
    jax.tree.map(np.testing.assert_array_equal, again.best.variables, result.best.variables)
    assert all(isinstance(x, np.ndarray) for x in jax.tree.leaves(again.best.variables))
    assert repr(again) == repr(result)
    assert len(pickle.dumps(result)) < 50_000


def test_functions_are_named_and_told_apart(result, again):
    functions = {t.hparams["activation"] for t in again.trials}
    assert {f for f in functions if not isinstance(f, Named)} <= {nn.relu}
    assert len(functions) == len({t.hparams["activation"] for t in result.trials})
    assert len(again.records()) == 9
    again.plot_space()
    again.plot_curves()
    assert again._repr_html_()


@pytest.mark.parametrize(
    ("what", "call"),
    [
        ("predict", lambda r: r.best.predict(X)),
        ("test", lambda r: r.test()),
        ("gap", lambda r: r.gap()),
        ("refit", lambda r: r.refit()),
        ("model", lambda r: r.best.model),
    ],
)
def test_what_needs_the_task_says_how_to_give_it_back(again, what, call):
    with pytest.raises(ValueError, match=rf"{what}.* needs the task, .*result = result\.with_task\(task, space\)"):
        call(again)


def test_with_its_task_it_does_all_again(result, again):
    whole = again.with_task(task_of(), jt.constrain(SPACE, lambda hp: hp["lr"] < 0.09))
    np.testing.assert_array_equal(whole.best.predict(X), result.best.predict(X))
    assert whole.test() == result.test()
    one, other = (r.refit(steps=20, replicates=2).predict(X) for r in (whole, result))
    np.testing.assert_allclose(one, other, rtol=1e-5)  # on other devices, with other widths
    with pytest.raises(ValueError, match="needs the task"):
        again.test()  # this one stays as it was


@pytest.mark.parametrize(
    ("task", "words"),
    [
        (task_of(scale=2.0), "another (step|evaluate) function"),
        (task_of().replace(validation=(X[30:40] + 1, Y[30:40])), "validation data"),
        (task_of().replace(batch_size=5), "batch_size 10"),
    ],
    ids=["loss", "data", "batch size"],
)
def test_another_task_is_refused(again, task, words):
    with pytest.raises(ValueError, match=words):
        again.with_task(task, SPACE)


def test_it_serves_as_previous(again):
    more = tune(task_of(), SPACE, scheduler=jt.FullBudget(3, 20), replicates=2, previous=again, seed=1)
    assert len(more.trials) == 12
    assert more.trials[0].metrics == again.trials[0].metrics


def test_in_another_process(result, tmp_path):
    """One that has none of the functions that were defined here."""
    (tmp_path / "result.pkl").write_bytes(pickle.dumps(result))
    code = (
        "import pickle, sys; r = pickle.load(open(sys.argv[1], 'rb'));"
        "import jax; jax.config.update('jax_platforms', 'cpu');"
        "print(r.best.metrics['mae'], sorted(r.best.variables), len(r.records()))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "result.pkl")], capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == [str(result.best.metrics["mae"]), "['params']", "9"]


def test_trials_refits_and_copies(result):
    trial = pickle.loads(pickle.dumps(result.best))
    jax.tree.map(np.testing.assert_array_equal, trial.variables, result.best.variables)
    refit = result.refit()
    thin = pickle.loads(pickle.dumps(refit))
    jax.tree.map(np.testing.assert_array_equal, thin.variables, refit.variables)
    for call in (thin.test, lambda: thin.predict(X)):
        with pytest.raises(ValueError, match="needs the task"):
            call()
    np.testing.assert_array_equal(copy.deepcopy(result).best.predict(X), result.best.predict(X))


def test_states_of_ones_own():
    """Keys, structures that can't be pickled, folds."""

    class Local(dict):
        pass

    jax.tree_util.register_pytree_with_keys(
        Local, lambda d: ([(jax.tree_util.DictKey(k), d[k]) for k in sorted(d)], tuple(sorted(d))),
        lambda keys, values: Local(zip(keys, values, strict=True)),
    )  # fmt: skip
    task = jt.Task(
        init=lambda key, hp: Local(key=key, x=jnp.ones(2)),
        step=lambda key, s, batch, hp: (Local(key=s["key"], x=s["x"] * (1 - hp["lr"])), {}),
        evaluate=lambda key, s, data, hp: {"loss": jnp.sum(s["x"])},
    )
    result = tune(task, DESCENT_SPACE, scheduler=jt.FullBudget(3, 4))
    again = pickle.loads(pickle.dumps(result))
    assert any(np.array_equal(x, result.best.states["x"]) for x in again.best.states)
    whole = again.with_task(task, DESCENT_SPACE).best.state
    assert isinstance(whole, Local)
    assert whole["key"] == result.best.state["key"]


def test_results_of_other_schedulers():
    for scheduler in (jt.PopulationBasedTraining(4, 20, 10), jt.Hyperband(5, 20)):
        result = tune(DESCENT, DESCENT_SPACE, scheduler=scheduler, replicates=2)
        again = pickle.loads(pickle.dumps(result)).with_task(DESCENT, DESCENT_SPACE)
        jax.tree.map(np.testing.assert_array_equal, again.refit().states, result.refit().states)


def test_a_result_of_this_process_takes_another_task_too():
    """With test data, say; as often as one likes."""
    task, test = task_of(), (X[:7], Y[:7])
    result = tune(task, SPACE, scheduler=jt.FullBudget(2, 5))
    other = result.with_task(task.replace(test=test), SPACE)
    assert other.test()["mae"] == pytest.approx(float(np.mean(np.abs(other.best.predict(X[:7]) - Y[:7]))), rel=1e-5)
    again = other.with_task(task, SPACE)
    assert again.test() == result.test()
