"""Host time per trial of a search of 100,000 trials, and the time to import.

Host time is what is left of a search's wall time without (1) calls of the engine's programs and waiting for their
results, and (2) waiting for compilers. All else counts, also where JAX works for it: sampling, decoding, deciding at
rungs, copies of tables. Programs are compiled by an untimed search before.
"""

import statistics
import subprocess
import sys
import time
from contextlib import contextmanager

import jax
from side_by_side import spread

import jaxtune as jt
from jaxtune.engine.programs import Programs
from limit.report import table, verdict
from limit.tasks import TINY_SPACE, tiny_task

MICROSECONDS = 50  # per trial, at most
IMPORT = 0.2  # seconds, at most
CALLS = ("spawn", "advance", "evaluate", "keep", "move")
VIEWS = {
    "best": lambda result: result.best,
    "ranking[:10]": lambda result: result.ranking[:10],
    "curves()": lambda result: result.curves(),
    "repr": repr,
    "all trials": lambda result: list(result.trials),
    "records()": lambda result: result.records(),
    "to_dataframe()": lambda result: result.to_dataframe(),
}


def host(quick):
    """Prints host time per trial, and the time of what users do with the result."""
    trials, rounds = (100, 1) if quick else (100_000, 5)
    schedulers = {
        f"FullBudget({trials}, 20)": jt.FullBudget(trials, 20),
        f"SuccessiveHalving({trials}, 10, 160, eta=4)": jt.SuccessiveHalving(trials, 10, 160, eta=4),
    }
    rows, views, missed = [], [], []
    for name, scheduler in schedulers.items():
        times = host_times(scheduler, rounds)
        each = [1e6 * t["host"] / trials for t in times]
        cells = [spread([t[part] for t in times]) for part in ("total", "device", "compile", "host")]
        rows.append((name, *cells, spread(each)))
        if statistics.median(each) > MICROSECONDS:
            missed.append(f"{name} ({statistics.median(each):.0f} us)")
        views.append((name, *_view_times(scheduler)))
    print(table(["search", "total, s", "programs, s", "compilers, s", "host, s", "host us per trial"], rows))
    print(verdict(f"under {MICROSECONDS} us of host time per trial", missed))
    print("Seconds of each view of a result, one after another from the left, once each\n")
    print(table(["search", *VIEWS], views))


def host_times(scheduler, rounds, task=None, space=TINY_SPACE, placement=None):
    """Seconds in all, in programs, waiting for compilers and on the host, of warm searches with different seeds."""
    task, placement, times = task or tiny_task(), placement or jt.Placement(), []
    for seed in range(rounds + 1):
        with Stopwatch() as stopwatch:
            begin = time.perf_counter()
            result = jt.tune(task, space, scheduler=scheduler, seed=seed, progress=False, placement=placement)
            total = time.perf_counter() - begin
        parts = {"total": total, "device": stopwatch.seconds, "compile": result.timing["compile"]}
        times.append(parts | {"host": total - stopwatch.seconds - result.timing["compile"]})
    return times[1:]


def _view_times(scheduler):
    result = jt.tune(tiny_task(), TINY_SPACE, scheduler=scheduler, progress=False)
    cells = []
    for view in VIEWS.values():
        begin = time.perf_counter()
        view(result)
        cells.append(f"{time.perf_counter() - begin:.3g}")
    return cells


class Stopwatch:
    """Seconds in the engine's programs and waiting for their results, while it is open."""

    def __init__(self):
        self.seconds, self._open = 0.0, False
        self._before = {name: getattr(Programs, name) for name in CALLS}

    def __enter__(self):
        for name, call in self._before.items():
            setattr(Programs, name, self._timed(call))
        return self

    def __exit__(self, *_):
        for name, call in self._before.items():
            setattr(Programs, name, call)

    def _timed(self, call):
        def timed(programs, *args):
            waited = programs.host.waited
            with self._running():
                result = jax.block_until_ready(call(programs, *args))
            self.seconds -= programs.host.waited - waited  # booked as compile time already
            return result

        return timed

    @contextmanager
    def _running(self):
        begin = time.perf_counter()
        yield
        self.seconds += time.perf_counter() - begin


SNIPPETS = {
    "import jax": "import jax",
    "import jax, flax.linen, optax": "import jax, flax.linen, optax",
    "import jaxtune": "import jaxtune",
    "import jaxtune; jaxtune.Uniform": "import jaxtune; jaxtune.Uniform",
    "import jaxtune; jaxtune.supervised, jaxtune.tune": "import jaxtune; jaxtune.supervised, jaxtune.tune",
}


def imports(quick):
    """Prints what importing jaxtune adds to importing JAX, in fresh processes that take turns."""
    snippets = dict(list(SNIPPETS.items())[::2]) if quick else SNIPPETS
    times = {name: [] for name in snippets}
    for round_number in (1,) if quick else range(10):
        for name, code in snippets.items():
            spent = _import_time(code)
            if round_number:  # the first round reads from the disk, and writes what Python compiles
                times[name].append(spent)
    rows, added = [], {}
    for name, values in times.items():
        added[name] = statistics.median(v - j for v, j in zip(values, times["import jax"], strict=True))
        rows.append((f"`{name}`", spread(values), f"{added[name]:.3f}"))
    print(table(["fresh process", "seconds, median (range)", "more than `import jax`, median"], rows))
    late = added["import jaxtune"]
    print(verdict(f"`import jaxtune` adds less than {IMPORT} s", [f"{late:.2f} s"] if late >= IMPORT else []))


def _import_time(code):
    timed = f"import time; begin = time.perf_counter(); {code}; print(time.perf_counter() - begin)"
    done = subprocess.run([sys.executable, "-c", timed], capture_output=True, text=True, check=True)
    return float(done.stdout)
