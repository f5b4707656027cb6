"""What a search hands back: a `History` seen as trials, tables, curves, pictures and text."""

from __future__ import annotations

import html
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from jaxtune.engine.host import Host, deadline, interrupts
from jaxtune.interface.entry import entry, given_back
from jaxtune.interface.habits import Answering, hinted
from jaxtune.interface.warning import warn
from jaxtune.results import tables
from jaxtune.results.averaging.ensembling import Ensembling
from jaxtune.results.chosen import Chosen, check_data
from jaxtune.results.confirming.confirm import Confirm, check_confirm
from jaxtune.results.confirming.confirmation import Confirmation
from jaxtune.results.confirming.confirming import train_again
from jaxtune.results.confirming.keeping import save_confirmation
from jaxtune.results.confirming.rounds import Confirmed, bound
from jaxtune.results.diagnosis.finding import Diagnosis
from jaxtune.results.diagnosis.rules import diagnose
from jaxtune.results.history import with_errors
from jaxtune.results.pictures import Pictures
from jaxtune.results.report.contents import contents
from jaxtune.results.report.report import Report
from jaxtune.results.saving import save_result
from jaxtune.results.text import short, with_error
from jaxtune.results.trial import Trial, statuses
from jaxtune.results.undefined import undefined_runs
from jaxtune.storage import looks
from jaxtune.storage.directory import Directory, Writer


@given_back
@dataclass(eq=False, repr=False, kw_only=True)
class Result(Pictures, Chosen, Ensembling, Answering):
    """What a search found. `result.best` is the winner; every other view is one method away.

    The winner: `best` (a Trial, with `hparams`, `metrics`, `predict`, `variables`, `model`), `test()` on data that
    nothing was selected by, `gap()` between validation and test, `refit()` on all data. Whether it was the luckiest:
    `confirm()`, and `confirmation` after `tune(confirm=)`. Several trials together: `ensemble()`.

    The others: `trials` by id, `ranking` best first, the first `keep_weights` of them with weights, which `ensemble()`
    averages; in text and notebooks the object itself and `table()`.

    As data: `to_dataframe()`, `records()`, `to_csv()` have a row per trial, `curves_dataframe()`, `curves()` the
    metrics over steps, `progress()` the best value so far over what was spent; `history` is all of it as arrays.

    As pictures: `plot_curves()` and `plot_progress()` over steps; of hyperparameters `plot_space()`, `plot_parallel()`,
    `plot_importance()`, `plot_contour()`, `plot_isolation()`; of a population `plot_lineage()`. All on one page, with
    advice: `report()`.

    What to do next: `diagnose()`, what stands out in it, in words.

    For later: `save()` writes files that `jt.load` reads; `pickle` keeps all but the task, which `with_task()` gives
    back; `tune(..., previous=result)` goes on.

    Attributes:
        metric: name of the metric that ranked the trials.
        mode: "min" or "max", which way it is better.
        seed: the seed of the search.
        interrupted: the search was stopped early (Ctrl-C, time_limit or a callback).
        ended: nothing more will happen to this search; False for the results that a callback sees.
        timing: seconds by part: "compile", "run" and "total"; "confirm" too after `tune(confirm=)`.
        num_tests: how often `test()` has looked at the test split, in an earlier search that this one continues too; of
            a run in a folder also in other processes, by the time it was loaded.
        num_folds: of a cross-validation, else None.
        history: the record, as arrays.
        conditions: what another search has to share in order to be comparable.
        sizes: of populations, (slots, width) pairs by option indices of static hyperparameters: programs there are.
        space: what was searched, as plain values (`space_written`); None if that is not known.
        setting: how the search was called and where it ran, as texts and numbers; empty if that is not known.
        confirmed: what `confirmation` is made of.
        weights: trial -> its weights, of those that keep them (see `tune(keep_weights=)`).
    """

    seed: int
    timing: dict[str, float] = field(default_factory=dict)
    num_tests: int = 0
    conditions: dict[str, Any] = field(default_factory=dict)
    sizes: Sequence[tuple[dict[str, int], Sequence[tuple[int, int]]]] = ()
    setting: dict[str, dict[str, Any]] = field(default_factory=dict)
    confirmed: Confirmed | None = None
    _tested: dict[str, np.ndarray] | None = None
    _kept: tuple[Path, ...] = ()  # folders that it is in

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: trials are made again when asked for; the task is left behind, see `with_task`."""
        made = "trials", "ranking", "confirmation"
        return {name: value for name, value in self.__dict__.items() if name not in made}

    @property
    def best(self) -> Trial:
        """The winner, with its trained `state`, `variables` and `model`; the confirmed one after `tune(confirm=)`.

        Raises:
            ValueError: no trial has a finite value, because all diverged or none reports one.
        """
        if self.confirmation is not None:
            return self.confirmation.best
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
        if self.confirmation is not None:
            return self.confirmation.winner
        return self.weights.get(self._order[0])

    def _count_in(self, folder: Path) -> None:
        """Counts looks at the test data in a folder from now on, with those that this has already."""
        self.num_tests += looks.count(folder)
        self._kept += (folder.absolute(),)

    def _count_test(self) -> None:
        self.num_tests += 1
        self._kept = tuple(folder for folder in self._kept if _is_counted(folder))

    @property
    def _seen(self) -> Trial:
        return self.trials[self.best.id]

    def _candidates(self) -> np.ndarray:
        """Values that the best one was picked from: one per healthy trial or, of checkpoints, all evaluations."""
        if self.winner.search.keeps_best:
            values = self.history.mean(self.metric)[:, ~self.history.failed]
        else:
            values = np.array([trial.metrics[self.metric] for trial in self.trials])
        return values[np.isfinite(values)]

    @entry
    def confirm(
        self,
        top: int = 8,
        replicates: int = 5,
        *,
        time_limit: float | None = None,
        directory: str | os.PathLike[str] | None = None,
        progress: bool = True,
    ) -> Confirmation:
        """Train the best few trials again, on seeds that the search never used, and rank them by that alone.

        The best of many noisy values is partly the luckiest one: what the search saw of it is too good, and another
        trial may be better. All candidates share the fresh initial weights, batches and masks, seed by seed, so that
        they are compared in pairs. Seeds go where they decide (a race): whoever is worse than the first by a paired
        test at the 5 % level gets no more, those that can't be told from it get more, within `top * replicates`
        trainings. Trials of population-based training are trained by the schedules that they ended with.

        The programs are those of the search. Tuned with `confirm=`, a result speaks of the confirmed winner from the
        start.

        Args:
            top: How many trials, the best ones of `ranking`.
            replicates: Seeds per trial that the budget allows, rounded up to a multiple of the search's.
            time_limit: Seconds after which it ends with the seeds that are done by then; with a folder, at least one
                more than before.
            directory: A folder that keeps seeds that are done; the same call again goes on from there.
            progress: Whether to show a progress bar.

        Returns:
            The ranking with means, standard errors, and paired differences to the first with intervals; whether the
            first is better beyond chance; and the winner with its weights.

        Raises:
            ValueError: There is no best trial, its search is not at hand, or a number is below 1 or above what there
                are.

        Source: Maron and Moore, The racing algorithm: model selection for lazy learners, Artificial Intelligence Review
            11, 1997; Hutter et al., Sequential model-based optimization for general algorithm configuration, LION 2011;
            Tukey's intervals for all pairs: Kramer, Extension of multiple range tests to group means with unequal
            numbers of replications, Biometrics 12, 1956.

        Example:
            >>> import flax.linen as nn, numpy as np, optax
            >>> import jaxtune as jt
            >>> x = np.linspace(-1, 1, 64, dtype=np.float32)[:, None]
            >>> task = jt.supervised(
            ...     nn.Dense(1), optimizer=lambda hp: optax.sgd(hp["lr"]), loss=optax.squared_error,
            ...     train=(x, 3 * x), validation=(x, 3 * x), batch_size=16,
            ... )
            >>> result = jt.tune(task, {"lr": jt.LogUniform(1e-4, 0.5)}, scheduler=jt.FullBudget(8, 50), progress=False)
            >>> confirmation = result.confirm(top=3, replicates=2, progress=False)
            >>> confirmation.ranking[0] == confirmation.best.id, len(confirmation.records())
            (True, 3)
        """
        check_data(self._searched("confirm()").task)
        if directory is not None and not Directory(directory).is_free:
            raise ValueError(f"directory={str(directory)!r} holds a run: name a folder of the confirmation's own.")
        confirm = Confirm(top, replicates)
        check_confirm(confirm, len(self.trials))
        host = Host(deadline(time_limit))
        with interrupts(host):
            search = self.weights[self._order[0]].search
            return Confirmation(self, train_again(self, search, confirm, host, progress, directory))

    @property
    def _best_id(self) -> int | None:
        return super()._best_id if self.confirmation is None else self.confirmation.best.id

    @cached_property
    def confirmation(self) -> Confirmation | None:
        """How the best trials did on fresh seeds, after `tune(confirm=)`; else None."""
        return None if self.confirmed is None else Confirmation(self, self.confirmed)

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
        weights = {trial: kept.bound(task, space, self) for trial, kept in self.weights.items()}
        return replace(self, weights=weights, confirmed=bound(self.confirmed, task, space, self))

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
            save_result(replace(self, confirmed=None), folder.path)
            if self.confirmed is not None:
                save_confirmation(self, self.confirmed, folder.path)
            self._count_in(folder.path)

    @hinted
    def report(self, path: str | os.PathLike[str] | None = None) -> Report:
        """The search on one page: what was found, what to do next, all trials, and pictures that are linked.

        In a notebook the report shows itself. The page needs the extra `report` (Bokeh); its `contents`, plain values
        for programs, do not. It asks for nothing: neither a network nor a server.

        Args:
            path: A file of HTML to write; None for none.

        Returns:
            A `Report`, with `contents`, `html`, `write(path)` and `write_json(path)`.

        Raises:
            ImportError: A page is asked for, and Bokeh is not installed.
            OSError: The file can't be written.

        Example:
            >>> import jax.numpy as jnp
            >>> import jaxtune as jt
            >>> task = jt.Task(
            ...     init=lambda key, hp: jnp.float32(1.0),
            ...     step=lambda key, x, batch, hp: (x - hp["lr"] * x, {}),
            ...     evaluate=lambda key, x, data, hp: {"loss": x**2},
            ... )
            >>> scheduler = jt.FullBudget(8, 10)
            >>> result = jt.tune(task, {"lr": jt.LogUniform(1e-3, 1.0)}, scheduler=scheduler, progress=False)
            >>> report = result.report()
            >>> report.contents["search"]["trials"], len(report.contents["trials"]["id"])
            (8, 8)
        """
        made = Report(contents(self))
        return made if path is None else made.write(path)

    def diagnose(self) -> Diagnosis:
        """What stands out in this search and what to do next, by a table of rules: docs/diagnosis.md has it.

        Best values at an end of their range, curves still falling or long flat, trials that diverged or hardly began to
        learn, over- and underfitting, a winner that can't be told from the second, rungs that mislead, too few trials
        or too many. A rule that lacks its facts, such as training metrics, is silent.

        Returns:
            A sequence of findings, the most important first, each with a `sentence`, an `advice`, its `source`, and
            the trials and the hyperparameter that it is about. It prints as text.

        Example:
            >>> import jax.numpy as jnp
            >>> import jaxtune as jt
            >>> task = jt.Task(
            ...     init=lambda key, hp: jnp.float32(1.0),
            ...     step=lambda key, x, batch, hp: (x - hp["lr"] * x, {}),
            ...     evaluate=lambda key, x, data, hp: {"loss": x**2},
            ... )
            >>> space = {"lr": jt.LogUniform(1e-4, 1e-2)}
            >>> result = jt.tune(task, space, scheduler=jt.FullBudget(16, 10), progress=False)
            >>> first = result.diagnose()[0]
            >>> first.rule, first.hyperparameter
            ('edge', 'lr')
        """
        return diagnose(self)

    # As text

    def __repr__(self) -> str:
        lines = [f"Result: {len(self.trials)} trials, {self._counts()}"]
        if self.interrupted:
            lines.append("  interrupted: the search was stopped before its end")
        if self._best_id is not None:
            best = self.best
            value = with_error(best.metrics[self.metric], best.standard_error[self.metric])
            when = f"after {best.steps} steps" if best.best_step == best.steps else f"at step {best.best_step}"
            fresh = f", {self._on_fresh_seeds()}" if self._is_confirmed else ""
            lines.append(f"  best: trial {best.id}, {self.metric} {value} ({self.mode}) {when}{fresh}")
            lines.append("    " + ", ".join(f"{name}={short(v)}" for name, v in best.hparams.items()))
        else:
            lines.append(f"  best: none, no trial has a finite {self.metric}")
        if self.confirmation is not None and not self._is_confirmed:
            lines.append(f"  not confirmed: {self.confirmation.verdict}")
        if self._tested is not None:
            tested = with_errors(self._tested, self.num_folds)
            text = with_error(tested[self.metric], tested.get(f"{self.metric}_se", math.nan))
            lines.append(f"  test: {self.metric} {text} (looked at {self.num_tests}x)")
        elif self.num_tests:
            lines.append(f"  test: looked at {self.num_tests}x")
        if self.timing:
            lines.append("  time: " + ", ".join(f"{part} {s:.1f} s" for part, s in self.timing.items()))
        return "\n".join(lines)

    @property
    def _is_confirmed(self) -> bool:
        return self.confirmation is not None and self.confirmation.has_winner

    def _on_fresh_seeds(self) -> str:
        return f"on fresh seeds; the search saw {short(self._seen.metrics[self.metric], 4)}"

    def _repr_html_(self) -> str:
        """The summary and the ten best trials, for notebooks."""
        return f"<div><pre>{html.escape(repr(self))}</pre>{tables.as_html(self.table())}</div>"

    def _counts(self) -> str:
        status = statuses(self.history, self.interrupted or self.ended)
        kinds = [one.kind for one in status]
        order = ("finished", "stopped early", "pruned", "diverged", "in training", "interrupted")
        return ", ".join(f"{kinds.count(kind)} {kind}" for kind in order if kind in kinds)


def _is_counted(folder: Path) -> bool:
    """Counts a look at the test data in a folder, if that can be."""
    try:
        looks.add(folder)
    except (OSError, ValueError) as error:
        warn(f"This look at the test data is not counted in {folder}, which can't be written to: {error}")
        return False
    return True
