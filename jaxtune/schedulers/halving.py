"""Successive halving (Jamieson and Talwalkar, 2016, "Non-stochastic best arm identification")."""

from dataclasses import dataclass

from jaxtune.interface.counts import set_counts
from jaxtune.interface.habits import hinted
from jaxtune.schedulers.plan import Plan, Row, check_ladder, round_to


@hinted
@dataclass(frozen=True)
class SuccessiveHalving:
    """Starts many trials, and at each rung lets the best `1/eta` of them go on.

    Rungs lie at `min_steps * eta**k` below `max_steps`, and at `max_steps`, all rounded to multiples of
    `min_steps`; `trials / eta**k` (rounded down, at least one) trials pass the k-th. Survivors keep their
    weights.

    Args:
        trials: Number of configurations at the start, at least 1.
        min_steps: Steps before the first decision, at least 1.
        max_steps: Steps that the last survivors get in all, at least `min_steps`; a warning tells what becomes of a
            number that is no multiple of it.
        eta: Reduction factor, at least 2.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> import jaxtune as jt
        >>> [(row.stop, row.keep) for row in jt.SuccessiveHalving(512, 50, 3200, eta=4).plan().rows]
        [(50, (128,)), (200, (32,)), (800, (8,)), (3200, (8,))]
    """

    trials: int
    min_steps: int
    max_steps: int
    eta: float = 3

    def __post_init__(self) -> None:
        set_counts(self, "trials")
        check_ladder(self)

    def plan(self) -> Plan:
        """The table of evaluations and decisions."""
        last = round_to(self.max_steps, self.min_steps)
        stops: list[int] = []
        while (stop := round_to(self.min_steps * self.eta ** len(stops), self.min_steps)) < last:
            stops.append(stop)
        keep = [max(1, int(self.trials / self.eta ** (k + 1))) for k in range(len(stops))]
        rows = [Row(stop, (n,)) for stop, n in zip(stops, keep, strict=True)]
        rows.append(Row(last, keep=(keep[-1] if keep else self.trials,)))
        return Plan(brackets=(self.trials,), rows=tuple(rows), multiple=self.min_steps)
