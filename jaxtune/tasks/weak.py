"""The one seam where hyperparameters become weakly typed, so that they behave like Python numbers.

Outside user code hyperparameters are strong arrays, because weakly typed arguments of a jitted function
make it retrace. Inside user code a strong float32 scalar would promote every bfloat16 array that it
touches.
"""

import jax
import jax.numpy as jnp
from jax.extend.core import primitives
from jax.typing import ArrayLike


def weaken(x: ArrayLike) -> jax.Array:
    """A scalar that promotes like a Python number: int with ints, float with floats, never the other operand.

    `optax.adam(b1=hp["b1"])` keeps its state in bfloat16 with a weak `b1`; with a strong float32 one the
    state turns float32 after the first step, and a `lax.scan` over steps fails.

    Args:
        x: shape `[]`, a number or an array, traced or concrete. Booleans have no weak form and pass
            unchanged.

    Returns:
        Shape `[]`, weakly typed, of the dtype that a Python number of the same kind has: float32 or int32;
        float64 or int64 where `jax_enable_x64` is set.

    Raises:
        ValueError: `x` is not a scalar.
        TypeError: `x` is neither a boolean, an integer, nor a float.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxtune.tasks.weak import weaken
        >>> parameter, momentum = jnp.ones((), jnp.bfloat16), jnp.float32(0.5)
        >>> (parameter * momentum).dtype, (parameter * weaken(momentum)).dtype
        (dtype('float32'), dtype(bfloat16))
    """
    x = jnp.asarray(x)
    if x.ndim != 0:
        raise ValueError(f"weaken needs a scalar, got shape {x.shape}; vmap it over the trials.")
    if x.dtype == jnp.bool_:
        return x
    # lax.convert_element_type(x, float) would be the public way, but its result is strong for a strong array.
    return primitives.convert_element_type_p.bind(x, new_dtype=_python_dtype(x.dtype), weak_type=True, sharding=None)


def _python_dtype(dtype: jnp.dtype) -> jnp.dtype:
    """The dtype that a Python number of the same kind has under the current precision."""
    if jnp.issubdtype(dtype, jnp.integer):
        return jnp.result_type(int)
    if jnp.issubdtype(dtype, jnp.floating):
        return jnp.result_type(float)
    raise TypeError(f"weaken needs an integer or a float, got dtype {dtype}.")
