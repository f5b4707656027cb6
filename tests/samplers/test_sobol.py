import warnings

import jax
import numpy as np
import pytest
from scipy import stats
from scipy.stats import qmc
from toys import seen

from jaxtune.samplers import Random, Sobol
from jaxtune.samplers.sobol import _MAX_DIMS
from jaxtune.spaces.domains import Uniform
from jaxtune.spaces.space import Space


def make_space(num_dims):
    return Space.of({f"x{i}": Uniform(0, 1) for i in range(num_dims)})


def draw(sampler, num_points, num_dims, num_keys):
    keys = jax.random.split(jax.random.key(0), num_keys)
    many = jax.jit(jax.vmap(lambda key: sampler(key, make_space(num_dims), None, num_points)))
    return np.asarray(many(keys))


@pytest.mark.parametrize("exponent", [0, 3, 9])
def test_each_cell_of_each_axis_is_hit_once(exponent):
    n = 2**exponent
    for points in draw(Sobol(), n, 6, 3):
        for column in points.T:
            np.testing.assert_array_equal(np.sort((column * n).astype(int)), np.arange(n))


def test_each_quarter_of_the_first_plane_is_hit_equally_often():
    # The shift keeps the net: 64 points put one into every square of an 8 by 8 board of the first two axes.
    for points in draw(Sobol(), 64, 2, 5):
        squares = (points * 8).astype(int) @ [8, 1]
        np.testing.assert_array_equal(np.sort(squares), np.arange(64))


@pytest.mark.parametrize(("num_points", "num_dims"), [(50, 4), (256, 6)])
def test_discrepancy_is_far_below_random_and_like_scipy(num_points, num_dims):
    def mean(points):
        return np.mean([qmc.discrepancy(p, method="CD") for p in points])

    ours = mean(draw(Sobol(), num_points, num_dims, 20))
    random = mean(draw(Random(), num_points, num_dims, 20))
    with warnings.catch_warnings(action="ignore"):  # scipy warns about 50, which is no power of two
        scipys = mean([qmc.Sobol(num_dims, rng=seed).random(num_points) for seed in range(20)])
    assert ours < 0.4 * random
    assert ours < 1.3 * scipys


def test_a_single_point_is_uniform_over_keys():
    points = draw(Sobol(), 3, 2, 4000)
    assert abs(np.corrcoef(points[:, 0].T)[0, 1]) < 0.06  # every axis has a shift of its own
    for first in points.reshape(4000, -1).T:
        assert stats.kstest(first, "uniform").pvalue > 0.001


def test_the_mean_is_unbiased():
    means = draw(Sobol(), 16, 3, 500).mean(axis=1)
    np.testing.assert_allclose(means.mean(axis=0), 0.5, atol=0.003)


def test_any_number_of_points_without_a_warning():
    with warnings.catch_warnings(action="error"):
        for n in (0, 1, 3, 100):
            points = draw(Sobol(), n, 2, 1)[0]
            assert points.shape == (n, 2)
    np.testing.assert_array_equal(draw(Sobol(), 100, 2, 1)[0], draw(Sobol(), 128, 2, 1)[0][:100])


@pytest.mark.parametrize("num_before", [0, 1, 5, 16])
def test_a_history_continues_the_sequence(num_before):
    key, space = jax.random.key(4), make_space(3)
    history = seen(np.zeros((num_before, 3)), capacity=20)
    more = jax.jit(lambda history: Sobol()(key, space, history, 16 - num_before // 2))(history)
    everything = Sobol()(key, space, None, 16 - num_before // 2 + num_before)
    np.testing.assert_array_equal(more, everything[num_before:])


def test_points_stay_below_one():
    points = draw(Sobol(), 4096, 3, 4)
    assert points.min() >= 0
    assert points.max() < 1
    assert ((points * 2**24) % 1 == 0).all()  # more digits than float32 has would round up to 1 some day


def test_too_many_dimensions_get_a_sentence():
    assert qmc.Sobol.MAXDIM == _MAX_DIMS
    with pytest.raises(ValueError, match=r"Sobol has at most 21201 dimensions, got a space with 21202: use"):
        Sobol()(jax.random.key(0), make_space(_MAX_DIMS + 1), None, 2)
