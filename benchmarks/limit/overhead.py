"""What a search of more than ten seconds spends on evaluating and on moving survivors together."""

import time
from unittest import mock

import jax

import jaxtune as jt
from jaxtune.cli.demo import digits
from jaxtune.drivers.rungs import Rungs
from jaxtune.engine.group import Group
from limit.report import table, verdict

SHARE = 3  # % of a search, at most
PARTS = {
    "training": (Group, "train"),
    "evaluating": (Group, "evaluate"),
    "deciding": (Rungs, "decide"),
    "moving": (Group, "decide"),
}


def overhead(quick):
    """Prints the seconds of each part of a warm search: halving with its rungs, and with curves besides."""
    trials, first, longest = (8, 10, 40) if quick else (2048, 200, 64 * 200)
    scheduler = jt.SuccessiveHalving(trials, first, longest, eta=4)
    rows, missed = [], []
    for name, every in (("rungs alone", None), (f"and curves, every {first} steps", first)):
        for seed in (0, 1):  # the first one compiles
            total, spent = _parts(scheduler, every, seed)
        share = 100 * (spent["evaluating"] + spent["deciding"] + spent["moving"]) / total
        rows.append((name, f"{total:.1f}", *(f"{seconds:.2f}" for seconds in spent.values()), f"{share:.1f}"))
        if share > SHARE:
            missed.append(f"{name} ({share:.1f} %)")
    header = ("evaluations", "total, s", *(f"{part}, s" for part in PARTS), "all but training, %")
    print(table(header, rows))
    print(verdict(f"evaluating, deciding and moving take under {SHARE} % of a search of over 10 s", missed))


def _parts(scheduler, every, seed):
    """Seconds in all, and of each part."""
    spent = dict.fromkeys(PARTS, 0.0)
    patches = [
        mock.patch.object(owner, name, _timed(owner, name, part, spent)) for part, (owner, name) in PARTS.items()
    ]
    for patch in patches:
        patch.start()
    begin = time.perf_counter()
    jt.tune(digits.task("mlp"), digits.SPACE, scheduler=scheduler, evaluate_every=every, seed=seed, progress=False)
    total = time.perf_counter() - begin
    for patch in patches:
        patch.stop()
    return total, spent


def _timed(owner, name, part, spent):
    function = getattr(owner, name)
    if name == "train":

        def timed(self, *args):
            begin = time.perf_counter()
            for done in function(self, *args):
                spent[part] += time.perf_counter() - begin
                yield done
                begin = time.perf_counter()

        return timed

    def timed(self, *args):
        begin = time.perf_counter()
        result = function(self, *args)
        if isinstance(self, Group):
            jax.block_until_ready(self.population)
        spent[part] += time.perf_counter() - begin
        return result

    return timed
