"""What can be believed of a confirmed winner: simulations with known truth.

Candidates have true values, the luck of a seed (common to all of them), noise of their own on each seed, and an error
on the validation examples that no seed changes. Values are normal; candidates' true values are exponential times the
spread, in units of the noise of one seed.

    python benchmarks/confirming.py [--repetitions 2000] [--quick]

*Races* share a budget of 40 trainings among 8 candidates, as `Result.confirm` does, against 5 seeds for each. *Gaps*
are of searches of 64 trials by one seed, whose best 8 are confirmed: does the interval of `Gap` hold how much worse the
winner truly is than its validation value? A seed's luck on the validation data is none on the test data here.
"""

import argparse

import numpy as np
from side_by_side import machine

from jaxtune.results.confirming.race import Race
from jaxtune.results.gap import Gap

TRIALS, TOP, SEEDS = 64, 8, 5
EXAMPLES = 0.5  # error that comes from the choice of the examples of a split, in units of the noise of a seed


def main():
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=2000, help="of each race; a tenth of it of each gap")
    parser.add_argument("--quick", action="store_true", help="few repetitions: shows that it works")
    given = parser.parse_args()
    repetitions = 20 if given.quick else given.repetitions
    print(machine())
    print(races(repetitions))
    print(gaps(max(repetitions // 10, 5)))


# Races


def races(repetitions):
    """The table of races."""
    lines = [
        "",
        "| spread | noise | best found: race | equal shares | worse than the best: race | equal shares | trainings | "
        "all intervals hold | each holds |",
        "|" + "---|" * 9,
    ]
    for noise in ("equal", "unequal", "heavy tails"):
        for spread in (0.0, 1.0, 3.0):
            rng = np.random.default_rng(0)
            found = np.array([raced(rng, spread, noise) for _ in range(repetitions)], float)
            right, equal_right, regret, equal_regret, spent, every, each = found.mean(axis=0)
            best = "" if spread == 0 else f"{right:.3f} | {equal_right:.3f}"
            worse = f"{regret:.3f} | {equal_regret:.3f}"
            lines.append(
                f"| {spread:g} | {noise} | {best or ' | '} | {worse} | {spent:.1f} | {every:.3f} | {each:.3f} |"
            )
    return "\n".join(lines)


def raced(rng, spread, noise):
    """One race: was the best found, how much worse is what was found; trainings; do intervals hold the truth."""
    truth = np.sort(rng.exponential(size=TOP) * spread)
    scores = truth + rng.normal(size=(200, 1)) + noises(rng, noise)
    race, spent = run(lambda seed: scores[seed], TOP, SEEDS)
    equal = int(np.argmin(scores[:SEEDS].mean(axis=0)))
    first, *others = race.order
    ends = np.array([race.interval(other) for other in others])
    differences = truth[others] - truth[first]
    held = (ends[:, 0] <= differences) & (differences <= ends[:, 1])
    worse, equally = truth[first] - truth[0], truth[equal] - truth[0]
    return first == 0, equal == 0, worse, equally, spent, held.all(), held.mean()


def noises(rng, kind):
    """[seeds, candidates], of standard deviation 1 on average."""
    normal = rng.normal(size=(200, TOP))
    if kind == "unequal":
        return normal * np.exp(rng.normal(size=TOP) / 2)
    if kind == "heavy tails":  # a logarithmic normal distribution
        return (np.exp(normal) - np.exp(0.5)) / np.sqrt((np.e - 1) * np.e)
    return normal


def run(scores, candidates, seeds):
    """A race within the budget, by the rule of `Rounds`; and the trainings that it took."""
    race, spent = Race(np.zeros((0, candidates)), np.zeros(candidates, bool)), 0
    while True:
        left = race.left
        is_won = left.sum() == 1 and race.seeds.max() >= seeds
        if is_won or spent + left.sum() > candidates * seeds:
            return race, spent
        row = np.where(left, scores(len(race.scores)), np.nan)
        race = Race(np.concatenate([race.scores, row[None]]), race.lost)
        spent += left.sum()


# Gaps


def gaps(repetitions):
    """The table of gaps."""
    lines = [
        "",
        "| spread | seen | on fresh seeds | in truth | interval holds, confirmed | interval holds, as seen |",
        "|" + "---|" * 6,
    ]
    for spread in (0.0, 1.0, 3.0):
        rng = np.random.default_rng(1)
        found = np.array([gap(rng, spread) for _ in range(repetitions)], float)
        seen, fresh, truth, held, held_seen = found.mean(axis=0)
        lines.append(f"| {spread:g} | {seen:.2f} | {fresh:.2f} | {truth:.2f} | {held:.3f} | {held_seen:.3f} |")
    return "\n".join(lines)


def gap(rng, spread):
    """One search: what it saw of the confirmed winner, its mean on fresh seeds, its true value; do intervals hold."""
    truth = rng.exponential(size=TRIALS) * spread
    validation = truth + EXAMPLES * rng.normal(size=TRIALS)  # with endless seeds
    seen = validation + rng.normal(size=TRIALS)
    top = np.argsort(seen)[:TOP]
    fresh = validation[top] + rng.normal(size=(200, TOP))
    race, _ = run(lambda seed: fresh[seed], TOP, SEEDS)
    first = race.order[0]
    own = race.scores[: race.seeds[first], first]
    held = holds(rng, truth[top[first]], seen[top[first]], own, seen)
    return seen[top[first]], own.mean(), truth[top[first]], held, holds(rng, truth[top[0]], seen[top[0]], None, seen)


def holds(rng, truth, seen, own, candidates):
    """Whether the interval of a gap holds how much worse the trial is than its validation value, on all data."""
    values = np.array([seen]) if own is None else own
    test = truth + EXAMPLES * rng.normal() + rng.normal(size=len(values)) * (own is not None)
    made = Gap.of(
        "loss", "min", seen=seen, validation=values, test=test,
        errors={"validation": EXAMPLES, "test": EXAMPLES}, candidates=candidates,
    )  # fmt: skip
    return made.low <= truth - values.mean() <= made.high


if __name__ == "__main__":
    main()
