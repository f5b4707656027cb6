"""JAX's own random numbers, made several times faster on a CPU: Threefry-2x32 with its rounds written out.

On a CPU JAX compiles Threefry as a loop over its rounds, which XLA runs once for all numbers of a draw: every group of
four rounds is a pass over memory, and nothing around it is fused with it. Here the twenty rounds are one expression of
uint32 additions, rotations and exclusive ors, which becomes one vectorised loop together with what uses the numbers.
Both give the same bits, so a trial's outcome, and the quality of its random numbers, stay what they were. Keys stay
JAX's own, so that user code sees no difference.

Reference: Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3 (SC 2011).
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend import random
from jax.extend.core.primitives import random_bits_p

_ROTATIONS = (13, 15, 26, 6), (17, 29, 16, 24)
_PARITY = 0x1BD11BDA
_ROUND_GROUPS = 5  # of four rounds


def _drawn(equation: Any) -> Callable | None:
    """How to draw from JAX's default keys; keys of another implementation, such as "rbg", are drawn from as before."""
    if equation.invars[0].aval.dtype != _jax_key():
        return None

    def draw(key: jax.Array) -> jax.Array:
        ours = jax.random.wrap_key_data(jax.random.key_data(key), impl=_UNROLLED)
        return random_bits_p.bind(ours, **equation.params)

    return draw


@functools.cache
def _jax_key() -> Any:
    return jax.eval_shape(lambda: jax.random.key(0, impl="threefry2x32")).dtype


def _random_bits(key: jax.Array, bit_width: int, shape: tuple[int, ...]) -> jax.Array:
    """Bits of JAX's Threefry; `key` is uint32[2]."""
    if not jax.config.jax_threefry_partitionable:  # type: ignore[attr-defined]  # made at run time
        return random.threefry_prng_impl.random_bits(key, bit_width, shape)
    count = math.prod(shape)
    if count > 2**32:
        raise ValueError(f"One draw can have up to 2**32 numbers, got shape {shape}: draw it in parts.")
    low = lax.iota(jnp.uint32, count).reshape(shape)  # each element's position, in C order; the high word is 0
    high, low = _threefry(key, jnp.zeros_like(low), low)
    if bit_width == 64:
        return high.astype(jnp.uint64) << 32 | low.astype(jnp.uint64)
    return (high ^ low).astype(f"uint{bit_width}")


def _threefry(key: Any, high: jax.Array, low: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Threefry-2x32 with 20 rounds, of arrays of counters."""
    words = key[0], key[1], key[0] ^ key[1] ^ jnp.uint32(_PARITY)
    x, y = high + words[0], low + words[1]
    for group in range(1, _ROUND_GROUPS + 1):
        for distance in _ROTATIONS[(group - 1) % 2]:
            x = x + y
            y = x ^ (y << distance | y >> (32 - distance))
        x, y = x + words[group % 3], y + words[(group + 1) % 3] + jnp.uint32(group)
    return x, y


_AS_BEFORE = {part: getattr(random.threefry_prng_impl, part) for part in ("key_shape", "seed", "split", "fold_in")}
_UNROLLED = random.define_prng_impl(random_bits=_random_bits, name="threefry2x32_unrolled", tag="fryu", **_AS_BEFORE)

RULES = {random_bits_p: _drawn}
