"""The best configuration trained again, on all data but the test split."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import jax
import numpy as np

from jaxtune.trial import with_errors


@dataclass(frozen=True, eq=False)
class Refit:
    """What `Result.refit` returns.

    Attributes:
        hparams: Hyperparameters by name.
        steps: Steps trained.
        replicates: Number of seeds, R.
        states: Trained states, leaves [R, ...].
    """

    hparams: dict[str, Any]
    steps: int
    replicates: int
    states: Any = field(repr=False)
    _variables_of: Callable | None = field(repr=False)
    _model_of: Callable | None = field(repr=False)
    _test: Callable[[], dict[str, np.ndarray]] = field(repr=False)

    @cached_property
    def state(self) -> Any:
        """The trained state of replicate 0."""
        return jax.tree.map(lambda x: x[0], self.states)

    @cached_property
    def variables(self) -> Any:
        """The trained weights of replicate 0; None unless the task names them."""
        return None if self._variables_of is None else self._variables_of(self.state)

    @cached_property
    def model(self) -> Any:
        """The model of replicate 0, ready for prediction; None unless the task has one."""
        return None if self._model_of is None else self._model_of(self.state, self.hparams)

    def test(self) -> dict[str, float]:
        """Evaluate on the test split; counts in `num_tests` of the result.

        Returns:
            The mean over replicates under each metric's name and, with several, its standard error under `<name>_se`.

        Raises:
            ValueError: The task has no test data.
        """
        return with_errors(self._test())
