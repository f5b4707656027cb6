"""What an `evaluate` function may know of itself besides the metrics that it returns."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from jaxtune.tasks.combining import Both


class Evaluation:
    """An `evaluate` function that can be asked about its metrics and its model; this one knows nothing.

    `supervised` makes tasks whose `evaluate` derives from it. Of any other function nothing is known.

    Attributes:
        has_model: Whether a state holds a model that has outputs, variables and a module.
        loss_takes_hp: Whether the loss asks for hyperparameters, so that its values can't be compared between trials.
    """

    has_model: bool = False

    @property
    def loss_takes_hp(self) -> bool:
        """See above."""
        return False

    def mode_of(self, name: str) -> str | None:
        """Which way the loss or a metric is better, "min" or "max", where that is known."""
        return "min" if name == "loss" else None

    def range_of(self, name: str) -> tuple[float, float]:
        """The range in which a metric lies, whatever the model."""
        return -math.inf, math.inf

    def check_data(self, task: Any, hp: dict[str, Any]) -> None:
        """Refuses data that no training can use, before anything compiles; `hp` are Python values."""

    def undefined_metrics(self, train: Any, parts: Mapping[str, Any], hp: dict) -> Iterable[tuple[str, str]]:
        """(metric, part) pairs: metrics that are NaN on some parts of the data, whatever the model."""
        return ()

    def outputs_of(self, key: Any, state: Any, pair: Any, *, hp: dict, step: Any, total_steps: Any, stats: Any) -> Any:
        """Outputs for some examples in evaluation mode, in the unit of the original targets."""
        raise NotImplementedError

    def seen_outputs_of(
        self, key: Any, state: Any, pair: Any, *, hp: dict, step: Any, total_steps: Any, stats: Any
    ) -> tuple[Any, Any]:
        """Outputs for some examples as the loss sees them, and as metrics do; None for the latter if they are equal."""
        raise NotImplementedError

    def of_outputs(self, outputs: tuple[Any, Any], data: Any, *, step: Any, total_steps: Any, stats: Any) -> dict:
        """Metrics of given outputs, computed as those of a model are.

        Args:
            outputs: As `seen_outputs_of` gives them, pytrees of arrays [N, ...].
            data: Pair (inputs, targets), as in the task.
            step: Of a loss that asks for it.
            total_steps: Likewise.
            stats: What `Task.prepare` returned.

        Returns:
            Name -> scalar; without the loss where that asks for hyperparameters, which outputs have none of.
        """
        raise NotImplementedError

    def of_average(
        self,
        keys: Any,
        states: Any,
        data: Any,
        *,
        combine: Both | None,
        hp: dict,
        step: Any,
        total_steps: Any,
        stats: Any,
    ) -> dict:
        """Metrics of the outputs of several models, averaged batch by batch, computed as those of one are.

        Args:
            keys: [R], one for each model.
            states: Leaves [R, ...].
            data: As `evaluate` takes them.
            combine: From outputs to what is averaged, and back; None for the outputs themselves.
            hp: Hyperparameters, of all of them.
            step: As `evaluate` takes it.
            total_steps: Likewise.
            stats: Likewise, equal for all of them.

        Returns:
            Name -> scalar; nothing where outputs are no floats and no `combine` makes them so.

        Raises:
            TypeError: What `combine` makes of them are no floats, or it gives back something unlike outputs.
        """
        raise NotImplementedError

    def variables_of(self, state: Any) -> Any:
        """The variables of a state, as the module takes them; None where there is no model."""
        return None

    def model_of(self, state: Any, hparams: dict[str, Any]) -> Any:
        """The module at the end of a training; None where there is no model."""
        return None


UNKNOWN = Evaluation()
