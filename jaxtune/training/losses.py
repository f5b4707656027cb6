"""Losses with traced strengths, for `supervised(loss=)`; any function of Optax will do as well."""

import numbers

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxtune.training.metrics import classification

__all__ = ["cross_entropy"]


def cross_entropy(outputs: ArrayLike, targets: ArrayLike, label_smoothing: ArrayLike = 0.0) -> jax.Array:
    """Cross-entropy of class indices, smoothed: a share of the target's probability goes to all classes alike.

    Equals `optax.softmax_cross_entropy` of one-hot targets after `optax.smooth_labels`, without the one-hot targets.

    Args:
        outputs: Logits, `[N, ..., C]`.
        targets: Class indices, integers in [0, C), `[N, ...]`.
        label_smoothing: shape `[]`, in [0, 1], traced or not: the share that is spread over all C classes.

    Returns:
        float `[N, ...]`, of the dtype of the logits, in nats.

    Raises:
        TypeError: `targets` are not integers.
        ValueError: The shapes don't fit, or a known smoothing lies outside of [0, 1].

    Source: Szegedy et al., Rethinking the Inception Architecture, https://arxiv.org/abs/1512.00567, section 7.

    Example:
        >>> import jax.numpy as jnp
        >>> import jaxtune as jt
        >>> logits, target = jnp.array([[4.0, 0.0]]), jnp.array([0])
        >>> [round(float(jt.losses.cross_entropy(logits, target, smoothing)[0]), 3) for smoothing in (0.0, 0.1)]
        [0.018, 0.218]
        >>> loss = lambda outputs, targets, hp: jt.losses.cross_entropy(outputs, targets, hp["smoothing"])
    """
    outputs, targets = classification("cross_entropy", outputs, targets)
    if isinstance(label_smoothing, numbers.Real) and not 0 <= label_smoothing <= 1:
        raise ValueError(f"cross_entropy needs label_smoothing in [0, 1], got {label_smoothing!r}.")
    log_probabilities = jax.nn.log_softmax(outputs)
    chosen = jnp.take_along_axis(log_probabilities, targets[..., None], axis=-1)[..., 0]
    smoothing = jnp.asarray(label_smoothing).astype(chosen.dtype)
    return -((1 - smoothing) * chosen + smoothing * jnp.mean(log_probabilities, axis=-1))
