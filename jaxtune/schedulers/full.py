"""Every trial is trained to the end."""

from dataclasses import dataclass

from jaxtune.interface.counts import set_counts
from jaxtune.interface.habits import hinted
from jaxtune.schedulers.plan import Plan, Row


@hinted
@dataclass(frozen=True)
class FullBudget:
    """Trains every trial for the same number of steps; nothing is pruned.

    With `Random()` this is random search, with `Grid()` grid search. There is one evaluation, at the end,
    unless `tune(evaluate_every=...)` asks for more.

    Args:
        trials: Number of configurations, at least 1.
        steps: Training steps of each, at least 1.

    Raises:
        ValueError: A number is not whole or below 1.

    Example:
        >>> import jaxtune as jt
        >>> jt.FullBudget(trials=64, steps=1000).plan().trial_steps
        64000
    """

    trials: int
    steps: int

    def __post_init__(self) -> None:
        set_counts(self, "trials", "steps")

    def plan(self) -> Plan:
        """The table of evaluations."""
        return Plan(brackets=(self.trials,), rows=(Row(self.steps, keep=(self.trials,)),))
