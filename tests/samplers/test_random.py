import jax
import numpy as np
from scipy import stats
from toys import seen

from jaxtune.samplers import Random
from jaxtune.spaces.domains import Integer, Uniform
from jaxtune.spaces.space import Space


def test_coordinates_are_uniform_and_uncorrelated():
    space = Space.of({"x": Uniform(0, 1), "y": Uniform(0, 1)})
    points = np.asarray(Random()(jax.random.key(0), space, None, 20_000))
    assert all(stats.kstest(column, "uniform").pvalue > 0.001 for column in points.T)
    assert abs(np.corrcoef(points.T)[0, 1]) < 0.03


def test_a_longer_history_gives_other_points():
    space = Space.of({"x": Uniform(0, 1)})
    histories = [None, *(seen(np.zeros((n, 1)), capacity=4) for n in (0, 1, 2))]
    none, empty, *others = (np.asarray(Random()(jax.random.key(0), space, history, 8)) for history in histories)
    np.testing.assert_array_equal(none, empty)
    assert len(np.unique([none, *others])) == 24


def test_every_value_of_a_large_integer_can_be_drawn():
    """float32 tells 2**24 places in [0, 1) apart; uniforms of 23 bits would give even numbers only."""
    domain = Integer(0, 2**24 - 1)
    points = Random()(jax.random.key(0), Space.of({"n": domain}), None, 20_000)
    odd = np.mean(np.asarray(domain.decode(points[:, 0])) % 2)
    assert abs(odd - 0.5) < 0.02
