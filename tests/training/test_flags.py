"""Whether a model is told that it trains, and what is said of one that was not."""

import warnings

import flax.linen as nn
import numpy as np
import optax
import pytest
from flax import nnx
from toys import tune

import jaxtune as jt
from jaxtune.training.models.common import KNOWN_FLAGS

X = np.random.default_rng(0).normal(3, 2, size=(60, 4)).astype(np.float32)
Y = (X[:, 0] > 3).astype(np.int32)


def trained(model, **options):
    """Running averages after training, and what was warned of."""
    task = jt.supervised(
        model,
        optimizer=lambda hp: optax.sgd(hp["lr"]),
        loss=optax.softmax_cross_entropy_with_integer_labels,
        train=(X[:40], Y[:40]),
        validation=(X[40:], Y[40:]),
        batch_size=20,
        **options,
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = tune(task, {"lr": jt.LogUniform(1e-3, 0.1)}, scheduler=jt.FullBudget(2, 20))
    return result.best.variables, [str(w.message) for w in caught if "evaluation mode" in str(w.message)]


def linen_with(parameter, training):
    """A module with BatchNorm and dropout and such a parameter; `training` is an expression of it."""
    code = f"""
@nn.compact
def __call__(self, x, {parameter}):
    on = {training}
    x = nn.BatchNorm(use_running_average=not on, momentum=0.5)(x)
    return nn.Dense(2)(nn.Dropout(0.5, deterministic=not on)(x))
"""
    namespace = {"nn": nn}
    exec(code, namespace)
    return type("Made", (nn.Module,), {"__call__": namespace["__call__"]})()


@pytest.mark.parametrize(("name", "on", "off"), KNOWN_FLAGS)
def test_every_known_flag_is_switched(name, on, off):
    variables, said = trained(linen_with(f"{name}={off}", f"{name} is {on}"))
    np.testing.assert_allclose(variables["batch_stats"]["BatchNorm_0"]["mean"], X[:40].mean(axis=0), atol=0.5)
    assert not said


@pytest.mark.parametrize(
    ("parameter", "training", "flags"),
    [
        ("mode='eval'", "mode == 'train'", {"mode": ("train", "eval")}),
        ("frozen=True", "not frozen", {"frozen": False}),
        ("learn=False", "learn", {"learn": True}),
        ("phase=1", "phase == 0", {"phase": (0, 1)}),
    ],
)
def test_a_flag_that_nobody_knows_is_missed_and_can_be_named(parameter, training, flags):
    model = linen_with(parameter, training)
    variables, (said,) = trained(model)
    np.testing.assert_array_equal(variables["batch_stats"]["BatchNorm_0"]["mean"], 0.0)
    assert "BatchNorm and Dropout are switched off in training as well" in said
    assert "jt.supervised(flags={'name': True})" in said
    variables, said = trained(model, flags=flags)
    np.testing.assert_allclose(variables["batch_stats"]["BatchNorm_0"]["mean"], X[:40].mean(axis=0), atol=0.5)
    assert not said
    assert not trained(model, flags={})[1]  # the user means it


class Partly(nn.Module):
    """BatchNorm stays as it is, as in a trunk that is frozen; dropout acts."""

    rate: float = 0.5

    @nn.compact
    def __call__(self, x, train=False):
        x = nn.BatchNorm(use_running_average=True)(x)
        return nn.Dense(2)(nn.Dropout(self.rate, deterministic=not train)(x))


class Plain(nn.Module):
    """Attention without dropout, and dropout with a rate of 0."""

    @nn.compact
    def __call__(self, x, mask=None):
        x = nn.Dropout(0.0, deterministic=True)(nn.MultiHeadDotProductAttention(2)(x[:, None]))
        return nn.Dense(2)(x[:, 0])


@pytest.mark.parametrize("model", [Partly(), Plain(), nn.Dense(2)], ids=lambda model: type(model).__name__)
def test_models_with_something_switched_on_or_nothing_to_switch_are_fine(model):
    assert not trained(model)[1]


class Nnx(nnx.Module):
    def __init__(self, hp, rngs):
        self.norm, self.dropout = nnx.BatchNorm(4, rngs=rngs), nnx.Dropout(0.5, rngs=rngs)
        self.dense = nnx.Linear(4, 2, rngs=rngs)


class Deaf(Nnx):
    def __call__(self, x, *, evaluating=True):
        x = self.dropout(self.norm(x, use_running_average=evaluating), deterministic=evaluating)
        return self.dense(x)


class Listening(Nnx):
    def __call__(self, x):
        return self.dense(self.dropout(self.norm(x)))


def test_nnx_modules_are_watched_too():
    (said,) = trained(Deaf)[1]
    assert "BatchNorm and Dropout are switched off" in said
    assert not trained(Deaf, flags={"evaluating": False})[1]
    assert not trained(Listening)[1]


@pytest.mark.parametrize("flags", [["train"], {"train": 1}, {"train": (True,)}, {3: True}])
def test_flags_that_are_none_are_refused(flags):
    with pytest.raises(TypeError, match="flags must"):
        trained(nn.Dense(2), flags=flags)
