"""Schedules equal Optax's at fixed arguments, and take every argument traced."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxtune import schedules

STEPS = np.arange(10_000)

# schedule -> argument sets, each a dict of Optax's names
CASES = {
    "cosine_decay_schedule": [
        {"init_value": 0.1, "decay_steps": 8000},
        {"init_value": 1.0, "decay_steps": 12_000, "alpha": 0.1},
        {"init_value": 3e-4, "decay_steps": 777.7, "alpha": 0.01, "exponent": 2.0},
        {"init_value": 3e-4, "decay_steps": 5000, "alpha": 1.5, "exponent": 0.5},
        {"init_value": 1.0, "decay_steps": 1},
        {"init_value": -1.0, "decay_steps": 500, "exponent": 3},
    ],
    "warmup_cosine_decay_schedule": [
        {"init_value": 0.0, "peak_value": 0.1, "warmup_steps": 500, "decay_steps": 9000},
        {"init_value": 0.0, "peak_value": 0.1, "warmup_steps": 0, "decay_steps": 9000},
        {"init_value": 1e-5, "peak_value": 3e-4, "warmup_steps": 1, "decay_steps": 2, "end_value": 1e-6},
        {"init_value": 0.0, "peak_value": 1.0, "warmup_steps": 123.4, "decay_steps": 5678.9, "exponent": 2.0},
        {
            "init_value": 0.2,
            "peak_value": 0.1,
            "warmup_steps": 3000,
            "decay_steps": 20_000,
            "end_value": 0.05,
            "exponent": 0.5,
        },
        {"init_value": 0.1, "peak_value": 0.0, "warmup_steps": 100, "decay_steps": 1000, "end_value": 0.5},
        {"init_value": 0.0, "peak_value": 0.1, "warmup_steps": 100, "decay_steps": 1000, "end_value": 0.5},
    ],
}
ROWS = [(name, arguments) for name, sets in CASES.items() for arguments in sets]


def complete(name, arguments):
    """The arguments with Optax's defaults filled in."""
    bound = inspect.signature(getattr(optax, name)).bind(**arguments)
    bound.apply_defaults()
    return bound.arguments


def assert_close(got, want):
    np.testing.assert_allclose(got, want, rtol=2e-5, atol=1e-6 * np.max(np.abs(want)))


@pytest.mark.parametrize("name", CASES)
def test_names_order_and_defaults_are_optax_s(name):
    ours, theirs = (inspect.signature(getattr(module, name)).parameters for module in (schedules, optax))
    assert [(p.name, p.default) for p in ours.values()] == [(p.name, p.default) for p in theirs.values()]


def test_every_schedule_has_cases():
    assert set(schedules.__all__) == set(CASES)


@pytest.mark.parametrize(("name", "arguments"), ROWS)
def test_values_equal_optax_s(name, arguments):
    want = jax.jit(getattr(optax, name)(**arguments))(STEPS)
    got = jax.jit(getattr(schedules, name)(**arguments))(STEPS)
    assert got.dtype == want.dtype
    assert_close(got, want)


@pytest.mark.parametrize("name", CASES)
def test_every_argument_may_be_traced_under_jit_and_vmap(name):
    sets = [complete(name, arguments) for arguments in CASES[name]]
    stacked = {key: jnp.array([float(one[key]) for one in sets]) for key in sets[0]}

    @jax.jit
    @jax.vmap
    def values(arguments):
        return getattr(schedules, name)(**arguments)(jnp.asarray(STEPS))

    for got, arguments in zip(values(stacked), sets, strict=True):
        assert_close(got, getattr(optax, name)(**arguments)(STEPS))


@pytest.mark.parametrize("name", CASES)
def test_integer_arguments_may_be_traced(name):
    arguments = complete(name, CASES[name][0])
    traced = {key: jnp.asarray(value) for key, value in arguments.items()}
    got = jax.jit(lambda arguments: getattr(schedules, name)(**arguments)(100))(traced)
    assert_close(got, getattr(optax, name)(**arguments)(100))


# The corners where a formula divides 0 by 0 or has an infinite slope: (warmup_steps, decay_steps).
CORNERS = [(0.0, 10.0), (10.0, 10.0), (0.0, 0.0), (12.0, 10.0), (2.5, 10.0)]


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0])
@pytest.mark.parametrize(("warmup", "decay"), CORNERS)
def test_traced_corners_have_finite_values_and_gradients(warmup, decay, exponent):
    def value(arguments, count):
        return schedules.warmup_cosine_decay_schedule(*arguments)(count)

    arguments = [jnp.float32(x) for x in (0.0, 0.1, warmup, decay, 0.01, exponent)]
    counts = jnp.array([0, 1, 5, 9, 10, 11, 100])
    values, gradients = jax.jit(jax.vmap(jax.value_and_grad(value), in_axes=(None, 0)))(arguments, counts)
    assert np.isfinite(values).all()
    assert all(np.isfinite(gradient).all() for gradient in gradients)
    np.testing.assert_allclose(values[counts >= max(warmup, decay)], 0.01, rtol=1e-5)


def test_a_peak_of_zero_has_finite_gradients():
    gradient = jax.grad(lambda peak: schedules.warmup_cosine_decay_schedule(0.0, peak, 2, 10, 0.1)(5))(0.0)
    assert np.isfinite(gradient)


def test_a_traced_cosine_without_steps_is_at_its_end():
    value = jax.jit(lambda steps: schedules.cosine_decay_schedule(1.0, steps, alpha=0.25)(0))(0)
    assert value == 0.25


def test_known_bad_arguments_are_refused_with_a_sentence():
    with pytest.raises(ValueError, match="cosine_decay_schedule needs decay_steps > 0, got 0"):
        schedules.cosine_decay_schedule(0.1, 0)
    with pytest.raises(ValueError, match="needs decay_steps > 0, got nan"):
        schedules.cosine_decay_schedule(0.1, float("nan"))
    with pytest.raises(ValueError, match="needs decay_steps - warmup_steps > 0, got -5"):
        schedules.warmup_cosine_decay_schedule(0.0, 0.1, jnp.int32(15), jnp.int32(10))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.int32])
def test_weak_arguments_and_strong_step_counts_give_weak_values(dtype):
    # total_steps may reach the optimizer as a strong integer; int32 / int32 alone would be a strong float32.
    def value(total, count):
        return schedules.warmup_cosine_decay_schedule(0.0, 0.1, 0.1 * total, total)(count)

    total = 100.0 if dtype == jnp.float32 else jnp.int32(100)
    assert jax.eval_shape(value, total, jnp.int32(3)).weak_type


@pytest.mark.parametrize("factory", [optax.scale_by_learning_rate, optax.adamw, optax.sgd])
def test_bfloat16_parameters_stay_bfloat16(factory):
    def run(peak, total):
        optimizer = factory(schedules.warmup_cosine_decay_schedule(0.0, peak, 0.1 * total, total))
        params = jnp.ones(3, jnp.bfloat16)

        def step(carry, _):
            params, state = carry
            updates, state = optimizer.update(params, state, params)
            return (optax.apply_updates(params, updates), state), updates

        return jax.lax.scan(step, (params, optimizer.init(params)), length=2)

    (params, _), updates = jax.jit(jax.vmap(run))(jnp.array([0.1, 0.2]), jnp.array([10, 20]))
    assert params.dtype == updates.dtype == jnp.bfloat16
