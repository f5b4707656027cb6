"""The gradient of max-pooling equals XLA's own, ties and overlaps included."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from hypothesis import given, settings, strategies as st
from jax import lax
from jax.extend.core import jaxpr_as_fun

from jaxtune.tasks import functions
from jaxtune.tasks.cpu.rewriting import rewritten
from jaxtune.tasks.cpu.slices import RULES


def gradient(pool, x):
    """The gradient of weighted pooled values, before and after the rewrite."""

    def native(x):
        pooled = pool(x)
        weights = jnp.arange(1.0, pooled.size + 1).reshape(pooled.shape).astype(pooled.dtype)
        return jax.grad(lambda x: (weights * pool(x)).sum())(x)

    closed = rewritten(jax.make_jaxpr(native)(x), RULES)
    return jax.jit(native), jax.jit(lambda x: jaxpr_as_fun(closed)(x)[0])


@st.composite
def windows(draw):
    size = draw(st.tuples(*[st.integers(3, 7)] * 2))
    window = draw(st.tuples(*[st.integers(1, 3)] * 2))
    return size, window, draw(st.tuples(*[st.integers(1, 3)] * 2)), draw(st.sampled_from(["SAME", "VALID"]))


@settings(max_examples=25, deadline=None)
@given(windows(), st.integers(2, 1000))
def test_equals_xla(case, different):
    """Few different values make ties, of which the first gets the gradient."""
    size, window, strides, padding = case
    x = np.random.default_rng(different).integers(0, different, (2, *size, 3)).astype(np.float32)
    native, ours = gradient(lambda x: nn.max_pool(x, window, strides, padding), x)
    np.testing.assert_allclose(ours(x), native(x), rtol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32], ids=str)
def test_types_stay(dtype):
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 4, 4, 1)), dtype)
    native, ours = gradient(lambda x: nn.max_pool(x, (2, 2), (2, 2)), x)
    assert ours(x).dtype == dtype
    np.testing.assert_array_equal(ours(x), native(x))


def test_only_xla_adds_up_windows_one_by_one_on_a_cpu():
    x = np.ones((5, 2, 6, 6, 3), np.float32)
    native, ours = gradient(lambda x: nn.max_pool(x, (2, 2), (2, 2)), x[0])
    compiled = {name: jax.jit(jax.vmap(f)).lower(x).compile().as_text() for name, f in (("xla", native), ("us", ours))}
    loops = {name: " scatter(" in text or " while(" in text for name, text in compiled.items()}
    assert loops == {"xla": True, "us": False}


def test_accelerators_keep_the_native_form():
    traced = gradient(lambda x: nn.max_pool(x, (2, 2), (2, 2)), np.ones((2, 4, 4, 1), np.float32))[1].trace(
        jax.ShapeDtypeStruct((2, 4, 4, 1), np.float32)
    )
    assert "select_and_scatter" in traced.lower(lowering_platforms=("cuda",)).as_text()


def test_wide_windows_and_other_selections_stay():
    wide = jax.make_jaxpr(jax.grad(lambda x: nn.max_pool(x, (9, 9)).sum()))(np.ones((1, 20, 20, 1), np.float32))
    assert str(rewritten(wide, RULES)) == str(wide)
    least = lambda x: lax.reduce_window(x, jnp.inf, lax.min, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")  # noqa: E731
    closed = jax.make_jaxpr(jax.grad(lambda x: least(x).sum()))(np.ones((1, 4, 4, 1), np.float32))
    assert str(rewritten(closed, RULES)) == str(closed)


def test_the_engine_uses_it():
    assert RULES.items() <= functions._FASTER.items()
