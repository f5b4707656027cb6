"""Batch sizes against budget: how many updates a trial makes in so many steps of the scheduler.

A scheduler counts steps of the task's batch size, that is examples, so that a decision compares trials that have seen
equally many of them.
"""

import math
from typing import Any, NamedTuple

from jaxtune.schedulers.plan import Plan, burst_within


class Pace(NamedTuple):
    """The relation of a group's updates to the scheduler's steps."""

    base: int  # examples in a step of the scheduler
    size: int  # examples in an update of the group

    def updates(self, steps: int) -> int:
        """Updates in so many steps, rounded up."""
        return -(-steps * self.base // self.size)

    def steps(self, updates: float) -> float:
        """Steps in so many updates; may be a fraction."""
        return updates * self.size / self.base

    def whole_steps(self, xp: Any, updates: Any) -> Any:
        """Steps in counts of updates, rounded down; -1 stays. `xp` is `numpy` or `jax.numpy`."""
        return xp.where(updates < 0, -1, updates * self.size // self.base)

    def burst(self, plan: Plan) -> int:
        """Updates that are always made together, a static size of the compiled program.

        Where updates don't come out even it leaves a remainder, made by a second program one by one.
        """
        if self.base == self.size:
            return plan.burst
        multiple = plan.multiple or math.gcd(*(row.stop for row in plan.rows))
        updates = self.updates(multiple)
        return min(100, updates) if multiple * self.base % self.size else burst_within(updates)

    def lands_on(self, steps: float, burst: int) -> bool:
        """Whether whole bursts of updates make exactly so many steps."""
        return (steps * self.base / self.size / burst).is_integer()
