"""The configurations of many trials, made on demand."""

import doctest

import numpy as np
import pytest

import jaxtune as jt
from jaxtune.spaces import configurations
from jaxtune.spaces.configurations import Rows
from jaxtune.spaces.space import Space

SPACES = {
    "all kinds": {
        "lr": jt.LogUniform(1e-5, 1.0),
        "step": jt.Uniform(0.0, 0.3, step=0.1),
        "depth": 3,
        "width": jt.Integer(8, 64, step=8, static=True),
        "traced": jt.Integer(1, 1000, log=True, static=False),
        "act": jt.Choice(("relu", "tanh", None)),
        "size": jt.Choice((1, 2.5, 64), static=False),
    },
    "branches": {
        "optimizer": jt.Choice(
            {
                "sgd": {"lr": jt.Uniform(0.0, 1.0), "nesterov": jt.Choice((True, False))},
                "adam": {"lr": 1e-3},
                "none": {},
            }
        ),
        "dropout": jt.Uniform(0.0, 0.7),
    },
}


def decoded(space, number):
    points = np.random.default_rng(0).random((number, space.num_dims), np.float32)
    return {key: np.asarray(values) for key, values in space.decode(points).items()}


@pytest.mark.parametrize("name", SPACES)
def test_rows_are_those_of_the_space(name, monkeypatch):
    monkeypatch.setattr(configurations, "_BLOCK", 7)
    space = Space.of(SPACES[name])
    table = decoded(space, 30)
    found = Rows(space, table)
    wanted = [space.row(table, t) for t in range(30)]
    assert len(found) == 30
    assert list(found) == wanted
    assert [list(row) for row in found] == [list(row) for row in wanted]  # in the order of the space
    assert [[type(value) for value in row.values()] for row in found] == [
        [type(value) for value in row.values()] for row in wanted
    ]
    assert (found[-1], found[3:9], found[::-10]) == (wanted[-1], wanted[3:9], wanted[::-10])
    with pytest.raises(IndexError):
        found[30]


def test_rows_makes_only_what_is_asked_for(monkeypatch):
    monkeypatch.setattr(configurations, "_BLOCK", 10)
    made = []
    monkeypatch.setattr(jt.Uniform, "to_python", lambda self, value: made.append(value) or float(value))
    space = Space.of({"x": jt.Uniform(0.0, 1.0)})
    found = Rows(space, {"x": np.linspace(0, 1, 100, dtype=np.float32)})
    assert not made
    assert found[25] is found[25]
    assert len(made) == 10


def test_a_space_of_constants_has_one_row():
    assert list(Rows(Space.of({"depth": 3}), {})) == [{"depth": 3}]


@pytest.mark.parametrize("by_value", [False, True], ids=["by code", "by value"])
def test_configurations_differ_where_what_is_trained_differs(by_value):
    branches = {"sgd": {"momentum": jt.Uniform(-1.0, 1.0)}, "adam": {}}
    space = Space.of({"optimizer": jt.Choice(branches), "width": jt.Choice((1, 2), static=False)})
    points = np.array(
        [[0.1, 0.5, 0.1], [0.1, 0.5, 0.4], [0.1, 0.9, 0.1], [0.9, 0.5, 0.1], [0.9, 0.1, 0.1], [0.9, 0.5, 0.9]],
        np.float32,
    )
    table = {key: np.asarray(values) for key, values in space.decode(points).items()}
    found, num_allowed = configurations.different(space, points, table, by_value)
    # The second point has the first one's width; the fifth differs in the momentum only, which adam doesn't have.
    np.testing.assert_array_equal(list(found.values()), points[[0, 2, 3, 5]])
    assert num_allowed == 6


def test_zeros_of_either_sign_are_one_configuration():
    space = Space.of({"x": jt.Uniform(-1.0, 1.0)})
    codes = configurations._codes(space, {"x": np.array([0.0, -0.0, 1.0], np.float32)})
    assert codes[0] == codes[1] != codes[2]


def test_examples_run():
    assert doctest.testmod(configurations).failed == 0
