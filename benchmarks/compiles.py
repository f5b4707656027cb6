"""Counts what a search compiles, and fails where it is more than promised.

Promised: at most 4 training programs (`advance`) per group of static hyperparameters in a first search; none in a
second one with another seed and a longer schedule, unless it comes down to fewer lanes than any before, or trains them
for so long that programs of their own pay; at most 1 per group in one with more trials. JAX itself reports every
program that XLA compiles, those of single operations too, so nothing is missed; "others" sample, decode and decide, or
are single operations. Each kind of search has a process of its own. Compilers work side by side in threads: their
seconds add up to more than a search waits for them.

A longer schedule is twice as long; "more trials" are eta times as many for halving, so that one rung comes on top and
the numbers of survivors below stay. A rung whose survivors fit a narrower program than any before needs it compiled.

    python benchmarks/compiles.py [--searches halving hyperband pbt widths] [--quick]

The exit status is 1 where a promise is broken.
"""

import argparse
import collections
import json
import sys
import time
from typing import NamedTuple

import flax.linen as nn
import jax
import optax
from fresh import fresh
from side_by_side import machine

import jaxtune as jt
from jaxtune.cli.demo import digits

TRAINING = "advance"
PROGRAMS = ("spawn", TRAINING, "evaluate", "move")


class Run(NamedTuple):
    """One search of a process, and what it may compile."""

    what: str
    scheduler: object
    limit: int  # training programs per group


def runs(search, quick):
    """The searches that one process makes, one after another."""
    if search == "hyperband":  # 81 bursts of 10 steps, then 100, then 243
        schedulers = (jt.Hyperband(10, steps) for steps in (810, 1000, 2430))
    elif search == "pbt":
        trials, interval = (8, 5) if quick else (32, 100)
        sizes = (trials, 10), (trials, 20), (2 * trials, 10)
        schedulers = (jt.PopulationBasedTraining(n, k * interval, interval) for n, k in sizes)
    else:
        trials, rung, longest = (64 if search == "widths" else 512), 50, 64
        if quick:
            trials, rung, longest = 16, 5, 16
        sizes = (trials, longest), (trials, 2 * longest), (4 * trials, longest)
        schedulers = (jt.SuccessiveHalving(n, rung, k * rung, eta=4) for n, k in sizes)
    first, longer, more = schedulers
    return [
        Run("first", first, 4),
        Run("another seed, longer", longer, 1),
        Run("more trials", more, 1),
    ]


class TwoLayers(nn.Module):
    """A network whose width is a static hyperparameter."""

    width: int

    @nn.compact
    def __call__(self, x):
        """Logits."""
        return nn.Dense(10)(nn.relu(nn.Dense(self.width)(x)))


def problem(search):
    """Task, space and number of groups."""
    if search != "widths":
        return digits.task("mlp"), digits.SPACE, 1
    task = jt.supervised(
        lambda hp: TwoLayers(hp["width"]),
        optimizer=lambda hp: optax.adam(hp["lr"]),
        loss=optax.softmax_cross_entropy_with_integer_labels,
        batch_size=64,
        **digits.splits(),
    )
    return task, {"width": jt.Choice((32, 64)), "lr": jt.LogUniform(1e-4, 1e-1)}, 2


class Compiles:
    """Seconds of every program that XLA compiles, by its name; listens while it is open."""

    def __init__(self):
        self._seconds = collections.defaultdict(list)

    def __enter__(self):
        jax.monitoring.register_event_duration_secs_listener(self._listen)
        return self

    def __exit__(self, *_):
        jax.monitoring.unregister_event_duration_listener(self._listen)

    def _listen(self, event, seconds, fun_name="", **_):
        if event == "/jax/core/compile/backend_compile_duration":
            self._seconds[fun_name.removeprefix("jit(").removesuffix(")")].append(seconds)

    def take(self):
        """Name -> seconds of each program since the last call."""
        taken, self._seconds = self._seconds, collections.defaultdict(list)
        return dict(taken)


def measure(search, quick):
    """What each run of a search compiles, as plain records."""
    task, space, groups = problem(search)
    with Compiles() as compiles:
        return [
            record(search, seed, run, groups, task, space, compiles) for seed, run in enumerate(runs(search, quick))
        ]


def record(search, seed, run, groups, task, space, compiles):
    """Makes one run of a search."""
    begin = time.monotonic()
    result = jt.tune(task, space, scheduler=run.scheduler, seed=seed, progress=False)
    return {
        "search": search,
        "run": run.what,
        "trials": len(result.trials),
        "groups": groups,
        "limit": run.limit * groups,
        "total": time.monotonic() - begin,
        "waited": result.timing["compile"],
        "programs": compiles.take(),
    }


def broken(run):
    """Whether a run, as a record, compiled more training programs than promised."""
    return len(run["programs"].get(TRAINING, ())) > run["limit"]


def row(run):
    """A record as cells."""
    programs = run["programs"]
    rest = [s for name, seconds in programs.items() if name not in PROGRAMS for s in seconds]
    each = [programs.get(name, []) for name in PROGRAMS]
    training = f"{len(programs.get(TRAINING, ()))} (at most {run['limit']})"
    cells = [run["search"], run["run"], run["trials"], run["groups"]]
    cells += [training, sum(map(len, programs.values())), f"{run['total']:.1f}", f"{run['waited']:.1f}"]
    cells += [f"{len(seconds)}: {sum(seconds):.2f}" if seconds else "" for seconds in [*each, rest]]
    return "| " + " | ".join(map(str, cells)) + " |"


def main():
    """Prints a row per search; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    searches = ("halving", "hyperband", "pbt", "widths")
    parser.add_argument("--searches", nargs="+", choices=searches, default=searches)
    parser.add_argument("--quick", action="store_true", help="few trials and steps: shows that it works")
    parser.add_argument("--part", choices=searches, help=argparse.SUPPRESS)
    options = parser.parse_args()
    jt.set_host_device_count()
    quick = ["--quick"] if options.quick else []
    if options.part:
        print(json.dumps(measure(options.part, options.quick)))
        return 0
    print(machine() + "\n")
    header = ["search", "run", "trials", "groups", "training programs", "programs", "s in all", "s waited"]
    header += [*PROGRAMS, "others"]
    print("Under each program's name: how many were compiled, and seconds of compilers\n")
    print("| " + " | ".join(header) + " |\n|" + "---|" * len(header))
    records = []
    for search in options.searches:
        records += fresh(__file__, "--part", search, *quick)
        print("\n".join(row(r) for r in records if r["search"] == search), flush=True)
    return verdict(records)


def verdict(records):
    """Says whether the promises hold; returns the exit status."""
    failed = [r for r in records if broken(r)]
    for r in failed:
        count = len(r["programs"][TRAINING])
        print(f"\nBroken: {r['search']}, {r['run']}: {count} training programs, promised at most {r['limit']}.")
    if not failed:
        print("\nAll promises hold.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
