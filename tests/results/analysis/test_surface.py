import numpy as np

from jaxtune.results.analysis.dimensions import Dimension
from jaxtune.results.analysis.standing import percentiles
from jaxtune.results.analysis.surface import surface

RNG = np.random.default_rng(0)


def number(places):
    return Dimension("x", "linear", [], places, 0.0, 1.0)


def category(index, num):
    texts = tuple(map(str, range(num)))
    return Dimension("c", "category", [], (index + 0.5) / num, 0.0, float(num), texts)


def test_it_finds_the_valley():
    x, y = RNG.random((2, 400))
    distance = (x - 0.3) ** 2 + (y - 0.8) ** 2
    quality = percentiles(np.argsort(distance), np.ones(400, bool))
    found = surface(number(x), number(y), quality)
    row, column = np.unravel_index(np.nanargmax(found.quality), found.quality.shape)
    np.testing.assert_allclose([found.x[column], found.y[row]], [0.3, 0.8], atol=0.1)
    assert np.nanmin(found.quality) >= 0
    assert np.nanmax(found.quality) <= 1


def test_options_are_estimated_apart():
    option, y = RNG.integers(0, 2, 200), RNG.random(200)
    found = surface(category(option, 3), number(y), np.where(option == 0, 1.0, 0.2))
    assert found.quality.shape == (48, 3)
    np.testing.assert_allclose(found.quality[:, 0], 1.0)
    np.testing.assert_allclose(found.quality[:, 1], 0.2)
    assert np.isnan(found.quality[:, 2]).all()  # nobody tried it


def test_two_categories_are_means():
    first, second = np.array([0, 0, 1, 1]), np.array([0, 0, 0, 1])
    found = surface(category(first, 2), category(second, 2), np.array([1.0, 0.5, 0.2, 0.3]))
    np.testing.assert_allclose(found.quality, [[0.75, 0.2], [np.nan, 0.3]])


def test_nothing_is_said_of_places_that_nobody_tried():
    x = np.append(0.1 * RNG.random(50), np.nan)
    found = surface(number(x), number(x), RNG.random(51))
    assert np.isnan(found.quality[-1, -1])
    assert np.isfinite(found.quality[0, 0])


def test_nothing_is_known_where_no_trial_has_both():
    found = surface(number(np.array([0.5, np.nan])), number(np.array([np.nan, 0.5])), np.array([1.0, 0.5]))
    assert np.isnan(found.quality).all()


def test_thousands_of_trials_are_thinned():
    x = RNG.random(5000)
    found = surface(number(x), number(RNG.random(5000)), x)
    assert found.quality[:, -1].mean() > 0.8 > 0.2 > found.quality[:, 0].mean()


def test_percentiles():
    np.testing.assert_allclose(percentiles([1, 0, 2, 3], np.array([True, True, False, False])), [0.75, 1.0, 0.0, 0.0])
