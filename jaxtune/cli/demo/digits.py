"""Two small Flax networks on scikit-learn's handwritten digits: the task, space and search of the demo."""

from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
import optax
from flax import linen as nn
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import jaxtune as jt
from jaxtune.schedulers import Plan, Row

SPACE = {"lr": jt.LogUniform(1e-5, 1e-1), "weight_decay": jt.LogUniform(1e-4, 1.0), "dropout": jt.Uniform(0.0, 0.7)}

_SPLIT_SEED = 0  # of its own: another seed of the search must not change what it is tested on
_EARLY = 10  # steps between evaluations before the first decision
_TRIALS = {"halving": 512, "pbt": 32, "full": 32}


class MLP(nn.Module):
    """64 pixels, two hidden layers of 64 units, 10 classes."""

    dropout: Any = 0.0

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """[N, 64] pixels to [N, 10] logits."""
        for _ in range(2):
            x = nn.relu(nn.Dense(64)(x))
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return nn.Dense(10)(x)


class CNN(nn.Module):
    """Two convolutions, each followed by pooling: 8 x 8 x 1, 4 x 4 x 16, 2 x 2 x 32, 10 classes."""

    dropout: Any = 0.0

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """[N, 64] pixels to [N, 10] logits."""
        x = x.reshape(-1, 8, 8, 1)
        for features in (16, 32):
            x = nn.max_pool(nn.relu(nn.Conv(features, (3, 3))(x)), (2, 2), strides=(2, 2))
        x = nn.Dropout(self.dropout, deterministic=not train)(x.reshape(len(x), -1))
        return nn.Dense(10)(x)


def mlp(hp: dict) -> MLP:
    """The multilayer perceptron of one trial."""
    return MLP(dropout=jt.rate(hp["dropout"]))


def cnn(hp: dict) -> CNN:
    """The convolutional network of one trial."""
    return CNN(dropout=jt.rate(hp["dropout"]))


def optimizer(hp: dict, total_steps: Any) -> optax.GradientTransformation:
    """AdamW, whose learning rate rises over the first 2 % of the training and then falls along a cosine."""
    learning_rate = jt.schedules.warmup_cosine_decay_schedule(
        init_value=0.0, peak_value=hp["lr"], warmup_steps=0.02 * total_steps, decay_steps=total_steps
    )
    return optax.adamw(learning_rate, weight_decay=hp["weight_decay"])


def loss(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """[N] cross-entropies. Slightly smoothed labels: a third fewer errors, as the network is never sure."""
    return optax.softmax_cross_entropy(logits, optax.smooth_labels(jax.nn.one_hot(labels, 10), alpha=0.02))


def splits() -> dict[str, Any]:
    """1,437 digits to train on, 180 to select by, 180 to test: [N, 64] pixels in [-1, 1] and [N] labels."""
    pixels, labels = load_digits(return_X_y=True)
    data = (pixels / 8 - 1).astype(np.float32), labels.astype(np.int32)
    x, x_test, y, y_test = train_test_split(*data, test_size=180, stratify=data[1], random_state=_SPLIT_SEED)
    x, x_val, y, y_val = train_test_split(x, y, test_size=180, stratify=y, random_state=_SPLIT_SEED)
    return {"train": (x, y), "validation": (x_val, y_val), "test": (x_test, y_test)}


def task(model: str) -> jt.Task:
    """What one trial is.

    Args:
        model: "mlp" or "cnn".
    """
    return jt.supervised(
        {"mlp": mlp, "cnn": cnn}[model],
        optimizer=optimizer,
        loss=loss,
        metrics={"accuracy": jt.metrics.accuracy},
        batch_size=64,
        **splits(),
    )


def interval(max_steps: int) -> int:
    """Steps between evaluations, and before the first decision: 50, or a quarter of a short training."""
    return max(1, min(50, max_steps // 4))


def scheduler(name: str, trials: int | None, max_steps: int) -> Any:
    """Who is trained for how long.

    Args:
        name: "halving", "hyperband", "pbt" or "full".
        trials: Number of configurations; None for the default.
        max_steps: Steps of a full training, rounded to a multiple of those before the first decision.

    Raises:
        ValueError: A number is out of its range, or trials are given for Hyperband.
    """
    every = interval(max_steps)
    steps = round(max_steps / every) * every
    if name == "hyperband":
        if trials is not None:
            raise ValueError("hyperband takes no number of trials: its brackets fix it.")
        return jt.Hyperband(min_steps=every, max_steps=steps, eta=4)
    trials = _TRIALS[name] if trials is None else trials
    if name == "halving":
        return jt.SuccessiveHalving(trials, min_steps=every, max_steps=steps, eta=4)
    if name == "pbt":  # about 16 generations: weights that were copied need time to become different
        return jt.PopulationBasedTraining(trials, steps, interval=every * max(1, steps // every // 16))
    return jt.FullBudget(trials, steps)


@dataclass(frozen=True)
class Watched:
    """A scheduler that has the population evaluated a few times before its first decision, where most curves end."""

    scheduler: Any
    every: int

    def plan(self) -> Plan:
        """The scheduler's table with further rows in front."""
        plan = self.scheduler.plan()
        early = tuple(Row(stop) for stop in range(self.every, plan.rows[0].stop, self.every))
        return replace(plan, rows=early + plan.rows, multiple=self.every)


def search(task: jt.Task, scheduler: Any, evaluate_every: int, seed: int, **kept: Any) -> jt.Result:
    """Tunes a network.

    Selects by the loss, which tells apart configurations that classify as many of 180 digits correctly; `kept` says
    where the search is kept and whether its winner is confirmed, as for `tune`.
    """
    if scheduler.plan().rows[0].stop == evaluate_every and evaluate_every % _EARLY == 0:
        scheduler = Watched(scheduler, _EARLY)
    return jt.tune(task, SPACE, scheduler=scheduler, metric="loss", evaluate_every=evaluate_every, seed=seed, **kept)
