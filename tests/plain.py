"""Training in plain Flax and Optax, one trial with Python floats, as a reference for supervised tasks.

Weights start from a fixed pattern and every batch is the whole training split, so that neither keys
nor the order of batches matter.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

CROSS_ENTROPY = optax.softmax_cross_entropy_with_integer_labels


def wave(key, shape, dtype=jnp.float32):
    """An initializer that ignores its key."""
    return 0.7 * jnp.sin(1 + 3 * jnp.arange(np.prod(shape), dtype=dtype)).reshape(shape)


class Net(nn.Module):
    outputs: int = 3
    rate: float = 0.0

    @nn.compact
    def __call__(self, x, train=False):
        x = nn.tanh(nn.Dense(8, kernel_init=wave, name="body")(x))
        x = nn.Dropout(self.rate, deterministic=not train)(x)
        return nn.Dense(self.outputs, kernel_init=wave, name="head")(x)


class NnxNet(nnx.Module):
    """The same for nnx, without dropout."""

    def __init__(self, hp, rngs):
        self.body = nnx.Linear(4, 8, kernel_init=wave, rngs=rngs)
        self.head = nnx.Linear(8, 3, kernel_init=wave, rngs=rngs)

    def __call__(self, x):
        return self.head(nnx.tanh(self.body(x)))


def data(size, seed=0):
    """Four features, three classes."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0.5, 1.5, (size, 4)).astype(np.float32)
    y = (x[:, 0] + x[:, 1] * x[:, 2] > 1).astype(np.int32) + (x[:, 3] > 1)
    return x, y.astype(np.int32)


TRAIN, VALIDATION = data(24), data(37, seed=1)


def sgd(hp):
    return optax.sgd(hp["lr"], momentum=0.9)


def course(objective, params, optimizer, num_steps):
    """Parameters before the first and after each step down `objective(params, step)`.

    `optimizer` may be a function of the step.
    """
    made = optimizer if callable(optimizer) else lambda step: optimizer

    @jax.jit
    def update(params, state, step):
        updates, state = made(step).update(jax.grad(objective)(params, step), state, params)
        return optax.apply_updates(params, updates), state

    state, seen = made(0).init(params), [params]
    for step in range(num_steps):
        params, state = update(params, state, step)
        seen.append(params)
    return seen


def descend(objective, params, optimizer, num_steps):
    """Parameters after the last step."""
    return course(objective, params, optimizer, num_steps)[-1]
