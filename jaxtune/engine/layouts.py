"""The sizes that a population takes as it shrinks, and the memory that it takes."""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import jax

from jaxtune.engine.costs import flops, live_bytes
from jaxtune.engine.ladder import Size, choose_ladder
from jaxtune.engine.lanes import Layout
from jaxtune.engine.memory import check_memory
from jaxtune.engine.search import Search
from jaxtune.engine.worth import worthwhile
from jaxtune.schedulers.plan import shortened
from jaxtune.tasks.case import Case

_FLOPS_PER_CALL = {"cpu": 1e11}  # that a device makes in about a second or two
_FLOPS_OF_OTHERS = 1e14


def layouts(
    search: Search,
    case: Case,
    num_trials: int,
    measured: Mapping[int, float] = MappingProxyType({}),
    recorded: Sequence[tuple[int, int]] | None = None,
) -> tuple[Layout, ...]:
    """The sizes for so many trials of a case.

    Args:
        search: The search.
        case: What they train.
        num_trials: How many.
        measured: As for `choose_ladder`.
        recorded: Slots and widths of an earlier run of the search, on however many devices: equally many trials are
            trained in chunks of equal width.
    """
    step = case.functions.step.jaxpr
    lanes = -(-num_trials // search.mesh.devices.size)
    if recorded is None:
        size, scratch = lane_bytes(search, case), live_bytes(step)
        all_sizes = choose_ladder(search.placement, search.mesh, lanes, size, scratch, measured)
        ladder = worthwhile(search, case, num_trials, all_sizes, measured)
    else:
        devices = search.mesh.devices.size
        ladder = tuple(Size(width * -(-slots // (devices * width)), width) for slots, width in recorded)
    work = flops(step) * ladder[0].rows * search.runs
    limit = _FLOPS_PER_CALL.get(search.mesh.devices.flat[0].platform, _FLOPS_OF_OTHERS)
    burst = shortened(search.pace(case).burst(search.plan), limit / max(work, 1.0))
    fewest = case.task.num_examples if case.task.batch_size else None
    more = search.runs, burst, case.task.batch_size, fewest, search.keeps_best
    made = [Layout(search.mesh, rows, width, *more) for rows, width in ladder]
    if recorded is None:
        return tuple(made)
    most = [None if slots == layout.slots else slots for layout, (slots, _) in zip(made, recorded, strict=True)]
    return tuple(layout._replace(most=n) for layout, n in zip(made, most, strict=True))


def fitting(layouts: Sequence[Layout], num_trials: int) -> Layout:
    """The smallest layout that holds so many trials."""
    return [layout for layout in layouts if layout.capacity >= num_trials][-1]


def narrowed(layout: Layout, widest: int) -> Layout:
    """The same arrays in chunks of at most a width; chunks come out even."""
    width = min(layout.width, widest)
    return layout._replace(width=next(w for w in range(width, 0, -1) if layout.rows % w == 0))


def lane_bytes(search: Search, case: Case) -> int:
    """Bytes of one lane's state, and of its checkpoint where one is kept."""
    state = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(case.functions.state))
    return state * (2 if search.keeps_best else 1)


def scratch_bytes(case: Case, width: int) -> int:
    """Bytes that chunks of this width take on a device while they are trained, or evaluated; about."""
    functions = case.functions
    return max(width * live_bytes(functions.step.jaxpr), live_bytes(functions.evaluate.jaxpr))


def check_populations(search: Search, populations: Sequence[tuple[Case, Layout]]) -> None:
    """Raises MemoryError if populations of these cases and sizes can't fit beside the data of the search."""
    lanes = [(layout.slots * search.runs, lane_bytes(search, case)) for case, layout in populations]
    total = search.data_bytes + sum(slots * size for slots, size in lanes)
    slots, size = max(lanes, key=math.prod)
    scratch = search.mesh.devices.size * max(scratch_bytes(case, layout.width) for case, layout in populations)
    check_memory(search.mesh, slots, size, total - slots * size, scratch)
