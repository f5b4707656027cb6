"""The best trial of a search: its weights, evaluated on any split, and trained again on all data.

Shapes: R runs, one replicate on one fold each.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.data import is_poolable, of_fold, on_devices, pooled, whole
from jaxtune.folds import Fold
from jaxtune.functions import Extras, seamed
from jaxtune.group import Group, Setting
from jaxtune.options import typed
from jaxtune.population import EVALUATE, Layout, replicate_key
from jaxtune.programs import Clock
from jaxtune.resolve import static_values
from jaxtune.task import Task

_BLOCKS = 20  # of a split, left out one at a time to see how much its metrics depend on its examples


@dataclass(frozen=True, eq=False)
class Winner:
    """The best trial of a search.

    Attributes:
        task: The task with all its data.
        setting: Of the search.
        folds: Of the search, or None.
        indices: Option indices of its static hyperparameters.
        hp: name -> value of its traced hyperparameters.
        step: Step count at which its weights were evaluated.
        states: Its states, leaves [R, ...] on the host.
        layouts: Sizes that its group's population could take.
    """

    task: Task
    setting: Setting
    folds: Sequence[Fold] | None
    indices: Mapping[str, int]
    hp: Mapping[str, Any]
    step: int
    states: Any
    layouts: Sequence[Layout]

    @property
    def variables_of(self) -> Callable | None:
        """From one run's state to its weights, where the task knows how."""
        return getattr(self.task.evaluate, "variables_of", None)

    @property
    def model_of(self) -> Callable | None:
        """From one run's state and the hyperparameters to a model, where the task knows how."""
        return getattr(self.task.evaluate, "model_of", None)

    def metrics(self, split: str) -> dict[str, np.ndarray]:
        """Name -> [R] on the validation or test data."""
        return {name: values[:, 0] for name, values in self._evaluate(split, blocks=0).items()}

    def sampling_error(self, split: str) -> dict[str, float]:
        """Name -> standard error that comes from the choice of the split's examples, by the jackknife.

        Blocks of examples are left out one at a time (Efron and Stein, 1981); NaN for a split with fewer than two
        examples.
        """
        size = len(jax.tree.leaves(self._data(split, 0))[0]) if self._data(split, 0) is not None else 0
        blocks = min(_BLOCKS, size)
        if blocks < 2:
            return dict.fromkeys(self.setting.problem.functions(self.indices).metrics, float("nan"))
        values = {name: x.mean(axis=0) for name, x in self._evaluate(split, blocks).items()}
        block = size // blocks
        factor = (size - block) ** 2 / (size * block * (blocks - 1))  # some examples may be left out of no block
        return {name: float(np.sqrt(factor * np.sum((x - x.mean()) ** 2))) for name, x in values.items()}

    def retrain(self, course: Sequence[tuple[int, Mapping[str, Any]]], total_steps: int, replicates: int) -> Any:
        """States after training from new weights on training and validation data together.

        Takes the programs of the search wherever they fit.

        Args:
            course: (stop, hyperparameters) pairs: traced ones, by name, that hold up to a step of the scheduler.
            total_steps: Steps that an optimizer's schedule is told.
            replicates: Seeds.

        Returns:
            Leaves [replicates, ...] on the host.
        """
        problem, runs = self.setting.problem, self.setting.runs
        if self.task.validation is not None and self.task.train is not None and not is_poolable(self.task):
            raise ValueError(
                "refit() trains on training and validation data together, but theirs are not alike: examples need the "
                "same structure, shapes and dtypes."
            )
        task = problem.task.replace(train=pooled(self.task))  # without batches, steps have to be traced for its size
        setting = replace(self.setting, problem=problem._replace(task=task))
        data = on_devices(whole(self.task, self.folds), setting.mesh)
        one = np.zeros(1, int)
        group = Group.of(setting, self.indices, data, one, Clock(), num_trials=1, layouts=self.layouts)
        dtypes = group.programs.hp
        stages = [
            (stop, {key: np.asarray([hp[name]], dtypes[name]) for name, key in group.keys.items()})
            for stop, hp in course
        ]
        parts = []
        for first in range(0, replicates, runs):
            shared = group.programs.shared.replace(
                replicate=jnp.arange(first, first + runs, dtype=jnp.int32),
                fold=jnp.zeros(runs, jnp.int32),
                total_steps=jnp.int32(group.pace.updates(total_steps)),
            )
            programs = replace(group.programs, shared=jax.device_put(shared, group.layout.everywhere))
            parts.append(replace(group, programs=programs).alone(stages))
        return jax.tree.map(lambda *xs: np.concatenate(xs)[:replicates], *parts)

    def test_of(self, states: Any, step: int, total_steps: int) -> dict[str, np.ndarray]:
        """Name -> [R] on the test data, of states trained on all other data."""
        pace, prepare = self.setting.pace(self.indices), self.task.prepare
        stats = None if prepare is None else jax.jit(prepare)(pooled(self.task))
        extras = Extras(np.int32(pace.updates(step)), np.int32(pace.updates(total_steps)), stats)
        runs = range(len(jax.tree.leaves(states)[0]))
        values = [self._run(n, jax.tree.map(lambda x, n=n: x[n], states), self.task.test, extras) for n in runs]
        return {name: np.stack([np.asarray(one[name]) for one in values]) for name in values[0]}

    def _evaluate(self, split: str, blocks: int) -> dict[str, np.ndarray]:
        """Name -> [R, max(blocks, 1)]: on the whole split, or with one block of its examples left out at a time."""
        pace, setting = self.setting.pace(self.indices), self.setting
        updates, total = (np.int32(pace.updates(steps)) for steps in (self.step, setting.plan.steps))
        results = []
        for number in range(setting.runs):
            replicate, fold = divmod(number, setting.folds)
            state = jax.tree.map(lambda x, n=number: x[n], self.states)
            stats = None if self.task.prepare is None else jax.jit(self.task.prepare)(self._trained_on(fold))
            values = self._run(replicate, state, self._data(split, fold), Extras(updates, total, stats), blocks)
            results.append({name: np.atleast_1d(np.asarray(x)) for name, x in values.items()})
        return {name: np.stack([values[name] for values in results]) for name in results[0]}

    def _run(self, replicate: int, state: Any, data: Any, extras: Extras, blocks: int = 0) -> dict[str, jax.Array]:
        space = self.setting.problem.space
        static = static_values(space, self.indices)
        return _metrics(
            replicate_key(self.setting.key, replicate, EVALUATE),
            state,
            data,
            dict(self.hp),
            extras,
            task=self.task.functions,
            static=tuple((name, typed(value), value) for name, value in static.items()),
            order=tuple(space.active(self.indices)),
            blocks=blocks,
        )

    def _trained_on(self, fold: int) -> Any:
        return self.task.train if self.folds is None else of_fold(self.task, self.folds[fold]).train

    def _data(self, split: str, fold: int) -> Any:
        if split == "test" or self.folds is None:
            return getattr(self.task, split)
        return of_fold(self.task, self.folds[fold]).validation


@partial(jax.jit, static_argnames=("task", "static", "order", "blocks"))
def _metrics(
    key: jax.Array,
    state: Any,
    data: Any,
    hp: dict,
    extras: Extras,
    *,
    task: Task,
    static: tuple,
    order: tuple[str, ...],
    blocks: int,
) -> dict[str, jax.Array]:
    """Metrics of one state, name -> [] or, with one block of examples left out at a time, name -> [blocks].

    One compiled function for all searches of a task: its functions and static values are the key.
    """
    evaluate = seamed(task, "evaluate", {name: value for name, _, value in static}, order)
    if not blocks:
        return evaluate(key, state, data, hp, extras)

    def without(block: Any) -> dict[str, jax.Array]:
        examples = len(jax.tree.leaves(data)[0])
        size = examples // blocks
        rows = jnp.arange(examples - size, dtype=jnp.int32)
        rows = jnp.where(rows < block * size, rows, rows + size)
        return evaluate(key, state, jax.tree.map(lambda x: x[rows], data), hp, extras)

    return jax.lax.map(without, jnp.arange(blocks, dtype=jnp.int32))
