"""What many searches leave behind in one process: memory mappings, memory, and the time that each of them takes.

Each search has new function objects, as where the cell of a notebook is run again: its task is built in a function, its
model, optimizer and loss are lambdas. There are two kinds, each in a process of its own:

* same: the same code again. Nothing may be compiled after the first search.
* other: other code each time, another constant in the loss, so that each search compiles programs of its own. Each
  program takes dozens of memory mappings on a CPU, and a process dies that needs more than `vm.max_map_count`, 65,530
  by default: programs that no search uses any more have to go.

JAX's persistent compilation cache, in a temporary folder, is only there to get that far sooner: what an earlier search
has compiled and lost is read from it.

    python benchmarks/many_searches.py [--searches 500] [--kinds same other] [--picture FILE] [--quick]

The exit status is 1 where the same code was compiled again or a process died.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import flax.linen as nn
import numpy as np
import optax
import psutil
from compiles import Compiles
from side_by_side import machine

import jaxtune as jt

KINDS = {"same": "the same code again", "other": "other code each time"}
SHOWN = {1, 10, 50, *range(100, 10_000, 100)}  # numbers of searches that have a row
MAPS, MAX_MAPS = Path("/proc/self/maps"), Path("/proc/sys/vm/max_map_count")
SCHEDULER = jt.SuccessiveHalving(trials=64, min_steps=2, max_steps=128, eta=2)
QUICK = jt.SuccessiveHalving(trials=4, min_steps=2, max_steps=4, eta=2)
COLUMNS = {
    "mappings": "memory mappings",
    "resident": "resident memory, MB",
    "compiled": "programs compiled",
    "waited": "s waited for compilers",
    "seconds": "s in all",
}


def search(factor, scheduler):
    """A search whose code nobody has seen before; what it computes depends on the factor."""
    x = np.random.default_rng(0).normal(size=(192, 4)).astype(np.float32)
    task = jt.supervised(
        lambda hp: nn.Dense(1),
        optimizer=lambda hp: optax.sgd(hp["lr"]),
        loss=lambda outputs, targets: factor * (outputs - targets) ** 2,
        train=(x, x[:, :1]),
        validation=(x, x[:, :1]),
        batch_size=32,
    )
    return jt.tune(task, {"lr": jt.LogUniform(1e-3, 0.3)}, scheduler=scheduler, keep="best", progress=False)


def measure(kind, searches, scheduler):
    """Makes the searches, and prints a record in JSON after each."""
    with Compiles() as compiles:
        for number in range(1, searches + 1):
            begin = time.monotonic()
            waited = search(1.0 if kind == "same" else 1 + number / 1024, scheduler).timing["compile"]
            record = {
                "search": number,
                "mappings": mappings(),
                "resident": psutil.Process().memory_info().rss / 1e6,
                "compiled": sum(map(len, compiles.take().values())),
                "waited": waited,
                "seconds": time.monotonic() - begin,
            }
            print(json.dumps(record), flush=True)


def mappings():
    """Memory mappings of this process; None where nobody tells."""
    return MAPS.read_bytes().count(b"\n") if MAPS.exists() else None


def run(kind, searches, quick=False):
    """Prints rows while a fresh process searches; returns its records and exit status."""
    with tempfile.TemporaryDirectory() as folder:
        cache = {"JAX_COMPILATION_CACHE_DIR": folder, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
        command = [
            sys.executable,
            __file__,
            "--part",
            kind,
            "--searches",
            str(searches),
            *(["--quick"] if quick else []),
        ]
        records, shown = [], 0
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | cache) as process:
            for line in process.stdout:
                records.append(json.loads(line))
                if len(records) in SHOWN | {searches}:
                    shown = len(records)
                    print_row(kind, records[-1])
        if len(records) > shown:  # it died
            print_row(kind, records[-1])
    return records, process.returncode


def print_row(kind, record):
    """Prints a record as a line of the table."""
    many = "?" if record["mappings"] is None else f"{record['mappings']:,}"
    times = (f"{record[name]:.2f}" for name in ("waited", "seconds"))
    print_cells(kind, record["search"], many, f"{record['resident']:,.0f}", record["compiled"], *times)


def print_cells(*cells):
    """Prints a line of the table."""
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def verdict(kind, records, status):
    """What a kind came to, as a sentence, and whether it is as it should be."""
    again = sum(record["compiled"] for record in records[1:])
    if status:
        return f"Broken: {KINDS[kind]}: the process ended with status {status} after {len(records)} searches.", False
    if kind == "same":
        what = f"{KINDS[kind]}: {again} programs compiled after the first search."
        return f"Broken: {what}" if again else what, not again
    counts = [record["mappings"] for record in records]
    if None in counts:
        return f"{KINDS[kind]}: nobody tells the mappings of a process here.", True
    first, second = (max(half, default=0) for half in (counts[: len(counts) // 2], counts[len(counts) // 2 :]))
    seen = f"at most {first:,} mappings in the first half of the searches, {second:,} in the second"
    return f"{KINDS[kind]}: {seen}; {int(MAX_MAPS.read_text()):,} are allowed.", True


def draw(found, file):
    """Writes a picture: mappings, memory and seconds after each search."""
    import matplotlib

    matplotlib.use("agg")  # needs no display
    from matplotlib import pyplot

    known = [name for name in ("mappings", "resident", "seconds") if name != "mappings" or MAPS.exists()]
    figure, axes = pyplot.subplots(1, len(known), figsize=(4 * len(known), 3), layout="constrained", squeeze=False)
    for name, ax in zip(known, axes.flat, strict=True):
        for kind, color in zip(KINDS, ("#2B6CB0", "#DD6B20"), strict=True):
            values = [record[name] for record in found.get(kind, ())]
            ax.plot(range(1, len(values) + 1), values, color=color, linewidth=1, label=KINDS[kind])
        ax.set(xlabel="search", ylabel=COLUMNS[name], ylim=(0, None))
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(axis="y", color="#E2E8F0")
    axes.flat[0].legend(frameon=False)
    figure.savefig(file, dpi=110)
    print(f"\nCurves: {file}")


def main():
    """Prints a table; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--searches", type=int, default=500)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--picture", type=Path, help="where to write a picture of the curves (PNG)")
    parser.add_argument("--quick", action="store_true", help="few searches: shows that it works")
    parser.add_argument("--part", choices=KINDS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        measure(options.part, options.searches, QUICK if options.quick else SCHEDULER)
        return 0
    searches = 2 if options.quick else options.searches
    print(machine() + "\n")
    print_cells("code", "search", *COLUMNS.values())
    print("|" + "---|" * (2 + len(COLUMNS)))
    ends = {kind: run(kind, searches, options.quick) for kind in options.kinds}
    print()
    verdicts = [verdict(kind, *end) for kind, end in ends.items()]
    print("\n".join(sentence for sentence, _ in verdicts))
    if options.picture:
        draw({kind: records for kind, (records, _) in ends.items()}, options.picture)
    return 0 if all(good for _, good in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
