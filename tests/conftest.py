"""Eight CPU devices for every test, so that meshes of 1, 2 and 8 can be compared."""

import gc
import itertools
import os
from pathlib import Path

import jax

from jaxtune import functions

if "JAX_PLATFORMS" not in os.environ:
    jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 8)


_MAPS = Path("/proc/self/maps")
_MOST_MAPS = 25_000  # the kernel allows 65,530 by default; beyond them a compiler crashes
_tests_done = itertools.count(1)


def pytest_runtest_teardown():
    """Forgets compiled programs before a process that runs thousands of tests runs out of memory mappings."""
    if next(_tests_done) % 25 == 0 and _MAPS.exists() and _MAPS.read_bytes().count(b"\n") > _MOST_MAPS:
        functions._CACHE.clear()
        jax.clear_caches()
        gc.collect()
