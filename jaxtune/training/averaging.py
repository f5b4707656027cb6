"""Outputs of several models as those of one, inside of compiled programs."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxtune.tasks.combining import Both, prepared, restored


def averaged(outputs: Any, combine: Both | None) -> Any:
    """The mean over models of their outputs, or of what `combine` makes of them, as outputs.

    Args:
        outputs: Leaves [R, N, ...] of all models.
        combine: From outputs [N, ...] to what is averaged, and back.

    Returns:
        Leaves [N, ...], with the dtypes of the outputs; without a `combine` exactly those of each model where all are
        equal.

    Raises:
        TypeError: What is to be averaged are no floats, or what comes back is unlike outputs.
    """
    like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), outputs)
    many = jax.vmap(lambda one: prepared(one, combine))(outputs)
    return restored(jax.tree.map(_mean, many), like, combine)


def _mean(x: jax.Array) -> jax.Array:
    """The mean over the first axis, in float32 or better; not rounded where there is nothing to average."""
    precise = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    return jnp.where(jnp.all(x == x[0], axis=0), precise[0], jnp.mean(precise, axis=0))
