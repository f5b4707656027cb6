"""What was measured on this machine before: the time of a lane's step by chunk width, kept on disk.

Later searches of the same kind choose the same widths without measuring again, in other processes too, so that equal
searches stay equal to the last bit.
"""

import contextlib
import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path

import jax
from jax.sharding import Mesh

from jaxtune.interface.cache import cache_folder
from jaxtune.tasks.fingerprints import digest
from jaxtune.tasks.functions import Functions

_KNOWN: dict[str, dict[int, float]] = {}  # of this process, should the disk take nothing


def key_of(functions: Functions, mesh: Mesh, width: int) -> str:
    """A digest of the traced step (its operations and shapes, no values), the devices, and the width to start from."""
    device = mesh.devices.flat[0]
    machine = (device.platform, device.device_kind, mesh.devices.size, platform.processor(), os.cpu_count())
    return digest((str(functions.step.jaxpr), machine, width, jax.__version__))


def recall(key: str) -> dict[int, float]:
    """Chunk width -> seconds per lane and step; empty if nothing was measured."""
    try:
        text = _file(key).read_text(encoding="utf-8")
        found = {int(width): float(seconds) for width, seconds in json.loads(text).items()}
    except (OSError, RuntimeError, TypeError, ValueError, AttributeError):  # missing, not whole, or nobody's home
        return _KNOWN.get(key, {})
    return found if all(width > 0 and seconds > 0 for width, seconds in found.items()) else {}


def remember(key: str, seconds: Mapping[int, float]) -> None:
    """Keeps a measurement, for this process at least."""
    _KNOWN[key] = dict(seconds)
    with contextlib.suppress(OSError, RuntimeError):
        file = _file(key)
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps(dict(seconds)), encoding="utf-8")
        part.replace(file)  # whole or not at all


def _file(key: str) -> Path:
    return cache_folder() / "widths" / f"{key}.json"
