"""Numbers that are narrowed on their way, or not: data, losses in half precision, metrics under x64, complex ones."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toys import DESCENT, DESCENT_SPACE, NET, NET_SPACE, tune

import jaxtune as jt

RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 3)).astype(np.float32)
LR = {"lr": jt.LogUniform(1e-2, 0.3)}


# Data


def summed(train):
    """A task that only looks at its data."""
    return jt.Task(
        init=lambda key, hp: jnp.float32(0),
        step=lambda key, w, batch, hp: (w + hp["lr"], {}),
        evaluate=lambda key, w, data, hp: {"loss": jnp.sum(data["x"]).astype(jnp.float32) + w},
        train={"x": train},
        validation={"x": train},
    )


BEYOND = {
    "int64": (np.array([1, 2**31]), "int64, of which JAX makes int32, and 1 values that don't fit it, 2147483648"),
    "below": (
        np.array([-(2**31) - 1, 0]),
        "int64, of which JAX makes int32, and 1 values that don't fit it, -2147483649",
    ),
    "uint64": (np.array([1, 2**32], np.uint64), "uint64, of which JAX makes uint32"),
    "float64": (np.array([1.0, 1e300, -1e39]), "float64, of which JAX makes float32, and 2 values"),
    "complex128": (np.array([1.0, 1e300j]), "complex128, of which JAX makes complex64"),
}


@pytest.mark.parametrize("kind", BEYOND)
def test_data_beyond_what_jax_uses_are_refused(kind, compiled):
    values, words = BEYOND[kind]
    with pytest.raises(ValueError, match=rf"train\['x'\] has dtype {words}"):
        tune(summed(values), DESCENT_SPACE, scheduler=jt.FullBudget(2, 2))
    assert not compiled


@pytest.mark.parametrize(
    "values",
    [
        np.array([2**31 - 1, -(2**31)]),
        np.array([2**32 - 1], np.uint64),
        np.array([1e38, 1e-300, 0.1]),
        np.array([7], np.int16),
    ],
    ids=["int64", "uint64", "float64", "int16"],
)
def test_what_fits_is_taken(values):
    assert tune(summed(values), DESCENT_SPACE, scheduler=jt.FullBudget(2, 2)).best.steps == 2


def test_under_x64_more_fits():
    with jax.enable_x64(True):
        best = tune(summed(np.array([2**40, 5])), DESCENT_SPACE, scheduler=jt.FullBudget(2, 2)).best
    assert best.metrics["loss"] == pytest.approx(2.0**40, rel=1e-6)


def test_all_that_a_user_hands_over_is_checked():
    task = NET.replace(validation=(NET.validation[0].astype(float) * 1e300, NET.validation[1]))
    with pytest.raises(ValueError, match=r"validation\[0\] has dtype float64"):
        tune(task, NET_SPACE, scheduler=jt.FullBudget(2, 2))
    with pytest.raises(ValueError, match=r"variables\['params'\].*values that don't fit"):
        supervised(variables={"params": {"kernel": np.full((3, 1), 1e300), "bias": np.zeros(1)}})


def supervised(model=None, **changes):
    given = {"loss": optax.squared_error, "train": (X, X[:, :1]), "validation": (X, X[:, :1]), "batch_size": 16}
    return jt.supervised(model or nn.Dense(1), optimizer=lambda hp: optax.sgd(hp["lr"]), **(given | changes))


# Half precision


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_values_per_example_are_averaged_in_single_precision(dtype):
    """A mean of 300 values of about 1 in bfloat16 has two digits; 300 of 300 are more than a float16 holds."""
    size = 300
    values = (1 + np.arange(size) / size).astype(np.float32) * (300 if dtype == jnp.float16 else 1)
    task = supervised(
        loss=lambda o, t: (0 * o[:, 0] + t).astype(dtype),
        metrics={"same": lambda o, t: (0 * o[:, 0] + t).astype(dtype)},
        train=(np.zeros((size, 3), np.float32), values), validation=(np.zeros((size, 3), np.float32), values),
        batch_size=size,
    )  # fmt: skip
    best = tune(task, LR, scheduler=jt.FullBudget(1, 1)).best
    exact = np.asarray(values, dtype).astype(np.float64).mean()
    for name in ("loss", "same", "train_loss"):
        assert best.metrics[name] == pytest.approx(exact, rel=1e-5), name


def test_trials_of_a_half_precision_model_do_not_tie():
    y = (X[:, 0] > 0).astype(np.int32)
    task = supervised(
        nn.Dense(2, dtype=jnp.bfloat16), loss=optax.softmax_cross_entropy_with_integer_labels,
        train=(X, y), validation=(X, y),
    )  # fmt: skip
    result = tune(task, {"lr": jt.LogUniform(0.3, 3.0)}, scheduler=jt.FullBudget(32, 100))
    assert len({trial.metrics["loss"] for trial in result.trials}) > 28


# Double precision


def valued(value):
    return jt.Task(
        init=lambda key, hp: jnp.zeros(()),
        step=lambda key, w, batch, hp: (w, {"value": value(hp["n"])}),
        evaluate=lambda key, w, data, hp: {"loss": w + value(hp["n"])},
    )


GRID = {"n": jt.Integer(0, 7, static=False)}


def test_under_x64_metrics_and_ranking_are_double():
    with jax.enable_x64(True):
        fine = tune(valued(lambda n: 1e6 - 0.01 * n), GRID, sampler=jt.Grid(), scheduler=jt.FullBudget(8, 2))
        large = tune(valued(lambda n: 1e39 - 1e38 * n), GRID, sampler=jt.Grid(), scheduler=jt.FullBudget(8, 2))
    assert fine.best.hparams["n"] == large.best.hparams["n"] == 7
    assert fine.best.metrics["loss"] == pytest.approx(1e6 - 0.07, rel=1e-13)
    assert fine.best.metrics["train_value"] == pytest.approx(1e6 - 0.07, rel=1e-13)
    assert {trial.status for trial in large.trials} == {"finished"}


@pytest.mark.parametrize("scheduler", [jt.SuccessiveHalving(8, 1, 8, eta=2), jt.PopulationBasedTraining(8, 4, 2)])
def test_under_x64_rungs_see_the_digits_too(scheduler):
    """Differences of 1e-9 are equal in single precision, where the lower id would go on."""
    with jax.enable_x64(True):
        task = valued(lambda n: 1 - 1e-9 * n)
        result = tune(task, GRID, sampler=jt.Grid(), scheduler=scheduler, replicates=2)
        run = jax.jit(lambda key: jt.search(key, task, GRID, sampler=jt.Grid(), scheduler=scheduler, replicates=2))
        outcome = run(jax.random.key(0))
        assert outcome.metrics["loss"].dtype == np.float64
    assert result.best.metrics["loss"] == pytest.approx(1 - 7e-9, abs=1e-12)
    assert int(outcome.best) == result.best.id


def test_without_x64_metrics_are_single():
    best = tune(valued(lambda n: 1e6 - 0.01 * n), GRID, sampler=jt.Grid(), scheduler=jt.FullBudget(8, 2)).best
    assert best.metrics["loss"] == np.float32(best.metrics["loss"])


# Complex numbers


class Complex(nn.Module):
    """The best weight is the mean of the targets."""

    @nn.compact
    def __call__(self, x):
        w = self.param("w", lambda key: jax.random.normal(key, (1,), jnp.complex64))
        scale = self.param("scale", nn.initializers.ones, (1,))
        return jnp.broadcast_to(w * scale, (x.shape[0], 1))


@pytest.mark.parametrize(
    "optimizer",
    [lambda hp: optax.sgd(hp["lr"]), lambda hp: optax.sgd(hp["lr"], momentum=0.5), lambda hp: optax.adam(hp["lr"])],
    ids=["sgd", "momentum", "adam"],
)
def test_complex_parameters_descend(optimizer):
    targets = np.full((16, 1), 1 + 2j, np.complex64)
    data = (np.zeros((16, 1), np.float32), targets)
    task = jt.supervised(
        Complex(), optimizer=optimizer, loss=lambda o, t: jnp.abs(o - t) ** 2, train=data, validation=data, batch_size=8
    )
    best = tune(task, {"lr": jt.LogUniform(2e-2, 0.2)}, scheduler=jt.FullBudget(4, 300)).best
    params = best.variables["params"]
    assert best.metrics["loss"] < 1e-3
    np.testing.assert_allclose(params["w"] * params["scale"], 1 + 2j, atol=0.05)
    np.testing.assert_allclose(best.predict(data[0])[0], 1 + 2j, atol=0.05)


def test_a_plain_loop_takes_the_same_steps():
    targets = np.full((8, 1), 1 + 2j, np.complex64)
    data = (np.zeros((8, 1), np.float32), targets)
    task = jt.supervised(
        Complex(), optimizer=optax.sgd(0.1), loss=lambda o, t: jnp.abs(o - t) ** 2, train=data, validation=data,
        batch_size=8, penalty=lambda params, hp: hp["l2"] * jt.penalties.l2(params) + 0.01 * jt.penalties.l1(params),
    )  # fmt: skip
    start, end = (tune(task, {"l2": 0.1}, scheduler=jt.FullBudget(1, n)).best.variables["params"] for n in (1, 6))

    def loss(params):
        error = jnp.mean(jnp.abs(Complex().apply({"params": params}, data[0]) - targets) ** 2)
        leaves = jax.tree.leaves(params)
        l2 = sum(jnp.sum(jnp.abs(x) ** 2) for x in leaves) / 2
        return error + 0.1 * l2 + 0.01 * sum(jnp.sum(jnp.abs(x)) for x in leaves)

    params = start
    for _ in range(5):
        params = jax.tree.map(lambda p, g: p - 0.1 * jnp.conj(g), params, jax.grad(loss)(params))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), params, end)


def test_penalties_of_complex_parameters_are_real():
    params = {"w": jnp.array([3 + 4j])}
    assert float(jt.penalties.l1(params)) == pytest.approx(5)
    assert float(jt.penalties.l2(params)) == pytest.approx(12.5)


def test_descent_is_as_ever():
    assert tune(DESCENT, DESCENT_SPACE, scheduler=jt.FullBudget(2, 5)).best.metrics["loss"] > 0
