"""Penalties on parameters, and what they do to training, against Optax."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from plain import CROSS_ENTROPY, TRAIN, VALIDATION, Net, NnxNet, course, sgd
from toys import tune

import jaxtune as jt

RNG = np.random.default_rng(0)
PARAMS = {
    "a": {"kernel": RNG.normal(size=(3, 4)).astype(np.float32), "bias": RNG.normal(size=4).astype(np.float32)},
    "b": {"kernel": RNG.normal(size=(4, 2)).astype(np.float32)},
}
FLAT = np.concatenate([x.ravel() for x in jax.tree.leaves(PARAMS)])


def kernels(params):
    return jax.tree.map(lambda x: x.ndim > 1, params)


# The functions.


def test_sums_over_all_parameters():
    np.testing.assert_allclose(jt.penalties.l1(PARAMS), np.abs(FLAT).sum(), rtol=1e-6)
    np.testing.assert_allclose(jt.penalties.l2(PARAMS), 0.5 * (FLAT**2).sum(), rtol=1e-6)
    np.testing.assert_allclose(jt.penalties.l2(PARAMS), 0.5 * optax.tree.norm(PARAMS, squared=True), rtol=1e-6)


@pytest.mark.parametrize("mask", [kernels, lambda params: {"a": {"kernel": True, "bias": False}, "b": True}])
def test_a_mask_says_what_is_counted(mask):
    counted = [PARAMS["a"]["kernel"], PARAMS["b"]["kernel"]]
    np.testing.assert_allclose(jt.penalties.l1(PARAMS, mask), sum(np.abs(x).sum() for x in counted), rtol=1e-6)
    np.testing.assert_allclose(jt.penalties.l2(PARAMS, mask), sum((x**2).sum() / 2 for x in counted), rtol=1e-6)
    assert not jax.grad(lambda p: jt.penalties.l2(p, mask))(PARAMS)["a"]["bias"].any()


def test_the_gradient_of_l2_is_the_parameter_and_that_of_l1_its_sign():
    jax.tree.map(np.testing.assert_array_equal, jax.grad(jt.penalties.l2)(PARAMS), PARAMS)
    with_zero = {"w": jnp.array([-2.0, 0.0, 3.0])}
    assert jax.grad(jt.penalties.l1)(with_zero)["w"].tolist() == [-1.0, 0.0, 1.0]


def test_sums_of_bfloat16_are_taken_in_float32():
    many = {"w": jnp.ones(5000, jnp.bfloat16)}  # counted in bfloat16 they would stop at 256
    for value, expected in ((jt.penalties.l1(many), 5000), (jt.penalties.l2(many), 2500)):
        assert value.dtype == jnp.float32
        assert value == expected


def test_a_mask_of_another_structure_is_refused():
    with pytest.raises(ValueError, match="mask must return bools in the structure of the parameters"):
        jt.penalties.l2(PARAMS, lambda params: {"a": True, "c": True})


# In training.


def penalised(model, penalty, optimizer=sgd):
    return jt.supervised(
        model,
        optimizer=optimizer,
        loss=CROSS_ENTROPY,
        penalty=penalty,
        train=TRAIN,
        validation=VALIDATION,
        batch_size=24,
    )


def elastic(params, hp):
    return hp["l1"] * jt.penalties.l1(params, kernels) + hp["l2"] * jt.penalties.l2(params)


SPACE = {"lr": 0.1, "l1": jt.LogUniform(1e-3, 0.1), "l2": jt.LogUniform(1e-3, 0.1)}


def net_loss(params, split):
    return CROSS_ENTROPY(Net().apply({"params": params}, split[0]), split[1]).mean()


def start():
    return Net().init(jax.random.key(0), TRAIN[0])["params"]


@pytest.mark.parametrize("model", [Net(), NnxNet], ids=["linen", "nnx"])
def test_a_penalty_is_minimised_with_the_loss_and_is_not_part_of_it(model):
    result = tune(penalised(model, elastic), SPACE, scheduler=jt.FullBudget(2, 20))
    losses = []
    for trial in result.trials:
        hp = trial.hparams

        def penalty(params, hp=hp):
            kernel_sum = sum(jnp.abs(layer["kernel"]).sum() for layer in params.values())
            return hp["l1"] * kernel_sum + hp["l2"] / 2 * optax.tree.norm(params, squared=True)

        def objective(params, step, penalty=penalty):
            return net_loss(params, TRAIN) + penalty(params)

        *before, params = course(objective, start(), sgd(hp), 20)
        losses.append(trial.metrics["loss"])
        np.testing.assert_allclose(losses[-1], net_loss(params, VALIDATION), rtol=1e-4)
        logs = [trial.metrics["train_loss"], trial.metrics["train_penalty"]]
        values = [[net_loss(params, TRAIN), penalty(params)] for params in before]
        np.testing.assert_allclose(logs, np.mean(values, axis=0), rtol=1e-4)
    assert abs(losses[0] - losses[1]) > 1e-3 * losses[0]


def test_nothing_is_logged_without_a_penalty():
    task = penalised(Net(), None)
    result = tune(task, {"lr": jt.Uniform(0.1, 0.2)}, scheduler=jt.FullBudget(1, 3))
    assert "train_penalty" not in result.best.metrics
    assert task.functions != penalised(Net(), elastic).functions


def test_l2_equals_weight_decay_under_sgd():
    decayed = penalised(Net(), None, lambda hp: optax.chain(optax.add_decayed_weights(hp["l2"]), sgd(hp)))
    coupled = penalised(Net(), lambda params, hp: hp["l2"] * jt.penalties.l2(params))
    space = {"lr": 0.1, "l2": jt.LogUniform(1e-3, 0.1)}
    results = [tune(task, space, scheduler=jt.FullBudget(2, 20)) for task in (decayed, coupled)]
    losses = [[trial.metrics["loss"] for trial in result.trials] for result in results]
    np.testing.assert_allclose(*losses, rtol=1e-5)


def test_update_gets_the_loss_with_its_penalty():
    def update(updates, state, params, *, value, **extra):
        return jax.tree.map(lambda u: jnp.full_like(u, value), updates), state

    keeps_value = optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)
    task = penalised(Net(), lambda params, hp: 7.0, keeps_value)
    state = task.init(jax.random.key(0), {}, step=0, total_steps=1)
    after, info = task.step(jax.random.key(0), state, TRAIN, {}, step=0, total_steps=1)
    np.testing.assert_allclose(info["loss"], net_loss(start(), TRAIN), rtol=1e-6)
    assert info["penalty"] == 7
    change = after["params"]["head"]["bias"] - state["params"]["head"]["bias"]
    np.testing.assert_allclose(change, info["loss"] + 7, rtol=1e-6)
