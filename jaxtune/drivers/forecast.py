"""`plan`: what a search is going to take, before anything runs."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.drivers.proposing import propose
from jaxtune.engine import timing
from jaxtune.engine.costs import flops
from jaxtune.engine.data import data_bytes, smallest_fold, task_data
from jaxtune.engine.group import Setting, fitting
from jaxtune.engine.placement import Placement, available_memory
from jaxtune.engine.population import Layout
from jaxtune.interface.entry import entry
from jaxtune.interface.settings import own_settings
from jaxtune.interface.signatures import given_back
from jaxtune.samplers import Sobol
from jaxtune.schedulers.plan import Plan
from jaxtune.spaces.space import Space
from jaxtune.tasks import checks
from jaxtune.tasks.folds import make_folds
from jaxtune.tasks.functions import Extras
from jaxtune.tasks.problem import Problem, decode, resolve
from jaxtune.tasks.task import Task

_REPEATS = 5
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
        rows: (step, trials in training on the way to it) of each evaluation.
        traced: Names of the hyperparameters that one program takes as numbers.
        static: Names of those that make groups.
        runs: Replicates times folds.
        lane_steps: Steps over all lanes, in steps of the task's batch size: the budget.
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
    traced: tuple[str, ...]
    static: tuple[str, ...]
    runs: int
    lane_steps: int
    programs: int
    devices: int
    memory: int
    data: int
    scratch: int
    available: int
    seconds: float
    compile_seconds: float

    def __repr__(self) -> str:
        rungs = ", ".join(f"{trials} to step {stop:,}" for stop, trials in self.rows)
        lines = [
            f"Plan: {sum(g.trials for g in self.groups)} trials x {self.runs} run(s), {len(self.groups)} group(s), "
            f"{self.programs} programs",
            f"  traced: {', '.join(self.traced) or 'nothing'}",
            f"  static: {', '.join(self.static) or 'nothing'}",
            f"  rungs:  {rungs}",
            f"  budget: {self.lane_steps:,} lane-steps",
            f"  memory: {_bytes(self.memory)} of states, {_bytes(self.data)} of data, "
            f"{_bytes(self.scratch)} of scratch; {self.devices} device(s) with {_bytes(self.available)} free",
            f"  time:   about {_seconds(self.seconds)} of training, {_seconds(self.compile_seconds)} of compiling",
        ]
        heads = ("group", "trials", "lanes", "chunk", "chosen by", "programs", "updates", "lane")
        table = [heads, *(_cells(group) for group in self.groups)]
        widths = [max(len(row[i]) for row in table) for i in range(len(heads))]
        lines += [
            "  " + "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in table
        ]
        return "\n".join(lines)


@entry(own_settings)
def plan(
    task: Task,
    space: Space | Mapping[str, Any],
    *,
    scheduler: Any,
    sampler: Any = Sobol(),  # noqa: B008 - a frozen value
    replicates: int = 1,
    folds: Any = None,
    evaluate_every: int | None = None,
    keep: str = "last",
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
        replicates: See `tune`.
        folds: See `tune`.
        evaluate_every: See `tune`.
        keep: See `tune`.
        seed: See `tune`.
        placement: See `tune`.

    Returns:
        Numbers, and a table when printed.

    Raises:
        TypeError: As `tune`.
        ValueError: As `tune`; with too many programs it names the hyperparameter that makes most of them.

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
    replicates = checks.check_search(scheduler, sampler, "loss", replicates)
    seed, evaluate_every = checks.check_host(seed, evaluate_every, None, placement)
    checks.check_keeping(keep, 1, None, scheduler)
    checks.check_task(task)
    made = None if folds is None else make_folds(task, folds, seed)
    problem = resolve(task if made is None else smallest_fold(task, made), Space.of(space), None, "min", whole=task)
    table = scheduler.plan().with_curve(evaluate_every)
    setting = Setting(
        problem=problem,
        mesh=placement.mesh(),
        placement=placement,
        plan=table,
        replicates=replicates,
        folds=1 if made is None else len(made),
        fewest=task.num_examples if made is None else min(len(fold.train) for fold in made),
        key=jax.random.key(seed),
        keeps_best=keep == "best",
    )
    options, group_of, hp = _trials(problem, table, sampler, setting)
    groups = tuple(_group(setting, indices, int(np.sum(group_of == n))) for n, indices in enumerate(options))
    programs = sum(group.programs for group in groups)
    return SearchPlan(
        groups=groups,
        rows=tuple(zip((row.stop for row in table.rows), table.population, strict=True)),
        traced=tuple(dict.fromkeys(problem.space.hp_name(key) for key in problem.space.traced)),
        static=tuple(dict.fromkeys(problem.space.hp_name(key) for key in problem.space.static)),
        runs=setting.runs,
        lane_steps=table.trial_steps * setting.runs,
        programs=programs,
        devices=setting.mesh.devices.size,
        memory=sum(group.slots * group.lane_bytes for group in groups),
        data=data_bytes(task, made, setting.mesh),
        scratch=setting.mesh.devices.size * max(group.scratch_bytes for group in groups),
        available=available_memory(setting.mesh),
        seconds=_training_time(setting, task, made, options, groups, hp),
        compile_seconds=_SECONDS_PER_PROGRAM * max(1.0, programs / (jax.local_device_count() or 1)),
    )


def _trials(problem: Problem, table: Plan, sampler: Any, setting: Setting) -> tuple[list, np.ndarray, dict]:
    """The groups, the group of each trial, and decoded hyperparameters, key -> [T]."""
    points = propose(setting.key, sampler=sampler, space=problem.space, history=None, num_points=table.trials)
    decoded = {key: np.asarray(x) for key, x in decode(points, space=problem.space).items()}
    options, group_of = problem.space.combinations(decoded)
    setting.placement.check_programs(options, problem.space.hp_name)
    return options, group_of, decoded


def _group(setting: Setting, indices: Mapping[str, int], trials: int) -> GroupPlan:
    problem, table = setting.problem, setting.plan
    functions = problem.functions(indices)
    layouts = timing.layouts(setting, indices, trials)
    space, pace = problem.space, setting.pace(indices)
    static = {name: key for name, key in space.active(indices).items() if key in indices}
    return GroupPlan(
        static={name: space.static_value(key, indices[key]) for name, key in static.items()},
        trials=trials,
        lanes=trials * setting.runs,
        slots=layouts[0].slots * setting.runs,
        chunk=layouts[0].width,
        chosen_by=timing.chosen_by(setting, indices, trials),
        programs=_num_programs(layouts, table, setting),
        updates=pace.updates(table.steps),
        lane_bytes=setting.lane_bytes(functions),
        scratch_bytes=setting.scratch_bytes(indices, layouts[0].width),
    )


def _num_programs(layouts: tuple[Layout, ...], table: Plan, setting: Setting) -> int:
    """Spawn, then per size: train, evaluate, keep; and moves between sizes."""
    counts = [n for n in dict.fromkeys(table.population) if n <= layouts[0].slots]
    path = [fitting(layouts, n) for n in counts] * (1 if table.exploit is None else 2)
    return 1 + len(set(path)) * (3 if setting.keeps_best else 2) + len(set(pairwise(path)))


def _training_time(setting: Setting, task: Task, folds: Any, options: list, groups: tuple, hp: dict) -> float:
    """Seconds of training, from a chunk's steps measured for the largest group and scaled by work to the others."""
    largest = max(range(len(groups)), key=lambda n: groups[n].lanes)
    width, measured = groups[largest].chunk, timing.known(setting, options[largest], groups[largest].trials)
    per_update = measured.get(width) or _seconds_per_update(setting, task, folds, options[largest], width, hp)
    work = [flops(setting.problem.functions(indices).step.jaxpr) for indices in options]
    total = 0.0
    for number, (indices, group) in enumerate(zip(options, groups, strict=True)):
        total += setting.lane_updates(indices, group.trials) * per_update * work[number] / work[largest]
    return total / setting.mesh.devices.size


def _seconds_per_update(
    setting: Setting, task: Task, folds: Any, indices: Mapping[str, int], width: int, hp: dict
) -> float:
    """Time of one lane's update on one device, in a chunk of this width."""
    problem, device = setting.problem, setting.mesh.devices.flat[0]
    functions, data = problem.functions(indices), task_data(task, folds)
    extras = Extras(jnp.int32(0), jnp.int32(setting.plan.steps), data.of_fold(data.stats, 0))
    batch_size = problem.task_of(indices).batch_size
    batch = data.of_fold(data.train, 0) if batch_size is None else jax.tree.map(lambda x: x[:batch_size], data.train)
    structs = problem.traced_structs(indices)
    active = problem.space.active(indices)
    lanes = {name: jnp.resize(jnp.asarray(hp[active[name]], s.dtype), (width,)) for name, s in structs.items()}

    def step(state: Any, hp: dict) -> Any:
        return functions.step(functions.step.consts, setting.key, state, batch, hp, extras)[0]

    def init(hp: dict) -> Any:
        return functions.init(functions.init.consts, setting.key, hp, extras)

    with jax.default_device(device):
        states = jax.jit(jax.vmap(init, axis_size=width))(lanes)
        many = jax.jit(lambda s: jax.lax.scan(lambda s, _: (jax.vmap(step)(s, lanes), None), s, None, length=20)[0])
        return _best_time(many, states) / (20 * width)


def _best_time(function: Callable, *args: Any) -> float:
    jax.block_until_ready(function(*args))
    times = []
    for _ in range(_REPEATS):
        begin = time.perf_counter()
        jax.block_until_ready(function(*args))
        times.append(time.perf_counter() - begin)
    return min(times)


def _cells(group: GroupPlan) -> tuple[str, ...]:
    static = ", ".join(f"{name}={value}" for name, value in group.static.items()) or "all"
    before, after = (group.trials, group.lanes, group.chunk), (group.programs, group.updates)
    numbers = [tuple(f"{n:,}" for n in part) for part in (before, after)]
    return (static, *numbers[0], group.chosen_by, *numbers[1], _bytes(group.lane_bytes))


def _bytes(number: float) -> str:
    for unit in ("B", "kB", "MB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} GB"


def _seconds(seconds: float) -> str:
    return f"{seconds:.2g} s" if seconds < 100 else f"{seconds / 60:.3g} min"
