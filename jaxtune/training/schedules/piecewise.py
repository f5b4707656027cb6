"""Schedules given by boundaries, at which the value is multiplied by a factor."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import optax

from jaxtune.interface.settings import relaxed
from jaxtune.training.schedules.phases import Count, Scalar, cosine, known, line, position

# Optax's dict, whose keys can't be traced, or the same as pairs, whose boundaries can.
Boundaries: TypeAlias = Mapping[Any, Scalar] | Sequence[tuple[Scalar, Scalar]]

_CURVES: dict[str, Callable[[jax.Array, Scalar, Scalar], jax.Array]] = {
    "linear": line,
    "cosine": lambda where, start, end: (start - end) * cosine(where) + end,
}


@relaxed()
def piecewise_constant_schedule(init_value: Scalar, boundaries_and_scales: Boundaries | None = None) -> optax.Schedule:
    """A value that is multiplied by a factor at each boundary and constant between them ("step decay").

    Args:
        init_value: shape `[]`, the value at step 0.
        boundaries_and_scales: `{boundary: scale}` as in Optax, or (boundary, scale) pairs in increasing order,
            whose boundaries may be traced as well; a scale is >= 0 and counts from its boundary on. None: the
            value never changes.

    Returns:
        A function from a step count of any shape to values of that shape.

    Raises:
        TypeError: `boundaries_and_scales` is neither a dict nor pairs.
        ValueError: a scale is known and negative, or boundaries are known and do not increase.

    Source: `optax.piecewise_constant_schedule`.

    Example:
        >>> import jax
        >>> import jaxtune as jt
        >>> @jax.jit
        ... def at(step, first, total):
        ...     drops = [(first * total, 0.1), (0.75 * total, 0.1)]
        ...     return jt.schedules.piecewise_constant_schedule(1.0, drops)(step)
        >>> [round(float(at(step, 0.5, 100)), 3) for step in (49, 50, 75)]
        [1.0, 0.1, 0.01]
    """
    pairs = _checked("piecewise_constant_schedule", boundaries_and_scales)

    @relaxed()
    def schedule(count: Count) -> Any:
        value: Any = init_value
        for boundary, scale in pairs:
            value = value * jnp.where(count < boundary, 1.0, scale)
        return value

    return schedule


@relaxed()
def piecewise_interpolate_schedule(
    interpolate_type: str, init_value: Scalar, boundaries_and_scales: Boundaries | None = None
) -> optax.Schedule:
    """A value that moves between boundaries, where each boundary multiplies the value before it by a factor.

    Args:
        interpolate_type: "linear" or "cosine", the curve between boundaries.
        init_value: shape `[]`, the value at step 0.
        boundaries_and_scales: `{boundary: scale}` as in Optax, or (boundary, scale) pairs in increasing order,
            whose boundaries may be traced as well; at a boundary the value is that at the one before times
            `scale`, which is >= 0. None: the value never changes.

    Returns:
        A function from a step count of any shape to values of that shape.

    Raises:
        TypeError: `boundaries_and_scales` is neither a dict nor pairs.
        ValueError: `interpolate_type` is unknown, a scale is known and negative, or boundaries are known and do
            not increase.

    Source: `optax.piecewise_interpolate_schedule`.

    Example:
        >>> import jax
        >>> import jaxtune as jt
        >>> @jax.jit
        ... def at(step, peak_at):
        ...     corners = [(peak_at, 10.0), (100, 0.0)]
        ...     return jt.schedules.piecewise_interpolate_schedule("linear", 0.1, corners)(step)
        >>> [round(float(at(step, 20)), 3) for step in (0, 10, 20, 60, 100)]
        [0.1, 0.55, 1.0, 0.5, 0.0]
    """
    if interpolate_type not in _CURVES:
        raise ValueError(
            f"piecewise_interpolate_schedule needs interpolate_type 'linear' or 'cosine', got {interpolate_type!r}."
        )
    pairs = _checked("piecewise_interpolate_schedule", boundaries_and_scales)
    return interpolated(interpolate_type, init_value, pairs)


def interpolated(curve: str, init_value: Scalar, pairs: Sequence[tuple[Scalar, Scalar]]) -> optax.Schedule:
    """`piecewise_interpolate_schedule` of pairs that need no check."""

    @relaxed()
    def schedule(count: Count) -> Any:
        start: Scalar = 0
        value: Any = init_value
        corner: Any = init_value
        for end, scale in pairs:
            moving = _CURVES[curve](position(count - start, end - start), corner, corner * scale)
            value = jnp.where(count < start, value, moving)
            start, corner = end, corner * scale
        return value

    return schedule


def _checked(schedule: str, given: Any) -> tuple[tuple[Scalar, Scalar], ...]:
    """The pairs, in increasing order of their boundaries."""
    if given is None:
        return ()
    if isinstance(given, Mapping):
        given = sorted(given.items())
    if isinstance(given, str) or not isinstance(given, Sequence) or not all(map(_is_pair, given)):
        raise TypeError(f"{schedule} needs a dict of boundary -> scale or (boundary, scale) pairs, got {given!r}.")
    pairs = tuple((boundary, scale) for boundary, scale in given)
    for scale in (known(scale) for _, scale in pairs):
        if scale is not None and not scale >= 0:
            raise ValueError(f"{schedule} needs scales >= 0, got {scale:g}.")
    boundaries = [number for number in (known(boundary) for boundary, _ in pairs) if number is not None]
    if boundaries != sorted(boundaries):
        raise ValueError(f"{schedule} needs increasing boundaries, got {', '.join(f'{b:g}' for b in boundaries)}.")
    return pairs


def _is_pair(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2
