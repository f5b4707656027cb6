"""Scaling rules for learning rates."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxtune import scaling
from jaxtune.tasks.weak import weaken

RULES = {"linear": lambda ratio: ratio, "sqrt": np.sqrt}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("batch_size", "base"), [(32, 256), (256, 256), (8192, 256), (3, 7)])
def test_rules(rule, batch_size, base):
    want = 0.1 * RULES[rule](batch_size / base)
    got = getattr(scaling, rule)(0.1, batch_size, base)
    assert isinstance(got, float)
    np.testing.assert_allclose(got, want, rtol=1e-12)
    traced = jax.jit(getattr(scaling, rule))(0.1, batch_size, base)
    np.testing.assert_allclose(traced, want, rtol=1e-6)


@pytest.mark.parametrize("rule", RULES)
def test_bfloat16_states_stay_bfloat16(rule):
    """Where batch sizes are strong integers too, whose quotient would be a strong float32."""

    def moments(learning_rate, batch_size):
        scaled = getattr(scaling, rule)(weaken(learning_rate), batch_size, jnp.int32(256))
        optimizer = optax.sgd(scaled, momentum=0.9)
        params = jnp.ones(3, jnp.bfloat16)
        updates, _ = optimizer.update(params, optimizer.init(params), params)
        return updates

    assert jax.eval_shape(moments, 0.1, jnp.int32(512)).dtype == jnp.bfloat16


@pytest.mark.parametrize("rule", RULES)
def test_no_batch_size_of_zero(rule):
    with pytest.raises(ValueError, match=f"scaling.{rule} needs batch_size > 0, got 0"):
        getattr(scaling, rule)(0.1, 0, 256)
    with pytest.raises(ValueError, match=f"scaling.{rule} needs base_batch_size > 0, got -1"):
        getattr(scaling, rule)(0.1, 256, jnp.int32(-1))
