"""Updates of supervised tasks by Optax optimizers that want more than gradients, against plain loops."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from optax import contrib
from plain import wave
from toys import X, Y

import jaxtune as jt
from jaxtune.spaces.space import Space
from jaxtune.tasks.problem import resolve

MODEL = nn.Dense(1, kernel_init=wave)
BATCH = X[:16], Y[:16]


def task(optimizer):
    return jt.supervised(
        MODEL, optimizer=optimizer, loss=optax.squared_error, train=BATCH, validation=BATCH, batch_size=16
    )


def objective(params):
    return jnp.mean(optax.squared_error(MODEL.apply({"params": params}, BATCH[0]), BATCH[1]))


def trained(optimizer, steps=7):
    """Parameters after some steps of the task."""
    made, key, hp = task(optimizer), jax.random.key(0), {"lr": 0.1}
    state = made.init(key, hp, step=0, total_steps=steps)
    step = jax.jit(lambda state, i: made.step(key, state, BATCH, hp, step=i, total_steps=steps)[0])
    for i in range(steps):
        state = step(state, i)
    return state["params"]


def in_plain_loop(optimizer, steps=7, **extras):
    """The same without jaxtune; `extras` are functions of the parameters that make what the update is told."""
    params = MODEL.init(jax.random.key(0), BATCH[0])["params"]
    state = optimizer.init(params)

    @jax.jit
    def step(params, state):
        told = {name: extra(params) for name, extra in extras.items()}
        updates, state = optimizer.update(jax.grad(objective)(params), state, params, **told)
        return optax.apply_updates(params, updates), state

    for _ in range(steps):
        params, state = step(params, state)
    return params


def same(first, second):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), first, second)


WISHES = {
    "nothing": (contrib.sam(optax.sgd(0.1), optax.sgd(0.05)), {}),
    "nothing, in a chain": (optax.chain(optax.clip(1.0), contrib.sam(optax.sgd(0.1), optax.sgd(0.05))), {}),
    "grad_fn": (
        contrib.sam(optax.sgd(0.1), optax.sgd(0.05), opaque_mode=True),
        {"grad_fn": lambda params: lambda params, _: jax.grad(objective)(params)},
    ),
    "value": (contrib.momo(0.1), {"value": objective}),
    "value, grad and value_fn": (
        optax.lbfgs(0.1),
        {"value": objective, "grad": jax.grad(objective), "value_fn": lambda params: objective},
    ),
    "obj_fn": (contrib.sophia(0.1), {"obj_fn": lambda params: objective}),
}


@pytest.mark.parametrize("wishes", WISHES)
def test_optimizers_are_told_what_they_ask_for(wishes):
    optimizer, extras = WISHES[wishes]
    same(trained(optimizer), in_plain_loop(optimizer, **extras))


def test_what_nobody_has_is_named():
    def update(updates, state, params, *, curvature):
        return updates, state

    optimizer = optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)
    message = "asks for what jaxtune doesn't have .*'curvature'.* value, grad, value_fn, obj_fn, grad_fn by name"
    with pytest.raises(TypeError, match=message):
        resolve(task(lambda hp: optax.chain(optimizer, optax.sgd(hp["lr"]))), Space.of({"lr": 0.1}), "loss", "min")


def test_a_type_error_of_an_optimizer_passes():
    def update(updates, state, params, **extras):
        raise TypeError("mine")

    optimizer = optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)
    with pytest.raises(TypeError, match="^mine"):
        trained(optimizer, 1)


LOOKAHEAD = optax.lookahead(optax.sgd(0.1), sync_period=3, slow_step_size=0.5)


@pytest.mark.parametrize("optimizer", [LOOKAHEAD, optax.chain(optax.clip(1.0), LOOKAHEAD)], ids=["alone", "in a chain"])
def test_lookahead_keeps_the_slow_parameters(optimizer):
    both = optax.LookaheadParams.init_synced(MODEL.init(jax.random.key(0), BATCH[0])["params"])
    state = optimizer.init(both)
    for _ in range(7):
        updates, state = optimizer.update(jax.grad(objective)(both.fast), state, both)
        both = optax.apply_updates(both, updates)
    same(trained(optimizer), both.slow)
    assert not np.allclose(both.slow["kernel"], both.fast["kernel"])


def test_multi_steps_need_no_conversion():
    same(trained(optax.MultiSteps(optax.sgd(0.1), 2)), in_plain_loop(optax.sgd(0.1), 3))


def test_states_with_random_keys_are_trained_again():
    made = task(lambda hp: optax.noisy_sgd(hp["lr"], key=jax.random.key(3)))
    result = jt.tune(made, {"lr": jt.LogUniform(1e-3, 0.1)}, scheduler=jt.FullBudget(2, 4), progress=False)
    first, second = result.refit(replicates=2).states["params"]["kernel"]
    assert not np.array_equal(first, second)
