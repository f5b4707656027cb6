"""The best trial of a search: its weights, evaluated on any split, and trained again on all data.

Shapes: R runs, one replicate on one fold each.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.data import of_fold, on_devices, pooled, whole
from jaxtune.folds import Fold
from jaxtune.functions import Extras, seamed
from jaxtune.group import Group, Setting
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
        factor = (blocks - 1) / blocks
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
        setting, runs = self.setting, self.setting.runs
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
        run = jax.jit(jax.vmap(self._one, in_axes=(0, 0, None, None)))
        number = np.arange(len(jax.tree.leaves(states)[0]), dtype=np.int32)
        return {name: np.asarray(x) for name, x in run(number, states, self.task.test, extras).items()}

    def _evaluate(self, split: str, blocks: int) -> dict[str, np.ndarray]:
        """Name -> [R, max(blocks, 1)]: on the whole split, or with one block of its examples left out at a time."""
        pace, setting = self.setting.pace(self.indices), self.setting
        updates, total = (np.int32(pace.updates(steps)) for steps in (self.step, setting.plan.steps))
        results = []
        run = jax.jit(self._blocks, static_argnames="blocks")
        for number in range(setting.runs):
            replicate, fold = divmod(number, setting.folds)
            state = jax.tree.map(lambda x, n=number: x[n], self.states)
            stats = None if self.task.prepare is None else jax.jit(self.task.prepare)(self._trained_on(fold))
            extras = Extras(updates, total, stats)
            values = run(np.int32(replicate), state, self._data(split, fold), extras, blocks=blocks)
            results.append({name: np.atleast_1d(np.asarray(x)) for name, x in values.items()})
        return {name: np.stack([values[name] for values in results]) for name in results[0]}

    def _blocks(self, replicate: Any, state: Any, data: Any, extras: Extras, *, blocks: int) -> dict[str, jax.Array]:
        if not blocks:
            return self._one(replicate, state, data, extras)

        def without(block: Any) -> dict[str, jax.Array]:
            size = len(jax.tree.leaves(data)[0]) // blocks
            rows = jnp.arange(size * (blocks - 1), dtype=jnp.int32)
            rows = jnp.where(rows < block * size, rows, rows + size)
            return self._one(replicate, state, jax.tree.map(lambda x: x[rows], data), extras)

        return jax.lax.map(without, jnp.arange(blocks, dtype=jnp.int32))

    def _one(self, replicate: Any, state: Any, data: Any, extras: Extras) -> dict[str, jax.Array]:
        space, key = self.setting.problem.space, self.setting.key
        static = static_values(space, self.indices)
        evaluate = seamed(self.task, "evaluate", static, tuple(space.active(self.indices)))
        return evaluate(replicate_key(key, replicate, EVALUATE), state, data, dict(self.hp), extras)

    def _trained_on(self, fold: int) -> Any:
        return self.task.train if self.folds is None else of_fold(self.task, self.folds[fold]).train

    def _data(self, split: str, fold: int) -> Any:
        if split == "test" or self.folds is None:
            return getattr(self.task, split)
        return of_fold(self.task, self.folds[fold]).validation
