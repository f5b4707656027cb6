"""FLOPs and live bytes of traced functions, against counts by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxtune.engine.costs import flops, live_bytes

A, B = np.ones((4, 8), np.float32), np.ones((8, 2), np.float32)
IMAGES, KERNELS = np.ones((2, 6, 6, 3), np.float32), np.ones((3, 3, 3, 5), np.float32)


def conv(x, k):
    return lax.conv_general_dilated(x, k, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))


CASES = {
    "matmul": (lambda: jnp.matmul(A, B), 2 * 4 * 8 * 2),
    "batched": (lambda: jnp.einsum("bij,bjk->bik", jnp.ones((5, 4, 8)), jnp.ones((5, 8, 2))), 2 * 5 * 4 * 8 * 2),
    "convolution": (lambda: conv(IMAGES, KERNELS), 2 * (2 * 4 * 4 * 5) * (3 * 3 * 3)),
    "scan": (lambda: lax.scan(lambda c, _: (c @ np.ones((8, 8), np.float32), None), A, None, length=10)[0], 5120),
    "jit": (lambda: jax.jit(jnp.matmul)(A, B), 128),
    "cond": (lambda: lax.cond(jnp.asarray(A)[0, 0] > 0, lambda: jnp.matmul(A, B), lambda: jnp.zeros((4, 2))), 128),
}


@pytest.mark.parametrize("name", CASES)
def test_flops(name):
    function, expected = CASES[name]
    found = flops(jax.make_jaxpr(function)().jaxpr)
    assert expected <= found <= expected + 250  # and a few for making arrays, comparing, converting


def test_live_bytes_end_with_the_last_use():
    def chain(x):
        for _ in range(5):
            x = x + 1
        return x

    def fan(x):
        return sum([x * n for n in range(2, 7)])

    x = np.ones(100, np.float32)
    assert live_bytes(jax.make_jaxpr(chain)(x).jaxpr) == 2 * 400
    assert live_bytes(jax.make_jaxpr(fan)(x).jaxpr) >= 5 * 400


def test_another_shape_of_an_array_is_no_copy_and_keeps_it_alive():
    def viewed(x):
        made = x + 1
        return made.reshape(10, 10)[None], x * 2  # both are needed: the view outlives what it shows

    x = np.ones(100, np.float32)
    assert live_bytes(jax.make_jaxpr(viewed)(x).jaxpr) == 2 * 400


@pytest.mark.parametrize("wrap", [jax.jit, jax.checkpoint], ids=["jit", "remat"])
def test_live_bytes_inside_of_calls_count(wrap):
    def inner(x):
        return (x[:, None] * x).sum(axis=1)

    x = np.ones(100, np.float32)
    assert live_bytes(jax.make_jaxpr(wrap(inner))(x).jaxpr) >= 4 * 100 * 100
