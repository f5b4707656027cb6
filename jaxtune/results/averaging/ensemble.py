"""Several trials that predict together."""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from jaxtune.interface.entry import entry, given_back
from jaxtune.results import tables
from jaxtune.results.averaging.averages import Combine
from jaxtune.results.history import with_errors
from jaxtune.results.text import short
from jaxtune.results.trained import without_task
from jaxtune.results.trial import Trial
from jaxtune.tasks.combining import are_floats


@given_back
@dataclass(frozen=True, eq=False, repr=False)
class Ensemble:
    """What `Result.ensemble` returns: trials whose weighted mean of outputs is the prediction.

    `predict(x)` takes raw inputs as that of a trial does; `test()` evaluates the test split, and counts.

    Attributes:
        members: (trial, weight) pairs, the heaviest first; weights are positive and add up to 1.
        metrics: name -> value on the validation data, of the averaged outputs; the mean over folds of a
            cross-validation. They were selected by and are optimistic, more so the more trials there were to select
            from and the fewer validation examples; without the loss where that asks for hyperparameters.
        best: the single trial with the best value on the validation data, its replicates averaged as `predict` does.
        best_metrics: its metrics, of averaged replicates as well.
        beats_best: whether the ensemble has the better value of the search's metric on the validation data.
        metric: name of the metric that selected.
        mode: "min" or "max", which way it is better.
        num_folds: of a cross-validation, else None.
    """

    members: list[tuple[Trial, float]]
    metrics: dict[str, float]
    best: Trial
    best_metrics: dict[str, float]
    beats_best: bool
    metric: str
    mode: str
    num_folds: int | None
    _combine: Combine = field(default_factory=lambda: Combine(None, None))
    _test: Callable[[], dict[str, np.ndarray]] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: the fields, without the user's functions."""
        kept = {one.name: getattr(self, one.name) for one in fields(self)}
        return kept | {"_combine": Combine(None, None), "_test": None}

    @property
    def weights(self) -> np.ndarray:
        """Float [M]: the weights of `members`, in their order."""
        return np.array([weight for _, weight in self.members])

    @entry
    def predict(self, inputs: Any, *, combine: Any = None) -> Any:
        """What the trials say together of new examples: from raw inputs to outputs in the unit of the targets.

        The mean over replicates and folds of each trial, as `Trial.predict` has it, and then over trials by weight.

        Args:
            inputs: Pytree of arrays [N, ...], as the inputs of `train`; no targets.
            combine: See `Trial.predict`; None for what the ensemble was selected with.

        Returns:
            Pytree of numpy arrays [N, ...].

        Raises:
            ValueError: Inputs are not like those of train, or the task is not at hand (of a pickle).
            TypeError: What is to be averaged are no floats, or `combine` is nothing that `Trial.predict` takes.

        Example:
            >>> import flax.linen as nn, numpy as np, optax
            >>> import jaxtune as jt
            >>> x = np.linspace(-1, 1, 64, dtype=np.float32)[:, None]
            >>> task = jt.supervised(
            ...     nn.Sequential([nn.Dense(8), nn.tanh, nn.Dense(1)]), optimizer=lambda hp: optax.adam(hp["lr"]),
            ...     loss=optax.squared_error, batch_size=16, train=(x[::2], x[::2] ** 2),
            ...     validation=(x[1::2], x[1::2] ** 2),
            ... )
            >>> space, scheduler = {"lr": jt.LogUniform(1e-3, 0.1)}, jt.FullBudget(8, 50)
            >>> result = jt.tune(task, space, scheduler=scheduler, keep_weights=6, progress=False)
            >>> result.ensemble(size=3).predict(np.array([[0.5], [0.0]], np.float32)).shape
            (2, 1)
        """
        ways = self._combine if combine is None else Combine.of(combine)
        results = [trial.predict(inputs, combine=ways.there) for trial, _ in self.members]
        if not are_floats(results[0]):
            raise TypeError("predict() averages over trials, which needs floats: give it a combine=.")
        return ways.average(results, self.weights)

    @entry
    def test(self) -> dict[str, float]:
        """Evaluate the ensemble on the test split, which selection never saw. Calls count in `num_tests` of the result.

        Returns:
            Each metric of the averaged outputs under its name. After a cross-validation the models of each fold are
            averaged by themselves, as they were when they were selected: the mean over folds, and its standard error
            under `<name>_se`.

        Raises:
            ValueError: The task has no test data, or is not at hand (of a pickle).
        """
        if self._test is None:
            raise without_task("test()")
        return with_errors(self._test(), self.num_folds)

    def __repr__(self) -> str:
        name, count = self.metric, len(self.members)
        trials = "1 trial" if count == 1 else f"{count} trials"
        mine, theirs = (short(one[name], 4) for one in (self.metrics, self.best_metrics))
        each = ", ".join(f"trial {trial.id} ({short(float(weight), 2)})" for trial, weight in self.members)
        lines = [
            f"Ensemble of {trials}: validation {name} {mine}, the best single one (trial {self.best.id}) {theirs} "
            f"({self.mode})",
            f"  {each}",
        ]
        if not self.beats_best:
            lines.append(f"  It does not beat the best single trial: trial {self.best.id} alone is as good, or better.")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """The summary and a table of the trials, for notebooks."""
        rows = [
            {"trial": str(trial.id), "weight": short(float(weight), 3)}
            | {self.metric: short(trial.metrics[self.metric], 4)}
            for trial, weight in self.members
        ]
        return f"<div><pre>{html.escape(repr(self))}</pre>{tables.as_html(rows)}</div>"
