"""One cycle: up to the peak, down again, and further down."""

import math

import jax.numpy as jnp
import optax

from jaxtune.interface.settings import relaxed
from jaxtune.training.schedules.phases import Scalar, check_positive, known
from jaxtune.training.schedules.piecewise import interpolated


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
