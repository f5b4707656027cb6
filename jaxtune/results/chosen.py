"""What can be done with the best trial of a search, whoever chose it: test it, and train it again on all data."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

import jax
import numpy as np

from jaxtune.engine.host import Host, deadline
from jaxtune.interface.counts import check_whole, whole_or_none
from jaxtune.interface.entry import entry
from jaxtune.results.averaging.averages import both_ways, with_averages
from jaxtune.results.gap import Gap
from jaxtune.results.history import History, with_errors
from jaxtune.results.kept import kept_training
from jaxtune.results.trained import without_task
from jaxtune.results.trial import Trial
from jaxtune.results.weighted import Refit
from jaxtune.tasks.fingerprints import array_digest


class Chosen:
    """Whatever has a best trial."""

    metric: str
    mode: str
    num_folds: int | None
    history: History
    _tested: dict[str, np.ndarray] | None

    @property
    def best(self) -> Trial:
        """The winner."""
        raise NotImplementedError

    @property
    def winner(self) -> Any:
        """Its weights, with its search; None where these are not at hand."""
        raise NotImplementedError

    @property
    def _seen(self) -> Trial:
        """The winner as the search saw it."""
        raise NotImplementedError

    def _count_test(self) -> None:
        """The test split is looked at."""
        raise NotImplementedError

    def _candidates(self) -> np.ndarray:
        """Values that the search picked it from."""
        raise NotImplementedError

    @entry
    def test(self, *, combine: Any = None) -> dict[str, float]:
        """Evaluate the best trial on the test split, which selection never saw. Calls count in `num_tests`.

        With several replicates, as a confirmed winner has them, also as `predict` averages them.

        Args:
            combine: what is averaged instead of outputs: a pair of functions, from outputs to that and back, such as
                `(jax.nn.softmax, jnp.log)`; see `Refit.test`.

        Returns:
            The mean over replicates (and folds) under each metric's name and, with several, its standard error
            under `<name>_se` and, without folds, the metric of the averaged outputs under `<name>_of_average`.

        Raises:
            ValueError: the task has no test data, there is no best trial, or its weights are gone.
            TypeError: `combine` is no pair of functions, or makes nothing of the outputs that can be averaged.
        """
        ways, winner = both_ways("test()", combine), self._testable("test()")
        tested = self._look_at_test(winner)
        return with_averages(with_errors(tested, self.num_folds), tested, winner.averages("test", ways))

    def _look_at_test(self, winner: Any) -> dict[str, np.ndarray]:
        self._tested = winner.metrics("test")
        self._count_test()
        return self._tested

    @entry
    def gap(self) -> Gap:
        """How much worse the best trial is on the test split than on the validation data that selected it.

        Takes the values of the last `test()`, or calls it. See `Gap` for what is reported beside the difference.

        Raises:
            ValueError: as `test`.
        """
        winner = self._testable("gap()")
        tested = self._look_at_test(winner) if self._tested is None else self._tested
        return Gap.of(
            self.metric,
            self.mode,
            seen=self._seen.metrics[self.metric],
            validation=np.ravel(self.best.replicates[self.metric]),
            test=tested[self.metric],
            errors={split: winner.sampling_error(split)[self.metric] for split in ("validation", "test")},
            candidates=self._candidates(),
            num_folds=self.num_folds or 1,
        )

    @entry
    def refit(
        self,
        steps: int | None = None,
        replicates: int = 1,
        time_limit: float | None = None,
        directory: str | os.PathLike[str] | None = None,
    ) -> Refit:
        """Train the best configuration again, on training and validation data together.

        The programs are those of the search, so this compiles nothing as a rule. There are no validation data left to
        watch; `Refit.test` evaluates the test split.

        Args:
            steps: how long; None for as long as the weights of the best trial were trained, on the same schedule.
            replicates: seeds, of initial weights and batch order.
            time_limit: seconds after which the first seeds stop where they are, and all others at the same step.
            directory: a folder in which the weights are kept, once they are trained; the same call again finds them.

        Returns:
            The new weights; `Refit.interrupted` where time was up.

        Raises:
            ValueError: there is no best trial, its search is not at hand, or a number is below 1.
        """
        winner = self._searched("refit()")
        check_data(winner.task)
        replicates, steps = check_whole("replicates", replicates), whole_or_none("steps", steps)
        host = Host(deadline(time_limit))
        best, total = self.best, int(self.history.total_steps[self.best.id])
        given = best.best_step if steps is None else steps
        course = best.course(given)
        told = total if steps is None else steps
        train = partial(winner.retrain, course, told, replicates, host)
        if directory is None:
            states, reached = train()
        else:
            what = {"winner": array_digest(winner.states), "steps": given, "told": told, "replicates": replicates}
            states, reached = kept_training(directory, what, winner.case.functions.state_tree, train)
        trained = winner.retrained(states, replicates, reached, told)

        def test() -> dict[str, np.ndarray]:
            tested = self._testable("test()").metrics("test", trained)
            self._count_test()
            return tested

        return Refit(best.hparams, reached, replicates, reached < given, trained.states, trained, test)

    def _searched(self, who: str) -> Any:
        best = self.best  # raises where nothing won
        if self.winner is not None and not hasattr(self.winner, "task"):
            raise without_task(who)
        if self.winner is None:
            raise ValueError(
                f"{who} needs the weights of the best trial, and trial {best.id} ({best.status}) has none "
                "here: only the result that tune() returns holds them, and only of trials never pruned."
            )
        return self.winner

    def _testable(self, who: str) -> Any:
        winner = self._searched(who)
        if winner.task.test is None:
            raise ValueError(f"{who} needs test data: give the task test=.")
        return winner


def check_data(task: Any) -> None:
    """Raises ValueError if arrays of a task are gone, as after a donation."""
    for name in ("train", "validation"):
        if any(isinstance(x, jax.Array) and x.is_deleted() for x in jax.tree.leaves(getattr(task, name))):
            raise ValueError(f"The {name} data of the task were deleted, so that nothing can be trained again.")
