"""Spaces with fixed hyperparameters: exact values, the same programs, branches that come and go."""

import numpy as np
import pytest

import jaxtune as jt
from jaxtune.practice.fixing import even_schedule, fix, free_keys, middle, num_trials, without

FLAT = jt.Space.of(
    {
        "lr": jt.LogUniform(1e-4, 1e-1),
        "width": jt.Integer(1, 9),
        "depth": jt.Integer(1, 9, static=True),
        "act": jt.Choice(("relu", "tanh")),
        "constant": 7,
    }
)
NESTED = jt.Space.of(
    {
        "rate": jt.Uniform(0.0, 1.0),
        "optimizer": jt.Choice(
            {
                "sgd": {
                    "lr": jt.Uniform(0.0, 1.0),
                    "kind": jt.Choice({"plain": {}, "heavy": {"m": jt.Uniform(0.0, 1.0)}}),
                },
                "adam": {"lr": jt.Uniform(2.0, 4.0), "eps": 1e-8},
            }
        ),
    }
)


def points(space, num=8):
    """Configurations at random points."""
    unit = np.random.default_rng(0).uniform(size=(num, space.num_dims)).astype(np.float32)
    decoded = {key: np.asarray(values) for key, values in space.decode(unit).items()}
    return [space.row(decoded, index) for index in range(num)]


def test_fixed_values_are_exact():
    fixed = fix(FLAT, {"lr": 0.0123456789, "act": "tanh"})
    assert {(hp["lr"], hp["act"], hp["constant"]) for hp in points(fixed)} == {(0.0123456789, "tanh", 7)}
    assert len({hp["width"] for hp in points(fixed)}) > 3


def test_fixed_ones_stay_traced_or_static():
    values = {"lr": 0.01, "width": 3, "depth": 2, "act": "relu"}
    fixed = fix(FLAT, values)
    assert fixed.names == FLAT.names
    assert (fixed.static, fixed.undecided) == (FLAT.static, FLAT.undecided)
    before, after = (space.decode(np.zeros((1, 4), np.float32)) for space in (FLAT, fixed))
    assert {key: x.dtype for key, x in before.items()} == {key: x.dtype for key, x in after.items()}


def test_whole_numbers_become_what_their_domain_holds():
    """An int for a float would be traced as another dtype, hence another program."""
    fixed = fix(jt.Space.of({"x": jt.Uniform(0, 2)}), {"x": 1})
    assert fixed.decode(np.zeros((1, 1), np.float32))["x"].dtype == np.float32


def test_middle():
    assert middle(FLAT) == {"lr": pytest.approx(10**-2.5), "width": 5, "depth": 5, "act": "tanh", "constant": 7}


def test_free_ones_are_not_fixed():
    fixed = fix(FLAT, {"lr": 0.01, "width": 3}, free_keys(FLAT, ["width"]))
    assert len({hp["width"] for hp in points(fixed)}) > 3
    assert {hp["lr"] for hp in points(fixed)} == {0.01}


def test_fixed_choice_leaves_its_branch_only():
    sgd = fix(NESTED, {"optimizer": "sgd"})
    assert {hp["optimizer"] for hp in points(sgd)} == {"sgd"}
    assert all(0 <= hp["lr"] <= 1 for hp in points(sgd))
    assert {hp["kind"] for hp in points(sgd)} == {"plain", "heavy"}
    assert not any("adam" in key for key in sgd.names)
    adam = fix(NESTED, {"optimizer": "adam", "lr": 2.5})
    assert middle(adam) == {"rate": 0.5, "optimizer": "adam", "lr": 2.5, "eps": 1e-8}


def test_branches_of_branches():
    plain = fix(NESTED, {"optimizer": "sgd", "kind": "plain", "rate": 0.25, "lr": 0.5})
    assert middle(plain) == {"rate": 0.25, "optimizer": "sgd", "lr": 0.5, "kind": "plain"}
    assert not any(key.endswith(".m") for key in plain.names)
    heavy = fix(NESTED, {"optimizer": "sgd", "kind": "heavy"})
    assert all("m" in hp for hp in points(heavy))


def test_a_free_choice_takes_its_branches_with_it():
    keys = free_keys(NESTED, ["optimizer"])
    assert keys == set(NESTED.names) - {"rate"}
    fixed = fix(NESTED, {"rate": 0.25, "optimizer": "sgd", "lr": 0.5, "kind": "plain"}, keys)
    assert {hp["optimizer"] for hp in points(fixed)} == {"sgd", "adam"}
    assert {hp["rate"] for hp in points(fixed)} == {0.25}
    assert len({hp["lr"] for hp in points(fixed)}) == 8


def test_constraints_stay():
    space = jt.constrain(FLAT, lambda hp: hp["width"] > 3)
    assert fix(space, {"width": 2}).constraints == without(space, "lr").constraints == space.constraints


def test_values_outside_are_named():
    with pytest.raises(ValueError, match=r"'lr': LogUniform.* does not contain 3"):
        fix(FLAT, {"lr": 3.0})


def test_without_drops_a_name_in_all_branches():
    assert "lr" not in without(NESTED, "lr").hp_names
    assert "kind" in without(NESTED, "lr").hp_names


def test_no_more_trials_than_configurations():
    assert num_trials(FLAT, 100) == 100
    assert num_trials(jt.Space.of({"act": jt.Choice((1, 2)), "n": jt.Integer(1, 3)}), 100) == 6
    assert num_trials(jt.Space.of({"act": 1}), 100) == 1


def test_intervals_are_equal():
    assert even_schedule(3, 500, 50) == (jt.FullBudget(3, 500), 10)
    assert even_schedule(3, 455, 100) == (jt.FullBudget(3, 456), 4)
    assert even_schedule(3, 7, 50) == (jt.FullBudget(3, 7), 1)
