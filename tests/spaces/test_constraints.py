"""Constraints: predicates over configurations."""

import pickle

import jax
import numpy as np
import pytest

from jaxtune.spaces.domains import Choice, Integer, Uniform
from jaxtune.spaces.space import Space, constrain


def divides(hp):
    return hp["width"] % hp["heads"] == 0


def is_small(hp):
    return hp["width"] < 12


SPACE = {"heads": Choice((1, 2, 4, 8)), "width": Choice((8, 12, 16)), "depth": 2}


def test_a_constraint_allows_what_fulfils_it():
    space = constrain(SPACE, divides)
    assert space.allows({"heads": 4, "width": 12, "depth": 2})
    assert not space.allows({"heads": 8, "width": 12, "depth": 2})
    assert Space.of(SPACE).allows({"heads": 8, "width": 12, "depth": 2})


def test_all_constraints_hold():
    space = constrain(constrain(SPACE, divides), is_small)
    assert [space.allows({"heads": 8, "width": width}) for width in (8, 12, 16)] == [True, False, False]
    assert space.constraints == (divides, is_small)


def test_a_constraint_sees_plain_values_and_constants():
    seen = []

    def look(hp):
        seen.append(hp)
        return np.bool_(hp["depth"] == 2)

    space = constrain(SPACE | {"branch": Choice({"a": {"n": 1}, "b": {"m": Uniform(0, 1)}})}, look)
    decoded = space.decode(np.full((1, space.num_dims), 0.9, np.float32))
    row = space.row(decoded, 0)
    assert space.allows(row)
    assert seen == [{"heads": 8, "width": 16, "depth": 2, "branch": "b", "m": 0.9}]
    assert [type(value) for value in seen[0].values()] == [int, int, int, str, float]
    seen[0]["heads"] = 0
    assert row["heads"] == 8  # it has got a dict of its own


def test_constraints_are_part_of_the_space():
    space = constrain(SPACE, divides)
    assert space == constrain(SPACE, divides)
    assert hash(space) == hash(constrain(SPACE, divides))
    assert len({space, Space.of(SPACE), constrain(SPACE, is_small), constrain(space, is_small)}) == 4
    assert pickle.loads(pickle.dumps(space)) == space
    assert Space.of(space) is space


def test_pinning_keeps_constraints():
    assert constrain(SPACE, divides).pin({"width": True}).constraints == (divides,)


def test_a_constrained_space_is_a_static_argument():
    space = constrain({"n": Integer(1, 4)}, lambda hp: hp["n"] > 1)
    decoded = jax.jit(lambda unit, space: space.decode(unit), static_argnums=1)(np.zeros((1, 1), np.float32), space)
    assert decoded["n"].tolist() == [1]


@pytest.mark.parametrize("answer", [1, None, "yes", np.array([True, False])], ids=["int", "none", "text", "array"])
def test_an_answer_must_be_a_bool(answer):
    with pytest.raises(
        TypeError, match=r"The constraint <lambda> must return True or False, got .* for {'heads': 4}\."
    ):
        constrain(SPACE, lambda hp: answer).allows({"heads": 4})


def test_an_exception_is_reported_with_its_cause():
    with pytest.raises(
        ValueError, match=r"The constraint divides raised KeyError: 'heads', for {'width': 12}\."
    ) as caught:
        constrain(SPACE, divides).allows({"width": 12})
    assert isinstance(caught.value.__cause__, KeyError)


@pytest.mark.parametrize(
    ("space", "predicate", "sentence"),
    [
        (SPACE, 3, "A constraint is a (hashable) function of hp that returns a bool, got 3."),
        (SPACE, None, "A constraint is a (hashable) function of hp that returns a bool, got None."),
        ([1], divides, "A space is a dict from names to domains or constants, got [1]."),
    ],
)
def test_constrain_refuses(space, predicate, sentence):
    with pytest.raises(TypeError) as caught:
        constrain(space, predicate)
    assert sentence in str(caught.value)


def test_a_callable_that_is_not_hashable_is_refused():
    class Predicate:
        __hash__ = None

        def __call__(self, hp):
            return True

    with pytest.raises(TypeError, match=r"A constraint is a \(hashable\) function"):
        constrain(SPACE, Predicate())
