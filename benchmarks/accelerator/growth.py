"""How training time grows with the number of lanes: t(lanes) = a + b * lanes per step."""

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import jax
import numpy as np
from side_by_side import seconds

from accelerator.effort import bursts_for
from accelerator.floor import lane_step
from accelerator.models import by_hand, by_jaxtune

LEAST = 3  # lane counts that are timed however short the time is: a fit needs them
FEW_ROUNDS = 3  # where a single burst takes long
SIDES = ("hand", "jaxtune")


def growth(model, dtype, effort, deadline):
    """Timings at several numbers of lanes, lines through them, and what a lane-step computes."""
    records, note = points(model, dtype, effort, deadline)
    fits = {side: fit(records, side) for side in SIDES} if len(records) >= LEAST else {}
    return {"dtype": dtype, "work": lane_step(model, dtype), "points": records, "fits": fits, "note": note}


def points(model, dtype, effort, deadline):
    """A record per number of lanes, as far as time and memory go, and a note on what was left out.

    Every second number comes first, so that the fewest points still span a range.
    """
    counts = sorted(model.lanes)
    records, too_many, notes = [], float("inf"), []
    for lanes in counts[::2] + counts[1::2]:
        begin = time.monotonic()
        if lanes >= too_many:
            continue
        if len(records) >= LEAST and begin + expected(records, lanes, effort) > deadline:
            notes.append(f"Time was short for {lanes:,} lanes.")
            continue
        try:
            records.append(point(model, dtype, lanes, effort) | {"wall": time.monotonic() - begin})
        except (MemoryError, jax.errors.JaxRuntimeError) as error:
            if not records:
                raise
            too_many = lanes  # on a GPU many an error, not only RESOURCE_EXHAUSTED, means that memory has run out
            notes.append(
                f"{lanes:,} lanes by both sides at once did not run: {type(error).__name__} {str(error)[:200]}"
            )
    return sorted(records, key=lambda r: r["lanes"]), " ".join(notes)


def expected(records, lanes, effort):
    """Seconds that another number of lanes is going to take: what the last one took, and a few bursts of its own."""
    largest = max(records, key=lambda r: r["lanes"])
    step = sum(statistics.median(times) for times in largest["seconds_per_step"].values())
    return records[-1]["wall"] + FEW_ROUNDS * effort.burst * step * max(1, lanes / largest["lanes"])


def point(model, dtype, lanes, effort):
    """Both sides at one number of lanes. They are compiled side by side and then take turns."""
    with ThreadPoolExecutor(1) as pool:
        hand = pool.submit(by_hand, model, dtype, lanes, effort.burst)
        ours, width = by_jaxtune(model, dtype, lanes, effort.burst)
        runs = {"hand": hand.result(), "jaxtune": ours}
    bursts = {side: bursts_for(run, effort.seconds) for side, run in runs.items()}
    rounds = effort.rounds if min(bursts.values()) > 1 else min(effort.rounds, FEW_ROUNDS)
    times = seconds({side: partial(runs[side], bursts[side]) for side in runs}, rounds)
    steps = {side: [t / (bursts[side] * effort.burst) for t in values] for side, values in times.items()}
    ratio = statistics.median(h / o for h, o in zip(steps["hand"], steps["jaxtune"], strict=True))
    return {"lanes": lanes, "width": width, "seconds_per_step": steps, "hand_over_jaxtune": ratio}


def fit(records, side):
    """Least squares of the relative errors of a + b * lanes: a, b, R squared of the same errors, and P* = a/b.

    Timings scatter in proportion, hence relative errors.
    """
    lanes = np.array([r["lanes"] for r in records], float)
    times = np.array([statistics.median(r["seconds_per_step"][side]) for r in records])
    design = np.stack([1 / times, lanes / times], axis=1)
    (a, b), *_ = np.linalg.lstsq(design, np.ones_like(times))
    mean = np.sum(1 / times) / np.sum(1 / times**2)  # the best constant
    r_squared = 1 - np.sum((design @ [a, b] - 1) ** 2) / np.sum((mean / times - 1) ** 2)
    return {"a": a, "b": b, "r_squared": r_squared, "p_star": a / b}
