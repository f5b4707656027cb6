"""Whether populations and programs fit into memory."""

from typing import Any

from jax.sharding import Mesh

from jaxtune.engine import host_memory

_DEFAULT_MEMORY = 2**33  # bytes of an accelerator that doesn't tell


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
    return sum(device_bytes(d) - (d.memory_stats() or {}).get("bytes_in_use", 0) for d in mesh.devices.flat)


def device_bytes(device: Any) -> int:
    """Memory of a device, also what is used of it."""
    return (device.memory_stats() or {}).get("bytes_limit", _DEFAULT_MEMORY)
