"""Microseconds per lane-step of plain Flax models in jaxtune's `advance`, by the number of lanes trained at once.

Small transformers (linen and nnx), an LSTM, a GRU, an embedding bag, the demo's CNN and MLPs. Two tables:

* widths: CPU time per lane-step on one device at each width, and what the width that jaxtune would pick by itself loses
  against the best one. Run it under `taskset -c 0`, so that CPU time means one core's work, as in a search where each
  core is a device;
* hand: the same step (a) in a Python loop over a compiled step, (b) as `jit(scan)` of one trial, (c) as
  `jit(vmap(scan))`, against jaxtune at its best width.

    taskset -c 0 python benchmarks/models.py --data DIR [--tables widths hand] [--models LSTM GRU] [--quick]

DIR holds tinyshakespeare.txt (karpathy/char-rnn).
"""

import argparse
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np
from architectures import SPACE, tasks
from lanes import Lanes
from side_by_side import machine, spread

import jaxtune as jt
from jaxtune.cli.demo import digits

WIDTHS, STEPS = (1, 4, 16, 64), 4


def space_of(name):
    """The traced hyperparameters of a model."""
    return digits.SPACE if name == "CNN" else SPACE


def engine(task, space, width, lanes):
    """jaxtune: trains some lanes for STEPS steps, `width` at once (None: its own choice)."""
    return Lanes.of(task, space, lanes, jt.Placement(devices=jax.devices()[:1], lanes=width), STEPS)


def cpu_microseconds(candidates, work, rounds):
    """CPU microseconds per lane-step of each candidate in each round; they take turns, after one untimed call each."""
    for run in candidates.values():
        jax.block_until_ready(run())
    times = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, run in candidates.items():
            begin = time.process_time()
            jax.block_until_ready(run())
            times[name].append((time.process_time() - begin) / work[name] * 1e6)
    return times


def by_hand(task, space, lanes):
    """The task's own step (a) in a Python loop, (b) in a scan, (c) in a scan of all lanes; batches shared."""
    data = jax.tree.map(jnp.asarray, task.train)
    batches = np.random.default_rng(0).integers(0, task.num_examples, (STEPS, task.batch_size))
    hp = {name: jnp.float32(1e-3) for name in space}
    now = {"step": jnp.int32(0), "total_steps": jnp.int32(10_000)}
    state = jax.jit(lambda key, hp: task.init(key, hp, **now))(jax.random.key(0), hp)

    def step(state, hp, index, number):
        key = jax.random.fold_in(jax.random.key(1), number)
        return task.step(key, state, jax.tree.map(lambda x: x[index], data), hp, **now)[0]

    def scan(state, hp):
        numbers = jnp.arange(STEPS)
        return jax.lax.scan(lambda state, x: (step(state, hp, *x), None), state, (batches, numbers))[0]

    compiled, one, many = jax.jit(step), jax.jit(scan), jax.jit(jax.vmap(scan))
    states, hps = jax.tree.map(lambda x: jnp.repeat(x[None], lanes, 0), (state, hp))

    def loop():
        now = state
        for number, index in enumerate(batches):
            now = compiled(now, hp, index, jnp.int32(number))
        return now

    return {"loop": loop, "scan": lambda: one(state, hp), "vmap": lambda: many(states, hps)}


def widths(made, options):
    """Table: CPU time at each width, and what the rule loses."""
    title("model", "state, kB", *(f"{width} at once" for width in options.widths), "best", "by the rule", "rule loses")
    for name, make in made.items():
        task, space = make(), space_of(name)
        lanes = max(options.widths)
        rule = engine(task, space, None, lanes).group.layout.width
        tried = sorted({*options.widths, rule})
        trained = {width: engine(task, space, width, lanes) for width in tried}
        work = dict.fromkeys(tried, lanes * STEPS)
        times = cpu_microseconds({width: lambda t=t: t.train(1) for width, t in trained.items()}, work, options.rounds)
        medians = {width: statistics.median(values) for width, values in times.items()}
        best = min(medians, key=medians.get)
        lost = statistics.median(a / b for a, b in zip(times[rule], times[best], strict=True)) - 1
        size = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(trained[rule].group.programs.functions.state))
        row(name, f"{size / 1e3:,.0f}", *(spread(times[w]) for w in options.widths), best, rule, f"{lost:.0%}")


def hand(made, options):
    """Table: jaxtune against what one would write by hand."""
    lanes, widths = (4, (1, 4)) if options.quick else (16, (1, 2, 4, 16))
    title("model", "loop", "scan", f"vmap of {lanes}", "jaxtune", "at once", "loop / jaxtune", "best by hand / jaxtune")
    for name, make in made.items():
        task, space = make(), space_of(name)
        trained = {width: engine(task, space, width, lanes) for width in widths}
        candidates = by_hand(task, space, lanes) | {w: lambda t=t: t.train(1) for w, t in trained.items()}
        work = {key: STEPS if key in ("loop", "scan") else STEPS * lanes for key in candidates}
        times = cpu_microseconds(candidates, work, options.rounds)
        best = min(trained, key=lambda width: statistics.median(times[width]))
        byhand = [min(values) for values in zip(*(times[key] for key in ("loop", "scan", "vmap")), strict=True)]
        ratios = [
            statistics.median(a / b for a, b in zip(other, times[best], strict=True))
            for other in (times["loop"], byhand)
        ]
        cells = [spread(times[key]) for key in ("loop", "scan", "vmap", best)]
        row(name, *cells, best, *(f"{ratio:.2f}" for ratio in ratios))


def title(*cells):
    """The head of a table."""
    row(*cells)
    print("|" + "---|" * len(cells))


def row(*cells):
    """A row of a table."""
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def main():
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder with tinyshakespeare.txt")
    parser.add_argument("--tables", nargs="+", choices=("widths", "hand"), default=["widths", "hand"])
    parser.add_argument("--models", nargs="+", help="all if left out")
    parser.add_argument("--widths", type=int, nargs="+", default=list(WIDTHS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one model, few lanes: shows that it works")
    options = parser.parse_args()
    if options.quick:
        options.models, options.widths, options.rounds = ["embedding bag"], [1, 4], 2
    made = {
        name: make for name, make in tasks(options.data).items() if options.models is None or name in options.models
    }
    print(machine())
    print("CPU microseconds per lane-step: median (range); ratios are medians of ratios within a round\n")
    for table in options.tables:
        {"widths": widths, "hand": hand}[table](made, options)
        print(flush=True)


if __name__ == "__main__":
    main()
