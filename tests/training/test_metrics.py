"""Metrics equal scikit-learn's, with outputs first; at a prime N, so that no batching divides it."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxtune as jt
from jaxtune import metrics
from jaxtune.spaces.space import Space
from jaxtune.tasks.problem import resolve

sklearn_metrics = pytest.importorskip("sklearn.metrics")

N = 1009
LANES = 3


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def labels(seed, high, *shape):
    return np.random.default_rng(seed).integers(0, high, size=shape)


def under_jit_and_vmap(metric, outputs, targets):
    """`metric` of every lane's outputs against shared targets, in one compiled program."""
    return np.asarray(jax.jit(jax.vmap(metric, in_axes=(0, None)))(outputs, targets))


def sklearn_auc(scores, targets):
    return sklearn_metrics.roc_auc_score(targets, scores)


def sklearn_f1(logits, targets):
    return sklearn_metrics.f1_score(targets, logits.argmax(-1), average="macro")


def sklearn_rmse(outputs, targets):
    return sklearn_metrics.root_mean_squared_error(targets, outputs)


def sklearn_r2(outputs, targets):
    return sklearn_metrics.r2_score(targets, outputs)


def sklearn_perplexity(logits, targets):
    probabilities = np.asarray(jax.nn.softmax(logits.astype(np.float64)))
    return np.exp(sklearn_metrics.log_loss(targets, probabilities, labels=range(logits.shape[-1])))


# metric, its reference, outputs [LANES, N, ...], targets [N, ...]
SPLIT_CASES = {
    "auc": (metrics.auc, sklearn_auc, normal(0, LANES, N), labels(1, 2, N)),
    # Rounded to one decimal: every score is tied with a dozen others, across the two classes.
    "auc with ties": (metrics.auc, sklearn_auc, normal(0, LANES, N).round(1), labels(1, 2, N)),
    "auc of few positives": (metrics.auc, sklearn_auc, normal(0, LANES, N).round(1), labels(1, 50, N) == 0),
    "f1": (metrics.f1, sklearn_f1, normal(0, LANES, N, 5), labels(1, 5, N)),
    # Classes 3..6 are never targets, 5 and 6 never predicted: sklearn averages over the union, 0..4.
    "f1 with absent classes": (
        metrics.f1,
        sklearn_f1,
        normal(0, LANES, N, 7) - 100 * (np.arange(7) > 4),
        labels(1, 3, N),
    ),
    "f1 of a constant prediction": (
        metrics.f1,
        sklearn_f1,
        np.tile([1.0, 0.0], (LANES, N, 1)),
        labels(1, 2, N),
    ),
    "rmse": (metrics.rmse, sklearn_rmse, normal(0, LANES, N), normal(1, N)),
    "rmse of columns": (metrics.rmse, sklearn_rmse, normal(0, LANES, N, 3) * [1, 5, 9], normal(1, N, 3)),
    "r2": (metrics.r2, sklearn_r2, normal(0, LANES, N), normal(1, N)),
    "r2 of years": (metrics.r2, sklearn_r2, 1998 + 0.1 * normal(0, LANES, N), 1998 + 5 * normal(1, N)),
    "r2 of columns": (metrics.r2, sklearn_r2, normal(0, LANES, N, 3), normal(1, N, 3) * [1, 5, 9]),
    "r2 of a constant target": (metrics.r2, sklearn_r2, normal(0, LANES, N), np.ones(N)),
    "perplexity": (metrics.perplexity, sklearn_perplexity, normal(0, LANES, N, 11), labels(1, 11, N)),
}


@pytest.mark.parametrize("case", SPLIT_CASES)
def test_whole_split_metrics_equal_scikit_learn_s(case):
    metric, reference, outputs, targets = SPLIT_CASES[case]
    got = under_jit_and_vmap(metric, outputs, targets)
    assert got.shape == (LANES,)
    assert got.dtype == np.float32
    want = [reference(one, targets) for one in outputs]
    np.testing.assert_allclose(got, want, rtol=2e-6, atol=2e-6)


def test_accuracy_is_one_value_per_example_and_its_mean_is_scikit_learn_s():
    outputs, targets = normal(0, LANES, N, 5), labels(1, 5, N)
    got = under_jit_and_vmap(metrics.accuracy, outputs, targets)
    assert got.shape == (LANES, N)
    want = [sklearn_metrics.accuracy_score(targets, one.argmax(-1)) for one in outputs]
    np.testing.assert_allclose(got.mean(axis=1), want, rtol=1e-6)


def test_mae_is_one_value_per_example_and_its_mean_is_scikit_learn_s():
    outputs, targets = normal(0, LANES, N, 3), normal(1, N, 3)
    got = under_jit_and_vmap(metrics.mae, outputs, targets)
    assert got.shape == (LANES, N, 3)
    want = [sklearn_metrics.mean_absolute_error(targets, one) for one in outputs]
    np.testing.assert_allclose(got.mean(axis=(1, 2)), want, rtol=1e-6)


def test_tokens_count_one_by_one():
    outputs, targets = normal(0, 7, 13, 5), labels(1, 5, 7, 13)
    flat = outputs.reshape(-1, 5), targets.reshape(-1)
    assert metrics.accuracy(outputs, targets).shape == (7, 13)
    np.testing.assert_allclose(metrics.f1(outputs, targets), sklearn_f1(*flat), rtol=1e-6)
    np.testing.assert_allclose(metrics.perplexity(outputs, targets), sklearn_perplexity(*flat), rtol=1e-6)


def test_perplexity_is_the_exponential_of_optax_s_loss():
    outputs, targets = normal(0, N, 4), labels(1, 4, N)
    loss = optax.softmax_cross_entropy_with_integer_labels(outputs, targets).mean()
    np.testing.assert_allclose(metrics.perplexity(outputs, targets), np.exp(loss), rtol=1e-6)


def test_auc_takes_scores_columns_and_two_logits():
    scores, targets = normal(0, N), labels(1, 2, N)
    want = sklearn_auc(scores, targets)
    two_logits = np.stack([1 - scores / 2, 1 + scores / 2], axis=1)
    for outputs, truth in [
        (scores, targets),
        (scores, targets.astype(np.float32)),
        (scores, targets == 1),
        (scores[:, None], targets[:, None]),
    ]:
        np.testing.assert_allclose(metrics.auc(outputs, truth), want, rtol=1e-6)
    np.testing.assert_allclose(metrics.auc(two_logits, targets), want, rtol=1e-4)  # rounding makes ties


def test_auc_stays_exact_where_a_sum_of_ranks_would_not():
    # 200,003 examples: ranks sum to 10^10, far beyond 2^24, and their int32 would overflow.
    num = 200_003
    scores, targets = normal(0, num).round(3), labels(1, 2, num)
    np.testing.assert_allclose(metrics.auc(scores, targets), sklearn_auc(scores, targets), atol=1e-6)


def test_auc_at_the_ends_of_the_number_line():
    targets = np.array([0, 1, 0, 1, 1, 0])
    for scores in ([np.inf, np.inf, 0.0, -0.0, -np.inf, -np.inf], [np.inf, 0.0, 0.0, 0.0, 1.0, -0.0]):
        finite = np.nan_to_num(np.array(scores), posinf=9, neginf=-9)
        assert metrics.auc(jnp.array(scores), targets) == pytest.approx(sklearn_auc(finite, targets))
    assert metrics.auc(jnp.array([0.0, 1.0]), jnp.array([0, 1])) == 1
    assert metrics.auc(jnp.array([0.0, 1.0]), jnp.array([1, 0])) == 0
    assert np.isnan(metrics.auc(jnp.array([0.0, 1.0]), jnp.array([1, 1])))


LOGITS = {"accuracy", "perplexity", "f1"}


@pytest.mark.parametrize("name", metrics.__all__)
def test_outputs_that_are_nan_give_nan_and_leave_the_next_lane_alone(name):
    outputs = normal(0, 2, N, 3) if name in LOGITS else normal(0, 2, N)
    targets = labels(1, 3, N) if name in LOGITS else labels(1, 2, N)
    alone = np.mean(getattr(metrics, name)(outputs[1], targets))
    outputs[0].flat[7] = np.nan
    bad, good = under_jit_and_vmap(lambda *args: jnp.mean(getattr(metrics, name)(*args)), outputs, targets)
    assert np.isnan(bad)
    np.testing.assert_allclose(good, alone, rtol=1e-5)


def test_r2_of_a_constant_target_is_nan_for_outputs_that_are_not_finite():
    assert np.isnan(metrics.r2(jnp.array([1.0, jnp.inf]), jnp.ones(2)))
    assert metrics.r2(jnp.ones(2), jnp.ones(2)) == 1


@pytest.mark.parametrize("name", metrics.__all__)
def test_bfloat16_outputs_are_summed_in_float32(name):
    outputs = jnp.asarray(normal(0, N, 3) if name in LOGITS else normal(0, N), jnp.bfloat16)
    targets = labels(1, 3, N) if name in LOGITS else labels(1, 2, N)
    metric = getattr(metrics, name)
    got = metric(outputs, targets)
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, metric(outputs.astype(jnp.float32), targets), rtol=1e-6)


@pytest.mark.parametrize("name", sorted(LOGITS))
def test_misfitting_classification_inputs_are_refused_with_a_sentence(name):
    metric = getattr(metrics, name)
    with pytest.raises(TypeError, match=f"{name} needs class indices as integer targets, got float32"):
        metric(normal(0, N, 3), normal(1, N))
    with pytest.raises(ValueError, match=f"{name} needs outputs .* got \\({N}, 3\\) and \\({N}, 1\\)"):
        metric(normal(0, N, 3), labels(1, 3, N, 1))
    with pytest.raises(ValueError, match="one logit per class"):
        metric(normal(0, N, 1), labels(1, 2, N))


@pytest.mark.parametrize("name", ["rmse", "mae", "r2"])
def test_regression_shapes_that_would_broadcast_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} needs outputs and targets of one shape"):
        getattr(metrics, name)(normal(0, N, 1), normal(1, N))


def test_auc_refuses_misfitting_shapes():
    with pytest.raises(ValueError, match="N, 2"):
        metrics.auc(normal(0, N, 3), labels(1, 2, N))
    with pytest.raises(ValueError, match="one target per score"):
        metrics.auc(normal(0, N), labels(1, 2, N + 1))


# Which way they are better


@pytest.mark.parametrize(
    ("metric", "mode"),
    [
        (metrics.accuracy, "max"),
        (metrics.auc, "max"),
        (metrics.f1, "max"),
        (metrics.r2, "max"),
        (metrics.mae, "min"),
        (metrics.rmse, "min"),
        (metrics.perplexity, "min"),
        (functools.partial(functools.partial(metrics.f1), axis=0), "max"),
        (lambda outputs, targets: metrics.accuracy(outputs, targets), None),
        (None, None),
    ],
)
def test_direction(metric, mode):
    assert metrics.mode_of(metric) == mode


def test_every_metric_has_a_direction():
    assert {name for name in metrics.__all__ if metrics.mode_of(getattr(metrics, name))} == set(metrics.__all__)


def test_a_search_takes_it_from_the_metric():
    def resolved(mode):
        x, y = np.zeros((8, 2), np.float32), np.zeros(8, int)
        task = jt.supervised(
            nn.Dense(2), optimizer=lambda hp: optax.sgd(hp["lr"]), batch_size=4, train=(x, y), validation=(x, y),
            loss=optax.softmax_cross_entropy_with_integer_labels, metrics={"hits": metrics.accuracy},
        )  # fmt: skip
        return resolve(task, Space.of({"lr": jt.LogUniform(0.1, 1.0)}), "hits", mode).mode

    assert [resolved(mode) for mode in (None, "min", "max")] == ["max", "min", "max"]
