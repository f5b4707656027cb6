"""What gpu.py trains: plain Flax networks on random data of well-known shapes, by jaxtune and by hand.

By hand is what a JAX user would write: one `jit(vmap(scan))` over all lanes, whose batches are shared. bfloat16 is
Flax's own `dtype`: layers compute in it, parameters and loss stay float32.
"""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from lanes import Lanes

import jaxtune as jt

EXAMPLES, CLASSES = 2048, 10
CONTEXT, CHARACTERS = 64, 65  # of text
SPACE = {"lr": jt.LogUniform(1e-4, 1e-2), "weight_decay": jt.LogUniform(1e-4, 1e-2)}


class MLP(nn.Module):
    """Two hidden layers."""

    width: int
    dtype: str

    @nn.compact
    def __call__(self, x):
        """Logits."""
        for _ in range(2):
            x = nn.relu(nn.Dense(self.width, dtype=self.dtype)(x))
        return nn.Dense(CLASSES, dtype=self.dtype)(x)


class CNN(nn.Module):
    """Two convolutions with pooling, and a hidden layer."""

    dtype: str

    @nn.compact
    def __call__(self, x):
        """Logits."""
        for features in (16, 32):
            x = nn.relu(nn.Conv(features, (3, 3), dtype=self.dtype)(x))
            x = nn.max_pool(x, (2, 2), strides=(2, 2))
        x = nn.relu(nn.Dense(128, dtype=self.dtype)(x.reshape(x.shape[0], -1)))
        return nn.Dense(CLASSES, dtype=self.dtype)(x)


class Transformer(nn.Module):
    """Two pre-norm decoder blocks that predict the next character."""

    dtype: str
    width: int = 128

    @nn.compact
    def __call__(self, x):
        """Logits [B, CONTEXT, CHARACTERS]."""
        mask = nn.make_causal_mask(x)
        positions = self.param("positions", nn.initializers.normal(0.02), (CONTEXT, self.width))
        x = nn.Embed(CHARACTERS, self.width, dtype=self.dtype)(x) + positions.astype(self.dtype)
        for _ in range(2):
            y = nn.LayerNorm(dtype=self.dtype)(x)
            x = x + nn.MultiHeadDotProductAttention(num_heads=4, dtype=self.dtype)(y, mask=mask)
            y = nn.gelu(nn.Dense(4 * self.width, dtype=self.dtype)(nn.LayerNorm(dtype=self.dtype)(x)))
            x = x + nn.Dense(self.width, dtype=self.dtype)(y)
        return nn.Dense(CHARACTERS, dtype=self.dtype)(nn.LayerNorm(dtype=self.dtype)(x))


class Model(NamedTuple):
    """A network, its data, and the lane counts to time."""

    title: str
    network: Callable  # dtype -> linen module
    inputs: tuple[int, ...]  # of one example; () stands for text
    batch: int
    lanes: tuple[int, ...]

    def __str__(self):
        return f"{self.title}, batch {self.batch}"


def mlp(inputs, width, batch, lanes):
    """An MLP with ten classes."""
    return Model(f"{inputs}-{width}-{width}-10", lambda dtype: MLP(width, dtype), (inputs,), batch, lanes)


MODELS = {
    "small": mlp(64, 32, 64, (1, 16, 64, 256, 1024, 4096)),
    "medium": mlp(64, 128, 64, (1, 8, 32, 128, 512, 2048)),
    "large": mlp(784, 512, 128, (1, 4, 16, 64, 256, 512)),
    "cnn": Model("CNN 28x28, 16-32-128-10", CNN, (28, 28, 1), 64, (1, 4, 16, 64, 128, 512)),
    "transformer": Model("transformer, 2 layers of 128, 64 characters", Transformer, (), 16, (1, 4, 16, 64, 128, 256)),
}


def optimizer(hp):
    """AdamW."""
    return optax.adamw(hp["lr"], weight_decay=hp["weight_decay"])


def loss(outputs, targets):
    """Cross-entropy."""
    return optax.softmax_cross_entropy_with_integer_labels(outputs.astype(jnp.float32), targets)


def data(model, examples=EXAMPLES):
    """Random inputs; classes follow from them linearly, the next character from the one before."""
    rng = np.random.default_rng(0)
    if not model.inputs:
        x = rng.integers(0, CHARACTERS, (examples, CONTEXT))
        return x, (7 * x + 3) % CHARACTERS
    x = rng.normal(size=(examples, *model.inputs)).astype(np.float32)
    weights = np.random.default_rng(1).normal(size=(x[0].size, CLASSES))
    return x, np.argmax(x.reshape(examples, -1) @ weights, axis=1)


def task(model, dtype, train, validation):
    """The training of a model for jaxtune."""
    return jt.supervised(
        model.network(dtype),
        optimizer=optimizer,
        loss=loss,
        train=train,
        validation=validation,
        batch_size=model.batch,
    )


def trainer(network):
    """The training of one configuration by hand: (hp, params, state, indices, x, y) -> (params, state)."""

    def train(hp, params, state, indices, x, y):
        tx = optimizer(hp)

        def step(carry, index):
            params, state = carry
            grads = jax.grad(lambda p: loss(network.apply(p, x[index]), y[index]).mean())(params)
            updates, state = tx.update(grads, state, params)
            return (optax.apply_updates(params, updates), state), None

        return jax.lax.scan(step, (params, state), indices)[0]

    return train


def by_jaxtune(model, dtype, lanes, burst):
    """A function that trains all lanes for some bursts, and how many lanes are trained at once."""
    x, y = data(model)
    placement = jt.Placement(devices=jax.devices()[:1])
    population = Lanes.of(task(model, dtype, (x, y), (x[:64], y[:64])), SPACE, lanes, placement, burst)
    population.group.programs.ready("advance", population.group.layout)
    return population.train, population.group.layout.width


def by_hand(model, dtype, lanes, burst):
    """A function that trains all lanes for some bursts; state goes from call to call and its memory is reused."""
    x, y = (jnp.asarray(a) for a in data(model))
    network = model.network(dtype)
    params = network.init(jax.random.key(0), x[:1])
    indices = jax.random.randint(jax.random.key(1), (burst, model.batch), 0, EXAMPLES)
    hps = {name: jnp.geomspace(1e-4, 1e-2, lanes) for name in SPACE}
    start = params, optimizer({"lr": 1e-3, "weight_decay": 1e-3}).init(params)
    carry = jax.tree.map(lambda a: jnp.repeat(a[None], lanes, 0), start)
    many = jax.jit(jax.vmap(trainer(network), in_axes=(0, 0, 0, None, None, None)), donate_argnums=(1, 2))
    many = many.lower(hps, *carry, indices, x, y).compile()

    def run(bursts):
        nonlocal carry
        for _ in range(bursts):
            carry = many(hps, *carry, indices, x, y)
        return carry

    return run
