"""Who went on from whose weights, in population-based training (Jaderberg et al., 2017, arXiv:1711.09846).

Shapes: E evaluations, T trials, each of which is a slot of the population too, C copies.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jaxtune.results.history import History


@dataclass(frozen=True, eq=False)
class Lineage:
    """The intervals of training, the copies between them, and which of them lead to one trial.

    Attributes:
        start: Int [E], step count at which the interval before an evaluation begins.
        stop: Int [E], step count of the evaluation.
        trained: Bool [E, T], the weights in the slot of trial t were trained in interval e.
        copies: Int [C, 3], rows of (evaluation, from, to): after it, slot `to` went on from the weights of slot `from`.
        path: Int [E], the slot in which the weights that the trial ended with were in interval e; -1 before it began
            and after it ended.
    """

    start: np.ndarray
    stop: np.ndarray
    trained: np.ndarray
    copies: np.ndarray
    path: np.ndarray

    @property
    def leads(self) -> np.ndarray:
        """Bool [C], the copy is one that the trial descends from."""
        after = np.append(self.path[1:], -1)  # [E]
        evaluation, origin, target = self.copies.T
        return (self.path[evaluation] == origin) & (after[evaluation] == target)


def lineage(history: History, trial: int) -> Lineage:
    """The lineage of one trial, among all of the population.

    Args:
        history: The record of a search.
        trial: An id.
    """
    before = np.append(0, history.step[:-1])
    start = np.where(before < history.step, before, 0)  # a search that another one followed has counted from 0 again
    e = np.arange(len(history.step))
    own = (e >= history.first[trial]) & (e <= history.last[trial])
    evaluation, target = np.nonzero(history.active & (history.source != np.arange(history.num_trials)))
    copies = np.stack([evaluation, history.source[evaluation, target], target], axis=1)
    return Lineage(start, history.step, history.active, copies, np.where(own, history.slots[:, trial], -1))
