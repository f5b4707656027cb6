"""What every sampler must do: a new one joins the table by being exported."""

import doctest
import importlib
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optuna
import pytest

import jaxtune.samplers
from jaxtune.samplers import Points
from jaxtune.spaces.domains import Choice, Integer, LogUniform, Uniform
from jaxtune.spaces.space import Space

SPACE = Space.of({"lr": LogUniform(1e-5, 1.0), "width": Integer(1, 2), "act": Choice(("relu", "tanh")), "b": 1})
NUM_POINTS = 16  # of Grid(4) too
CONSTANTS = Space.of({"lr": 0.1})
ARGUMENTS = {
    "FromOptuna": (optuna.samplers.TPESampler,),
    "Grid": (4,),
    "Points": ([{"lr": 0.1, "width": 2, "act": "tanh"}],),
}

SAMPLERS = [getattr(jaxtune.samplers, name)(*ARGUMENTS.get(name, ())) for name in jaxtune.samplers.__all__]
COMPILED = [sampler for sampler in SAMPLERS if not getattr(sampler, "on_host", False)]
each_sampler = pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
each_compiled = pytest.mark.parametrize("sampler", COMPILED, ids=str)


def anywhere(sampler):
    """The sampler for another space than SPACE, where known points can't be."""
    return Points(()) if isinstance(sampler, Points) else sampler


@each_sampler
def test_shape_dtype_and_range(sampler):
    points = sampler(jax.random.key(0), SPACE, None, NUM_POINTS)
    assert points.shape == (NUM_POINTS, 3)
    assert points.dtype == jnp.float32
    assert not points.aval.weak_type
    assert ((points >= 0) & (points <= 1)).all()
    assert len(np.unique(np.asarray(points), axis=0)) == NUM_POINTS


@each_sampler
def test_equal_keys_give_equal_points(sampler):
    draws = [np.asarray(sampler(jax.random.key(7), SPACE, None, NUM_POINTS)) for _ in range(2)]
    np.testing.assert_array_equal(*draws)


@each_compiled
def test_jit_equals_eager(sampler):
    jitted = jax.jit(sampler, static_argnums=(1, 2, 3))(jax.random.key(3), SPACE, None, NUM_POINTS)
    np.testing.assert_array_equal(jitted, sampler(jax.random.key(3), SPACE, None, NUM_POINTS))


@each_compiled
def test_vmap_over_keys_equals_a_loop(sampler):
    keys = jax.random.split(jax.random.key(0), 3)
    many = jax.jit(jax.vmap(lambda key: sampler(key, SPACE, None, NUM_POINTS)))(keys)
    for points, key in zip(many, keys, strict=True):
        np.testing.assert_array_equal(points, sampler(key, SPACE, None, NUM_POINTS))


@each_compiled
@pytest.mark.parametrize("run", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_a_space_of_constants(sampler, run):
    assert run(lambda key: anywhere(sampler)(key, CONSTANTS, None, 1))(jax.random.key(0)).shape == (1, 0)


@each_sampler
def test_one_point(sampler):
    space = Space.of({"act": Choice(("relu",))})
    assert anywhere(sampler)(jax.random.key(0), space, None, 1).shape == (1, 1)


@each_sampler
def test_settings_are_values(sampler):
    again = type(sampler)(*ARGUMENTS.get(type(sampler).__name__, ()))
    assert again == sampler
    assert hash(again) == hash(sampler)


@each_sampler
def test_points_are_float32_under_x64(sampler):
    with jax.enable_x64(True):
        assert sampler(jax.random.key(0), SPACE, None, NUM_POINTS).dtype == jnp.float32


@each_sampler
def test_documented_with_a_running_example(sampler):
    assert ">>>" in inspect.getdoc(type(sampler))
    assert doctest.testmod(importlib.import_module(type(sampler).__module__)).failed == 0


@pytest.mark.parametrize("sampler", [s for s in COMPILED if type(s).__name__ != "Grid"], ids=str)
def test_other_keys_give_other_points(sampler):
    space = Space.of({"x": Uniform(0, 1)})
    keys = jax.random.split(jax.random.key(0), 8)
    points = jax.jit(jax.vmap(lambda key: anywhere(sampler)(key, space, None, 4)))(keys)
    assert len(np.unique(np.asarray(points))) == 32
