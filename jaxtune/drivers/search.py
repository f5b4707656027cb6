"""`search`: the whole of a search as one pure function, to be jitted and vmapped."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxtune.drivers import arguments, observing
from jaxtune.drivers.proposing import is_on_host, sample, sampler_of
from jaxtune.drivers.setup import set_up
from jaxtune.engine import population as engine, standing as standings
from jaxtune.engine.data import task_data
from jaxtune.engine.keys import EXPLORE, TRAIN, generation_key, search_key
from jaxtune.engine.lanes import HEALTHY, Layout, Population, Shared
from jaxtune.engine.layouts import fitting
from jaxtune.engine.placement import Placement
from jaxtune.engine.rung import decide, survivors
from jaxtune.engine.search import Search
from jaxtune.engine.standing import Standing
from jaxtune.engine.width import Width
from jaxtune.interface.entry import entry, given_back
from jaxtune.samplers import Sobol
from jaxtune.samplers.sampler import Observed, Sampler
from jaxtune.schedulers.plan import Scheduler
from jaxtune.tasks.decoding import decode
from jaxtune.tasks.functions import Functions
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
    standing: Standing
    metrics: dict[str, jax.Array]  # name -> [T], last values
    key: jax.Array  # of the generation
    shared: Shared
    seen: Observed | None  # what samplers of later generations see of this one


@entry
def search(
    key: jax.Array,
    task: Task,
    space: Mapping[str, Any],
    *,
    scheduler: Scheduler,
    sampler: Sampler = Sobol(),  # noqa: B008 - a frozen value
    metric: str = "loss",
    mode: str | None = None,
    replicates: int = 1,
    generations: int = 1,
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
        generations: See `tune`; all are one loop of the program. What is proposed twice is trained twice.

    Returns:
        Arrays with an entry per trial of all generations, the best one's index and its trained state.

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
    arguments.check_metric(metric)
    seed = _unplaced(arguments.as_key(key))
    common = task, space, scheduler, sampler, metric, mode, replicates, seed, Placement()
    search = set_up(*common, generations=generations)
    known = search.problem.space
    if is_on_host(sampler):
        raise ValueError(f"search is one compiled program, and {sampler} runs on the host: use tune.")
    if known.constraints:
        raise ValueError("search can't draw again what a constraint refuses, since it is compiled: use tune.")
    if known.static:
        raise ValueError(
            f"search compiles one program, and {known.hp_name(known.static[0])!r} is static: make it a constant, or "
            "use tune."
        )
    return _Program(search).run()


def _unplaced(key: jax.Array) -> jax.Array:
    """A key that is bound to no devices, as those are that are made under a mesh."""
    if isinstance(key, jax.core.Tracer):
        return key
    numbers = jnp.asarray(np.asarray(jax.random.key_data(key)))
    return jax.random.wrap_key_data(numbers, impl=jax.random.key_impl(key))


class _Program:
    """The parts of one traced search."""

    def __init__(self, search: Search) -> None:
        self.search, self.problem, self.plan = search, search.problem, search.plan
        case = search.problem.first
        self.functions: Functions = case.functions
        self.dead = tuple(sorted(case.variant.traced[name] for name in self.functions.dead))
        self.pace = search.pace(case)
        self.layouts = Width(search, case, self.plan.trials).layouts
        if any(self.pace.updates(row.stop) % self.layouts[0].burst for row in self.plan.rows):
            raise ValueError(
                f"search makes whole bursts of updates, and batch_size={self.pace.size} against the task's "
                f"{self.pace.base} does not come out even: change one of them, or use tune."
            )
        self.shared: Shared = _barrier(search.shared(case, task_data(search.task)))

    def run(self) -> Outcome:
        """All generations, each of which learns from those before."""
        search, trials = self.search, self.plan.trials
        if search.generations == 1:
            points = sample(search.root, sampler=search.sampler, space=self.problem.space, num_points=trials)
            _, _, outcome = self._generation(points, search.root, None)
            return outcome
        rows = observing.capacity((search.generations - 1) * trials)  # nobody looks at the last generation's
        first = observing.nothing(jnp, self.problem, observing.evaluations(search, None), rows)
        numbers = jnp.arange(search.generations, dtype=jnp.int32)
        _, (score, outcome) = lax.scan(self._next_generation, first, numbers)
        best = jnp.argmin(score)
        return Outcome(
            hparams=_flat(outcome.hparams),
            metrics=_flat(outcome.metrics),
            steps=_flat(outcome.steps),
            diverged=_flat(outcome.diverged),
            best=jnp.where(jnp.isinf(score[best]), -1, best * trials + outcome.best[best]).astype(jnp.int32),
            state=jax.tree.map(lambda x: x[best], outcome.state),
        )

    def _next_generation(self, seen: Observed, number: jax.Array) -> tuple[Observed, tuple[jax.Array, Outcome]]:
        search, trials, space = self.search, self.plan.trials, self.problem.space
        later, seen = sampler_of(replace(search, generation=1)), _barrier(seen)
        points = lax.cond(
            number == 0,
            lambda: sample(search.root, sampler=search.sampler, space=space, num_points=trials),
            lambda: sample(search.root, sampler=later, space=space, num_points=trials, history=seen),
        )
        key = jnp.where(number == 0, search.root, generation_key(search.root, number))
        made, score, outcome = self._generation(points, key, observing.nothing(jnp, self.problem, seen.steps, trials))
        assert made is not None
        return observing.extended(seen, made, number), (score, outcome)

    def _generation(
        self, points: jax.Array, key: jax.Array, seen: Observed | None
    ) -> tuple[Observed | None, jax.Array, Outcome]:
        """What samplers see of a generation, the score of its best trial, and what it found.

        Rounds of equal layout are scanned as one; the arrays shrink between them.
        """
        carry, layout = self._start(points, key, seen), self.layouts[0]
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
        steps, keep = [row.stop for row in plan.rows], [row.keep for row in plan.rows]
        return list(map(_Round, range(len(steps)), starts, stops, steps, keep, plan.population, kept))

    def _start(self, points: jax.Array, key: jax.Array, seen: Observed | None) -> _Carry:
        search, num_trials, layout = self.search, self.plan.trials, self.layouts[0]
        shared = self.shared.replace(key=search_key(key, TRAIN)) if search.generations > 1 else self.shared
        lanes = jnp.minimum(jnp.arange(layout.slots, dtype=jnp.int32), num_trials)
        dtype = jnp.result_type(float)
        bracket = jnp.asarray(self.plan.bracket_of, jnp.int32)
        return _Carry(
            population=engine.spawn(self.functions, layout, self._hp(lanes, points), shared),
            lanes=lanes,
            standing=standings.at_start(jnp, points, bracket, search.runs, dtype),
            metrics={name: jnp.full(num_trials, jnp.nan, dtype) for name in self.functions.metrics},
            key=key,
            shared=shared,
            seen=None if seen is None else seen._replace(points=points),
        )

    def _hp(self, lanes: jax.Array, points: jax.Array) -> dict[str, jax.Array]:
        table = decode(points, space=self.problem.space)
        return {name: values[jnp.minimum(lanes, self.plan.trials - 1)] for name, values in table.items()}

    def _measure(self, carry: _Carry, row: "_Round", layout: Layout) -> _Carry:
        """Trains to the end of a row and evaluates."""
        standing = carry.standing
        hp, shape = self._hp(carry.lanes, standing.points), standing.values.shape
        bursts = (row.stop - row.start) // layout.burst
        common = (self.functions, layout)
        population = engine.advance(*common, carry.population, hp, carry.shared, row.count, row.start, bursts)
        index = jnp.int32(self.functions.metrics.index(self.problem.metric))
        sign = _barrier(jnp.float32(1.0 if self.problem.mode == "min" else -1.0))
        population, record = engine.evaluate(*common, population, hp, carry.shared, row.count, row.stop, index, sign)

        def of_trials(values: jax.Array, missing: float) -> jax.Array:
            blank = jnp.full(shape, missing, values.dtype)
            return blank.at[:, carry.lanes].set(values.reshape(shape[0], -1), mode="drop")

        values = {name: of_trials(record[name], jnp.nan) for name in self.functions.metrics}
        diverged = self.pace.whole_steps(jnp, of_trials(population.diverged, HEALTHY))
        now = {
            name: jnp.where(standing.training, jnp.mean(values[name], axis=0), carry.metrics[name])
            for name in self.functions.metrics
        }
        mine = values[self.problem.metric]
        training = standing.training
        standing, _ = standings.evaluated(jnp, standing, mine, diverged, row.step, self.problem.mode, keeps_best=False)
        seen = carry.seen
        if seen is not None:
            seen = observing.with_evaluation(jnp, seen, row.number, training, mine, standing.lost, self.problem.mode)
        return carry.replace(population=population, standing=standing, metrics=now, seen=seen)

    def _round(self, carry: _Carry, row: "_Round", before: Layout, after: Layout) -> _Carry:
        """Advance, evaluate, decide, move: `tune` does the same from the host."""
        carry = self._measure(carry, row, before)
        decision = decide(
            search_key(carry.key, EXPLORE),
            row.number,
            jnp.int32(0),
            jnp.stack(row.keep),
            carry.standing,
            space=self.problem.space,
            mode=self.problem.mode,
            exploit=self.plan.exploit,
            dead=self.dead,
        )
        standing = standings.decided(jnp, carry.standing, decision, row.step)
        lanes, slots = survivors(jnp, carry.lanes, standing.training, standing.source, after.slots)
        population = engine.move(before, after, carry.population, slots, row.kept)
        return carry.replace(population=population, lanes=lanes, standing=standing)

    def _scanned(self, layout: Layout, carry: _Carry, row: "_Round") -> tuple[_Carry, None]:
        return self._round(carry, row, layout, layout), None

    def _finish(self, carry: _Carry, row: "_Round", layout: Layout) -> tuple[Observed | None, jax.Array, Outcome]:
        carry = self._measure(carry, _numbers(row), layout)
        standing = carry.standing
        scores = standings.scores(jnp, standing.values, standing.lost, self.problem.mode)
        score = jnp.where(standing.training, scores, jnp.inf)
        best = jnp.where(jnp.isinf(score.min()), -1, jnp.argmin(score)).astype(jnp.int32)  # scores are never NaN
        slot = jnp.argmax(carry.lanes == best).astype(jnp.int32)
        one = layout._replace(rows=1, width=1)
        alone = engine.move(layout, one, carry.population, jnp.full(one.slots, slot), jnp.int32(one.slots))
        outcome = Outcome(
            hparams=decode(standing.points, space=self.problem.space),
            metrics=carry.metrics,
            steps=standing.step,
            diverged=standing.first_diverged(jnp),
            best=best,
            state=jax.tree.unflatten(self.functions.state_tree, [x[:, 0, 0] for x in alone.state]),
        )
        return carry.seen, score.min(), outcome


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


def _flat(tree: Any) -> Any:
    """Leaves [G, T] as [G * T]."""
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), tree)


def _barrier(tree: Any) -> Any:
    # What `tune` passes as arguments must not become constants here: XLA would simplify the loops around them, and last
    # bits would differ.
    return lax.optimization_barrier(tree)
