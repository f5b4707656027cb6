"""The configurations of a study: allowed, different from one another, and otherwise those of the sampler."""

import warnings
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings, strategies as st
from spaces import configurations, spaces
from toys import seen

from jaxtune.drivers import proposing as own
from jaxtune.drivers.proposing import propose, sample
from jaxtune.samplers import Grid, Points, Random, Sobol
from jaxtune.spaces.domains import Choice, Integer, LogUniform, Uniform
from jaxtune.spaces.space import Space, constrain
from jaxtune.tasks.decoding import decoded

KEY = jax.random.key(0)
each_sampler = pytest.mark.parametrize("sampler", [Random(), Sobol()], ids=str)

PLANE = Space.of({"x": Uniform(0, 1), "y": LogUniform(1e-3, 1)})
TREE = {
    "optimizer": Choice(
        {"sgd": {"nesterov": Choice((False, True)), "warmup": Integer(1, 4)}, "adam": {"beta": Choice((0.9, 0.99))}}
    ),
    "depth": 2,
}


def rows(points, space):
    table = decoded(points, space)
    return [space.row(table, t) for t in range(len(points))]


def different(found):
    return {tuple(row.items()) for row in found}


def quietly(*args, **kwargs):
    with warnings.catch_warnings(action="error"):
        return propose(KEY, *args, **kwargs)


@each_sampler
@pytest.mark.parametrize("num_points", [1, 8, 50])
def test_without_reason_nothing_changes(sampler, num_points):
    points = quietly(sampler=sampler, space=PLANE, num_points=num_points)
    assert isinstance(points, np.ndarray)
    assert points.dtype == np.float32
    np.testing.assert_array_equal(points, sample(KEY, sampler=sampler, space=PLANE, num_points=num_points))


@each_sampler
def test_repeats_are_replaced(sampler):
    space = Space.of({"n": Integer(1, 30), "a": Choice(("x", "y"), weights=(5, 1))})
    before = rows(sample(KEY, sampler=sampler, space=space, num_points=40), space)
    assert len(different(before)) < 40
    after = rows(quietly(sampler=sampler, space=space, num_points=40), space)
    assert len(different(after)) == 40
    assert [row for i, row in enumerate(before) if row not in before[:i]] == after[: len(different(before))]


@each_sampler
def test_what_does_not_exist_makes_no_difference(sampler):
    space = Space.of({"a": Choice({"x": {"n": Integer(1, 8), "r": Uniform(0, 1, step=0.125)}, "y": {}})})
    found = rows(quietly(sampler=sampler, space=space, num_points=60), space)
    assert len(different(found)) == 60
    assert sum(row["a"] == "y" for row in found) == 1


@each_sampler
def test_constraints_hold(sampler):
    space = constrain(PLANE, lambda hp: hp["x"] < hp["y"])
    points = quietly(sampler=sampler, space=space, num_points=50)
    found = rows(points, space)
    assert all(row["x"] < row["y"] for row in found)
    assert len(different(found)) == 50
    # The first allowed ones of the sampler's.
    more = np.asarray(sample(KEY, sampler=sampler, space=space, num_points=800))
    allowed = [point for point, row in zip(more, rows(more, space), strict=True) if row["x"] < row["y"]]
    np.testing.assert_array_equal(points, allowed[:50])


@each_sampler
def test_what_was_trained_before_is_not_proposed_again(sampler):
    space = Space.of(TREE)
    everything = configurations(TREE)
    before = everything[::2]
    found = rows(quietly(sampler=sampler, space=space, num_points=5, previous_hparams=before), space)
    assert different(found) == different(everything[1::2])


@each_sampler
def test_a_history_continues_the_search(sampler):
    first = quietly(sampler=sampler, space=PLANE, num_points=8)
    history = seen(first)
    second = quietly(sampler=sampler, space=PLANE, num_points=8, history=history)
    assert len(np.unique(np.concatenate([first, second]), axis=0)) == 16
    if sampler == Sobol():
        both = quietly(sampler=sampler, space=PLANE, num_points=16)
        np.testing.assert_array_equal(np.concatenate([first, second]), both)


@each_sampler
def test_too_small_a_space_is_trained_again_in_order(sampler):
    space = Space.of(TREE)
    with pytest.warns(UserWarning, match=r"^The space has only 10 different configurations for 16 trials: 6 are tr"):
        found = rows(propose(KEY, sampler=sampler, space=space, num_points=16), space)
    assert different(found[:10]) == different(configurations(TREE))
    assert found[10:] == found[:6]


def test_no_warning_where_the_space_is_just_large_enough():
    found = rows(quietly(sampler=Random(), space=Space.of(TREE), num_points=10), Space.of(TREE))
    assert different(found) == different(configurations(TREE))


def test_rare_configurations_are_found_one_by_one():
    choice = {"a": Choice(range(100), weights=[1e-4] * 99 + [1])}
    found = rows(quietly(sampler=Random(), space=Space.of(choice), num_points=99), Space.of(choice))
    assert len(different(found)) == 99


def test_repeats_of_what_was_trained_before():
    space, everything = Space.of(TREE), configurations(TREE)
    words = r"only 10 different configurations, 8 of them trained before, for 5 trials: 3 are trained again\."
    with pytest.warns(UserWarning, match=words):
        found = rows(propose(KEY, sampler=Sobol(), space=space, num_points=5, previous_hparams=everything[:8]), space)
    assert different(found[:2]) == different(everything[8:])
    assert found[2:4] == found[:2]
    with pytest.warns(UserWarning, match="10 different configurations, 10 of them trained before, for 3 trials: 3 are"):
        found = rows(propose(KEY, sampler=Sobol(), space=space, num_points=3, previous_hparams=everything), space)
    assert len(different(found)) == 3


def test_a_finite_space_with_a_constraint():
    space = constrain(TREE, lambda hp: hp.get("warmup", 0) > 2)
    with pytest.warns(UserWarning, match="only 4 different configurations for 6 trials: 2 are trained again"):
        found = rows(propose(KEY, sampler=Sobol(), space=space, num_points=6), space)
    assert all(row["warmup"] > 2 for row in found)
    assert len(different(found)) == 4


def test_constants_are_one_configuration():
    space = Space.of({"lr": 0.1})
    assert quietly(sampler=Sobol(), space=space, num_points=1).shape == (1, 0)
    with pytest.raises(ValueError, match="The space holds constants only, so 2 trials would be equal: set trials=1"):
        propose(KEY, sampler=Sobol(), space=space, num_points=2)
    with pytest.raises(ValueError, match="The constraint accepts none of the 1 configurations"):
        propose(KEY, sampler=Sobol(), space=constrain(space, lambda hp: hp["lr"] > 1), num_points=1)


@each_sampler
def test_a_constraint_that_is_too_narrow_is_reported(sampler):
    space = constrain(PLANE, lambda hp: hp["x"] < 1e-3)
    with pytest.raises(
        ValueError, match=r"The constraint accepted \d+ of 4096 points \(0\.\d\d%\), too few for 16"
    ) as e:
        propose(KEY, sampler=sampler, space=space, num_points=16)
    points = sample(KEY, sampler=sampler, space=space, num_points=4096)
    assert f"accepted {int(np.sum(points[:, 0] < 1e-3))} of 4096" in str(e.value)


def test_the_number_of_tries_grows_with_the_trials(monkeypatch):
    asked = []
    monkeypatch.setattr(
        own,
        "sample",
        lambda key, *, num_points, **rest: asked.append(num_points) or sample(key, num_points=num_points, **rest),
    )
    with pytest.raises(ValueError, match="The constraint accepted 0 of 16384 points"):
        propose(KEY, sampler=Random(), space=constrain(PLANE, lambda hp: False), num_points=256)
    assert asked == [256 * 2**i for i in range(7)]


@dataclass(frozen=True)
class Everywhere:
    """A sampler that knows a few points only."""

    num_known: int

    def __call__(self, key, space, history, num_points):
        numbers = jnp.arange(num_points) % self.num_known
        return jnp.broadcast_to((numbers / self.num_known)[:, None], (num_points, space.num_dims))


def test_a_sampler_that_repeats_itself():
    words = r"Everywhere\(num_known=3\) proposed only 3 different configurations for 8 trials: 5 are trained again"
    with pytest.warns(UserWarning, match=words):
        points = propose(KEY, sampler=Everywhere(3), space=PLANE, num_points=8)
    np.testing.assert_allclose(points[:, 0], np.arange(8) % 3 / 3)


def test_a_grid_is_asked_once():
    points = quietly(sampler=Grid(3), space=PLANE, num_points=9)
    np.testing.assert_array_equal(points, sample(KEY, sampler=Grid(3), space=PLANE, num_points=9))
    words = "proposed only 9 different configurations, 2 of them trained before, for 9 trials: 2 are trained again"
    with pytest.warns(UserWarning, match=words):
        again = propose(KEY, sampler=Grid(3), space=PLANE, num_points=9, previous_hparams=rows(points, PLANE)[:2])
    np.testing.assert_array_equal(again, [*points[2:], *points[2:4]])


def test_given_points_come_first():
    given = [{"x": 0.5, "y": 0.125}, {"x": 0.25, "y": 1.0}]
    found = rows(quietly(sampler=Points(given), space=PLANE, num_points=6), PLANE)
    assert [row["x"] for row in found[:2]] == [0.5, 0.25]
    assert len(different(found)) == 6


@pytest.mark.parametrize(
    ("points", "sentence"), [(np.ones((3, 1)), r"got shape \(3, 1\)"), (np.full((3, 2), 2.0), "got 2.0")]
)
def test_points_outside_the_cube_are_refused(points, sentence):
    class Wrong:
        def __call__(self, key, space, history, num_points):
            return points

    with pytest.raises(ValueError, match=sentence):
        propose(KEY, sampler=Wrong(), space=PLANE, num_points=3)


def fits(hp):
    """A constraint that holds for about half of anything."""
    return sum(map(ord, repr(sorted(hp.items())))) % 2 == 0


@settings(max_examples=20, deadline=None)
@given(spaces(depth=1), st.integers(2, 6), st.sampled_from([Random(), Sobol()]), st.booleans())
def test_proposals_are_allowed_and_different(space, num_points, sampler, constrained):
    flat = constrain(space, fits) if constrained else Space.of(space)
    finite = all(domain.num_options for _, domain in flat.domains)
    assume(flat.num_dims > 0 and (not finite or any(map(flat.allows, configurations(space)))))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = rows(propose(KEY, sampler=sampler, space=flat, num_points=num_points), flat)
    assert len(found) == num_points
    assert all(map(flat.allows, found))
    wanted = min(num_points, sum(map(flat.allows, configurations(space)))) if finite else num_points
    assert len(different(found)) == wanted
    assert bool(caught) == (wanted < num_points)
