"""What every peer has to do: a model, its data, a space, rungs and a number of trials."""

import dataclasses
import functools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

import jaxtune as jt
from jaxtune.cli.demo import digits

CHARACTERS = 65  # of Tiny Shakespeare
SPACE = digits.SPACE  # learning rate, weight decay, dropout


@dataclass(frozen=True)
class Work:
    """A search: `trials` configurations, of which the best 1/eta goes on at each rung."""

    name: str
    what: str
    model: Callable[[dict], nn.Module]
    splits: Callable[[], dict[str, Any]]
    trials: int = 512
    min_steps: int = 50
    max_steps: int = 3200
    eta: int = 4
    batch: int = 64

    @property
    def rungs(self) -> list[int]:
        """Steps at which trials are compared; the last one is the end."""
        steps = [self.min_steps]
        while steps[-1] < self.max_steps:
            steps.append(min(steps[-1] * self.eta, self.max_steps))
        return steps

    @property
    def scheduler(self) -> Any:
        """The same as a scheduler of jaxtune."""
        if self.min_steps == self.max_steps:
            return jt.FullBudget(self.trials, self.max_steps)
        return jt.SuccessiveHalving(self.trials, self.min_steps, self.max_steps, self.eta)

    def smaller(self) -> "Work":
        """Few trials and steps, to see that everything works."""
        min_steps = 40 if self.min_steps == self.max_steps else 10
        return dataclasses.replace(self, trials=8, min_steps=min_steps, max_steps=40)


@dataclass
class Found:
    """What a search found, and when.

    The events are (seconds since its start, validation loss) of every evaluation that was better than those before.
    """

    begin: float = field(default_factory=time.perf_counter)
    events: list[tuple[float, float]] = field(default_factory=list)
    best: float = math.inf  # of the trials at the last rung
    share: float = 1.0  # of the whole search that was run; the rest is extrapolated
    first_trials: float = 0.0  # share of the whole search after which its first trials are trained to the end
    seconds: float = 0.0  # without those until the program is compiled, where the two are told apart
    compiling: float = 0.0
    losses: list[float] = field(default_factory=list)  # of all trials that were trained to the end

    def saw(self, loss: float) -> None:
        """Notes an evaluation."""
        if loss < min((value for _, value in self.events), default=math.inf):
            self.events.append((time.perf_counter() - self.begin, float(loss)))

    def done(self) -> "Found":
        """Stops the clock."""
        self.seconds = time.perf_counter() - self.begin - self.compiling
        return self


def rows(work: Work, seed: int) -> np.ndarray:
    """Rows of the training data for every step, [max_steps, batch]: epochs in random order, ragged ends dropped."""
    rng, size = np.random.default_rng(seed), len(work.splits()["train"][0])
    per_epoch = size // work.batch
    epochs = [rng.permutation(size)[: per_epoch * work.batch] for _ in range(-(-work.max_steps // per_epoch))]
    return np.concatenate(epochs).reshape(-1, work.batch)[: work.max_steps].astype(np.int32)


class Wide(nn.Module):
    """64 pixels, two hidden layers of 512 units, 10 classes."""

    dropout: Any

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """[N, 64] pixels to [N, 10] logits."""
        for _ in range(2):
            x = nn.relu(nn.Dense(512)(x))
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return nn.Dense(10)(x)


class Transformer(nn.Module):
    """Predicts the next character: two blocks of width 64 with 4 heads."""

    dropout: Any

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """[N, T] characters to [N, T, CHARACTERS] logits."""
        places = self.param("places", nn.initializers.normal(0.02), (x.shape[1], 64))
        x, mask = nn.Embed(CHARACTERS, 64)(x) + places, nn.make_causal_mask(x)
        for _ in range(2):
            x = x + nn.MultiHeadDotProductAttention(4)(nn.LayerNorm()(x), mask=mask)
            h = nn.Dense(64)(nn.gelu(nn.Dense(256)(nn.LayerNorm()(x))))
            x = x + nn.Dropout(self.dropout, deterministic=not train)(h)
        return nn.Dense(CHARACTERS)(nn.LayerNorm()(x))


def optimizer(hp: dict, total_steps: Any) -> Any:
    """The demo's AdamW with warm-up and cosine decay."""
    return digits.optimizer(hp, total_steps)


def loss(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """[..., classes] to the demo's cross-entropy with slightly smoothed labels, [...]."""
    smooth = 0.98 * jax.nn.one_hot(labels, logits.shape[-1]) + 0.02 / logits.shape[-1]
    return -jnp.sum(smooth * jax.nn.log_softmax(logits), axis=-1)


def text_splits(folder: Path, length: int = 32) -> dict[str, Any]:
    """Tiny Shakespeare in pieces of 32 characters: 8,192 to train on, 256 to select by."""
    text = np.frombuffer((folder / "tinyshakespeare.txt").read_bytes(), np.uint8)
    codes = np.unique(text, return_inverse=True)[1].astype(np.int32)
    pieces = codes[: len(codes) // (length + 1) * (length + 1)].reshape(-1, length + 1)
    pieces = np.random.default_rng(0).permutation(pieces)
    inputs, targets = pieces[:, :-1], pieces[:, 1:]
    parts = {"train": slice(8192), "validation": slice(8192, 8192 + 256)}
    return {name: (inputs[part], targets[part]) for name, part in parts.items()}


def works(folder: Path | None) -> dict[str, Work]:
    """Every search that `--model` can name.

    Args:
        folder: Of tinyshakespeare.txt, which the transformer needs.
    """
    found = [
        Work("mlp", "64-64-64-10 MLP on digits", digits.mlp, digits.splits),
        Work("cnn", "CNN on digits, 8x8", digits.cnn, digits.splits, trials=32, max_steps=800),
        Work("wide", "64-512-512-10 MLP on digits", wide, digits.splits, trials=32, max_steps=800),
        Work("few", "64-64-64-10 MLP on digits, 8 trials", digits.mlp, digits.splits, trials=8, min_steps=3200),
    ]
    if folder is not None:
        what = "transformer (2 blocks of 64, 32 characters) on Tiny Shakespeare"
        splits = functools.partial(text_splits, folder)
        found.append(Work("transformer", what, transformer, splits, trials=16, max_steps=200, batch=32))
    return {work.name: work for work in found}


def wide(hp: dict) -> Wide:
    """The wide network of one trial."""
    return Wide(jt.rate(hp["dropout"]))


def transformer(hp: dict) -> Transformer:
    """The language model of one trial."""
    return Transformer(jt.rate(hp["dropout"]))
