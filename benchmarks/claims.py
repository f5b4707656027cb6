"""What the figures of a result claim, against simulations in which the truth is known.

* Standard errors of a cross-validation with replicates: how often Student's interval of 95 % covers the true mean. The
  replicates of a fold share its validation examples.
* The share of a gap that comes from having picked the best of many: what it is on average over searches, against the
  range from 0 to `max_optimism`. Candidates have equal or different true values, errors of their own or in common;
  or many checkpoints of each are candidates (`keep="best"`).

    python benchmarks/claims.py [--searches 150] [--quick]

The exit status is 1 where a claim doesn't hold.
"""

import argparse
import sys
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from scipy import stats
from side_by_side import machine

import jaxtune as jt

FOLDS, REPLICATES = 5, (1, 5, 20)
TRIALS, EXAMPLES, EVALUATIONS = 64, 100, 20
COVERAGE = 0.88, 0.99  # of 150 searches, where 95 % is wanted; squares are skewed, which costs some percent


class Candidates(NamedTuple):
    """A kind of search: true values with this spread, and a part of the errors (variance 1) in common."""

    name: str
    spread: float
    common: float
    keep: str = "last"


KINDS = (
    Candidates("equal values, independent errors", 0.0, 0.0),
    Candidates("spread of half a standard error", 0.05, 0.0),
    Candidates("spread of a standard error", 0.1, 0.0),
    Candidates("spread of three standard errors", 0.3, 0.0),
    Candidates("equal values, errors 90 % in common", 0.0, 3.0),
    Candidates("equal values, 20 checkpoints of each", 0.0, 0.0, "best"),
)


def of_folds(replicates, seed):
    """Mean and standard error of a predictor that is always 0, on numbers whose squares have the mean 1."""
    x = np.random.default_rng(seed).normal(size=EXAMPLES).astype(np.float32)
    task = jt.Task(
        init=lambda key, hp: jnp.zeros(()),
        step=lambda key, state, batch, hp: (state, {}),
        evaluate=lambda key, state, data, hp: {"loss": jnp.mean(data**2) + 0 * hp["a"]},
        train=x,
    )
    scheduler = jt.FullBudget(1, 1)
    options = {"folds": FOLDS, "replicates": replicates, "progress": False}
    best = jt.tune(task, {"a": jt.Uniform(0.0, 1.0)}, scheduler=scheduler, **options).best
    return best.metrics["loss"], best.standard_error["loss"]


def gap(kind, seed):
    """The gap of a search whose trials are told apart by noise and by their true values."""
    rng = np.random.default_rng(seed)
    times = EVALUATIONS if kind.keep == "best" else 1
    true = kind.spread * rng.normal(size=TRIALS).astype(np.float32)

    def split():
        own = true[:, None] + rng.normal(size=(EXAMPLES, TRIALS, times)).astype(np.float32)
        return own + kind.common * rng.normal(size=(EXAMPLES, 1, 1)).astype(np.float32)

    task = jt.Task(
        init=lambda key, hp: jnp.int32(0),
        step=lambda key, state, batch, hp: (state + 1, {}),
        evaluate=lambda key, state, data, hp: {"loss": jnp.mean(data[:, hp["i"], jnp.clip(state - 1, 0, times - 1)])},
        validation=split(),
        test=split(),
    )
    scheduler = jt.FullBudget(TRIALS, times)
    options = {"sampler": jt.Grid(), "evaluate_every": 1, "keep": kind.keep, "progress": False}
    return jt.tune(task, {"i": jt.Integer(0, TRIALS - 1)}, scheduler=scheduler, **options).gap()


def standard_errors(searches):
    """Prints the coverage of standard errors; whether it is that of 95 %."""
    print(f"\n{FOLDS} folds of {EXAMPLES} examples, {searches} searches each\n")
    print("| replicates | standard deviation of the mean | standard error reported, mean | covered by 95 % |")
    print("|---|---|---|---|")
    good = True
    for replicates in REPLICATES:
        means, errors = np.array([of_folds(replicates, seed) for seed in range(searches)]).T
        covered = float(np.mean(np.abs(means - 1) < stats.t.ppf(0.975, FOLDS - 1) * errors))
        good &= COVERAGE[0] <= covered <= COVERAGE[1]
        print(f"| {replicates} | {means.std():.4f} | {errors.mean():.4f} | {100 * covered:.0f} % |", flush=True)
    return good


def selection(searches):
    """Prints what selection adds to gaps; whether the ranges cover it, up to twice the simulation's own error."""
    print(f"\n{TRIALS} trials, {EXAMPLES} examples in each split, {searches} searches each\n")
    print("| candidates | gap, mean | its standard error | max_optimism, mean | gap / max_optimism |")
    print("|---|---|---|---|---|")
    good = True
    for kind in KINDS:
        found = [gap(kind, seed) for seed in range(searches)]
        gaps, most = np.array([one.gap for one in found]), np.mean([one.max_optimism for one in found])
        error = gaps.std(ddof=1) / np.sqrt(searches)
        good &= bool(-2 * error <= gaps.mean() <= most + 2 * error)
        cells = kind.name, f"{gaps.mean():.3f}", f"{error:.3f}", f"{most:.3f}", f"{gaps.mean() / most:.2f}"
        print(f"| {' | '.join(cells)} |", flush=True)
    return good


def main():
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--searches", type=int, default=150)
    parser.add_argument("--quick", action="store_true", help="a few searches, whose claims are not judged")
    options = parser.parse_args()
    searches = 3 if options.quick else options.searches
    print(machine())
    good = [standard_errors(searches), selection(searches)]
    return 0 if options.quick or all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
