"""What used to be silently wrong in supervised tasks: broadcasts, normalised losses, frozen statistics, skips."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from toys import tune

import jaxtune as jt

RNG = np.random.default_rng(0)
X = RNG.normal(size=(96, 4)).astype(np.float32)
Y = (X @ np.array([1.0, -2.0, 0.5, 0.0], np.float32)).astype(np.float32)
LR = {"lr": jt.LogUniform(1e-2, 0.3)}


def task_of(model=None, y=Y, **changes):
    given = {
        "loss": lambda o, t: (o[:, 0] - t) ** 2,
        "optimizer": lambda hp: optax.sgd(hp["lr"]),
        "train": (X[:64], jax.tree.map(lambda a: a[:64], y)),
        "validation": (X[64:], jax.tree.map(lambda a: a[64:], y)),
        "batch_size": 16,
    }
    return jt.supervised(model or nn.Dense(1), **(given | changes))


# Broadcasts, in losses and in metrics (tests/test_broadcasts.py has many more)

ACCIDENTS = {
    "mean of squares": lambda o, t: jnp.mean((o - t) ** 2),
    "huber": lambda o, t: optax.huber_loss(o, t).mean(),
    "where": lambda o, t: jnp.mean(jnp.where(t > 0, o, -o)),
    "jitted": jax.jit(lambda o, t: jnp.mean(jnp.abs(o - t))),
    "hits": lambda o, t: jnp.mean(((o > 0) == (t > 0)).astype(jnp.float32)) + 0 * jnp.sum(o),
}
MEANT = {
    "column": lambda o, t: jnp.mean((o[:, 0] - t) ** 2),
    "pairs of differences": lambda o, t: jnp.mean((o - o.T - (t[:, None] - t[None, :])) ** 2),
    "ranking": lambda o, t: jnp.mean(nn.relu(1 - (o - o.T) * jnp.sign(t[:, None] - t))),
    "every output with every target": lambda o, t: jnp.mean(jnp.exp(-((o - t[None, :]) ** 2))),
    "contrastive": lambda o, t: jnp.mean(jnp.where((t[:, None] > 0) == (t > 0), o @ o.T, -o @ o.T)),
}


@pytest.mark.parametrize("name", ACCIDENTS)
@pytest.mark.parametrize("role", ["loss", "metric"])
def test_accidents_are_refused(name, role, compiled):
    change = {"loss": ACCIDENTS[name]} if role == "loss" else {"metrics": {"m": ACCIDENTS[name]}}
    who = "loss" if role == "loss" else "metric 'm'"
    with pytest.raises(TypeError, match=rf"^{who} combines outputs \[N, 1\] with targets \[N\]"):
        tune(task_of(**change), LR, scheduler=jt.FullBudget(2, 5))
    assert not compiled


@pytest.mark.parametrize("name", MEANT)
def test_what_is_meant_goes_through(name):
    task = task_of(loss=MEANT[name], metrics={"m": MEANT[name]})
    best = tune(task, LR, scheduler=jt.FullBudget(2, 5)).best
    assert best.metrics["loss"] == pytest.approx(best.metrics["m"], rel=1e-5)  # both on the whole split


# Losses with a normaliser of their own

MASK = (np.arange(96) % 7 < np.linspace(1, 7, 96)).astype(np.float32)
NORMALISED = {
    "mask": (lambda o, t: jnp.sum((o[:, 0] - t[0]) ** 2 * t[1]) / jnp.sum(t[1]), (Y, MASK)),
    "weights": (lambda o, t: jnp.average((o[:, 0] - t[0]) ** 2, weights=t[1]), (Y, 1 + 9 * MASK)),
    "root": (lambda o, t: jnp.sqrt(jnp.mean((o[:, 0] - t) ** 2)), Y),
    "per feature": (lambda o, t: jnp.mean((o - t[:, None]) ** 2, axis=0) / jnp.var(t), Y),
}


@pytest.mark.parametrize("name", NORMALISED)
def test_the_batch_size_does_not_change_the_validation_loss(name):
    loss, y = NORMALISED[name]
    best = tune(task_of(y=y, loss=loss), LR, scheduler=jt.FullBudget(2, 20)).best
    exact = float(np.mean(loss(best.predict(X[64:]), jax.tree.map(lambda a: a[64:], y))))
    assert best.metrics["loss"] == pytest.approx(exact, rel=1e-5)


def test_preprocessed_targets_are_what_the_loss_sees():
    loss = lambda o, t: jnp.sqrt(jnp.mean((o - t) ** 2))  # noqa: E731 - as in the table above
    task = task_of(y=100 + 40 * Y[:, None], loss=loss, preprocess=jt.standardize(targets=True))
    best = tune(task, LR, scheduler=jt.FullBudget(2, 100)).best
    scale = (100 + 40 * Y[:64]).std()
    exact = np.sqrt(np.mean((best.predict(X[64:])[:, 0] - (100 + 40 * Y[64:])) ** 2)) / scale
    assert best.metrics["loss"] == pytest.approx(exact, rel=1e-3)


# Statistics of frozen layers


class Trunk(nn.Module):
    @nn.compact
    def __call__(self, x, train=False):
        x = nn.BatchNorm(use_running_average=not train, momentum=0.5, name="norm")(nn.Dense(5, name="dense")(x))
        return nn.tanh(nn.BatchNorm(use_running_average=not train, use_bias=False, use_scale=False, name="bare")(x))


class Whole(nn.Module):
    @nn.compact
    def __call__(self, x, train=False):
        x = Trunk(name="trunk")(x, train)
        return nn.Dense(1, name="head")(nn.BatchNorm(use_running_average=not train, momentum=0.5, name="own")(x))


class NnxWhole(nnx.Module):
    def __init__(self, hp, *, rngs):
        self.trunk, self.norm = nnx.Linear(4, 5, rngs=rngs), nnx.BatchNorm(5, momentum=0.5, rngs=rngs)
        self.own, self.head = nnx.BatchNorm(5, momentum=0.5, rngs=rngs), nnx.Linear(5, 1, rngs=rngs)

    def __call__(self, x):
        return self.head(self.own(nnx.tanh(self.norm(self.trunk(x)))))


def pretrained(model):
    return tune(task_of(model), LR, scheduler=jt.FullBudget(1, 10)).best.variables


CASES = {"linen": (Whole(), "batch_stats", ("trunk",)), "nnx": (NnxWhole, "other", ("trunk", "norm"))}


def statistics(variables, collection, names):
    return [np.asarray(x) for name in names for x in jax.tree.leaves(variables[collection].get(name, {}))]


@pytest.mark.parametrize("kind", CASES)
def test_averages_of_frozen_layers_stay(kind):
    model, collection, frozen = CASES[kind]
    given = pretrained(model)
    options = {"variables": given, "trainable": lambda path, value: path[0] not in frozen}
    best = tune(task_of(model, **options), LR, scheduler=jt.FullBudget(2, 20)).best
    before, after = (statistics(v, collection, frozen) for v in (given, best.variables))
    assert before
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a, b)
    own = [statistics(v, collection, ("own",)) for v in (given, best.variables)]
    assert not np.allclose(own[0][0], own[1][0])  # that one is trained
    assert not any("trunk" in str(path) or "'norm'" in str(path) for path, _ in jax.tree.leaves_with_path(best.state))


@pytest.mark.parametrize("kind", CASES)
def test_they_move_where_that_is_asked_for(kind):
    model, collection, frozen = CASES[kind]
    given = pretrained(model)
    options = {"variables": given, "trainable": lambda path, value: path[0] not in frozen, "moving_statistics": True}
    best = tune(task_of(model, **options), LR, scheduler=jt.FullBudget(2, 20)).best
    before, after = (statistics(v, collection, frozen) for v in (given, best.variables))
    assert not all(np.allclose(a, b) for a, b in zip(before, after, strict=True))


def test_a_layer_that_is_frozen_in_part_moves():
    given = pretrained(Whole())
    options = {"variables": given, "trainable": lambda path, value: path != ("trunk", "norm", "scale")}
    best = tune(task_of(Whole(), **options), LR, scheduler=jt.FullBudget(2, 20)).best
    norm = [v["batch_stats"]["trunk"]["norm"]["mean"] for v in (given, best.variables)]
    assert not np.allclose(*norm)


def test_averages_that_are_not_given_are_asked_for():
    params = {"params": pretrained(Whole())["params"]}
    task = task_of(Whole(), variables=params, trainable=lambda path, value: path[0] != "trunk")
    with pytest.raises(ValueError, match=r"freezes the layer of 'batch_stats/trunk/.*moving_statistics=True"):
        tune(task, LR, scheduler=jt.FullBudget(2, 5))


# Losses that are not finite, and optimizers that handle them

BAD = X.copy()
BAD[7] = 3e38  # finite, but its loss is not
SKIPPING = {"optimizer": lambda hp: optax.apply_if_finite(optax.sgd(hp["lr"]), 100), "train": (BAD[:64], Y[:64])}


def test_a_skipped_batch_ends_a_trial_unless_its_parameters_decide():
    safe = tune(task_of(**SKIPPING), LR, scheduler=jt.FullBudget(3, 60))
    assert all("diverged" in trial.status for trial in safe.trials)
    best = tune(task_of(**SKIPPING, divergence="parameters"), LR, scheduler=jt.FullBudget(3, 60)).best
    assert best.status == "finished"
    assert best.metrics["loss"] < 1e-3
    assert np.isfinite(best.metrics["train_loss"])  # of the steps that had one


def test_parameters_that_are_not_finite_are_a_divergence():
    """The step after which they were not, not the next loss."""
    task = task_of(divergence="parameters", train=(BAD[:64], Y[:64]))
    result = tune(task, LR, scheduler=jt.FullBudget(3, 60))
    first = {trial.status for trial in result.trials}
    assert len(first) == 1
    assert next(iter(first)).startswith("diverged at step")
    assert first == {
        trial.status for trial in tune(task_of(train=(BAD[:64], Y[:64])), LR, scheduler=jt.FullBudget(3, 60)).trials
    }


def scaled(task_lr):
    """Loss scaling by hand: a state whose scale is halved where gradients overflow."""

    def step(key, state, batch, hp):
        loss = state["w"] * state["scale"] * jnp.float32(1e38)
        ok = jnp.isfinite(loss)
        return {
            "w": jnp.where(ok, state["w"] - hp["lr"], state["w"]),
            "scale": jnp.where(ok, state["scale"], state["scale"] / 2),
        }, {"loss": loss}

    return jt.Task(
        init=lambda key, hp: {"w": jnp.float32(1), "scale": jnp.float32(64)},
        step=step,
        evaluate=lambda key, s, data, hp: {"loss": s["w"]},
        healthy=task_lr,
    )


def test_tasks_of_ones_own_judge_their_states():
    judged = tune(scaled(lambda state: jnp.isfinite(state["w"])), {"lr": 0.01}, scheduler=jt.FullBudget(1, 20))
    assert judged.best.metrics["loss"] == pytest.approx(1 - 0.01 * (20 - 5), rel=1e-4)  # five halvings to 2
    assert tune(scaled(None), {"lr": 0.01}, scheduler=jt.FullBudget(1, 20)).trials[0].status == "diverged at step 0"
    with pytest.raises(TypeError, match="healthy must return one bool for a state, got float32"):
        tune(scaled(lambda state: state["w"]), {"lr": 0.01}, scheduler=jt.FullBudget(1, 20))
    with pytest.raises(ValueError, match="divergence must be 'loss' or 'parameters', got 'params'"):
        task_of(divergence="params")
