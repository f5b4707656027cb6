"""Hyperband.

Li et al., 2018, "Hyperband: a novel bandit-based approach to hyperparameter optimization", JMLR.
"""

import itertools
import math
from dataclasses import dataclass

from jaxtune.interface.habits import hinted
from jaxtune.schedulers.plan import Plan, Row, check_ladder, round_to


@hinted
@dataclass(frozen=True)
class Hyperband:
    """Several successive halvings with different first rungs, hedging against curves that cross late.

    The brackets of the paper run side by side in one population: each ranks its own trials when the common
    step counter reaches one of its rungs. The whole search lasts as long as one full training.

    The number of trials follows from the rungs, as in the paper: with `s_max = floor(log(max_steps / min_steps, eta))`
    there are brackets s = 0 ... s_max of `ceil((s_max + 1) / (s + 1) * eta**s)` trials each, so that all of them spend
    about as much. More trials come with a smaller `min_steps`, a larger `max_steps` or another `eta`; still more of the
    same kind with a second search, `tune(..., previous=result)`; and any number with `SuccessiveHalving`, which is the
    most aggressive bracket alone.

    Args:
        min_steps: Steps before the first decision of the most aggressive bracket, at least 1.
        max_steps: Steps of a full training, at least `min_steps`; rungs are `max_steps / eta**k`, rounded to
            multiples of `min_steps`.
        eta: Reduction factor, at least 2.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> import jaxtune as jt
        >>> jt.Hyperband(min_steps=1, max_steps=81).plan().brackets
        (81, 34, 15, 8, 5)
    """

    min_steps: int
    max_steps: int
    eta: float = 3

    def __post_init__(self) -> None:
        check_ladder(self)

    def plan(self) -> Plan:
        """The table of evaluations and decisions of all brackets."""
        ratio = self.max_steps / self.min_steps
        s_max = int(math.log(ratio, self.eta) + 1e-9)  # log(243, 3) is 4.999...
        sizes = [math.ceil((s_max + 1) / (s + 1) * self.eta**s) for s in range(s_max, -1, -1)]
        alive = list(sizes)
        keep: dict[int, tuple[int, ...]] = {}
        for rung in range(s_max, -1, -1):  # the rung at max_steps / eta**rung
            for index, s in enumerate(range(s_max, -1, -1)):
                if s >= rung > 0:  # this bracket has begun to decide
                    alive[index] = max(1, int(sizes[index] * self.eta ** -(s - rung + 1) + 1e-9))
            # Of the rungs that rounding puts on the same step the last one counts.
            keep[round_to(self.max_steps / self.eta**rung, self.min_steps)] = tuple(alive)
        return Plan(tuple(sizes), tuple(itertools.starmap(Row, keep.items())), multiple=self.min_steps)
