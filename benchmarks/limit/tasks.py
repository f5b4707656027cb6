"""What the limits are measured on: networks of several kinds on random data, since only shapes matter here."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxtune as jt

EXAMPLES, BATCH, INPUTS, CLASSES, TOKENS = 1437, 64, 64, 10, 32
SPACE = {"lr": jt.LogUniform(1e-4, 1e-2), "weight_decay": jt.LogUniform(1e-4, 1e-2)}


class CNN(nn.Module):
    """Two plain convolutions, each followed by pooling."""

    @nn.compact
    def __call__(self, x):
        """[N, 64] to [N, 10]."""
        x = x.reshape(-1, 8, 8, 1)
        for features in (16, 32):
            x = nn.avg_pool(nn.relu(nn.Conv(features, (3, 3))(x)), (2, 2), strides=(2, 2))
        return nn.Dense(CLASSES)(x.reshape(len(x), -1))


class Transformer(nn.Module):
    """One causal block of width 32 with two heads, on sequences of 16 tokens."""

    @nn.compact
    def __call__(self, tokens):
        """[N, 16] tokens to [N, 16, 32] logits."""
        x = nn.Embed(TOKENS, 32)(tokens)
        x = x + nn.MultiHeadDotProductAttention(num_heads=2)(nn.LayerNorm()(x), mask=nn.make_causal_mask(tokens))
        x = x + nn.Dense(32)(nn.gelu(nn.Dense(128)(nn.LayerNorm()(x))))
        return nn.Dense(TOKENS)(x)


def optimizer(hp: dict) -> optax.GradientTransformation:
    """AdamW."""
    return optax.adamw(hp["lr"], weight_decay=hp["weight_decay"])


def task(model: nn.Module) -> jt.Task:
    """Training of a network with AdamW in batches of 64 (16 sequences for the transformer)."""
    rng = np.random.default_rng(0)
    if isinstance(model, Transformer):
        tokens = rng.integers(0, TOKENS, (EXAMPLES, 17)).astype(np.int32)
        x, y, batch = tokens[:, :-1], tokens[:, 1:], 16
    else:
        x, y, batch = rng.normal(size=(EXAMPLES, INPUTS)).astype(np.float32), rng.integers(0, CLASSES, EXAMPLES), BATCH
    return jt.supervised(
        model,
        optimizer=optimizer,
        loss=optax.softmax_cross_entropy_with_integer_labels,
        train=(x, y),
        validation=(x[:64], y[:64]),
        batch_size=batch,
    )


TINY_SPACE = {"lr": jt.LogUniform(1e-4, 0.5), "momentum": jt.Uniform(0.0, 0.9)}


def sgd(hp: dict) -> optax.GradientTransformation:
    """Stochastic gradient descent with momentum."""
    return optax.sgd(hp["lr"], momentum=hp["momentum"])


def tiny_task(model: Any = None, optimizer: Any = sgd) -> jt.Task:
    """A linear regression, by a linear model if none is given: so little work that all the rest shows."""
    x = np.linspace(-1, 1, 64, dtype=np.float32)[:, None]
    data = {"train": (x, 3 * x), "validation": (x, 3 * x), "batch_size": 16}
    return jt.supervised(model or nn.Dense(1), optimizer=optimizer, loss=optax.squared_error, **data)


def many_hyperparameters(number: int) -> tuple[jt.Task, dict]:
    """The tiny task with so many hyperparameters, all of which act on the learning rate; and its space."""
    names = [f"h{i}" for i in range(number)]
    space = {name: jt.Uniform(0.1, 1.0) for name in names}
    return tiny_task(optimizer=lambda hp: optax.sgd(0.1 * jnp.mean(jnp.stack([hp[n] for n in names])))), space


def one_shape_among(number: int) -> tuple[jt.Task, dict]:
    """A task whose step needs one of so many integers as a shape, and all others as numbers; and its space."""
    names = [f"h{i}" for i in range(number)]
    shape = names[number // 3]

    def step(key, state, batch, hp):
        total = sum(np.ones(hp[name]).sum() if name == shape else hp[name] for name in names)
        return state - 1e-3 * total * state, {"loss": jnp.sum(state**2)}

    task = jt.Task(
        init=lambda key, hp: jax.random.normal(key, (3,)),
        step=step,
        evaluate=lambda key, state, data, hp: {"loss": jnp.sum((state - 1) ** 2)},
    )
    return task, {name: jt.Integer(1, 5) for name in names}


class Width(nn.Module):
    """A network whose width is a static hyperparameter."""

    width: int

    @nn.compact
    def __call__(self, x):
        """[N, 1] to [N, 1]."""
        return nn.Dense(1)(nn.relu(nn.Dense(self.width)(x)))


def many_groups(number: int) -> tuple[jt.Task, dict]:
    """The tiny task with so many static widths, each of which needs programs of its own; and its space."""
    space = TINY_SPACE | {"width": jt.Choice(tuple(range(2, 2 + number)), static=True)}
    return tiny_task(lambda hp: Width(hp["width"])), space
