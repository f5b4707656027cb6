"""Ensemble selection against a plain loop over lists of members."""

import numpy as np
import pytest

from jaxtune.results.averaging.selection import bagged, greedy

RNG = np.random.default_rng(3)
TARGETS = RNG.normal(size=30)
LIBRARY = TARGETS + RNG.normal(size=(12, 30)) * np.linspace(0.5, 1.0, 12)[:, None]


def error(members):
    """Squared error of the average of a list of trials."""
    return np.mean((np.mean([LIBRARY[k] for k in members], axis=0) - TARGETS) ** 2)


def costs(counts):
    members = [k for k, count in enumerate(counts) for _ in range(count)]
    return np.array([error([*members, k]) for k in range(len(counts))])


def caruana(candidates, size):
    """The members of the best beginning of a greedy course, as a list."""
    course = []
    for _ in range(size):
        course.append(min(candidates, key=lambda k: error([*course, k])))
    return min((course[:n] for n in range(1, size + 1)), key=error)


@pytest.mark.parametrize("size", [1, 3, 10])
@pytest.mark.parametrize("candidates", [range(12), range(5, 12)], ids=["all", "some"])
def test_greedy_selection(size, candidates):
    counts = greedy(costs, np.array(candidates), 12, size)
    expected = caruana(list(candidates), size)
    np.testing.assert_array_equal(counts, np.bincount(expected, minlength=12))
    assert error(expected) <= min(error([k]) for k in candidates)


def test_a_trial_may_be_taken_several_times():
    values = np.array([[1.0, -1.0], [-4.0, 4.0], [9.0, 9.0]])  # four of the first and one of the second are exact

    def squares(counts):
        total = counts @ values
        return np.sum(((total + values) / (counts.sum() + 1)) ** 2, axis=1)

    np.testing.assert_array_equal(greedy(squares, np.arange(3), 3, 8), [4, 1, 0])


def test_the_best_beginning_is_kept():
    """All further ones make it worse: what is added is forgotten."""
    values = np.array([0.0, 5.0, 7.0])

    def once(counts):
        return values + 10 * counts.sum()

    np.testing.assert_array_equal(greedy(once, np.arange(3), 3, 4), [1, 0, 0])


def test_equally_good_ones_and_those_that_are_no_numbers():
    def even(counts):
        return np.array([np.nan, 2.0, 2.0])

    np.testing.assert_array_equal(greedy(even, np.arange(3), 3, 1), [0, 1, 0])
    np.testing.assert_array_equal(greedy(lambda counts: np.full(3, np.nan), np.arange(3), 3, 2), [1, 0, 0])


def test_bags_are_halves_of_the_candidates():
    seen = []

    def spy(counts):
        seen.append(counts.copy())
        return costs(counts)

    weights = bagged(spy, 12, 3, 20, seed=1)
    assert weights.sum() == pytest.approx(1)
    keys = {counts.tobytes() for counts in seen}
    assert len(keys) == len(seen)  # nothing is computed twice
    rng = np.random.default_rng(1)
    bags = [np.sort(rng.choice(12, 6, replace=False)) for _ in range(20)]
    expected = [np.bincount(one, minlength=12) / len(one) for one in (caruana(list(bag), 3) for bag in bags)]
    np.testing.assert_allclose(weights, np.mean(expected, axis=0))
    assert not np.array_equal(weights, bagged(costs, 12, 3, 20, seed=2))


@pytest.mark.parametrize(("num", "size", "bags"), [(12, 5, 1), (12, 12, 20), (12, 30, 20)])
def test_one_selection_where_there_is_one_bag_or_few_candidates(num, size, bags):
    members = caruana(list(range(num)), size)
    np.testing.assert_allclose(
        bagged(costs, num, size, bags, seed=0), np.bincount(members, minlength=num) / len(members)
    )
