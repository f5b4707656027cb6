"""Arrays as unsigned integers of the same bits, and back."""

import jax
import jax.numpy as jnp
from jax import lax


def as_integers(x: jax.Array) -> jax.Array:
    """What stays as it is to the last bit when zeros are added: sums of floats lose -0.0 and denormals."""
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        return jax.random.key_data(x)
    if x.dtype == jnp.bool_:
        return x.astype(jnp.uint8)
    if jnp.issubdtype(x.dtype, jnp.complexfloating):
        x = jnp.stack([x.real, x.imag], axis=-1)
    if jnp.issubdtype(x.dtype, jnp.inexact):
        return lax.bitcast_convert_type(x, jnp.dtype(f"uint{8 * x.dtype.itemsize}"))
    return x


def as_before(x: jax.Array, like: jax.Array) -> jax.Array:
    """The array that `as_integers` made integers of: `like` has its dtype."""
    if jnp.issubdtype(like.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(x, impl=jax.random.key_impl(like))
    if jnp.issubdtype(like.dtype, jnp.complexfloating):
        parts = lax.bitcast_convert_type(x, jnp.finfo(like.dtype).dtype)
        return lax.complex(parts[..., 0], parts[..., 1])
    if jnp.issubdtype(like.dtype, jnp.inexact):
        return lax.bitcast_convert_type(x, like.dtype)
    return x.astype(like.dtype)
