"""How wide: the sizes of a population and of the chunks in which it is trained."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from jax.sharding import Mesh

from jaxtune.engine.memory import device_bytes
from jaxtune.engine.placement import Placement

_DEFAULT_L2 = 2**20  # bytes, where the system doesn't tell


class Size(NamedTuple):
    """One size of the ladder, per device and replicate."""

    rows: int  # lanes that the arrays hold
    width: int  # lanes trained at once


_CPU_SIZES = (Size(8, 2), Size(1, 1))  # a narrow chunk pads little, and two lanes cost hardly more than four each
_NARROW = 1.03  # what a lane costs more in a chunk of half the width, about
_ACCELERATOR_SIZES = (Size(512, 512), Size(128, 128), Size(32, 32))  # below a/b lanes a wider step costs little


def ladder(lanes: int, widest: int, lower: Sequence[Size]) -> tuple[Size, ...]:
    """The sizes that a population takes as it shrinks, from the largest down.

    Only the first depends on the number of trials, so that a larger search compiles one new program at most.

    Args:
        lanes: Lanes per device and replicate at the start.
        widest: Largest width.
        lower: The sizes that follow, descending; those of a width below `widest` count.

    Example:
        >>> [tuple(step) for step in ladder(128, 16, (Size(8, 4), Size(2, 1)))]
        [(128, 16), (8, 4), (2, 1)]
    """
    steps = tuple(step for step in lower if step.width < widest)
    if steps and lanes <= steps[0].rows:
        return steps[steps.index(fit(steps, lanes)) :]
    width = min(widest, _power_of_two(lanes))
    return Size(width * _power_of_two(-(-lanes // width)), width), *steps


def fit(steps: Sequence[Size], lanes: int) -> Size:
    """The narrowest size that holds so many lanes per device."""
    return [step for step in steps if step.rows >= lanes][-1]


def choose_ladder(
    placement: Placement, mesh: Mesh, lanes: int, state_bytes: int, step_bytes: int, measured: Mapping[int, float]
) -> tuple[Size, ...]:
    """The ladder for a group.

    The widest size is the user's, or the fastest of those that were measured, or follows a rule. On a CPU what a chunk
    works on should take half of the second-level cache. Elsewhere the time of a step is about a + b * lanes, so that as
    many lanes as fit are best.

    Args:
        placement: The user's wishes.
        mesh: The devices.
        lanes: Lanes per device and replicate at the start.
        state_bytes: Bytes of one lane's state.
        step_bytes: Bytes that a step of one lane works on besides.
        measured: Width -> seconds per lane and step; empty if nothing was measured.
    """
    cpu = mesh.devices.flat[0].platform == "cpu"
    lower = _CPU_SIZES if cpu else _ACCELERATOR_SIZES
    if placement.lanes is not None:
        return ladder(lanes, placement.lanes, lower)
    if measured:
        widest = min(measured, key=lambda width: measured[width])
    else:
        widest = _cpu_width(mesh, state_bytes + step_bytes) if cpu else _accelerator_width(mesh, step_bytes)
    return ladder(lanes, _with_less_padding(lanes, widest), lower)


def _with_less_padding(lanes: int, width: int) -> int:
    """Half the width, if what that saves of the last chunk is worth more than what narrow chunks cost."""
    if width < 4:
        return width  # single lanes cost much more
    whole, half = (-(-lanes // w) * w for w in (width, width // 2))
    return width if whole <= _NARROW * half else width // 2


def _cpu_width(mesh: Mesh, lane_bytes: int) -> int:
    widest = max(_nearest_power(_l2_bytes() / 2 / max(1, lane_bytes)), 2)
    if widest >= 16 and mesh.devices.size == 1:
        widest *= 4  # XLA shares the operations of many small lanes among the cores of a lone device
    return min(widest, 128)


def _accelerator_width(mesh: Mesh, step_bytes: int) -> int:
    # Of the whole memory, not of what is free just now: equal searches must get equal widths.
    lanes = min(map(device_bytes, mesh.devices.flat)) / 8 / max(1, step_bytes)
    return min(2 ** int(math.log2(max(1, lanes))), 1024)


def _l2_bytes() -> int:
    try:
        return int(Path("/sys/devices/system/cpu/cpu0/cache/index2/size").read_text().strip().removesuffix("K")) * 1024
    except (OSError, ValueError):
        return _DEFAULT_L2


def _power_of_two(n: int) -> int:
    return 1 << (n - 1).bit_length()


def _nearest_power(x: float) -> int:
    return 2 ** round(math.log2(max(x, 1)))
