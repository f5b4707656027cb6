"""What a search hands back: a `History` seen as trials, tables, curves, pictures and text."""

from __future__ import annotations

import html
import math
import os
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from jaxtune.engine.host import Host, deadline
from jaxtune.interface.counts import check_whole, whole_or_none
from jaxtune.interface.entry import entry, given_back
from jaxtune.interface.habits import Answering
from jaxtune.results import tables
from jaxtune.results.ensembling import Ensembling
from jaxtune.results.gap import Gap
from jaxtune.results.history import with_errors
from jaxtune.results.kept import kept_training
from jaxtune.results.saving import save_result
from jaxtune.results.text import short, with_error
from jaxtune.results.trained import without_task
from jaxtune.results.trial import Trial, statuses
from jaxtune.results.undefined import undefined_runs
from jaxtune.results.views import Views
from jaxtune.results.weighted import Refit
from jaxtune.storage.directory import Writer
from jaxtune.tasks.fingerprints import array_digest


@given_back
@dataclass(eq=False, repr=False, kw_only=True)
class Result(Views, Ensembling, Answering):
    """What a search found. `result.best` is the winner; every other view is one method away.

    The winner: `best` (a Trial, with `hparams`, `metrics`, `predict`, `variables`, `model`), `test()` on data that
    nothing was selected by, `gap()` between validation and test, `refit()` on all data.

    The others: `trials` by id, `ranking` best first, the first `keep_weights` of them with weights, which `ensemble()`
    averages; in text and notebooks the object itself and `table()`.

    As data: `to_dataframe()`, `records()`, `to_csv()` have a row per trial, `curves_dataframe()`, `curves()` the
    metrics over steps, `progress()` the best value so far over what was spent; `history` is all of it as arrays.

    As pictures: `plot_curves()`, `plot_space()`.

    For later: `save()` writes files that `jt.load` reads; `pickle` keeps all but the task, which `with_task()` gives
    back; `tune(..., previous=result)` goes on.

    Attributes:
        metric: name of the metric that ranked the trials.
        mode: "min" or "max", which way it is better.
        seed: the seed of the search.
        interrupted: the search was stopped early (Ctrl-C, time_limit or a callback).
        ended: nothing more will happen to this search; False for the results that a callback sees.
        timing: seconds by part: "compile", "run" and "total".
        num_tests: how often `test()` has looked at the test split, in an earlier search that this one continues too.
        num_folds: of a cross-validation, else None.
        history: the record, as arrays.
        conditions: what another search has to share in order to be comparable.
        weights: trial -> its weights, of those that keep them (see `tune(keep_weights=)`).
    """

    seed: int
    timing: dict[str, float] = field(default_factory=dict)
    num_tests: int = 0
    conditions: dict[str, Any] = field(default_factory=dict)
    _tested: dict[str, np.ndarray] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: trials are made again when asked for; the task is left behind, see `with_task`."""
        return {name: value for name, value in self.__dict__.items() if name not in ("trials", "ranking")}

    @property
    def best(self) -> Trial:
        """The winner, with its trained `state`, `variables` and `model`.

        Raises:
            ValueError: no trial has a finite value, because all diverged or none reports one.
        """
        if self._best_id is not None:
            return self.ranking[0]
        if not self.history.failed.all():
            where = undefined_runs(self.history.at_kept(self.metric)[~self.history.failed], self.num_folds)
            what = f"it is undefined (NaN) {where}, though losses are finite" if where else "none reports one"
            raise ValueError(f"There is no best trial, for none has a finite {self.metric!r}: {what}.")
        raise ValueError(
            f"Every trial diverged, so there is no best one. Tried: {tables.ranges(self.history.hparams)}. "
            "Search lower learning rates, or clip the gradients."
        )

    @property
    def winner(self) -> Any:
        """The weights of the best trial, with its search; None where these are not at hand."""
        return self.weights.get(self._order[0])

    @entry
    def test(self) -> dict[str, float]:
        """Evaluate the best trial on the test split, which selection never saw. Calls count in `num_tests`.

        Returns:
            The mean over replicates (and folds) under each metric's name and, with several, its standard error
            under `<name>_se`.

        Raises:
            ValueError: the task has no test data, there is no best trial, or its weights are gone.
        """
        return with_errors(self._look_at_test(self._testable("test()")), self.num_folds)

    def _look_at_test(self, winner: Any) -> dict[str, np.ndarray]:
        self._tested = winner.metrics("test")
        self.num_tests += 1
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
            validation=np.ravel(self.best.replicates[self.metric]),
            test=tested[self.metric],
            errors={split: winner.sampling_error(split)[self.metric] for split in ("validation", "test")},
            candidates=self._candidates(),
            num_folds=self.num_folds or 1,
        )

    def _candidates(self) -> np.ndarray:
        """Values that the best one was picked from: one per healthy trial or, of checkpoints, all evaluations."""
        if self.winner.search.keeps_best:
            values = self.history.mean(self.metric)[:, ~self.history.failed]
        else:
            values = np.array([trial.metrics[self.metric] for trial in self.trials])
        return values[np.isfinite(values)]

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
        replicates, steps = check_whole("replicates", replicates), whole_or_none("steps", steps)
        host = Host(deadline(time_limit))
        best, total = self.best, int(self.history.total_steps[self._order[0]])
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
            self.num_tests += 1
            return tested

        return Refit(best.hparams, reached, replicates, reached < given, trained.states, trained, test)

    @entry
    def with_task(self, task: Any, space: Any) -> Result:
        """This result with its task, which a pickle leaves behind: `test`, `gap`, `refit` and `predict` work again.

        Args:
            task: The task of the search, with equal data and functions.
            space: Its space.

        Raises:
            ValueError: The result has no weights, or task or space are not those of the search.

        Example:
            >>> import pickle, flax.linen as nn, numpy as np, optax
            >>> import jaxtune as jt
            >>> x, space = np.linspace(-1, 1, 64, dtype=np.float32)[:, None], {"lr": jt.LogUniform(1e-4, 0.5)}
            >>> task = jt.supervised(
            ...     nn.Dense(1), optimizer=lambda hp: optax.sgd(hp["lr"]), loss=optax.squared_error,
            ...     train=(x, 3 * x), validation=(x, 3 * x), batch_size=16,
            ... )
            >>> result = jt.tune(task, space, scheduler=jt.FullBudget(8, 50), progress=False)
            >>> again = pickle.loads(pickle.dumps(result)).with_task(task, space)
            >>> again.best.predict(x[:2]).shape
            (2, 1)
        """
        if self.winner is None:
            raise ValueError("with_task() is for results with weights, and this one has none.")
        return replace(self, weights={trial: kept.bound(task, space, self) for trial, kept in self.weights.items()})

    @entry
    def save(self, directory: Any, *, overwrite: bool = False) -> None:
        """Write everything into a folder, from which `jt.load` brings it back, in any process; no pickle is in it.

        A search with `tune(directory=)` has done so by itself. docs/run_directory.md describes the files.

        Args:
            directory: A folder, which may be new.
            overwrite: Delete the run that is there.

        Raises:
            ValueError: There is something else, or nothing can be written.

        Example:
            >>> import tempfile, jax.numpy as jnp
            >>> import jaxtune as jt
            >>> task = jt.Task(
            ...     init=lambda key, hp: jnp.float32(1.0),
            ...     step=lambda key, x, batch, hp: (x - hp["lr"] * x, {}),
            ...     evaluate=lambda key, x, data, hp: {"loss": x**2},
            ... )
            >>> space, folder = {"lr": jt.LogUniform(1e-3, 1.0)}, tempfile.mkdtemp()
            >>> jt.tune(task, space, scheduler=jt.FullBudget(8, 10), progress=False).save(folder)
            >>> len(jt.load(folder).trials)
            8
        """
        with Writer(directory, overwrite) as folder:
            folder.check_new()
            save_result(self, folder.path)

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

    # As text

    def __repr__(self) -> str:
        lines = [f"Result: {len(self.trials)} trials, {self._counts()}"]
        if self.interrupted:
            lines.append("  interrupted: the search was stopped before its end")
        if self._best_id is not None:
            best = self.ranking[0]
            value = with_error(best.metrics[self.metric], best.standard_error[self.metric])
            when = f"after {best.steps} steps" if best.best_step == best.steps else f"at step {best.best_step}"
            lines.append(f"  best: trial {best.id}, {self.metric} {value} ({self.mode}) {when}")
            lines.append("    " + ", ".join(f"{name}={short(v)}" for name, v in best.hparams.items()))
        else:
            lines.append(f"  best: none, no trial has a finite {self.metric}")
        if self._tested is not None:
            tested = with_errors(self._tested, self.num_folds)
            text = with_error(tested[self.metric], tested.get(f"{self.metric}_se", math.nan))
            lines.append(f"  test: {self.metric} {text} (looked at {self.num_tests}x)")
        if self.timing:
            lines.append("  time: " + ", ".join(f"{part} {s:.1f} s" for part, s in self.timing.items()))
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """The summary and the ten best trials, for notebooks."""
        return f"<div><pre>{html.escape(repr(self))}</pre>{tables.as_html(self.table())}</div>"

    def _counts(self) -> str:
        status = statuses(self.history, self.interrupted or self.ended)
        kinds = [one.kind for one in status]
        order = ("finished", "stopped early", "pruned", "diverged", "in training", "interrupted")
        return ", ".join(f"{kinds.count(kind)} {kind}" for kind in order if kind in kinds)
