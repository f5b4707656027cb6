"""What it costs to learn between generations: eight halvings of 64 trials against one of 512 with as many lane-steps.

The demo's network and data. All searches of a table take turns in one process, after one of each that compiles; their
ratio to one halving is of the same turn. Proposing is what is not spent in programs of the engine or before them: the
seconds that `propose` takes.

    python benchmarks/generations.py [--quick]
"""

import argparse
import time

import numpy as np
from side_by_side import machine, seconds, spread

import jaxtune as jt
from jaxtune.cli.demo import digits
from jaxtune.drivers import study


class Clock:
    """Adds up the seconds of a function that it takes the place of."""

    def __init__(self, function):
        self._function, self.seconds = function, 0.0

    def __call__(self, *args, **more):
        """What the function returns."""
        begin = time.perf_counter()
        try:
            return self._function(*args, **more)
        finally:
            self.seconds += time.perf_counter() - begin


def table(trials, generations, min_steps, max_steps, rounds):
    """Prints a row for each way to spend the same lane-steps."""
    task, proposing = digits.task("mlp"), {}

    def search(name, num_trials, **options):
        scheduler, seed = jt.SuccessiveHalving(num_trials, min_steps, max_steps, eta=4), iter(range(1000))

        def run():
            study.propose = clock = Clock(original)
            jt.tune(task, digits.SPACE, scheduler=scheduler, seed=next(seed), progress=False, **options)
            proposing.setdefault(name, []).append(clock.seconds)

        return run

    original, part = study.propose, trials // generations
    samplers = {"Sobol": jt.Sobol(), "TPE": jt.TPE(), "Bayesian": jt.Bayesian()}
    candidates = {f"one halving of {trials}": search(f"one halving of {trials}", trials)}
    for sampler, value in samplers.items():
        name = f"{generations} generations of {part}, {sampler}"
        candidates[name] = search(name, part, sampler=value, generations=generations)
    try:
        times = seconds(candidates, rounds)
    finally:
        study.propose = original
    one = np.array(next(iter(times.values())))
    print("\n| search | s | ratio to one halving | s of proposing | share of the search |")
    print("|---|---|---|---|---|")
    for name, taken in times.items():
        spent = np.array(proposing[name][1:])  # the first one compiled
        share = f"{np.median(spent / np.array(taken)):.1%}"
        columns = name, spread(taken), spread((np.array(taken) / one).tolist()), spread(spent.tolist()), share
        print(f"| {' | '.join(columns)} |")


def main():
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small searches, one round")
    quick = parser.parse_args().quick
    print(machine())
    table(*((32, 2, 10, 40, 1) if quick else (512, 8, 50, 3200, 5)))


if __name__ == "__main__":
    main()
