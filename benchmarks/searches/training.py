"""The training of one configuration, written by hand in JAX: compiled once, hyperparameters are arguments."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from searches import work as w


class Training(NamedTuple):
    """Pure functions of one trial; its state is parameters and optimizer state."""

    start: Callable[[dict, jax.Array], Any]  # hp, key -> state
    advance: Callable[..., Any]  # state, hp, key, rows [steps, batch], from step, to step -> state
    validation_loss: Callable[[Any], jax.Array]  # state -> scalar


def training(work: w.Work) -> Training:
    """Makes them for a work. All trials of a key share initial weights, batches and dropout bits, as jaxtune's do."""
    data = jax.tree.map(jnp.asarray, work.splits())
    (x, y), (x_val, y_val) = data["train"], data["validation"]

    def start(hp, key):
        params = work.model(hp).init(key, x[:1], train=False)
        return params, w.optimizer(hp, work.max_steps).init(params)

    def advance(state, hp, key, rows, begin, end):
        model, tx = work.model(hp), w.optimizer(hp, work.max_steps)

        def step(number, state):
            params, opt_state = state
            rngs = {"dropout": jax.random.fold_in(key, number)}
            batch = x[rows[number]], y[rows[number]]
            grads = jax.grad(lambda p: w.loss(model.apply(p, batch[0], train=True, rngs=rngs), batch[1]).mean())(params)
            updates, opt_state = tx.update(grads, opt_state, params)
            return jax.tree.map(jnp.add, params, updates), opt_state

        return jax.lax.fori_loop(begin, end, step, state)

    def validation_loss(state):
        nothing = {name: jnp.float32(0.5) for name in w.SPACE}  # a model that is not trained reads no dropout rate
        return w.loss(work.model(nothing).apply(state[0], x_val, train=False), y_val).mean()

    return Training(start, advance, validation_loss)


def trainer(work):
    """One trial at a time, compiled once per device: from a state (None: a new one) to a later one and its loss."""
    parts = training(work)

    @functools.partial(jax.jit, donate_argnums=0)
    def go_on(state, hp, key, rows, begin, end):
        state = parts.advance(state, hp, key, rows, begin, end)
        return state, parts.validation_loss(state)

    start = jax.jit(parts.start)

    def train(state, hp, key, rows, begin, end):
        return go_on(start(hp, key) if state is None else state, hp, key, rows, begin, end)

    return train


def arrays(hp: dict) -> dict[str, np.float32]:
    """Hyperparameters as arguments of a compiled function: of one type, whatever the library gave."""
    return {name: np.float32(hp[name]) for name in w.SPACE}


def safe(loss: Any) -> float:
    """A loss that can be compared: a diverged trial is the worst."""
    return float(loss) if np.isfinite(loss) else float("inf")
