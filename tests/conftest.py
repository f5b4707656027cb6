"""Eight CPU devices for every test, so that meshes of 1, 2 and 8 can be compared; caches in a folder of their own.

Most of a test's time is XLA's, for programs that run for milliseconds: they are compiled with less effort, in less than
half the time; what scripts train for longer with some more, see scripts.py. What must hold to the last bit is tested
with the usual effort too, see test_usual_effort.py.
"""

import atexit
import gc
import itertools
import os
import shutil
import signal
import tempfile
import threading
from collections import Counter
from pathlib import Path

if "PYTEST_XDIST_WORKER" not in os.environ:  # workers inherit these from the first process
    os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="jaxtune-tests-")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = os.environ["XDG_CACHE_HOME"]  # many tests compile equal programs
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_TRACEBACK_IN_LOCATIONS_LIMIT"] = "0"  # in compiled programs, where nobody reads them
    atexit.register(shutil.rmtree, os.environ["XDG_CACHE_HOME"], ignore_errors=True)

import jax
import pytest

if jax.__version__.startswith("0.10."):  # XLA has other flags later, and ends the process for one that it doesn't know
    fewer = "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
    os.environ.setdefault("XLA_FLAGS", f"{fewer} --xla_backend_optimization_level=0")

from jaxtune.drivers import reporting
from jaxtune.engine import programs, worth
from jaxtune.tasks import executables
from jaxtune.tasks.executables import EXECUTABLES, Executables

reporting.find_spec = lambda name: None  # a page takes a second, which each run in a folder would wait for

if "JAX_PLATFORMS" not in os.environ:
    jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 8)


if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background of a shell, by all that follow

_MAPS = Path("/proc/self/maps")
_MOST_MAPS = 25_000  # the kernel allows 65,530 by default; beyond them a compiler crashes
_tests_done = itertools.count(1)


_SLOW = {  # folder -> its files that are too slow for the fast tier, or all of them; single tests are marked
    ".": "benchmarks limits notebooks peers",
    "cli": "*",
    "drivers": (
        "bad_input faults forecast generations keep_weights proposing run run_environment run_models search study "
        "time_limit tune"
    ),
    "engine": "host population programs recovery usual_effort width",
    "interface": "cores settings",
    "practice": "interrupted nested overfit range_test sensitivity staged",
    "results": "comparable loading pickling predict refit undefined",
    "results/averaging": "*",
    "results/confirming": "confirm",
    "results/report": "page",
    "samplers": "bayesian gaussian_process tpe",
    "spaces": "numbers",
    "tasks": "bits convolutions executables fingerprints folds pooling problem stored weak",
    "training": "*",
}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Marks as slow what `pytest` alone leaves out."""
    here = Path(__file__).parent
    for item in items:
        folder, name = item.path.parent.relative_to(here).as_posix(), item.path.stem.removeprefix("test_")
        slow = _SLOW.get(folder, "").split()
        if slow == ["*"] or name in slow:
            item.add_marker(pytest.mark.slow)


def pytest_collection_finish():
    """Spares the garbage collector what stays, all modules, and most of its rounds: traces are many small objects."""
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)


def pytest_runtest_teardown():
    """Forgets compiled programs before a process that runs thousands of tests runs out of memory mappings."""
    if next(_tests_done) % 5 == 0 and _MAPS.exists() and _MAPS.read_bytes().count(b"\n") > _MOST_MAPS:
        EXECUTABLES.clear()
        jax.clear_caches()
        gc.collect()


@pytest.fixture
def free_programs(monkeypatch):
    """Populations take all sizes on their way down, as long searches of large models do: compiling takes no time."""
    monkeypatch.setattr(worth, "_CPU", (0.0, 5e10, 0.0, 0.0))


@pytest.fixture
def compiled(monkeypatch):
    """Programs that the engine compiles during the test, name -> how many; nothing is compiled before."""
    counts = Counter()
    lower = programs._lower

    def counted(name, *args):
        counts[name] += 1
        return lower(name, *args)

    empty = Executables()
    for module in (executables, programs):
        monkeypatch.setattr(module, "EXECUTABLES", empty)
    # What the tests before left in this process must not make it forget what it compiles now.
    monkeypatch.setattr(executables, "_is_crowded", lambda: False)
    monkeypatch.setattr(programs, "_lower", counted)
    return counts
