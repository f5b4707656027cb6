"""Timing helpers for benchmarks: everything compared is timed in turn, in one process, several times."""

import os
import platform
import statistics
import time
from collections.abc import Callable

import flax
import jax
import optax


def machine() -> str:
    """One line that says where a measurement was taken."""
    device = jax.devices()[0]
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "?"
    return (
        f"{platform.machine()}, {os.cpu_count()} cores, {len(jax.devices())} x {device.device_kind}, load {load}; "
        f"Python {platform.python_version()}, jax {jax.__version__}, flax {flax.__version__}, optax {optax.__version__}"
    )


def seconds(candidates: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each candidate in each round; the candidates take turns, after one untimed call each."""
    for run in candidates.values():
        jax.block_until_ready(run())
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, run in candidates.items():
            begin = time.perf_counter()
            jax.block_until_ready(run())
            times[name].append(time.perf_counter() - begin)
    return times


def spread(values: list[float]) -> str:
    """Median and range."""
    return f"{statistics.median(values):,.3g} ({min(values):,.3g}-{max(values):,.3g})"
