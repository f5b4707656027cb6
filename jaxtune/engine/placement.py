"""Where lanes run: devices, the ladder of chunk widths, and memory."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jax.sharding import AxisType, Mesh

from jaxtune.engine import host_memory
from jaxtune.engine.population import AXIS
from jaxtune.interface.counts import set_counts
from jaxtune.interface.habits import hinted

_DEFAULT_L2 = 2**20  # bytes, where the system doesn't tell
_DEFAULT_MEMORY = 2**33  # bytes of an accelerator that doesn't tell


@hinted
@dataclass(frozen=True)
class Placement:
    """Which devices a search uses, and how many lanes they train at once.

    Args:
        devices: JAX devices; all of the default backend if None. On a CPU call `set_host_device_count` first, so that
            every core is a device.
        lanes: Lanes that a device trains at once, at least 1. Chosen from the cache (CPU) or the memory if None.
            Results at equal `lanes` and devices repeat bit for bit.
        max_programs: A search with more groups of static hyperparameters than this is refused.

    Raises:
        ValueError: A number is below 1, or the list of devices is empty or names one twice.
        TypeError: These are no JAX devices.

    Example:
        >>> import jaxtune as jt
        >>> jt.Placement(lanes=16).lanes
        16
    """

    devices: Sequence[Any] | None = None
    lanes: int | None = None
    max_programs: int = 16

    def __post_init__(self) -> None:
        if self.devices is not None:
            object.__setattr__(self, "devices", _checked_devices(self.devices))
        for name in ("lanes", "max_programs"):
            if name != "lanes" or self.lanes is not None:
                set_counts(self, name)

    def check_programs(self, combinations: Sequence[Mapping[str, int]], name_of: Callable[[str], str]) -> None:
        """Raises ValueError if there are too many combinations of static options, and names who is responsible.

        Args:
            combinations: Option indices, by key.
            name_of: From a key to the name of its hyperparameter.
        """
        if len(combinations) <= self.max_programs:
            return
        keys = dict.fromkeys(key for indices in combinations for key in indices)
        values = {key: len({indices[key] for indices in combinations if key in indices}) for key in keys}
        worst = max(values, key=lambda key: values[key])
        raise ValueError(
            f"The space has {len(combinations)} combinations of static hyperparameters, one program each, but "
            f"Placement(max_programs={self.max_programs}); {name_of(worst)!r} alone has {values[worst]}."
        )

    def mesh(self) -> Mesh:
        """A mesh with one axis over the devices."""
        devices = jax.devices() if self.devices is None else list(self.devices)
        return jax.make_mesh((len(devices),), (AXIS,), axis_types=(AxisType.Auto,), devices=devices)


def _checked_devices(devices: Any) -> tuple[Any, ...]:
    if isinstance(devices, str) or not isinstance(devices, Iterable):
        raise TypeError(f"Placement needs a list of devices such as jax.devices()[:1], got {devices!r}.")
    devices = tuple(devices)
    if not devices:
        raise ValueError("Placement needs at least one device, got an empty list.")
    for device in devices:
        if not isinstance(device, jax.Device):
            raise TypeError(f"Placement needs JAX devices such as jax.devices()[0], got {device!r}.")
    if len(set(devices)) < len(devices):
        raise ValueError(f"Placement needs different devices, got {devices}.")
    return devices


class Step(NamedTuple):
    """One size of the ladder, per device and replicate."""

    rows: int  # lanes that the arrays hold
    width: int  # lanes trained at once


_CPU_STEPS = (Step(8, 2), Step(1, 1))  # a narrow chunk pads little, and two lanes cost hardly more than four each
_NARROW = 1.03  # what a lane costs more in a chunk of half the width, about
_ACCELERATOR_STEPS = (Step(512, 512), Step(128, 128), Step(32, 32))  # below a/b lanes a wider step costs little


def ladder(lanes: int, widest: int, lower: Sequence[Step]) -> tuple[Step, ...]:
    """The sizes that a population takes as it shrinks, from the largest down.

    Only the first depends on the number of trials, so that a larger search compiles one new program at most.

    Args:
        lanes: Lanes per device and replicate at the start.
        widest: Largest width.
        lower: The sizes that follow, descending; those of a width below `widest` count.

    Example:
        >>> [tuple(step) for step in ladder(128, 16, (Step(8, 4), Step(2, 1)))]
        [(128, 16), (8, 4), (2, 1)]
    """
    steps = tuple(step for step in lower if step.width < widest)
    if steps and lanes <= steps[0].rows:
        return steps[steps.index(fit(steps, lanes)) :]
    width = min(widest, _power_of_two(lanes))
    return Step(width * _power_of_two(-(-lanes // width)), width), *steps


def fit(steps: Sequence[Step], lanes: int) -> Step:
    """The narrowest size that holds so many lanes per device."""
    return [step for step in steps if step.rows >= lanes][-1]


def choose_ladder(
    placement: Placement, mesh: Mesh, lanes: int, state_bytes: int, step_bytes: int, measured: Mapping[int, float]
) -> tuple[Step, ...]:
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
    lower = _CPU_STEPS if cpu else _ACCELERATOR_STEPS
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
    lanes = min(map(_device_bytes, mesh.devices.flat)) / 8 / max(1, step_bytes)
    return min(2 ** int(math.log2(max(1, lanes))), 1024)


def check_memory(mesh: Mesh, slots: int, lane_bytes: int, others: int = 0, scratch: int = 0) -> None:
    """Raises MemoryError if a population can't fit beside other things, and says how many lanes would.

    Args:
        mesh: The devices.
        slots: Lanes that the population has room for, over all devices: it is padded to powers of two.
        lane_bytes: Bytes of one lane.
        others: Bytes of all else that is not there yet.
        scratch: Bytes that programs take besides. Nothing is refused for them, because they are estimated: they are
            known when the programs are compiled (see `check_scratch`).
    """
    available = available_memory(mesh)
    if slots * lane_bytes + others <= available:
        return
    fitting = slots
    while fitting and fitting * lane_bytes + others + scratch > available:
        fitting //= 2
    beside = f" beside {(others + scratch) / 1e9:.3g} GB of data, other groups and scratch" if others + scratch else ""
    raise MemoryError(
        f"Arrays for {slots} lanes of {lane_bytes / 1e6:.3g} MB need {slots * lane_bytes / 1e9:.3g} GB{beside}, but "
        f"{available / 1e9:.3g} GB are free: about {fitting} lanes would fit (a lane is one replicate of one trial; "
        "their number is rounded up to powers of two)."
    )


def check_scratch(mesh: Mesh, device_bytes: int) -> None:
    """Raises MemoryError if a program's intermediate values can't fit, before the program takes its arguments along."""
    needed, available = device_bytes * mesh.devices.size, available_memory(mesh)
    if needed > available:
        raise MemoryError(f"A program needs {needed / 1e9:.3g} GB of scratch, but {available / 1e9:.3g} GB are free.")


def available_memory(mesh: Mesh) -> int:
    """Bytes that the devices of a mesh can still take, together."""
    if mesh.devices.flat[0].platform == "cpu":
        return host_memory.available()
    return sum(_device_bytes(d) - (d.memory_stats() or {}).get("bytes_in_use", 0) for d in mesh.devices.flat)


def _device_bytes(device: Any) -> int:
    return (device.memory_stats() or {}).get("bytes_limit", _DEFAULT_MEMORY)


def _l2_bytes() -> int:
    try:
        return int(Path("/sys/devices/system/cpu/cpu0/cache/index2/size").read_text().strip().removesuffix("K")) * 1024
    except (OSError, ValueError):
        return _DEFAULT_L2


def _power_of_two(n: int) -> int:
    return 1 << (n - 1).bit_length()


def _nearest_power(x: float) -> int:
    return 2 ** round(math.log2(max(x, 1)))
