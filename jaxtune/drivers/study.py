"""One generation of a search: driven from the host, row by row of its plan.

What it takes to go on later is all there as values: the `Search`, the `Standing` of its trials, the `Record` of what
happened, the populations of its `Groups`, and the weights of trials that were `Retired`.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property, partial
from types import MappingProxyType
from typing import Any

import jax
import numpy as np

from jaxtune.drivers import finish
from jaxtune.drivers.keeping import Cut
from jaxtune.drivers.proposing import propose, sampler_of
from jaxtune.drivers.retired import Retired, retire
from jaxtune.drivers.rungs import Rungs
from jaxtune.engine import standing as standings
from jaxtune.engine.group import Group
from jaxtune.engine.groups import Groups
from jaxtune.engine.host import Busy, Host
from jaxtune.engine.recovery import OutOfMemory
from jaxtune.engine.search import Search
from jaxtune.interface.settings import users_settings
from jaxtune.interface.warning import warn
from jaxtune.monitoring.events import (
    Decided,
    Evaluated,
    Interrupted,
    Narrowed,
    Progressed,
    Reached,
    Stopped,
    Stream,
)
from jaxtune.results.conditions import conditions, traces
from jaxtune.results.history import History, joined
from jaxtune.results.journal import Journal
from jaxtune.results.record import Record
from jaxtune.results.result import Result
from jaxtune.results.setting import setting
from jaxtune.results.shelving import stored
from jaxtune.results.undefined import undefined_runs, warn_undefined
from jaxtune.samplers.sampler import Observed
from jaxtune.schedulers.plan import Row
from jaxtune.spaces.configurations import Rows
from jaxtune.storage.checkpoints import Checkpoint
from jaxtune.tasks.decoding import decoded

Sizes = Mapping[tuple[frozenset, int], Sequence[tuple[int, int]]]


def groups_of(search: Search, points: np.ndarray) -> list[tuple[frozenset, int]]:
    """Of each group of these trials, its options and how many trials it has."""
    variants, group_of = search.problem.space.groups(decoded(points, search.problem.space))
    return [(frozenset(one.indices.items()), int(np.sum(group_of == n))) for n, one in enumerate(variants)]


class TooEarly(KeyboardInterrupt):
    """The search ends before the first evaluation of a generation."""


class Study:
    """The state of a search between calls to the devices; T trials, R runs of each.

    Args:
        search: What is searched.
        host: Waits for compilers and devices, and knows when to end.
        tell: Whom events are told.
        begin: When the search began, by `time.monotonic`.
        previous: The result of all that was searched before.
        seen: What the sampler sees of it.
        sizes: That groups have taken in generations before.
        cut: Where an earlier run of this generation was cut off.
    """

    def __init__(
        self,
        search: Search,
        host: Host,
        tell: Stream,
        begin: float,
        previous: Result | None = None,
        seen: Observed | None = None,
        sizes: Sizes = MappingProxyType({}),
        cut: Cut | None = None,
    ) -> None:
        self.search, self.plan, self.host, self.tell = search, search.plan, host, tell
        self.begin, self.previous, self.seen, self.sizes = begin, previous, seen, sizes
        self.record = Record()
        self.retired: list[Retired] = []
        self.has_weights = True
        self.row = self.step = 0  # of the plan, that is trained next; and steps trained
        self.cut = cut
        self._propose()

    def run(self, callback: Callable | None) -> Result:
        """Runs the plan, as far as it gets."""
        try:
            self._start()
            if self.search.generation:
                self._reached()
            self._rows(callback)
        except Busy as error:
            if not self.record.step:
                raise TooEarly(f"Ctrl-C before the first evaluation: {error}.") from None
            self.has_weights = self.has_weights and not error.device
            warn(f"After Ctrl-C {error}; the result holds what was known before.")
        except OutOfMemory as error:
            self._give_up(error)
        finally:
            self.groups.close()
        return self._result(self.host.interrupted and not self.is_over, whole=True)

    @property
    def is_over(self) -> bool:
        """Whether the plan has been run to its end."""
        return self.record.last_step >= self.plan.steps

    @property
    def history(self) -> History:
        """The record of this generation."""
        names, steps = self.search.problem.space.log_names, self.plan.steps
        return self.record.history(self.standing, self.rows, names, steps)

    def _rows(self, callback: Callable | None) -> None:
        """Train, evaluate, decide, move, report: row by row."""
        for row in self.plan.rows[self.row :]:
            if not self.standing.training.any():
                return
            ends = row is self.plan.rows[-1]
            last = ends and self.search.generation + 1 == self.search.generations
            self.step = self._train(self.step, row)
            cut, within = self.host.interrupted, self.step < row.stop
            if cut and within:
                self._reached(last=True)  # before an evaluation that nobody makes who isn't interrupted
            if self.step > self.record.last_step:
                self._evaluate(self.step, row)
            if cut:
                if not within and not last:
                    self._reached(last=True)
                return
            if not ends:
                self._stop_early(row.stop)
                self._decide(row)
            self.row += 1
            if callback is not None and self._report(callback, last) and not last:
                self.host.interrupt()
            self._reached(last=self.host.interrupted, rung=row.keep is not None)
            if self.host.interrupted:
                return

    # The steps of the loop

    def _propose(self) -> None:
        """Chooses the configurations of all trials, and puts them into groups."""
        search, space = self.search, self.search.problem.space
        if self.cut is None:
            points = propose(
                search.root,
                sampler=sampler_of(search),
                space=space,
                history=self.seen,
                num_points=self.plan.trials,
                previous_hparams=[] if self.previous is None else [trial.hparams for trial in self.previous.trials],
            )
        else:
            points = self.cut.journal.points
        hp = decoded(points, space)
        self.rows = Rows(space, hp)
        known = [self.sizes.get(group) for group in groups_of(search, points)]
        sizes: Sequence[Any] = known if self.cut is None else self.cut.journal.layouts
        self.groups = Groups(search, hp, self.host, self._narrowed, sizes)
        for number, width in (self.cut.widths if self.cut is not None else {}).items():
            while self.groups.groups[number].layout.width > width:
                self.groups.groups[number].narrow()
        self.record.widths += [(number, group.layout.width) for number, group in enumerate(self.groups.groups)]
        self.conditions = conditions(search)
        self.conditions["traces"] = traces(group.case for group in self.groups.groups)
        bracket, num_brackets = self._brackets()
        dtype = jax.dtypes.canonicalize_dtype(float)
        self.standing = standings.at_start(np, points, bracket, search.runs, dtype)
        self.rungs = Rungs(search, self._dead(), num_brackets)
        self.warned = warn_undefined(search)

    def _start(self) -> None:
        self.groups.prefetch()
        self.host.later.append(lambda: self.rungs.prepare(self.standing))  # compiled by the time the first rung comes
        if self.cut is not None and self.cut.checkpoint is not None:
            self._restore(self.cut.journal, self.cut.checkpoint)
        else:
            self.groups.spawn(self.standing)
        if self.host.pressed and not self.record.step:
            raise TooEarly

    def _restore(self, journal: Journal, checkpoint: Checkpoint) -> None:
        """Goes on from where an earlier run stood."""
        position, space = checkpoint.position, self.search.problem.space
        self.record, self.standing = journal.record, journal.standing
        self.rungs.number = journal.num_decisions
        self.row, self.step = position["row"], position["step"]
        past = [
            (stop, decoded(points, space), source)
            for (stop, points), source in zip(journal.past, journal.record.source, strict=True)
        ]
        hp = decoded(self.standing.points, space)
        self.groups.restore(hp, past, [checkpoint.parts[f"group-{n}"] for n in range(len(self.groups.groups))])
        self.retired = [
            Retired(score, trial, bracket, self.groups.of(trial).as_state(checkpoint.parts[f"retired-{trial}"]))
            for score, trial, bracket in position["retired"]
        ]

    def _fetch(self) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """What it takes to go on from here, beside what was told."""
        parts = {f"group-{number}": arrays for number, arrays in enumerate(self.groups.saved())}
        for one in self.retired:
            parts[f"retired-{one.trial}"] = {f"{n:05d}": x for n, x in enumerate(jax.tree.leaves(one.state))}
        retired = [[one.score, one.trial, one.bracket] for one in self.retired]
        position: dict[str, Any] = {"row": self.row, "step": self.step, "retired": retired, "weights": {}}
        if self.search.generation:
            for trial, (values, about) in self._earlier.items():
                parts[f"weights-{trial}"], position["weights"][trial] = values, about
        return position, parts

    @cached_property
    def _earlier(self) -> dict[int, Any]:
        """Trial -> its weights as they are written, of those from before this generation."""
        kept = {} if self.previous is None else self.previous.weights
        return {trial: stored(one) for trial, one in kept.items()}

    def _reached(self, last: bool = False, rung: bool = False) -> None:
        """Tells that the search could be saved."""
        self.tell(Reached(self.step, self.groups.size, rung, self._fetch, last))

    def _train(self, start: int, row: Row) -> int:
        self._show(start, row)
        return self.groups.train(
            self.standing, start, row.stop, lambda done: self._show(done, row), partial(self._level, row)
        )

    def _level(self, row: Row, step: int) -> None:
        """All groups have come to a step of a row."""
        if step < row.stop and not self.host.interrupted:
            self.step = step
            self._reached()

    def _evaluate(self, stop: int, row: Row) -> None:
        search, before = self.search, self.standing
        metrics, lost = self.groups.evaluate(before, stop)
        values = metrics[search.problem.metric]
        self.standing, counts = standings.evaluated(
            np, before, values, lost, stop, search.problem.mode, search.keeps_best
        )
        spent = self.record.spent + int(np.sum(before.training)) * (stop - self.record.last_step) * search.runs
        explored = self.groups.explored() if self.plan.exploit is not None else {}
        decides = row.keep is not None and stop == row.stop
        self.record.append(stop, metrics, before.training, decides, spent, explored)
        self._warn_undefined(values)
        if search.keeps_best:
            self.groups.keep(self.standing, counts)
        self.tell(Evaluated(stop, metrics, before.training, lost, decides, spent, explored, self.record.seconds[-1]))
        self._show(stop, row)

    def _stop_early(self, stop: int) -> None:
        """Ends the training of trials that ran out of patience; they go on competing with the value that counts."""
        if self.search.patience is None:
            return
        self.standing, out = standings.without_patience(np, self.standing, self.search.patience, stop)
        if out.any():
            self.tell(Stopped(stop, out))
        scores, state_of = self._scores(), lambda trial: self.groups.of(trial).state(trial)
        self.retired = retire(self.retired, out, scores, self.standing.bracket, self.search.keep_weights, state_of)
        self.groups.move(self.standing, self.groups.hp)

    def _decide(self, row: Row) -> None:
        """Applies a rung, and moves who goes on."""
        if row.keep is None:
            return
        decision = self.rungs.decide(row, self.standing)
        self.standing = standings.decided(np, self.standing, decision, row.stop)
        self.record.source[-1] = self.standing.source
        self.retired = [one for one in self.retired if self.standing.competing[one.trial]]
        explores = self.plan.exploit is not None
        self.groups.move(
            self.standing, decoded(decision.points, self.search.problem.space) if explores else self.groups.hp
        )
        self.tell(Decided(row.stop, decision.training, decision.source, decision.points))

    def _report(self, callback: Callable, last: bool) -> bool:
        """Shows the user's callback the result so far; whether it wants the search to end."""
        try:
            result = self._result(interrupted=False, whole=last)
            with users_settings():
                answer = callback(result)
        except BaseException as error:
            self._reached(last=True)
            with suppress(Exception):  # the user's own is what has to be seen
                error.result = self._result(interrupted=not last, whole=True)  # type: ignore[attr-defined]
                error.add_note(f"The callback ended the search at step {self.record.last_step}: see error.result.")
            raise
        return isinstance(answer, (bool, np.bool_)) and bool(answer)

    # What the steps need

    def _brackets(self) -> tuple[np.ndarray, int]:
        """The bracket of each trial. With exploits each group is one: weights can't cross shapes."""
        if self.plan.exploit is None:
            return np.asarray(self.plan.bracket_of, np.int32), len(self.plan.brackets)
        bracket = np.zeros(self.plan.trials, np.int32)
        for number, group in enumerate(self.groups.groups):
            bracket[group.trials] = number
        return bracket, len(self.groups.groups)

    def _dead(self) -> tuple[str, ...]:
        """Keys of the hyperparameters that PBT can't explore: nothing but the start of a training depends on them."""
        if self.plan.exploit is None:
            return ()
        groups = self.groups.groups
        dead = {group.keys[name]: name for group in groups for name in group.programs.functions.dead}
        if dead:
            warn(
                f"Population-based training leaves {', '.join(map(repr, dict.fromkeys(dead.values())))} as it is: only "
                "init reads it, so that a new value would change nothing in a training that goes on."
            )
        return tuple(sorted(dead))

    def _scores(self) -> np.ndarray:
        """[T], lower is better, of the values that count."""
        return standings.scores(np, self.standing.values, self.standing.lost, self.search.problem.mode)

    def _show(self, done: float, row: Row) -> None:
        known, training = self.record.spent, int(np.sum(self.standing.training))
        spent = known + int(training * (done - self.record.last_step)) * self.search.runs
        rungs = [r.stop for r in self.plan.rows if r.keep is not None]  # without the points of curves
        phase = f"rung {sum(stop < row.stop for stop in rungs) + 1}/{len(rungs)}"
        if self.search.generations > 1:
            phase += f" of generation {self.search.generation + 1}/{self.search.generations}"
            spent += self.search.generation * self.plan.trial_steps * self.search.runs
        best = np.min(self._scores()[self.standing.competing], initial=np.inf)
        sign = 1.0 if self.search.problem.mode == "min" else -1.0
        value = float(sign * best) if np.isfinite(best) else None
        self.tell(Progressed(spent, int(done), phase, training, value, self.search.problem.metric))

    def _warn_undefined(self, values: np.ndarray) -> None:
        """Says once that a metric is NaN while losses are finite; `warn_undefined` saw it before if it is the data."""
        healthy = self.standing.training & ~self.standing.lost.any(axis=0)
        folds = None if self.search.folds is None else self.search.num_folds
        where = undefined_runs(values[:, healthy].T, folds)
        if where and not self.warned:
            self.warned = True
            warn(
                f"The metric {self.search.problem.metric!r} is undefined (NaN) {where}, though losses are finite: such "
                "trials are ranked last."
            )

    def _narrowed(self, group: Group) -> None:
        number = self.groups.groups.index(group)
        self.record.widths.append((number, group.layout.width))
        self.tell(Narrowed(self.search.generation, number, group.trials, group.layout.width))

    def _give_up(self, error: OutOfMemory) -> None:
        """Ends with what is known, where not even a single lane can be trained."""
        if not self.record.step and not self.search.generation:
            raise error
        self.has_weights = False
        self.host.interrupt()
        self.tell(Interrupted(None, str(error)))
        if not self.record.step:
            raise TooEarly from error

    def _result(self, interrupted: bool, whole: bool) -> Result:
        """The result so far; with the weights of the best trials if `whole`."""
        search, previous = self.search, self.previous
        history = self.history if previous is None else joined(previous.history, self.history)
        weights: dict[int, Any] = {}
        if whole:
            states = finish.states_of(self.groups, self.retired) if self.has_weights else {}
            weights = finish.weights(search, self.standing, self.groups, states, history, previous)
        timing = {"compile": self.host.waited, "total": time.monotonic() - self.begin}
        timing["run"] = timing["total"] - timing["compile"]
        return Result(
            history,
            metric=search.problem.metric,
            mode=search.problem.mode,
            seed=search.seed,
            interrupted=interrupted,
            timing=timing,
            num_folds=None if search.folds is None else search.num_folds,
            weights=weights,
            ended=whole,
            num_tests=0 if previous is None else previous.num_tests,
            conditions=self.conditions,
            sizes=self.groups.sizes,
            **setting(search),
        )
