import itertools

import jax
import numpy as np
import pytest
from hypothesis import assume, given, settings
from spaces import configurations, spaces

from jaxtune.samplers import Grid
from jaxtune.spaces.domains import Choice, Integer, LogUniform, Uniform
from jaxtune.spaces.space import Space, constrain

KEY = jax.random.key(0)
SPACE = Space.of(
    {
        "lr": LogUniform(1e-3, 1.0),
        "depth": 2,
        "layers": Integer(1, 3),
        "act": Choice(("relu", "tanh")),
        "width": Integer(1, 1000, log=True, static=True),
    }
)


@pytest.mark.parametrize("run", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_the_product_is_covered_once_in_order(run):
    points = run(lambda key: Grid(4)(key, SPACE, None, 96))(KEY)
    decoded = SPACE.decode(points)
    rows = [tuple(SPACE.row(decoded, i).values()) for i in range(96)]
    expected = itertools.product([0.001, 0.01, 0.1, 1.0], [2], [1, 2, 3], ["relu", "tanh"], [1, 10, 100, 1000])
    for row, (lr, *rest) in zip(rows, expected, strict=True):
        assert row[0] == pytest.approx(lr, rel=1e-6)
        assert row[1:] == tuple(rest)


def test_levels_by_name():
    points = np.asarray(Grid({"lr": 5, "width": 2})(KEY, SPACE, None, 60))
    assert [len(np.unique(column)) for column in points.T] == [5, 3, 2, 2]
    assert len(np.unique(points, axis=0)) == 60


def test_no_levels_take_all_values():
    space = Space.of({"a": Integer(1, 3), "b": Choice(("x", "y"))})
    assert Grid()(KEY, space, None, 6).shape == (6, 2)
    assert Grid({})(KEY, space, None, 6).shape == (6, 2)


def test_one_level_is_the_middle():
    assert Grid(1)(KEY, Space.of({"x": Uniform(0, 1)}), None, 1).tolist() == [[0.5]]


def test_a_dict_of_levels_is_a_value():
    assert Grid({"a": 1, "b": 2}) == Grid({"b": 2, "a": 1})
    assert hash(Grid({"a": 1, "b": 2})) == hash(Grid({"b": 2, "a": 1}))
    assert Grid({"a": 1}) != Grid({"a": 2})
    assert Grid(np.int64(3)) == Grid(3)


def test_the_largest_axis_needs_no_table_of_the_product():
    space = Space.of({f"x{i}": Uniform(0, 1) for i in range(9)})
    with pytest.raises(ValueError, match="Grid has 1000000000000000000 points"):
        Grid(100)(KEY, space, None, 10)


TREE = Space.of(
    {
        "optimizer": Choice(
            {
                "sgd": {"lr": LogUniform(1e-3, 1.0), "nesterov": Choice((False, True))},
                "adam": {
                    "lr": LogUniform(1e-5, 1e-3),
                    "schedule": Choice({"cosine": {"warmup": Integer(1, 3)}, "none": {}}),
                },
            }
        ),
        "act": Choice(("relu", "tanh")),
    }
)


def rows(space, points):
    decoded = {key: np.asarray(values) for key, values in space.decode(points).items()}
    return [space.row(decoded, i) for i in range(len(points))]


@pytest.mark.parametrize("run", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_each_branch_has_its_own_product(run):
    points = run(lambda key: Grid({"lr": 2})(key, TREE, None, 24))(KEY)
    sgd = itertools.product(["sgd"], [0.001, 1.0], [False, True], ["relu", "tanh"])
    cosine = [
        ("adam", lr, *schedule, act)
        for lr in (1e-5, 1e-3)
        for schedule in [("cosine", 1), ("cosine", 2), ("cosine", 3), ("none",)]
        for act in ("relu", "tanh")
    ]
    assert [tuple(row.values()) for row in rows(TREE, points)] == [*sgd, *cosine]


@pytest.mark.parametrize("run", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_a_constraint_leaves_points_out(run):
    space = constrain(TREE, lambda hp: hp["act"] == "tanh" and hp.get("warmup", 1) != 2)
    points = run(lambda key: Grid({"lr": 2})(key, space, None, 10))(KEY)
    everything = rows(TREE, Grid({"lr": 2})(KEY, TREE, None, 24))
    assert rows(space, points) == [row for row in everything if row["act"] == "tanh" and row.get("warmup") != 2]


@settings(max_examples=20, deadline=None)
@given(spaces(finite=True))
def test_any_tree_is_covered_once_in_order(space):
    expected = configurations(space)
    assume(len(expected) <= 200)
    flat = Space.of(space)
    assert rows(flat, Grid()(KEY, flat, None, len(expected))) == expected
    fits = constrain(flat, lambda hp: len(hp) % 2 == 1)
    allowed = [row for row in expected if len(row) % 2 == 1]
    assert rows(fits, Grid()(KEY, fits, None, len(allowed))) == allowed


def test_too_many_points_for_a_constraint():
    space = constrain({f"x{i}": Uniform(0, 1) for i in range(9)}, lambda hp: True)
    with pytest.raises(
        ValueError, match="Grid has 1000000000000000000 points, too many to ask a constraint about each"
    ):
        Grid(100)(KEY, space, None, 10)


TWO = Space.of({"lr": Uniform(0, 1), "wd": Uniform(0, 1)})


@pytest.mark.parametrize(
    ("make", "error", "sentence"),
    [
        (
            lambda: Grid({"lr": 10, "wd": 3})(KEY, TWO, None, 25),
            ValueError,
            "Grid has 30 points (lr 10 x wd 3), but the scheduler asks for 25 trials: "
            "set trials=30 or change the levels.",
        ),
        (
            lambda: Grid(2)(KEY, Space.of({"n": 1}), None, 5),
            ValueError,
            "Grid has 1 points (no axes), but the scheduler asks for 5 trials: set trials=1",
        ),
        (
            lambda: Grid()(KEY, TWO, None, 4),
            ValueError,
            "Grid needs a number of levels for 'lr', which is continuous (Uniform(low=0.0, high=1.0)): "
            "write Grid(10) or Grid({'lr': 10}).",
        ),
        (lambda: Grid({"lr": 2})(KEY, TWO, None, 4), ValueError, "Grid needs a number of levels for 'wd'"),
        (
            lambda: Grid({"lr": 2, "wdd": 2})(KEY, TWO, None, 4),
            ValueError,
            "Grid has levels for 'wdd', which the space does not search, did you mean 'wd'?; it has lr, wd.",
        ),
        (
            lambda: Grid({"act": 1})(KEY, Space.of({"act": Choice((1, 2))}), None, 1),
            ValueError,
            "Grid takes all 2 options of 'act', got 1 levels: leave it out.",
        ),
        (
            lambda: Grid({"lr": 2})(KEY, TREE, None, 4),
            ValueError,
            "Grid has 24 points (optimizer 12 x act 2), but the scheduler asks for 4 trials: set trials=24",
        ),
        (
            lambda: Grid({"lr": 2})(KEY, constrain(TREE, lambda hp: hp["optimizer"] == "sgd"), None, 4),
            ValueError,
            "Grid has 24 points (optimizer 12 x act 2), of which the constraint allows 8, but the scheduler asks for "
            "4 trials: set trials=8 or change the levels.",
        ),
        (
            lambda: Grid({"optimizer": 3, "lr": 2})(KEY, TREE, None, 4),
            ValueError,
            "Grid takes all 2 options of 'optimizer', got 3 levels: leave it out.",
        ),
        (
            lambda: Grid()(KEY, TREE, None, 4),
            ValueError,
            "Grid needs a number of levels for 'lr', which is continuous (LogUniform(low=0.001, high=1.0))",
        ),
        (lambda: Grid(0), ValueError, "Grid needs at least 1 level, got 0."),
        (lambda: Grid({"lr": -1}), ValueError, "Grid needs at least 1 level for 'lr', got -1."),
        (lambda: Grid(2.0), TypeError, "Grid needs a whole number of levels, got 2.0."),
        (lambda: Grid(True), TypeError, "Grid needs a whole number of levels, got True."),
        (lambda: Grid({"lr": None}), TypeError, "Grid needs a whole number of levels for 'lr', got None."),
        (lambda: Grid((3, 4)), TypeError, "Grid needs a whole number of levels, got (3, 4)."),
        (lambda: Grid([3, 4]), TypeError, "Grid needs a whole number of levels, got [3, 4]."),
    ],
)
def test_grid_refuses(make, error, sentence):
    with pytest.raises(error) as caught:
        make()
    assert sentence in str(caught.value)
