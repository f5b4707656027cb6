"""The best configuration trained again, on all data but the test split."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jaxtune.interface.entry import entry
from jaxtune.interface.signatures import given_back
from jaxtune.results.trained import without_task
from jaxtune.results.trial import with_errors
from jaxtune.results.weighted import Weighted
from jaxtune.spaces.values import portable


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
    _test: Callable[[], dict[str, np.ndarray]] | None = field(repr=False)

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: arrays, without the task."""
        kept = {name: getattr(self, name) for name in ("steps", "replicates", "interrupted", "_trained")}
        return {"hparams": portable([self.hparams])[0], **kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, states=state["_trained"].states, _test=None)

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
