"""Small tasks and samplers that the engine's tests share: equal functions and shapes compile only once."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxtune as jt
from jaxtune.samplers.sampler import Observed

ONE = jt.Placement(devices=jax.devices()[:1])
TWO = jt.Placement(devices=jax.devices()[:2])

tune = partial(jt.tune, progress=False, placement=ONE)


@dataclass(frozen=True)
class Listed:
    """A sampler that proposes given configurations, in their order."""

    configurations: tuple[tuple[tuple[str, Any], ...], ...]

    @classmethod
    def of(cls, *configurations: Mapping[str, Any]) -> "Listed":
        return cls(tuple(tuple(c.items()) for c in configurations))

    def __call__(self, key, space, history, num_points):
        assert num_points == len(self.configurations)
        return jnp.asarray(np.stack([space.encode(dict(c)) for c in self.configurations]))


def seen(points, values=None, *, capacity=None, **fields):
    """An `Observed` of trials that were evaluated once (values [H]) or more often ([H, E]); without values all failed.

    Rows up to a capacity are padding, and full of what would show.
    """
    points = np.asarray(points, np.float32)
    count = len(points)
    values = np.full(count, np.nan) if values is None else np.asarray(values, float)
    values = (values if values.ndim == 2 else values[:, None]).astype(np.float32)
    fields = {
        "steps": np.arange(1, values.shape[1] + 1, dtype=np.int32),
        "errors": np.full(values.shape, np.nan, np.float32),
        "failed": np.isnan(values).all(axis=1),
        "generation": np.zeros(count, np.int32),
    } | fields
    more = (count if capacity is None else capacity) - count

    def padded(rows, filling):
        return np.concatenate([rows, np.full((more, *rows.shape[1:]), filling, rows.dtype)])

    return Observed(
        points=padded(points, 0.25),
        values=padded(values, -9.0),
        steps=np.asarray(fields["steps"], np.int32),
        errors=padded(np.asarray(fields["errors"], np.float32), 5.0),
        failed=padded(fields["failed"], False),
        generation=padded(fields["generation"], 7),
        count=np.int32(count),
    )


def lowest(sampler, generations, batch=32, num_keys=6):
    """The lowest value [num_keys] that a sampler finds of a smooth function of five variables, in generations."""
    space = jt.Space.of({f"x{i}": jt.Uniform(0.0, 1.0) for i in range(5)})

    def value(points):
        return (points - jnp.array([0.2, 0.7, 0.4, 0.9, 0.5])) ** 2 @ jnp.array([3.0, 1, 1, 0.3, 0.3])

    @jax.jit
    @jax.vmap
    def generation(key, points, count):
        known = jnp.arange(len(points)) < count
        values = jnp.where(known, value(points), jnp.nan)[:, None]
        history = Observed(
            points, values, jnp.ones(1, int), values * jnp.nan, ~known, jnp.zeros(len(points), int), count
        )
        new = sampler(jax.random.fold_in(key, count), space, history, batch)
        return jax.lax.dynamic_update_slice_in_dim(points, new, count, 0)

    keys, points = jax.random.split(jax.random.key(0), num_keys), jnp.zeros((num_keys, generations * batch, 5))
    for number in range(generations):
        points = generation(keys, points, jnp.full(num_keys, number * batch))
    return np.asarray(value(points).min(axis=1))


# Gradient descent on x ** 2: after n steps x is known in closed form, and no two learning rates agree.


def _descent_init(key, hp):
    x = 1.0 + jax.random.uniform(key, (3,))
    return {"x": x, "x0": x, "count": jnp.int32(0)}


def _descent_step(key, state, batch, hp):
    x = state["x"]
    return {**state, "x": x - hp["lr"] * 2 * x, "count": state["count"] + 1}, {"loss": jnp.sum(x**2)}


def _descent_evaluate(key, state, data, hp):
    return {"loss": jnp.sum(state["x"] ** 2), "start": jnp.sum(state["x0"] ** 2), "count": state["count"]}


DESCENT = jt.Task(init=_descent_init, step=_descent_step, evaluate=_descent_evaluate)
DESCENT_SPACE = {"lr": jt.LogUniform(1e-4, 1e-2)}


def descent_loss(start, lr, steps):
    """What `DESCENT` reports after so many steps."""
    return start * (1 - 2 * lr) ** (2.0 * steps)


# A network with one hidden layer, momentum, dropout and a batch size that does not divide the data.

_RNG = np.random.default_rng(0)
X = _RNG.normal(size=(50, 4)).astype(np.float32)
Y = np.sin(X[:, :1] * 2) + X[:, 1:2] * X[:, 2:3]


def _predict(weights, x):
    return jnp.tanh(x @ weights["in"]) @ weights["out"]


def _net_init(key, hp):
    first, second = jax.random.split(key)
    width = hp.get("width", 8)
    weights = {
        "in": jax.random.normal(first, (4, width)) / 2,
        "out": jax.random.normal(second, (width, 1)) / 3,
    }
    return {"weights": weights, "momentum": jax.tree.map(jnp.zeros_like, weights)}


def _net_step(key, state, batch, hp, step, total_steps):
    x, y = batch
    x = jnp.where(jax.random.uniform(key, x.shape) < hp["dropout"], 0.0, x)
    loss, grads = jax.value_and_grad(lambda w: jnp.mean((_predict(w, x) - y) ** 2))(state["weights"])
    lr = hp["lr"] * (1.0 - step / total_steps)
    momentum = jax.tree.map(lambda m, g: 0.9 * m + g, state["momentum"], grads)
    weights = jax.tree.map(lambda w, m: w - lr * m, state["weights"], momentum)
    return {"weights": weights, "momentum": momentum}, {"loss": loss}


def _net_evaluate(key, state, data, hp):
    x, y = data
    errors = _predict(state["weights"], x) - y
    return {"loss": jnp.mean(errors**2), "error": jnp.mean(jnp.abs(errors))}


NET = jt.Task(
    init=_net_init,
    step=_net_step,
    evaluate=_net_evaluate,
    train=(X[:30], Y[:30]),
    validation=(X[30:], Y[30:]),
    batch_size=8,
)
NET_SPACE = {"lr": jt.LogUniform(1e-3, 3e-2), "dropout": jt.Uniform(0.0, 0.5)}
