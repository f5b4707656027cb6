"""One run of `tune`: tables with an entry per trial on the host, populations on the devices."""

import itertools
import math
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np

from jaxtune.drivers.previous import observed
from jaxtune.drivers.proposing import EXPLORE, TRAIN, propose, study_key
from jaxtune.engine import recovery, timing
from jaxtune.engine.data import data_bytes, on_devices, task_data
from jaxtune.engine.group import SECONDS_PER_CALL, Group, Setting, check_same_reports, check_updates
from jaxtune.engine.host import Busy, Host
from jaxtune.engine.placement import Placement
from jaxtune.engine.population import HEALTHY
from jaxtune.engine.recovery import OutOfMemory, Stage, replay
from jaxtune.engine.rung import Decision, deciding
from jaxtune.interface.settings import users_settings
from jaxtune.monitoring.progress import Progress
from jaxtune.results.conditions import conditions, traces
from jaxtune.results.history import History, joined, precise_mean, rank_trials
from jaxtune.results.result import Result
from jaxtune.results.undefined import undefined_runs, warn_undefined
from jaxtune.results.winner import Winner
from jaxtune.schedulers.plan import Plan, Row
from jaxtune.spaces.configurations import Rows
from jaxtune.spaces.space import Space
from jaxtune.storage.record import Record
from jaxtune.tasks import checks
from jaxtune.tasks.executables import Jitted
from jaxtune.tasks.folds import Fold
from jaxtune.tasks.problem import Problem, decode
from jaxtune.tasks.task import Task

T = TypeVar("T")

_TRIES = 64  # to explore hyperparameters that fulfil the constraints


class Wishes(NamedTuple):
    """How trials are chosen, repeated and kept: arguments of `tune`."""

    sampler: Any
    seed: int
    replicates: int
    folds: Sequence[Fold] | None
    keeps_best: bool
    keep_weights: int
    patience: int | None
    previous: Result | None
    placement: Placement


class Stopped(NamedTuple):
    """A trial that stopped early, whose weights are kept aside: the best few of each bracket."""

    score: float  # lower is better
    trial: int
    bracket: int
    state: Any = None


class Study:
    """The state of a search between calls to the devices; T trials, R runs of each."""

    def __init__(self, task: Task, problem: Problem, plan: Plan, wishes: Wishes, host: Host) -> None:
        self.begin = time.monotonic()
        self.task, self.problem, self.plan, self.wishes = task, problem, plan, wishes
        self.key = jax.random.key(wishes.seed)
        self.host, self.record = host, Record()
        self.unit = self._propose()
        checks.check_points(self.unit, plan.trials, problem.space.num_dims)
        self.decoded = _decoded(self.unit, problem.space)
        self.rows = Rows(problem.space, self.decoded)
        self.hp = self.decoded  # key -> [T]; changes when trials explore
        self.course: list[dict[str, np.ndarray]] = []  # `hp` on the way to each evaluation
        self.setting = self._setting()
        self.runs = self.setting.runs
        self.groups = self._groups()
        self.conditions = conditions(problem, task, wishes.replicates, wishes.folds)
        self.conditions["traces"] = traces(problem, [group.indices for group in self.groups])
        self.bracket, self.num_brackets = self._brackets()
        self.dead = () if plan.exploit is None else self._dead()
        trials = plan.trials
        self.training = np.ones(trials, bool)
        self.competing = np.ones(trials, bool)  # those in training, and those that stopped early
        self.pruned, self.stopped, self.diverged = (np.full(trials, -1) for _ in range(3))
        self.lost = np.zeros((self.runs, trials), bool)
        self.values = np.full(
            (self.runs, trials), np.nan, jax.dtypes.canonicalize_dtype(float)
        )  # of the metric, at the evaluation that counts
        self.kept = np.zeros(trials, int)  # that evaluation
        self.best_score, self.waiting = np.full(trials, np.inf), np.zeros(trials, int)
        self.weights_lost = False
        self.warned = warn_undefined(problem, task, wishes.folds)
        self.saved: list[Stopped] = []

    def _propose(self) -> np.ndarray:
        previous, problem = self.wishes.previous, self.problem
        hparams = [] if previous is None else [trial.hparams for trial in previous.trials]
        return propose(
            self.key,
            sampler=self.wishes.sampler,
            space=problem.space,
            history=None if previous is None else observed(problem, previous),
            num_points=self.plan.trials,
            previous_hparams=hparams,
        )

    def _setting(self) -> Setting:
        folds, task = self.wishes.folds, self.task
        fewest = task.num_examples if folds is None else min(len(fold.train) for fold in folds)
        return Setting(
            problem=self.problem,
            mesh=self.wishes.placement.mesh(),
            placement=self.wishes.placement,
            plan=self.plan,
            replicates=self.wishes.replicates,
            folds=1 if folds is None else len(folds),
            fewest=fewest,
            key=study_key(self.key, TRAIN),
            keeps_best=self.wishes.keeps_best,
        )

    def _groups(self) -> list[Group]:
        space = self.problem.space
        combinations, group_of = space.combinations(self.decoded)
        self.setting.placement.check_programs(combinations, space.hp_name)
        members = [np.flatnonzero(group_of == number) for number in range(len(combinations))]
        sizes = [timing.layouts(self.setting, i, len(t)) for i, t in zip(combinations, members, strict=True)]
        populations = [(indices, layouts[0]) for indices, layouts in zip(combinations, sizes, strict=True)]
        self.setting.check_memory(populations, data_bytes(self.task, self.wishes.folds, self.setting.mesh))
        data = on_devices(task_data(self.task, self.wishes.folds), self.setting.mesh)
        groups = []
        for indices, trials in zip(combinations, members, strict=True):
            timing.measure(self.setting, indices, data, trials, self.hp, self.host)
            layouts = timing.layouts(self.setting, indices, len(trials))  # as measured now
            groups.append(Group.of(self.setting, indices, data, trials, self.host, self.plan.trials, layouts))
        check_same_reports(groups)
        check_updates(groups, self.plan)
        return groups

    def _brackets(self) -> tuple[np.ndarray, int]:
        """The bracket of each trial. With exploits each group is one: weights can't cross shapes."""
        if self.plan.exploit is None:
            return np.asarray(self.plan.bracket_of, np.int32), len(self.plan.brackets)
        bracket = np.zeros(self.plan.trials, np.int32)
        for number, group in enumerate(self.groups):
            bracket[group.trials] = number
        return bracket, len(self.groups)

    def _dead(self) -> tuple[str, ...]:
        """Keys of the hyperparameters that PBT can't explore: nothing but the start of a training depends on them."""
        dead = {group.keys[name]: name for group in self.groups for name in group.programs.functions.dead}
        if dead:
            warnings.warn(
                f"Population-based training leaves {', '.join(map(repr, dict.fromkeys(dead.values())))} as it is: only "
                "init reads it, so that a new value would change nothing in a training that goes on.",
                stacklevel=6,
            )
        return tuple(sorted(dead))

    # Running

    def run(self, view: Progress, callback: Callable | None) -> Result:
        """Runs the plan, as far as it gets."""
        self.view = view
        try:
            self._start()
            if self.host.pressed:
                raise KeyboardInterrupt
            self._run_rows(view, callback)
        except Busy as error:
            if not self.record.step:
                raise KeyboardInterrupt(f"Ctrl-C before the first evaluation: {error}.") from None
            self.weights_lost = error.device
            warnings.warn(f"After Ctrl-C {error}; the result holds what was known before.", stacklevel=5)
        except OutOfMemory as error:
            if not self.record.step:
                raise
            self.weights_lost = True
            self.host.interrupt()
            view.message(str(error))
        finally:
            self._end()
        stopped = self.host.interrupted and self.record.step[-1] < self.plan.steps
        if stopped:
            view.message(
                f"{'Interrupted' if self.host.pressed else 'Time is up'} at step {self.record.step[-1]} of "
                f"{self.plan.steps}: the result holds what is known by then."
            )
        return self._result(stopped, whole=True)

    def _run_rows(self, view: Progress, callback: Callable | None) -> None:
        start = generation = 0
        for number, row in enumerate(self.plan.rows):
            stop = self._train(start, row, view)
            last = number == len(self.plan.rows) - 1
            if stop > start:
                self._evaluate(stop, decided=row.keep is not None and stop == row.stop)
                self._show(view, stop, row)
            if self.host.interrupted:
                break
            if not last:
                self._stop_early(stop)
            if row.keep is not None and not last:
                self._decide(generation, row)  # counts decisions: curve points must not change the noise
                generation += 1
            start = row.stop
            if callback is not None and self._tell(callback, last) and not last:
                self.host.interrupt()
            if self.host.interrupted or not self.training.any():
                break

    def _tell(self, callback: Callable, last: bool) -> bool:
        """Shows the user's callback the result so far; whether it wants the search to end."""
        try:
            result = self._result(interrupted=False, whole=last)
            with users_settings():
                answer = callback(result)
        except BaseException as error:
            with suppress(Exception):  # the user's own is what has to be seen
                error.result = self._result(interrupted=not last, whole=True)  # type: ignore[attr-defined]
                error.add_note(f"The callback ended the search at step {self.record.step[-1]}: see error.result.")
            raise
        return isinstance(answer, (bool, np.bool_)) and bool(answer)

    def _end(self) -> None:
        """Nothing more will be needed."""
        self.host.later.clear()
        for group in self.groups:
            group.programs.cancel()

    def _start(self) -> None:
        population, stops = self.plan.population, [row.stop for row in self.plan.rows]
        for group in self.groups:
            share = len(group.trials) / self.plan.trials  # of several groups nobody knows whose trials will go on
            path = group.path([math.ceil(n * share) for n in population])
            path += path if self.plan.exploit is not None else []  # copies move within equal arrays
            group.prefetch(path, stops)
        nothing = np.zeros((self.runs, self.plan.trials))
        for number, row in enumerate(self.plan.rows[:-1]):
            if row.keep is not None:  # compiled by the time the first rung comes
                args = self._question(number, row, nothing.astype(self.values.dtype), nothing != 0, 0)
                self.host.later.append(partial(self._decide_program().prepare, *args))
                break
        for group in self.groups:
            self._safely(group, 0, partial(group.spawn, self.hp))

    def _train(self, start: int, row: Row, view: Progress) -> int:
        """Trains all groups towards a row, in turns, so that they can stop at a common step count; returns that."""
        self._show(view, start, row)
        groups = [group for group in self.groups if group.count]
        if not groups:
            return row.stop
        reached = [start] * len(groups)
        while reached[0] < row.stop and not (self.host.interrupted and reached[0] > start):
            reached[0] = self._safely(groups[0], reached[0], partial(self._lead, groups[0], reached[0], row, view))
            for number, group in enumerate(groups):
                if group.can_train:  # those that are still compiled catch up later
                    self._follow(group, reached, number)
            self._show(view, reached[0], row)
        for number, group in enumerate(groups):
            self._follow(group, reached, number)
        return reached[0]

    def _lead(self, leader: Group, start: int, row: Row, view: Progress) -> int:
        """Trains a group for a while, up to a step count to which all others can be trained."""
        for done in leader.train(self.hp, start, row.stop, self._seconds):
            if done >= row.stop or self._all_land_on(done):
                return int(done)
            self._show(view, done, row)
        return row.stop

    def _follow(self, group: Group, reached: list[int], number: int) -> None:
        """Trains a group as far as the first one."""

        def train() -> None:
            for _ in group.train(self.hp, reached[number], reached[0], self._seconds):
                pass

        self._safely(group, reached[number], train)
        reached[number] = reached[0]

    @property
    def _seconds(self) -> float:
        """That a call of one group may take, for a turn of all to take about a second."""
        return max(SECONDS_PER_CALL / sum(group.count > 0 for group in self.groups), 0.05)

    def _safely(self, group: Group, reached: int, work: Callable[[], T]) -> T:
        """Does some work on a group that has been trained up to a step, with fewer lanes at once if memory runs out."""

        def again() -> None:
            stages = zip(self.record.step, self.course, self.record.source, strict=True)
            course = [Stage(*stage, self.training, self.kept == e) for e, stage in enumerate(stages)]
            replay(group, course, self.hp, reached, self.problem.metric, self.problem.mode)

        return recovery.safely(work, group, again, self.view.message)

    def _all_land_on(self, done: float) -> bool:
        return float(done).is_integer() and all(g.pace.lands_on(done, g.layout.unit) for g in self.groups if g.count)

    def _show(self, view: Progress, done: float, row: Row) -> None:
        before, known = (self.record.step[-1], self.record.lane_steps[-1]) if self.record.step else (0, 0)
        spent = known + int(np.sum(self.training) * (done - before)) * self.runs
        rungs = [r.stop for r in self.plan.rows if r.keep is not None]  # without the points of curves
        rung = f"{sum(stop < row.stop for stop in rungs) + 1}/{len(rungs)}"
        view.update(spent, int(done), rung, int(np.sum(self.training)), self._best(), self.problem.metric)

    def _best(self) -> float | None:
        """The value of the trial that leads; None where none has one."""
        scores = self._scores(self.values)[self.competing]
        best = float(scores.min()) if self.competing.any() else math.inf
        return None if math.isinf(best) else best if self.problem.mode == "min" else -best

    def _evaluate(self, stop: int, decided: bool) -> None:
        shape = (self.runs, self.plan.trials)
        metrics: dict[str, np.ndarray] = {}
        diverged = np.full(shape, HEALTHY)
        for group in self.groups:
            if not group.count:
                continue
            evaluate = partial(group.evaluate, self.hp, stop, self.problem.metric, self.problem.mode)
            values, steps = self._safely(group, stop, evaluate)
            used = group.lanes[group.lanes < self.plan.trials]
            for name, table in values.items():
                metrics.setdefault(name, np.full(shape, np.nan, table.dtype))[:, used] = table[:, used]
            diverged[:, used] = steps[:, used]
        first = np.where(diverged == HEALTHY, np.iinfo(np.int32).max, diverged).min(axis=0)
        self.lost = np.where(self.training, diverged != HEALTHY, self.lost)
        self.diverged = np.where(self.training, np.where(self.lost.any(axis=0), first, -1), self.diverged)
        before = self.record.step[-1] if self.record.step else 0
        cost = int(np.sum(self.training)) * (stop - before) * self.runs
        explored = self._named() if self.plan.exploit is not None else {}
        self.record.append(stop, metrics, self.training, decided, cost, explored)
        self.course.append(self.hp)
        self._warn_undefined()
        self._book(metrics[self.problem.metric])

    def _warn_undefined(self) -> None:
        """Says once that a metric is NaN while losses are finite; `warn_undefined` saw it before if it is the data."""
        healthy = self.training & ~self.lost.any(axis=0)
        where = undefined_runs(self.record.metrics[-1][self.problem.metric][:, healthy].T, self._num_folds)
        if where and not self.warned:
            self.warned = True
            warnings.warn(
                f"The metric {self.problem.metric!r} is undefined (NaN) {where}, though losses are finite: such trials "
                "are ranked last.",
                stacklevel=8,
            )

    def _named(self) -> dict[str, np.ndarray]:
        """Name -> [T] of the traced hyperparameters in force; 0 in trials without them."""
        table: dict[str, np.ndarray] = {}
        for group in self.groups:
            for name, key in group.keys.items():
                values = np.where(np.isin(np.arange(self.plan.trials), group.trials), self.hp[key], 0)
                table[name] = table[name] + values if name in table else values.astype(self.hp[key].dtype)
        return table

    def _book(self, values: np.ndarray) -> None:
        """Notes which trials have improved by values [R, T] of the metric, and which evaluation counts."""
        better = self.training & (self._scores(values) < self.best_score)
        self.best_score = np.where(better, self._scores(values), self.best_score)
        self.waiting = np.where(better, 0, self.waiting + 1)
        counts = better if self.wishes.keeps_best else self.training
        self.values = np.where(counts, values, self.values)
        self.kept = np.where(counts, len(self.record.step) - 1, self.kept)
        if self.wishes.keeps_best:
            for group in self.groups:
                self._safely(group, self.record.step[-1], partial(group.keep, counts))

    def _scores(self, values: np.ndarray) -> np.ndarray:
        """[T], lower is better, of values [R, T]; infinite for what is not finite or has diverged."""
        score = precise_mean(values.T) * (1.0 if self.problem.mode == "min" else -1.0)
        return np.where(np.isfinite(score) & ~self.lost.any(axis=0), score, np.inf)

    def _stop_early(self, stop: int) -> None:
        """Ends the training of trials that ran out of patience; they go on competing with the value that counts."""
        if self.wishes.patience is None:
            return
        out = self.training & (self.waiting >= self.wishes.patience)
        scores = self._scores(self.values)
        for bracket in np.unique(self.bracket[out]):
            members = np.flatnonzero(out & (self.bracket == bracket)).tolist()
            self._save([Stopped(scores[t], t, bracket) for t in members])
        self.stopped[out] = stop
        self.training = self.training & ~out
        self._move(np.arange(self.plan.trials))

    def _save(self, stopped: list[Stopped]) -> None:
        """Keeps the weights of the best few trials of a bracket that stopped early."""
        rivals = stopped + [one for one in self.saved if one.bracket == stopped[0].bracket]
        best = sorted(rivals, key=lambda one: one[:2])[: self.wishes.keep_weights]  # ties: the lower id
        others = [one for one in self.saved if one.bracket != stopped[0].bracket]
        new = {one.trial for one in stopped}
        self.saved = others + [self._with_state(one) if one.trial in new else one for one in best]

    def _with_state(self, one: Stopped) -> Stopped:
        return one._replace(state=self._group_of(one.trial).state(one.trial))

    def _decide(self, number: int, row: Row) -> None:
        competing, source, self.unit = self._decision(number, row, self.values, self.lost)
        self.pruned = np.where(self.competing & ~competing, row.stop, self.pruned)
        self.competing, self.training = competing, self.training & competing
        self.saved = [one for one in self.saved if competing[one.trial]]
        self.record.source[-1] = source
        if self.plan.exploit is not None:
            self.hp = _decoded(self.unit, self.problem.space)
        self._move(source)

    def _move(self, source: np.ndarray) -> None:
        for group in self.groups:  # deciding a second time, after a replay, changes nothing
            self._safely(group, self.record.step[-1], partial(group.decide, self.training, source))

    def _decision(self, number: int, row: Row, values: np.ndarray, lost: np.ndarray) -> Decision:
        """The outcome of a rung; explored hyperparameters that break a constraint are explored again."""
        space = self.problem.space
        decision = self._attempt(number, row, values, lost)
        for attempt in range(1, _TRIES + 1):
            changed = np.flatnonzero(decision.source != np.arange(self.plan.trials))
            decoded = _decoded(decision.unit, space) if len(changed) and space.constraints else {}
            refused = [t for t in changed.tolist() if decoded and not space.allows(space.row(decoded, t))]
            if not len(refused):
                break
            other = self._attempt(number, row, values, lost, attempt).unit
            last = attempt == _TRIES  # a twin of its donor is still an allowed one
            decision.unit[refused] = self.unit[decision.source[refused]] if last else other[refused]
        return decision

    def _attempt(self, number: int, row: Row, values: np.ndarray, lost: np.ndarray, attempt: int = 0) -> Decision:
        decision = self._decide_program()(*self._question(number, row, values, lost, attempt))
        return Decision(*(np.array(x) for x in decision))  # copies that can be written to

    def _decide_program(self) -> Jitted:
        return deciding(self.problem.space, self.problem.mode, self.plan.exploit, self.dead)

    def _question(self, number: int, row: Row, values: np.ndarray, lost: np.ndarray, attempt: int) -> tuple[Any, ...]:
        """The arguments of `decide`."""
        exploit = self.plan.exploit
        keep = np.full(self.num_brackets, self.plan.trials) if exploit else np.asarray(row.keep)
        return (
            study_key(self.key, EXPLORE),
            np.int32(number),
            np.int32(attempt),
            keep.astype(np.int32),
            self.bracket,
            self.competing,
            values,
            lost,
            self.unit,
        )

    @property
    def _num_folds(self) -> int | None:
        return None if self.wishes.folds is None else len(self.wishes.folds)

    def _group_of(self, trial: int) -> Group:
        return next(group for group in self.groups if trial in group.trials)

    # Reporting

    def _history(self) -> History:
        space = self.problem.space
        step, last = np.asarray(self.record.step), self.record.step[-1]
        seen = np.stack(self.record.active)
        own_last = step[len(step) - 1 - np.argmax(seen[::-1], axis=0)]
        end = last if self.training.any() else self.plan.steps
        return self.record.history(
            hparams=self.rows,
            log_names=space.log_names,
            bracket=self.bracket,
            total_steps=np.full(self.plan.trials, self.plan.steps),
            pruned=self.pruned,
            stopped=self.stopped,
            kept=self.kept,
            reach=np.where(self.pruned >= 0, self.pruned, np.where(self.competing, end, own_last)),
            diverged=self.diverged,
        )

    def _result(self, interrupted: bool, whole: bool) -> Result:
        """The result so far; with the best trial's weights if `whole`."""
        history, previous = self._history(), self.wishes.previous
        if previous is not None:
            history = joined(previous.history, history)
        timing = {"compile": self.host.waited, "total": time.monotonic() - self.begin}
        timing["run"] = timing["total"] - timing["compile"]
        return Result(
            history,
            metric=self.problem.metric,
            mode=self.problem.mode,
            seed=self.wishes.seed,
            interrupted=interrupted,
            timing=timing,
            num_folds=self._num_folds,
            weights=self._weights(history) if whole else {},
            ended=whole,
            num_tests=0 if previous is None else previous.num_tests,
            conditions=self.conditions,
        )

    def _weights(self, history: History) -> dict[int, Winner]:
        """Trial -> its weights, of the best ones that still have some; `history` is that of the result."""
        previous = self.wishes.previous
        found = {} if previous is None else dict(previous.weights)
        first = 0 if previous is None else len(previous.trials)
        states: dict[int, Callable[[], Any]] = {}
        if not self.weights_lost:
            here = [(int(t), group) for group in self.groups for t in group.lanes[group.lanes < self.plan.trials]]
            states = {t: partial(group.state, t) for t, group in here}
            states |= {one.trial: partial(lambda state: state, one.state) for one in self.saved}
        ranked = rank_trials(history, self.problem.metric, self.problem.mode)
        best = (t for t in ranked if not history.failed[t] and (t in found or t - first in states))
        kept = itertools.islice(best, self.wishes.keep_weights)
        return {t: found[t] if t in found else self._winner(t - first, states[t - first]()) for t in kept}

    def _winner(self, trial: int, states: Any) -> Winner:
        group = self._group_of(trial)
        return Winner(
            task=self.task,
            setting=self.setting,
            folds=self.wishes.folds,
            indices=group.indices,
            hp={name: self.hp[key][trial] for name, key in group.keys.items()},
            step=self.record.step[self.kept[trial]],
            states=states,
            layouts=group.layouts,
        )


def _decoded(unit: np.ndarray, space: Space) -> dict[str, np.ndarray]:
    return {name: np.asarray(values) for name, values in decode(unit, space=space).items()}
