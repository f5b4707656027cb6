import jax
import numpy as np
from scipy import stats

from jaxtune.domains import Uniform
from jaxtune.samplers import Random
from jaxtune.space import Space


def test_coordinates_are_uniform_and_uncorrelated():
    space = Space.of({"x": Uniform(0, 1), "y": Uniform(0, 1)})
    points = np.asarray(Random()(jax.random.key(0), space, None, 20_000))
    assert all(stats.kstest(column, "uniform").pvalue > 0.001 for column in points.T)
    assert abs(np.corrcoef(points.T)[0, 1]) < 0.03
