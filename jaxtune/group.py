"""A group on the host: trials that share their static hyperparameters, hence one set of programs and one population."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxtune.functions import Functions
from jaxtune.placement import Placement, Step, check_memory, choose_ladder, fit
from jaxtune.population import Layout, Population, Shared
from jaxtune.programs import Clock, Programs
from jaxtune.resolve import Problem
from jaxtune.selection import survivors
from jaxtune.task import Task

_SECONDS_PER_CALL = 0.7  # how late Ctrl-C may be seen, and how often the progress bar moves


@dataclass(frozen=True)
class Setting:
    """What all groups of a search have in common."""

    problem: Problem
    mesh: Mesh
    placement: Placement
    replicates: int
    unit: int
    total_steps: int
    key: jax.Array

    def layouts(self, functions: Functions, num_trials: int) -> tuple[Layout, ...]:
        """The sizes that a population of these trials takes as it shrinks.

        Raises:
            MemoryError: It can't fit.
        """
        task, devices = self.problem.task, self.mesh.devices.size
        state = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(functions.state))
        check_memory(self.mesh, num_trials * self.replicates, state)
        ladder = choose_ladder(self.placement, self.mesh, -(-num_trials // devices), state, _scratch(functions))
        return tuple(
            Layout(self.mesh, rows, width, self.replicates, self.unit, task.batch_size, task.num_examples)
            for rows, width in ladder
        )

    def shared(self, functions: Functions, data: Any) -> Shared:
        """What all lanes of a group share."""
        train, validation, stats = data
        return Shared(self.key, functions.consts, train, validation, stats, jnp.int32(self.total_steps))


def data_on_devices(task: Task, mesh: Mesh) -> tuple[Any, Any, Any]:
    """Training data, validation data and stats, a copy on each device."""
    train, validation = jax.device_put(
        jax.tree.map(jnp.asarray, (task.train, task.validation)), NamedSharding(mesh, PartitionSpec())
    )
    return train, validation, None if task.prepare is None else jax.jit(task.prepare)(train)


def fitting(layouts: Sequence[Layout], num_trials: int) -> Layout:
    """The smallest layout that holds so many trials."""
    steps = [Step(layout.rows, layout.width) for layout in layouts]
    return layouts[steps.index(fit(steps, -(-num_trials // layouts[0].devices)))]


def _scratch(functions: Functions) -> int:
    """Bytes that a step of one lane may need at most: everything it computes."""
    avals = [v.aval for eqn in functions.step.jaxpr.eqns for v in eqn.outvars]
    return sum(a.size * a.dtype.itemsize for a in avals if hasattr(a, "size") and hasattr(a.dtype, "itemsize"))


@jax.jit
def _pick(state: Any, row: jax.Array) -> Any:
    """[R, rows, 1, ...] -> [R, ...]."""
    return jax.tree.map(lambda x: jax.lax.dynamic_index_in_dim(x, row, 1, keepdims=False)[:, 0], state)


@dataclass
class Group:
    """A group's population and its programs.

    Attributes:
        programs: The compiled programs.
        layouts: Sizes that the population may take.
        trials: [n] ids of the group's trials.
        num_trials: T, over all groups.
    """

    programs: Programs
    layouts: tuple[Layout, ...]
    trials: np.ndarray
    num_trials: int
    layout: Layout = field(init=False)
    lanes: np.ndarray = field(init=False)  # [slots] int32: the trial in each slot, or T
    population: Population = field(init=False)

    @classmethod
    def of(
        cls,
        setting: Setting,
        functions: Functions,
        data: Any,
        trials: np.ndarray,
        hp: dict,
        clock: Clock,
        num_trials: int,
    ) -> "Group":
        """A group with nothing compiled yet.

        Args:
            setting: What all groups have in common.
            functions: The traced functions of the group.
            data: (train, validation, stats), on the devices.
            trials: [n] ids.
            hp: name -> [T], the traced hyperparameters of all trials.
            clock: Where compile time is booked.
            num_trials: T.
        """
        layouts = setting.layouts(functions, len(trials))
        shared = jax.device_put(setting.shared(functions, data), layouts[0].everywhere)
        dtypes = {name: values.dtype for name, values in hp.items()}
        group = cls(Programs(functions, shared, dtypes, clock), layouts, trials, num_trials)
        group.layout = layouts[0]
        free = np.full(group.layout.slots - len(trials), group.num_trials)
        group.lanes = np.concatenate([trials, free]).astype(np.int32)
        return group

    @property
    def count(self) -> int:
        """Trials in training."""
        return int(np.sum(self.lanes < self.num_trials))

    def path(self, counts: Sequence[int]) -> list[Layout]:
        """The layouts that a population takes as it shrinks through these numbers of trials."""
        return list(dict.fromkeys([self.layout, *(fitting(self.layouts, n) for n in counts if n)]))

    def spawn(self, hp: dict) -> None:
        """Starts all trials."""
        self.population = self.programs.spawn(self.layout, self._of_slots(hp))

    def train(self, hp: dict, start: int, stop: int) -> Iterator[int]:
        """Trains from one step count to another, in calls of less than a second; yields the steps done so far."""
        unit, done, at_once = self.layout.unit, start, 1
        hp = self._of_slots(hp)
        while self.count and done < stop:
            units = min(at_once, (stop - done) // unit)
            self.programs.ready("advance", self.layout)
            begin = time.monotonic()
            self.population = self.programs.advance(self.layout, self.population, hp, self.count, done, units)
            jax.block_until_ready(self.population.diverged)
            at_once = max(1, int(units * _SECONDS_PER_CALL / max(time.monotonic() - begin, 1e-6)))
            done += units * unit
            yield done

    def evaluate(self, hp: dict, stop: int, metric: str) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Evaluates all trials in training.

        Returns:
            name -> [R, T] of metrics, NaN for trials not in training; and [R, T] steps of divergence, or -1.
        """
        names = self.programs.functions.metrics
        hp = self._of_slots(hp)
        self.population, record = self.programs.evaluate(
            self.layout, self.population, hp, self.count, stop, names.index(metric)
        )
        return {name: self._of_trials(x, np.nan) for name, x in record.items()}, self._of_trials(
            self.population.diverged, -1
        )

    def decide(self, training: np.ndarray, source: np.ndarray) -> None:
        """Lets the trials of `training` [T] go on, each from the weights of trial `source` [T]."""
        kept = int(np.sum(training[self.lanes[self.lanes < self.num_trials]]))
        after = fitting(self.layouts, kept) if kept else self.layout
        lanes, slots = survivors(np, self.lanes, training, source, after.slots)
        if after != self.layout or not np.array_equal(slots[:kept], np.arange(kept)):
            self.population = self.programs.move(self.layout, after, self.population, slots, kept)
        self.lanes, self.layout = lanes, after

    def state(self, trial: int) -> Any:
        """The state of a trial in training, leaves [R, ...] on the host."""
        slot = int(np.flatnonzero(self.lanes == trial)[0])
        row, device = slot // self.layout.devices, slot % self.layout.devices
        where = self.layout.mesh.devices.flat[device]

        def shard(x: jax.Array) -> jax.Array:
            # Indexing the sharded array would gather the whole population onto every device.
            return next(s.data for s in x.addressable_shards if s.device == where)

        return jax.device_get(_pick(jax.tree.map(shard, self.population.state), np.int32(row)))

    def _of_slots(self, table: dict) -> dict[str, np.ndarray]:
        """Name -> [T] to name -> [slots]; free slots repeat a trial."""
        return {name: values[np.minimum(self.lanes, self.num_trials - 1)] for name, values in table.items()}

    def _of_trials(self, record: jax.Array, missing: float) -> np.ndarray:
        """[R, rows, D] to [R, T]."""
        values = np.asarray(record).reshape(self.layout.replicates, -1)
        used = self.lanes < self.num_trials
        table = np.full((self.layout.replicates, self.num_trials), missing, values.dtype)
        table[:, self.lanes[used]] = values[:, used]
        return table
