"""Trains the best trials of a search again, seed by seed, as long as their seeds decide something.

A round gives each candidate that is left as many seeds as the search gave its trials, in the programs of the search.

Shapes: S seeds, F folds (1 without cross-validation), K candidates, R = F * replicates of the search: runs of a round.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from jaxtune.engine.again import Outcome, Sizes, Table, train_again
from jaxtune.engine.host import Busy, Host
from jaxtune.engine.recovery import OutOfMemory
from jaxtune.engine.search import Search
from jaxtune.engine.width import Width
from jaxtune.interface.warning import warn
from jaxtune.results.confirming.confirm import Confirm
from jaxtune.results.confirming.race import Race
from jaxtune.results.kept import kept_arrays
from jaxtune.results.trial import Trial
from jaxtune.results.winner import Winner, concatenated
from jaxtune.schedulers.plan import Plan, Row
from jaxtune.storage.directory import part_folder
from jaxtune.tasks.decoding import decoded
from jaxtune.tasks.fingerprints import array_digest

Show = Callable[[int, int, str, int, float | None], None]


@dataclass(frozen=True, eq=False)
class Confirmed:
    """What became of the candidates.

    Attributes:
        trials: Int [K], their ids, in the order in which the search ranked them.
        metrics: Name -> float [S, F, K]; NaN where a candidate was not trained any more, or diverged.
        lost: Bool [K]: diverged, or undefined, on some seed.
        seeds: Int [K]: how many each was trained with.
        confirm: What was asked for.
        budget: Seeds that there were for all of them.
        steps: That each was trained for.
        step: Of the evaluation that counts, of the first one: the median over its seeds.
        winner: The weights of the first one on all seeds; None where there is none.
        interrupted: Ended before the race was over.
    """

    trials: np.ndarray
    metrics: Mapping[str, np.ndarray]
    lost: np.ndarray
    seeds: np.ndarray
    confirm: Confirm
    budget: int
    steps: int
    step: int
    winner: Any
    interrupted: bool

    def race(self, metric: str, mode: str) -> Race:
        """Its candidates, by the mean over folds."""
        return _race(self.metrics, self.lost, metric, mode)


def bound(made: Confirmed | None, task: Any, space: Any, result: Any) -> Confirmed | None:
    """The same with weights that can be used; see `Result.with_task`."""
    if made is None or made.winner is None:
        return made
    return replace(made, winner=made.winner.bound(task, space, result))


def _race(metrics: Mapping[str, np.ndarray], lost: np.ndarray, metric: str, mode: str) -> Race:
    scores = np.asarray(metrics[metric], float).mean(axis=1) * (1.0 if mode == "min" else -1.0)
    return Race(np.where(np.isfinite(scores), scores, np.nan), lost)


class Rounds:
    """Rounds of training for the candidates of one search.

    Args:
        search: The search.
        trials: K candidates, best first.
        steps: How long they are trained.
        confirm: How many seeds per candidate the budget allows; rounded up to rounds.
        sizes: Of populations that have programs.
        host: Waits for programs, and tells when to end.
        directory: A folder that keeps rounds that are over, or None.
        identity: What tells this search from all others, for the folder.
    """

    def __init__(
        self,
        search: Search,
        trials: Sequence[Trial],
        steps: int,
        confirm: Confirm,
        sizes: Sizes,
        host: Host,
        directory: Any = None,
        identity: str = "",
    ) -> None:
        self._search, self._trials, self._sizes, self._host = search, trials, sizes, host
        self._confirm, self._directory, self._identity = confirm, directory, identity
        rows = [row for row in search.plan.rows if row.stop <= steps] or search.plan.rows
        self._course = _points(trials, [row.stop for row in rows], search.problem.space)
        self.steps = rows[-1].stop
        self.budget = confirm.budget(search.replicates, len(trials))
        names = search.problem.first.functions.metrics
        self._metrics = {name: np.zeros((0, search.num_folds, len(trials))) for name in names}
        self._lost, self._seeds = np.zeros(len(trials), bool), np.zeros(len(trials), int)
        self._racing = np.ones(len(trials), bool)  # who is out stays out, whatever becomes of the others
        self._outcomes: dict[int, list[Outcome]] = {n: [] for n in range(len(trials))}  # of whoever can still win

    @property
    def lane_steps(self) -> int:
        """Steps of all lanes, at most."""
        return self.budget * self._search.num_folds * self.steps

    def run(self, show: Show) -> Confirmed:
        """Trains until the race is over, the budget spent, or time up.

        Args:
            show: Called with lane-steps and steps done, the name of the round, candidates in training, and the best
                mean so far.
        """
        interrupted = False
        for number in range(self.budget):
            left = self._left()
            if not len(left):
                break
            found = None if number and self._host.interrupted else self._round(number, left, show)
            if found is None:
                interrupted = True
                break
            self._add(left, found)
        race = self._race()
        first = race.order[0] if race.seeds.any() and not self._lost.all() else None
        return Confirmed(
            trials=np.array([trial.id for trial in self._trials]),
            metrics=self._metrics,
            lost=self._lost,
            seeds=self._seeds,
            confirm=self._confirm,
            budget=self.budget,
            steps=self.steps,
            step=self.steps if first is None else int(np.median([one.step for one in self._outcomes[first]])),
            winner=None if first is None else self._winner(first),
            interrupted=interrupted,
        )

    def _race(self) -> Race:
        problem = self._search.problem
        return _race(self._metrics, self._lost, problem.metric, problem.mode)

    def _left(self) -> np.ndarray:
        """Candidates of the next round: none where the race is over, or the budget doesn't suffice."""
        race, per = self._race(), self._search.replicates
        self._racing &= race.left
        left = np.flatnonzero(self._racing)
        heir = next((n for n in race.order if not self._racing[n] and not self._lost[n]), None)  # if all of them fail
        for out in set(self._outcomes) - {*left.tolist(), heir}:
            del self._outcomes[out]
        is_won = len(left) == 1 and race.seeds[left[0]] >= self.budget // len(self._trials)
        fits = int(self._seeds.sum()) + per * len(left) <= self.budget
        return left if fits and not is_won else left[:0]

    def _round(self, number: int, left: np.ndarray, show: Show) -> list[Outcome] | None:
        """What becomes of the candidates that are left, on the next seeds; None where time was up."""
        names = list(self._metrics)

        def train() -> dict[str, Any] | None:
            found = self._train(number, left, show)
            return None if found is None else _as_arrays(found, names)

        if self._directory is None:
            return self._train(number, left, show)
        what = {
            "search": self._identity,
            "trials": [self._trials[n].id for n in left],
            "points": array_digest([points[left] for points in self._course]),
            "steps": self.steps,
            "round": number,
        }
        arrays = kept_arrays(part_folder(self._directory, "round", number), "round", what, train)
        return None if arrays is None else [self._of_arrays(arrays, names, n, left[n]) for n in range(len(left))]

    def _train(self, number: int, left: np.ndarray, show: Show) -> list[Outcome] | None:
        search = self._again(first_seed=number * self._search.replicates)
        plan = Plan((len(left),), tuple(Row(row.stop) for row in search.plan.rows), multiple=search.plan.multiple)
        search, space, race = replace(search, plan=plan), search.problem.space, self._race()
        known = race.scores[:, race.order[0]] if len(race.scores) else np.zeros(0)
        best = float(known.mean()) * (1.0 if search.problem.mode == "min" else -1.0) if len(known) else None
        spent = int(self._seeds.sum()) * search.num_folds * self.steps

        def told(done: float) -> None:
            show(spent + int(done * len(left) * search.runs), int(done), f"seed {number + 1}", len(left), best)

        try:
            with self._time():
                return train_again(search, _tables(self._course, left, space), self._host, self._sizes, told)
        except Busy:
            return None
        except OutOfMemory as error:
            warn(f"Confirming ends before seed {number + 1}: {error}")
            return None

    def _time(self) -> AbstractContextManager[None]:
        """A folder keeps whole rounds: the first one of a call that has done nothing else takes as long as it takes."""
        is_first = self._directory is not None and not self._host.worked
        return self._host.unlimited() if is_first else nullcontext()

    def _again(self, **changes: Any) -> Search:
        return replace(self._search, confirms=True, generations=1, generation=0, **changes)

    def _add(self, left: np.ndarray, found: Sequence[Outcome]) -> None:
        shape = self._search.replicates, self._search.num_folds
        for name, before in self._metrics.items():
            values = np.full((*shape, len(self._trials)), np.nan)
            for n, one in zip(left, found, strict=True):
                values[:, :, n] = np.nan if one.lost else np.reshape(one.metrics[name], shape)
            self._metrics[name] = np.concatenate([before, values])
        ranked = self._metrics[self._search.problem.metric][-shape[0] :]
        for n, one in zip(left.tolist(), found, strict=True):
            self._lost[n] = not np.isfinite(ranked[:, :, n]).all()
            self._outcomes[n].append(one)
        self._seeds[left] += shape[0]

    def _winner(self, first: int) -> Winner:
        outcomes, problem = self._outcomes[first], self._search.problem
        hp = {key: values[0] for key, values in decoded(self._course[-1][[first]], problem.space).items()}
        variants, _ = problem.space.groups({key: values[None] for key, values in hp.items()})
        case = problem.case(variants[0])
        sizes = self._sizes.get(frozenset(variants[0].indices.items()))
        return Winner(
            search=self._again(replicates=len(outcomes) * self._search.replicates),
            case=case,
            hp={name: hp[key] for name, key in variants[0].traced.items()},
            step=int(np.median([one.step for one in outcomes])),
            states=jax.tree.map(lambda *xs: concatenated(xs), *[one.states for one in outcomes]),
            layouts=Width(self._search, case, 1, sizes).layouts,
        )

    def _of_arrays(self, arrays: Mapping[str, Any], names: Sequence[str], n: int, candidate: int) -> Outcome:
        variants, _ = self._search.problem.space.groups(
            decoded(self._course[0][[candidate]], self._search.problem.space)
        )
        tree = self._search.problem.case(variants[0]).functions.state_tree
        leaves = [arrays[name] for name in sorted(arrays) if name.startswith(f"states/{n:05d}/")]
        metrics = {name: arrays[f"metrics/{k:05d}"][n] for k, name in enumerate(names)}
        return Outcome(metrics, bool(arrays["lost"][n]), int(arrays["step"][n]), jax.tree.unflatten(tree, leaves))


def _as_arrays(outcomes: Sequence[Outcome], names: Sequence[str]) -> dict[str, Any]:
    """What a round found, for `_of_arrays`."""
    states = {
        f"states/{n:05d}/{k:05d}": leaf
        for n, one in enumerate(outcomes)
        for k, leaf in enumerate(jax.tree.leaves(one.states))
    }
    metrics = {f"metrics/{k:05d}": np.stack([one.metrics[name] for one in outcomes]) for k, name in enumerate(names)}
    lost, step = np.array([one.lost for one in outcomes]), np.array([one.step for one in outcomes])
    return states | metrics | {"lost": lost, "step": step}


def _tables(course: Sequence[np.ndarray], left: np.ndarray, space: Any) -> list[Table]:
    """Of each stop, the hyperparameters of the candidates that are left."""
    found: list[Table] = []
    for number, points in enumerate(course):
        same = number > 0 and np.array_equal(points, course[number - 1])
        found.append(found[-1] if same else decoded(points[left], space))
    return found


def _points(trials: Sequence[Trial], stops: Sequence[int], space: Any) -> list[np.ndarray]:
    """Of each stop, the places [K, D] in the unit cube that the trials' hyperparameters have on the way there."""
    courses = [trial.course(stops[-1]) for trial in trials]
    table = []
    for stop in stops:
        there = [next(hparams for end, hparams in course if end >= stop) for course in courses]
        table.append(np.reshape([space.encode(hparams) for hparams in there], (len(trials), space.num_dims)))
    return [points.astype(np.float32) for points in table]
