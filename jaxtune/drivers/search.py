"""`search`: the whole of a search as one pure function, to be jitted and vmapped."""

from collections.abc import Mapping
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxtune.drivers.proposing import EXPLORE, TRAIN, sample, study_key
from jaxtune.engine import population as engine, timing
from jaxtune.engine.data import task_data
from jaxtune.engine.group import Setting, fitting
from jaxtune.engine.placement import Placement
from jaxtune.engine.population import HEALTHY, Layout, Population, Shared
from jaxtune.engine.rung import decide, safe_scores, survivors
from jaxtune.interface.entry import entry
from jaxtune.interface.settings import own_settings, warn_of_disabled_jit
from jaxtune.interface.signatures import given_back
from jaxtune.samplers import Sobol
from jaxtune.schedulers.plan import Plan
from jaxtune.spaces.space import Space
from jaxtune.tasks import checks
from jaxtune.tasks.functions import Functions
from jaxtune.tasks.problem import Problem, decode, resolve
from jaxtune.tasks.task import Task


@given_back
@flax.struct.dataclass
class Outcome:
    """What a search found, as arrays.

    Attributes:
        hparams: name -> [T], the traced hyperparameters that each trial ended with.
        metrics: name -> [T], at each trial's last evaluation, mean over replicates; NaN where it diverged.
        steps: [T] int32, steps at that evaluation.
        diverged: [T] int32, the first step with a non-finite loss or metric, or -1.
        best: int32, index of the best trial of those trained to the end, or -1 if all of these diverged.
        state: State of the best trial, leaves [R, ...]; of a diverged one if there is no best.
    """

    hparams: dict[str, jax.Array]
    metrics: dict[str, jax.Array]
    steps: jax.Array
    diverged: jax.Array
    best: jax.Array
    state: Any


class _Carry(flax.struct.PyTreeNode):
    """What goes from one round to the next; T trials, S slots."""

    population: Population
    lanes: jax.Array  # [S] int32: the trial in each slot, or T
    training: jax.Array  # [T] bool
    unit: jax.Array  # [T, D]
    metrics: dict[str, jax.Array]  # name -> [T], last values
    steps: jax.Array  # [T] int32
    diverged: jax.Array  # [R, T] int32


@entry(own_settings)
def search(
    key: jax.Array,
    task: Task,
    space: Mapping[str, Any],
    *,
    scheduler: Any,
    sampler: Any = Sobol(),  # noqa: B008 - a frozen value
    metric: str = "loss",
    mode: str | None = None,
    replicates: int = 1,
) -> Outcome:
    """Like `tune`, but pure: `jax.jit` makes one program of the whole search, `jax.vmap` over keys runs many.

    Pruned trials are removed here too, not masked. Under jit it equals `tune(seed=s)` for `key = jax.random.key(s)`
    bit for bit. Static hyperparameters have to be constants, because one program is compiled. Pass the task as an
    argument of the jitted function, so that its data don't become constants of the program.

    Args:
        key: Key of everything random; typed or `uint32[2]`.
        task: See `tune`.
        space: See `tune`.
        scheduler: See `tune`.
        sampler: See `tune`.
        metric: See `tune`.
        mode: See `tune`.
        replicates: See `tune`.

    Returns:
        Arrays with an entry per trial, the best one's index and its trained state.

    Raises:
        ValueError: The space has static hyperparameters, or an argument has a wrong value; while tracing.

    Example:
        >>> import flax.linen as nn, jax, numpy as np, optax
        >>> import jaxtune as jt
        >>> x = np.linspace(-1, 1, 64, dtype=np.float32)[:, None]
        >>> task = jt.supervised(
        ...     nn.Dense(1), optimizer=lambda hp: optax.sgd(hp["lr"]), loss=optax.squared_error,
        ...     train=(x, 3 * x), validation=(x, 3 * x), batch_size=16,
        ... )
        >>> space, scheduler = {"lr": jt.LogUniform(1e-4, 0.5)}, jt.SuccessiveHalving(9, min_steps=10, max_steps=90)
        >>> run = jax.jit(lambda key, task: jt.search(key, task, space, scheduler=scheduler))
        >>> outcome = run(jax.random.key(0), task)
        >>> outcome.metrics["loss"].shape
        (9,)
    """
    warn_of_disabled_jit()
    replicates = checks.check_search(scheduler, sampler, metric, replicates)
    key = _unplaced(checks.as_key(key))
    problem = resolve(task, Space.of(space), metric, mode)
    if problem.space.constraints:
        raise ValueError("search can't draw again what a constraint refuses, since it is compiled: use tune.")
    if problem.space.static:
        raise ValueError(
            f"search compiles one program, and {problem.space.hp_name(problem.space.static[0])!r} is static: make it a "
            "constant, or use tune."
        )
    return _Search(problem, scheduler.plan(), sampler, replicates, key).run()


def _unplaced(key: jax.Array) -> jax.Array:
    """A key that is bound to no devices, as those are that are made under a mesh."""
    if isinstance(key, jax.core.Tracer):
        return key
    numbers = jnp.asarray(np.asarray(jax.random.key_data(key)))
    return jax.random.wrap_key_data(numbers, impl=jax.random.key_impl(key))


class _Search:
    """The parts of one traced search."""

    def __init__(self, problem: Problem, plan: Plan, sampler: Any, replicates: int, key: jax.Array) -> None:
        self.problem, self.plan, self.key, self.replicates = problem, plan, key, replicates
        self.functions: Functions = problem.functions({})
        self.dead = tuple(sorted(key for name, key in problem.space.active({}).items() if name in self.functions.dead))
        placement = Placement()
        task = problem.task
        self.setting = Setting(
            problem=problem,
            mesh=placement.mesh(),
            placement=placement,
            plan=plan,
            replicates=replicates,
            folds=1,
            fewest=task.num_examples,
            key=study_key(key, TRAIN),
        )
        self.pace = self.setting.pace({})
        self.layouts = timing.layouts(self.setting, {}, plan.trials)
        if any(self.pace.updates(row.stop) % self.layouts[0].unit for row in plan.rows):
            raise ValueError(
                f"search makes whole units of updates, and batch_size={self.pace.size} against the task's "
                f"{self.pace.base} does not come out even: change one of them, or use tune."
            )
        self.shared: Shared = _barrier(self.setting.shared(self.functions, {}, task_data(task)))
        self.unit = sample(key, sampler=sampler, space=problem.space, num_points=plan.trials)
        self.bracket = jnp.asarray(plan.bracket_of, jnp.int32)

    def run(self) -> Outcome:
        """Rounds of equal layout are scanned as one; the arrays shrink between them."""
        carry, layout = self._start(), self.layouts[0]
        *deciding, last = self._rounds()
        for after, part in groupby(deciding, lambda row: fitting(self.layouts, row.kept)):
            rows = list(part)
            if after != layout:
                carry, layout = self._round(carry, _numbers(rows.pop(0)), layout, after), after
            if rows:
                stacked = jax.tree.map(lambda *x: jnp.asarray(x, jnp.int32), *rows)
                carry, _ = lax.scan(partial(self._scanned, layout), carry, stacked)
        return self._finish(carry, last, layout)

    def _rounds(self) -> list["_Round"]:
        plan, stops = self.plan, [self.pace.updates(row.stop) for row in self.plan.rows]
        starts = [0, *stops[:-1]]
        kept = [*plan.population[1:], plan.population[-1]]
        return [
            _Round(number, start, stop, row.stop, row.keep, count, after)
            for number, (row, start, stop, count, after) in enumerate(
                zip(plan.rows, starts, stops, plan.population, kept, strict=True)
            )
        ]

    def _start(self) -> _Carry:
        num_trials, layout = self.plan.trials, self.layouts[0]
        lanes = jnp.minimum(jnp.arange(layout.slots, dtype=jnp.int32), num_trials)
        nothing = jnp.full(num_trials, jnp.nan, jnp.result_type(float))
        return _Carry(
            population=engine.spawn(self.functions, layout, self._hp(lanes, self.unit), self.shared),
            lanes=lanes,
            training=jnp.ones(num_trials, bool),
            unit=self.unit,
            metrics={name: nothing for name in self.functions.metrics},
            steps=jnp.zeros(num_trials, jnp.int32),
            diverged=jnp.full((self.replicates, num_trials), HEALTHY, jnp.int32),
        )

    def _hp(self, lanes: jax.Array, unit: jax.Array) -> dict[str, jax.Array]:
        table = decode(unit, space=self.problem.space)
        return {name: values[jnp.minimum(lanes, self.plan.trials - 1)] for name, values in table.items()}

    def _measure(self, carry: _Carry, row: "_Round", layout: Layout) -> tuple[_Carry, jax.Array]:
        """Trains to the end of a row and evaluates; also returns the values [R, T] of the search's metric."""
        hp, num_trials = self._hp(carry.lanes, carry.unit), self.plan.trials
        units = (row.stop - row.start) // layout.unit
        common = (self.functions, layout)
        population = engine.advance(*common, carry.population, hp, self.shared, row.count, row.start, units)
        index = jnp.int32(self.functions.metrics.index(self.problem.metric))
        sign = _barrier(jnp.float32(1.0 if self.problem.mode == "min" else -1.0))
        population, record = engine.evaluate(*common, population, hp, self.shared, row.count, row.stop, index, sign)

        def of_trials(values: jax.Array, before: jax.Array) -> jax.Array:
            return before.at[:, carry.lanes].set(values.reshape(self.replicates, -1), mode="drop")

        blank = jnp.full((self.replicates, num_trials), jnp.nan, jnp.result_type(float))
        values = {name: of_trials(record[name], blank) for name in self.functions.metrics}
        diverged = jnp.where(carry.training, of_trials(population.diverged, carry.diverged), carry.diverged)
        now = {
            name: jnp.where(carry.training, jnp.mean(values[name], axis=0), carry.metrics[name])
            for name in self.functions.metrics
        }
        carry = carry.replace(
            population=population,
            metrics=now,
            steps=jnp.where(carry.training, row.step, carry.steps),
            diverged=diverged,
        )
        return carry, values[self.problem.metric]

    def _round(self, carry: _Carry, row: "_Round", before: Layout, after: Layout) -> _Carry:
        """Advance, evaluate, decide, move: `tune` does the same from the host."""
        carry, values = self._measure(carry, row, before)
        decision = decide(
            study_key(self.key, EXPLORE),
            row.number,
            jnp.int32(0),
            jnp.stack(row.keep),
            self.bracket,
            carry.training,
            values,
            carry.diverged != HEALTHY,
            carry.unit,
            space=self.problem.space,
            mode=self.problem.mode,
            exploit=self.plan.exploit,
            dead=self.dead,
        )
        lanes, slots = survivors(jnp, carry.lanes, decision.training, decision.source, after.slots)
        return carry.replace(
            population=engine.move(before, after, carry.population, slots, row.kept),
            lanes=lanes,
            training=decision.training,
            unit=decision.unit,
        )

    def _scanned(self, layout: Layout, carry: _Carry, row: "_Round") -> tuple[_Carry, None]:
        return self._round(carry, row, layout, layout), None

    def _finish(self, carry: _Carry, row: "_Round", layout: Layout) -> Outcome:
        carry, values = self._measure(carry, _numbers(row), layout)
        lost = carry.diverged != HEALTHY
        score = jnp.where(carry.training, safe_scores(values, lost, self.problem.mode), jnp.inf)
        best = jnp.where(jnp.isinf(score.min()), -1, jnp.argmin(score)).astype(jnp.int32)  # scores are never NaN
        slot = jnp.argmax(carry.lanes == best).astype(jnp.int32)
        one = layout._replace(rows=1, width=1)
        alone = engine.move(layout, one, carry.population, jnp.full(one.slots, slot), jnp.int32(one.slots))
        first = jnp.where(lost, carry.diverged, jnp.iinfo(jnp.int32).max).min(axis=0)
        return Outcome(
            hparams=decode(carry.unit, space=self.problem.space),
            metrics=carry.metrics,
            steps=carry.steps,
            diverged=jnp.where(lost.any(axis=0), first * self.pace.size // self.pace.base, HEALTHY),
            best=best,
            state=jax.tree.unflatten(self.functions.state_tree, [x[:, 0, 0] for x in alone.state]),
        )


class _Round(NamedTuple):
    """A row of the plan as numbers that can be scanned over."""

    number: Any
    start: Any  # updates
    stop: Any  # updates
    step: Any  # of the scheduler, at the stop
    keep: Any  # [B]
    count: Any  # trials in training on the way to it
    kept: Any  # trials that go on


def _numbers(row: _Round) -> _Round:
    return _barrier(jax.tree.map(lambda x: jnp.asarray(x, jnp.int32), row))


def _barrier(tree: Any) -> Any:
    # What `tune` passes as arguments must not become constants here: XLA would simplify the loops around them, and last
    # bits would differ.
    return lax.optimization_barrier(tree)
