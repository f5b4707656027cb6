"""`plan`: what a search is going to take, before anything runs."""

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxtune.drivers.proposing import propose
from jaxtune.drivers.setup import set_up
from jaxtune.engine.costs import flops
from jaxtune.engine.lanes import Layout
from jaxtune.engine.layouts import fitting, lane_bytes, scratch_bytes
from jaxtune.engine.memory import available_memory
from jaxtune.engine.placement import Placement
from jaxtune.engine.search import Search
from jaxtune.engine.width import Width
from jaxtune.interface.entry import entry, given_back
from jaxtune.results.confirming.confirm import Confirm, check_confirm
from jaxtune.samplers import Sobol
from jaxtune.samplers.sampler import Sampler
from jaxtune.schedulers.plan import Scheduler
from jaxtune.spaces.space import Space
from jaxtune.tasks.decoding import decoded
from jaxtune.tasks.task import Task

_SECONDS_PER_PROGRAM = 2.5  # a compiler's time for one program of a small network, cores shared


@given_back
class GroupPlan(NamedTuple):
    """One group of trials that share their static hyperparameters.

    Attributes:
        static: Their values.
        trials: Number of trials.
        lanes: Lanes: trials times replicates times folds.
        slots: Lanes that the arrays have room for.
        chunk: Lanes that a device trains at once at the start.
        chosen_by: How that number was found: a rule, a measurement on this machine, or you.
        programs: Programs to compile.
        updates: Optimizer updates of a trial that is trained to the end.
        lane_bytes: Bytes of one lane's state, and of its checkpoint where one is kept.
        scratch_bytes: Bytes that training or evaluating takes besides on each device, about.
    """

    static: dict[str, Any]
    trials: int
    lanes: int
    slots: int
    chunk: int
    chosen_by: str
    programs: int
    updates: int
    lane_bytes: int
    scratch_bytes: int


@given_back
@dataclass(frozen=True, eq=False)
class SearchPlan:
    """What a search is going to take; prints as a table.

    Attributes:
        groups: One entry per combination of static hyperparameters.
        rows: (step, trials in training on the way to it) of each evaluation of a generation.
        generations: How many there are.
        traced: Names of the hyperparameters that one program takes as numbers.
        static: Names of those that make groups.
        runs: Replicates times folds.
        lane_steps: Steps over all lanes, in steps of the task's batch size: the budget.
        confirming: Further ones that it takes to confirm the winner, at most.
        programs: Programs to compile, over all groups.
        devices: Number of devices.
        memory: Bytes of all states (and checkpoints), over all devices; populations are padded to powers of two.
        data: Bytes of the data there.
        scratch: Bytes of what training or evaluating takes besides, over all devices, about.
        available: Bytes that are free there now.
        seconds: Estimated time of training, from a few steps of one chunk measured just now: good to a factor of 2 or
            3, because evaluations, moves and later, narrower chunks are not in it.
        compile_seconds: Estimated time of compiling, which overlaps with training; a rough rule.
    """

    groups: tuple[GroupPlan, ...]
    rows: tuple[tuple[int, int], ...]
    generations: int
    traced: tuple[str, ...]
    static: tuple[str, ...]
    runs: int
    lane_steps: int
    confirming: int
    programs: int
    devices: int
    memory: int
    data: int
    scratch: int
    available: int
    seconds: float
    compile_seconds: float

    @property
    def disk(self) -> int:
        """Bytes of the checkpoints of a search with a directory, at most: two, and one that is being written."""
        return 3 * sum(group.lanes * group.lane_bytes for group in self.groups)

    def __repr__(self) -> str:
        rungs = ", ".join(f"{trials} to step {stop:,}" for stop, trials in self.rows)
        lines = [
            f"Plan: {sum(g.trials for g in self.groups)} trials x {self.runs} run(s), {len(self.groups)} group(s), "
            f"{self.programs} programs",
            f"  traced: {', '.join(self.traced) or 'nothing'}",
            f"  static: {', '.join(self.static) or 'nothing'}",
            f"  rungs:  {rungs}" + (f", {self.generations} times" if self.generations > 1 else ""),
            f"  budget: {self.lane_steps:,} lane-steps"
            + (f", and at most {self.confirming:,} to confirm the winner" if self.confirming else ""),
            f"  memory: {_bytes(self.memory)} of states, {_bytes(self.data)} of data, "
            f"{_bytes(self.scratch)} of scratch; {self.devices} device(s) with {_bytes(self.available)} free",
            f"  disk:   {_bytes(self.disk)} of checkpoints at most, with directory=",
            f"  time:   about {_seconds(self.seconds)} of training, {_seconds(self.compile_seconds)} of compiling",
        ]
        heads = ("group", "trials", "lanes", "chunk", "chosen by", "programs", "updates", "lane")
        table = [heads, *(_cells(group) for group in self.groups)]
        widths = [max(len(row[i]) for row in table) for i in range(len(heads))]
        lines += [
            "  " + "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in table
        ]
        return "\n".join(lines)


@entry
def plan(
    task: Task,
    space: Space | Mapping[str, Any],
    *,
    scheduler: Scheduler,
    sampler: Sampler = Sobol(),  # noqa: B008 - a frozen value
    generations: int = 1,
    replicates: int = 1,
    folds: Any = None,
    evaluate_every: int | None = None,
    keep: str = "last",
    confirm: Confirm | None = None,
    seed: int = 0,
    placement: Placement = Placement(),  # noqa: B008 - a frozen value
) -> SearchPlan:
    """Tells what `tune` with these arguments is going to take: groups, programs, lanes, memory, budget and time.

    Only a few steps of one chunk run, to estimate the time. Too many groups are refused here as in `tune`.

    Args:
        task: See `tune`.
        space: See `tune`.
        scheduler: See `tune`.
        sampler: See `tune`; it decides which static options occur.
        generations: See `tune`; groups are those of the first one.
        replicates: See `tune`.
        folds: See `tune`.
        evaluate_every: See `tune`.
        keep: See `tune`.
        confirm: See `tune`.
        seed: See `tune`.
        placement: See `tune`.

    Returns:
        Numbers, and a table when printed.

    Raises:
        TypeError: As `tune`.
        ValueError: As `tune`; with too many programs it names the hyperparameter that makes most of them.
        MemoryError: Not even a single chunk can be trained, whose steps are timed.

    Example:
        >>> import flax.linen as nn, numpy as np, optax
        >>> import jaxtune as jt
        >>> x = np.linspace(-1, 1, 64, dtype=np.float32)[:, None]
        >>> task = jt.supervised(
        ...     nn.Dense(1), optimizer=lambda hp: optax.sgd(hp["lr"]), loss=optax.squared_error,
        ...     train=(x, 3 * x), validation=(x, 3 * x), batch_size=16,
        ... )
        >>> space = {"lr": jt.LogUniform(1e-4, 0.5), "batch_size": jt.Choice([8, 16])}
        >>> plan = jt.plan(task, space, scheduler=jt.SuccessiveHalving(16, min_steps=10, max_steps=90))
        >>> plan.lane_steps, [group.updates for group in plan.groups]
        (320, [180, 90])
    """
    common = task, space, scheduler, sampler, None, "min", replicates, seed, placement
    search = set_up(*common, folds, evaluate_every, keep, generations=generations)
    check_confirm(confirm, search.plan.trials * search.generations)
    seeds = 0 if confirm is None else confirm.budget(search.replicates)
    confirming = seeds * search.num_folds * search.plan.steps
    problem, table = search.problem, search.plan
    points = propose(search.key, sampler=sampler, space=problem.space, num_points=table.trials)
    hp = decoded(points, problem.space)
    variants, group_of = problem.space.groups(hp)
    placement.check_programs(variants, problem.space)
    widths = [Width(search, problem.case(v), int(np.sum(group_of == n))) for n, v in enumerate(variants)]
    groups = tuple(map(_group, widths))
    programs = sum(group.programs for group in groups)
    return SearchPlan(
        groups=groups,
        rows=tuple(zip((row.stop for row in table.rows), table.population, strict=True)),
        generations=search.generations,
        traced=tuple(dict.fromkeys(problem.space.hp_name(key) for key in problem.space.traced)),
        static=tuple(dict.fromkeys(problem.space.hp_name(key) for key in problem.space.static)),
        runs=search.runs,
        lane_steps=search.lane_steps,
        confirming=confirming,
        programs=programs,
        devices=search.mesh.devices.size,
        memory=sum(group.slots * group.lane_bytes for group in groups),
        data=search.data_bytes,
        scratch=search.mesh.devices.size * max(group.scratch_bytes for group in groups),
        available=available_memory(search.mesh),
        seconds=search.generations * _training_time(widths, hp) * (1 + confirming / search.lane_steps),
        compile_seconds=_SECONDS_PER_PROGRAM * max(1.0, programs / (jax.local_device_count() or 1)),
    )


def _group(width: Width) -> GroupPlan:
    search, case, trials = width.search, width.case, width.num_trials
    layouts, variant = width.layouts, case.variant
    return GroupPlan(
        static={name: variant.static[name] for name, key in variant.keys.items() if key in variant.indices},
        trials=trials,
        lanes=trials * search.runs,
        slots=layouts[0].slots * search.runs,
        chunk=layouts[0].width,
        chosen_by=width.chosen_by,
        programs=_num_programs(layouts, search),
        updates=search.pace(case).updates(search.plan.steps),
        lane_bytes=lane_bytes(search, case),
        scratch_bytes=scratch_bytes(case, layouts[0].width),
    )


def _num_programs(layouts: tuple[Layout, ...], search: Search) -> int:
    """Spawn, then per size: train, evaluate, keep; and moves between sizes."""
    counts = [n for n in dict.fromkeys(search.plan.population) if n <= layouts[0].slots]
    path = [fitting(layouts, n) for n in counts] * (1 if search.plan.exploit is None else 2)
    return 1 + len(set(path)) * (3 if search.keeps_best else 2) + len(set(pairwise(path)))


def _training_time(widths: list[Width], hp: Mapping[str, np.ndarray]) -> float:
    """Seconds of training, from a chunk's steps measured for the largest group and scaled by work to the others."""
    largest = max(widths, key=lambda width: width.num_trials)
    work = [flops(width.case.functions.step.jaxpr) for width in widths]
    updates = [width.search.lane_updates(width.case, width.num_trials) for width in widths]
    share = sum(map(operator.mul, updates, work)) / work[widths.index(largest)]
    return largest.seconds_per_update(hp) * share / largest.search.mesh.devices.size


def _cells(group: GroupPlan) -> tuple[str, ...]:
    static = ", ".join(f"{name}={value}" for name, value in group.static.items()) or "all"
    numbers = [f"{n:,}" for n in (group.trials, group.lanes, group.chunk, group.programs, group.updates)]
    return (static, *numbers[:3], group.chosen_by, *numbers[3:], _bytes(group.lane_bytes))


def _bytes(number: float) -> str:
    for unit in ("B", "kB", "MB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} GB"


def _seconds(seconds: float) -> str:
    return f"{seconds:.2g} s" if seconds < 100 else f"{seconds / 60:.3g} min"
