"""One trial at a time, for searches that ask for one after the other; each function is compiled once for all of them.

The trials of a seed share initial weights, batches and dropout masks, as jaxtune's do.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from problems.problem import MAX_STEPS, Problem


class Trainer:
    """Trains configurations of a problem with one seed, and counts the steps."""

    def __init__(self, problem: Problem, seed: int) -> None:
        self.problem, self.task = problem, problem.task(seed)
        self.key, self.rows, self.steps = jax.random.key(seed), rows(self.task, seed), 0

    def train(self, hp: dict, state: Any, begin: int, end: int) -> tuple[Any, float]:
        """From a state (None: a new one) to a later one, and its value; infinity where that is not finite."""
        hp, self.steps = arrays(hp), self.steps + end - begin
        state = _start(self.task, self.key, hp) if state is None else state
        state, metrics = _advance(self.task, state, hp, self.key, self.rows, begin, end)
        value = float(metrics[self.problem.metric])
        return state, value if np.isfinite(value) else float("inf")

    def outcome(self, hp: dict, state: Any, value: float) -> tuple[float, float | None]:
        """What the winner of a search is worth: the regret of a function, or its value and its test value."""
        if self.problem.regret is not None:
            return self.problem.regret(arrays(hp)), None
        return value, float(_test(self.task, state, arrays(hp), self.key)[self.problem.metric])


def arrays(hp: dict) -> dict[str, np.ndarray]:
    """Hyperparameters as arguments of a compiled function, of the types that jaxtune gives them."""
    return {name: np.asarray(x, np.int32 if isinstance(x, int) else np.float32) for name, x in hp.items()}


def rows(task: Any, seed: int) -> np.ndarray:
    """Rows of the training data for every step [MAX_STEPS, batch]: epochs in random order, ragged ends dropped."""
    if task.train is None:
        return np.zeros((MAX_STEPS, 0), np.int32)
    rng, per_epoch = np.random.default_rng(seed), task.num_examples // task.batch_size
    epochs = [rng.permutation(task.num_examples) for _ in range(-(-MAX_STEPS // per_epoch))]
    whole = [epoch[: per_epoch * task.batch_size] for epoch in epochs]
    return np.concatenate(whole).reshape(-1, task.batch_size)[:MAX_STEPS].astype(np.int32)


def _extras(step: Any) -> dict[str, Any]:
    return {"step": step, "total_steps": jnp.int32(MAX_STEPS)}


@jax.jit
def _start(task, key, hp):
    return task.init(jax.random.fold_in(key, 0), hp, **_extras(jnp.int32(0)))


@functools.partial(jax.jit, donate_argnums=1)
def _advance(task, state, hp, key, rows, begin, end):
    def step(number, state):
        batch = jax.tree.map(lambda x: x[rows[number]], task.train)
        own = jax.random.fold_in(jax.random.fold_in(key, 1), number)
        return task.step(own, state, batch, hp, **_extras(number))[0]

    state = jax.lax.fori_loop(begin, end, step, state)
    return state, task.evaluate(jax.random.fold_in(key, 2), state, task.validation, hp, **_extras(end))


@jax.jit
def _test(task, state, hp, key):
    return task.evaluate(jax.random.fold_in(key, 2), state, task.test, hp, **_extras(jnp.int32(MAX_STEPS)))
