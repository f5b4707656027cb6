"""Hyperband: the tables of the paper."""

import math
from fractions import Fraction

import pytest

from jaxtune import Hyperband

# Li et al., 2018, table 1 (R = 81, eta = 3): (trials, steps) of the rungs of brackets s = 4 ... 0; the numbers of
# trials at the start are those of its algorithm 1, ceil((s_max + 1) / (s + 1) * eta ** s).
PAPER = {
    4: [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)],
    3: [(34, 3), (11, 9), (3, 27), (1, 81)],
    2: [(15, 9), (5, 27), (1, 81)],
    1: [(8, 27), (2, 81)],
    0: [(5, 81)],
}


def rungs(plan, bracket):
    """(trials on the way to it, step) of the rows at which a bracket's own trials are decided upon."""
    alive, table = plan.brackets[bracket], []
    for row in plan.rows:
        if row.keep[bracket] < alive or row is plan.rows[-1]:
            table.append((alive, row.stop))
        alive = row.keep[bracket]
    return table


def test_brackets_of_the_paper():
    plan = Hyperband(min_steps=1, max_steps=81, eta=3).plan()
    assert plan.brackets == (81, 34, 15, 8, 5)
    for index, s in enumerate(sorted(PAPER, reverse=True)):
        assert rungs(plan, index) == PAPER[s]


def test_brackets_run_side_by_side():
    plan = Hyperband(min_steps=1, max_steps=81, eta=3).plan()
    assert [row.stop for row in plan.rows] == [1, 3, 9, 27, 81]
    assert [row.keep for row in plan.rows] == [
        (27, 34, 15, 8, 5),
        (9, 11, 15, 8, 5),
        (3, 3, 5, 8, 5),
        (1, 1, 1, 2, 5),
        (1, 1, 1, 2, 5),
    ]
    assert plan.trial_steps == 1581  # the paper's budget where survivors go on instead of starting again


def test_rungs_are_multiples_of_min_steps():
    plan = Hyperband(min_steps=10, max_steps=100, eta=3).plan()  # 100 / 9, 100 / 3, 100
    assert plan.brackets == (9, 5, 3)
    assert [(row.stop, row.keep) for row in plan.rows] == [(10, (3, 5, 3)), (30, (1, 1, 3)), (100, (1, 1, 3))]


@pytest.mark.filterwarnings("ignore:.* steps instead of")
def test_rungs_that_meet_are_merged():
    plan = Hyperband(min_steps=3, max_steps=13, eta=2).plan()  # 3.25 and 6.5 are both nearest to multiples of 3
    assert [row.stop for row in plan.rows] == [3, 6, 12]


def test_a_single_bracket():
    plan = Hyperband(min_steps=50, max_steps=100, eta=3).plan()
    assert (plan.brackets, [row.stop for row in plan.rows]) == ((1,), [100])


@pytest.mark.parametrize("eta", range(2, 11))
@pytest.mark.parametrize("s_max", range(7))
def test_numbers_of_trials_are_exact(eta, s_max):
    """Logarithms and powers in floating point must not lose or add a bracket or a trial."""
    plan = Hyperband(min_steps=1, max_steps=eta**s_max, eta=eta).plan()
    sizes = [math.ceil(Fraction(s_max + 1, s + 1) * eta**s) for s in range(s_max, -1, -1)]
    assert plan.brackets == tuple(sizes)
    for index, s in enumerate(range(s_max, -1, -1)):
        last = max(1, sizes[index] // eta**s)  # floor(n / eta ** i) of the paper's algorithm, at its last rung
        assert plan.rows[-1].keep[index] == last


@pytest.mark.parametrize("eta", [1.5, float("nan"), None])
def test_bad_eta(eta):
    with pytest.raises(ValueError, match="Hyperband needs eta >= 2, got eta="):
        Hyperband(1, 81, eta=eta)


def test_bad_steps():
    with pytest.raises(ValueError, match="Hyperband needs min_steps <= max_steps, got min_steps=82, max_steps=81"):
        Hyperband(82, 81)
    with pytest.raises(ValueError, match="Hyperband needs min_steps to be a whole number >= 1, got min_steps=0.5"):
        Hyperband(0.5, 81)
