import itertools
from dataclasses import replace

import numpy as np
import pytest
from histories import halving, pbt

from jaxtune.results.analysis.tuning import expected_best, sample
from jaxtune.results.history import joined


@pytest.mark.parametrize(("mode", "best"), [("min", min), ("max", max)])
def test_it_is_the_mean_over_all_draws(mode, best):
    values = np.array([0.5, 0.1, 0.9, 0.4, 0.3, 0.35])
    found = expected_best(values, mode)
    means = [np.mean([best(draw) for draw in itertools.combinations(values, n)]) for n in found.num]
    np.testing.assert_allclose(found.mean, means)


def test_intervals_cover_the_draws():
    rng = np.random.default_rng(0)
    values = rng.normal(size=200)
    found = expected_best(values, "max")
    for n, low, high in zip(found.num, found.low, found.high, strict=True):
        draws = np.array([rng.choice(values, n, replace=False).max() for _ in range(400)])
        assert np.mean((draws >= low) & (draws <= high)) > 0.9
    assert np.all(found.low <= found.mean)
    assert np.all(found.mean <= found.high)
    assert found.mean[-1] == pytest.approx(values.max())
    assert np.all(np.diff(found.mean) > 0)


def test_values_that_are_not_finite_count_as_the_worst():
    broken = expected_best(np.array([1.0, np.nan, 2.0, np.inf]), "min")
    np.testing.assert_allclose(broken.mean, expected_best(np.array([1.0, 2.0, 2.0, 2.0]), "min").mean)
    with pytest.raises(ValueError, match="a finite value"):
        expected_best(np.array([np.nan]), "min")


def test_thousands_of_values():
    found = expected_best(np.random.default_rng(1).random(5000), "min")
    assert np.isfinite(found.mean).all()
    assert len(found.num) <= 60
    assert (found.num[0], found.num[-1]) == (1, 5000)


def test_one_value():
    found = expected_best(np.array([3.0]), "min")
    assert (found.num.tolist(), found.mean.tolist()) == ([1], [3.0])


def test_a_sample_is_what_was_trained_alike():
    step, values = sample(halving(), "accuracy")
    assert step == 10
    np.testing.assert_allclose(values, [0.5, 0.6, 0.7, np.nan], rtol=1e-6)
    step, _ = sample(replace(halving(), active=np.ones((2, 4), bool)), "accuracy")
    assert step == 40


def test_later_generations_and_copies_are_no_sample():
    step, values = sample(joined(halving(), halving()), "accuracy")
    assert (step, len(values)) == (10, 4)
    assert sample(pbt(), "accuracy") is None
