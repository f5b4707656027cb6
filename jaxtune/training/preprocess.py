"""What happens to data before a model and its loss see them, fitted on training data alone."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxtune.interface.habits import hinted
from jaxtune.interface.settings import relaxed

__all__ = ["Preprocess", "standardize"]


def _unchanged(stats: Any, outputs: Any) -> Any:
    del stats
    return outputs


@hinted
@dataclass(frozen=True)
class Preprocess:
    """Three functions between data as they are and data as a model sees them, for `supervised(preprocess=)`.

    Statistics are fitted on the training part of each split or fold and on nothing else. Model and loss, in training
    and validation, see transformed data; metrics get inverted outputs and the original targets. A training batch is
    transformed first and augmented afterwards. Functions are compared by identity: define them once, at the top of a
    file, so that a second search compiles nothing.

    `best.predict` of a result applies and inverts around the model, which itself takes transformed inputs.

    Attributes:
        fit: `train -> stats`, where train is the pair (inputs, targets) and stats any pytree of arrays.
        apply: `(stats, (inputs, targets)) -> (inputs, targets)` of as many examples; shapes of an example and dtypes
            may change. Predictions, which have no targets, need inputs that don't depend on these; `standardize` takes
            None for them.
        invert: `(stats, outputs) -> outputs` in the unit of the original targets; left out, outputs stay as they are.

    Raises:
        TypeError: One of the three is no function.

    Example:
        >>> import flax.linen as nn, jax.numpy as jnp, numpy as np, optax
        >>> import jaxtune as jt
        >>> logarithm = jt.Preprocess(
        ...     fit=lambda train: None,
        ...     apply=lambda stats, pair: (pair[0], jnp.log(pair[1])),
        ...     invert=lambda stats, outputs: jnp.exp(outputs),
        ... )
        >>> x = np.linspace(0, 3, 64, dtype=np.float32)[:, None]
        >>> task = jt.supervised(
        ...     nn.Dense(1), optimizer=lambda hp: optax.adam(hp["lr"]), loss=optax.squared_error,
        ...     train=(x, np.exp(2 * x)), validation=(x, np.exp(2 * x)), batch_size=16,
        ...     metrics={"mae": jt.metrics.mae}, preprocess=logarithm,
        ... )
        >>> scheduler = jt.FullBudget(trials=4, steps=300)
        >>> result = jt.tune(task, {"lr": jt.LogUniform(0.03, 0.3)}, scheduler=scheduler, progress=False)
        >>> bool(result.best.metrics["mae"] < 10)  # targets go up to 403
        True
    """

    fit: Callable[[Any], Any]
    apply: Callable[[Any, Any], Any]
    invert: Callable[[Any, Any], Any] = _unchanged

    def __post_init__(self) -> None:
        for name in ("fit", "apply", "invert"):
            if not callable(getattr(self, name)):
                raise TypeError(f"Preprocess needs a function as {name}, got {getattr(self, name)!r}.")


@hinted
def standardize(inputs: bool = True, targets: bool = False) -> Preprocess:
    """Mean 0 and standard deviation 1 over the training examples; for `supervised(preprocess=)`.

    Each feature along the last axis has statistics of its own, taken over all other axes: a column of a table, a
    channel of images `[N, H, W, C]`, a feature of sequences `[N, T, C]`. An array `[N]` is one feature. A feature
    that never changes is only centred. Whole numbers and bools beside arrays of floats (tokens or classes for an
    embedding, a mask) stay as they are: make them float if they are quantities. Standardized targets make the loss
    dimensionless, while metrics such as `jt.metrics.rmse` keep the unit of the data.

    Args:
        inputs: Standardize the inputs, each array of floats or of uint8 in a pytree on its own.
        targets: Standardize the targets. The model's outputs must then be like them, in structure and in shape.

    Returns:
        A Preprocess, equal for equal arguments. Floats keep their dtype, uint8 (images) becomes float32.

    Raises:
        TypeError: When fitted: no array is float or uint8; integers are tokens or classes.
        ValueError: Neither inputs nor targets are to be standardized.

    Example:
        >>> import numpy as np
        >>> import jaxtune as jt
        >>> train = np.array([[1.0, 5.0], [3.0, 5.0]], np.float32), np.array([10.0, 30.0], np.float32)
        >>> preprocess = jt.standardize(targets=True)
        >>> stats = preprocess.fit(train)
        >>> x, y = preprocess.apply(stats, train)
        >>> x.tolist(), y.tolist()
        ([[-1.0, 0.0], [1.0, 0.0]], [-1.0, 1.0])
        >>> preprocess.invert(stats, y).tolist()
        [10.0, 30.0]
    """
    if not inputs and not targets:
        raise ValueError("standardize needs inputs=True or targets=True, got neither.")
    return Preprocess(_Fit(bool(inputs), bool(targets)), _apply, _invert)


@dataclass(frozen=True)
class _Fit:
    """Fits what `standardize` needs: {"inputs": tree of moments or None, "targets": likewise}."""

    inputs: bool
    targets: bool

    @relaxed()
    def __call__(self, train: Any) -> dict[str, Any]:
        parts = zip(("inputs", "targets"), train, (self.inputs, self.targets), strict=True)
        return {name: _fitted(name, part) if wanted else None for name, part, wanted in parts}


def _fitted(name: str, part: Any) -> Any:
    """The moments of each array of quantities; of others there are none, unless all are."""
    leaves = jax.tree_util.tree_leaves_with_path(part)
    if not any(_is_quantity(x) for _, x in leaves):
        for path, x in leaves[:1]:
            raise TypeError(
                f"standardize takes floats and uint8 images, but the {name}{jax.tree_util.keystr(path)} of train have "
                f"dtype {jnp.result_type(x)}: convert quantities to float; tokens or classes need no standardizing."
            )
    return jax.tree.map(lambda x: _moments(x) if _is_quantity(x) else _AS_IT_IS, part)


class _Moments(NamedTuple):
    """Of each feature, `[C]`, or `[]` of one without an axis for features; None of what stays as it is."""

    mean: jax.Array | None
    std: jax.Array | None


_AS_IT_IS = _Moments(None, None)


def _is_quantity(x: Any) -> bool:
    dtype = jnp.result_type(x)
    return bool(jnp.issubdtype(dtype, jnp.floating) or dtype == jnp.uint8)


def _moments(x: Any) -> _Moments:
    x = jnp.asarray(x)
    axes = tuple(range(max(1, x.ndim - 1)))
    constant = jnp.max(x, axes) == jnp.min(x, axes)  # rounding gives it a tiny deviation to divide by
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    return _Moments(jnp.mean(x, axes), jnp.where(constant, 1.0, jnp.std(x, axes)))


def _is_moments(x: Any) -> bool:
    return isinstance(x, _Moments)


@relaxed()
def _apply(stats: dict[str, Any], pair: Any) -> tuple[Any, Any]:
    def standardized(moments: _Moments, x: Any) -> Any:
        if moments.mean is None:
            return x
        x, shape = jnp.asarray(x), moments.mean.shape
        if shape and x.shape[-1:] != shape:  # a single feature would be broadcast
            raise ValueError(f"standardize was fitted on {shape[0]} features, got an array of shape {x.shape}.")
        dtype = x.dtype if jnp.issubdtype(x.dtype, jnp.floating) else jnp.float32
        return ((x - moments.mean) / moments.std).astype(dtype)

    first, second = (
        part if moments is None or part is None else jax.tree.map(standardized, moments, part, is_leaf=_is_moments)
        for moments, part in zip((stats["inputs"], stats["targets"]), pair, strict=True)
    )
    return first, second


@relaxed()
def _invert(stats: dict[str, Any], outputs: Any) -> Any:
    moments = stats["targets"]
    if moments is None:
        return outputs
    wanted: Any = jax.tree.structure(moments, is_leaf=_is_moments)
    got: Any = jax.tree.structure(outputs)
    if wanted != got:
        raise TypeError(
            f"standardize(targets=True) needs outputs like the targets, of structure {wanted}, got {got}: "
            "write a jt.Preprocess with an invert of its own."
        )

    def inverted(moments: _Moments, x: Any) -> Any:
        if moments.mean is None:
            return x
        shape = jnp.shape(moments.mean)
        if (shape and x.shape[-1:] != shape) or (not shape and x.ndim > 1 and x.shape[1:] != (1,)):
            wanted = f"[N, ..., {shape[0]}]" if shape else "[N]"
            raise TypeError(
                f"standardize(targets=True) needs outputs like the targets, {wanted}, got shape {x.shape}: "
                "write a jt.Preprocess with an invert of its own."
            )
        return (x * moments.std + moments.mean).astype(x.dtype)

    return jax.tree.map(inverted, moments, outputs, is_leaf=_is_moments)
