"""Small networks on real data: digits, MNIST's test file as 7 x 7 pixels, concrete, breast cancer.

One hidden layer, AdamW, a cosine. Each seed has a split of its own (of concrete the published ones), so that no table
is about one split. Losses are those on validation and test data, without label smoothing.
"""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from sklearn import datasets

import jaxtune as jt
from problems.problem import Problem

COMMON = {
    "lr": jt.LogUniform(1e-4, 0.3),
    "slowness": jt.LogUniform(0.01, 1.0),  # 1 - b1
    "weight_decay": jt.LogUniform(1e-4, 10.0),
    "dropout": jt.Uniform(0.0, 0.7),
    "init_scale": jt.LogUniform(0.05, 5.0),
}
SMOOTHED = COMMON | {"smoothing": jt.LogUniform(1e-3, 0.5)}
EIGHT = SMOOTHED | {"warmup": jt.Uniform(0.0, 0.5), "forgetting": jt.LogUniform(1e-4, 0.5)}  # 1 - b2
DEFAULTS = {"slowness": 0.1, "weight_decay": 1e-2, "dropout": 0.0, "init_scale": 1.0}
DEFAULTS |= {"smoothing": 0.0, "warmup": 0.0, "forgetting": 1e-3}


class Network(nn.Module):
    """A layer of 64 units, with dropout."""

    outputs: int
    dropout: Any
    scale: Any

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """[N, D] to [N, outputs]."""

        def scaled(*args: Any) -> jax.Array:
            return self.scale * nn.initializers.lecun_normal()(*args)

        x = nn.relu(nn.Dense(64, kernel_init=scaled)(x))
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return nn.Dense(self.outputs, kernel_init=scaled)(x)


def optimizer(hp: dict, total_steps: Any) -> optax.GradientTransformation:
    """AdamW, its learning rate up a line and down a cosine."""
    hp = DEFAULTS | hp
    rate = jt.schedules.warmup_cosine_decay_schedule(0.0, hp["lr"], hp["warmup"] * total_steps, total_steps)
    return optax.adamw(rate, b1=1 - hp["slowness"], b2=1 - hp["forgetting"], weight_decay=hp["weight_decay"])


def smoothed_loss(logits: jax.Array, labels: jax.Array, hp: dict) -> jax.Array:
    """What classifiers are trained by, [N]."""
    labels = jax.nn.one_hot(labels, logits.shape[-1])
    return optax.softmax_cross_entropy(logits, optax.smooth_labels(labels, (DEFAULTS | hp)["smoothing"]))


def log_loss(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """What they are compared by, [N]."""
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels)


def bounded_loss(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """The same of probabilities between 1 and 99 %, [N]: 80 examples may be told apart perfectly, to a loss of 0."""
    return optax.softmax_cross_entropy_with_integer_labels(jnp.log(0.01 + 0.98 * jax.nn.softmax(logits)), labels)


def classifier(
    name: str, space: dict, splits: Callable, classes: int, kind: str = "real", measure: Callable = log_loss
) -> Problem:
    """A problem of labels."""
    return _problem(name, kind, space, splits, classes, smoothed_loss, log_loss=measure)


def regression(name: str, space: dict, splits: Callable[[int], dict]) -> Problem:
    """A problem of one target."""
    return _problem(name, "real", space, splits, 1, optax.squared_error, rmse=jt.metrics.rmse)


def _problem(name: str, kind: str, space: dict, splits: Callable, outputs: int, loss: Callable, **metrics) -> Problem:
    def model(hp):
        hp = DEFAULTS | hp
        return Network(outputs, jt.rate(hp["dropout"]), hp["init_scale"])

    @functools.cache
    def first():
        return jt.supervised(model, optimizer=optimizer, loss=loss, metrics=metrics, batch_size=32, **splits(0))

    return Problem(name, kind, space, lambda seed: first().replace(**splits(seed)), *metrics)


def divided(x: np.ndarray, y: np.ndarray, order: np.ndarray, validation: int, test: int) -> dict[str, Any]:
    """Takes rows in an order for testing, validation and training; inputs are standardised by the last of these."""
    parts = {"test": order[:test], "validation": order[test : test + validation], "train": order[test + validation :]}
    mean, deviation = x[parts["train"]].mean(0), x[parts["train"]].std(0)
    x = ((x - mean) / np.where(deviation > 0, deviation, 1)).astype(np.float32)
    return {name: (x[rows], y[rows]) for name, rows in parts.items()}


def at_random(load: Callable, what: Any, validation: int, test: int, seed: int) -> dict[str, Any]:
    """A random split."""
    x, y = load(what)
    return divided(x, y, np.random.default_rng(seed).permutation(len(x)), validation, test)


@functools.cache
def of_sklearn(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and labels of a set that comes with scikit-learn."""
    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    return x.astype(np.float32), y.astype(np.int32)


@functools.cache
def mnist(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """10,000 images, each of 7 x 7 means."""
    with np.load(folder / "mnist10k.npz") as file:
        x, y = file["x"], file["y"]
    return x.reshape(-1, 7, 4, 7, 4).mean((2, 4)).reshape(-1, 49).astype(np.float32), y.astype(np.int32)


def concrete(folder: Path, seed: int) -> dict[str, Any]:
    """One of the 20 published splits, targets standardised."""
    with np.load(folder / "uci_concrete.npz") as file:
        x, y, mask = file["x"], file["y"][:, None], file["train_mask"][seed % 20]
    known = np.random.default_rng(seed).permutation(np.flatnonzero(mask))
    y = ((y - y[mask].mean()) / y[mask].std()).astype(np.float32)
    return divided(x, y, np.concatenate([np.flatnonzero(~mask), known]), 140, int((~mask).sum()))


def problems(folder: Path | None) -> Iterator[Problem]:
    """All that there are data for."""
    digits = functools.partial(at_random, of_sklearn, "digits", 300, 300)
    yield classifier("digits", SMOOTHED, digits, 10)
    if folder is not None and (folder / "mnist10k.npz").exists():
        yield classifier("mnist10k", EIGHT, functools.partial(at_random, mnist, folder, 1000, 1000), 10)
    if folder is not None and (folder / "uci_concrete.npz").exists():
        yield regression("concrete", COMMON, functools.partial(concrete, folder))
    cancer = functools.partial(at_random, of_sklearn, "breast_cancer", 80, 189)
    yield classifier("cancer", COMMON, cancer, 2, measure=bounded_loss)
    for few in (("lr", "weight_decay", "dropout"), ("lr", "dropout")):
        yield classifier(f"digits{len(few)}", {name: COMMON[name] for name in few}, digits, 10, kind="variant")
