import math

import numpy as np
import pytest

import jaxtune as jt
from jaxtune.results.analysis.dimensions import dimensions
from jaxtune.spaces.space import Space
from jaxtune.spaces.values import Named
from jaxtune.spaces.written import space_written


def relu(x):
    return x


def tanh(x):
    return x


def places(hparams, space=None, log_names=()):
    written = None if space is None else space_written(Space.of(space))
    return {one.name: one for one in dimensions(hparams, log_names, written)}


def test_numbers_lie_in_the_range_that_was_searched():
    space = {"lr": jt.LogUniform(1e-4, 1.0), "rate": jt.Uniform(0.0, 0.5)}
    found = places([{"lr": 1e-2, "rate": 0.1}, {"lr": 1e-3, "rate": 0.4}], space, ["lr"])
    np.testing.assert_allclose(found["lr"].places, [0.5, 0.25], atol=1e-6)
    np.testing.assert_allclose(found["rate"].places, [0.2, 0.8], atol=1e-6)
    assert (found["lr"].kind, found["rate"].kind) == ("log", "linear")
    assert found["lr"].bounded
    assert (found["lr"].low, found["lr"].high) == (1e-4, 1.0)
    assert found["lr"].value_at(0.75) == pytest.approx(0.1)


def test_without_the_space_the_range_is_what_was_tried():
    (lr,) = dimensions([{"lr": 1e-3}, {"lr": 1e-1}, {"lr": 1e-2}], ["lr"])
    np.testing.assert_allclose(lr.places, [0.0, 1.0, 0.5], atol=1e-6)
    assert not lr.bounded


def test_what_is_normally_distributed_has_no_bounds():
    (width,) = dimensions([{"w": 1.0}, {"w": 3.0}], [], space_written(Space.of({"w": jt.Normal(2.0, 1.0)})))
    assert not width.bounded
    assert (width.low, width.high) == (1.0, 3.0)


def test_values_beyond_the_space_widen_the_range():
    """Points that are given may lie anywhere."""
    found = places([{"lr": 0.5}, {"lr": 2.0}], {"lr": jt.Uniform(0.0, 1.0)})
    assert (found["lr"].low, found["lr"].high) == (0.0, 2.0)


def test_options_keep_the_order_of_the_space_and_are_all_there():
    found = places([{"width": 64}, {"width": 16}], {"width": jt.Choice((16, 32, 64))})
    assert found["width"].options == ("16", "32", "64")
    np.testing.assert_allclose(found["width"].places, [5 / 6, 1 / 6])


def test_functions_and_their_names_are_the_same_option():
    space = {"act": jt.Choice((tanh, relu))}
    live, loaded = (
        places([{"act": relu}, {"act": tanh}], space),
        places([{"act": Named("relu", 1)}, {"act": Named("tanh", 1)}], space),
    )
    assert live["act"].options == loaded["act"].options == ("tanh", "relu")
    np.testing.assert_array_equal(live["act"].places, loaded["act"].places)


def test_functions_of_one_name_stay_apart():
    one, two = lambda x: x, lambda x: -x
    found = places([{"act": one}, {"act": two}, {"act": one}], {"act": jt.Choice((one, two))})
    assert len(set(found["act"].options)) == 2
    assert found["act"].places[0] == found["act"].places[2] != found["act"].places[1]


def test_trials_without_a_hyperparameter_have_no_place():
    space = {"optimizer": jt.Choice({"sgd": {"momentum": jt.Uniform(0.0, 1.0)}, "adam": {}})}
    found = places([{"optimizer": "sgd", "momentum": 0.25}, {"optimizer": "adam"}], space)
    assert found["momentum"].places[0] == 0.25
    assert math.isnan(found["momentum"].places[1])
    assert found["optimizer"].options == ("sgd", "adam")


def test_constants_are_no_dimensions():
    assert dimensions([{"depth": 3, "lr": 0.1}], []) == []


@pytest.mark.parametrize(
    "values", [(math.nan, 1.0), (math.inf, 1.0), (True, 1.0), (None, 2), ((1, 2), (1, 3)), ("a", 1)]
)
def test_what_lies_on_no_axis_is_a_category(values):
    (found,) = dimensions([{"x": value} for value in values], [])
    assert found.kind == "category"
    assert len(found.options) == 2
    assert sorted(found.places.tolist()) == [0.25, 0.75]


def test_whole_numbers_are_known_as_such():
    found = places([{"k": 2, "x": 1.5}, {"k": 6, "x": 2.0}], {"k": jt.Integer(1, 9), "x": jt.Uniform(1, 2)})
    assert found["k"].integer
    assert not found["x"].integer
