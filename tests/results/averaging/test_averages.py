"""Predictions of several replicates as one, and the metrics of that, against plain numpy."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import optax
import pytest
from counting import COUNTING, IDS, LR
from flax import nnx
from toys import ONE, tune

import jaxtune as jt
from jaxtune.results.averaging.averages import Combine, both_ways, mean, names_of_averages, with_averages

RNG = np.random.default_rng(0)
X = RNG.normal(3, 2, size=(70, 4)).astype(np.float32)
Y = (X @ np.array([[10.0], [-20.0], [5.0], [0.0]], np.float32) + 40).astype(np.float32)
LABELS = np.argmax(X[:, :3] + RNG.normal(size=(70, 3)), axis=1).astype(np.int32)
SPACE = {"lr": jt.LogUniform(1e-2, 0.1)}
SHORT = jt.FullBudget(2, 15)


class Linen(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(1)(nn.tanh(nn.Dense(8)(x)))


class Classifier(nnx.Module):
    def __init__(self, hp, *, rngs):
        self.first, self.last = nnx.Linear(4, 8, rngs=rngs), nnx.Linear(8, 3, rngs=rngs)
        self.norm = nnx.BatchNorm(8, rngs=rngs)

    def __call__(self, x):
        return self.last(nnx.tanh(self.norm(self.first(x))))


class Two(nn.Module):
    """Several outputs, one of which the metrics see in another unit."""

    @nn.compact
    def __call__(self, x):
        return nn.Dense(1)(x), {"more": nn.Dense(2)(x)}


def two_errors(outputs, targets):
    return (outputs[0] - targets[0])[:, 0] ** 2 + jnp.sum((outputs[1]["more"] - targets[1]["more"]) ** 2, axis=1)


def mistakes(outputs, targets):
    return (jnp.argmax(outputs, axis=-1) != targets).astype(jnp.float32)


def largest(outputs, targets):
    """One value for the split."""
    return jnp.max(jnp.abs(outputs - targets))


def task_of(kind, **changes):
    optimizer, sizes = (lambda hp: optax.adam(hp["lr"])), (slice(40), slice(40, 50), slice(50, 70))
    targets = {"regression": Y, "classes": LABELS, "two": (Y, {"more": np.concatenate([Y, -Y], axis=1)})}[kind]
    train, validation, test = (jax.tree.map(lambda x, s=s: x[s], (X, targets)) for s in sizes)
    model, loss, metrics, preprocess = {
        "regression": (Linen(), optax.squared_error, {"mae": jt.metrics.mae, "largest": largest}, True),
        "classes": (Classifier, optax.softmax_cross_entropy_with_integer_labels, {"mistakes": mistakes}, False),
        "two": (Two(), two_errors, {"sum": two_errors}, True),
    }[kind]
    given = {"metrics": metrics, "preprocess": jt.standardize(targets=preprocess), "batch_size": 16} | changes
    return jt.supervised(model, optimizer=optimizer, loss=loss, train=train, validation=validation, test=test, **given)


KINDS = {kind: task_of(kind) for kind in ("regression", "classes", "two")}
TEST = slice(50, 70)


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def refit(kind):
    return tune(KINDS[kind], SPACE, scheduler=SHORT).refit(replicates=3)


# The seam: metrics of given outputs


def started(task, seed):
    """A state, and what `evaluate` takes besides."""
    named = {"step": jnp.int32(0), "total_steps": jnp.int32(1)}
    hp, key = {"lr": 0.1}, jax.random.key(seed)
    return key, task.init(key, hp, **named), {"hp": hp, "stats": jax.jit(task.prepare)(task.train), **named}


def stacked(states):
    return jax.tree.map(lambda *x: jnp.stack(x), *states)


def test_metrics_of_outputs_are_those_of_the_model(kind):
    task = KINDS[kind]
    key, state, named = started(task, 0)
    expected = jax.jit(lambda: task.evaluate(key, state, task.test, **named))()
    outputs = jax.jit(lambda: task.evaluation.seen_outputs_of(key, state, task.test, **named))()
    del named["hp"]
    got = jax.jit(lambda: task.evaluation.of_outputs(outputs, task.test, **named))()
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        assert float(got[name]) == pytest.approx(float(value), rel=1e-6), name


@pytest.mark.parametrize("combine", [None, (jnp.cbrt, lambda x: x**3)], ids=["outputs", "pair"])
def test_the_average_of_equal_models_is_each_of_them(combine):
    task = KINDS["regression"]
    key, state, named = started(task, 0)
    each = [
        jax.jit(task.evaluation.of_average, static_argnames="combine")(
            jnp.stack([key] * num), stacked([state] * num), task.test, combine=combine, **named
        )
        for num in (1, 3, 7)
    ]
    for more in each[1:]:  # to the last digit, but for what combine makes of it
        assert {name: float(x) for name, x in more.items()} == pytest.approx(
            {name: float(x) for name, x in each[0].items()}, rel=0 if combine is None else 1e-6, abs=0
        )
    one = jax.jit(lambda: task.evaluate(key, state, task.test, **named))()
    for name, value in one.items():
        assert float(each[0][name]) == pytest.approx(float(value), rel=1e-6 if combine is None else 1e-4), name


def test_a_loss_that_needs_hyperparameters_is_not_told_of_outputs():
    task = task_of("regression")
    recipe = task.evaluation.recipe
    other = jt.supervised(
        Linen(), optimizer=recipe.optimizer, loss=lambda o, t, hp: hp["lr"] * (o - t) ** 2, batch_size=16,
        metrics={"mae": jt.metrics.mae}, preprocess=jt.standardize(), train=task.train, validation=task.validation,
    )  # fmt: skip
    key, state, named = started(other, 0)
    outputs = other.evaluation.seen_outputs_of(key, state, other.validation, **named)
    assert outputs[1] is None  # nothing changes the unit
    del named["hp"]
    assert set(other.evaluation.of_outputs(outputs, other.validation, **named)) == {"mae"}


# Refits


def reference(kind, task, each, combine=None):
    """Loss and metrics of averaged outputs, by numpy."""
    averaged = jax.tree.map(lambda *x: np.mean(np.stack(x).astype(np.float64), axis=0), *each)
    targets = jax.tree.map(lambda x: x[TEST], (Y, {"more": np.concatenate([Y, -Y], axis=1)}) if kind == "two" else Y)
    std = Y[:50].std()
    if kind == "regression":
        errors = averaged - targets
        return {"loss": np.mean((errors / std) ** 2), "mae": np.mean(np.abs(errors)), "largest": np.abs(errors).max()}
    if kind == "two":
        total = float(np.mean(two_errors(averaged, targets)))
        return {"loss": total / std**2, "sum": total}
    logits = averaged - np.log(np.exp(averaged).sum(axis=1, keepdims=True))
    labels = LABELS[TEST]
    return {
        "loss": -np.mean(logits[np.arange(20), labels]),
        "mistakes": np.mean(np.argmax(averaged, axis=1) != labels),
    }


def test_a_refit_is_tested_as_it_predicts(kind, refit):
    tested = refit.test()
    each = [refit.predict(X[TEST], replicate=number) for number in range(3)]
    expected = reference(kind, KINDS[kind], each)
    assert {name for name in tested if name.endswith("_of_average")} == {f"{name}_of_average" for name in expected}
    for name, value in expected.items():
        assert tested[f"{name}_of_average"] == pytest.approx(value, rel=1e-4), name
        assert tested[f"{name}_se"] > 0 or name == "mistakes"
    assert tested["loss_of_average"] < tested["loss"]  # both losses are convex


def test_mean_probabilities():
    refit = tune(KINDS["classes"], SPACE, scheduler=SHORT).refit(replicates=3)
    pair = (jax.nn.softmax, jnp.log)
    each = [np.asarray(jax.nn.softmax(refit.predict(X[TEST], replicate=number))) for number in range(3)]
    probabilities = np.mean(each, axis=0)
    np.testing.assert_allclose(np.exp(refit.predict(X[TEST], combine=pair)), probabilities, rtol=1e-5)
    np.testing.assert_allclose(refit.predict(X[TEST], combine=jax.nn.softmax), probabilities, rtol=1e-5)
    tested = refit.test(combine=pair)
    expected = -np.mean(np.log(probabilities[np.arange(20), LABELS[TEST]]))
    assert tested["loss_of_average"] == pytest.approx(expected, rel=1e-5)
    assert tested["loss"] == refit.test()["loss"]
    assert tested["loss_of_average"] != pytest.approx(refit.test()["loss_of_average"], rel=1e-4)
    alone = refit.predict(X[TEST], replicate=0, combine=pair)
    np.testing.assert_allclose(alone, np.log(each[0]), rtol=1e-4, atol=1e-6)


def test_averages_are_part_of_one_look_at_the_test_split():
    result = tune(KINDS["regression"], SPACE, scheduler=SHORT)
    refit = result.refit(replicates=2)
    with pytest.raises(TypeError, match="pair"):
        refit.test(combine=jnp.exp)
    assert result.num_tests == 0
    refit.test()
    assert result.num_tests == 1


def test_nothing_is_added_without_several_replicates_or_outputs():
    assert "loss_of_average" not in tune(KINDS["regression"], SPACE, scheduler=SHORT).refit().test()
    plain = COUNTING.replace(train=IDS[:25], validation=IDS[25:35], test=IDS[35:])
    tested = tune(plain, LR, scheduler=jt.FullBudget(2, 10)).refit(replicates=2).test()
    assert not [name for name in tested if "of_average" in name]


class Rounding(nn.Module):
    """Outputs of floats and of whole numbers."""

    @nn.compact
    def __call__(self, x):
        outputs = nn.Dense(1)(x)
        return outputs, outputs.astype(jnp.int32)


def test_outputs_that_are_no_floats():
    task = jt.supervised(
        Rounding(), optimizer=lambda hp: optax.sgd(hp["lr"]), loss=lambda o, t: (o[0] - t) ** 2, batch_size=16,
        train=(X[:40], Y[:40]), validation=(X[40:50], Y[40:50]), test=(X[50:], Y[50:]),
        metrics={"rounded": lambda o, t: jnp.abs(o[1] - t)},
    )  # fmt: skip
    refit = tune(task, {"lr": 1e-3}, scheduler=jt.FullBudget(1, 10)).refit(replicates=2)
    assert set(refit.test()) == {"loss", "loss_se", "rounded", "rounded_se"}
    as_floats = (lambda o: (o[0], o[1].astype(jnp.float32)), lambda o: (o[0], jnp.round(o[1])))
    each = [refit.predict(X[TEST], replicate=number)[1] for number in (0, 1)]
    expected = np.mean(np.abs(np.round(np.mean(each, axis=0)) - Y[TEST]))
    assert refit.test(combine=as_floats)["rounded_of_average"] == pytest.approx(expected, rel=0.02)
    with pytest.raises(TypeError, match="combine must make floats"):
        refit.test(combine=(lambda o: o, lambda o: o))


@pytest.mark.parametrize(
    ("combine", "words"),
    [
        (jax.nn.softmax, r"test\(\) computes metrics, which take outputs: give combine= a pair"),
        ((jnp.exp,), "combine must be a function of outputs or a pair"),
        ((jnp.exp, 3), "combine must be a function of outputs or a pair"),
        ("softmax", "got 'softmax'"),
        ((jnp.exp, lambda x: x[:, 0]), r"give back what is like the outputs, \[N, 1\], got \[N\]"),
        ((np.asarray, jnp.log), "combine needs the values of its arguments, but it is compiled"),
    ],
    ids=["one function", "one", "no function", "text", "shape", "numpy"],
)
def test_bad_pairs(combine, words):
    refit = tune(KINDS["regression"], SPACE, scheduler=SHORT).refit(replicates=2)
    with pytest.raises(TypeError, match=words):
        refit.test(combine=combine)


# Nested


def test_nested_reports_both():
    task = task_of("regression").replace(train=(X, Y), validation=None, test=None)
    outer = jt.nested(task, SPACE, splits=2, refit=2, scheduler=SHORT, placement=ONE, progress=False)
    names = [name + end for name in ("largest", "loss", "mae") for end in ("", "_of_average")]
    assert list(outer.scores) == names
    assert [result.num_tests for result in outer.results] == [1, 1]
    for winner, result, value in zip(outer.winners, outer.results, outer.scores["mae_of_average"], strict=True):
        inputs, targets = result.winner.task.test
        assert value == pytest.approx(np.mean(np.abs(winner.predict(inputs) - targets)), rel=1e-4)
    assert f"mae_of_average {outer.mean['mae_of_average']:.4g}" in str(outer)
    assert "mae\\_of\\_average" in outer.to_latex()
    assert outer.records()[1]["loss_of_average"] == outer.scores["loss_of_average"][1]
    assert set(outer.to_dataframe().columns) == {"split", "lr", *names}


# Names and means


def test_no_name_hides_another():
    assert names_of_averages(["loss", "loss_of_average"]) == {
        "loss": "average_loss_of_average",
        "loss_of_average": "loss_of_average_of_average",
    }
    values = {"loss": 1.0, "loss_of_average": 2.0}
    assert with_averages(values, values, {"loss": 0.5}) == values | {"average_loss_of_average": 0.5}


def test_means():
    first, second = np.array([1.0, -np.inf, 3.0], np.float32), np.array([2.0, -np.inf, np.inf], np.float32)
    np.testing.assert_array_equal(mean([first, second]), [1.5, -np.inf, np.inf])
    np.testing.assert_allclose(mean([first[:1], second[:1]], [0.25, 0.75]), [1.75])
    np.testing.assert_array_equal(mean([first, second], [1.0, 0.0]), first)  # 0 * inf would be NaN
    numbers = RNG.normal(size=1000).astype(np.float32)
    for count in (3, 7):
        np.testing.assert_array_equal(mean([numbers] * count), numbers)
    assert mean([{"a": numbers}, {"a": numbers}])["a"].dtype == np.float32
    half = np.array([1.0, 1.0078125], ml_dtypes.bfloat16)
    assert mean([half[:1], half[1:]]).dtype == np.float32
    assert mean([half[:1], half[1:]]) == np.float32(1.00390625)
    np.testing.assert_array_equal(mean([np.array([1 + 2j]), np.array([3 + 0j])]), [2 + 1j])


def test_what_a_combine_may_be():
    assert Combine.of(None) == (None, None)
    assert Combine.of([jnp.exp, jnp.log]) == (jnp.exp, jnp.log)
    assert both_ways("test()", None) is None
    assert Combine.of((jnp.exp, jnp.log)).outputs(np.ones(2)).tolist() == [0.0, 0.0]
