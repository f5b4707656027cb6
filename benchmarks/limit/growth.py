"""How time and programs grow: with lanes, steps, trials, rungs, hyperparameters, undecided integers and groups.

The exponent is the slope of a straight line through the upper half of a curve on logarithmic axes: below what is
constant counts as much as what grows. One network is trained, a linear regression, so that what surrounds the training
shows.
"""

import time
from typing import NamedTuple

import jax
import numpy as np
from lanes import Lanes
from side_by_side import seconds

import jaxtune as jt
from jaxtune.spaces.space import Space
from jaxtune.tasks.executables import EXECUTABLES
from jaxtune.tasks.problem import resolve
from limit.host import host_times
from limit.report import row, table, verdict
from limit.tasks import TINY_SPACE, many_groups, many_hyperparameters, one_shape_among, tiny_task

LINEAR = 1.1  # an exponent above that counts as more than linear: timings scatter


class Curve(NamedTuple):
    """What was measured: (n, value) pairs, and the unit of the values."""

    what: str
    unit: str
    points: list[tuple[int, float]]


def growth(quick, plot=None):
    """Prints each curve with its exponent, and draws them where wished."""
    header = ["growth with", "measured", "values, n: value", "exponent of the upper half"]
    print(table(header, []), end="")
    curves = []
    for measure in (lanes, steps, trials, rungs, hyperparameters, integers, groups):
        curves += (found := measure(quick))
        print("\n".join(row(_cells(curve)) for curve in found), flush=True)
    print()
    steep = [f"{c.what}: {c.unit} ({exponent(c.points):.2f})" for c in curves if exponent(c.points) > LINEAR]
    print(verdict(f"nothing grows faster than linearly (exponents up to {LINEAR})", steep))
    if plot:
        draw(curves, plot)


def exponent(points):
    """Slope on logarithmic axes of the upper half of (n, value) pairs: at least three of them, or all."""
    upper = points[max(0, min(len(points) // 2, len(points) - 3)) :]
    n, values = np.log(np.array(upper, float)).T
    return float(np.polyfit(n, values, 1)[0])


def _cells(curve):
    values = ", ".join(f"{n:,}: {value:.3g}" for n, value in curve.points)
    return curve.what, curve.unit, values, f"{exponent(curve.points):.2f}"


def draw(curves, path):
    """Writes a picture with a panel per curve, and a line of slope 1 through its last point."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot, ticker

    columns = 3
    figure, axes = pyplot.subplots(-(-len(curves) // columns), columns, figsize=(11, 8), squeeze=False)
    for ax in axes.flat[len(curves) :]:
        ax.remove()
    for curve, ax in zip(curves, axes.flat, strict=False):
        n, values = np.array(curve.points, float).T
        ax.loglog(n, values, "o-", label=f"exponent {exponent(curve.points):.2f}")
        ax.loglog(n, values[-1] * n / n[-1], "--", color="gray", label="linear")
        ax.set_ylim(values.min() / 3, values.max() * 3)
        ax.set(xlabel=curve.what, ylabel=curve.unit)
        for axis in (ax.xaxis, ax.yaxis):  # labels at powers of ten alone: others would lie on each other
            axis.set_minor_formatter(ticker.NullFormatter())
        ax.legend(loc="upper left", fontsize="small", framealpha=0.6)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    print(f"Curves: {path}\n")


def lanes(quick):
    """Time of a step of all lanes."""
    counts = (1, 4) if quick else tuple(4**k for k in range(9))
    populations = {n: Lanes.of(tiny_task(), TINY_SPACE, n, jt.Placement(), 20) for n in counts}
    bursts = {n: max(1, 20_000 // (20 * n)) for n in counts}
    times = seconds({n: lambda n=n: populations[n].train(bursts[n]) for n in counts}, 3)
    return [Curve("lanes", "us per step", [(n, 1e6 * min(times[n]) / (20 * bursts[n])) for n in counts])]


def steps(quick):
    """Time of a search with more steps."""
    counts = (20, 40) if quick else tuple(100 * 4**k for k in range(6))
    times = [(n, _best(jt.FullBudget(8, n), quick)) for n in counts]
    return [Curve("steps", "s in all", times)]


def trials(quick):
    """Time of a search with more trials, and that of its host alone."""
    counts = (8, 16) if quick else (10, 100, 1000, 10_000, 30_000, 100_000)
    times = {n: host_times(jt.SuccessiveHalving(n, 10, 160, eta=4), _rounds(quick)) for n in counts}
    return [
        Curve("trials", f"{unit}", [(n, min(t[part] for t in times[n])) for n in counts])
        for part, unit in (("total", "s in all"), ("host", "s of the host"))
    ]


def rungs(quick):
    """Time of a search with more decisions and as many steps: truncation selection at each."""
    total, counts = (64, (1, 4)) if quick else (4096, (1, 4, 16, 64, 256, 1024))
    times = [(n, _best(jt.PopulationBasedTraining(32, total, total // n), quick)) for n in counts]
    return [Curve("rungs", "s in all", times)]


def hyperparameters(quick):
    """Time of a first search, most of which compiles, and of a second one."""
    counts = (1, 2) if quick else (1, 3, 10, 30, 100, 200)
    scheduler = jt.FullBudget(16 if quick else 1024, 20)
    first, second = [], []
    for n in counts:
        task, space = many_hyperparameters(n)
        first.append((n, _seconds(task, space, scheduler, seed=0)))
        second.append((n, _best(scheduler, quick, task, space)))
    return [Curve("hyperparameters", "s, first search", first), Curve("hyperparameters", "s, second search", second)]


def integers(quick):
    """Processor time of finding out which of so many integers is a shape."""
    counts = (3, 6) if quick else (25, 50, 100, 200)
    times = []
    for n in counts:
        task, space = one_shape_among(n)
        begin = time.process_time()
        resolve(task, Space.of(space), "loss", "min")
        times.append((n, time.process_time() - begin))
    return [Curve("undecided integers", "CPU s of resolving", times)]


def groups(quick):
    """Programs and time of a first search, and time of a second one."""
    counts = (1, 2) if quick else (1, 2, 4, 8, 16, 32)
    programs, first, second = [], [], []
    for n in counts:
        task, space = many_groups(n)
        scheduler = jt.FullBudget(16 if quick else 256, 20)
        EXECUTABLES.clear()  # a network of the same width was searched before
        compiled = []
        jax.monitoring.register_event_duration_secs_listener(
            listener := lambda event, _, compiled=compiled, **__: compiled.append(event)
        )
        first.append((n, _seconds(task, space, scheduler, seed=0)))
        jax.monitoring.unregister_event_duration_listener(listener)
        programs.append((n, compiled.count("/jax/core/compile/backend_compile_duration")))
        second.append((n, _best(scheduler, quick, task, space)))
    curves = {"programs compiled": programs, "s, first search": first, "s, second search": second}
    return [Curve("groups", unit, points) for unit, points in curves.items()]


def _seconds(task, space, scheduler, seed):
    begin = time.perf_counter()
    jt.tune(task, space, scheduler=scheduler, seed=seed, progress=False, placement=_PLACEMENT)
    return time.perf_counter() - begin


def _best(scheduler, quick, task=None, space=TINY_SPACE):
    """The shortest time of some warm searches."""
    return min(times["total"] for times in host_times(scheduler, _rounds(quick), task, space, _PLACEMENT))


def _rounds(quick):
    return 1 if quick else 3


_PLACEMENT = jt.Placement(max_programs=32)
