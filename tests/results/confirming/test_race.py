"""Who of several candidates is best: order, differences, intervals, and who gets more seeds."""

import numpy as np
import pytest
from scipy import stats

from jaxtune.results.confirming.race import Race

NAN = np.nan


def race(*seeds, lost=None):
    scores = np.array(seeds, float)
    return Race(scores, np.zeros(scores.shape[1], bool) if lost is None else np.array(lost))


def test_the_lowest_mean_comes_first_and_the_lost_come_last():
    one = race([3.0, 1.0, 2.0, NAN], [3.0, 1.5, 1.0, 0.0], lost=[False, False, False, True])
    assert one.order == [1, 2, 0, 3]
    assert one.seeds.tolist() == [2, 2, 2, 1]


def test_who_stayed_longer_comes_first():
    """Who is out was seen on other seeds: its mean is not comparable."""
    assert race([5.0, 4.0], [5.0, NAN]).order == [0, 1]


def test_the_luck_of_a_seed_drops_out():
    """Of two candidates: the textbook paired test."""
    first, second = np.array([1.0, 9.0, 4.0]), np.array([1.5, 9.2, 5.0])
    one = race(*np.stack([first, second], axis=1))
    mean, error, freedom = one.difference(1)
    assert freedom == 2
    assert mean == pytest.approx((second - first).mean())
    assert error == pytest.approx(stats.sem(second - first))
    low, high = one.interval(1)
    expected = stats.ttest_rel(second, first).confidence_interval(0.95)
    assert (low, high) == (pytest.approx(expected.low, rel=1e-3), pytest.approx(expected.high, rel=1e-3))


def test_noise_is_that_of_a_two_way_layout():
    """The residual variance of a plain analysis of variance, with two candidates out early."""
    rng = np.random.default_rng(0)
    table = rng.normal(size=(6, 5)) + 10 * rng.normal(size=(6, 1)) + np.arange(5)
    table[2:, 0], table[4:, 3] = NAN, NAN
    variance, freedom = race(*table).noise(np.ones(5, bool))
    seed, candidate = np.nonzero(np.isfinite(table))
    design = np.stack([*[seed == s for s in range(6)], *[candidate == c for c in range(1, 5)]], axis=1).astype(float)
    values = table[seed, candidate]
    rest = values - design @ np.linalg.solve(design.T @ design, design.T @ values)
    assert freedom == len(values) - design.shape[1] == 14
    assert variance == pytest.approx(rest @ rest / 14)


def test_a_pair_that_differs_more_than_all_others_has_its_own_error():
    calm = np.zeros((4, 6)) + 0.01 * np.random.default_rng(1).normal(size=(4, 6))
    calm[:, 5] += [5.0, 1.0, 9.0, 2.0]
    assert race(*calm).difference(5)[1] == pytest.approx(stats.sem(calm[:, 5] - calm[:, race(*calm).order[0]]))


def test_who_is_worse_gets_no_more_seeds():
    seeds = [[0.0, 0.1, 5.0], [1.0, 0.9, 6.0], [2.0, 2.2, 7.1]]
    assert race(*seeds[:1]).left.tolist() == [True] * 3  # one seed tells nothing
    assert race(*seeds).left.tolist() == [True, True, False]
    assert race(*seeds, [3.0, 3.0, NAN]).left.tolist() == [True, True, False]  # and never again


def test_noisy_losers_take_their_noise_along():
    """Two that lie ten standard deviations apart are told apart whoever else was there, and noise sends nobody home."""
    rng, separable, kept = np.random.default_rng(3), 0, 0
    for _ in range(50):
        good, bad = rng.normal([0.30, 0.32], 0.002, (4, 2)), rng.normal(3.0, 0.5, (4, 2))
        first = race(*np.concatenate([good[:2], bad[:2]], axis=1))
        kept += first.left[2:].sum()
        bad[2:] = NAN
        separable += race(*np.concatenate([good, bad], axis=1)).is_separable
    assert separable == 50
    assert kept < 10


def test_twins_stay():
    assert race([1.0, 1.0], [2.0, 2.0], [3.0, 3.0]).left.tolist() == [True, True]


def test_exact_differences_are_beyond_chance():
    assert race([1.0, 2.0], [5.0, 6.0]).left.tolist() == [True, False]
    assert race([1.0, 2.0], [5.0, 6.0]).is_separable is True


def test_nobody_to_compare_with():
    assert race([1.0], [2.0]).is_separable is None
    assert race([1.0, 2.0]).is_separable is None
    assert race([1.0, NAN], [1.0, NAN], lost=[False, True]).is_separable is None
    assert np.isnan(race([1.0, 2.0]).interval(1)).all()


# With known truth

CANDIDATES, SEEDS = 8, 5


def simulated(rng, spread):
    """True values, and a function from the number of a seed to scores: its luck is worth as much as the noise."""
    truth = np.sort(rng.exponential(size=CANDIDATES) * spread)
    luck, rest = rng.normal(size=200), rng.normal(size=(200, CANDIDATES))
    return truth, lambda seed: truth + luck[seed] + rest[seed]


def run(scores):
    """A race within the budget of `SEEDS` for everybody, and what it spent."""
    table, spent = np.zeros((0, CANDIDATES)), 0
    one = Race(table, np.zeros(CANDIDATES, bool))
    while True:
        left = one.left
        if spent + left.sum() > CANDIDATES * SEEDS or (left.sum() == 1 and one.seeds.max() >= SEEDS):
            return one, spent
        table = np.concatenate([table, np.where(left, scores(len(table)), NAN)[None]])
        spent += left.sum()
        one = Race(table, one.lost)


@pytest.mark.parametrize("spread", [0.0, 1.0, 3.0])
def test_intervals_hold_the_truth_at_the_stated_rate(spread):
    """All together, in 95 % of the races, whoever comes first; 200 of them."""
    rng, held = np.random.default_rng(11), 0
    for _ in range(200):
        truth, scores = simulated(rng, spread)
        one, _ = run(scores)
        ends = np.array([one.interval(c) for c in one.order[1:]])
        differences = truth[one.order[1:]] - truth[one.order[0]]
        held += np.all((ends[:, 0] <= differences) & (differences <= ends[:, 1]))
    assert held / 200 > 0.95 - 2 * np.sqrt(0.95 * 0.05 / 200)


@pytest.mark.parametrize("spread", [1.0, 3.0])
def test_a_race_finds_the_best_more_often_than_equal_shares_for_less(spread):
    rng, race_right, equal_right, spent = np.random.default_rng(12), 0, 0, []
    for _ in range(400):
        truth, scores = simulated(rng, spread)
        one, cost = run(scores)
        equal = np.mean([scores(seed) for seed in range(SEEDS)], axis=0)
        race_right += truth[one.order[0]] == truth.min()
        equal_right += np.argmin(equal) == np.argmin(truth)
        spent.append(cost)
    assert race_right > equal_right
    assert np.mean(spent) < CANDIDATES * SEEDS
    assert max(spent) <= CANDIDATES * SEEDS
