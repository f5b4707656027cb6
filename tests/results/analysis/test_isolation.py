import numpy as np

from jaxtune.results.analysis.dimensions import Dimension, dimensions
from jaxtune.results.analysis.isolation import isolation

RNG = np.random.default_rng(0)


def test_every_bucket_has_its_best_trial():
    places = RNG.random(500)
    rank = RNG.permutation(500)  # of each trial
    found = isolation(Dimension("lr", "log", [], places, 1e-4, 1.0), np.argsort(rank))
    assert sum(bucket.num_trials for bucket in found) == 500
    assert [round(bucket.low, 6) for bucket in found] == [round(0.1 * b, 6) for b in range(10)]
    for bucket in found:
        inside = np.flatnonzero((places >= bucket.low) & (places < bucket.high))
        assert bucket.trial == inside[np.argmin(rank[inside])]


def test_options_have_a_bucket_each():
    tried = [{"act": act} for act in ("relu", "tanh", "relu", "gelu")]
    (act,) = dimensions(tried, [])
    found = isolation(act, [2, 1, 0, 3])
    assert [(act.options[round(3 * bucket.low)], bucket.trial) for bucket in found] == [
        ("gelu", 3),
        ("relu", 2),
        ("tanh", 1),
    ]


def test_few_whole_numbers_have_a_bucket_each():
    (layers,) = dimensions([{"layers": n} for n in (1, 2, 3, 3)], [])
    found = isolation(layers, [3, 2, 1, 0])
    assert [(bucket.trial, bucket.num_trials) for bucket in found] == [(0, 1), (1, 1), (3, 2)]
    np.testing.assert_allclose([(bucket.low + bucket.high) / 2 for bucket in found], [0.0, 0.5, 1.0])


def test_empty_buckets_and_trials_without_it_are_left_out():
    some = Dimension("x", "linear", [], np.array([0.0, np.nan, 1.0]), 0.0, 1.0)
    assert [bucket.trial for bucket in isolation(some, [1, 2, 0])] == [0, 2]
    assert isolation(Dimension("x", "linear", [], np.full(3, np.nan), 0.0, 1.0), [0, 1, 2]) == []
