"""Metrics are functions of (outputs, targets): predictions first, as in Optax; scikit-learn has them swapped.

A metric returns either one value per example, `[N, ...]`, which jaxtune averages batch by batch, or one
scalar for the whole split, for what is not a mean over examples. Definitions are scikit-learn's. NaN
outputs give NaN, so that a diverged trial can't look like a poor but honest one. All of them can be jitted
and vmapped over trials.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from jaxtune.interface.settings import relaxed

__all__ = ["accuracy", "auc", "f1", "mae", "perplexity", "r2", "rmse"]

_HIGH_IS_GOOD = ("accuracy", "auc", "f1", "r2")
_SHARES = ("accuracy", "auc", "f1")


def mode_of(metric: Any) -> str | None:
    """Which way a metric of this file is better, "min" or "max", with arguments bound or not; None for any other.

    Example:
        >>> from jaxtune.training import metrics
        >>> metrics.mode_of(metrics.accuracy), metrics.mode_of(metrics.rmse), metrics.mode_of(max)
        ('max', 'min', None)
    """
    name = _name_of(metric)
    return name and ("max" if name in _HIGH_IS_GOOD else "min")


def is_share(metric: Any) -> bool:
    """Whether a function is a metric of this file that lies in [0, 1]."""
    return _name_of(metric) in _SHARES


def _name_of(metric: Any) -> str | None:
    while isinstance(metric, functools.partial):
        metric = metric.func
    return next((name for name in __all__ if globals()[name] is metric), None)


@relaxed()
def accuracy(outputs: ArrayLike, targets: ArrayLike) -> jax.Array:
    """Outputs first: 1 where the largest logit is the target's, else 0; one value per example.

    Args:
        outputs: logits or probabilities, `[N, ..., C]` with C >= 2.
        targets: class indices, integers in [0, C), `[N, ...]`.

    Returns:
        float32 `[N, ...]`, NaN where an output is NaN.

    Raises:
        ValueError: The shapes don't fit, or there is one logit only.
        TypeError: `targets` are not integers.

    Example:
        >>> import jax.numpy as jnp
        >>> import jaxtune as jt
        >>> jt.metrics.accuracy(jnp.array([[2.0, 1.0], [0.0, 3.0], [1.0, 0.0]]), jnp.array([0, 1, 1])).tolist()
        [1.0, 1.0, 0.0]
    """
    outputs, targets = _logits("accuracy", outputs, targets)
    hits = (jnp.argmax(outputs, axis=-1) == targets).astype(jnp.float32)
    return jnp.where(jnp.isnan(outputs).any(axis=-1), jnp.nan, hits)


@relaxed()
def perplexity(outputs: ArrayLike, targets: ArrayLike) -> jax.Array:
    """Outputs first: the exponential of the mean cross-entropy over all tokens; one value for the split.

    Args:
        outputs: logits, `[N, T, C]` or any `[N, ..., C]` with C >= 2.
        targets: class indices, integers in [0, C), `[N, T]` or `[N, ...]`.

    Returns:
        float32 `[]`, at least 1 and at most C for a model no worse than guessing.

    Raises:
        ValueError: The shapes don't fit, or there is one logit only.
        TypeError: `targets` are not integers.

    Example:
        >>> import jax.numpy as jnp
        >>> import jaxtune as jt
        >>> guessing = jnp.zeros((2, 5, 27))
        >>> round(float(jt.metrics.perplexity(guessing, jnp.ones((2, 5), int))), 3)
        27.0
    """
    outputs, targets = _logits("perplexity", outputs, targets)
    return jnp.exp(jnp.mean(optax.softmax_cross_entropy_with_integer_labels(outputs, targets)))


@relaxed()
def rmse(outputs: ArrayLike, targets: ArrayLike) -> jax.Array:
    """Outputs first: the root of the mean squared error; one value for the split.

    Several output columns get one value each, then their mean is taken, as in scikit-learn's
    `root_mean_squared_error`.

    Args:
        outputs: predictions, `[N, ...]`.
        targets: the truth, same shape.

    Returns:
        float32 `[]`, in the targets' unit, >= 0.

    Raises:
        ValueError: The shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> import jaxtune as jt
        >>> float(jt.metrics.rmse(jnp.array([1.0, 2.0, 5.0, 4.0]), jnp.array([1.0, 2.0, 3.0, 4.0])))
        1.0
    """
    outputs, targets = _values("rmse", outputs, targets)
    return jnp.mean(jnp.sqrt(jnp.mean((outputs - targets) ** 2, axis=0)))


@relaxed()
def mae(outputs: ArrayLike, targets: ArrayLike) -> jax.Array:
    """Outputs first: the absolute error; one value per example (and output column), which jaxtune averages.

    Args:
        outputs: predictions, `[N, ...]`.
        targets: the truth, same shape.

    Returns:
        float32 `[N, ...]`, in the targets' unit, >= 0.

    Raises:
        ValueError: The shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> import jaxtune as jt
        >>> jt.metrics.mae(jnp.array([1.0, 2.0]), jnp.array([1.5, 0.0])).tolist()
        [0.5, 2.0]
    """
    outputs, targets = _values("mae", outputs, targets)
    return jnp.abs(outputs - targets)


@relaxed()
def r2(outputs: ArrayLike, targets: ArrayLike) -> jax.Array:
    """Outputs first: the coefficient of determination; one value for the split.

    1 is perfect, 0 is as good as the targets' mean. Several output columns get one value each, then their
    mean is taken. A constant target column counts 1 if predicted exactly, else 0. All as in scikit-learn's
    `r2_score`.

    Args:
        outputs: predictions, `[N, ...]`.
        targets: the truth, same shape.

    Returns:
        float32 `[]`, <= 1.

    Raises:
        ValueError: The shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> import jaxtune as jt
        >>> round(float(jt.metrics.r2(jnp.array([1.0, 2.0, 3.0, 2.0]), jnp.array([1.0, 2.0, 3.0, 4.0]))), 3)
        0.2
    """
    outputs, targets = _values("r2", outputs, targets)
    residual = jnp.sum((targets - outputs) ** 2, axis=0)
    total = jnp.sum((targets - jnp.mean(targets, axis=0)) ** 2, axis=0)
    score = 1 - residual / jnp.where(total > 0, total, 1)
    # 0 * residual is 0 for a finite miss, and stays NaN for outputs that are not finite.
    constant = jnp.where(residual == 0, 1, 0 * residual)
    return jnp.mean(jnp.where(total > 0, score, constant))


@relaxed()
def f1(outputs: ArrayLike, targets: ArrayLike) -> jax.Array:
    """Outputs first: macro F1, the mean over classes of 2 TP / (2 TP + FP + FN); one value for the split.

    The mean is over the classes that occur among targets or predictions, as in scikit-learn's
    `f1_score(average="macro")`.

    Args:
        outputs: logits or probabilities, `[N, ..., C]` with C >= 2.
        targets: class indices, integers in [0, C), `[N, ...]`.

    Returns:
        float32 `[]`, in [0, 1]; NaN if an output is NaN.

    Raises:
        ValueError: The shapes don't fit, or there is one logit only.
        TypeError: `targets` are not integers.

    Example:
        >>> import jax.numpy as jnp
        >>> import jaxtune as jt
        >>> logits = jnp.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        >>> round(float(jt.metrics.f1(logits, jnp.array([0, 1, 1]))), 3)
        0.667
    """
    outputs, targets = _logits("f1", outputs, targets)
    classes = jnp.arange(outputs.shape[-1])
    predicted = jnp.argmax(outputs, axis=-1).reshape(-1, 1) == classes  # [N, C]
    actual = targets.reshape(-1, 1) == classes  # [N, C]
    both = jnp.sum(predicted & actual, axis=0)
    either = jnp.sum(predicted, axis=0) + jnp.sum(actual, axis=0)  # 2 TP + FP + FN
    score = jnp.sum(2 * both / jnp.maximum(either, 1)) / jnp.sum(either > 0)
    return jnp.where(jnp.isnan(outputs).any(), jnp.nan, score)


@relaxed()
def auc(outputs: ArrayLike, targets: ArrayLike) -> jax.Array:
    """Outputs first: the area under the binary ROC curve; one value for the split.

    The chance that a positive example scores higher than a negative one, ties counting half (Hanley and
    McNeil 1982), which equals scikit-learn's `roc_auc_score`.

    Args:
        outputs: scores or single logits, `[N]` or `[N, 1]`, or logits of two classes, `[N, 2]`.
        targets: 1 or True for positive, 0 or False for negative, `[N]` (or `[N, 1]`).

    Returns:
        float32 `[]`, in [0, 1]; NaN if a score is NaN or one of the two classes doesn't occur.

    Raises:
        ValueError: The shapes don't fit.

    Example:
        >>> import jax.numpy as jnp
        >>> import jaxtune as jt
        >>> float(jt.metrics.auc(jnp.array([0.1, 0.4, 0.4, 0.8]), jnp.array([0, 0, 1, 1])))
        0.875
    """
    scores = _binary_scores(jnp.asarray(outputs))
    positive = jnp.asarray(targets).reshape(-1) > 0
    if scores.shape != positive.shape:
        raise ValueError(f"auc needs one target per score, got {positive.size} targets, {scores.size} scores.")
    num_negative = jnp.sum(~positive)
    # Positives move to the end of the sorted negatives; scores of +inf then count into them, hence the
    # minimum.
    negatives = jnp.sort(jnp.where(positive, jnp.inf, scores))
    below = jnp.searchsorted(negatives, scores, side="left")
    up_to = jnp.minimum(jnp.searchsorted(negatives, scores, side="right"), num_negative)
    # A mean of shares stays exact where a sum of ranks would pass 2^24, the limit of whole numbers in
    # float32.
    wins = (below + up_to) / (2 * num_negative)
    area = jnp.sum(jnp.where(positive, wins, 0)) / jnp.sum(positive)
    return jnp.where(jnp.isnan(scores).any(), jnp.nan, area)


def _binary_scores(outputs: jax.Array) -> jax.Array:
    """One score per example, `[N]`, from `[N]`, `[N, 1]` or the logits of two classes `[N, 2]`."""
    if outputs.ndim == 2 and outputs.shape[1] == 2:
        return outputs[:, 1] - outputs[:, 0]
    if outputs.ndim == 1 or (outputs.ndim == 2 and outputs.shape[1] == 1):
        return outputs.reshape(-1)
    raise ValueError(f"auc needs outputs of shape [N], [N, 1] or [N, 2], got {outputs.shape}.")


def classification(owner: str, outputs: ArrayLike, targets: ArrayLike) -> tuple[jax.Array, jax.Array]:
    """Outputs `[N, ..., C]` and class indices `[N, ...]` as arrays; raises unless they fit together."""
    outputs, targets = jnp.asarray(outputs), jnp.asarray(targets)
    if not jnp.issubdtype(targets.dtype, jnp.integer):
        raise TypeError(f"{owner} needs class indices as integer targets, got {targets.dtype}.")
    if outputs.ndim == 0 or outputs.shape[:-1] != targets.shape:
        raise ValueError(
            f"{owner} needs outputs [N, ..., C] and targets [N, ...] in this order, "
            f"got {outputs.shape} and {targets.shape}."
        )
    return outputs, targets


def _logits(metric: str, outputs: ArrayLike, targets: ArrayLike) -> tuple[jax.Array, jax.Array]:
    """Checked logits `[N, ..., C]` in at least float32, and class indices `[N, ...]`."""
    outputs, targets = classification(metric, outputs, targets)
    if outputs.shape[-1] < 2:
        raise ValueError(f"{metric} needs one logit per class, got a single one; return two logits.")
    return _at_least_float32(outputs), targets


def _values(metric: str, outputs: ArrayLike, targets: ArrayLike) -> tuple[jax.Array, jax.Array]:
    """Checked outputs and targets of one shape in at least float32."""
    outputs, targets = jnp.asarray(outputs), jnp.asarray(targets)
    if outputs.shape != targets.shape:  # [N, 1] - [N] would broadcast to [N, N] and say nothing
        raise ValueError(f"{metric} needs outputs and targets of one shape, got {outputs.shape} and {targets.shape}.")
    return _at_least_float32(outputs), _at_least_float32(targets)


def _at_least_float32(x: jax.Array) -> jax.Array:
    """Means over a split need more than the 8 bits of a bfloat16 model's outputs."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))
