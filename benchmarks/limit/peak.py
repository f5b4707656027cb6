"""How near training comes to what the machine can do: matrix products, memory, and the line a + b * lanes.

The peak is the best rate of bare float32 products in the same run: one matrix or many small ones, of several sizes, on
one CPU device alone (XLA lends it the threads of all) and on all of them at once. Model FLOPs of a lane-step are
6 * batch * multiply-adds of one example, as is customary; a third of those of the first layer is never done, since
nobody needs the gradient of the inputs.
"""

import math
import statistics

import jax
import jax.numpy as jnp
import numpy as np
from accelerator.growth import fit
from architectures import MLP
from lanes import Lanes
from side_by_side import seconds, spread

import jaxtune as jt
from limit.report import table, verdict
from limit.tasks import BATCH, CLASSES, CNN, INPUTS, SPACE, Transformer, task

BURST = 50
TARGETS = {64: 0.5, 256: 0.6, 1024: 0.6}  # width -> share of the peak
LANES = {64: 256, 256: 64, 1024: 16}
PRODUCTS = [(1, 256), (1, 512), (1, 1024), (1, 2048), (64, 64), (16, 128), (16, 256)]  # matrices, their size
TRIAD_FLOATS = 2**24  # per device and array: 64 MB, far beyond the caches
MODELS = {"MLP 64": MLP(64), "MLP 256": MLP(256), "CNN": CNN(), "transformer": Transformer()}
COUNTS = {"MLP 64": 256, "MLP 256": 64, "CNN": 64, "transformer": 64}  # largest number of lanes that is timed


def peak(quick):
    """Prints the share of the machine's peak and of its memory bandwidth that training reaches."""
    widths, rounds = ((64,), 2) if quick else (tuple(TARGETS), 7)
    devices = jax.devices()
    best, candidates = _best_product(PRODUCTS[:2] if quick else PRODUCTS)
    runs = {"one": _products(best, devices[:1]), "all": _products(best, devices)}
    runs |= _streams(TRIAD_FLOATS // 16 if quick else TRIAD_FLOATS)
    bursts = {w: max(1, round(4e6 / (LANES[w] * w * w))) for w in widths}
    populations = {w: Lanes.of(task(MLP(w)), SPACE, LANES[w], jt.Placement(), 5 if quick else BURST) for w in widths}
    runs |= {w: lambda w=w: populations[w].train(bursts[w]) for w in widths}
    times = seconds(runs, rounds)
    rates = {"one": _rates(times["one"], _work(best)), "all": _rates(times["all"], _work(best) * len(devices))}
    print(table(["matrices", "size", "GFLOP/s, one device", f"GFLOP/s, {len(devices)} devices"], candidates))
    moved = 4 * (TRIAD_FLOATS // 16 if quick else TRIAD_FLOATS) * len(devices)
    bandwidth = {name: _rates(times[name], moved * arrays) for name, arrays in (("copy", 2), ("triad", 3))}
    rows = [("matrix product, one device alone", spread(rates["one"]), "GFLOP/s")]
    rows += [(f"matrix product, {len(devices)} devices", spread(rates["all"]), "GFLOP/s")]
    rows += [(f"{name}, {len(devices)} devices", spread(bandwidth[name]), "GB/s") for name in bandwidth]
    print(table(["bare", "median (range)", "unit"], rows))
    steps = {w: bursts[w] * populations[w].group.layout.burst * LANES[w] for w in widths}
    _print_shares({w: (times[w], steps[w], populations[w]) for w in widths}, rates["all"], bandwidth["triad"])


def _best_product(sizes):
    """The (matrices, size) with the best rate on all devices, and a row for each."""
    devices = jax.devices()
    rows, best = [], {}
    for size in sizes:
        times = seconds({"one": _products(size, devices[:1]), "all": _products(size, devices)}, 3)
        one, both = min(times["one"]), min(times["all"])
        best[size] = len(devices) * _work(size) / both
        rows.append((*size, f"{_work(size) / one / 1e9:,.3g}", f"{best[size] / 1e9:,.3g}"))
    return max(best, key=lambda size: best[size]), rows


def _repeats(size):
    return max(1, round(4e9 / (2 * size[0] * size[1] ** 3)))


def _work(size):
    """FLOPs of a timed call on one device."""
    return 2 * size[0] * size[1] ** 3 * _repeats(size)


def _products(size, devices):
    """A function that multiplies matrices again and again on each of some devices, side by side."""
    matrices, n = size
    shape = (n, n) if matrices == 1 else (matrices, n, n)
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32) / math.sqrt(n)
    many = jax.jit(lambda a, b: jax.lax.fori_loop(0, _repeats(size), lambda _, c: a @ c, b))
    args = [jax.device_put((values, values), device) for device in devices]
    return lambda: [many(*each) for each in args]


def _streams(num_floats):
    """Copy (with a factor, or nothing would be computed) and triad on all devices, in place."""
    arrays = {
        name: [[jax.device_put(np.ones(num_floats, np.float32), d) for _ in range(3)] for d in jax.devices()]
        for name in ("copy", "triad")
    }
    scale = jax.jit(lambda old, x: jnp.float32(1.01) * x, donate_argnums=0, keep_unused=True)
    triad = jax.jit(lambda old, x, y: x + jnp.float32(1.01) * y, donate_argnums=0, keep_unused=True)

    def copy_all():
        for each in arrays["copy"]:
            each[0] = scale(each[0], each[1])
        return [each[0] for each in arrays["copy"]]

    def triad_all():
        for each in arrays["triad"]:
            each[0] = triad(*each)
        return [each[0] for each in arrays["triad"]]

    return {"copy": copy_all, "triad": triad_all}


def _rates(times, work):
    return [work / t / 1e9 for t in times]


def _print_shares(measured, peaks, bandwidths):
    """A row per width; shares are medians of ratios within a round."""
    header = [
        "width",
        "lanes",
        "at once",
        "us per lane-step",
        "model GFLOP/s",
        "share of peak",
        "share, done FLOPs only",
    ]
    header += ["MB AdamW moves per step", "share of bandwidth", "share of peak if neither overlaps"]
    rows, missed = [], []
    for width, (times, steps, population) in measured.items():
        flops, never, moved = _costs(width)
        share = _median_share(times, flops * steps, peaks)
        done = _median_share(times, (flops - never) * steps, peaks)
        band = _median_share(times, moved * steps, bandwidths)
        top, wide = statistics.median(peaks) * 1e9, statistics.median(bandwidths) * 1e9
        bound = flops / top / (flops / top + moved / wide)
        each = [1e6 * t / steps for t in times]
        cells = [width, population.num_lanes, population.group.layout.width, spread(each)]
        cells += [spread([flops / (1e3 * t) for t in each]), f"{share:.0%}", f"{done:.0%}"]
        rows.append([*cells, f"{moved / 1e6:.3g}", f"{band:.0%}", f"{bound:.0%}"])
        if share < TARGETS[width]:
            missed.append(f"width {width} ({share:.0%})")
    print(f"Two hidden layers, {INPUTS} inputs, {CLASSES} classes, batch {BATCH}, AdamW, float32\n")
    print(table(header, rows))
    print(verdict("at least 50 % of the peak at width 64, 60 % at 256 and 1024", missed))


def _median_share(times, work, rates):
    return statistics.median(work / t / 1e9 / rate for t, rate in zip(times, rates, strict=True))


def _costs(width):
    """Model FLOPs of a lane-step, those never done, and bytes that it moves at least where no cache holds them.

    Per parameter: weight and two moments read and written by AdamW (24), the gradient written and read (8), the
    weight read forwards and backwards (8).
    """
    products = INPUTS * width + width * width + width * CLASSES
    parameters = products + 2 * width + CLASSES
    return 6 * BATCH * products, 2 * BATCH * INPUTS * width, 40 * parameters


def affine(quick):
    """Prints a and b of the time of a step, a + b * lanes, for each model on all devices."""
    models, burst, rounds = (("MLP 64",), 5, 2) if quick else (tuple(MODELS), 20, 5)
    times, fits = [], []
    for name in models:
        records = _timed(name, burst, rounds, most=8 if quick else COUNTS[name])
        times += [(name, r["lanes"], r["width"], _us(r), _us_per_lane(r)) for r in records]
        line = fit(records, "jaxtune")
        cells = f"{1e6 * line['a']:,.3g}", f"{1e6 * line['b']:,.3g}", f"{line['r_squared']:.4f}"
        fits.append((name, *cells, f"{line['p_star']:,.3g}", f"{1 / line['b']:,.3g}"))
    print(table(["model", "lanes", "at once per device", "us per step", "us per lane-step"], times))
    print(f"All {len(jax.devices())} devices; least squares of relative errors\n")
    print(table(["model", "a, us", "b, us per lane", "R2", "P* = a/b", "most lane-steps/s, 1/b"], fits))


def _timed(name, burst, rounds, most):
    """A record of timings per number of lanes; they take turns."""
    counts = [n for n in (4, 8, 16, 32, 64, 128, 256) if n <= most]
    populations = {n: Lanes.of(task(MODELS[name]), SPACE, n, jt.Placement(), burst) for n in counts}
    bursts = {n: max(1, round(most / n)) for n in counts}
    times = seconds({n: lambda n=n: populations[n].train(bursts[n]) for n in counts}, rounds)
    return [
        {
            "lanes": n,
            "width": populations[n].group.layout.width,
            "seconds_per_step": {"jaxtune": [t / (bursts[n] * burst) for t in times[n]]},
        }
        for n in counts
    ]


def _us(record):
    return spread([1e6 * t for t in record["seconds_per_step"]["jaxtune"]])


def _us_per_lane(record):
    return spread([1e6 * t / record["lanes"] for t in record["seconds_per_step"]["jaxtune"]])
