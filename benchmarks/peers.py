"""jaxtune's search against what people use, on the same work.

Same model, data, space, rungs, seeds and number of trials; `searches/` has each peer's code, in a file of its own.
Every (peer, seed) has a fresh process: it is timed from its start to the end of a first search, imports and compile
included, and then warm, for a second search with another seed. The peers take turns within each seed.

    pip install -e ".[demo,peers]"
    python benchmarks/peers.py [--model mlp] [--peers jaxtune,hand] [--seeds 5] [--output peers.json] [--quick]
    python benchmarks/peers.py --report peers.json

A run with five seeds takes about 25 minutes on 4 cores. Results are saved after every process: the same command goes on
where it was cut off. Rows that would take hours run a share of their search, and the table says so.
"""

import argparse
import importlib
import importlib.metadata
import importlib.util
import json
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from fresh import fresh
from side_by_side import machine, spread

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
ANOTHER = 1000  # between the seeds of the first and the second search


@dataclass(frozen=True)
class Peer:
    """A row: what it is, where its code is, and how many times faster jaxtune wants to be."""

    label: str
    module: str
    options: dict = field(default_factory=dict)
    needs: str = "jaxtune"
    wanted: str = ""


PEERS = {
    "jaxtune": Peer("jaxtune", "with_jaxtune"),
    "optuna-recompiling": Peer("1a Optuna, as most write it", "optuna_recompiling", {}, "optuna", ">= 1000"),
    "optuna-compiled": Peer("1b Optuna, compiled once", "with_optuna", {"trials": 24}, "optuna"),
    "optuna-pruner": Peer("1c Optuna, compiled once, pruner", "with_optuna", {"prune": True}, "optuna", ">= 8"),
    "optuna-threads": Peer(
        f"1c with {CORES} threads and devices", "with_optuna", {"prune": True, "jobs": CORES}, "optuna", ">= 8"
    ),
    "ray": Peer(f"2 Ray Tune, ASHA, {CORES} actors", "with_ray", {"workers": CORES}, "ray", ">= 15"),
    "hyperoptax": Peer("3 Hyperoptax, 64 at once", "with_hyperoptax", {}, "hyperoptax"),
    "hand": Peer("4 jit(vmap(loop)) by hand", "by_hand", {}, "jaxtune", ">= 70"),
    "hand-sharded": Peer(f"4 by hand on {CORES} devices", "by_hand", {"devices": CORES}, "jaxtune", ">= 70"),
    "sklearn": Peer("5 scikit-learn, halving (no dropout)", "with_sklearn", {}, "sklearn"),
    "torch": Peer("6 torch.func, torch.compile", "with_torch", {}, "torch"),
}
STRONGEST = ("jaxtune", "optuna-compiled", "optuna-threads", "hand", "hand-sharded")  # for other models


def main():
    """Runs what is asked for and prints the table."""
    options = arguments()
    if options.part:
        print(json.dumps(part(options)))
        return
    if options.report:
        report(json.loads(options.report.read_text()))
        return
    names = chosen(options)
    saved = opened(options)
    for seed in range(options.seeds):
        for name in names:
            if not any((r["peer"], r["seed"]) == (name, seed) for r in saved["records"]):
                run(name, seed, options, saved)
    report(saved)


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mlp", help="mlp, cnn, wide, few (8 trials), or transformer (needs --data)")
    parser.add_argument("--data", type=Path, help="folder of tinyshakespeare.txt")
    parser.add_argument("--peers", help=f"some of {', '.join(PEERS)}; all for the MLP, the strongest for other models")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--output", type=Path, help="JSON file: results are kept in it, a cut-off run goes on")
    parser.add_argument("--report", type=Path, help="print the table of such a file")
    parser.add_argument("--quick", action="store_true", help="few trials and steps: shows that it works")
    parser.add_argument("--part", choices=tuple(PEERS), help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--began", type=float, help=argparse.SUPPRESS)
    return parser.parse_args()


def work_of(options):
    """The work that was asked for."""
    from searches.work import works

    found = works(options.data)
    if options.model not in found:
        raise SystemExit(
            f"There is no model {options.model!r}; there are {', '.join(found)}, and transformer with --data."
        )
    return found[options.model].smaller() if options.quick else found[options.model]


def part(options):
    """One peer and seed, in this process: a first search, and a second one where the first can't tell the warm time."""
    peer = PEERS[options.part]
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    module = importlib.import_module(f"searches.{peer.module}")
    search = module.searcher(work_of(options), **peer.options)
    before = time.time() - options.began
    first = search(options.seed)
    took = time.time() - options.began
    second = first if first.compiling else search(options.seed + ANOTHER)
    return {
        "peer": options.part,
        "seed": options.seed,
        "load": load,
        "share": first.share,
        "first_trials": first.first_trials,
        "fresh": {"seconds": took, "events": [(before + at, loss) for at, loss in first.events]},
        "warm": {"seconds": second.seconds, "events": [(at - second.compiling, loss) for at, loss in second.events]},
        "best": [first.best] if second is first else [first.best, second.best],
        "losses": first.losses,
    }


def chosen(options):
    """Names of the peers to run, without those that are not installed."""
    default = ",".join(PEERS if options.model == "mlp" else STRONGEST)
    names = (options.peers or default).split(",")
    unknown = set(names) - set(PEERS)
    if unknown:
        raise SystemExit(f"There are no peers {', '.join(sorted(unknown))}; there are {', '.join(PEERS)}.")
    missing = [name for name in names if importlib.util.find_spec(PEERS[name].needs) is None]
    if missing:
        print(f'Left out, as not installed: {", ".join(missing)}. pip install -e ".[demo,peers]"; torch on its own.\n')
    return [name for name in names if name not in missing]


def opened(options):
    """What a run before has saved, or an empty page."""
    work = work_of(options)
    page = {
        "machine": machine(),
        "versions": versions(),
        "model": options.model,
        "quick": options.quick,
        "what": work.what,
        "trials": work.trials,
        "rungs": work.rungs,
        "trainings": work.scheduler.plan().trial_steps / work.max_steps,
        "records": [],
    }
    if options.output is None or not options.output.exists():
        return page
    saved = json.loads(options.output.read_text())
    for name in ("model", "quick", "trials", "rungs", "versions"):
        if saved[name] != page[name]:
            raise SystemExit(f"{options.output} is about {name} {saved[name]}, not {page[name]}: name another file.")
    return saved


def versions():
    """The versions of the peers."""
    names = ("optuna", "ray", "hyperoptax", "scikit-learn", "torch", "numpy")
    found = {d.name.lower(): d.version for d in importlib.metadata.distributions() if d.name}
    return ", ".join(f"{name} {found[name]}" for name in names if name in found)


def run(name, seed, options, saved):
    """Runs a peer in a process of its own and saves what it says."""
    more = [*(["--quick"] if options.quick else []), *(["--data", str(options.data)] if options.data else [])]
    said = ("--part", name, "--seed", str(seed), "--model", options.model, "--began", repr(time.time()))
    try:
        record = fresh(__file__, *said, *more)
    except SystemExit as failure:
        print(f"{name}, seed {seed}: {failure}", file=sys.stderr, flush=True)
        return
    saved["records"].append(record)
    fresh_seconds, warm_seconds = (whole(record, kind) for kind in ("fresh", "warm"))
    print(f"{name}, seed {seed}: fresh {fresh_seconds:.3g} s, warm {warm_seconds:.3g} s", file=sys.stderr, flush=True)
    if options.output:
        beside = options.output.with_suffix(".part")
        beside.write_text(json.dumps(saved))
        beside.replace(options.output)


def whole(record, kind):
    """Seconds to the end of a search; extrapolated where only a share of it was run."""
    rest = record["warm"]["seconds"] * (1 / record["share"] - 1)
    return record[kind]["seconds"] + rest


def until(record, kind, target, saved):
    """Seconds until a validation loss was known that is as good as the target; None if it never was.

    Where only a share was run: until as many trainings are finished as reach the target in half of all cases.
    """
    if record["share"] == 1:
        return next((at for at, loss in record[kind]["events"] if loss <= target), None)
    needed = max(record["first_trials"], saved["trainings"] / saved["trials"])
    start = record["fresh"]["seconds"] - record["warm"]["seconds"] if kind == "fresh" else 0
    return start + needed * record["warm"]["seconds"] / record["share"]


def target_of(saved):
    """The loss that half of all random searches reach with as many steps as jaxtune's; None if unknown."""
    losses = {r["seed"]: r["losses"] for r in saved["records"] if r["losses"]}
    pooled = sorted(loss for values in losses.values() for loss in values)
    if not pooled:
        return None
    return pooled[int(len(pooled) * (1 - 0.5 ** (1 / saved["trainings"])))]


def report(saved):
    """Prints the table."""
    records, target = saved["records"], target_of(saved)
    loads = [r["load"] for r in records if r["load"] is not None]
    print(f"{saved['machine']}; {saved['versions']}")
    print(f"Load at the start of each process: {spread(loads) if loads else '?'}\n")
    print(
        f"{saved['what']}; {saved['trials']:,} trials, compared at {', '.join(f'{s:,}' for s in saved['rungs'])} steps."
    )
    if target is not None:
        print(
            f"The target, {target:.4f}, is the validation loss that random search reaches in half of all cases with "
            f"{saved['trainings']:.3g} trainings to the end, the steps that jaxtune's search takes; from the losses of "
            "all trials trained by hand."
        )
    print("Median (range) over seeds; ratios are taken seed by seed.\n")
    names = ("", "seeds", "fresh process, s", "/ jaxtune", "warm, s", "/ jaxtune", "wanted", "s to target, fresh")
    print_row(*names, "s to target, warm", "best validation loss", "run")
    print("|" + "---|" * (len(names) + 3))
    ours = {r["seed"]: r for r in records if r["peer"] == "jaxtune"}
    for name, peer in PEERS.items():
        mine = [r for r in records if r["peer"] == name]
        if mine:
            print_row(*cells(peer, mine, ours, target, saved))


def cells(peer, records, ours, target, saved):
    """A row of the table."""
    times, ratios, targets = [], [], []
    for kind in ("fresh", "warm"):
        times.append(spread([whole(r, kind) for r in records]))
        pairs = [whole(r, kind) / whole(ours[r["seed"]], kind) for r in records if r["seed"] in ours]
        ratios.append(spread(pairs) if pairs else "")
        reached = [until(r, kind, target, saved) for r in records] if target is not None else []
        targets.append(to_target([s for s in reached if s is not None], len(records)) if reached else "")
    share = records[0]["share"]
    extrapolated = share < 1
    best = "(of a share)" if extrapolated else spread([loss for r in records for loss in r["best"]])
    done = f"EXTRAPOLATED from {share:.2%}" if extrapolated else "all"
    wanted = peer.wanted if saved["model"] == "mlp" else ""
    return peer.label, str(len(records)), times[0], ratios[0], times[1], ratios[1], wanted, *targets, best, done


def to_target(seconds, count):
    """Median and range, and how many got there if not all did."""
    missed = f", {len(seconds)} of {count} seeds" if len(seconds) < count else ""
    return (spread(seconds) if seconds else "never") + missed


def print_row(*row):
    """Prints a line of a table."""
    print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
