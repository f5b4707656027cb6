"""A population of jaxtune's engine without a search around it, to be timed and measured."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

import jaxtune as jt
from jaxtune.drivers.proposing import sample
from jaxtune.engine.data import on_devices, task_data
from jaxtune.engine.group import Group
from jaxtune.engine.host import Host
from jaxtune.engine.search import Search
from jaxtune.engine.width import Width
from jaxtune.schedulers.plan import Plan, Row
from jaxtune.spaces.space import Space
from jaxtune.tasks.decoding import decoded
from jaxtune.tasks.problem import resolve

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
    def of(
        cls, task: jt.Task, space: Mapping[str, Any], num_lanes: int, placement: jt.Placement, burst: int
    ) -> "Lanes":
        """Starts lanes with random hyperparameters.

        Args:
            task: What they train.
            space: Traced hyperparameters only.
            num_lanes: How many.
            placement: Where.
            burst: Steps of the innermost loop, at most 100.
        """
        problem = resolve(task, Space.of(space), "loss", "min")
        plan = Plan((num_lanes,), (Row(_TOTAL_STEPS, keep=(num_lanes,)),), multiple=burst)
        search = Search(task, problem, plan, jt.Random(), 0, placement)
        points = sample(search.key, sampler=search.sampler, space=problem.space, num_points=num_lanes)
        hp = decoded(points, problem.space)
        case, data = problem.first, on_devices(task_data(task), search.mesh)
        layouts = Width(search, case, num_lanes).layouts
        group = Group.of(search, case, data, np.arange(num_lanes), Host(), layouts)
        group.spawn(hp)
        slots = np.minimum(group.lanes, num_lanes - 1)  # free slots repeat a lane
        return cls(group, {name: hp[key][slots] for name, key in group.keys.items()}, num_lanes)

    def train(self, bursts: int) -> jax.Array:
        """Trains all lanes for some bursts; returns an array to wait for, the step at which each diverged or -1."""
        group = self.group
        group.population = group.programs.advance(group.layout, group.population, self.hp, self.num_lanes, 0, bursts)
        return group.population.diverged

    @property
    def memory(self) -> Any:
        """XLA's account of the memory that the training program needs on each device."""
        group = self.group
        return group.programs.ready("advance", group.layout).memory_analysis()
