"""Weights kept aside of trials that stopped early."""

import numpy as np

from jaxtune.drivers.retired import retire


def test_the_best_of_each_bracket_stay_and_only_theirs_are_fetched():
    fetched = []
    bracket, scores = np.array([0, 0, 0, 1]), np.array([3.0, 1.0, 2.0, 9.0])

    def state_of(trial):
        fetched.append(trial)
        return f"weights of {trial}"

    first = retire([], np.array([True, False, False, True]), scores, bracket, 1, state_of)
    assert [(one.trial, one.state) for one in first] == [(0, "weights of 0"), (3, "weights of 3")]
    then = retire(first, np.array([False, True, True, False]), scores, bracket, 1, state_of)
    assert [one.trial for one in then] == [1, 3]
    assert fetched == [0, 3, 1]


def test_ties_go_to_the_lower_id():
    (kept,) = retire([], np.array([False, True, True]), np.ones(3), np.zeros(3, int), 1, str)
    assert kept.trial == 1
