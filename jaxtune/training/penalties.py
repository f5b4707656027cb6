"""Penalties on the size of parameters, for `supervised(penalty=)`: part of the training objective only."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

__all__ = ["l1", "l2"]


def l1(params: Any, mask: Callable[[Any], Any] | None = None) -> jax.Array:
    """The sum of absolute values, which drives parameters to zero.

    Args:
        params: Pytree of arrays.
        mask: From parameters to a pytree of bools of the same structure, or a prefix of it: which are counted. None
            counts all.

    Returns:
        shape `[]`, >= 0, in at least float32.

    Raises:
        ValueError: The mask has another structure.

    Source: Tibshirani, Regression Shrinkage and Selection via the Lasso (1996).

    Example:
        >>> import jax.numpy as jnp
        >>> import jaxtune as jt
        >>> params = {"kernel": jnp.array([[3.0, -4.0]]), "bias": jnp.array([5.0])}
        >>> float(jt.penalties.l1(params))
        12.0
        >>> float(jt.penalties.l1(params, mask=lambda params: {"kernel": True, "bias": False}))
        7.0
        >>> penalty = lambda params, hp: hp["l1"] * jt.penalties.l1(params)
    """
    return _total(lambda x: jnp.real(jnp.conj(x) * jnp.sign(x)), params, mask)  # the gradient of jnp.abs at 0 is 1


def l2(params: Any, mask: Callable[[Any], Any] | None = None) -> jax.Array:
    """Half the sum of squares: its gradient is the parameter itself, as in weight decay with SGD.

    Under Adam and other adaptive optimizers it is not the same as decoupled weight decay, `optax.adamw`
    (Loshchilov and Hutter, https://arxiv.org/abs/1711.05101).

    Args:
        params: Pytree of arrays.
        mask: As in `l1`.

    Returns:
        shape `[]`, >= 0, in at least float32.

    Raises:
        ValueError: The mask has another structure.

    Source: Krogh and Hertz, A Simple Weight Decay Can Improve Generalization (1991).

    Example:
        >>> import jax.numpy as jnp
        >>> import jaxtune as jt
        >>> float(jt.penalties.l2({"kernel": jnp.array([[3.0, -4.0]])}))
        12.5
        >>> def penalty(params, hp, step, total_steps):  # one that fades
        ...     return hp["l2"] * (1 - step / total_steps) * jt.penalties.l2(params)
    """
    return 0.5 * _total(lambda x: jnp.real(jnp.conj(x) * x), params, mask)


def _total(size: Callable[[jax.Array], jax.Array], params: Any, mask: Callable[[Any], Any] | None) -> jax.Array:
    total, chosen = jnp.float32(0.0), True if mask is None else mask(params)
    try:
        counted = jax.tree.leaves(jax.tree.broadcast(chosen, params))
    except ValueError as error:
        raise ValueError(
            f"mask must return bools in the structure of the parameters, {jax.tree.structure(params)}, "
            f"got {jax.tree.structure(chosen)}."
        ) from error
    for is_counted, x in zip(counted, jax.tree.leaves(params), strict=True):
        if is_counted:
            values = size(x)
            total = total + jnp.sum(values.astype(jnp.promote_types(values.dtype, jnp.float32)))
    return total
