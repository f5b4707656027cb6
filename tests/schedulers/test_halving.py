"""Successive halving: literal tables."""

import pytest

from jaxtune import SuccessiveHalving


def table(*args, **kwargs):
    plan = SuccessiveHalving(*args, **kwargs).plan()
    return [(count, row.stop, *row.keep) for count, row in zip(plan.population, plan.rows, strict=True)]


def test_the_demo():
    assert table(512, 50, 3200, eta=4) == [(512, 50, 128), (128, 200, 32), (32, 800, 8), (8, 3200, 8)]
    assert SuccessiveHalving(512, 50, 3200, eta=4).plan().trial_steps == 83_200


def test_default_eta_is_three():
    assert table(81, 1, 81) == [(81, 1, 27), (27, 3, 9), (9, 9, 3), (3, 27, 1), (1, 81, 1)]


def test_numbers_of_survivors_are_rounded_down():
    assert table(100, 1, 27) == [(100, 1, 33), (33, 3, 11), (11, 9, 3), (3, 27, 3)]


@pytest.mark.filterwarnings("ignore:.* steps instead of")
def test_rungs_are_multiples_of_min_steps():
    assert table(20, 10, 100, eta=2.5) == [(20, 10, 8), (8, 20, 3), (3, 60, 1), (1, 100, 1)]  # 25, 62.5
    assert table(9, 7, 100, eta=3) == [(9, 7, 3), (3, 21, 1), (1, 63, 1), (1, 98, 1)]


@pytest.mark.filterwarnings("ignore:.* steps instead of")
def test_the_last_rung_before_the_end_is_left_out_when_rounding_meets_it():
    assert table(9, 10, 94, eta=3) == [(9, 10, 3), (3, 30, 1), (1, 90, 1)]


def test_at_least_one_trial_goes_on():
    assert table(2, 1, 27) == [(2, 1, 1), (1, 3, 1), (1, 9, 1), (1, 27, 1)]


def test_without_a_rung_it_is_the_full_budget():
    assert table(5, 20, 20) == [(5, 20, 5)]


@pytest.mark.parametrize("eta", [1.99, 1, 0, -3, float("nan"), float("inf"), "3", True])
def test_bad_eta(eta):
    with pytest.raises(ValueError, match="SuccessiveHalving needs eta >= 2, got eta="):
        SuccessiveHalving(8, 1, 9, eta=eta)


@pytest.mark.parametrize("name", ["trials", "min_steps", "max_steps"])
@pytest.mark.parametrize("value", [0, 1.5, False])
def test_needs_whole_numbers(name, value):
    with pytest.raises(
        ValueError, match=f"SuccessiveHalving needs {name} to be a whole number >= 1, got {name}={value}"
    ):
        SuccessiveHalving(**{"trials": 8, "min_steps": 1, "max_steps": 9, name: value})


def test_min_steps_above_max_steps():
    with pytest.raises(ValueError, match="needs min_steps <= max_steps, got min_steps=10, max_steps=9"):
        SuccessiveHalving(8, 10, 9)
