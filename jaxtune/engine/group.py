"""A group on the host: trials that share their static hyperparameters, hence one set of programs and one population."""

import itertools
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from jaxtune.engine import saved as saving
from jaxtune.engine.data import Data
from jaxtune.engine.host import Host
from jaxtune.engine.lanes import Layout, Population
from jaxtune.engine.layouts import fitting, narrowed
from jaxtune.engine.pace import Pace
from jaxtune.engine.programs import Programs
from jaxtune.engine.rung import survivors
from jaxtune.engine.search import Search
from jaxtune.schedulers.plan import Plan
from jaxtune.tasks.case import Case
from jaxtune.tasks.executables import Jitted

SECONDS_PER_CALL = 0.7  # how late Ctrl-C may be seen, and how often the progress bar moves


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
        case: What its trials train.
        trials: [n] ids of the group's trials.
        num_trials: T, over all groups.
    """

    programs: Programs
    layouts: tuple[Layout, ...]
    pace: Pace
    case: Case
    trials: np.ndarray
    num_trials: int
    layout: Layout = field(init=False)
    lanes: np.ndarray = field(init=False)  # [slots] int32: the trial in each slot, or T
    population: Population = field(init=False)
    seconds_per_update: float = field(init=False, default=math.inf)  # of all lanes, when they were last trained

    @classmethod
    def of(
        cls,
        search: Search,
        case: Case,
        data: Data,
        trials: np.ndarray,
        host: Host,
        layouts: Sequence[Layout],
        num_trials: int | None = None,
    ) -> "Group":
        """A group with nothing compiled yet.

        Args:
            search: What all groups have in common.
            case: What its trials train.
            data: On the devices.
            trials: [n] ids.
            host: Who waits for its programs.
            layouts: Sizes that the population may take.
            num_trials: T, if it is not that of the search.
        """
        shared = jax.device_put(search.shared(case, data), layouts[0].everywhere)
        dtypes = {name: x.dtype for name, x in case.structs.items()}
        programs = Programs(case.functions, shared, dtypes, host)
        return cls(programs, tuple(layouts), search.pace(case), case, trials, num_trials or search.plan.trials)

    @property
    def keys(self) -> Mapping[str, str]:
        """Name -> key in the space of its traced hyperparameters."""
        return self.case.variant.traced

    def __post_init__(self) -> None:
        self.layout = self.layouts[0]
        self.lanes = self._dealt(self.trials)

    def _dealt(self, trials: np.ndarray) -> np.ndarray:
        """[slots]: trials in the first slots of the layout."""
        free = np.full(self.layout.slots - len(trials), self.num_trials)
        return np.concatenate([trials, free]).astype(np.int32)

    @property
    def training(self) -> list[int]:
        """Trials in training, by slot."""
        return self.lanes[self.lanes < self.num_trials].tolist()

    @property
    def count(self) -> int:
        """How many these are."""
        return int(np.sum(self.lanes < self.num_trials))

    def narrow(self) -> bool:
        """Halves the number of lanes trained at once; whether that was possible."""
        if self.layout.width == 1:
            return False
        half = self.layout.width // 2
        self.layouts = tuple(narrowed(layout, half) for layout in self.layouts)
        self.layout = narrowed(self.layout, half)
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
        if any(self.pace.updates(stop) % self.layout.burst for stop in stops):
            self.programs.prefetch_remainders(path)

    @property
    def can_train(self) -> bool:
        """Whether the program that trains it is compiled."""
        future = self.programs.find("advance", self.layout)
        return future is not None and future.done()

    def spawn(self, hp: Mapping[str, Any]) -> None:
        """Starts all trials; `hp` is key -> [T], here and below."""
        self.__dict__.pop("population", None)  # there need not be memory for two
        self.population = self.programs.spawn(self.layout, self.of_slots(hp))

    def saved(self) -> dict[str, np.ndarray]:
        """What it takes to go on from here: the trials in training, and their arrays."""
        trials = {"trials": self.lanes[: self.count].copy()}
        return trials | (saving.saved(self.population, self.layout, self.count) if self.count else {})

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Goes on from what was saved."""
        trials = np.asarray(arrays["trials"])
        self.layout = fitting(self.layouts, len(trials)) if len(trials) else self.layout
        self.lanes = self._dealt(trials)
        if len(trials):
            others = {name: x for name, x in arrays.items() if name != "trials"}
            self.population = saving.restored(others, self.programs.shapes(self.layout), self.layout)

    def train(self, hp: Mapping[str, Any], start: int, stop: int, seconds: float = SECONDS_PER_CALL) -> Iterator[float]:
        """Trains from one step count to another, in calls of about so many seconds; yields the steps done so far."""
        done, last = self.pace.updates(start), self.pace.updates(stop)
        hp = self.of_slots(hp)
        while self.count and done < last:
            layout = self.layout if last - done >= self.layout.burst else self.layout._replace(burst=1)
            bursts = min(max(1, int(seconds / self.seconds_per_update / layout.burst)), (last - done) // layout.burst)
            self.programs.ready("advance", layout)
            begin = time.monotonic()
            self.population = self.programs.advance(layout, self.population, hp, self.count, done, bursts)
            self.seconds_per_update = max(time.monotonic() - begin, 1e-6) / (bursts * layout.burst)
            done += bursts * layout.burst
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
        steps = self.pace.whole_steps(np, diverged)
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
            if self.programs.find("move", self.layout, after) and self.programs.find("advance", after):
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

    def as_state(self, arrays: Mapping[str, Any]) -> Any:
        """The state of a trial from its leaves, in the order of their names."""
        return jax.tree.unflatten(self.programs.functions.state_tree, [arrays[name] for name in sorted(arrays)])

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
