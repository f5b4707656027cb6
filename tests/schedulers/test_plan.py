"""Plans as tables: what is derived from the rows."""

import pytest

from jaxtune.schedulers import Hyperband, PopulationBasedTraining, SuccessiveHalving
from jaxtune.schedulers.plan import Plan, Row, round_to

TWO_BRACKETS = Plan(brackets=(4, 2), rows=(Row(10, (2, 2)), Row(20, (1, 1)), Row(40, (1, 1))))


def test_numbers_of_a_plan():
    assert TWO_BRACKETS.trials == 6
    assert TWO_BRACKETS.steps == 40
    assert TWO_BRACKETS.bracket_of == (0, 0, 0, 0, 1, 1)
    assert TWO_BRACKETS.population == (6, 4, 2)
    assert TWO_BRACKETS.trial_steps == 6 * 10 + 4 * 10 + 2 * 20


def test_curve_points_change_no_decision():
    plan = TWO_BRACKETS.with_curve(15)
    assert plan.rows == (Row(10, (2, 2)), Row(15), Row(20, (1, 1)), Row(30), Row(40, (1, 1)))
    assert plan.population == (6, 4, 4, 2, 2)
    assert plan.trial_steps == TWO_BRACKETS.trial_steps


@pytest.mark.parametrize("evaluate_every", [None, 40])
def test_curves_that_add_nothing(evaluate_every):
    assert TWO_BRACKETS.with_curve(evaluate_every).rows == TWO_BRACKETS.rows


@pytest.mark.parametrize(
    ("stops", "burst"),
    [
        ((50, 200, 3200), 50),
        ((3200,), 100),
        ((1, 3, 9), 1),
        ((40, 60), 20),  # all of the gcd, small as it is
        ((97 * 2, 97 * 4), 97),
        ((101, 404), 101),  # prime: a burst of 1 would cost more than a long one
        ((2 * 103, 6 * 103), 103),
        ((151 * 3,), 151),  # no divisor from 25 to 100: the next larger one
        ((1009 * 3,), 3),  # but not a very large one
        ((13 * 7 * 2,), 91),
    ],
)
def test_burst_is_the_best_divisor(stops, burst):
    plan = Plan(brackets=(1,), rows=tuple(Row(stop, (1,)) for stop in stops))
    assert plan.burst == burst


def test_curve_points_shorten_the_burst():
    assert TWO_BRACKETS.burst == 10
    assert TWO_BRACKETS.with_curve(4).burst == 2


@pytest.mark.parametrize(
    ("steps", "multiple", "rounded"), [(81 / 27, 2, 4), (33.3, 10, 30), (0.1, 5, 5), (200.0, 50, 200)]
)
def test_round_to(steps, multiple, rounded):
    assert round_to(steps, multiple) == rounded


@pytest.mark.parametrize(
    ("short", "long"),
    [
        (SuccessiveHalving(9, 10, 90), SuccessiveHalving(9, 10, 810)),
        (Hyperband(10, 810), Hyperband(10, 1620)),  # the gcd of these rungs is 20
        (PopulationBasedTraining(4, 40, 20), PopulationBasedTraining(4, 80, 20)),
    ],
)
def test_a_longer_schedule_keeps_the_burst(short, long):
    assert short.plan().burst == long.plan().burst
