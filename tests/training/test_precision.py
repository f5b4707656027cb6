"""Computing in bfloat16: parameters, optimizer and loss stay float32."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from toys import tune

import jaxtune as jt

X = np.random.default_rng(0).normal(size=(48, 6)).astype(np.float32)
Y = (np.arange(48) % 3).astype(np.int32)
SEEN = []


class Linen(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        SEEN.append(x.dtype)
        x = nn.BatchNorm(use_running_average=not train)(nn.Dense(8)(x))
        x = nn.LayerNorm()(nn.Dropout(0.1, deterministic=not train)(nn.relu(x)))
        SEEN.append(x.dtype)
        return nn.Dense(3)(x)


class Nnx(nnx.Module):
    def __init__(self, hp, rngs):
        self.first = nnx.Linear(6, 8, rngs=rngs)
        self.norm = nnx.BatchNorm(8, rngs=rngs)
        self.last = nnx.Linear(8, 3, rngs=rngs)

    def __call__(self, x):
        SEEN.append(x.dtype)
        x = nnx.relu(self.norm(self.first(x)))
        SEEN.append(x.dtype)
        return self.last(x)


def task(model, compute_dtype=jnp.bfloat16, **changes):
    given = {"metrics": {"accuracy": jt.metrics.accuracy}, "batch_size": 16} | changes
    return jt.supervised(
        model,
        optimizer=lambda hp: optax.adam(hp["lr"]),
        loss=optax.softmax_cross_entropy_with_integer_labels,
        train=(X, Y),
        validation=(X, Y),
        compute_dtype=compute_dtype,
        **given,
    )


SPACE = {"lr": jt.LogUniform(1e-3, 1e-2)}


@pytest.mark.parametrize("model", [Linen(), Nnx], ids=["linen", "nnx"])
def test_models_compute_in_bfloat16_and_all_else_in_float32(model):
    SEEN.clear()
    types = []

    def loss(outputs, targets):
        types.append(outputs.dtype)
        return optax.softmax_cross_entropy_with_integer_labels(outputs, targets)

    made = jt.supervised(
        model,
        optimizer=lambda hp: optax.adam(hp["lr"]),
        loss=loss,
        train=(X, Y),
        validation=(X, Y),
        batch_size=16,
        compute_dtype=jnp.bfloat16,
    )
    result = tune(made, SPACE, scheduler=jt.FullBudget(2, 20))
    floats = [x.dtype for x in jax.tree.leaves(result.best.state) if jnp.issubdtype(x.dtype, jnp.floating)]
    assert set(floats) == {np.dtype(np.float32)}
    assert jnp.bfloat16 in SEEN
    assert set(types) == {np.dtype(np.float32)}


@pytest.mark.parametrize("model", [Linen(), Nnx], ids=["linen", "nnx"])
def test_training_follows_that_in_float32(model):
    narrow, wide = (tune(task(model, dtype), SPACE, scheduler=jt.FullBudget(2, 20)) for dtype in (jnp.bfloat16, None))
    for ours, theirs in zip(narrow.trials, wide.trials, strict=True):
        assert ours.metrics["loss"] != theirs.metrics["loss"]
        np.testing.assert_allclose(ours.metrics["loss"], theirs.metrics["loss"], rtol=0.05)


def test_float32_changes_nothing():
    same, wide = (tune(task(Linen(), dtype), SPACE, scheduler=jt.FullBudget(2, 20)) for dtype in (np.float32, None))
    assert [t.metrics for t in same.trials] == [t.metrics for t in wide.trials]


def test_small_updates_are_not_rounded_away():
    """Parameters of 1 that change by 1e-5 a step would stand still in bfloat16."""

    class Scale(nn.Module):
        @nn.compact
        def __call__(self, x):
            return x * self.param("scale", nn.initializers.ones, (1,))

    made = jt.supervised(
        Scale(),
        optimizer=lambda hp: optax.sgd(hp["lr"]),
        loss=lambda outputs, targets: outputs - targets,
        train=(np.ones((8, 1), np.float32), np.zeros((8, 1), np.float32)),
        validation=(np.ones((8, 1), np.float32), np.zeros((8, 1), np.float32)),
        batch_size=8,
        compute_dtype=jnp.bfloat16,
    )
    result = tune(made, {"lr": 1e-5}, scheduler=jt.FullBudget(1, 100))
    np.testing.assert_allclose(result.best.variables["params"]["scale"], 1 - 100 * 1e-5, rtol=1e-5)


def test_test_and_model():
    result = tune(task(Linen(), test=(X, Y)), SPACE, scheduler=jt.FullBudget(2, 20))
    assert 0 <= result.test()["accuracy"] <= 1
    outputs = result.best.model.apply(result.best.variables, X, train=False)
    assert outputs.dtype == np.float32


@pytest.mark.parametrize(
    "dtype", [np.int32, "bfloat", object(), jnp.complex64], ids=["int", "name", "object", "complex"]
)
def test_bad_types(dtype):
    with pytest.raises(TypeError, match="compute_dtype must be a floating-point type such as jax.numpy.bfloat16, got"):
        task(Linen(), dtype)
