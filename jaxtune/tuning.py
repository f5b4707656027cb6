"""`tune`: the driver that runs a plan row by row from the host."""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

import jax
import numpy as np

from jaxtune import checks
from jaxtune.configurations import EXPLORE, TRAIN, decode, sample, study_key
from jaxtune.functions import Extras, Functions, seamed
from jaxtune.group import Group, Setting, data_on_devices
from jaxtune.history import rank_trials
from jaxtune.placement import Placement
from jaxtune.population import EVALUATE, HEALTHY, replicate_key
from jaxtune.programs import COMPILERS, Clock
from jaxtune.progress import Progress
from jaxtune.record import Record
from jaxtune.resolve import Problem, resolve, static_values
from jaxtune.result import Result
from jaxtune.samplers import Sobol
from jaxtune.schedulers.plan import Plan, Row
from jaxtune.selection import Decision, decide
from jaxtune.space import Space
from jaxtune.task import Task


def tune(
    task: Task,
    space: Mapping[str, Any],
    *,
    scheduler: Any,
    sampler: Any = Sobol(),  # noqa: B008 - a frozen value
    metric: str = "loss",
    mode: str | None = None,
    replicates: int = 1,
    evaluate_every: int | None = None,
    seed: int = 0,
    callback: Callable[[Result], Any] | None = None,
    progress: bool = True,
    placement: Placement = Placement(),  # noqa: B008 - a frozen value
) -> Result:
    """Searches a space for the hyperparameters that train a task best.

    All trials train side by side in one compiled program (one per combination of static hyperparameters); the
    scheduler's rungs decide who goes on. Equal arguments on equal devices give equal results, bit for bit.

    Args:
        task: What one trial is: from `supervised`, or a `Task`.
        space: dict name -> domain or constant.
        scheduler: How many trials, and who goes on: `SuccessiveHalving`, `Hyperband`, `PopulationBasedTraining`,
            `FullBudget`.
        sampler: How trials are chosen: `Sobol`, `Random`, `Grid`.
        metric: A name that the task reports; decides at rungs and ranks the result.
        mode: "min" or "max"; may be left out for the loss.
        replicates: Seeds per trial, at least 1, trained as further lanes; trials are ranked by the mean.
        evaluate_every: Evaluate every so many steps besides, for curves. Small or odd numbers shorten the innermost
            loop of the program, which costs time.
        seed: Of everything random.
        callback: Called with the result so far after every evaluation; returning True ends the search.
        progress: Whether to show a progress bar (a line per rung where the output is no terminal).
        placement: Devices, and lanes trained at once.

    Returns:
        The result. After Ctrl-C, or when the callback ended the search, it holds what is known by then and
        `interrupted` is True.

    Raises:
        TypeError: An argument or a result of a user function has the wrong type; before anything compiles.
        ValueError: An argument has a wrong value; before anything compiles.
        KeyError: The task reads a hyperparameter that the space lacks; before anything compiles.
        MemoryError: The population can't fit; says how many lanes would.
        KeyboardInterrupt: Ctrl-C before the first evaluation, or pressed twice.

    Example:
        >>> import flax.linen as nn, numpy as np, optax
        >>> import jaxtune as jt
        >>> x = np.linspace(-1, 1, 64, dtype=np.float32)[:, None]
        >>> task = jt.supervised(
        ...     nn.Dense(1), optimizer=lambda hp: optax.sgd(hp["lr"]), loss=optax.squared_error,
        ...     train=(x, 3 * x), validation=(x, 3 * x), batch_size=16,
        ... )
        >>> result = jt.tune(task, {"lr": jt.LogUniform(1e-4, 0.5)}, scheduler=jt.FullBudget(8, 50), progress=False)
        >>> result.best.status
        'finished'
    """
    checks.check_search(scheduler, sampler, metric, replicates)
    checks.check_host(seed, evaluate_every, callback, placement)
    problem = resolve(task, Space.of(space), metric, mode)
    plan = scheduler.plan().with_curve(evaluate_every)
    study = _Study(problem, plan, sampler, seed, replicates, placement)
    with Progress(plan.trial_steps * replicates, progress) as view, _interrupts() as interrupted:
        return study.run(view, interrupted, callback)


@contextmanager
def _interrupts() -> Iterator[threading.Event]:
    """Turns the first Ctrl-C into an event, looked at between calls to the device; the second one raises."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    before = signal.getsignal(signal.SIGINT)

    def handler(number: int, frame: FrameType | None) -> None:
        event.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, handler)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, before)


class _Study:
    """One run of `tune`: tables with an entry per trial on the host, populations on the devices."""

    def __init__(
        self, problem: Problem, plan: Plan, sampler: Any, seed: int, replicates: int, placement: Placement
    ) -> None:
        self.begin = time.monotonic()
        self.problem, self.plan, self.seed, self.replicates = problem, plan, seed, replicates
        self.key = jax.random.key(seed)
        self.clock = Clock()
        self.unit = np.asarray(sample(self.key, sampler=sampler, space=problem.space, num_points=plan.trials))
        checks.check_points(self.unit, plan.trials, problem.space.num_dims)
        self.decoded = _decoded(self.unit, problem.space)
        self.hp = {name: self.decoded[name] for name in problem.space.traced}
        self.training = np.ones(plan.trials, bool)
        self.pruned = np.full(plan.trials, -1)
        self.diverged = np.full(plan.trials, -1)
        self.record = Record()
        self.groups = self._groups(placement)
        self.bracket, self.num_brackets = self._brackets()

    def _groups(self, placement: Placement) -> list[Group]:
        problem = self.problem
        options, group_of = self._static_options(placement.max_programs)
        mesh, train_key = placement.mesh(), study_key(self.key, TRAIN)
        setting = Setting(problem, mesh, placement, self.replicates, self.plan.unit, self.plan.steps, train_key)
        data = data_on_devices(problem.task, mesh)
        groups = []
        for number, indices in enumerate(options):
            functions = problem.functions(indices)
            trials = np.flatnonzero(group_of == number)
            groups.append(Group.of(setting, functions, data, trials, self.hp, self.clock, self.plan.trials))
        _check_same_reports([group.programs.functions for group in groups])
        return groups

    def _static_options(self, max_programs: int) -> tuple[list[dict[str, int]], np.ndarray]:
        """The combinations of static options that occur, and which of them each trial has, [T]."""
        names = self.problem.space.static
        columns = [self.decoded[name] for name in names] or [np.zeros(self.plan.trials, int)]
        keys, group_of = np.unique(np.stack(columns, axis=1), axis=0, return_inverse=True)
        if len(keys) > max_programs:
            values = {name: len(np.unique(self.decoded[name])) for name in names}
            worst = max(values, key=lambda name: values[name])
            raise ValueError(
                f"The space has {len(keys)} combinations of static hyperparameters, one program each, but "
                f"Placement(max_programs={max_programs}); {worst!r} alone has {values[worst]}."
            )
        return [dict(zip(names, key.tolist(), strict=False)) for key in keys], group_of.reshape(-1)

    def _brackets(self) -> tuple[np.ndarray, int]:
        """The bracket of each trial. With exploits each group is one: weights can't cross shapes."""
        if self.plan.exploit is None:
            return np.asarray(self.plan.bracket_of, np.int32), len(self.plan.brackets)
        bracket = np.zeros(self.plan.trials, np.int32)
        for number, group in enumerate(self.groups):
            bracket[group.trials] = number
        return bracket, len(self.groups)

    def run(self, view: Progress, interrupted: threading.Event, callback: Callable | None) -> Result:
        """Runs the plan, as far as it gets."""
        self._start()
        if interrupted.is_set():
            raise KeyboardInterrupt
        start = generation = 0
        for number, row in enumerate(self.plan.rows):
            stop = self._train(start, row, view, interrupted)
            if stop > start:
                self._evaluate(stop, decided=row.keep is not None and stop == row.stop)
            if interrupted.is_set():
                break
            last = number == len(self.plan.rows) - 1
            if row.keep is not None and not last:
                self._decide(generation, row)  # counts decisions: curve points must not change the noise
                generation += 1
            start = row.stop
            answer = callback is not None and callback(self._result(interrupted=False, whole=last))
            if isinstance(answer, (bool, np.bool_)) and answer and not last:
                interrupted.set()
                break
        stopped = interrupted.is_set() and self.record.step[-1] < self.plan.steps
        if stopped:
            view.message(
                f"Interrupted at step {self.record.step[-1]} of {self.plan.steps}: "
                "the result holds what is known by then."
            )
        return self._result(stopped, whole=True)

    def _start(self) -> None:
        prunes = self.plan.population[-1] < self.plan.trials
        for group in self.groups:
            path = group.path(self.plan.population) if len(self.groups) == 1 else [group.layout]
            group.programs.prefetch(path, [x for x in group.layouts if prunes and x not in path])
        nothing = np.zeros((self.replicates, self.plan.trials))
        for number, row in enumerate(self.plan.rows[:-1]):
            if row.keep is not None:  # asked once in vain, so that it is compiled by the time the first rung comes
                COMPILERS.submit(self._decision, number, row, nothing, nothing != 0)
                break
        for group in self.groups:
            group.spawn(self.hp)

    def _train(self, start: int, row: Row, view: Progress, interrupted: threading.Event) -> int:
        """Trains all groups towards a row; returns the step count reached, a common one even after Ctrl-C."""
        spent = self.record.lane_steps[-1] if self.record.step else 0
        stop = row.stop
        leader = next(group for group in self.groups if group.count)
        for group in self.groups:
            self._show(view, spent, row, note="" if self.record.step else "compiling")
            for done in group.train(self.hp, start, stop):
                if interrupted.is_set() and done < stop and group is leader:
                    stop = done  # the other groups go as far, so that all can be compared
                self._show(view, spent + group.count * (done - start) * self.replicates, row)
                if done >= stop:
                    break
            spent += group.count * (stop - start) * self.replicates
        return stop

    def _show(self, view: Progress, spent: int, row: Row, note: str = "") -> None:
        rungs = [r.stop for r in self.plan.rows if r.keep is not None]  # without the points of curves
        best = self.record.best(self.problem.metric, self.problem.mode)
        rung = f"{sum(stop < row.stop for stop in rungs) + 1}/{len(rungs)}"
        view.update(spent, rung, int(np.sum(self.training)), best, self.problem.metric, note)

    def _evaluate(self, stop: int, decided: bool) -> None:
        shape = (self.replicates, self.plan.trials)
        metrics: dict[str, np.ndarray] = {}
        diverged = np.full(shape, HEALTHY)
        for group in self.groups:
            if not group.count:
                continue
            values, steps = group.evaluate(self.hp, stop, self.problem.metric)
            used = group.lanes[group.lanes < self.plan.trials]
            for name, table in values.items():
                metrics.setdefault(name, np.full(shape, np.nan))[:, used] = table[:, used]
            diverged[:, used] = steps[:, used]
        first = np.where(diverged == HEALTHY, np.iinfo(np.int32).max, diverged).min(axis=0)
        lost = (diverged != HEALTHY).any(axis=0)
        self.diverged = np.where(self.training, np.where(lost, first, -1), self.diverged)
        before = self.record.step[-1] if self.record.step else 0
        cost = int(np.sum(self.training)) * (stop - before) * self.replicates
        self.record.append(stop, metrics, self.training, decided, cost, self.hp, self.plan.exploit is not None)
        self.lost = diverged != HEALTHY

    def _decide(self, number: int, row: Row) -> None:
        values = self.record.metrics[-1][self.problem.metric]
        training, source, self.unit = (np.asarray(x) for x in self._decision(number, row, values, self.lost))
        self.pruned = np.where(self.training & ~training, row.stop, self.pruned)
        self.training = training
        self.record.source[-1] = source
        if self.plan.exploit is not None:
            decoded = _decoded(self.unit, self.problem.space)
            self.hp = {name: decoded[name] for name in self.hp}
        for group in self.groups:
            group.decide(training, source)

    def _decision(self, number: int, row: Row, values: np.ndarray, lost: np.ndarray) -> Decision:
        exploit = self.plan.exploit
        keep = np.full(self.num_brackets, self.plan.trials) if exploit else np.asarray(row.keep)
        return decide(
            study_key(self.key, EXPLORE),
            np.int32(number),
            keep.astype(np.int32),
            self.bracket,
            self.training,
            values.astype(np.float32),
            lost,
            self.unit,
            space=self.problem.space,
            mode=self.problem.mode,
            exploit=exploit,
        )

    def _result(self, interrupted: bool, whole: bool) -> Result:
        """The result so far; with the best trial's state if `whole`."""
        space = self.problem.space
        history = self.record.history(
            hparams=tuple(space.row(self.decoded, t) for t in range(self.plan.trials)),
            log_names=tuple(name for name, domain in space.domains if domain.log),
            bracket=self.bracket,
            total_steps=self.plan.steps,
            pruned=self.pruned,
            diverged=self.diverged,
        )
        timing = {"compile": self.clock.waited, "total": time.monotonic() - self.begin}
        timing["run"] = timing["total"] - timing["compile"]
        best = rank_trials(history, self.problem.metric, self.problem.mode)[0]
        extra: dict[str, Any] = {}
        group = next(g for g in self.groups if best in g.trials)
        if whole and best in group.lanes:
            hp = {name: values[best] for name, values in self.hp.items()}
            static = static_values(space, {name: int(self.decoded[name][best]) for name in space.static})
            extras = Extras(np.int32(self.record.step[-1]), np.int32(self.plan.steps), group.programs.shared.stats)
            extra = _best(self.problem, self.key, self.replicates, group.state(best), hp, static, extras)
        return Result(
            history,
            metric=self.problem.metric,
            mode=self.problem.mode,
            seed=self.seed,
            interrupted=interrupted,
            timing=timing,
            **extra,
        )


def _check_same_reports(functions: list[Functions]) -> None:
    reported = {(one.metrics, one.info) for one in functions}
    if len(reported) > 1:
        raise ValueError(
            "All trials need the same metrics and logs, but with other static hyperparameters the task reports "
            f"others: {' or '.join(str(metrics + info) for metrics, info in sorted(reported))}."
        )


def _decoded(unit: np.ndarray, space: Space) -> dict[str, np.ndarray]:
    return {name: np.asarray(values) for name, values in decode(unit, space=space).items()}


def _best(
    problem: Problem, study_seed_key: jax.Array, replicates: int, state: Any, hp: dict, static: dict, extras: Extras
) -> dict[str, Any]:
    """What `Result` needs to know about the best trial.

    Args:
        problem: Task and space.
        study_seed_key: Key of the study.
        replicates: R.
        state: Leaves [R, ...].
        hp: Its traced hyperparameters.
        static: Its other ones.
        extras: As at its last evaluation.
    """
    task, key = problem.task, study_key(study_seed_key, TRAIN)
    evaluate = seamed(task, "evaluate", static, problem.space.order)

    @jax.jit
    def on_data(states: Any, data: Any) -> dict[str, jax.Array]:
        def one(replicate: Any) -> dict[str, jax.Array]:
            number, state = replicate
            return evaluate(replicate_key(key, number, EVALUATE), state, data, hp, extras)

        return jax.lax.map(one, (np.arange(replicates), states))

    def test() -> dict[str, np.ndarray]:
        return {name: np.asarray(values) for name, values in on_data(state, task.test).items()}

    known: dict[str, Any] = {"best_state": state, "test_fn": None if task.test is None else test}
    for name in ("variables_of", "model_of"):
        if hasattr(task.evaluate, name):
            known[name] = getattr(task.evaluate, name)
    return known
