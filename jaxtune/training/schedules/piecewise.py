"""Schedules given by boundaries, at which the value is multiplied by a factor; and one cycle, made of them."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import optax

from jaxtune.interface.settings import relaxed
from jaxtune.training.schedules.phases import Count, Scalar, check, check_positive, cosine, known, position

# Optax's dict, whose keys can't be traced, or the same as pairs, whose boundaries can.
Boundaries: TypeAlias = Mapping[Any, Scalar] | Sequence[tuple[Scalar, Scalar]]

_LEFT: dict[str, Callable[[jax.Array], jax.Array]] = {"linear": lambda where: 1 - where, "cosine": cosine}


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
    if interpolate_type not in _LEFT:
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
            left, following = _LEFT[curve](position(count - start, end - start)), corner * scale
            value = jnp.where(count < start, value, (corner - following) * left + following)
            start, corner = end, following
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
    for _, scale in pairs:
        check(schedule, scale, "scales >= 0", lambda number: number >= 0)
    boundaries = [number for number in (known(boundary) for boundary, _ in pairs) if number is not None]
    if boundaries != sorted(boundaries):
        raise ValueError(f"{schedule} needs increasing boundaries, got {', '.join(f'{b:g}' for b in boundaries)}.")
    return pairs


def _is_pair(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2


@relaxed()
def linear_onecycle_schedule(
    transition_steps: Scalar,
    peak_value: Scalar,
    pct_start: Scalar = 0.3,
    pct_final: Scalar = 0.85,
    div_factor: Scalar = 25.0,
    final_div_factor: Scalar = 1e4,
) -> optax.Schedule:
    """Three straight lines: up to the peak, down to where it started, and down to nearly nothing.

    Args:
        transition_steps: shape `[]`, steps of the whole cycle, > 0. A traced value <= 0 gives the final value.
        peak_value: shape `[]`, the greatest value.
        pct_start: shape `[]`, in [0, 1], where the peak is, as a share of the cycle (no percentage).
        pct_final: shape `[]`, in [pct_start, 1], where the value is back at its start. At 1 the value ends there:
            it drops to the final one after the last step. (Optax forgets one of two corners that fall together.)
        div_factor: shape `[]`, > 0, the value starts at `peak_value / div_factor`.
        final_div_factor: shape `[]`, > 0, the value ends at `peak_value / div_factor / final_div_factor`.

    Returns:
        A function from a step count of any shape to values of that shape. As in Optax the corners lie at whole
        steps; in float32, where arguments are traced, a share that hits a whole step only just may be cut to
        the one before.

    Raises:
        ValueError: `transition_steps` is known and not positive, or the shares are known and not in order.

    Source: Smith and Topin, Super-Convergence, https://arxiv.org/abs/1708.07120;
        `optax.linear_onecycle_schedule`.

    Example:
        >>> import jax
        >>> import jaxtune as jt
        >>> at = jax.jit(lambda step, peak: jt.schedules.linear_onecycle_schedule(100, peak)(step))
        >>> [round(float(at(step, 1.0)), 3) for step in (0, 15, 30, 85, 100)]
        [0.04, 0.52, 1.0, 0.04, 0.0]
    """
    check_positive("linear_onecycle_schedule", "transition_steps", transition_steps)
    _check_shares("linear_onecycle_schedule", pct_start=pct_start, pct_final=pct_final)
    corners = [
        (_whole(pct_start * transition_steps), div_factor),
        (_whole(pct_final * transition_steps), 1.0 / div_factor),
        (transition_steps, 1.0 / final_div_factor),
    ]
    return interpolated("linear", peak_value / div_factor, corners)


@relaxed()
def cosine_onecycle_schedule(
    transition_steps: Scalar,
    peak_value: Scalar,
    pct_start: Scalar = 0.3,
    div_factor: Scalar = 25.0,
    final_div_factor: Scalar = 1e4,
) -> optax.Schedule:
    """Half a cosine wave up to the peak, and one down to nearly nothing.

    Args:
        transition_steps: shape `[]`, steps of the whole cycle, > 0. A traced value <= 0 gives the final value.
        peak_value: shape `[]`, the greatest value.
        pct_start: shape `[]`, in [0, 1], where the peak is, as a share of the cycle (no percentage).
        div_factor: shape `[]`, > 0, the value starts at `peak_value / div_factor`.
        final_div_factor: shape `[]`, > 0, the value ends at `peak_value / div_factor / final_div_factor`.

    Returns:
        A function from a step count of any shape to values of that shape. As in Optax the corners lie at whole
        steps; in float32, where arguments are traced, a share that hits a whole step only just may be cut to
        the one before.

    Raises:
        ValueError: `transition_steps` is known and not positive, or the share is known and not in [0, 1].

    Source: Smith and Topin, Super-Convergence, https://arxiv.org/abs/1708.07120;
        `optax.cosine_onecycle_schedule`.

    Example:
        >>> import jax
        >>> import jaxtune as jt
        >>> @jax.jit
        ... def at(step, peak_at):
        ...     return jt.schedules.cosine_onecycle_schedule(100, 1.0, peak_at)(step)
        >>> [round(float(at(step, 0.5)), 3) for step in (0, 25, 50, 75, 100)]
        [0.04, 0.52, 1.0, 0.5, 0.0]
    """
    check_positive("cosine_onecycle_schedule", "transition_steps", transition_steps)
    _check_shares("cosine_onecycle_schedule", pct_start=pct_start)
    corners = [
        (_whole(pct_start * transition_steps), div_factor),
        (_whole(transition_steps), 1.0 / (div_factor * final_div_factor)),
    ]
    return interpolated("cosine", peak_value / div_factor, corners)


def _whole(steps: Scalar) -> Scalar:
    """Cut to a whole number; of Python numbers in Python, whose float64 is what Optax cuts."""
    return math.floor(steps) if isinstance(steps, int | float) else jnp.floor(steps)


def _check_shares(schedule: str, **shares: Scalar) -> None:
    """Refuses known shares of the cycle that are not in order between 0 and 1."""
    numbers = [number for number in map(known, shares.values()) if number is not None]
    if not all(a <= b for a, b in zip([0.0, *numbers], [*numbers, 1.0], strict=True)):
        given = ", ".join(f"{name}={known(share)}" for name, share in shares.items())
        raise ValueError(f"{schedule} needs 0 <= {' <= '.join(shares)} <= 1, got {given}.")
