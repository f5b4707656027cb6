"""Metrics that are NaN while losses are finite: said, ranked last, and no divergence."""

import warnings

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toys import DESCENT_SPACE, tune

import jaxtune as jt
from jaxtune.tasks.folds import make_folds

X = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
LR = {"lr": jt.LogUniform(1e-3, 0.3)}
SHORT = jt.FullBudget(3, 10)


def auc(outputs, targets):
    return jt.metrics.auc(outputs, targets.astype(int))


def recall(outputs, targets):
    """0 / 0 without positives."""
    return jnp.sum((outputs[:, 1] > outputs[:, 0]) & (targets == 1)) / jnp.sum(targets == 1)


def correlation(outputs, targets):
    """Of constants there is none."""
    a, b = outputs[:, 0] - outputs[:, 0].mean(), targets - targets.mean()
    return jnp.mean(a * b) / jnp.sqrt(jnp.mean(a**2) * jnp.mean(b**2))


METRICS = {"auc": auc, "recall": recall, "correlation": correlation}


def task_of(metric, y, validation=None, test=None):
    return jt.supervised(
        nn.Dense(2),
        optimizer=lambda hp: optax.sgd(hp["lr"]),
        loss=lambda o, t: optax.softmax_cross_entropy_with_integer_labels(o, t.astype(int)),
        metrics={metric: METRICS[metric]},
        batch_size=16,
        train=(X, y),
        validation=None if validation is None else (X[: len(validation)], validation),
        test=None if test is None else (X[: len(test)], test),
    )


FEW = (np.arange(60) < 2).astype(int)  # positives, for three folds
MANY = (np.arange(60) < 12).astype(int)


@pytest.mark.parametrize("metric", METRICS)
def test_a_fold_without_positives_is_named_before_the_search(metric, compiled):
    seen = []
    with pytest.warns(
        UserWarning, match=rf"'{metric}' is undefined \(NaN\) in fold \d of 3, whatever .* no trial can"
    ) as w:
        result = tune(
            task_of(metric, FEW), LR, scheduler=SHORT, folds=3, metric=metric, mode="max",
            callback=lambda r: seen.append(r),
        )  # fmt: skip
    assert len(w) == 1  # not again after the first evaluation
    assert {trial.status for trial in result.trials} == {"finished"}
    assert np.isnan(result.trials[0].replicates[metric]).sum() == 1
    assert np.isfinite(result.trials[0].metrics["loss"])
    with pytest.raises(
        ValueError, match=rf"none has a finite '{metric}': it is undefined .* in fold \d of 3 for 3 of 3"
    ):
        _ = result.best
    assert "0 diverged" not in repr(result)
    assert "diverged" not in repr(result)


@pytest.mark.parametrize("metric", METRICS)
def test_nothing_is_said_where_it_is_defined(metric):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = tune(task_of(metric, MANY), LR, scheduler=SHORT, folds=3, metric=metric, mode="max")
    assert np.isfinite(result.best.metrics[metric])


def test_validation_and_test_data_are_named():
    task = task_of("auc", MANY, validation=np.zeros(20, int), test=np.ones(20, int))
    with pytest.warns(UserWarning, match="in the validation data and the test data, whatever the model; no trial can"):
        tune(task, LR, scheduler=SHORT, metric="auc", mode="max")
    task = task_of("auc", MANY, validation=MANY[:20], test=np.ones(20, int))
    with pytest.warns(UserWarning, match="in the test data, whatever the model: are all"):
        assert np.isfinite(tune(task, LR, scheduler=SHORT, metric="auc", mode="max").best.metrics["auc"])


def test_a_metric_that_takes_probabilities_is_not_called_undefined():
    """Random outputs are no probabilities, which says nothing about the data."""

    def log_odds(outputs, targets):
        return jnp.mean(jnp.log(outputs[:, 1]) - jnp.log(outputs[:, 0])) + 0 * jnp.sum(targets)

    task = jt.supervised(
        lambda hp: nn.Sequential([nn.Dense(2), nn.softmax]), optimizer=lambda hp: optax.sgd(hp["lr"]),
        loss=lambda o, t: -jnp.log(o[jnp.arange(len(t)), t]), metrics={"odds": log_odds}, batch_size=16,
        train=(X, MANY), validation=(X[:20], MANY[:20]),
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isfinite(tune(task, LR, scheduler=SHORT, metric="odds", mode="max").best.metrics["odds"])


def own(value, loss=lambda w: w):
    """A task whose metric is `value(lr)`."""
    return jt.Task(
        init=lambda key, hp: jnp.float32(1),
        step=lambda key, w, batch, hp: (w * 0.9, {}),
        evaluate=lambda key, w, data, hp: {"loss": loss(w), "score": value(hp["lr"])},
    )


SCORE = {"metric": "score", "mode": "max"}


def test_a_task_of_ones_own_is_told_after_the_first_evaluation():
    """Some trials have a value and win; the others are finished, not diverged."""
    task = own(lambda lr: jnp.where(lr < 1e-3, jnp.nan, lr))
    with pytest.warns(
        UserWarning, match=r"'score' is undefined \(NaN\) for \d of 8 trials, though losses are finite"
    ) as w:
        result = tune(task, DESCENT_SPACE, scheduler=jt.SuccessiveHalving(8, 5, 10, eta=2), **SCORE)
    assert len(w) == 1
    assert result.best.metrics["score"] > 1e-3
    assert not any("diverged" in trial.status for trial in result.trials)
    undefined = [trial for trial in result.trials if np.isnan(trial.metrics["score"])]
    assert undefined
    assert all(trial.status == "pruned at step 5" for trial in undefined)


@pytest.mark.parametrize(
    ("value", "loss", "diverged"),
    [
        (lambda lr: jnp.inf + lr, lambda w: w, True),  # that is no missing class
        (lambda lr: jnp.nan + lr, lambda w: w * jnp.nan, True),
        (lambda lr: jnp.nan + lr, lambda w: w * jnp.inf, True),
        (lambda lr: jnp.nan + lr, lambda w: w, False),
    ],
    ids=["inf", "loss is NaN", "loss is inf", "undefined"],
)
def test_divergence_is_something_else(value, loss, diverged):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = tune(own(value, loss), DESCENT_SPACE, scheduler=jt.FullBudget(2, 5), **SCORE)
    assert {trial.status for trial in result.trials} == {"diverged at step 4" if diverged else "finished"}


def test_without_a_loss_nobody_can_tell():
    task = jt.Task(
        init=lambda key, hp: jnp.float32(1),
        step=lambda key, w, batch, hp: (w, {}),
        evaluate=lambda key, w, data, hp: {"score": jnp.where(hp["lr"] < 1e-3, jnp.nan, hp["lr"])},
    )
    result = tune(task, DESCENT_SPACE, scheduler=jt.FullBudget(8, 5), **SCORE)
    assert {trial.status for trial in result.trials} == {"diverged at step 4", "finished"}


def test_search_agrees():
    import jax

    task = own(lambda lr: jnp.where(lr < 1e-3, jnp.nan, lr))
    halving = jt.SuccessiveHalving(8, 5, 10, eta=2)
    outcome = jax.jit(lambda key: jt.search(key, task, DESCENT_SPACE, scheduler=halving, **SCORE))(jax.random.key(0))
    with pytest.warns(UserWarning, match="undefined"):
        assert int(outcome.best) == tune(task, DESCENT_SPACE, scheduler=halving, **SCORE).best.id
    assert (np.asarray(outcome.diverged) == -1).all()


# Stratification

LABELS = {
    "int": MANY,
    "bool": MANY.astype(bool),
    "one-hot": np.eye(2)[MANY],
    "one-hot of bools": np.eye(2, dtype=bool)[MANY],
    "float": MANY.astype(np.float32),
    "column": MANY[:, None],
    "float column": MANY[:, None].astype(np.float64),
    "-1 and 1": 2 * MANY - 1,
}


@pytest.mark.parametrize("kind", LABELS)
def test_labels_of_any_kind_are_dealt_out_class_by_class(kind):
    task = jt.Task(init=len, step=len, evaluate=len, train=(X, LABELS[kind]))
    for seed in range(3):
        assert [int(MANY[fold.validation].sum()) for fold in make_folds(task, 4, seed)] == [3] * 4


@pytest.mark.parametrize(
    "targets",
    [np.linspace(0, 1, 60), np.random.default_rng(0).random((60, 3)), np.ones((60, 2, 2)), {"a": MANY}],
    ids=["quantities", "several", "images", "dict"],
)
def test_anything_else_is_shuffled(targets):
    task = jt.Task(init=len, step=len, evaluate=len, train=(X, targets))
    folds = make_folds(task, 4, 0)
    assert sorted(np.concatenate([fold.validation for fold in folds])) == list(range(60))
