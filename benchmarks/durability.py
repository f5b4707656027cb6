"""What a run in a folder survives, and what it costs.

* kills: campaigns of kill -9 at random times until the search is over; its end against one that nobody disturbed.
* damage: bits flipped and files cut in a finished and in an unfinished run; how many were silent.
* cost: the demo's search (and one five times as long) with a folder and without, in turns; the time until a resumed
  search trains; checkpoints of many lanes.

    python benchmarks/durability.py [--only kills damage cost] [--campaigns 100] [--quick]
"""

import argparse
import hashlib
import itertools
import json
import multiprocessing
import random
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import jax
import numpy as np
from side_by_side import machine

import jaxtune as jt
from jaxtune.cli.demo import digits
from jaxtune.drivers import reporting
from jaxtune.engine.programs import Programs

STEPS = 3200
KINDS = "halving", "hyperband", "pbt", "replicates", "best"


def options(kind, steps):
    """How `tune` is called for a kind of search."""
    halving = jt.SuccessiveHalving(32, min_steps=steps // 8, max_steps=steps, eta=2)
    if kind == "hyperband":
        return {"scheduler": jt.Hyperband(min_steps=steps // 8, max_steps=steps)}
    if kind == "pbt":
        return {"scheduler": jt.PopulationBasedTraining(32, steps=steps, interval=steps // 8)}
    if kind == "replicates":
        return {"scheduler": halving, "replicates": 2, "metric": "accuracy"}
    if kind == "best":
        return {"scheduler": halving, "keep": "best", "evaluate_every": steps // 16, "patience": 3, "keep_weights": 3}
    return {"scheduler": halving}


def search(kind, steps, directory=None, **more):
    """A search on the demo's digits."""
    task = digits.task("mlp")
    return jt.tune(task, digits.SPACE, directory=directory, progress=False, **options(kind, steps) | more)


def digest(result):
    """Of all that a search found: record, configurations and weights."""
    history = result.history
    tables = [history.step, history.active, history.source, history.pruned, history.stopped, history.kept]
    tables += [*history.metrics.values(), *history.schedule.values()]
    for trial in sorted(result.weights):
        tables += jax.tree.leaves(result.weights[trial].trained.states)
    made = hashlib.sha256(repr([trial.hparams for trial in result.trials]).encode())
    for table in tables:
        made.update(np.ascontiguousarray(table).tobytes())
    return made.hexdigest()


# Kills


def pages(wanted):
    """Whether runs end with their pages, which take two seconds and are no part of a run: a matter of cost alone."""
    reporting.find_spec = find_spec if wanted else lambda name: None


def kills(kinds, campaigns, steps, most, longest):
    """Prints what comes of searches that are killed again and again, see `campaign`."""
    print("\n| search | campaigns | kills | resumes | identical | s until the kill | evaluations made / needed |")
    print("|---|---|---|---|---|---|---|")
    for kind in kinds:
        with tempfile.TemporaryDirectory() as folder:
            wanted = Part(kind, steps, Path(folder) / "alone").digest()
        found = [campaign(kind, steps, number, most, longest) for number in range(campaigns)]
        waits = [wait for _, waits, _ in found for wait in waits]
        steps_of = [[event["step"] for event in log if event["event"] == "evaluated"] for _, _, log in found]
        work = [len(made) / len(set(made)) for made in steps_of]
        resumes = sum(event["event"] == "resumed" for _, _, log in found for event in log)
        identical = sum(digest == wanted for digest, _, _ in found)
        print(
            f"| {kind} | {campaigns} | {len(waits)} | {resumes} | {identical} | {min(waits):.2f}-{max(waits):.2f} | "
            f"{np.median(work):.2f} ({min(work):.2f}-{max(work):.2f}) |",
            flush=True,
        )


def campaign(kind, steps, number, most, longest):
    """(digest, seconds until each kill, log) of a search that is killed at random times, at most so often."""
    rng, waits = random.Random(f"{kind}-{number}"), []
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        while True:
            process, wait = Part(kind, steps, run), rng.uniform(0.05, longest)
            if len(waits) == most or not process.is_killed(wait):
                found, lines = process.digest(), (run / "log.jsonl").read_text().splitlines()
                return found, waits, [json.loads(line)["event"] for line in lines]
            waits.append(wait)


class Part:
    """A search in a process of its own, forked from this one before it has touched a device."""

    def __init__(self, kind, steps, folder):
        fork = multiprocessing.get_context("fork")
        self._receiver, sender = fork.Pipe(duplex=False)
        self._heard = None
        self._process = fork.Process(target=self._run, args=(sender, kind, steps, folder))
        self._process.start()
        sender.close()

    @staticmethod
    def _run(sender, kind, steps, folder):
        watch_training(lambda: sender.send("trains"))
        often = {"evaluate_every": steps // 16, "checkpoint_every": 0.1}
        sender.send(digest(search(kind, steps, folder, **often)))

    def digest(self):
        """Of what it found, once it is over."""
        while self._heard in (None, "trains"):
            self._heard = self._receiver.recv()
        self._process.join()
        return self._heard

    def is_killed(self, wait):
        """Ends it so many seconds after it began to train; False if it was over before."""
        self._heard = self._receiver.recv()
        if self._heard != "trains" or self._receiver.poll(wait):  # all was trained when the one before was killed
            return False
        self._process.kill()
        self._process.join()
        return True


def watch_training(tell):
    """Has `tell` called at the first call that trains."""
    advance, calls = Programs.advance, itertools.count()

    def watched(self, *args):
        if next(calls) == 0:
            tell()
        return advance(self, *args)

    Programs.advance = watched


# Damage


def damage(flips, steps):
    """Prints how many changes of files are found."""
    print("\n| file | changes | told, or left out with a warning | harmless (same result) | silent |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        whole, cut = Path(scratch) / "whole", Path(scratch) / "cut"
        wanted = digest(search("halving", steps, whole))
        for _ in range(2):
            search("halving", steps, cut, callback=lambda result: True, checkpoint_every=0)
        unread = "run.lock", "report.json", "report.html"
        for path in sorted(path for path in whole.rglob("*") if path.is_file() and path.name not in unread):
            row(path, whole, flips, wanted, lambda: digest(jt.load(whole)))
        checkpoints = max((cut / "checkpoints").iterdir())
        for path in [cut / "log.jsonl", cut / "search.json", *sorted(checkpoints.iterdir())]:
            row(path, cut, max(flips // 20, 3), wanted, lambda: continued(cut, steps))


def continued(cut, steps):
    """The digest of an unfinished run that goes on, in a copy."""
    with tempfile.TemporaryDirectory() as scratch:
        shutil.copytree(cut, Path(scratch) / "run")
        return digest(search("halving", steps, Path(scratch) / "run"))


def row(path, folder, flips, wanted, read):
    """Changes a file in many ways, and prints what `read` makes of it."""
    data, counts, rng = path.read_bytes(), {"told": 0, "same": 0, "silent": 0}, np.random.default_rng(0)
    changes = [data[:size] for size in {0, 1, len(data) // 2, len(data) - 1} if size < len(data)]
    for _ in range(flips):
        changed = bytearray(data)
        changed[rng.integers(len(data))] ^= 1 << rng.integers(8)
        changes.append(bytes(changed))
    for changed in changes:
        path.write_bytes(changed)
        try:
            counts["same" if read() == wanted else "silent"] += 1
        except (ValueError, OSError):
            counts["told"] += 1
    path.write_bytes(data)
    name = f"{folder.name}/{path.relative_to(folder)}"
    print(f"| {name} | {len(changes)} | {counts['told']} | {counts['same']} | {counts['silent']} |", flush=True)


# Cost


def cost(repeats, steps, lanes, cases):
    """Prints what a folder costs."""
    print("\n| search | without, s | with a folder, s | more, s | ratio of the medians |")
    print("|---|---|---|---|---|")
    every = ("short", 64, steps), ("demo", 512, steps), ("demo, five times the budget", 512, 5 * steps)
    for name, trials, most in every[:cases]:
        scheduler = jt.SuccessiveHalving(trials, min_steps=max(1, most // 64), max_steps=most, eta=4)
        times = {"without": [], "with": []}
        for number in range(repeats + 1):  # the first one compiles
            for side in times:
                with tempfile.TemporaryDirectory() as folder:
                    begin = time.monotonic()
                    jt.tune(
                        digits.task("mlp"), digits.SPACE, scheduler=scheduler, progress=False, seed=number,
                        directory=f"{folder}/run" if side == "with" else None,
                    )  # fmt: skip
                    times[side].append(time.monotonic() - begin)
        without, kept = (np.array(times[side][1:]) for side in times)
        shown = [f"{np.median(x):.2f} ({x.min():.2f}-{x.max():.2f})" for x in (without, kept, kept - without)]
        print(f"| {name} | {' | '.join(shown)} | {np.median(kept) / np.median(without):.3f} |", flush=True)
    print("\n| lanes | bytes of a checkpoint | s to fetch and write | s to read and place |")
    print("|---|---|---|---|")
    for count in lanes:
        print(f"| {count:,} | {' | '.join(checkpoint(count))} |", flush=True)
    print("\n| until the first step that is trained, in a fresh process | s |")
    print("|---|---|")
    for name, seconds in first_steps(steps, repeats).items():
        print(f"| {name} | {np.median(seconds):.2f} ({min(seconds):.2f}-{max(seconds):.2f}) |", flush=True)


def checkpoint(count):
    """Bytes and seconds of one checkpoint of so many lanes of the demo's network."""
    with tempfile.TemporaryDirectory() as folder:
        common = {"scheduler": jt.FullBudget(count, 4), "progress": False, "evaluate_every": 2}
        begin = time.monotonic()
        times = []

        def callback(result):
            times.append(time.monotonic())
            return True

        task = digits.task("mlp")
        jt.tune(task, digits.SPACE, directory=folder, callback=callback, checkpoint_every=0, **common)
        wrote = time.monotonic() - times[0]
        size = sum(path.stat().st_size for path in max((Path(folder) / "checkpoints").iterdir()).iterdir())
        begin, ready = time.monotonic(), []
        advance = Programs.advance

        def watched(self, *args):
            ready.append(time.monotonic())
            return advance(self, *args)

        Programs.advance = watched
        try:
            jt.tune(task, digits.SPACE, directory=folder, **common)
        finally:
            Programs.advance = advance
        return f"{size / 1e6:,.1f} MB", f"{wrote:.2f}", f"{ready[0] - begin:.2f}"


def first_steps(steps, repeats):
    """Kind of start -> seconds until a program trains, each in a process of its own."""
    found = {"fresh start": [], "resumed": []}
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, __file__, "--first-step", str(steps), folder]
            for name in found:
                text = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
                found[name].append(float(text.split()[-1]))
    return found


def print_first_step(steps, folder):
    """Searches up to the first evaluation, and prints how old this process was when it first trained."""
    from jaxtune.cli.demo.report import process_age

    watch_training(lambda: print(process_age()))
    search("halving", steps, folder, callback=lambda result: True)


def main():
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=("kills", "damage", "cost"), default=("kills", "damage", "cost"))
    parser.add_argument("--campaigns", type=int, default=20, help="of each kind of search")
    parser.add_argument("--steps", type=int, default=STEPS // 8, help="of a full training of these")
    parser.add_argument("--longest", type=float, default=2.0, help="seconds of training until a kill")
    parser.add_argument("--quick", action="store_true", help="one campaign, few changes, short searches")
    parser.add_argument("--first-step", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.first_step:
        return print_first_step(int(given.first_step[0]), given.first_step[1])
    quick = given.quick
    pages(False)
    if "kills" in given.only:  # first: the processes are forked from one that has not touched a device
        options = (
            (KINDS[:1], 1, STEPS // 8, 10, 0.3) if quick else (KINDS, given.campaigns, given.steps, 1000, given.longest)
        )
        kills(*options)
    print(machine())
    if "damage" in given.only:
        damage(1 if quick else 200, 160)
    if "cost" in given.only:
        pages(True)
        cost(1 if quick else 5, 64 if quick else STEPS, (16,) if quick else (64, 1024, 16_384), 1 if quick else 3)
    return None


if __name__ == "__main__":
    main()
