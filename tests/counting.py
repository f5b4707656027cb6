"""Tasks whose states tell what happened to them: which examples were trained on, how often, after how many updates."""

import jax
import jax.numpy as jnp
import numpy as np

import jaxtune as jt

# Examples are their own numbers, and a state counts how often it has seen each.

IDS = np.arange(40, dtype=np.int32)


def _seen_init(key, hp):
    return {"seen": jnp.zeros(IDS.shape, jnp.int32), "updates": jnp.int32(0), "told": jnp.int32(0)}


def _seen_step(key, state, batch, hp, total_steps):
    return {
        "seen": state["seen"].at[batch].add(1),
        "updates": state["updates"] + 1,
        "told": jnp.int32(total_steps),
    }, {}


def _seen_evaluate(key, state, data, hp):
    return {
        "loss": hp["lr"] + 0.0 * state["updates"],
        "leaked": jnp.sum(state["seen"][data]),
        "updates": state["updates"],
        "told": state["told"],
        "validated": jnp.sum(data),
    }


COUNTING = jt.Task(
    init=_seen_init, step=_seen_step, evaluate=_seen_evaluate, train=IDS[:30], validation=IDS[30:], batch_size=8
)
LR = {"lr": jt.LogUniform(1e-3, 1e-1)}

# Least squares by full-batch gradient descent with a rate that falls to zero; the target's mean is fitted first.

_RNG = np.random.default_rng(3)
X = _RNG.normal(size=(24, 2)).astype(np.float32)
Y = (X @ np.array([1.0, -2.0]) + 0.3 * _RNG.normal(size=24) + 4.0).astype(np.float32)


def _line_init(key, hp):
    return jax.random.normal(key, (2,))


def _line_step(key, state, batch, hp, step, total_steps, stats):
    x, y = batch
    loss, gradient = jax.value_and_grad(lambda w: jnp.mean((x @ w - (y - stats)) ** 2))(state)
    return state - hp["lr"] * (1.0 - step / total_steps) * gradient, {"loss": loss}


def _line_evaluate(key, state, data, hp, stats):
    x, y = data
    return {"loss": jnp.mean((x @ state + stats - y) ** 2), "mean": stats}


LINE = jt.Task(
    init=_line_init,
    step=_line_step,
    evaluate=_line_evaluate,
    prepare=lambda train: jnp.mean(train[1]),
    train=(X[:12], Y[:12]),
    validation=(X[12:18], Y[12:18]),
    test=(X[18:], Y[18:]),
)


def descend(w, x, y, rates):
    """Gradient descent with these rates, in double precision."""
    w, x, y = (np.asarray(a, np.float64) for a in (w, x, y))
    for rate in rates:
        w = w - rate * 2 * x.T @ (x @ w - (y - y.mean())) / len(y)
    return w


def falling(lr, steps, total_steps):
    """The rates of `LINE`."""
    return [lr * (1 - step / total_steps) for step in range(steps)]


# A loss that falls until `lr` times the number of updates is 1, and then rises again.


def _valley_init(key, hp):
    return {"count": jnp.int32(0)}


def _valley_step(key, state, batch, hp):
    return {"count": state["count"] + 1}, {}


def _valley_evaluate(key, state, data, hp):
    loss = (state["count"] * hp["lr"] - 1.0) ** 2 + hp["offset"]
    return {"loss": loss, "gain": -loss, "count": state["count"]}


VALLEY = jt.Task(init=_valley_init, step=_valley_step, evaluate=_valley_evaluate)
VALLEY_SPACE = {"lr": jt.Uniform(0.0, 1.0), "offset": jt.Uniform(0.0, 2.0)}


def valley(lr, offset, count):
    """What `VALLEY` reports after so many updates."""
    return (count * lr - 1) ** 2 + offset
