"""Functions in the place of trainings: what they are worth is known exactly, and what a search sees of it is noisy.

A trial's noise hangs on its hyperparameters, the search's key and the step count, as that of a training does.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxtune as jt
from problems.problem import MAX_STEPS, Problem

FLOOR = 1e-4  # no regret counts as less, for ratios are taken

_A = np.array(
    [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
)
_P = np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)
_LOWEST = -3.32237


def hartmann6(x: jax.Array, share: Any) -> jax.Array:
    """[6] and the share of a full training to how far the Hartmann function lies above its lowest value.

    After few steps two of its four wells are flatter, as in Kandasamy et al., "Multi-fidelity Gaussian Process Bandit
    Optimisation", 2019, and all values are higher.
    """
    depth = jnp.array([1.0, 1.2, 3.0, 3.2]) - 0.4 * (1 - share) * jnp.array([0.0, 0.0, 1.0, 2.0])
    return -_LOWEST - jnp.sum(depth * jnp.exp(-jnp.sum(_A * (x - _P * 1e-4) ** 2, axis=1))) + 0.6 * (1 - share)


def hartmann(hp: dict, share: Any) -> tuple[jax.Array, Any]:
    """Value and standard deviation of its noise."""
    return hartmann6(_vector(hp), share), 0.1 * (2 - share)


def misleading(hp: dict, share: Any) -> tuple[jax.Array, Any]:
    """The same, but at the beginning of a training it is mirrored: the early rungs prefer other places."""
    x = _vector(hp)
    return share * hartmann6(x, 1.0) + (1 - share) * hartmann6(1 - x, 1.0), 0.1 * (2 - share)


def counting_ones(hp: dict, share: Any) -> tuple[jax.Array, Any]:
    """The share of zeros of 8 bits, and of 8 coins of which as many throws are seen as steps were made.

    Of Falkner et al., "BOHB", ICML 2018, section 5.1; noise as of binomial counts.
    """
    x = _vector(hp)
    variance = jnp.sum(x[8:] * (1 - x[8:])) / (share * MAX_STEPS)
    return 1 - jnp.mean(x), jnp.sqrt(variance) / len(x)


def _vector(hp: dict) -> jax.Array:
    return jnp.stack([jnp.asarray(hp[name], jnp.float32) for name in sorted(hp)])


@dataclass(frozen=True)
class Evaluate:
    """A function as `Task.evaluate`."""

    function: Callable

    def __call__(self, key: Any, state: Any, data: Any, hp: dict, step: Any, total_steps: Any) -> dict[str, jax.Array]:
        """The value with noise."""
        value, deviation = self.function(hp, step / total_steps)
        bits = jax.lax.bitcast_convert_type(_vector(hp), jnp.uint32)
        primes = np.array([2654435761, 2246822519, 3266489917, 668265263], np.uint32)[np.arange(len(hp)) % 4]
        word = jnp.sum(bits * primes * np.arange(1, 2 * len(hp), 2, dtype=np.uint32), dtype=jnp.uint32)
        own = jax.random.fold_in(jax.random.fold_in(jax.random.wrap_key_data(state), word), step)
        return {"value": value + deviation * jax.random.normal(own)}


def init(key: Any, hp: dict, step: Any, total_steps: Any) -> jax.Array:
    """The state of a trial is the key of its generation."""
    return jax.random.key_data(key)


def advance(key: Any, state: Any, batch: Any, hp: dict, step: Any, total_steps: Any) -> tuple[jax.Array, dict]:
    """A step of a training that is none."""
    return state, {}


def _problem(name: str, space: dict, function: Callable, kind: str = "function") -> Problem:
    task = jt.Task(init=init, step=advance, evaluate=Evaluate(function))

    @functools.cache
    def exact():
        return jax.jit(lambda hp: function(hp, 1.0)[0])

    return Problem(name, kind, space, lambda seed: task, "value", lambda hp: max(float(exact()(hp)), FLOOR))


_CUBE = {f"x{i}": jt.Uniform(0.0, 1.0) for i in range(6)}
_ONES = {f"a{i}": jt.Choice((0, 1), static=False) for i in range(8)} | {f"b{i}": jt.Uniform(0.0, 1.0) for i in range(8)}

PROBLEMS = (
    _problem("hartmann", _CUBE, hartmann),
    _problem("counting-ones", _ONES, counting_ones),
    _problem("misleading", _CUBE, misleading, kind="variant"),
)
