import jax
import numpy as np
from scipy import stats

from jaxtune.domains import Uniform
from jaxtune.observed import Observed
from jaxtune.samplers import Random
from jaxtune.space import Space


def test_coordinates_are_uniform_and_uncorrelated():
    space = Space.of({"x": Uniform(0, 1), "y": Uniform(0, 1)})
    points = np.asarray(Random()(jax.random.key(0), space, None, 20_000))
    assert all(stats.kstest(column, "uniform").pvalue > 0.001 for column in points.T)
    assert abs(np.corrcoef(points.T)[0, 1]) < 0.03


def test_a_longer_history_gives_other_points():
    space = Space.of({"x": Uniform(0, 1)})
    histories = [None, *(Observed(np.zeros((n, 1), np.float32), np.zeros(n)) for n in (0, 1, 2))]
    none, empty, *others = (np.asarray(Random()(jax.random.key(0), space, history, 8)) for history in histories)
    np.testing.assert_array_equal(none, empty)
    assert len(np.unique([none, *others])) == 24
