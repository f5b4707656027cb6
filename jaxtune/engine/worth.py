"""Which sizes of a ladder are worth the programs that they take."""

import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from jaxtune.engine.costs import equations, flops
from jaxtune.engine.ladder import Size, fit
from jaxtune.engine.search import Search
from jaxtune.tasks.case import Case

# About, for a device: seconds of a step whatever its width, operations a second in small networks, and seconds until
# the programs of a size are compiled, of any step and for each of its equations.
_CPU, _ACCELERATOR = (5e-5, 5e10, 0.8, 0.002), (2e-4, 1e13, 2.0, 0.004)


def worthwhile(search: Search, case: Case, num_trials: int, sizes: Sequence[Size], measured: Mapping) -> tuple:
    """The sizes without those that save less time than compiling their programs takes.

    Args:
        search: The search.
        case: What is trained.
        num_trials: How many trials.
        sizes: From the largest down; the first one stays.
        measured: Width -> seconds per lane and step, where these are known.
    """
    step, devices = case.functions.step.jaxpr, search.mesh.devices
    fixed, rate, compiling, per_equation = _CPU if devices.flat[0].platform == "cpu" else _ACCELERATOR
    lane = flops(step) / rate

    def seconds(width: int) -> float:
        return search.runs * width * measured[width] if width in measured else search.runs * (fixed + width * lane)

    return quickest(sizes, _stretches(search, case, num_trials), seconds, compiling + per_equation * equations(step))


def quickest(
    sizes: Sequence[Size], stretches: Mapping[int, float], seconds: Callable[[int], float], compiling: float
) -> tuple[Size, ...]:
    """Of all ladders that begin with the first size, the one that is over first; the shortest of equal ones.

    Args:
        sizes: From the largest down.
        stretches: Lanes per device -> steps that so many make.
        seconds: Of a step, from the width.
        compiling: Seconds for each size.

    Example:
        >>> sizes, of_width = (Size(64, 16), Size(8, 2), Size(1, 1)), lambda width: 1e-4 * width
        >>> [[tuple(size) for size in quickest(sizes, {64: n, 4: n, 1: n}, of_width, 1.0)] for n in (100, 1000, 20_000)]
        [[(64, 16)], [(64, 16), (8, 2)], [(64, 16), (8, 2), (1, 1)]]
    """

    def in_all(chosen: tuple[Size, ...]) -> float:
        widths = {lanes: fit(chosen, lanes).width for lanes in stretches}
        training = sum(n * -(-lanes // widths[lanes]) * seconds(widths[lanes]) for lanes, n in stretches.items())
        return training + compiling * len(chosen)

    first, *lower = sizes
    ladders = (some for number in range(len(sizes)) for some in itertools.combinations(lower, number))
    return min(((first, *some) for some in ladders), key=in_all)


def _stretches(search: Search, case: Case, num_trials: int) -> Mapping[int, float]:
    """Lanes per device and replicate -> updates that so many make; about, where trials are pruned."""
    plan, pace, found = search.plan, search.pace(case), Counter[int]()
    starts = [0, *(row.stop for row in plan.rows)]
    for start, row, population in zip(starts, plan.rows, plan.population, strict=False):
        trials = -(-num_trials * population // plan.trials)
        updates = pace.updates(row.stop) - pace.updates(start)
        found[-(-trials // search.mesh.devices.size)] += updates * search.generations
    return found
