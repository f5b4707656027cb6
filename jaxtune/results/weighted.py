"""Trained weights as users see them, of a trial or of a training on all data."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import jax

from jaxtune.interface.entry import entry


class Weighted:
    """What has trained weights, or had them: `states` with leaves [R, ...], or None."""

    hparams: dict[str, Any]
    states: Any
    _trained: Any  # a Trained, or what a pickle left of it

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
