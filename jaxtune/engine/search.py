"""What is searched, and how."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from jaxtune.engine.data import Data, data_bytes
from jaxtune.engine.keys import CONFIRM, TRAIN, generation_key, search_key
from jaxtune.engine.lanes import Shared
from jaxtune.engine.pace import Pace
from jaxtune.engine.placement import Placement
from jaxtune.samplers.sampler import Sampler
from jaxtune.schedulers.plan import Plan
from jaxtune.tasks.case import Case
from jaxtune.tasks.folds import Fold
from jaxtune.tasks.problem import Problem
from jaxtune.tasks.task import Task


@dataclass(frozen=True, eq=False)
class Search:
    """What is searched, and how: all that decides what comes of it, but for what trials before it have told.

    Attributes:
        task: The task with all its data.
        problem: The task, of one fold where there are folds, and its space.
        plan: Evaluations and decisions.
        sampler: Proposes configurations.
        seed: Of everything random; or the key itself, in a search that is traced.
        placement: Devices and widths.
        replicates: Seeds per trial.
        folds: Of a cross-validation.
        keep: "last" or "best": the weights and the value of a trial that count.
        keep_weights: How many of the best trials keep their weights.
        patience: Evaluations without improvement after which a trial stops early.
        generations: How many times the plan runs, each time with other configurations.
        generation: How many times it has run before.
        confirms: Winners are trained again, on seeds that no search uses.
        first_seed: The number of the first replicate.
        scheduler: What made the plan, to be named.
    """

    task: Task
    problem: Problem
    plan: Plan
    sampler: Sampler
    seed: Any
    placement: Placement
    replicates: int = 1
    folds: Sequence[Fold] | None = None
    keep: str = "last"
    keep_weights: int = 1
    patience: int | None = None
    generations: int = 1
    generation: int = 0
    confirms: bool = False
    first_seed: int = 0
    scheduler: Any = None

    @cached_property
    def mesh(self) -> Mesh:
        """The devices."""
        return self.placement.mesh()

    @cached_property
    def key(self) -> jax.Array:
        """The key of this generation of the search, or of confirming its winners."""
        return search_key(self.root, CONFIRM) if self.confirms else generation_key(self.root, self.generation)

    @cached_property
    def root(self) -> jax.Array:
        """The key of all generations."""
        return jax.random.key(self.seed) if isinstance(self.seed, int) else self.seed

    @cached_property
    def training_key(self) -> jax.Array:
        """The key of all trainings."""
        return search_key(self.key, TRAIN)

    @property
    def keeps_best(self) -> bool:
        """Whether each trial's weights at its best evaluation are the ones that count."""
        return self.keep == "best"

    @property
    def num_folds(self) -> int:
        """F, 1 without cross-validation."""
        return 1 if self.folds is None else len(self.folds)

    @property
    def runs(self) -> int:
        """R, runs of each trial: replicates times folds."""
        return self.replicates * self.num_folds

    @property
    def lane_steps(self) -> int:
        """Steps of all lanes in all generations, at most."""
        return self.plan.trial_steps * self.runs * self.generations

    @property
    def data_bytes(self) -> int:
        """Bytes that the data take on all devices."""
        return data_bytes(self.task, self.folds, self.mesh)

    def pace(self, case: Case) -> Pace:
        """How many updates trials of a case make in a step of the scheduler."""
        return Pace(self.problem.task.batch_size or 1, case.task.batch_size or 1)

    def lane_updates(self, case: Case, num_trials: int) -> float:
        """Updates of these trials' lanes in the whole search; about, where trials are pruned."""
        share, pace = self.runs * num_trials / self.plan.trials, self.pace(case)
        return self.plan.trial_steps * share * pace.base / pace.size

    def shared(self, case: Case, data: Data) -> Shared:
        """What all lanes of a group share."""
        replicate, fold = jnp.divmod(jnp.arange(self.runs, dtype=jnp.int32), self.num_folds)
        total_steps = jnp.int32(self.pace(case).updates(self.plan.steps))
        seeds = jnp.int32(self.first_seed) + replicate
        return Shared(self.training_key, case.functions.consts, data, seeds, fold, total_steps)
