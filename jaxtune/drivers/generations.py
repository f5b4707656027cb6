"""The generations of a search: its plan is run again and again, with what the sampler has learned by then."""

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from jaxtune.drivers import finish, observing
from jaxtune.drivers.keeping import Saved
from jaxtune.drivers.proposing import prepare, sampler_of
from jaxtune.drivers.study import Study, TooEarly, groups_of
from jaxtune.engine.host import Busy, Host
from jaxtune.engine.search import Search
from jaxtune.interface.warning import warn
from jaxtune.monitoring.events import Finished, Interrupted, Started, Stream
from jaxtune.results.conditions import conditions
from jaxtune.results.history import joined
from jaxtune.results.manifest import traced
from jaxtune.results.result import Result
from jaxtune.results.setting import setting
from jaxtune.samplers.sampler import Observed
from jaxtune.spaces.configurations import Rows
from jaxtune.tasks.decoding import decoded


class Generations:
    """A search of one generation or more; T trials in each.

    Args:
        search: What is searched.
        host: Waits for compilers and devices, and knows when to end.
        tell: Whom events are told.
        previous: The result of an earlier search to go on from.
        saved: Where an earlier run of this search stood.
    """

    def __init__(
        self, search: Search, host: Host, tell: Stream, previous: Result | None = None, saved: Saved | None = None
    ) -> None:
        self._begin = time.monotonic()
        self._search, self._host, self._tell = search, host, tell
        self._steps = observing.evaluations(search, previous)
        self._result = previous
        self._seen: list[Observed] = []
        if previous is not None:
            self._seen.append(observing.of_previous(search.problem, previous, self._steps))
        known = sum(len(part.points) for part in self._seen)
        self._capacity = observing.capacity(known + (search.generations - 1) * search.plan.trials)
        self._first, self._saved = 0, saved
        self._sizes: dict[tuple[frozenset, int], Sequence[tuple[int, int]]] = {}
        self._warned = False
        if saved is not None:
            self._go_on(saved)

    def _go_on(self, saved: Saved) -> None:
        """Takes what earlier generations found from their records."""
        search, space, known = self._search, self._search.problem.space, [] if self._result is None else [self._result]
        histories = [result.history for result in known]
        for past in saved.past:
            rows = Rows(space, decoded(past.points, space))
            histories.append(past.history(rows, space.log_names, search.plan.steps))
            self._learn(histories[-1], past.standing.points)
            self._remember(past.points, past.layouts)
        self._first = len(saved.past)
        if not self._first:
            return
        result = Result(
            functools.reduce(joined, histories),
            metric=search.problem.metric,
            mode=search.problem.mode,
            seed=search.seed,
            num_folds=search.num_folds if search.folds is not None else None,
            num_tests=sum(result.num_tests for result in known),
            weights=saved.weights,
            ended=True,
            conditions=conditions(search) | {"traces": traced(search, saved.past[-1].points)},
            **setting(search),
        )
        self._result = finish.bound(search, result, self._result)

    def _remember(self, points: np.ndarray, layouts: Sequence[Sequence[tuple[int, int]]]) -> None:
        """Groups of the same options and as many trials take the same widths again."""
        self._sizes.update(zip(groups_of(self._search, points), layouts, strict=True))

    def _learn(self, history: Any, points: np.ndarray) -> None:
        self._seen.append(observing.observe(self._search.problem, history, points, self._steps))

    def run(self, callback: Callable | None, begin: Callable[[Study], Any] = lambda study: None) -> Result:
        """Runs all generations, as far as it gets.

        Args:
            callback: The user's.
            begin: Called with each generation before its trials are trained.
        """
        search = self._search
        self._tell(Started(search.plan.trials * search.generations, search.lane_steps, search.plan.steps))
        over = False
        if self._first + 1 < search.generations:  # behind all that this generation needs itself
            self._host.later.append(lambda: self._host.later.append(self._prepare))
        for number in range(self._first, search.generations):
            try:
                study = self._study(number)
                begin(study)
                self._result = study.run(callback)
            except TooEarly:
                if not number:
                    raise
                break
            except Exception as error:
                if number and self._result is not None and not hasattr(error, "result"):  # of a sampler, or the disk
                    self._result.interrupted = True
                    error.result = self._result  # type: ignore[attr-defined]
                    error.add_note(f"Generation {number + 1} could not be trained: see error.result for those before.")
                raise
            over = number + 1 == search.generations and study.is_over
            if self._host.interrupted:
                break
            if not over:
                self._learn(study.history, study.standing.points)
                self._remember(study.standing.points, [sizes for _, sizes in study.groups.sizes])
        return self._end(over)

    def _prepare(self) -> None:
        """Has what will propose generations compiled while the first one is trained."""
        search = replace(self._search, generation=1)
        prepare(
            search.root,
            sampler=sampler_of(search),
            space=search.problem.space,
            num_points=search.plan.trials,
            history=observing.joined([observing.nothing(np, search.problem, self._steps, 0)], self._capacity),
        )

    def _study(self, number: int) -> Study:
        self._warn_of_few(number)
        cut = None if self._saved is None or number > self._first else self._saved.cut
        one = replace(self._search, generation=number)
        try:
            return Study(one, self._host, self._tell, self._begin, self._result, self._observed, self._sizes, cut)
        except Busy as error:  # widths were being timed
            raise TooEarly(f"Ctrl-C before the first evaluation: {error}.") from None

    def _warn_of_few(self, number: int) -> None:
        """Says once that a sampler which learns has too little to learn from."""
        search = self._search
        sampler = sampler_of(replace(search, generation=1))
        num_needed = getattr(sampler, "num_needed", None)
        last = search.generations == 1
        if self._warned or num_needed is None or not (self._seen or last):
            return
        seen, needed = sum(int(np.sum(~part.failed)) for part in self._seen), num_needed(search.problem.space)
        if seen < needed:
            self._warned = True
            what = "with generations=1 it learns nothing" if last else f"generation {number + 1} is quasi-random"
            warn(f"{sampler} needs {needed} trials that succeeded before it, and has seen {seen}: {what}.")

    @property
    def _observed(self) -> Observed | None:
        """What the sampler sees."""
        return observing.joined(self._seen, self._capacity) if self._seen else None

    def _end(self, over: bool) -> Result:
        result = self._result
        assert result is not None, "a search without an evaluation has raised"
        if self._host.interrupted and not over:
            step = int(result.history.step[-1])
            self._tell(Interrupted(step, "Interrupted" if self._host.pressed else "Time is up"))
            result.interrupted = True
        finish.warn_of_gaps(self._search, result)
        self._tell(Finished(result))
        return result
