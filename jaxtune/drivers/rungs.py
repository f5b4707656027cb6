"""Decisions at rungs, made from the host: with hyperparameters that constraints allow."""

from typing import Any

import numpy as np

from jaxtune.engine.keys import EXPLORE, search_key
from jaxtune.engine.rung import deciding
from jaxtune.engine.search import Search
from jaxtune.engine.standing import Decision, Standing
from jaxtune.schedulers.plan import Row
from jaxtune.spaces.configurations import Rows
from jaxtune.tasks.decoding import decoded

_TRIES = 64  # to explore hyperparameters that fulfil the constraints


class Rungs:
    """The decisions of a search.

    Args:
        search: The search.
        dead: Keys of hyperparameters that can't be explored.
        num_brackets: B.

    Attributes:
        number: of decisions so far.
    """

    def __init__(self, search: Search, dead: tuple[str, ...], num_brackets: int) -> None:
        self._search, self._num_brackets, self.number = search, num_brackets, 0
        problem = search.problem
        self._program = deciding(problem.space, problem.mode, search.plan.exploit, dead)

    def prepare(self, standing: Standing) -> None:
        """Starts compiling what decides, if there is a rung."""
        rows = [row for row in self._search.plan.rows[:-1] if row.keep is not None]
        if rows:
            self._program.prepare(*self._question(rows[0], standing, 0))

    def decide(self, row: Row, standing: Standing) -> Decision:
        """The outcome of the next rung; explored hyperparameters that break a constraint are explored again."""
        space = self._search.problem.space
        decision = self._attempt(row, standing, 0)
        for attempt in range(1, _TRIES + 1):
            changed = np.flatnonzero(decision.source != np.arange(len(decision.source)))
            refused: list[int] = []
            if len(changed) and space.constraints:
                rows = Rows(space, decoded(decision.points, space))
                refused = [t for t in changed.tolist() if not space.allows(rows[t])]
            if not refused:
                break
            other = self._attempt(row, standing, attempt).points
            last = attempt == _TRIES  # a twin of its donor is still an allowed one
            decision.points[refused] = standing.points[decision.source[refused]] if last else other[refused]
        self.number += 1
        return decision

    def _attempt(self, row: Row, standing: Standing, attempt: int) -> Decision:
        decision = self._program(*self._question(row, standing, attempt))
        return Decision(*(np.array(x) for x in decision))  # copies that can be written to

    def _question(self, row: Row, standing: Standing, attempt: int) -> tuple[Any, ...]:
        """The arguments of `decide`."""
        exploit, trials = self._search.plan.exploit, self._search.plan.trials
        keep = np.full(self._num_brackets, trials) if exploit else np.asarray(row.keep)
        key = search_key(self._search.key, EXPLORE)
        return key, np.int32(self.number), np.int32(attempt), keep.astype(np.int32), standing
