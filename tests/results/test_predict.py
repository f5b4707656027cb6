"""`predict`: raw inputs in, outputs in the unit of the targets out."""

import warnings

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
import pytest
from flax import nnx
from toys import DESCENT, DESCENT_SPACE, tune

import jaxtune as jt

RNG = np.random.default_rng(0)
X = RNG.normal(3, 2, size=(60, 4)).astype(np.float32)
Y = (X @ np.array([[10.0], [-20.0], [5.0], [0.0]], np.float32) + 40).astype(np.float32)
SPACE = {"lr": jt.LogUniform(1e-2, 0.1)}
SHORT = jt.FullBudget(3, 60)


class Linen(nn.Module):
    """Batch statistics and dropout, so that evaluation mode matters."""

    @nn.compact
    def __call__(self, x, train=False):
        x = nn.BatchNorm(use_running_average=not train, momentum=0.9)(nn.Dense(8)(x))
        return nn.Dense(1)(nn.Dropout(0.2, deterministic=not train)(nn.tanh(x)))


class Nnx(nnx.Module):
    def __init__(self, hp, *, rngs):
        self.first, self.last = nnx.Linear(4, 8, rngs=rngs), nnx.Linear(8, 1, rngs=rngs)
        self.norm, self.dropout = nnx.BatchNorm(8, rngs=rngs), nnx.Dropout(0.2, rngs=rngs)

    def __call__(self, x):
        return self.last(self.dropout(nnx.tanh(self.norm(self.first(x)))))


def task_of(model, **changes):
    given = {
        "train": (X[:40], Y[:40]),
        "validation": (X[40:], Y[40:]),
        "test": (X[40:], Y[40:]),
        "preprocess": jt.standardize(targets=True),
        "metrics": {"mae": jt.metrics.mae},
        "batch_size": 16,
    } | changes
    return jt.supervised(model, optimizer=lambda hp: optax.adam(hp["lr"]), loss=optax.squared_error, **given)


@pytest.fixture(scope="module", params=[Linen(), Nnx], ids=["linen", "nnx"])
def result(request):
    return tune(task_of(request.param), SPACE, scheduler=SHORT, replicates=2)


def test_frames_and_lists_will_do(result):
    expected = result.best.predict(X[40:43])
    for inputs in (pd.DataFrame(X[40:43]), X[40:43].tolist(), X[40:43].astype(">f4")):
        np.testing.assert_array_equal(result.best.predict(inputs), expected)


def test_labels_of_64_bits_warn_of_nothing():
    labels = np.arange(60) % 3
    task = jt.supervised(
        nn.Dense(3), optimizer=lambda hp: optax.sgd(hp["lr"]), batch_size=16, train=(X, labels), validation=(X, labels),
        loss=optax.softmax_cross_entropy_with_integer_labels,
    )  # fmt: skip
    best = tune(task, SPACE, scheduler=jt.FullBudget(2, 2)).best
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert best.predict(X[:5]).shape == (5, 3)


def error(predicted):
    return np.abs(predicted - Y[40:]).mean()


def test_each_replicate_predicts_what_was_evaluated(result):
    for number, mae in enumerate(result.best.replicates["mae"]):
        predicted = result.best.predict(X[40:], replicate=number)
        assert isinstance(predicted, np.ndarray)
        assert predicted.shape == (20, 1)
        assert error(predicted) == pytest.approx(mae, rel=1e-4)


def test_the_default_is_the_mean_over_replicates(result):
    both = [result.best.predict(X, replicate=number) for number in (0, 1)]
    np.testing.assert_allclose(result.best.predict(X), np.mean(both, axis=0), rtol=1e-5)
    combined = result.best.predict(X, combine=lambda outputs: jax.nn.sigmoid(outputs / 40))
    np.testing.assert_allclose(combined, np.mean([jax.nn.sigmoid(b / 40) for b in both], axis=0), rtol=1e-5)


def test_without_preprocessing_it_would_be_wrong(result):
    """What `model.apply` gives, and what README and notebooks therefore don't teach."""
    assert error(result.best.predict(X[40:])) < 20
    assert np.abs(Y).mean() > 20


@pytest.mark.parametrize("count", [1, 16, 17, 40])
def test_batches_do_not_matter(result, count):
    whole = result.best.predict(X[:40])
    np.testing.assert_allclose(result.best.predict(X[:count]), whole[:count], rtol=1e-5, atol=1e-5)


def test_a_refit_predicts_with_statistics_of_all_its_data(result):
    again = result.refit(replicates=2)
    mean = np.mean([error(again.predict(X[40:], replicate=number)) for number in (0, 1)])
    assert mean == pytest.approx(again.test()["mae"], rel=1e-4)
    assert error(again.predict(X[40:])) <= mean + 1e-3  # of convex errors the mean's is the least


def test_folds_predict_with_the_statistics_of_their_own_training_parts():
    shifted = X + np.arange(60, dtype=np.float32)[:, None]  # folds differ in their means
    task = task_of(Linen(), train=(shifted, Y), validation=None, test=None)
    folds = [(np.arange(20, 60), np.arange(20)), (np.arange(40), np.arange(40, 60))]
    best = tune(task, SPACE, scheduler=SHORT, folds=folds).best
    each = []
    for (train, validation), mae in zip(folds, best.replicates["mae"][0], strict=True):
        alone = task.replace(train=(shifted[train], Y[train]), validation=(shifted[validation], Y[validation]))
        del alone
        each.append((validation, mae))
    outputs = [best._trained._outputs(run, shifted) for run in (0, 1)]
    for predicted, (validation, mae) in zip(outputs, each, strict=True):
        assert np.abs(predicted[validation] - Y[validation]).mean() == pytest.approx(mae, rel=1e-4)
    np.testing.assert_allclose(best.predict(shifted), np.mean(outputs, axis=0), rtol=1e-5)


def test_winners_of_nested_predict():
    task = task_of(Linen(), train=(X, Y), validation=None, test=None)
    for refit in (None, 1):
        outer = jt.nested(task, SPACE, splits=2, refit=refit, scheduler=SHORT, progress=False)
        assert [winner.predict(X[:3]).shape for winner in outer.winners] == [(3, 1)] * 2


class Two(nn.Module):
    """Pytrees in and out."""

    @nn.compact
    def __call__(self, inputs):
        both = jnp.concatenate([inputs["a"], inputs["b"]], axis=1)
        return {"first": nn.Dense(1)(both), "second": nn.Dense(2)(both)}


def test_pytrees():
    inputs = {"a": X[:, :1], "b": X[:, 1:]}
    targets = {"first": Y, "second": np.concatenate([Y, -Y], axis=1)}
    task = jt.supervised(
        Two(), optimizer=lambda hp: optax.adam(hp["lr"]), preprocess=jt.standardize(targets=True), batch_size=16,
        loss=lambda o, t: (o["first"] - t["first"])[:, 0] ** 2 + jnp.sum((o["second"] - t["second"]) ** 2, axis=1),
        train=(inputs, targets), validation=(inputs, targets),
    )  # fmt: skip
    predicted = tune(task, SPACE, scheduler=jt.FullBudget(2, 400)).best.predict({"a": X[:7, :1], "b": X[:7, 1:]})
    assert jax.tree.map(np.shape, predicted) == {"first": (7, 1), "second": (7, 2)}
    np.testing.assert_allclose(predicted["first"], Y[:7], atol=15)


def test_hyperparameters_of_the_trial_are_in_force():
    """Traced and static ones."""
    task = jt.supervised(
        lambda hp: nn.Sequential([nn.Dense(hp["width"]), lambda x: hp["gain"] * x, nn.Dense(1)]),
        optimizer=lambda hp: optax.sgd(1e-3), loss=optax.squared_error, batch_size=16,
        train=(X[:40], Y[:40]), validation=(X[40:], Y[40:]),
    )  # fmt: skip
    best = tune(task, {"width": jt.Choice([3, 5]), "gain": jt.Uniform(0.1, 1.0)}, scheduler=jt.FullBudget(4, 10)).best
    loss = np.mean((best.predict(X[40:]) - Y[40:]) ** 2)
    assert loss == pytest.approx(best.metrics["loss"], rel=1e-4)


def test_preprocessing_of_ones_own_needs_no_targets():
    logarithm = jt.Preprocess(
        fit=lambda train: jnp.mean(train[0], axis=0),
        apply=lambda mean, pair: (pair[0] - mean, jnp.log(pair[1])),
        invert=lambda mean, outputs: jnp.exp(outputs),
    )
    positive = np.exp(Y / 40)
    task = task_of(Linen(), train=(X, positive), validation=(X, positive), preprocess=logarithm, test=None)
    best = tune(task, SPACE, scheduler=SHORT).best
    assert np.abs(best.predict(X) - positive).mean() == pytest.approx(best.metrics["mae"], rel=1e-4)


def test_inputs_that_are_made_from_targets_are_refused():
    leaky = jt.Preprocess(fit=lambda train: 0.0, apply=lambda stats, pair: (pair[0] + pair[1], pair[1]))
    best = tune(task_of(Linen(), preprocess=leaky), SPACE, scheduler=jt.FullBudget(1, 5)).best
    with pytest.raises(ValueError, match="preprocess.apply makes the inputs from them too"):
        best.predict(X)


def test_standardize_works_on_unlabelled_data():
    preprocess = jt.standardize(targets=True)
    stats = preprocess.fit((X, Y))
    inputs, targets = preprocess.apply(stats, (X, None))
    assert targets is None
    np.testing.assert_array_equal(inputs, preprocess.apply(stats, (X, Y))[0])


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda best: best.predict(X[0]), ValueError, r"raw inputs like those of train, \[N, 4\], got \[N\]"),
        (lambda best: best.predict({"x": X}), ValueError, "raw inputs like those of train"),
        (lambda best: best.predict(X[:0]), ValueError, "inputs is empty"),
        (lambda best: best.predict([["a"]]), TypeError, "must be an array .* pass numpy.asarray"),
        (lambda best: best.predict("x"), TypeError, "must be an array"),
        (lambda best: best.predict(X, replicate=2), ValueError, "replicate must be a whole number >= 0 and <= 1"),
        (lambda best: best.predict(np.full((3, 4), 1e300)), ValueError, "values that don't fit"),
        (lambda best: best.predict(X, combine=lambda outputs: outputs > 0), TypeError, "give it a combine="),
    ],
    ids=["one example", "structure", "empty", "lists", "text", "replicate", "range", "no floats"],
)
def test_bad_calls(result, call, error, words):
    with pytest.raises(error, match=words):
        call(result.best)


def test_who_has_no_weights_says_so(result):
    with pytest.raises(ValueError, match=r"needs trained weights, and trial \d \(finished\) has none here"):
        result.ranking[-1].predict(X)
    with pytest.raises(ValueError, match="needs a task made by jt.supervised"):
        tune(DESCENT, DESCENT_SPACE, scheduler=SHORT).best.predict(X)
