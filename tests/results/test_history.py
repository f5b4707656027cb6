import numpy as np
import pytest
from histories import NAN, halving, make_history

from jaxtune.results.history import rank_trials


def test_last_evaluation_and_steps_trained():
    history = halving()
    assert history.last.tolist() == [0, 1, 1, 0]
    assert history.steps.tolist() == [10, 40, 40, 4]
    np.testing.assert_allclose(history.at_kept("accuracy")[:, 0], [0.5, 0.9, 0.8, NAN], rtol=1e-6)


def test_values_are_gone_from_the_divergence_on():
    # Training metrics of the steps before a divergence are still recorded at the evaluation after it.
    history = make_history([[0.3, 0.5], [0.2, 0.4], [0.1, 0.4]], [10, 20, 30], diverged=np.array([-1, 10]))
    np.testing.assert_allclose(history.mean("accuracy"), [[0.3, 0.5], [0.2, NAN], [0.1, NAN]], rtol=1e-6)


# Ranking


def test_ranking_prefers_the_last_rung_then_reach_then_value():
    history = make_history(
        [[0.99, 0.5, 0.6, 0.7], [NAN, 0.95, 0.2, 0.3], [NAN, NAN, 0.1, 0.2]],
        [10, 20, 30],
        pruned=np.array([10, 20, -1, -1]),
    )
    assert rank_trials(history, "accuracy", "max") == [3, 2, 1, 0]
    assert rank_trials(history, "accuracy", "min") == [2, 3, 1, 0]


def test_ranking_of_non_finite_values_and_ties():
    values = [[0.5, NAN, -np.inf, np.inf, 0.5, 0.4]]
    history = make_history(values, [10], active=np.ones((1, 6), bool))
    assert rank_trials(history, "accuracy", "min") == [5, 0, 4, 1, 2, 3]
    assert rank_trials(history, "accuracy", "max") == [0, 4, 5, 1, 2, 3]


def test_ranking_puts_diverged_last_even_if_they_got_further():
    history = make_history([[0.1, 0.9], [NAN, 0.95]], [10, 20], pruned=np.array([10, -1]), diverged=np.array([-1, 19]))
    assert rank_trials(history, "accuracy", "max") == [0, 1]


def test_survivors_rank_by_their_last_evaluation_even_after_the_last_rung():
    values = [[0.5, 0.6, 0.95], [0.9, 0.2, NAN]]  # the last is pruned at the rung at 10
    history = make_history(values, [10, 20], decided=[True, False], pruned=np.array([-1, -1, 10]))
    assert rank_trials(history, "accuracy", "max") == [0, 1, 2]


def test_ranking_averages_replicates():
    history = make_history([[[0.9, 0.6], [0.1, 0.6]]], [10])
    assert rank_trials(history, "accuracy", "max") == [1, 0]


@pytest.mark.parametrize(
    ("metric", "mode", "text"),
    [
        ("f1", "max", "'f1' was not recorded; there are accuracy"),
        ("accuracy", "maximize", "mode must be"),
    ],
)
def test_ranking_refuses_unknown_metric_and_mode(metric, mode, text):
    with pytest.raises(ValueError, match=text):
        rank_trials(halving(), metric, mode)
