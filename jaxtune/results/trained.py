"""Trained weights of one configuration, and what can be made of them: metrics, predictions, a model.

Shapes: R runs, one replicate on one fold each, replicate by replicate.
"""

import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.interpreters.partial_eval import dce_jaxpr

from jaxtune.engine.keys import EVALUATE, replicate_key
from jaxtune.interface.counts import check_whole
from jaxtune.interface.settings import own_settings
from jaxtune.results.averaging.averages import Combine
from jaxtune.spaces.variant import Variant
from jaxtune.tasks import checks
from jaxtune.tasks.arrays import as_arrays
from jaxtune.tasks.combining import are_floats
from jaxtune.tasks.executables import Jitted
from jaxtune.tasks.functions import Extras, seamed
from jaxtune.tasks.hp import Hyperparameters
from jaxtune.tasks.task import Task
from jaxtune.tasks.weak import weaken


@dataclass(frozen=True, eq=False)
class Trained:
    """Trained states, with the task that they are from.

    Attributes:
        task: With all its data.
        variant: Its static hyperparameters, and who else exists.
        hp: name -> value of its traced hyperparameters.
        key: Of the study's training.
        replicates: R / F.
        num_folds: F.
        states: Leaves [R, ...] on the host.
        updates: Made by these weights.
        total_updates: That schedules of an optimizer were told.
        stats_of: From the number of a fold to the statistics fitted on what was trained on; see `Task.prepare`.
    """

    task: Task
    variant: Variant
    hp: Mapping[str, Any]
    key: jax.Array
    replicates: int
    num_folds: int
    states: Any
    updates: int
    total_updates: int
    stats_of: Callable[[int], Any]

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled without the task, whose functions and devices belong to this process."""
        return Shelved, (_as_plain(self.states), jax.tree.map(_on_host, self.variables))

    def __deepcopy__(self, memo: dict) -> "Trained":
        return self  # nothing in it changes

    @property
    def num_runs(self) -> int:
        """R."""
        return self.replicates * self.num_folds

    def state(self, run: int) -> Any:
        """The state of one run."""
        return jax.tree.map(lambda x: x[run], self.states)

    @cached_property
    def variables(self) -> Any:
        """The weights of run 0, where the task knows them; else None."""
        return self.task.evaluation.variables_of(self.state(0))

    def model(self, hparams: dict[str, Any]) -> Any:
        """The model of run 0, where the task has one; else None."""
        return self.task.evaluation.model_of(self.state(0), hparams)

    @own_settings()
    def metrics(self, run: int, data: Any, blocks: int = 0) -> dict[str, np.ndarray]:
        """Metrics of one run, name -> [] or, with one block of examples left out at a time, name -> [blocks]."""
        evaluate = Jitted(partial(_metrics, seamed(self.task, "evaluate", self.variant), blocks))
        values = evaluate(self.key_of(run), self.state(run), data, dict(self.hp), self.extras(run))
        return {name: np.asarray(x) for name, x in values.items()}

    @own_settings()
    def predict(self, inputs: Any, replicate: int | None = None, combine: Any = None) -> Any:
        """See `Trial.predict`."""
        ways = Combine.of(combine)
        if not self.task.evaluation.has_model:
            raise ValueError("predict() needs a task made by jt.supervised: this one has no outputs to tell of.")
        inputs = self._checked_inputs(inputs)
        runs = self._runs(replicate)
        results = [ways.prepared(self._outputs(run, inputs)) for run in runs]
        if len(results) == 1:
            return ways.outputs(results[0])
        if not are_floats(results[0]):
            raise TypeError("predict() averages over replicates and folds, which needs floats: give it a combine=.")
        return ways.average(results)

    def _checked_inputs(self, inputs: Any) -> Any:
        inputs = as_arrays(inputs, "inputs")
        checks.num_examples(inputs, "inputs")
        checks.check_fits(inputs, "inputs")
        known = self.task.train[0]
        wanted, got = (str(jax.tree.map(_example, tree)) for tree in (known, inputs))
        alike = repr(jax.tree.structure(known)) == repr(jax.tree.structure(inputs))
        if not alike or [x.ndim for x in jax.tree.leaves(known)] != [x.ndim for x in jax.tree.leaves(inputs)]:
            raise ValueError(f"predict() takes raw inputs like those of train, {wanted}, got {got}.")
        for mine, theirs in zip(jax.tree.leaves(known), jax.tree.leaves(inputs), strict=True):
            if not np.can_cast(theirs.dtype, mine.dtype, casting="same_kind"):
                raise ValueError(f"predict() takes inputs of dtype {mine.dtype} as in train, got {theirs.dtype}.")
        return inputs

    def _runs(self, replicate: int | None) -> list[int]:
        if replicate is None:
            return list(range(self.num_runs))
        replicate = check_whole("replicate", replicate, low=0, high=self.replicates - 1)
        return [replicate * self.num_folds + fold for fold in range(self.num_folds)]

    def _outputs(self, run: int, inputs: Any) -> Any:
        """Outputs of one run in the unit of the original targets, on the host."""
        count, size = checks.num_examples(inputs, "inputs"), self.task.batch_size or 1
        parts = [jax.tree.map(lambda x, i=i: x[i : i + size], inputs) for i in range(0, count, size)]
        key, state, extras = self.key_of(run), self.state(run), self.extras(run)
        outputs = [jax.device_get(self._predict(key, state, part, dict(self.hp), extras)) for part in parts]
        if not all(map(np.ndim, jax.tree.leaves(outputs))):
            raise TypeError(
                "predict() got outputs without an axis of examples: squeeze(-1) takes the last axis away, squeeze() "
                "every one of length 1."
            )
        return jax.tree.map(lambda *x: np.concatenate(x), *outputs)

    @cached_property
    def _predict(self) -> Jitted:
        def outputs(key: Any, state: Any, inputs: Any, hp: dict, extras: Extras) -> Any:
            count = jax.tree.leaves(inputs)[0].shape[0]
            targets = jax.tree.map(lambda x: jnp.zeros_like(x, shape=(count, *x.shape[1:])), self.task.train[1])
            named = self.named(hp, extras)

            def alone(pair: Any) -> Any:
                return self.task.evaluation.outputs_of(key, state, pair, **named)

            if self.task.prepare is not None:
                _check_apart(alone, inputs, targets)
            return alone((inputs, targets))

        return Jitted(outputs)

    def named(self, hp: dict, extras: Extras) -> dict[str, Any]:
        """Hyperparameters and extras as functions of an `Evaluation` take them, traced."""
        return {
            "hp": Hyperparameters(self.variant.hp({name: weaken(x) for name, x in hp.items()})),
            "step": weaken(extras.step),
            "total_steps": weaken(extras.total_steps),
            "stats": extras.stats,
        }

    def key_of(self, run: int) -> jax.Array:
        """The key of the evaluation of one run."""
        return replicate_key(self.key, run // self.num_folds, EVALUATE)

    def extras(self, run: int) -> Extras:
        """What functions of the task may ask for, of one run."""
        return Extras(np.int32(self.updates), np.int32(self.total_updates), self.stats_of(run % self.num_folds))


@dataclass(frozen=True, eq=False)
class Shelved:
    """Trained states that were pickled: arrays, without the task that they are from."""

    states: Any
    variables: Any

    def model(self, hparams: dict[str, Any]) -> Any:
        """Refused."""
        raise without_task("model")

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        """Refused."""
        raise without_task("predict()")


def without_task(what: str) -> ValueError:
    """That something needs the task, which a result from a pickle or a folder has not."""
    return ValueError(
        f"{what} needs the task, which is not part of a pickled or loaded result: give it back by "
        "result = result.with_task(task, space), or load(directory, task)."
    )


def _metrics(evaluate: Callable, blocks: int, key: jax.Array, state: Any, data: Any, hp: dict, extras: Extras) -> Any:
    if not blocks:
        return evaluate(key, state, data, hp, extras)

    def without(block: Any) -> dict[str, jax.Array]:
        examples = len(jax.tree.leaves(data)[0])
        size = examples // blocks
        rows = jnp.arange(examples - size, dtype=jnp.int32)
        rows = jnp.where(rows < block * size, rows, rows + size)
        return evaluate(key, state, jax.tree.map(lambda x: x[rows], data), hp, extras)

    return jax.lax.map(without, jnp.arange(blocks, dtype=jnp.int32))


def _check_apart(outputs: Callable, inputs: Any, targets: Any) -> None:
    """Raises ValueError if predictions depend on the targets, which there are none of: those given are zeros."""
    closed = jax.make_jaxpr(lambda inputs, targets: outputs((inputs, targets)))(inputs, targets)
    used = dce_jaxpr(closed.jaxpr, [True] * len(closed.jaxpr.outvars))[1]
    if any(used[len(jax.tree.leaves(inputs)) :]):
        raise ValueError("predict() has no targets, but preprocess.apply makes the inputs from them too.")


def _example(x: Any) -> str:
    return f"[N{''.join(f', {n}' for n in np.shape(x)[1:])}]"


def _on_host(x: Any) -> Any:
    return np.asarray(x) if isinstance(x, jax.Array) else x


def _as_plain(states: Any) -> Any:
    """States as arrays in their own structure, or in a list where that can't be pickled; keys as their numbers."""

    def plain(x: Any) -> Any:
        is_key = isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
        return _on_host(jax.random.key_data(x) if is_key else x)

    states = jax.tree.map(plain, states)
    try:
        pickle.dumps(jax.tree.map(lambda x: 0, states))
    except Exception:  # pickle raises whatever comes up
        return jax.tree.leaves(states)
    return states
