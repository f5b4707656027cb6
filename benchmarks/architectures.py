"""Small plain Flax models and their tasks, each as its user would write it."""

from pathlib import Path

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

import jaxtune as jt
from jaxtune.cli.demo import digits

SPACE = {"lr": jt.LogUniform(1e-4, 1e-2), "weight_decay": jt.LogUniform(1e-4, 1e-2)}
EXAMPLES, BUCKETS, WIDTHS = 8192, 4096, (16, 64, 256, 1024)


class Block(nn.Module):
    """Attention and a perceptron, each after a LayerNorm and around a shortcut."""

    heads: int
    dropout: float

    @nn.compact
    def __call__(self, x, mask, train):
        """[B, T, d] -> [B, T, d]."""
        attention = nn.MultiHeadDotProductAttention(self.heads, dropout_rate=self.dropout, deterministic=not train)
        x = x + attention(nn.LayerNorm()(x), mask=mask)
        hidden = nn.gelu(nn.Dense(4 * x.shape[-1])(nn.LayerNorm()(x)))
        return x + nn.Dense(x.shape[-1])(hidden)


class Transformer(nn.Module):
    """A character model with causal attention."""

    vocabulary: int
    width: int = 64
    layers: int = 2
    heads: int = 4
    dropout: float = 0.0

    @nn.compact
    def __call__(self, tokens, train=False):
        """[B, T] -> logits [B, T, vocabulary]."""
        places = self.param("places", nn.initializers.normal(0.02), (tokens.shape[-1], self.width))
        x = nn.Embed(self.vocabulary, self.width)(tokens) + places
        mask = nn.make_causal_mask(tokens)
        for _ in range(self.layers):
            x = Block(self.heads, self.dropout)(x, mask, train)
        return nn.Dense(self.vocabulary)(nn.LayerNorm()(x))


class NnxBlock(nnx.Module):
    """`Block` in nnx."""

    def __init__(self, width, heads, rngs):
        self.norms = nnx.List([nnx.LayerNorm(width, rngs=rngs) for _ in range(2)])
        self.attention = nnx.MultiHeadAttention(heads, width, decode=False, rngs=rngs)
        self.up, self.down = nnx.Linear(width, 4 * width, rngs=rngs), nnx.Linear(4 * width, width, rngs=rngs)

    def __call__(self, x, mask):
        """[B, T, d] -> [B, T, d]."""
        x = x + self.attention(self.norms[0](x), mask=mask)
        return x + self.down(nnx.gelu(self.up(self.norms[1](x))))


class NnxTransformer(nnx.Module):
    """`Transformer` in nnx."""

    def __init__(self, vocabulary, context, rngs, width=64, layers=2, heads=4):
        self.embed = nnx.Embed(vocabulary, width, rngs=rngs)
        self.places = nnx.Param(0.02 * rngs.params.normal((context, width)))
        self.blocks = nnx.List([NnxBlock(width, heads, rngs) for _ in range(layers)])
        self.norm, self.head = nnx.LayerNorm(width, rngs=rngs), nnx.Linear(width, vocabulary, rngs=rngs)

    def __call__(self, tokens):
        """[B, T] -> logits [B, T, vocabulary]."""
        x, mask = self.embed(tokens) + self.places[...], nnx.make_causal_mask(tokens)
        for block in self.blocks:
            x = block(x, mask)
        return self.head(self.norm(x))


class Recurrent(nn.Module):
    """A character model with one recurrent layer."""

    cell: type
    vocabulary: int
    width: int = 64

    @nn.compact
    def __call__(self, tokens):
        """[B, T] -> logits [B, T, vocabulary]."""
        x = nn.Embed(self.vocabulary, self.width)(tokens)
        return nn.Dense(self.vocabulary)(nn.RNN(self.cell(self.width))(x))


class Bag(nn.Module):
    """The mean of embeddings, and a perceptron."""

    classes: int
    width: int = 32

    @nn.compact
    def __call__(self, tokens):
        """[B, T] -> logits [B, classes]."""
        x = nn.Embed(BUCKETS, self.width)(tokens).mean(axis=-2)
        return nn.Dense(self.classes)(nn.relu(nn.Dense(64)(x)))


class MLP(nn.Module):
    """Two hidden layers."""

    width: int

    @nn.compact
    def __call__(self, x):
        """Logits."""
        for _ in range(2):
            x = nn.relu(nn.Dense(self.width)(x))
        return nn.Dense(10)(x)


def text(folder, context):
    """Windows [EXAMPLES, context] of characters, the same one character later, and the size of the alphabet."""
    letters = np.frombuffer((Path(folder) / "tinyshakespeare.txt").read_bytes(), np.uint8)
    alphabet, codes = np.unique(letters, return_inverse=True)
    starts = np.random.default_rng(0).integers(0, len(codes) - context - 1, EXAMPLES)
    windows = codes[starts[:, None] + np.arange(context + 1)].astype(np.int32)
    return windows[:, :-1], windows[:, 1:], len(alphabet)


def trigrams(x):
    """Hashes [N, T - 2] of three characters in a row, below BUCKETS."""
    return ((x[:, :-2] * 65 + x[:, 1:-1]) * 65 + x[:, 2:]) % BUCKETS


def adamw(hp):
    """AdamW with traced hyperparameters."""
    return optax.adamw(hp["lr"], weight_decay=hp["weight_decay"])


def supervised(model, x, y, batch_size):
    """A task with the optimizer and loss that all models here share."""
    validation = x[:batch_size], y[:batch_size]
    loss = optax.softmax_cross_entropy_with_integer_labels
    return jt.supervised(model, optimizer=adamw, loss=loss, train=(x, y), validation=validation, batch_size=batch_size)


def tasks(folder, context=32, batch_size=16):
    """Name -> function that makes the task.

    Args:
        folder: Where tinyshakespeare.txt lies.
        context: Characters in a window.
        batch_size: Windows in a batch of a language model; the other models get 64 examples.
    """
    x, y, letters = text(folder, context)
    images, labels = digits.splits()["train"]

    def language(model):
        return lambda: supervised(model, x, y, batch_size)

    made = {
        "transformer": language(Transformer(letters)),
        "transformer 128": language(Transformer(letters, width=128)),
        "transformer nnx": language(lambda hp, rngs: NnxTransformer(letters, context, rngs)),
        "transformer dropout": language(Transformer(letters, dropout=0.1)),
        "LSTM": language(Recurrent(nn.OptimizedLSTMCell, letters)),
        "GRU": language(Recurrent(nn.GRUCell, letters)),
        "LSTM 128": language(Recurrent(nn.OptimizedLSTMCell, letters, width=128)),
        "GRU 128": language(Recurrent(nn.GRUCell, letters, width=128)),
        "embedding bag": lambda: supervised(Bag(letters), trigrams(x), y[:, -1], 64),
        "CNN": lambda: digits.task("cnn"),
    }
    flat = jnp.reshape(images, (len(images), -1))
    return made | {f"MLP {width}": lambda width=width: supervised(MLP(width), flat, labels, 64) for width in WIDTHS}
