"""A population of jaxtune's engine without a search around it, to be timed and measured."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

import jaxtune as jt
from jaxtune.drivers.proposing import sample
from jaxtune.engine import timing
from jaxtune.engine.data import on_devices, task_data
from jaxtune.engine.group import Group, Setting
from jaxtune.engine.host import Host
from jaxtune.engine.keys import TRAIN, search_key
from jaxtune.schedulers.plan import Plan, Row
from jaxtune.spaces.space import Space
from jaxtune.tasks.problem import decode, resolve

_TOTAL_STEPS = 10_000  # what a learning-rate schedule sees; nothing here trains as long


@dataclass
class Lanes:
    """Some lanes in training.

    Attributes:
        group: The engine's population and programs.
        hp: name -> [slots], the hyperparameters of each slot.
        num_lanes: How many slots are in use.
    """

    group: Group
    hp: dict[str, np.ndarray]
    num_lanes: int

    @classmethod
    def of(cls, task: jt.Task, space: Mapping[str, Any], num_lanes: int, placement: jt.Placement, unit: int) -> "Lanes":
        """Starts lanes with random hyperparameters.

        Args:
            task: What they train.
            space: Traced hyperparameters only.
            num_lanes: How many.
            placement: Where.
            unit: Steps of the innermost loop, at most 100.
        """
        problem = resolve(task, Space.of(space), "loss", "min")
        key = jax.random.key(0)
        points = sample(key, sampler=jt.Random(), space=problem.space, num_points=num_lanes)
        hp = {name: np.asarray(values) for name, values in decode(points, space=problem.space).items()}
        setting = Setting(
            problem=problem,
            mesh=placement.mesh(),
            placement=placement,
            plan=Plan((num_lanes,), (Row(_TOTAL_STEPS, keep=(num_lanes,)),), multiple=unit),
            replicates=1,
            folds=1,
            fewest=task.num_examples,
            key=search_key(key, TRAIN),
        )
        data = on_devices(task_data(task), setting.mesh)
        group = Group.of(
            setting, {}, data, np.arange(num_lanes), Host(), num_lanes, timing.layouts(setting, {}, num_lanes)
        )
        group.spawn(hp)
        slots = np.minimum(group.lanes, num_lanes - 1)  # free slots repeat a lane
        return cls(group, {name: hp[key][slots] for name, key in group.keys.items()}, num_lanes)

    def train(self, units: int) -> jax.Array:
        """Trains all lanes for some units; returns an array to wait for, the step at which each diverged or -1."""
        group = self.group
        group.population = group.programs.advance(group.layout, group.population, self.hp, self.num_lanes, 0, units)
        return group.population.diverged

    @property
    def memory(self) -> Any:
        """XLA's account of the memory that the training program needs on each device."""
        group = self.group
        return group.programs.ready("advance", group.layout).memory_analysis()
