"""Arrays as integers: every bit comes back, also after zeros were added."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxtune.engine.bitcast import as_before, as_integers

FLOATS = [0.0, -0.0, 1.5, -np.inf, np.nan, 1e-45, -1e-40]  # the last two are denormal


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "complex64", "int8", "int32", "uint32", "bool"])
def test_bits_survive_a_sum_with_zeros(dtype):
    x = jnp.asarray(FLOATS if jnp.issubdtype(dtype, jnp.inexact) else [0, 1, 1], dtype)
    integers = as_integers(x)
    assert jnp.issubdtype(integers.dtype, jnp.integer)
    back = as_before(integers + jnp.zeros_like(integers), x)
    assert back.dtype == x.dtype
    assert np.asarray(back).tobytes() == np.asarray(x).tobytes()


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg"])
def test_keys_stay_keys(impl):
    keys = jax.random.split(jax.random.key(0, impl=impl), 3)
    back = as_before(as_integers(keys), keys)
    assert back.dtype == keys.dtype
    assert jnp.array_equal(jax.random.key_data(back), jax.random.key_data(keys))
