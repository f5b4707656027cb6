"""Losses with traced strengths, against Optax."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from plain import TRAIN, VALIDATION, Net, descend, sgd
from toys import tune

import jaxtune as jt

RNG = np.random.default_rng(0)
LOGITS = 5 * RNG.normal(size=(7, 4, 10)).astype(np.float32)
TARGETS = RNG.integers(0, 10, (7, 4))


def smoothed(logits, targets, smoothing):
    labels = optax.smooth_labels(jax.nn.one_hot(targets, logits.shape[-1]), smoothing)
    return optax.softmax_cross_entropy(logits, labels)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5, 1.0])
def test_cross_entropy_equals_optax(smoothing):
    expected = smoothed(LOGITS, TARGETS, smoothing)
    for value in (
        jt.losses.cross_entropy(LOGITS, TARGETS, smoothing),
        jax.jit(jt.losses.cross_entropy)(LOGITS, TARGETS, smoothing),
    ):
        np.testing.assert_allclose(value, expected, rtol=1e-5)
    gradients = [
        jax.grad(lambda x, f=f: f(x, TARGETS, smoothing).sum())(LOGITS) for f in (jt.losses.cross_entropy, smoothed)
    ]
    np.testing.assert_allclose(*gradients, atol=1e-6)


def test_cross_entropy_without_smoothing_is_that_of_integer_labels():
    expected = optax.softmax_cross_entropy_with_integer_labels(LOGITS, TARGETS)
    np.testing.assert_allclose(jt.losses.cross_entropy(LOGITS, TARGETS), expected, rtol=1e-5, atol=1e-6)


def test_cross_entropy_keeps_the_dtype_of_the_logits():
    half = LOGITS.astype(jnp.bfloat16)
    for smoothing in (0.1, jnp.float32(0.1)):
        assert jt.losses.cross_entropy(half, TARGETS, smoothing).dtype == jnp.bfloat16


def test_large_logits_stay_finite():
    value = jt.losses.cross_entropy(jnp.array([[1e4, 0.0, -1e4]]), jnp.array([0]), 0.3)
    np.testing.assert_allclose(value, [0.3 * 1e4], rtol=1e-6)


def test_label_smoothing_is_a_hyperparameter():
    task = jt.supervised(
        Net(),
        optimizer=sgd,
        loss=lambda outputs, targets, hp: jt.losses.cross_entropy(outputs, targets, hp["smoothing"]),
        metrics={"accuracy": jt.metrics.accuracy},
        train=TRAIN,
        validation=VALIDATION,
        batch_size=24,
    )
    space = {"lr": 0.1, "smoothing": jt.Uniform(0.0, 0.5)}
    result = tune(task, space, scheduler=jt.FullBudget(2, 20), metric="accuracy", mode="max")
    assert len({trial.metrics["loss"] for trial in result.trials}) == 2
    for trial in result.trials:
        smoothing = trial.hparams["smoothing"]

        def objective(params, step, smoothing=smoothing):
            return smoothed(Net().apply(params, TRAIN[0]), TRAIN[1], smoothing).mean()

        params = descend(objective, Net().init(jax.random.key(0), TRAIN[0]), sgd(trial.hparams), 20)
        expected = smoothed(Net().apply(params, VALIDATION[0]), VALIDATION[1], smoothing).mean()
        np.testing.assert_allclose(trial.metrics["loss"], expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ((LOGITS, TARGETS.astype(np.float32)), TypeError, "needs class indices as integer targets, got float32"),
        ((LOGITS, TARGETS[:, :2]), ValueError, r"got \(7, 4, 10\) and \(7, 2\)"),
        ((TARGETS, TARGETS), ValueError, "needs outputs"),
        ((LOGITS, TARGETS, 1.5), ValueError, r"needs label_smoothing in \[0, 1\], got 1.5"),
        ((LOGITS, TARGETS, -0.1), ValueError, "got -0.1"),
    ],
    ids=["float targets", "shapes", "swapped", "too high", "negative"],
)
def test_wrong_arguments_are_refused(arguments, error, says):
    with pytest.raises(error, match=says):
        jt.losses.cross_entropy(*arguments)
