"""Outputs, targets and optimizers that don't fit together: named, with what would."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest
from plain import CROSS_ENTROPY, sgd
from toys import tune

import jaxtune as jt
from jaxtune.spaces.space import Space
from jaxtune.tasks.problem import resolve

RNG = np.random.default_rng(0)
X = RNG.normal(size=(33, 4)).astype(np.float32)
Y = RNG.integers(0, 3, 33)
ONE_HOT = np.eye(3, dtype=np.float32)[Y]
LR = {"lr": jt.LogUniform(1e-3, 0.1)}


class Tuple(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(x), nn.Dense(1)(x)


class Dict(nn.Module):
    @nn.compact
    def __call__(self, x):
        return {"logits": nn.Dense(3)(x)}


class Squeezed(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(1)(x).squeeze()


def supervised(targets=Y, loss=CROSS_ENTROPY, model=None, optimizer=sgd, x=X, **changes):
    data = {"train": (x, targets), "validation": (x, targets)} | changes
    return jt.supervised(model or nn.Dense(3), optimizer=optimizer, loss=loss, batch_size=8, **data)


def check(task):
    """What a search does before anything compiles."""
    return resolve(task, Space.of(LR), "loss", None)


def can_take(task, given, wanted):
    with pytest.raises(TypeError) as caught:
        check(task)
    assert str(caught.value).startswith(f"loss can't take outputs {given}; it can take {wanted}. (The error was: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("targets", "given", "wanted"),
    [
        (Y[:, None], "int32[N, 1]", "targets[..., 0]"),
        (Y.astype(np.float32), "float32[N]", "targets.astype(int)"),
        (Y[:, None].astype(np.float32), "float32[N, 1]", "targets[..., 0].astype(int)"),
        (Y > 1, "bool[N]", "targets.astype(int)"),
        (ONE_HOT, "float32[N, 3]", "targets.argmax(-1)"),
        (ONE_HOT.astype(int), "int32[N, 3]", "targets.argmax(-1)"),
        ({"label": Y}, "a dict of int32[N]", "targets['label']"),
    ],
)
def test_labels_of_another_form(targets, given, wanted):
    can_take(supervised(targets), f"float32[N, 3] with targets {given}", wanted)


@pytest.mark.parametrize(
    ("model", "given", "wanted"),
    [
        (Tuple(), "a tuple of float32[N, 3], float32[N, 1]", "outputs[0]"),
        (Dict(), "a dict of float32[N, 3]", "outputs['logits']"),
    ],
)
def test_models_that_return_more_than_outputs(model, given, wanted):
    can_take(supervised(model=model), f"{given} with targets int32[N]", wanted)
    both = f"{wanted} and targets.astype(int)"
    can_take(supervised(Y.astype(np.float32), model=model), f"{given} with targets float32[N]", both)


def test_losses_that_want_another_form():
    one_hot = "jax.nn.one_hot(targets, 3)"
    can_take(supervised(loss=optax.softmax_cross_entropy), "float32[N, 3] with targets int32[N]", one_hot)
    column = supervised(X[:, 0], optax.squared_error, nn.Dense(1))
    can_take(column, "float32[N, 1] with targets float32[N]", "outputs[..., 0]")


@pytest.mark.parametrize(
    ("targets", "model", "wanted"),
    [(Y, Tuple(), "outputs[0]"), (ONE_HOT, None, "targets.argmax(-1)"), (Y[:, None], None, "targets[..., 0]")],
)
def test_metrics_likewise(targets, model, wanted):
    task = supervised(targets, anything, model, metrics={"accuracy": jt.metrics.accuracy})
    with pytest.raises(TypeError) as caught:
        check(task)
    assert str(caught.value).startswith("metric 'accuracy' can't take outputs ")
    assert f"; it can take {wanted}. (The error was: " in str(caught.value)


def anything(outputs, targets):
    return sum(jnp.sum(x) for x in jax.tree.leaves(outputs))


def test_errors_of_the_users_own_stay():
    def loss(outputs, targets):
        return outputs[:, 0] - {"a": 1}["b"] * targets

    with pytest.raises(KeyError, match="b"):
        check(supervised(loss=loss))


# A batch of one example


@pytest.mark.parametrize("count", [33, 1])
def test_squeezing_the_last_batch(count):
    data = X[:count], X[:count, 0]
    task = supervised(loss=optax.squared_error, model=Squeezed(), train=(X, X[:, 0]), validation=data)
    with pytest.raises(
        TypeError, match=r"returns shape \(\) for a batch of one example.* \(104,\) for 104: squeeze\(-1\)"
    ):
        check(task)


def test_squeezing_batches_of_one():
    for loss, words in (
        (optax.squared_error, r"float32\[\] with .* outputs\[None\] \(squeeze"),
        (squared, "returns shape"),
    ):
        task = jt.supervised(
            Squeezed(), optimizer=sgd, loss=loss, batch_size=1, train=(X, X[:, 0]), validation=(X, X[:, 0])
        )
        with pytest.raises(TypeError, match=words):
            check(task)


def squared(outputs, targets):
    return (outputs - targets) ** 2


def test_arguments_in_the_order_of_others():
    with pytest.raises(TypeError, match=r"^loss is called with \(outputs, targets\), in this order"):
        check(supervised(loss=lambda targets, outputs: CROSS_ENTROPY(outputs, targets)))


def test_squeezing_where_no_batch_has_one_example():
    data = X[:32], X[:32, 0]
    task = supervised(loss=optax.squared_error, model=Squeezed(), train=data, validation=data)
    result = tune(task, LR, scheduler=jt.FullBudget(2, 2))
    assert result.best.predict(X[:10]).shape == (10,)
    with pytest.raises(TypeError, match=r"outputs without an axis of examples: squeeze\(-1\)"):
        result.best.predict(X[:9])


# Labels beyond the outputs

SEQUENCES = RNG.normal(size=(33, 5, 1)).astype(np.float32)
PADDED = RNG.integers(0, 3, (33, 5))
PADDED[:, 3:] = -100


def per_token(outputs, targets):
    return CROSS_ENTROPY(outputs, jnp.clip(targets, 0, 2)) * ((targets >= 0) & (targets < 3))


def per_sequence(outputs, targets):
    return per_token(outputs, targets).sum(-1) / (targets >= 0).sum(-1)


def of_batch(outputs, targets):
    return per_token(outputs, targets).sum() / (targets >= 0).sum()


def where(outputs, targets):
    return jnp.where(targets == -100, 0.0, CROSS_ENTROPY(outputs, targets))


@pytest.mark.parametrize("loss", [per_token, per_sequence, of_batch, where])
def test_labels_that_the_loss_leaves_out(loss):
    check(supervised(PADDED, loss, x=SEQUENCES))


@pytest.mark.parametrize("mark", [-1, 255])
def test_other_marks(mark):
    check(supervised(np.where(PADDED < 0, mark, PADDED), per_token, x=SEQUENCES))
    check(supervised(np.where(Y == 2, mark, Y), per_token))  # whole examples


def test_a_search_with_labels_that_the_loss_leaves_out():
    """Labels that are left out change nothing."""
    other = np.where(PADDED < 0, -1, PADDED)
    losses = [
        tune(supervised(labels, per_sequence, x=SEQUENCES), LR, scheduler=jt.FullBudget(2, 4)).best.metrics["loss"]
        for labels in (PADDED, other)
    ]
    assert losses[0] == losses[1]


@pytest.mark.parametrize(
    ("targets", "loss", "x"),
    [
        (PADDED, CROSS_ENTROPY, SEQUENCES),
        (np.maximum(PADDED, -1), CROSS_ENTROPY, SEQUENCES),  # -1 is the last class, for NumPy
        (np.where(PADDED < 0, 255, PADDED), lambda o, t: CROSS_ENTROPY(o, jnp.minimum(t, 2)), SEQUENCES),
        (Y + 1, CROSS_ENTROPY, X),
        (Y + 1, lambda o, t: optax.softmax_cross_entropy(o, jax.nn.one_hot(t, 3)), X),  # a class that never counts
    ],
)
def test_labels_that_it_does_not_leave_out(targets, loss, x):
    with pytest.raises(
        ValueError, match=r"labels must lie in 0 \.\.\. 2; .* give them no weight in the loss if they mark"
    ):
        check(supervised(targets, loss, x=x))
