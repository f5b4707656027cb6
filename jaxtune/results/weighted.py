"""Trained weights as users see them, of a trial or of a training on all data but the test split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

import jax
import numpy as np

from jaxtune.interface.entry import entry, given_back
from jaxtune.results.history import with_errors
from jaxtune.results.trained import without_task
from jaxtune.spaces.values import portable


class Weighted:
    """What has trained weights, or had them: `states` with leaves [R, ...], or None."""

    hparams: dict[str, Any]
    states: Any
    _trained: Any  # a Trained, or what a pickle left of it

    def __getstate__(self: Any) -> dict[str, Any]:
        """What is pickled: the fields, without the user's functions."""
        kept = {one.name: getattr(self, one.name) for one in fields(self) if one.name not in ("states", "_test")}
        return kept | {"hparams": portable([self.hparams])[0]}

    def __setstate__(self, state: dict[str, Any]) -> None:
        trained = state["_trained"]
        self.__dict__.update(state, states=None if trained is None else trained.states)

    @cached_property
    def state(self) -> Any:
        """The trained state of replicate 0; None without weights."""
        return None if self.states is None else jax.tree.map(lambda leaf: leaf[0], self.states)

    @cached_property
    def variables(self) -> Any:
        """The trained weights of replicate 0; None without weights, or where the task names none."""
        return None if self._trained is None else self._trained.variables

    @cached_property
    def model(self) -> Any:
        """The model of replicate 0; None without weights, or where the task has none.

        It takes inputs as preprocessing leaves them, and has to be told of evaluation mode: `predict` sees to all that.
        """
        return None if self._trained is None else self._trained.model(self.hparams)

    @entry
    def predict(self, inputs: Any, *, replicate: int | None = None, combine: Callable[[Any], Any] | None = None) -> Any:
        """What the trained model says of new examples: from raw inputs to outputs in the unit of the targets.

        In evaluation mode, preprocessed as in training, in batches of the task's size. Of several replicates and folds
        the mean of the outputs is taken, each one's with the preprocessing statistics of its own training part.

        Args:
            inputs: Pytree of arrays [N, ...], as the inputs of `train`; no targets.
            replicate: Number of one seed, from 0; None for the mean over all.
            combine: From outputs [N, ...] to what is to be averaged instead, such as `jax.nn.softmax` of logits.

        Returns:
            Pytree of numpy arrays [N, ...].

        Raises:
            ValueError: There are no weights, the task is none of `supervised`, or inputs are not like those of
                train.
            TypeError: Outputs that are no floats can't be averaged.

        Example:
            >>> import flax.linen as nn, numpy as np, optax
            >>> import jaxtune as jt
            >>> x = np.linspace(-1, 1, 64, dtype=np.float32)[:, None]
            >>> task = jt.supervised(
            ...     nn.Dense(1), optimizer=lambda hp: optax.sgd(hp["lr"]), loss=optax.squared_error, batch_size=16,
            ...     train=(x, 40 * x), validation=(x, 40 * x), preprocess=jt.standardize(targets=True),
            ... )
            >>> best = jt.tune(task, {"lr": jt.Uniform(0.1, 0.5)}, scheduler=jt.FullBudget(4, 100), progress=False).best
            >>> best.predict(np.array([[0.5]], np.float32)).round().tolist()
            [[20.0]]
        """
        if self._trained is None:
            raise self._no_weights()
        return self._trained.predict(inputs, replicate, combine)

    def _no_weights(self) -> ValueError:
        return ValueError("There are no weights here.")


@given_back
@dataclass(frozen=True, eq=False)
class Refit(Weighted):
    """What `Result.refit` returns.

    Attributes:
        hparams: Hyperparameters by name.
        steps: Steps trained.
        replicates: Number of seeds, R.
        interrupted: Whether time was up before the training was over.
        states: Trained states, leaves [R, ...].
    """

    hparams: dict[str, Any]
    steps: int
    replicates: int
    interrupted: bool
    states: Any = field(repr=False)
    _trained: Any = field(repr=False)
    _test: Callable[[], dict[str, np.ndarray]] | None = field(default=None, repr=False)

    @entry
    def test(self) -> dict[str, float]:
        """Evaluate on the test split; counts in `num_tests` of the result.

        Returns:
            The mean over replicates under each metric's name and, with several, its standard error under `<name>_se`.

        Raises:
            ValueError: The task has no test data.
        """
        if self._test is None:
            raise without_task("test()")
        return with_errors(self._test())
