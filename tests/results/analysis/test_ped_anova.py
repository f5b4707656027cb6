"""Shares of made-up trials, and divergences beside Optuna's."""

import numpy as np
import pytest

from jaxtune.results.analysis import ped_anova
from jaxtune.results.analysis.ped_anova import divergence, shares


def ranked(values, *columns):
    """Places [n, D] of trials, those with the lowest value first."""
    return np.stack(columns, axis=1)[np.argsort(values, kind="stable")]


def raw(places, cells, category, top):
    """Divergences [D] as they are, without what chance would show."""
    index = ped_anova._cell_of(places, cells, category)
    counts = (ped_anova._counts(index, [np.arange(n)], cells) for n in (top, len(places)))
    return divergence(*counts, cells, category)[0]


def numbers(places, **options):
    num = places.shape[1]
    settings = {"top": max(5, len(places) // 10), "region": len(places)} | options
    return shares(places, np.full(num, 50), np.zeros(num, bool), **settings)


FUNCTIONS = {
    "one decides": lambda x: (x[:, 0] - 0.3) ** 2 + 0.01 * x[:, 1],
    "two": lambda x: 4 * (x[:, 0] - 0.3) ** 2 + 0.5 * x[:, 1] + 0.1 * np.sin(6 * x[:, 2]),
    "product": lambda x: x[:, 0] * x[:, 1],
    "narrow valley": lambda x: np.abs(x[:, 2] - 0.62) ** 0.5 + 0.2 * x[:, 3],
    "two valleys": lambda x: -np.cos(12 * x[:, 1]) + x[:, 0],
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("num", [60, 500])
def test_divergences_are_those_of_optuna(name, num):
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    x = np.random.default_rng(num).random((num, 4))
    values = FUNCTIONS[name](x)
    found = raw(x[np.argsort(values)], np.full(4, 50), np.zeros(4, bool), num // 10)
    study = optuna.create_study()
    known = {str(d): optuna.distributions.FloatDistribution(0, 1) for d in range(4)}
    for row, value in zip(x, values, strict=True):
        params = {str(d): float(number) for d, number in enumerate(row)}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=known, value=float(value)))
    theirs = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=0.1).evaluate(study)
    theirs = np.array([theirs[str(d)] for d in range(4)])
    assert np.argmax(found) == np.argmax(theirs)
    # Their prior is a wide normal distribution, ours uniform.
    np.testing.assert_allclose(found / found.sum(), theirs / theirs.sum(), atol=0.02)


def test_what_decides_has_it_all_and_noise_nothing():
    x = np.random.default_rng(0).random((300, 5))
    share, low, high = numbers(ranked(np.abs(x[:, 2] - 0.4), *x.T))
    assert share[2] > 0.9
    assert low[2] > 0.8
    assert np.all(np.delete(low, 2) < 0.01)
    assert np.all(np.delete(high, 2) < 0.15)
    assert share.sum() == pytest.approx(1.0)
    assert np.all((low <= share) & (share <= high))


@pytest.mark.parametrize("seed", range(5))
def test_intervals_of_nothing_but_noise_begin_at_zero(seed):
    _, low, _ = numbers(np.random.default_rng(seed).random((200, 4)))
    assert np.all(low < 0.05)


def test_an_option_decides():
    rng = np.random.default_rng(1)
    option, noise, other = rng.integers(0, 3, 300), rng.random(300), rng.integers(0, 4, 300)
    places = ranked(option + 0.01 * rng.random(300), (option + 0.5) / 3, noise, (other + 0.5) / 4)
    share, *_ = shares(places, np.array([3, 50, 4]), np.array([True, False, True]), 30, 300)
    assert share[0] > 0.9


def test_what_only_some_trials_have_counts_where_the_best_have_it():
    rng = np.random.default_rng(2)
    branch, inside, noise = rng.integers(0, 2, 600), rng.random(600), rng.random(600)
    value = np.where(branch == 1, np.abs(inside - 0.7), 1.0 + noise)
    matters = np.where(branch == 1, inside, np.nan)
    useless = np.where(branch == 0, noise, np.nan)  # the best trials never have it
    places = ranked(value, (branch + 0.5) / 2, matters, useless)
    share, *_ = shares(places, np.array([2, 50, 50]), np.array([True, False, False]), 60, 600)
    assert share[1] > share[0] > 0.05
    assert share[2] < 0.01


def test_a_smaller_region_leaves_gross_mistakes_behind():
    x = np.random.default_rng(3).random((400, 2))
    gross, fine = x.T
    places = ranked(np.where(gross > 0.5, 10.0, 0.0) + fine, gross, fine)
    assert numbers(places)[0][0] > 0.1
    share, *_ = numbers(places, region=200)
    assert share[1] > 0.95


def test_equal_places_have_no_share():
    x = np.random.default_rng(4).random(100)
    share, low, high = numbers(ranked(x, np.full(100, 0.5), np.full(100, np.nan)))
    assert not share.any()
    assert not low.any()
    assert not high.any()


def test_the_same_trials_give_the_same_numbers():
    places = np.random.default_rng(5).random((50, 3))
    np.testing.assert_array_equal(numbers(places), numbers(places))
