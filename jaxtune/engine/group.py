"""A group on the host: trials that share their static hyperparameters, hence one set of programs and one population."""

import itertools
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxtune.engine.costs import flops, live_bytes
from jaxtune.engine.data import Data
from jaxtune.engine.host import Host
from jaxtune.engine.pace import Pace
from jaxtune.engine.placement import Placement, Step, check_memory, choose_ladder, fit
from jaxtune.engine.population import Layout, Population, Shared
from jaxtune.engine.programs import Programs
from jaxtune.engine.rung import survivors
from jaxtune.schedulers.plan import Plan, shortened
from jaxtune.tasks.executables import Jitted
from jaxtune.tasks.functions import Functions
from jaxtune.tasks.problem import Problem

SECONDS_PER_CALL = 0.7  # how late Ctrl-C may be seen, and how often the progress bar moves
_FLOPS_PER_CALL = {"cpu": 1e11}  # that a device makes in about a second or two
_FLOPS_OF_OTHERS = 1e14


@dataclass(frozen=True)
class Setting:
    """What all groups of a search have in common."""

    problem: Problem
    mesh: Mesh
    placement: Placement
    plan: Plan
    replicates: int
    folds: int
    fewest: int | None  # examples in the smallest training part
    key: jax.Array
    keeps_best: bool = False

    @property
    def runs(self) -> int:
        """Runs of each trial: replicates times folds."""
        return self.replicates * self.folds

    def pace(self, indices: Mapping[str, int]) -> Pace:
        """How many updates the group with these static options makes in a step of the scheduler."""
        return Pace(self.problem.task.batch_size or 1, self.problem.task_of(indices).batch_size or 1)

    def lane_bytes(self, functions: Functions) -> int:
        """Bytes of one lane's state, and of its checkpoint where one is kept."""
        state = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(functions.state))
        return state * (2 if self.keeps_best else 1)

    def scratch_bytes(self, indices: Mapping[str, int], width: int) -> int:
        """Bytes that chunks of this width take on a device while they are trained, or evaluated; about."""
        functions = self.problem.functions(indices)
        return max(width * live_bytes(functions.step.jaxpr), live_bytes(functions.evaluate.jaxpr))

    def lane_updates(self, indices: Mapping[str, int], num_trials: int) -> float:
        """Updates of these trials' lanes in the whole search; about, where trials are pruned."""
        share = self.runs * num_trials / self.plan.trials
        return self.plan.trial_steps * share * self.pace(indices).base / self.pace(indices).size

    def layouts(
        self,
        functions: Functions,
        indices: Mapping[str, int],
        num_trials: int,
        measured: Mapping[int, float] = MappingProxyType({}),
    ) -> tuple[Layout, ...]:
        """The sizes that a population of these trials takes as it shrinks; `measured` as for `choose_ladder`."""
        working = self.lane_bytes(functions), live_bytes(functions.step.jaxpr)
        lanes = -(-num_trials // self.mesh.devices.size)
        ladder = choose_ladder(self.placement, self.mesh, lanes, *working, measured)
        batch_size = self.problem.task_of(indices).batch_size
        work = flops(functions.step.jaxpr) * ladder[0].rows * self.runs
        limit = _FLOPS_PER_CALL.get(self.mesh.devices.flat[0].platform, _FLOPS_OF_OTHERS)
        unit = shortened(self.pace(indices).unit(self.plan), limit / max(work, 1.0))
        fewest = self.fewest if batch_size else None
        return tuple(
            Layout(self.mesh, rows, width, self.runs, unit, batch_size, fewest, self.keeps_best)
            for rows, width in ladder
        )

    def check_memory(self, populations: Sequence[tuple[Mapping[str, int], Layout]], data_bytes: int = 0) -> None:
        """Raises MemoryError if populations, of these static options and sizes, can't fit beside such data."""
        lanes = [(layout.slots * self.runs, self.lane_bytes(self.problem.functions(i))) for i, layout in populations]
        total = data_bytes + sum(slots * lane_bytes for slots, lane_bytes in lanes)
        slots, lane_bytes = max(lanes, key=math.prod)
        scratch = self.mesh.devices.size * max(self.scratch_bytes(i, layout.width) for i, layout in populations)
        check_memory(self.mesh, slots, lane_bytes, total - slots * lane_bytes, scratch)

    def shared(self, functions: Functions, indices: Mapping[str, int], data: Data) -> Shared:
        """What all lanes of a group share."""
        replicate, fold = jnp.divmod(jnp.arange(self.runs, dtype=jnp.int32), self.folds)
        total_steps = jnp.int32(self.pace(indices).updates(self.plan.steps))
        return Shared(self.key, functions.consts, data, replicate, fold, total_steps)


def fitting(layouts: Sequence[Layout], num_trials: int) -> Layout:
    """The smallest layout that holds so many trials."""
    steps = [Step(layout.rows, layout.width) for layout in layouts]
    return layouts[steps.index(fit(steps, -(-num_trials // layouts[0].devices)))]


def _narrowed(layout: Layout, widest: int) -> Layout:
    """The same arrays in chunks of at most a width; chunks come out even."""
    width = min(layout.width, widest)
    return layout._replace(width=next(w for w in range(width, 0, -1) if layout.rows % w == 0))


def _pick(state: Any, row: jax.Array) -> Any:
    """[R, rows, 1, ...] -> [R, ...]."""
    return jax.tree.map(lambda x: jax.lax.dynamic_index_in_dim(x, row, 1, keepdims=False)[:, 0], state)


@dataclass
class Group:
    """A group's population and its programs.

    Attributes:
        programs: The compiled programs.
        layouts: Sizes that the population may take.
        pace: Its updates against the scheduler's steps.
        indices: Option indices of its static hyperparameters.
        keys: Name -> key in the space of its traced hyperparameters.
        trials: [n] ids of the group's trials.
        num_trials: T, over all groups.
    """

    programs: Programs
    layouts: tuple[Layout, ...]
    pace: Pace
    indices: Mapping[str, int]
    keys: Mapping[str, str]
    trials: np.ndarray
    num_trials: int
    layout: Layout = field(init=False)
    lanes: np.ndarray = field(init=False)  # [slots] int32: the trial in each slot, or T
    population: Population = field(init=False)
    seconds_per_update: float = field(init=False, default=math.inf)  # of all lanes, when they were last trained

    @classmethod
    def of(
        cls,
        setting: Setting,
        indices: Mapping[str, int],
        data: Data,
        trials: np.ndarray,
        host: Host,
        num_trials: int,
        layouts: Sequence[Layout],
    ) -> "Group":
        """A group with nothing compiled yet.

        Args:
            setting: What all groups have in common.
            indices: Option indices of its static hyperparameters.
            data: On the devices.
            trials: [n] ids.
            host: Who waits for its programs.
            num_trials: T.
            layouts: Sizes that the population may take.
        """
        functions, space = setting.problem.functions(indices), setting.problem.space
        shared = jax.device_put(setting.shared(functions, indices, data), layouts[0].everywhere)
        keys = {name: key for name, key in space.active(indices).items() if key in space.traced}
        dtypes = {name: x.dtype for name, x in setting.problem.traced_structs(indices).items()}
        return cls(
            programs=Programs(functions, shared, dtypes, host),
            layouts=tuple(layouts),
            pace=setting.pace(indices),
            indices=indices,
            keys=keys,
            trials=trials,
            num_trials=num_trials,
        )

    def __post_init__(self) -> None:
        self.layout = self.layouts[0]
        self.lanes = self._dealt(self.trials)

    def _dealt(self, trials: np.ndarray) -> np.ndarray:
        """[slots]: trials in the first slots of the layout."""
        free = np.full(self.layout.slots - len(trials), self.num_trials)
        return np.concatenate([trials, free]).astype(np.int32)

    @property
    def count(self) -> int:
        """Trials in training."""
        return int(np.sum(self.lanes < self.num_trials))

    def narrow(self) -> bool:
        """Halves the number of lanes trained at once; whether that was possible."""
        if self.layout.width == 1:
            return False
        half = self.layout.width // 2
        self.layouts = tuple(_narrowed(layout, half) for layout in self.layouts)
        self.layout = _narrowed(self.layout, half)
        return True

    def restart(self) -> None:
        """Prepares for a new population of the trials that are in training."""
        trials = self.lanes[self.lanes < self.num_trials]
        self.layout = fitting(self.layouts, len(trials))
        self.lanes = self._dealt(trials)

    def path(self, counts: Sequence[int]) -> list[Layout]:
        """The layouts of a population as it shrinks through these numbers of trials, one for each different number."""
        return [self.layout, *(fitting(self.layouts, n) for n in list(dict.fromkeys(counts))[1:] if n)]

    def prefetch(self, path: Sequence[Layout], stops: Sequence[int]) -> None:
        """Starts compiling what training in these layouts, with evaluations at these steps, is going to need."""
        self.programs.prefetch(path)
        if any(self.pace.updates(stop) % self.layout.unit for stop in stops):
            self.programs.prefetch_remainders(path)

    @property
    def can_train(self) -> bool:
        """Whether the program that trains it is compiled."""
        return self.programs.is_ready("advance", self.layout)

    def spawn(self, hp: Mapping[str, Any]) -> None:
        """Starts all trials; `hp` is key -> [T], here and below."""
        self.__dict__.pop("population", None)  # there need not be memory for two
        self.population = self.programs.spawn(self.layout, self.of_slots(hp))

    def train(self, hp: Mapping[str, Any], start: int, stop: int, seconds: float = SECONDS_PER_CALL) -> Iterator[float]:
        """Trains from one step count to another, in calls of about so many seconds; yields the steps done so far."""
        done, last = self.pace.updates(start), self.pace.updates(stop)
        hp = self.of_slots(hp)
        while self.count and done < last:
            layout = self.layout if last - done >= self.layout.unit else self.layout._replace(unit=1)
            units = min(max(1, int(seconds / self.seconds_per_update / layout.unit)), (last - done) // layout.unit)
            self.programs.ready("advance", layout)
            begin = time.monotonic()
            self.population = self.programs.advance(layout, self.population, hp, self.count, done, units)
            self.seconds_per_update = max(time.monotonic() - begin, 1e-6) / (units * layout.unit)
            done += units * layout.unit
            yield stop if done == last else self.pace.steps(done)

    def evaluate(
        self, hp: Mapping[str, Any], stop: int, metric: str, mode: str
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Evaluates all trials in training.

        Returns:
            name -> [R, T] of metrics, NaN for trials not in training; and [R, T] steps of divergence, or -1.
        """
        index, sign = self.programs.functions.metrics.index(metric), 1.0 if mode == "min" else -1.0
        self.population, record = self.programs.evaluate(
            self.layout, self.population, self.of_slots(hp), self.count, self.pace.updates(stop), index, sign
        )
        diverged = self._of_trials(self.population.diverged, -1)
        steps = np.where(diverged < 0, -1, diverged * self.pace.size // self.pace.base)
        return {name: self._of_trials(x, np.nan) for name, x in record.items()}, steps

    def keep(self, improved: np.ndarray) -> None:
        """Makes the states of the trials of `improved` [T] their checkpoints."""
        if self.count:
            table = np.append(improved, False)[self.lanes]
            self.population = self.programs.keep(self.layout, self.population, table)

    def decide(self, training: np.ndarray, source: np.ndarray) -> None:
        """Lets the trials of `training` [T] go on, each from the weights of trial `source` [T]."""
        kept = int(np.sum(training[self.lanes[self.lanes < self.num_trials]]))
        after = fitting(self.layouts, kept) if kept else self.layout
        lanes, slots = survivors(np, self.lanes, training, source, after.slots)
        if after != self.layout or not np.array_equal(slots[:kept], np.arange(kept)):
            self.population = self.programs.move(self.layout, after, self.population, slots, kept)
        self.lanes, self.layout = lanes, after

    def alone(self, course: Sequence[tuple[int, dict]], host: Host) -> tuple[Any, int]:
        """Trains the group's first trial alone, in the smallest arrays that have programs.

        Args:
            course: (stop, hp) pairs: hyperparameters, key -> [T], that hold up to a step count.
            host: Tells when time is up.

        Returns:
            Its states, leaves [R, ...] on the host; and the step count that they reached.
        """
        self.spawn(course[0][1])
        for after in self.layouts[1:]:
            if self.programs.has("move", self.layout, after) and self.programs.has("advance", after):
                slots = np.zeros(after.slots, np.int32)
                self.population = self.programs.move(self.layout, after, self.population, slots, 1)
                self.layout, self.lanes = after, self.lanes[: after.slots]
        reached = self._follow(course, host)
        self.population = self.population.replace(kept=self.population.state)
        return self.state(int(self.trials[0])), reached

    def _follow(self, course: Sequence[tuple[int, dict]], host: Host) -> int:
        """Trains along a course until its end or until time is up; the whole number of steps done by then."""
        start = 0
        for stop, hp in course:
            for done in self.train(hp, start, stop):
                if host.interrupted and float(done).is_integer():
                    return int(done)
            start = stop
        return start

    def state(self, trial: int) -> Any:
        """The checkpoint of a trial in training, or else its last state; leaves [R, ...] on the host."""
        slot = int(np.flatnonzero(self.lanes == trial)[0])
        row, device = slot // self.layout.devices, slot % self.layout.devices
        where = self.layout.mesh.devices.flat[device]

        def shard(x: jax.Array) -> jax.Array:
            # Indexing the sharded array would gather the whole population onto every device.
            return next(s.data for s in x.addressable_shards if s.device == where)

        states = self.population.kept if self.layout.keeps_best else self.population.state
        leaves = jax.device_get(Jitted(_pick)(jax.tree.map(shard, states), np.int32(row)))
        return jax.tree.unflatten(self.programs.functions.state_tree, leaves)

    def of_slots(self, table: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Key -> [T] to name -> [slots]; free slots repeat a trial of the group."""
        trials = np.where(self.lanes < self.num_trials, self.lanes, self.trials[0])
        return {name: table[key][trials] for name, key in self.keys.items()}

    def _of_trials(self, record: jax.Array, missing: float) -> np.ndarray:
        """[R, rows, D] to [R, T]."""
        values = np.asarray(record).reshape(self.layout.runs, -1)
        used = self.lanes < self.num_trials
        table = np.full((self.layout.runs, self.num_trials), missing, values.dtype)
        table[:, self.lanes[used]] = values[:, used]
        return table


def check_updates(groups: Sequence[Group], plan: Plan) -> None:
    """Raises ValueError if some trials make no update between two evaluations: values would say nothing new."""
    stops = [0, *(row.stop for row in plan.rows)]
    for pace in {group.pace for group in groups}:
        for start, stop in itertools.pairwise(stops):
            if pace.updates(start) == pace.updates(stop):
                raise ValueError(
                    f"Between the evaluations at steps {start} and {stop}, steps of {pace.base} examples, a trial with "
                    f"batch_size={pace.size} makes no update: evaluate at most "
                    f"every {-(-pace.size // pace.base)} steps."
                )


def check_same_reports(groups: Sequence[Group]) -> None:
    """Raises ValueError if not all groups report the same metrics and logs."""
    functions = [group.programs.functions for group in groups]
    reported = {(one.metrics, one.info) for one in functions}
    if len(reported) > 1:
        raise ValueError(
            "All trials need the same metrics and logs, but with other static hyperparameters the task reports "
            f"others: {' or '.join(str(metrics + info) for metrics, info in sorted(reported))}."
        )
