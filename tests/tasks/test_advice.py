"""Advice on traced numbers that Optax can't take; what users see of it is tested in test_bad_input.py."""

import jax
import jax.numpy as jnp
import optax
import optax.contrib
import pytest

from jaxtune import schedules
from jaxtune.tasks.advice import OURS, explain

STEPS = {"transition_steps": 100}
COSINE = {"init_value": 0.0, "peak_value": 0.1, "warmup_steps": 10, "decay_steps": 100}

# Optax's function -> arguments, all of which are traced
SCHEDULES = {
    "linear_schedule": {"init_value": 0.1, "end_value": 0.0, **STEPS},
    "polynomial_schedule": {"init_value": 0.1, "end_value": 0.0, "power": 2.0, **STEPS},
    "exponential_decay": {"init_value": 0.1, "decay_rate": 0.5, **STEPS},
    "cosine_decay_schedule": {"init_value": 0.1, "decay_steps": 100},
    "warmup_constant_schedule": {"init_value": 0.0, "peak_value": 0.1, "warmup_steps": 10},
    "warmup_cosine_decay_schedule": COSINE,
    "warmup_exponential_decay_schedule": {
        "init_value": 0.0,
        "peak_value": 0.1,
        "warmup_steps": 10,
        "decay_rate": 0.5,
        **STEPS,
    },
    "cosine_onecycle_schedule": {"peak_value": 0.1, **STEPS},
    "linear_onecycle_schedule": {"peak_value": 0.1, **STEPS},
    "sgdr_schedule": {"cosine_kwargs": [COSINE]},
    "piecewise_constant_schedule": {"init_value": 0.1, "boundaries_and_scales": {10: 0.5}},
    "piecewise_interpolate_schedule": {"init_value": 0.1, "boundaries_and_scales": {10: 0.5}},
}


def advice(function, *args):
    """What a user is told of a function that fails where its arguments are traced."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever Optax raises
        jax.eval_shape(function, *args)
    return str(explain("x", "hp['x']", None, caught.value))


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_of_optax_has_a_counterpart(name):
    static = {"interpolate_type": "linear"} if name == "piecewise_interpolate_schedule" else {}
    told = advice(lambda arguments: getattr(optax, name)(**static, **arguments)(3), SCHEDULES[name])
    assert f"optax.{name} needs a Python value: use jt.schedules.{name}, which accepts traced numbers." in told


def test_advice_knows_our_schedules():
    assert set(OURS.split()) == set(schedules.__all__)


def test_schedules_that_take_traced_numbers_need_no_advice():
    others = {name for name in schedules.__all__ if hasattr(optax, name)} - set(SCHEDULES)
    assert others == {"constant_schedule", "join_schedules"}


def test_the_schedule_that_was_called_is_named_and_not_those_that_it_calls():
    told = advice(lambda peak: optax.warmup_cosine_decay_schedule(0.0, peak, 10, 100)(3), 0.1)
    assert "use jt.schedules.warmup_cosine_decay_schedule," in told


def test_accumulation():
    def update(every):
        optimizer = optax.MultiSteps(optax.sgd(0.1), every)
        return optimizer.update(jnp.ones(()), optimizer.init(jnp.ones(())))[0]

    told = advice(update, jnp.int32(2))
    assert "optax.MultiSteps needs a Python value: use jt.accumulate(optimizer, hp['x'])" in told


def test_plateau():
    told = advice(lambda factor: optax.contrib.reduce_on_plateau(factor).init(jnp.ones(())), 0.5)
    assert "optax.contrib.reduce_on_plateau needs a Python value: chain jt.reduce_on_plateau after" in told


def test_other_parts_of_optax_get_no_wrong_advice():
    def update(nesterov):
        optimizer = optax.adamw(0.1, nesterov=nesterov)
        return optimizer.update(jnp.ones(()), optimizer.init(jnp.ones(())), jnp.ones(()))[0]

    told = advice(update, 1.0)
    assert "jt.schedules" not in told
    assert "jt.Choice([...], static=True)" in told
