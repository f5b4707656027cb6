"""Trained weights as users see them, of a trial or of a training on all data but the test split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

import jax
import numpy as np

from jaxtune.interface.entry import entry, given_back
from jaxtune.results.averaging.averages import both_ways, of_replicates, with_averages
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
    def predict(self, inputs: Any, *, replicate: int | None = None, combine: Any = None) -> Any:
        """What the trained model says of new examples: from raw inputs to outputs in the unit of the targets.

        In evaluation mode, preprocessed as in training, in batches of the task's size. Of several replicates and folds
        the mean of the outputs is taken, each one's with the preprocessing statistics of its own training part.

        Args:
            inputs: Pytree of arrays [N, ...], as the inputs of `train`; no targets.
            replicate: Number of one seed, from 0; None for the mean over all.
            combine: What is to be averaged instead: a function of outputs [N, ...], such as `jax.nn.softmax` for mean
                probabilities; or a pair, that function and the one that makes outputs of the mean again, such as
                `(jax.nn.softmax, jnp.log)` for logits of the mean probabilities. The mean of logits themselves is a
                normalized geometric mean of probabilities.

        Returns:
            Pytree of numpy arrays [N, ...].

        Raises:
            ValueError: There are no weights, the task is none of `supervised`, or inputs are not like those of
                train.
            TypeError: Outputs that are no floats can't be averaged, or `combine` is nothing of this kind.

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
    def test(self, *, combine: Any = None) -> dict[str, float]:
        """Evaluate on the test split; counts in `num_tests` of the result.

        With several replicates also as `predict` averages them, which is as a rule better than one of them is: the mean
        of their outputs has metrics of its own. The loss sees the mean of the outputs that it is computed on in
        training, metrics see the mean of those in the unit of the original targets.

        Args:
            combine: What is averaged instead of outputs: a pair of functions, from outputs to that and back, as
                `predict` takes it, such as `(jax.nn.softmax, jnp.log)`. They are compiled, batch by batch.

        Returns:
            The mean over replicates under each metric's name and, with several, its standard error under `<name>_se`
            and the metric of the average under `<name>_of_average`; that is missing where the task is none of
            `supervised`, or where outputs are no floats and no `combine` makes them so. Where a metric has such a name
            itself, it is `error_<name>_se` and `average_<name>_of_average`.

        Raises:
            ValueError: The task has no test data.
            TypeError: `combine` is no pair of functions, or makes nothing of the outputs that can be averaged.

        Example:
            >>> import flax.linen as nn, numpy as np, optax
            >>> import jaxtune as jt
            >>> x = np.linspace(-1, 1, 64, dtype=np.float32)[:, None]
            >>> task = jt.supervised(
            ...     nn.Sequential([nn.Dense(8), nn.tanh, nn.Dense(1)]), optimizer=lambda hp: optax.adam(hp["lr"]),
            ...     loss=optax.squared_error, batch_size=16, train=(x[::3], x[::3] ** 2),
            ...     validation=(x[1::3], x[1::3] ** 2), test=(x[2::3], x[2::3] ** 2),
            ... )
            >>> space = {"lr": jt.LogUniform(1e-3, 0.1)}
            >>> result = jt.tune(task, space, scheduler=jt.FullBudget(4, 50), progress=False)
            >>> tested = result.refit(replicates=3).test()
            >>> tested["loss_of_average"] < tested["loss"]
            True
        """
        if self._test is None:
            raise without_task("test()")
        ways = both_ways("test()", combine)
        tested = self._test()
        if self.replicates == 1:
            return with_errors(tested)
        averages = of_replicates(self._trained, self._trained.task.test, ways)
        return with_averages(with_errors(tested), tested, averages)
