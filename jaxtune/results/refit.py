"""The best configuration trained again, on all data but the test split."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import jax
import numpy as np

from jaxtune.interface.entry import entry
from jaxtune.interface.signatures import given_back
from jaxtune.results.trained import without_task
from jaxtune.results.trial import with_errors
from jaxtune.spaces.values import portable


@given_back
@dataclass(frozen=True, eq=False)
class Refit:
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
    _test: Callable[[], dict[str, np.ndarray]] | None = field(repr=False)

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: arrays, without the task."""
        kept = {name: getattr(self, name) for name in ("steps", "replicates", "interrupted", "_trained")}
        return {"hparams": portable([self.hparams])[0], **kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, states=state["_trained"].states, _test=None)

    @cached_property
    def state(self) -> Any:
        """The trained state of replicate 0."""
        return jax.tree.map(lambda x: x[0], self.states)

    @cached_property
    def variables(self) -> Any:
        """The trained weights of replicate 0; None unless the task names them."""
        return self._trained.variables

    @cached_property
    def model(self) -> Any:
        """The model of replicate 0; None unless the task has one."""
        return self._trained.model(self.hparams)

    @entry
    def predict(self, inputs: Any, *, replicate: int | None = None, combine: Callable[[Any], Any] | None = None) -> Any:
        """What the trained models say of new examples; as `Trial.predict`.

        Args:
            inputs: Pytree of arrays [N, ...], as the inputs of `train`; no targets.
            replicate: Number of one seed, from 0; None for the mean over all.
            combine: From outputs [N, ...] to what is to be averaged instead.

        Returns:
            Pytree of numpy arrays [N, ...].
        """
        return self._trained.predict(inputs, replicate, combine)

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
