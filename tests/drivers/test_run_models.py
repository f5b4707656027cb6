"""Searches in folders over what people train: networks, settings of JAX, domains of their own."""

import dataclasses
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from runs import assert_same
from toys import NET, NET_SPACE, ONE, TWO

import jaxtune as jt
from jaxtune.spaces.domains import Domain

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4)).astype(np.float32)
Y = np.argmax(X[:, :3], axis=1).astype(np.int32)
tune = partial(jt.tune, progress=False, placement=ONE, checkpoint_every=0)


class Net(nnx.Module):
    """Normalised and dropped out: its state has statistics, and keys with counters."""

    def __init__(self, rngs, rate):
        self.first, self.norm = nnx.Linear(4, 8, rngs=rngs), nnx.BatchNorm(8, rngs=rngs)
        self.drop, self.last = nnx.Dropout(rate, rngs=rngs), nnx.Linear(8, 3, rngs=rngs)

    def __call__(self, x):
        return self.last(self.drop(nnx.relu(self.norm(self.first(x)))))


class Linen(nn.Module):
    """The same in linen, in half precision."""

    @nn.compact
    def __call__(self, x, train):
        x = nn.BatchNorm(use_running_average=not train)(nn.Dense(8, dtype=jnp.bfloat16)(x))
        return nn.Dense(3)(nn.Dropout(0.2, deterministic=not train)(nn.relu(x)))


def supervised(model, **options):
    def optimizer(hp):
        plateau = jt.reduce_on_plateau(factor=0.5, patience=1)
        return optax.chain(optax.adamw(hp["lr"], mu_dtype=jnp.bfloat16), plateau)

    return jt.supervised(
        model,
        optimizer=optimizer,
        loss=optax.softmax_cross_entropy_with_integer_labels,
        metrics={"accuracy": jt.metrics.accuracy, "a/b c": jt.metrics.accuracy},
        train=(X[:40], Y[:40]),
        validation=(X[40:], Y[40:]),
        batch_size=16,
        **options,
    )


RATES = {"lr": jt.LogUniform(1e-3, 1e-1)}
HALVING = jt.SuccessiveHalving(8, 5, 20, eta=2)
SEARCHES = {
    "nnx": (
        lambda: supervised(lambda hp, rngs: Net(rngs, jt.rate(hp["rate"]))),
        {**RATES, "rate": jt.Uniform(0.1, 0.5)},
        {"scheduler": HALVING, "metric": "accuracy", "keep": "best", "evaluate_every": 5, "patience": 2},
    ),
    "linen": (
        lambda: supervised(Linen(), augment=lambda key, batch, hp: jt.augment.noise(key, batch, 0.1)),
        RATES,
        {"scheduler": jt.PopulationBasedTraining(8, steps=20, interval=5), "metric": "a/b c", "replicates": 2},
    ),
}


def cut_off(task, space, folder, **options):
    """What the search finds that is interrupted at every evaluation."""
    while (result := tune(task, space, directory=folder, callback=lambda result: True, **options)).interrupted:
        pass
    return result


@pytest.mark.parametrize("name", SEARCHES)
def test_networks_come_to_the_same_end(name, tmp_path):
    task, space, options = SEARCHES[name]
    wanted = tune(task(), space, **options)
    assert_same(cut_off(task(), space, tmp_path, **options), wanted)
    found = jt.load(tmp_path, task())
    np.testing.assert_array_equal(found.best.predict(X[:7]), wanted.best.predict(X[:7]))


SETTINGS = {
    "x64": lambda: jax.enable_x64(True),
    "rbg": lambda: jax.default_prng_impl("rbg"),
    "threefry": lambda: jax.threefry_partitionable(False),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_under_other_settings_of_jax_it_comes_to_the_same_end(name, tmp_path):
    options = {"scheduler": jt.PopulationBasedTraining(8, steps=20, interval=5)}
    with SETTINGS[name]():
        wanted = tune(NET, NET_SPACE, **options)
        assert_same(cut_off(NET, NET_SPACE, tmp_path, **options), wanted)


@pytest.mark.parametrize("name", SETTINGS)
def test_another_setting_of_jax_is_another_search(name, tmp_path):
    tune(NET, NET_SPACE, scheduler=HALVING, directory=tmp_path, callback=lambda result: True)
    with SETTINGS[name](), pytest.raises(ValueError, match="holds another search"):
        tune(NET, NET_SPACE, scheduler=HALVING, directory=tmp_path)


@dataclasses.dataclass(frozen=True, repr=False)
class Squared(Domain):
    """A user's own: from 0 to `most`, dense at 0."""

    most: float

    def decode(self, unit):
        return self.most * jnp.asarray(unit) ** 2

    def encode(self, value):
        return float(np.sqrt(value / self.most))

    def to_python(self, value):
        return float(value)


def test_a_domain_of_the_user_is_kept_as_far_as_it_is_known(tmp_path):
    space = {"lr": Squared(0.03), "dropout": jt.Uniform(0.0, 0.5)}
    options = {"scheduler": jt.PopulationBasedTraining(8, steps=20, interval=5)}
    wanted = tune(NET, space, **options)
    assert_same(cut_off(NET, space, tmp_path, **options), wanted)
    assert jt.load(tmp_path).best.hparams == wanted.best.hparams
    assert jt.load(tmp_path, NET, space).best.state.keys() == wanted.best.state.keys()
    with pytest.raises(ValueError, match="Squared"):
        jt.load(tmp_path, NET)
    with pytest.raises(ValueError, match="0.03.* there.*0.02.* here"):
        tune(NET, {**space, "lr": Squared(0.02)}, directory=tmp_path, **options)


@pytest.mark.parametrize("over", [False, True])
@pytest.mark.parametrize("allowed", [0.4, 0.2], ids=["looser", "tighter"])
def test_another_constraint_is_another_search(allowed, over, tmp_path):
    def space(most):
        return jt.constrain(NET_SPACE, lambda hp: hp["dropout"] < most)

    options = {"scheduler": HALVING, "directory": tmp_path}
    first = tune(NET, space(0.3), callback=None if over else lambda result: True, **options)
    with pytest.raises(ValueError, match=r"constraints: \d+ of 256 .* there, \d+ of 256 .* here"):
        tune(NET, space(allowed), **options)
    assert tune(NET, space(0.3), **options).best.hparams["dropout"] < 0.3
    assert first.interrupted != over


def test_a_metric_of_another_name_is_refused(tmp_path):
    """The functions as traced are another thing too; what a person reads first is the metric."""
    options = {"scheduler": HALVING, "directory": tmp_path}
    tune(NET, NET_SPACE, metric="error", mode="min", callback=lambda result: True, **options)
    renamed = NET.replace(evaluate=lambda key, state, data, hp: {"loss": 0.0, "err": jnp.float32(1.0)})
    with pytest.raises(ValueError, match="did you mean 'err'"):
        tune(renamed, NET_SPACE, metric="error", mode="min", **options)
    with pytest.raises(ValueError, match="metric: error there, err here"):
        tune(renamed, NET_SPACE, metric="err", mode="min", **options)
    vector = NET.replace(evaluate=lambda key, state, data, hp: {"loss": jnp.zeros(3)})
    with pytest.raises(TypeError, match="loss"):
        tune(vector, NET_SPACE, **options)
    more = NET.replace(evaluate=lambda key, state, data, hp: {**NET.evaluate(key, state, data, hp), "more": 0.0})
    with pytest.raises(ValueError, match="function 'evaluate', as traced"):
        tune(more, NET_SPACE, metric="error", mode="min", **options)


def test_all_trials_that_diverge_are_kept(tmp_path):
    space = {"lr": jt.LogUniform(1e6, 1e8), "dropout": 0.1}
    wanted = tune(NET, space, scheduler=HALVING)
    assert wanted.history.failed.all()
    for _ in range(2):
        found = tune(NET, space, scheduler=HALVING, directory=tmp_path, placement=TWO)
        np.testing.assert_array_equal(found.history.diverged, wanted.history.diverged)
    with pytest.raises(ValueError, match="Every trial diverged"):
        _ = jt.load(tmp_path).best
