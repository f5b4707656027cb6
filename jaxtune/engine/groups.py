"""All groups of a search: they train in turns, so that all can stop at one step count, and survive full memory."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import jax
import numpy as np

from jaxtune.engine import recovery
from jaxtune.engine.data import on_devices, task_data
from jaxtune.engine.group import SECONDS_PER_CALL, Group, check_same_reports, check_updates
from jaxtune.engine.host import Host
from jaxtune.engine.lanes import HEALTHY
from jaxtune.engine.layouts import check_populations
from jaxtune.engine.recovery import Stage, replay
from jaxtune.engine.search import Search
from jaxtune.engine.standing import Standing
from jaxtune.engine.width import Width

T = TypeVar("T")
Table = Mapping[str, np.ndarray]  # key -> [T]


class Groups:
    """The groups of a search and what happened to them; T trials, R runs of each.

    Args:
        search: The search.
        hp: Key -> [T], the hyperparameters of all trials, and the option indices of the static ones.
        host: Who waits for programs.
        narrowed: Called with a group that goes on with fewer lanes at once.
        sizes: Of each group, the sizes that its population took before, if it was there.

    Raises:
        ValueError: There are too many groups, or they don't go together.
        MemoryError: They can't fit.
    """

    def __init__(
        self,
        search: Search,
        hp: Table,
        host: Host,
        narrowed: Callable[[Group], None],
        sizes: Sequence[Sequence[tuple[int, int]] | None] | None = None,
    ) -> None:
        self.search, self.hp, self.host, self.narrowed = search, hp, host, narrowed
        self._past: list[tuple[int, Table, np.ndarray]] = []  # evaluations: step, hp on the way there, sources after it
        space, problem = search.problem.space, search.problem
        variants, group_of = space.groups(hp)
        search.placement.check_programs(variants, space)
        cases = list(map(problem.case, variants))
        members = [np.flatnonzero(group_of == number) for number in range(len(cases))]
        known = [None] * len(cases) if sizes is None else sizes
        widths = [Width(search, case, len(n), old) for case, n, old in zip(cases, members, known, strict=True)]
        check_populations(search, [(width.case, width.layouts[0]) for width in widths])
        data = on_devices(task_data(search.task, search.folds), search.mesh)
        self.groups: list[Group] = []
        for width, trials in zip(widths, members, strict=True):
            width.measure(data, trials, hp, host)
            layouts = width.layouts  # as measured now
            self.groups.append(Group.of(search, width.case, data, trials, host, layouts))
        check_same_reports(self.groups)
        check_updates(self.groups, search.plan)

    @property
    def training(self) -> list[Group]:
        """Those that have trials in training."""
        return [group for group in self.groups if group.count]

    @property
    def sizes(self) -> list[tuple[dict[str, int], list[tuple[int, int]]]]:
        """Of each group, its options and the (slots, width) pairs that its population may take."""
        return [
            (dict(group.case.variant.indices), [(one.slots, one.width) for one in group.layouts])
            for group in self.groups
        ]

    def of(self, trial: int) -> Group:
        """The group of a trial."""
        return next(group for group in self.groups if trial in group.trials)

    def prefetch(self) -> None:
        """Starts compiling what the whole search is going to need."""
        plan = self.search.plan
        for group in self.groups:
            share = len(group.trials) / plan.trials  # of several groups nobody knows whose trials will go on
            path = group.path([math.ceil(n * share) for n in plan.population])
            path += path if plan.exploit is not None else []  # copies move within equal arrays
            group.prefetch(path, [row.stop for row in plan.rows])

    def spawn(self, standing: Standing) -> None:
        """Starts all trials."""
        for group in self.groups:
            self._safely(standing, group, 0, partial(group.spawn, self.hp))

    @property
    def size(self) -> int:
        """Bytes of what `saved` gives, about."""
        return sum(x.nbytes for group in self.training for x in jax.tree.leaves(group.population))

    def saved(self) -> list[dict[str, np.ndarray]]:
        """What it takes to go on from here, of each group."""
        return [group.saved() for group in self.groups]

    def restore(self, hp: Table, past: Iterable[tuple[int, Table, np.ndarray]], arrays: Sequence[Table]) -> None:
        """Goes on from what was saved.

        Args:
            hp: Key -> [T], in force now.
            past: Evaluations so far: step, hyperparameters on the way there, sources after it.
            arrays: Of each group, what was saved.
        """
        self.hp, self._past = hp, list(past)
        for group, some in zip(self.groups, arrays, strict=True):
            group.restore(some)

    def train(
        self,
        standing: Standing,
        start: int,
        stop: int,
        show: Callable[[float], None],
        level: Callable[[int], None] = lambda step: None,
    ) -> int:
        """Trains all groups towards a step count.

        Args:
            standing: Who is in training.
            start: Steps done.
            stop: Steps to do.
            show: Called with the steps done, every second or so.
            level: Called with a step count that all groups have come to.

        Returns:
            The step count that all have reached: less where the search is to end.
        """
        groups = self.training
        if not groups:
            return stop
        leader, reached = groups[0], [start] * len(groups)
        while reached[0] < stop and not (self.host.interrupted and reached[0] > start):
            reached[0] = self._safely(standing, leader, reached[0], partial(self._lead, leader, reached[0], stop, show))
            for number, group in enumerate(groups):
                if group.can_train:  # those that are still compiled catch up later
                    self._follow(standing, group, reached, number)
            show(reached[0])
            if len({*reached}) == 1:
                level(reached[0])
        for number, group in enumerate(groups):
            self._follow(standing, group, reached, number)
        return reached[0]

    def _lead(self, leader: Group, start: int, stop: int, show: Callable[[float], None]) -> int:
        """Trains a group for a while, up to a step count to which all others can be trained."""
        for done in leader.train(self.hp, start, stop, self._seconds):
            if done >= stop or self._all_land_on(done):
                return int(done)
            show(done)
        return stop

    def _follow(self, standing: Standing, group: Group, reached: list[int], number: int) -> None:
        """Trains a group as far as the first one."""

        def train() -> None:
            for _ in group.train(self.hp, reached[number], reached[0], self._seconds):
                pass

        self._safely(standing, group, reached[number], train)
        reached[number] = reached[0]

    @property
    def _seconds(self) -> float:
        """That a call of one group may take, for a turn of all to take about a second."""
        return max(SECONDS_PER_CALL / len(self.training), 0.05)

    def _all_land_on(self, done: float) -> bool:
        return float(done).is_integer() and all(g.pace.lands_on(done, g.layout.burst) for g in self.training)

    def evaluate(self, standing: Standing, stop: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Evaluates all trials in training.

        Returns:
            Name -> [R, T] of metrics, NaN for trials not in training; and [R, T] steps of divergence, or HEALTHY.
        """
        problem, shape = self.search.problem, (self.search.runs, self.search.plan.trials)
        metrics: dict[str, np.ndarray] = {}
        diverged = np.full(shape, HEALTHY, np.int32)
        for group in self.training:
            evaluate = partial(group.evaluate, self.hp, stop, problem.metric, problem.mode)
            values, steps = self._safely(standing, group, stop, evaluate)
            used = group.lanes[group.lanes < shape[1]]
            for name, table in values.items():
                metrics.setdefault(name, np.full(shape, np.nan, table.dtype))[:, used] = table[:, used]
            diverged[:, used] = steps[:, used]
        self._past.append((stop, self.hp, np.arange(shape[1])))
        return metrics, diverged

    def keep(self, standing: Standing, improved: np.ndarray) -> None:
        """Makes the states of the trials of `improved` [T] their checkpoints."""
        for group in self.groups:
            self._safely(standing, group, self._past[-1][0], partial(group.keep, improved))

    def move(self, standing: Standing, hp: Table) -> None:
        """Lets those that are in training now go on with other hyperparameters, from the weights of their sources."""
        stop, before, _ = self._past[-1]
        self._past[-1] = stop, before, standing.source
        self.hp = hp
        for group in self.groups:  # deciding a second time, after a replay, changes nothing
            self._safely(standing, group, stop, partial(group.decide, standing.training, standing.source))

    def explored(self) -> dict[str, np.ndarray]:
        """Name -> [T] of the traced hyperparameters in force; 0 in trials without them."""
        table: dict[str, np.ndarray] = {}
        for group in self.groups:
            here = np.isin(np.arange(self.search.plan.trials), group.trials)
            for name, key in group.keys.items():
                values = np.where(here, self.hp[key], 0)
                table[name] = table[name] + values if name in table else values.astype(self.hp[key].dtype)
        return table

    def states(self) -> dict[int, Callable[[], Any]]:
        """Trial -> what fetches its states, leaves [R, ...] on the host, of all that are in training."""
        return {t: partial(group.state, t) for group in self.groups for t in group.training}

    def close(self) -> None:
        """Nothing more will be needed."""
        self.host.later.clear()
        for group in self.groups:
            group.programs.cancel()

    def _safely(self, standing: Standing, group: Group, reached: int, work: Callable[[], T]) -> T:
        """Does some work on a group that has been trained up to a step, with fewer lanes at once if memory runs out."""

        def again() -> None:
            course = [Stage(*stage, standing.training, standing.step == stage[0]) for stage in self._past]
            replay(group, course, self.hp, reached, self.search.problem.metric, self.search.problem.mode)

        return recovery.safely(work, group, again, self.narrowed)
