"""Rewritten convolutions equal XLA's own: values, gradients, inner jaxprs, and whole searches."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from hypothesis import assume, given, settings, strategies as st
from jax import lax
from jax.extend.core import jaxpr_as_fun

import jaxtune as jt
from jaxtune.tasks import functions
from jaxtune.tasks.cpu.rewriting import rewritten as _rewritten
from jaxtune.tasks.cpu.slices import RULES

NHWC = ("NHWC", "HWIO", "NHWC")


def rewritten(function, *args):
    """The function after the rewrite."""
    run = jaxpr_as_fun(_rewritten(jax.make_jaxpr(function)(*args), RULES))
    return lambda *args: run(*jax.tree.leaves(args))


def normal(*shape, dtype=np.float32):
    return jnp.asarray(np.random.default_rng(0).normal(size=shape), dtype)


def conv3x3(x, kernel):
    return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=NHWC)


@st.composite
def problems(draw):
    """Arrays and arguments of a convolution."""
    dims = draw(st.integers(1, 3))

    def many(low, high):
        return draw(st.lists(st.integers(low, high), min_size=dims, max_size=dims))

    groups = draw(st.sampled_from([(1, 1), (2, 1), (3, 1), (1, 2)]))
    n, i, o = (draw(st.integers(1, 3)) for _ in range(3))
    sizes = [groups[1] * n, groups[0] * i, *many(1, 6)], [groups[0] * groups[1] * o, i, *many(1, 4)]
    specs = [draw(st.permutations(range(dims + 2))) for _ in range(3)]
    shapes = [[size[spec.index(axis)] for axis in range(dims + 2)] for size, spec in zip(sizes, specs, strict=False)]
    arguments = {
        "window_strides": many(1, 3),
        "padding": list(zip(many(-1, 3), many(-1, 3), strict=True)),
        "lhs_dilation": many(1, 3),
        "rhs_dilation": many(1, 2),
        "feature_group_count": groups[0],
        "batch_group_count": groups[1],
        "dimension_numbers": lax.ConvDimensionNumbers(*map(tuple, specs)),
    }
    return shapes, arguments


@settings(max_examples=30, deadline=None)
@given(problems())
def test_equals_lax_with_gradients(problem):
    shapes, arguments = problem

    def conv(x, kernel):
        return lax.conv_general_dilated(x, kernel, **arguments)

    def value_and_grads(x, kernel, direction):
        value, pull_back = jax.vjp(conv, x, kernel)
        return [value, *pull_back(direction)]

    with jax.enable_x64(True):
        x, kernel = (normal(*shape, dtype=np.float64) for shape in shapes)
        try:
            direction = normal(*jax.eval_shape(conv, x, kernel).shape, dtype=np.float64)
        except (TypeError, ValueError):
            assume(False)
        assume(direction.size > 0)
        ours = jax.jit(rewritten(value_and_grads, x, kernel, direction))(x, kernel, direction)
        for a, b in zip(ours, value_and_grads(x, kernel, direction), strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


WRAPPERS = {
    "jit": lambda f: jax.jit(f),
    "remat": lambda f: jax.checkpoint(f),
    "scan": lambda f: lambda x, k: lax.scan(lambda c, _: (f(c, k), None), x, None, length=2)[0],
    "while": lambda f: lambda x, k: lax.fori_loop(0, x.shape[0], lambda _, c: f(c, k), x),
    "cond": lambda f: lambda x, k: lax.cond(x.sum() > 0, f, lambda x, k: x, x, k),
    "custom_jvp": lambda f: jax.custom_jvp(f),
    "custom_vjp": lambda f: jax.custom_vjp(f),
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_inner_jaxprs_are_rewritten(wrapper):
    function = WRAPPERS[wrapper](conv3x3)
    if wrapper == "custom_jvp":
        function.defjvp(lambda x, t: (conv3x3(*x), t[0]))
    if wrapper == "custom_vjp":
        function.defvjp(lambda x, k: (conv3x3(x, k), (x, k)), lambda residuals, g: residuals)
    x, kernel = jnp.abs(normal(2, 6, 6, 3)), normal(3, 3, 3, 3)
    ours = jax.jit(jax.vmap(rewritten(function, x, kernel), in_axes=(None, 0)))
    kernels = jnp.stack([kernel, kernel / 2])
    assert "convolution(" not in ours.lower(x, kernels).compile().as_text()
    (result,) = ours(x, kernels)
    np.testing.assert_allclose(result[1], function(x, kernel / 2), rtol=1e-3, atol=1e-3)


def test_accelerators_keep_the_native_convolution():
    args = normal(2, 6, 6, 3), normal(3, 3, 3, 3)
    traced = jax.jit(rewritten(conv3x3, *args)).trace(*args)
    found = {p: "convolution" in traced.lower(lowering_platforms=(p,)).as_text() for p in ("cuda", "tpu")}
    assert found == {"cuda": True, "tpu": True}


def test_many_slices_stay_native():
    args = normal(1, 20, 20, 1), normal(9, 9, 1, 1)  # 81 slices
    closed = jax.make_jaxpr(conv3x3)(*args)
    assert [e.primitive.name for e in _rewritten(closed, RULES).eqns] == ["conv_general_dilated"]


def test_bfloat16_keeps_its_types():
    args = normal(2, 6, 6, 3, dtype=jnp.bfloat16), normal(3, 3, 3, 4, dtype=jnp.bfloat16)
    (ours,), native = rewritten(conv3x3, *args)(*args), conv3x3(*args)
    assert ours.dtype == jnp.bfloat16
    np.testing.assert_allclose(ours.astype(np.float32), native.astype(np.float32), rtol=0.03, atol=0.1)


class Linen(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        x = nn.relu(nn.BatchNorm(use_running_average=not train)(nn.Conv(4, (3, 3), strides=2)(x)))
        x = nn.ConvTranspose(2, (2, 2), strides=(2, 2))(x)
        return nn.Dense(2)(nn.max_pool(x, (2, 2), (2, 2)).reshape(len(x), -1))


class Nnx(nnx.Module):
    def __init__(self, hp, rngs):
        self.conv = nnx.Conv(1, 4, (3, 3), rngs=rngs)
        self.dense = nnx.Linear(4, 2, rngs=rngs)

    def __call__(self, x):
        return self.dense(nnx.relu(self.conv(x)).mean((1, 2)))


@pytest.mark.parametrize("model", [Linen(), Nnx], ids=["linen", "nnx"])
def test_a_search_finds_the_same_as_with_native_convolutions(model, monkeypatch):
    x, y = normal(32, 6, 6, 1), np.arange(32) % 2

    def losses():
        task = jt.supervised(
            model,
            optimizer=lambda hp: optax.sgd(hp["lr"]),
            loss=optax.softmax_cross_entropy_with_integer_labels,
            train=(x, y),
            validation=(x, y),
            batch_size=8,
        )
        space = {"lr": jt.LogUniform(0.01, 0.1)}
        result = jt.tune(task, space, scheduler=jt.FullBudget(2, 8), seed=0, progress=False)
        return [trial.metrics["loss"] for trial in result.trials]

    ours = losses()
    monkeypatch.setattr(functions, "_FASTER", {})
    np.testing.assert_allclose(ours, losses(), rtol=1e-4)


def test_the_engine_uses_it():
    args = normal(2, 6, 6, 3), normal(3, 3, 3, 3)
    traced = functions._trace_one(lambda x, kernel, hp, extras: conv3x3(x, kernel), *args, {}, None)
    assert "convolution(" not in jax.jit(lambda *args: traced((), *args)).lower(*args).compile().as_text()
