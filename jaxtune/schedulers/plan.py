"""A plan: the table of evaluations and decisions that a scheduler writes before anything runs.

Plans are plain Python values. The engine reads them row by row; it knows no scheduler.
"""

import math
import numbers
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

from jaxtune.interface.counts import plain, set_counts
from jaxtune.interface.warning import warn


class Row(NamedTuple):
    """One evaluation of the population, and what is decided there."""

    stop: int  # step count at which the population is evaluated
    keep: tuple[int, ...] | None = None  # per bracket: trials that go on; None: nothing is decided (a curve point)


@dataclass(frozen=True)
class Exploit:
    """Truncation selection of population-based training; happens at every deciding row but the last.

    Attributes:
        quantile: Share of each bracket, in (0, 0.5], that copies weights, and share that is copied from.
        resample_probability: Chance, in [0, 1], that a copied hyperparameter is drawn anew.
        perturbation: Size of the other moves, in the unit cube, in (0, 0.5].
    """

    quantile: float
    resample_probability: float
    perturbation: float


@dataclass(frozen=True)
class Plan:
    """What a scheduler asks for.

    Attributes:
        brackets: Number of trials in each bracket; trials are numbered bracket by bracket.
        rows: Evaluations in the order of their step counts; the last one ends the search.
        exploit: Given for population-based training only.
        multiple: A divisor of every stop that stays when the schedule gets longer, so that programs do too; by
            default the greatest common divisor of the stops.
    """

    brackets: tuple[int, ...]
    rows: tuple[Row, ...]
    exploit: Exploit | None = None
    multiple: int | None = None

    @property
    def trials(self) -> int:
        """Number of trials over all brackets."""
        return sum(self.brackets)

    @property
    def steps(self) -> int:
        """The step count at which the search ends: what an optimizer receives as `total_steps`."""
        return self.rows[-1].stop

    @property
    def bracket_of(self) -> tuple[int, ...]:
        """The bracket of each trial."""
        return tuple(b for b, size in enumerate(self.brackets) for _ in range(size))

    @property
    def population(self) -> tuple[int, ...]:
        """Trials in training on the way to each row."""
        sizes, alive = [], self.brackets
        for row in self.rows:
            sizes.append(sum(alive))
            alive = alive if row.keep is None else row.keep
        return tuple(sizes)

    @property
    def trial_steps(self) -> int:
        """Steps over all trials: the budget that the plan spends for one replicate."""
        starts = (0, *(row.stop for row in self.rows[:-1]))
        return sum(n * (row.stop - start) for n, row, start in zip(self.population, self.rows, starts, strict=True))

    @property
    def burst(self) -> int:
        """Steps that are always trained together, a static size of the compiled program. It divides every stop."""
        return burst_within(self.multiple or math.gcd(*(row.stop for row in self.rows)))

    def with_curve(self, evaluate_every: int | None) -> "Plan":
        """The same decisions with further evaluations at every multiple of `evaluate_every` steps."""
        if evaluate_every is None:
            return self
        if evaluate_every > self.steps:
            raise ValueError(
                f"evaluate_every={evaluate_every} lies beyond the end of the search, step {self.steps}: take less, or "
                "leave it out for the scheduler's own evaluations."
            )
        rungs = {row.stop: row for row in self.rows}
        stops = sorted({*rungs, *range(evaluate_every, self.steps, evaluate_every)})
        rows = tuple(rungs.get(stop, Row(stop)) for stop in stops)
        return replace(self, rows=rows, multiple=math.gcd(self.multiple or 0, *stops))


class Scheduler(Protocol):
    """Says how many trials there are, and at which step counts who goes on."""

    def plan(self) -> Plan:
        """The table of evaluations and decisions."""
        ...


def burst_within(whole: int) -> int:
    """A divisor of `whole` steps that suits the innermost loop of a program.

    About 100 steps amortise the loop around them and keep a call to the device short; where no divisor between 25 and
    100 exists (a prime `min_steps`), the next up to 1,000 serves.
    """
    divisors = [d for d in range(1, 1001) if whole % d == 0]
    best = max(d for d in divisors if d <= 100)
    return best if best >= 25 or best == whole else min((d for d in divisors if d > 100), default=best)


def shortened(burst: int, most: float) -> int:
    """The largest divisor of a burst that is no longer than so many steps; at least 1."""
    return max(d for d in range(1, burst + 1) if burst % d == 0 and (d <= most or d == 1))


def check_ladder(scheduler: Any) -> None:
    """Checks `min_steps`, `max_steps` and `eta` of a scheduler, in its `__post_init__`."""
    owner = type(scheduler).__name__
    set_counts(scheduler, "min_steps", "max_steps")
    low, high, eta = scheduler.min_steps, scheduler.max_steps, scheduler.eta
    if low > high:
        raise ValueError(f"{owner} needs min_steps <= max_steps, got min_steps={low}, max_steps={high}.")
    if isinstance(eta, bool) or not isinstance(eta, numbers.Real) or not 2 <= float(eta) < math.inf:
        raise ValueError(f"{owner} needs eta >= 2, got eta={eta!r}.")
    object.__setattr__(scheduler, "eta", plain(eta))
    warn_of_rounding(scheduler, "max_steps", "min_steps")


def warn_of_rounding(scheduler: Any, name: str, multiple: str) -> None:
    """Says that trials are trained for another number of steps than was asked for, in a `__post_init__`."""
    wanted, unit = getattr(scheduler, name), getattr(scheduler, multiple)
    if wanted % unit:
        warn(
            f"{type(scheduler).__name__} trains for {round_to(wanted, unit)} steps instead of {name}={wanted}: a "
            f"multiple of {multiple}={unit}."
        )


def round_to(steps: float, multiple: int) -> int:
    """The multiple of `multiple` nearest to `steps`, at least one."""
    return max(1, round(steps / multiple)) * multiple
