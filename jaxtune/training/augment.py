"""Augmentations with traced strengths, for `supervised(augment=)`.

All lanes share the random numbers, which follow from the key alone; what a strength does to them is each lane's own.
They compose as functions do, each with a key of its own; `mixup` comes last.
"""

import numbers
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

__all__ = ["Mixed", "mixup", "noise"]

_PROPOSALS = 8  # each is accepted with a probability of at least 0.95, so that all fail once in 2e10 draws
_LOWEST = 1e-6  # below, a weight is 0 or 1 anyway, and log(U) / alpha would overflow


def noise(key: jax.Array, batch: Any, scale: ArrayLike) -> tuple[Any, Any]:
    """Adds Gaussian noise to the inputs.

    Args:
        key: Key of the step.
        batch: (inputs, targets); inputs a pytree of floats.
        scale: shape `[]`, standard deviation in the unit of the inputs, >= 0, traced or not; 0 changes nothing.

    Returns:
        The batch, with dtypes as before.

    Raises:
        TypeError: Inputs are not floats, or the batch is no pair.
        ValueError: A known scale is negative.

    Source: Bishop, Training with Noise is Equivalent to Tikhonov Regularization (1995).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> import jaxtune as jt
        >>> batch = jnp.zeros((1000, 2)), jnp.ones(1000)
        >>> x, y = jt.augment.noise(jax.random.key(0), batch, 0.5)
        >>> round(float(x.std()), 1), float(y.std())
        (0.5, 0.0)
        >>> augment = lambda key, batch, hp: jt.augment.noise(key, batch, hp["noise"])
    """
    inputs, targets = _pair("noise", batch)
    _check_not_negative("noise", "scale", scale)
    leaves, tree = jax.tree.flatten(inputs)
    keys = jax.random.split(key, len(leaves))
    noisy = [
        (x + scale * jax.random.normal(k, x.shape, x.dtype)).astype(x.dtype) for k, x in zip(keys, leaves, strict=True)
    ]
    return jax.tree.unflatten(tree, noisy), targets


class Mixed(NamedTuple):
    """A batch in which each example is a mixture of two.

    A function for `supervised(augment=)` may return one. The training loss is then
    `weight * loss(outputs, targets) + (1 - weight) * loss(outputs, other_targets)`, which for cross-entropy is the
    loss of mixed one-hot targets.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> import jaxtune as jt
        >>> batch = jnp.array([[0.0], [1.0]]), jnp.array([0, 1])
        >>> jt.augment.mixup(jax.random.key(0), batch, 0.0)._fields
        ('inputs', 'targets', 'other_targets', 'weight')
    """

    inputs: Any  # leaves [B, ...], mixed
    targets: Any  # leaves [B, ...], those of the examples with this weight
    other_targets: Any  # leaves [B, ...], those of the other examples
    weight: jax.Array  # [] float in [0, 1]


def mixup(key: jax.Array, batch: Any, alpha: ArrayLike) -> Mixed:
    """Trains on mixtures of two examples, with one weight a batch, drawn from Beta(alpha, alpha).

    The bits of the draw follow from the key alone: eight proposals of Marsaglia and Tsang's method, of which each alpha
    takes the first that it accepts.

    Args:
        key: Key of the step.
        batch: (inputs, targets); inputs a pytree of floats, targets any pytree.
        alpha: shape `[]`, >= 0, traced or not: 0 mixes nothing, 0.2 a little, 1 draws weights uniformly.

    Returns:
        The mixed batch; it must be what `augment` returns, so that mixup comes last.

    Raises:
        TypeError: Inputs are not floats, or the batch is no pair.
        ValueError: A known alpha is negative.

    Source: Zhang et al., mixup: Beyond Empirical Risk Minimization, https://arxiv.org/abs/1710.09412; Marsaglia and
        Tsang, A Simple Method for Generating Gamma Variables (2000).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> import jaxtune as jt
        >>> batch = jnp.array([[0.0], [1.0]]), jnp.array([0, 1])
        >>> mixed = jt.augment.mixup(jax.random.key(0), batch, 0.0)
        >>> float(mixed.weight), mixed.inputs.tolist()
        (1.0, [[0.0], [1.0]])
        >>> def augment(key, batch, hp):
        ...     first, second = jax.random.split(key)
        ...     return jt.augment.mixup(second, jt.augment.noise(first, batch, hp["noise"]), hp["mixup"])
    """
    inputs, targets = jax.tree.map(jnp.asarray, _pair("mixup", batch))
    _check_not_negative("mixup", "alpha", alpha)
    order_key, weight_key = jax.random.split(key)
    order = jax.random.permutation(order_key, jax.tree.leaves(inputs)[0].shape[0])
    weight = _symmetric_beta(weight_key, alpha)

    def mix(x: jax.Array) -> jax.Array:
        share = weight.astype(x.dtype)
        return share * x + (1 - share) * x[order]

    return Mixed(jax.tree.map(mix, inputs), targets, jax.tree.map(lambda x: x[order], targets), weight)


def _symmetric_beta(key: jax.Array, alpha: ArrayLike) -> jax.Array:
    """A draw from Beta(alpha, alpha), float32 `[]`; 1 at alpha = 0.

    It is g1 / (g1 + g2) of two gamma variables, whose logarithms don't underflow at a small alpha.
    """
    alpha = jnp.asarray(alpha, jnp.float32)
    first, second = _log_gamma(key, jnp.maximum(alpha, _LOWEST))
    return jnp.where(alpha > 0, jax.nn.sigmoid(first - second), 1.0)


def _log_gamma(key: jax.Array, alpha: jax.Array) -> jax.Array:
    """Logarithms of two draws from Gamma(alpha), `[2]`; alpha > 0."""
    normal_key, accept_key, boost_key = jax.random.split(key, 3)
    x = jax.random.normal(normal_key, (2, _PROPOSALS), jnp.float32)
    log_uniform = -jax.random.exponential(accept_key, (2, _PROPOSALS), jnp.float32)  # never log(0)
    boosted = alpha < 1
    d = jnp.where(boosted, alpha + 1, alpha) - 1 / 3
    v = (1 + x / jnp.sqrt(9 * d)) ** 3
    log_v = jnp.log(jnp.where(v > 0, v, 1.0))
    accepted = (v > 0) & (log_uniform < 0.5 * x**2 + d * (1 - v + log_v))
    log_draw = jnp.log(d) + jnp.take_along_axis(log_v, jnp.argmax(accepted, axis=1)[:, None], axis=1)[:, 0]
    # Gamma(a) = Gamma(a + 1) * U^(1 / a)
    log_boost = -jax.random.exponential(boost_key, (2,), jnp.float32) / alpha
    return log_draw + jnp.where(boosted, log_boost, 0.0)


def _pair(name: str, batch: Any) -> tuple[Any, Any]:
    if isinstance(batch, Mixed):
        raise TypeError(f"{name} got a mixed batch: mixup comes last.")
    if not isinstance(batch, tuple) or len(batch) != 2:
        raise TypeError(f"{name} needs a batch (inputs, targets), got a value of type {type(batch).__name__}.")
    for path, x in jax.tree_util.tree_leaves_with_path(batch[0]):
        if not jnp.issubdtype(x.dtype, jnp.floating):
            raise TypeError(
                f"{name} needs float inputs, but inputs{jax.tree_util.keystr(path)} has dtype {x.dtype}: convert it "
                "in preprocess, or augment the other inputs alone."
            )
    return batch


def _check_not_negative(function: str, name: str, value: Any) -> None:
    if isinstance(value, numbers.Real) and not float(value) >= 0:  # NaN too
        raise ValueError(f"{function} needs {name} >= 0, got {value!r}.")
