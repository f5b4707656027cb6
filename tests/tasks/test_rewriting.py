"""Equations are replaced wherever they are, and what stays is the same object."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.extend.core import jaxpr_as_fun
from jax.extend.core.primitives import sin_p

from jaxtune.tasks.cpu.rewriting import rewritten

RULES = {sin_p: lambda equation: lambda x: x + 10}
X = np.arange(4.0, dtype=np.float32)
FUNCTIONS = {
    "plain": lambda x: jnp.sin(x),
    "jit": jax.jit(lambda x: 2 * jnp.sin(x)),
    "scan": lambda x: lax.scan(lambda c, _: (jnp.sin(c), None), x, length=3)[0],
    "cond": lambda x: lax.cond(x[0] < 1, lambda: jnp.sin(x), lambda: x),
    "while": lambda x: lax.while_loop(lambda c: c[0] < 25, lambda c: jnp.sin(c), x),
    "remat": jax.checkpoint(lambda x: jnp.sin(x)),
}
EXPECTED = {"plain": X + 10, "jit": 2 * (X + 10), "scan": X + 30, "cond": X + 10, "while": X + 30, "remat": X + 10}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_everywhere(name):
    (result,) = jaxpr_as_fun(rewritten(jax.make_jaxpr(FUNCTIONS[name])(X), RULES))(X)
    np.testing.assert_allclose(result, EXPECTED[name])


def test_what_stays_is_the_same_object():
    closed = jax.make_jaxpr(jax.jit(lambda x: lax.scan(lambda c, _: (jnp.cos(c), None), x, length=3)[0]))(X)
    assert rewritten(closed, RULES) is closed
    both = jax.make_jaxpr(lambda x: jax.jit(jnp.cos)(x) + jnp.sin(x))(X)
    first, *_ = rewritten(both, RULES).eqns
    assert first is both.eqns[0]


def test_a_rule_may_decline():
    closed = jax.make_jaxpr(FUNCTIONS["jit"])(X)
    assert rewritten(closed, {sin_p: lambda equation: None}) is closed
