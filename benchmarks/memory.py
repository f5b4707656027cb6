"""Memory per lane and cost per lane-step of jaxtune's `advance`, from few lanes to very many.

Trains the demo's MLP on all cores (CPU) or accelerators. Memory is XLA's own account of the compiled program: arguments
+ results - what they share + temporaries, which includes the data and the random draws that lanes have in common. It is
set against parameters, optimizer state and gradients; gradients exist for the lanes at once only, so that a large
population can need less. The lane counts are timed in turn, in one process, with about 50,000 lane-steps each, or as
many as one burst of steps has.

    python benchmarks/memory.py [--lanes 64 256 1024 4096 16384] [--rounds 3] [--quick]
"""

import argparse
import statistics

import jax
import numpy as np
from lanes import Lanes
from side_by_side import machine, seconds, spread

import jaxtune as jt
from jaxtune.cli.demo import digits

BURST, QUICK_BURST = 50, 5  # steps of the innermost loop; 50 is the demo's
LANE_STEPS = 50_000  # of a timed call, where the lanes are few
FLAT = 0.15  # promised: the cost per lane-step differs by at most this share from that of the fewest lanes


def main():
    """Prints a table of memory and one of time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lanes", type=int, nargs="+", default=[64, 256, 1024, 4096, 16384])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="few lanes and steps: shows that it works")
    options = parser.parse_args()
    counts, rounds, burst = sorted(options.lanes), options.rounds, BURST
    if options.quick:
        counts, rounds, burst = [16, 64], 1, QUICK_BURST
    jt.set_host_device_count()
    print(machine() + "\n")
    task = digits.task("mlp")
    populations = {n: Lanes.of(task, digits.SPACE, n, jt.Placement(), burst) for n in counts}
    print(memory_table(populations), flush=True)
    print(time_table(populations, rounds, 1 if options.quick else LANE_STEPS))


def memory_table(populations):
    """A row of memory per lane count."""
    functions = populations[min(populations)].group.programs.functions
    state = jax.tree.unflatten(functions.state_tree, functions.state)
    needed = num_bytes(state) + num_bytes(state["params"])
    header = "| lanes | lanes at once per device | MB per device | MB in all | KB per lane | / needed |"
    rows = [header, "|" + "---|" * header.count(" | ") + "---|"]
    for lanes, population in populations.items():
        layout = population.group.layout
        device = peak(population.memory)
        total = device * layout.devices
        cells = [f"{lanes:,}", layout.width, f"{device / 1e6:,.1f}", f"{total / 1e6:,.1f}"]
        cells += [f"{total / lanes / 1e3:,.1f}", f"{total / lanes / needed:.2f}"]
        rows.append("| " + " | ".join(map(str, cells)) + " |")
    title = f"Memory; parameters + optimizer state + gradients need {needed / 1e3:,.1f} KB per lane"
    return "\n".join([title, "", *rows, ""])


def peak(memory):
    """Bytes that a program needs on each device."""
    return (
        memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        - memory.alias_size_in_bytes
        + memory.temp_size_in_bytes
    )


def num_bytes(tree):
    """Bytes of a pytree."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def time_table(populations, rounds, lane_steps):
    """A row of time per lane count, and whether the promise holds."""
    burst = next(iter(populations.values())).group.layout.burst
    bursts = {n: max(1, round(lane_steps / (n * burst))) for n in populations}
    times = seconds({n: lambda n=n: populations[n].train(bursts[n]) for n in populations}, rounds)
    cost = {n: [1e6 * t / (n * burst * bursts[n]) for t in values] for n, values in times.items()}
    fewest, *_ = cost
    rows = [f"| lanes | microseconds per lane-step | / {fewest} lanes | healthy lanes |", "|---|---|---|---|"]
    ratios = {}
    for n, values in cost.items():
        ratios[n] = statistics.median(x / y for x, y in zip(values, cost[fewest], strict=True))
        healthy = np.sum(np.asarray(populations[n].group.population.diverged).ravel()[:n] == -1)
        rows.append(f"| {n:,} | {spread(values)} | {ratios[n]:.2f} | {healthy:,} |")
    off = max(abs(ratio - 1) for ratio in ratios.values())
    verdict = f"Largest difference {off:.0%}; promised at most {FLAT:.0%}."
    title = f"Time, median (range), rounds: {rounds}; ratios are medians of ratios within a round"
    return "\n".join([title, "", *rows, "", verdict])


if __name__ == "__main__":
    main()
