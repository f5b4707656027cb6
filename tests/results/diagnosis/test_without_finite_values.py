import numpy as np
from diagnosing import make_result, said
from histories import NAN


def of_nothing(diverged=0):
    """Twenty trials without a finite value, of which some diverged."""
    ended = np.where(np.arange(20) < diverged, 3, -1)
    return make_result(np.full((20, 8), NAN), active=np.ones((8, 20), bool), diverged=ended)


def test_a_metric_without_a_finite_value():
    (found,) = result = of_nothing(1).diagnose()
    assert found.rule == "undefined"
    assert found.sentence == (
        "There is no best trial, for none has a finite 'loss': it is undefined (NaN) for 19 of 19 trials, though "
        "losses are finite."
    )
    assert "metric=" in found.advice
    assert found.trials == tuple(range(1, 20))
    assert len(result) == 1


def test_divergence_is_something_else():
    assert not said("undefined", of_nothing(20))
    assert said("diverged", of_nothing(20))


def test_one_finite_value_is_enough():
    curves = np.full((20, 8), NAN)
    curves[3] = 0.5
    assert not said("undefined", make_result(curves, active=np.ones((8, 20), bool)))
