"""Augmentation helpers: their distributions, that lanes share their draws, and the loss of mixtures."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.stats
from jax.extend.core import jaxprs_in_params
from plain import CROSS_ENTROPY, TRAIN, VALIDATION, Net, sgd
from toys import tune

import jaxtune as jt
from jaxtune.training.augment import Mixed, mixup, noise

KEY = jax.random.key(0)
BATCH = (TRAIN[0], TRAIN[1])


# noise


def test_noise_is_gaussian_with_this_scale():
    x, y = noise(KEY, (np.full((4000, 3), 2.0, np.float32), np.ones(4000)), 0.3)
    drawn = (np.asarray(x).ravel() - 2) / 0.3
    assert scipy.stats.kstest(drawn, "norm").pvalue > 0.01
    np.testing.assert_array_equal(y, np.ones(4000))


def test_no_noise_changes_nothing():
    for scale in (0.0, jnp.float32(0.0)):
        x, _ = noise(KEY, BATCH, scale)
        np.testing.assert_array_equal(x, BATCH[0])


def test_noise_keeps_dtypes_and_differs_between_arrays():
    inputs = {"a": jnp.zeros((5, 2), jnp.bfloat16), "b": jnp.zeros((5, 2)), "c": jnp.zeros((5, 2))}
    noisy, _ = noise(KEY, (inputs, None), jnp.float32(1.0))
    assert jax.tree.map(lambda x: x.dtype, noisy) == jax.tree.map(lambda x: x.dtype, inputs)
    a, b, c = (np.asarray(x, np.float32) for x in noisy.values())
    for one, other in ((a, b), (a, c), (b, c)):
        assert not np.allclose(one, other, atol=0.1)


# The weight of a mixture.


def weights(alpha, num=4000):
    """The weights that `mixup` draws, in float32 [num]."""
    keys = jax.random.split(jax.random.key(7), num)
    batch = jnp.zeros((2, 1)), jnp.zeros(2)
    return np.asarray(jax.jit(jax.vmap(lambda key: mixup(key, batch, alpha).weight))(keys), np.float64)


@pytest.mark.parametrize("alpha", [0.1, 0.4, 1.0, 4.0, 50.0])
def test_the_weight_is_drawn_from_a_symmetric_beta(alpha):
    drawn, beta = weights(alpha), scipy.stats.beta(alpha, alpha)
    lower = drawn[drawn < 0.5]  # at alpha = 0.1 a tenth of all weights is closer to 1 than a float32 can be
    assert scipy.stats.kstest(lower, lambda x: 2 * beta.cdf(x)).pvalue > 0.01
    np.testing.assert_allclose([drawn.mean(), drawn.std()], [0.5, beta.std()], rtol=0.05)
    np.testing.assert_allclose((drawn > 0.9).mean(), beta.sf(0.9), atol=0.02)


@pytest.mark.parametrize("alpha", [1.2e-38, 1e-6, 0.01])
def test_a_small_alpha_does_not_underflow(alpha):
    drawn = weights(alpha, num=20_000)
    assert np.isfinite(drawn).all()
    np.testing.assert_allclose((drawn > 0.5).mean(), 0.5, atol=0.03)  # gamma variables would both be 0
    expected = scipy.stats.beta(max(alpha, 1e-6), max(alpha, 1e-6))
    between = expected.cdf(0.9) - expected.cdf(0.1)
    np.testing.assert_allclose(((drawn > 0.1) & (drawn < 0.9)).mean(), between, atol=0.01)


def test_lanes_of_any_alpha_get_what_they_would_get_alone():
    alphas = jnp.array([0.0, 0.01, 0.3, 1.0, 2.5])
    lanes = jax.vmap(lambda alpha: mixup(KEY, BATCH, alpha))(alphas)
    for i, alpha in enumerate(alphas.tolist()):
        alone = mixup(KEY, BATCH, alpha)
        jax.tree.map(
            partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), jax.tree.map(lambda x, i=i: x[i], lanes), alone
        )


DRAWS = {
    "random_bits",
    "threefry2x32",
    "random_split",
    "random_fold_in",
    "rng_bit_generator",
    "random_gamma",
    "while",
    "sort",
}


def outputs_of_draws(jaxpr):
    """Names and shapes of all keys and random numbers, of loops and of sorts, in inner functions too."""
    for equation in jaxpr.eqns:
        if equation.primitive.name in DRAWS:
            yield from ((equation.primitive.name, v.aval.shape) for v in equation.outvars)
        for inner in jaxprs_in_params(equation.params):
            yield from outputs_of_draws(inner)


@pytest.mark.parametrize("function", [noise, mixup])
def test_the_draws_have_no_lane_axis(function):
    lanes = jax.vmap(lambda strength: function(KEY, BATCH, strength))
    found = list(outputs_of_draws(jax.make_jaxpr(lanes)(jnp.linspace(0.0, 2.0, 31)).jaxpr))
    assert any(name == "random_bits" for name, _ in found)
    assert not [shape for _, shape in found if 31 in shape]


def test_a_rejection_loop_would_be_seen():
    lanes = jax.vmap(lambda alpha: jax.random.beta(KEY, alpha, alpha))
    assert [
        shape for _, shape in outputs_of_draws(jax.make_jaxpr(lanes)(jnp.linspace(0.1, 2.0, 31)).jaxpr) if 31 in shape
    ]


# Mixtures.


def test_inputs_and_targets_are_mixed_in_the_same_order():
    x = np.arange(12, dtype=np.float32)[:, None]
    mixed = mixup(KEY, ({"x": x, "twice": 2 * x}, {"y": x[:, 0], "label": np.arange(12)}), 1.0)
    other = np.asarray(mixed.other_targets["label"])
    assert sorted(other) == list(range(12))
    assert not np.array_equal(other, np.arange(12))
    np.testing.assert_array_equal(mixed.targets["label"], np.arange(12))
    np.testing.assert_array_equal(mixed.other_targets["y"], other)
    assert 0 < mixed.weight < 1
    np.testing.assert_allclose(
        mixed.inputs["x"][:, 0], mixed.weight * np.arange(12) + (1 - mixed.weight) * other, rtol=1e-5
    )
    np.testing.assert_allclose(mixed.inputs["twice"], 2 * mixed.inputs["x"], rtol=1e-5)


@pytest.mark.parametrize("alpha", [0.0, 0, jnp.float32(0.0)], ids=["float", "int", "array"])
def test_alpha_0_mixes_nothing(alpha):
    assert (weights(alpha, num=20) == 1).all()
    np.testing.assert_array_equal(mixup(KEY, BATCH, alpha).inputs, BATCH[0])


def test_mixed_inputs_keep_their_dtype():
    batch = jnp.ones((4, 2), jnp.bfloat16), jnp.ones(4, jnp.int32)
    assert mixup(KEY, batch, jnp.float32(0.4)).inputs.dtype == jnp.bfloat16


# In training.


def augmented(augment, **changes):
    parts = {"loss": CROSS_ENTROPY, "train": TRAIN, "validation": VALIDATION, "batch_size": 24, **changes}
    return jt.supervised(Net(), optimizer=sgd, augment=augment, **parts)


def step_of(task, hp):
    """Loss of the first step, and the parameters after it."""
    state = task.init(KEY, hp, step=0, total_steps=10)
    return task.step(KEY, state, task.train, hp, step=0, total_steps=10)


def augment_key():
    return jax.random.split(KEY)[1]  # as documented in Step: the model's key, then the augmentation's


def test_the_loss_of_a_mixture_is_that_of_mixed_one_hot_targets():
    task = augmented(lambda key, batch, hp: mixup(key, batch, hp["mixup"]))
    hp = {"lr": 0.5, "mixup": 0.8}
    mixed = mixup(augment_key(), BATCH, 0.8)
    labels = mixed.weight * jax.nn.one_hot(mixed.targets, 3) + (1 - mixed.weight) * jax.nn.one_hot(
        mixed.other_targets, 3
    )
    assert 0.05 < mixed.weight < 0.95

    def loss(params):
        return optax.softmax_cross_entropy(Net().apply(params, mixed.inputs), labels).mean()

    params = Net().init(KEY, TRAIN[0])
    value, grads = jax.value_and_grad(loss)(params)
    expected = optax.apply_updates(params, sgd(hp).update(grads, sgd(hp).init(params))[0])
    state, info = step_of(task, hp)
    np.testing.assert_allclose(info["loss"], value, rtol=1e-5)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6), state["params"], expected["params"])


def test_a_mixture_of_outside_mixup_will_do():
    def cut(key, batch, hp):
        x, y = batch
        half = jnp.arange(4) < 2
        return Mixed(jnp.where(half, x, x[::-1]), y, y[::-1], jnp.float32(0.5))

    (_, info), (x, y) = step_of(augmented(cut), {"lr": 0.1}), BATCH
    outputs = Net().apply(Net().init(KEY, x), np.where(np.arange(4) < 2, x, x[::-1]))
    expected = (CROSS_ENTROPY(outputs, y).mean() + CROSS_ENTROPY(outputs, y[::-1]).mean()) / 2
    np.testing.assert_allclose(info["loss"], expected, rtol=1e-6)


def noise_then_mixup(key, batch, hp):
    first, second = jax.random.split(key)
    return mixup(second, noise(first, batch, hp["noise"]), hp["mixup"])


def test_strengths_are_hyperparameters_and_zero_is_off():
    space = {"lr": 0.1, "noise": jt.Uniform(0.0, 0.5), "mixup": jt.Uniform(0.0, 1.0)}
    result = tune(augmented(noise_then_mixup), space, scheduler=jt.FullBudget(4, 10))
    assert len({trial.metrics["loss"] for trial in result.trials}) == 4
    off = {"lr": 0.1, "noise": jt.Uniform(0.0, 1e-30), "mixup": 0.0}
    plain = tune(augmented(None), {"lr": 0.1}, scheduler=jt.FullBudget(1, 10))
    same = tune(augmented(noise_then_mixup), off, scheduler=jt.FullBudget(1, 10))
    np.testing.assert_allclose(same.best.metrics["loss"], plain.best.metrics["loss"], rtol=1e-5)


def test_nothing_is_mixed_in_evaluation():
    hp = {"lr": 0.1, "mixup": 1.0}
    task = augmented(lambda key, batch, hp: mixup(key, batch, hp["mixup"]))
    state = task.init(KEY, hp, step=0, total_steps=1)
    loss = task.evaluate(KEY, state, VALIDATION, hp)["loss"]
    expected = CROSS_ENTROPY(Net().apply({"params": state["params"]}, VALIDATION[0]), VALIDATION[1]).mean()
    np.testing.assert_allclose(loss, expected, rtol=1e-6)


# Wrong arguments.

TOKENS = (np.ones((4, 2), np.int32), np.ones(4))


@pytest.mark.parametrize("function", [noise, mixup])
@pytest.mark.parametrize(
    ("batch", "strength", "error", "says"),
    [
        (TOKENS, 0.1, TypeError, "needs float inputs, but inputs has dtype int32"),
        (({"a": TOKENS[0]}, None), 0.1, TypeError, r"inputs\['a'\] has dtype int32"),
        (TRAIN[0], 0.1, TypeError, r"needs a batch \(inputs, targets\), got a value of type ndarray"),
        (mixup(KEY, BATCH, 0.1), 0.1, TypeError, "got a mixed batch: mixup comes last"),
        (BATCH, -0.5, ValueError, "got -0.5"),
        (BATCH, float("nan"), ValueError, "got nan"),
    ],
    ids=["tokens", "nested tokens", "no pair", "mixed", "negative", "nan"],
)
def test_wrong_arguments_are_refused(function, batch, strength, error, says):
    with pytest.raises(error, match=says):
        function(KEY, batch, strength)
