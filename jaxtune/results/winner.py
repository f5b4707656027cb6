"""The best trial of a search: its weights, evaluated on any split, and trained again on all data.

Shapes: R runs, one replicate on one fold each.
"""

import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import zip_longest
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.engine.data import is_poolable, of_fold, on_devices, pooled, smallest_fold, whole
from jaxtune.engine.group import Group
from jaxtune.engine.host import Host
from jaxtune.engine.lanes import Layout
from jaxtune.engine.layouts import check_populations
from jaxtune.engine.placement import Placement
from jaxtune.engine.search import Search
from jaxtune.interface.settings import own_settings
from jaxtune.results.averaging.averages import of_replicates
from jaxtune.results.conditions import check_conditions, of_winner
from jaxtune.results.gap import BLOCKS
from jaxtune.results.trained import Trained
from jaxtune.samplers import Sobol
from jaxtune.spaces.space import Space
from jaxtune.tasks import checks
from jaxtune.tasks.case import Case
from jaxtune.tasks.combining import Both
from jaxtune.tasks.executables import Jitted
from jaxtune.tasks.problem import resolve
from jaxtune.tasks.task import Task

_KEPT = ("plan", "seed", "generation", "confirms", "replicates", "folds", "keep")  # of a search, in a pickle


@dataclass(frozen=True, eq=False)
class Winner:
    """The best trial of a search.

    Attributes:
        search: The search.
        case: What the trial trains.
        hp: name -> value of its traced hyperparameters.
        step: Step count at which its weights were evaluated.
        states: Its states, leaves [R, ...] on the host.
        layouts: Sizes that its group's population could take.
    """

    search: Search
    case: Case
    hp: Mapping[str, Any]
    step: int
    states: Any
    layouts: Sequence[Layout]

    @property
    def task(self) -> Task:
        """The task with all its data."""
        return self.search.task

    @own_settings()
    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled without task, space and devices: `Result.with_task` gives them back."""
        search = self.search
        return ShelvedWinner, (
            self.trained,
            {name: getattr(search, name) for name in _KEPT},
            (search.placement.lanes, search.placement.max_programs),
            dict(self.case.variant.indices),
            dict(self.hp),
            self.step,
            [tuple(layout)[1:] for layout in self.layouts],
            of_winner(search, self.case),
        )

    def __deepcopy__(self, memo: dict) -> "Winner":
        return self  # nothing in it changes

    def bound(self, task: Task, space: Any, result: Any) -> "Winner":
        """See `ShelvedWinner.bound`: with another task in place of its own, which may have test data besides."""
        shelved: ShelvedWinner = pickle.loads(pickle.dumps(self))
        return shelved.bound(task, space, result)

    @cached_property
    def trained(self) -> Trained:
        """Its weights."""
        runs = self.search.replicates, self.search.num_folds
        return self._trained(self.states, runs, self.step, self.search.plan.steps, self._stats)

    @own_settings()
    def _trained(self, states: Any, runs: tuple[int, int], step: int, total_steps: int, stats_of: Callable) -> Trained:
        pace = self.search.pace(self.case)
        return Trained(
            task=self.task,
            variant=self.case.variant,
            hp=self.hp,
            key=self.search.training_key,
            replicates=runs[0],
            num_folds=runs[1],
            states=states,
            updates=pace.updates(step),
            total_updates=pace.updates(total_steps),
            stats_of=stats_of,
        )

    def _stats(self, fold: int) -> Any:
        return None if self.task.prepare is None else Jitted(self.task.prepare)(self._of_fold(fold).train)

    def metrics(self, split: str, trained: Trained | None = None) -> dict[str, np.ndarray]:
        """Name -> [R] on the validation or test data, of its weights or of others, trained anew."""
        return {name: values[:, 0] for name, values in self._evaluate(trained or self.trained, split, 0).items()}

    def averages(self, split: str, combine: Both | None) -> dict[str, float]:
        """Metrics of the outputs averaged over replicates, as `of_replicates` has them; none of one, or of folds."""
        if self.search.folds is not None or self.trained.replicates == 1:
            return {}
        return of_replicates(self.trained, self._data(split, 0), combine)

    def sampling_error(self, split: str) -> dict[str, float]:
        """Name -> standard error that comes from the choice of the split's examples, by the jackknife.

        Blocks of examples are left out one at a time (Efron and Stein, 1981); NaN for a split with fewer than two
        examples.
        """
        size = len(jax.tree.leaves(self._data(split, 0))[0]) if self._data(split, 0) is not None else 0
        blocks = min(BLOCKS, size)
        if blocks < 2:
            return dict.fromkeys(self.case.functions.metrics, float("nan"))
        values = {name: x.mean(axis=0) for name, x in self._evaluate(self.trained, split, blocks).items()}
        block = size // blocks
        factor = (size - block) ** 2 / (size * block * (blocks - 1))  # some examples may be left out of no block
        return {name: float(np.sqrt(factor * np.sum((x - x.mean()) ** 2))) for name, x in values.items()}

    @own_settings()
    def retrain(
        self, course: Sequence[tuple[int, Mapping[str, Any]]], total_steps: int, replicates: int, host: Host
    ) -> tuple[Any, int]:
        """States after training from new weights on training and validation data together.

        Takes the programs of the search wherever they fit.

        Args:
            course: (stop, hyperparameters) pairs: traced ones, by name, that hold up to a step of the scheduler.
            total_steps: Steps that an optimizer's schedule is told.
            replicates: Seeds.
            host: Tells when time is up: all seeds are trained as long as the first ones were by then.

        Returns:
            Leaves [replicates, ...] on the host, and the step count that they reached.
        """
        if self.task.validation is not None and self.task.train is not None and not is_poolable(self.task):
            raise ValueError(
                "refit() trains on training and validation data together, but theirs are not alike: examples need the "
                "same structure, shapes and dtypes."
            )
        runs = self.layouts[0].runs  # as in the programs of the search: the winner may have more
        search = replace(self.search, replicates=runs // self.search.num_folds)
        # Without batches, steps have to be traced for the size of all data.
        problem = replace(search.problem, task=search.problem.task.replace(train=pooled(self.task)))
        case = problem.case(self.case.variant)
        check_populations(search, [(case, self.layouts[0])])
        data = on_devices(whole(self.task, search.folds), search.mesh)
        group = Group.of(search, case, data, np.zeros(1, int), host, self.layouts, num_trials=1)
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
            states, reached = replace(group, programs=programs).alone(stages, host)
            parts.append(states)
            stages, host = [(min(stop, reached), hp) for stop, hp in stages], Host()
        return jax.tree.map(lambda *xs: concatenated(xs)[:replicates], *parts), reached

    def retrained(self, states: Any, replicates: int, step: int, total_steps: int) -> Trained:
        """States that were trained on all other data than those for testing."""
        prepare = self.task.prepare
        stats = None if prepare is None else Jitted(prepare)(pooled(self.task))
        return self._trained(states, (replicates, 1), step, total_steps, lambda fold: stats)

    def _evaluate(self, trained: Trained, split: str, blocks: int) -> dict[str, np.ndarray]:
        """Name -> [R, max(blocks, 1)]: on the whole split, or with one block of its examples left out at a time."""
        folds = self.search.num_folds
        data = [self._data(split, fold) for fold in range(folds)]
        values = [trained.metrics(run, data[run % folds], blocks) for run in range(trained.num_runs)]
        return {name: np.stack([np.atleast_1d(one[name]) for one in values]) for name in values[0]}

    def _data(self, split: str, fold: int) -> Any:
        return self.task.test if split == "test" else self._of_fold(fold).validation

    def _of_fold(self, fold: int) -> Task:
        return self.task if self.search.folds is None else of_fold(self.task, self.search.folds[fold])


@dataclass(frozen=True, eq=False)
class ShelvedWinner:
    """What a pickle keeps of a winner: plain values and arrays."""

    trained: Any  # a Shelved
    search: dict[str, Any]  # parts of a `Search`
    limits: tuple[Any, ...]  # of its placement
    indices: dict[str, int]
    hp: dict[str, Any]
    step: int
    layouts: list[tuple[Any, ...]]  # without the mesh
    identity: tuple[Any, ...]  # see `of_winner`

    @own_settings()
    def bound(self, task: Task, space: Any, result: Any) -> Winner:
        """The winner again, on the devices of this process; for `Result.with_task`."""
        checks.check_task(task)
        folds = self.search["folds"]
        one = task if folds is None else smallest_fold(task, folds)
        problem = resolve(one, Space.of(space), result.metric, result.mode, whole=task)
        placement, unused = Placement(None, *self.limits), Sobol()  # nothing is proposed any more
        search = Search(task=task, problem=problem, sampler=unused, placement=placement, **self.search)
        seen = replace(
            search, replicates=result.num_runs // search.num_folds
        )  # a confirmed winner has seeds of its own
        check_conditions("The result", result.conditions, seen)
        case = self._case(search)
        leaves = _with_keys(jax.tree.leaves(self.trained.states), case)
        states = jax.tree.unflatten(case.functions.state_tree, leaves)
        layouts = [Layout(search.mesh, *rest) for rest in self.layouts]
        return Winner(search, case, self.hp, self.step, states, layouts)

    def _case(self, search: Search) -> Case:
        """The same case of a space; raises ValueError if it is another one."""
        try:
            case = search.problem.case(search.problem.space.variant(self.indices))
            given = of_winner(search, case)
        except (KeyError, IndexError):  # another space has no such options
            given = ()
        for what, mine, theirs in zip_longest(("training data", "space", "functions"), self.identity, given):
            if mine != theirs:
                raise ValueError(f"with_task() needs the task and the space of the search, but the {what} are others.")
        return case


def concatenated(parts: Sequence[Any]) -> Any:
    """Leaves [n, ...] in one; of random keys numpy knows nothing."""
    is_key = jnp.issubdtype(parts[0].dtype, jax.dtypes.prng_key)
    return jnp.concatenate(parts) if is_key else np.concatenate(parts)


def _with_keys(leaves: Sequence[Any], case: Case) -> list[Any]:
    """Leaves of a state with random keys where it has them; a pickle keeps their numbers."""
    dtypes = [x.dtype for x in jax.tree.leaves(case.functions.state)]
    return [
        jax.random.wrap_key_data(x, impl=dtype._impl.name) if jnp.issubdtype(dtype, jax.dtypes.prng_key) else x
        for x, dtype in zip(leaves, dtypes, strict=True)
    ]
