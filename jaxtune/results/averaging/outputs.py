"""What several trials predict on one split, and the metrics of any average of it.

Shapes: K trials, F folds (1 without a cross-validation), N examples of the split, in each fold of its own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.results.averaging.averages import mean
from jaxtune.tasks.combining import Both, are_floats, prepared, restored, shapes
from jaxtune.tasks.executables import Jitted
from jaxtune.tasks.fingerprints import array_digest, digest, fingerprint
from jaxtune.tasks.functions import Extras
from jaxtune.tasks.weak import weaken


@dataclass(frozen=True, eq=False)
class Outputs:
    """Outputs of several trials, each averaged over its replicates, fold by fold.

    Both kinds are kept: those that the loss is computed on, and those in the unit of the original targets, which
    metrics see; None for the latter where they are equal.

    Attributes:
        trained: Weights of the first trial, whose task computes the metrics.
        combine: From outputs to what is averaged, and back; None for the outputs themselves.
        data: (inputs, targets) of each fold.
        stacks: What is averaged, of each fold: a pair of trees with leaves [K, N, ...].
        like: Shapes and dtypes of the outputs of each fold, likewise a pair, without the axis of trials.
    """

    trained: Any
    combine: Both | None
    data: list[Any]
    stacks: list[Any]
    like: list[Any]

    @classmethod
    def of(cls, kept: dict[int, Any], split: str, combine: Both | None) -> "Outputs":
        """Lets trials predict.

        Args:
            kept: Id -> its `Winner`.
            split: "validation" or "test".
            combine: See above.

        Raises:
            TypeError: What is to be averaged are no floats, or not one for each example.
            ValueError: Outputs of trials differ in shape.
        """
        trained = [winner.trained for winner in kept.values()]
        data = [next(iter(kept.values()))._data(split, fold) for fold in range(trained[0].num_folds)]
        stacks = []
        for fold, pair in enumerate(data):
            each = [_of_trial(one, fold, pair, combine) for one in trained]
            _check_alike(list(kept), each)
            stacks.append(jax.tree.map(lambda *x: np.stack(x), *each))
        like = [jax.eval_shape(*_call(trained[0], fold, pair, None)) for fold, pair in enumerate(data)]
        return cls(trained[0], combine, data, stacks, like)

    def metrics(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Metrics of the average with weights [K]: name -> [F]."""
        values = []
        for fold, stack in enumerate(self.stacks):
            averaged = mean([jax.tree.map(lambda x, k=k: x[k], stack) for k in range(len(weights))], weights)
            values.append(Jitted(self._of_fold(fold))(averaged, self.data[fold], self.trained.extras(fold)))
        return {name: np.array([float(one[name]) for one in values]) for name in values[0]}

    def costs_of(self, metric: str) -> Callable[[np.ndarray], np.ndarray]:
        """From counts [K] to a metric [K], of the trials that are counted and one more of each, as its mean over folds.

        All trials are tried in one program.
        """
        programs = [Jitted(partial(_of_one_more, self._of_fold(fold), metric)) for fold in range(len(self.stacks))]
        stacks = [jax.tree.map(jnp.asarray, stack) for stack in self.stacks]

        def values(counts: np.ndarray) -> np.ndarray:
            weights = counts.astype(np.float32)
            each = [
                np.asarray(program(weights, stacks[fold], self.data[fold], self.trained.extras(fold)), np.float64)
                for fold, program in enumerate(programs)
            ]
            return np.mean(each, axis=0)

        return values

    def _of_fold(self, fold: int) -> Callable:
        """Metrics of what was averaged in one fold, traced: (averaged, data, extras) -> name -> scalar."""

        def metrics(averaged: Any, data: Any, extras: Extras) -> dict[str, jax.Array]:
            pairs = zip(averaged, self.like[fold], strict=True)
            first, second = (None if one is None else restored(one, like, self.combine) for one, like in pairs)
            return self.trained.task.evaluation.of_outputs(
                (first, second),
                data,
                step=weaken(extras.step),
                total_steps=weaken(extras.total_steps),
                stats=extras.stats,
            )

        return metrics


def _of_one_more(metrics: Callable, metric: str, weights: Any, stack: Any, data: Any, extras: Extras) -> jax.Array:
    """One metric [K] of weighted sums, to each of which one trial is added."""

    def total(x: jax.Array) -> jax.Array:
        factors = weights.reshape(-1, *[1] * (x.ndim - 1))
        return jnp.sum(jnp.where(factors > 0, factors * x, 0), axis=0)  # 0 * inf is NaN

    totals, count = jax.tree.map(total, stack), jnp.sum(weights) + 1

    def one(tree: Any) -> jax.Array:
        averaged = jax.tree.map(lambda t, x: (t + x) / count, totals, tree)
        return metrics(averaged, data, extras)[metric]

    return jax.lax.map(one, stack)


def digest_of(trained: Any, data: Any, combine: Both | None) -> str | None:
    """What a pair of functions computes of outputs, as a text that another process makes too."""
    if combine is None:
        return None
    like = jax.eval_shape(*_call(trained, 0, data, None))
    closed = jax.make_jaxpr(lambda outputs: restored(prepared(outputs, combine), outputs, combine))(like[0])
    return digest((fingerprint(closed.jaxpr), array_digest(list(closed.consts))))


def _call(trained: Any, run: int, pair: Any, combine: Both | None) -> tuple[Any, ...]:
    """What gives one run's outputs, or what is averaged of them, and its arguments."""

    def outputs(key: Any, state: Any, pair: Any, hp: dict, extras: Extras) -> tuple[Any, Any]:
        both = trained.task.evaluation.seen_outputs_of(key, state, pair, **trained.named(hp, extras))
        first, second = (None if one is None else prepared(one, combine) for one in both)
        return first, second

    return outputs, trained.key_of(run), trained.state(run), pair, dict(trained.hp), trained.extras(run)


def _of_trial(trained: Any, fold: int, pair: Any, combine: Both | None) -> Any:
    """The mean over replicates in one fold, on the host, in float32 or better."""
    count, size = len(jax.tree.leaves(pair)[0]), trained.task.batch_size or 1
    program = Jitted(_call(trained, fold, pair, combine)[0])
    results = []
    for run in range(fold, trained.num_runs, trained.num_folds):
        _, key, state, _, hp, extras = _call(trained, run, pair, combine)
        parts = [jax.tree.map(lambda x, i=i: x[i : i + size], pair) for i in range(0, count, size)]
        outputs = [jax.device_get(program(key, state, part, hp, extras)) for part in parts]
        _check_outputs(outputs[0], min(size, count))
        results.append(jax.tree.map(lambda *x: np.concatenate(x), *outputs))
    return mean(results)


def _check_outputs(outputs: Any, count: int) -> None:
    """Raises TypeError unless there is a float, or several, of each example."""
    if not are_floats(outputs):
        raise TypeError(
            "ensemble() averages outputs, which needs floats: give it a combine=, a pair of functions from outputs to "
            "floats and back."
        )
    if any(x.shape[:1] != (count,) for x in jax.tree.leaves(outputs)):
        raise TypeError("ensemble() averages outputs, but these have no axis that counts examples.")


def _check_alike(trials: Sequence[int], each: Sequence[Any]) -> None:
    """Raises ValueError if outputs of two trials have different shapes."""
    count = len(jax.tree.leaves(each[0])[0])
    first, *others = (shapes(tree[0], count) for tree in each)
    for trial, other in zip(trials[1:], others, strict=True):
        if other != first:
            raise ValueError(
                f"ensemble() averages outputs, but those of trial {trials[0]} have the shapes {first} and those of "
                f"trial {trial} {other}: no hyperparameter may change them."
            )
