"""Schedules one after the other, and those that start with a warmup: a straight line up to the peak."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import optax

from jaxtune.interface.settings import relaxed
from jaxtune.training.schedules.phases import Count, Scalar, check_positive, cosine, line, position
from jaxtune.training.schedules.simple import exponential_decay, linear_schedule


@relaxed()
def join_schedules(schedules: Sequence[optax.Schedule], boundaries: Sequence[Scalar]) -> optax.Schedule:
    """Schedules one after the other, each counting its steps from its own start.

    Args:
        schedules: functions from a step count to a value, at least one.
        boundaries: shapes `[]`, increasing: the step at which the next schedule takes over; one less than
            schedules.

    Returns:
        A function from a step count of any shape to values of that shape.

    Raises:
        ValueError: there is no schedule, or not one boundary between each two.

    Source: `optax.join_schedules`, which drops what is too much of either sequence.

    Example:
        >>> import jax
        >>> import jaxtune as jt
        >>> @jax.jit
        ... def at(step, boundary):
        ...     first, then = jt.schedules.constant_schedule(0.1), jt.schedules.linear_schedule(0.1, 0.0, 10)
        ...     return jt.schedules.join_schedules([first, then], [boundary])(step)
        >>> [round(float(at(step, 20)), 3) for step in (0, 20, 25, 30)]
        [0.1, 0.1, 0.05, 0.0]
    """
    schedules, boundaries = tuple(schedules), tuple(boundaries)
    if len(boundaries) != len(schedules) - 1:
        raise ValueError(
            f"join_schedules needs one boundary between each two schedules, got {len(schedules)} schedules and "
            f"{len(boundaries)} boundaries."
        )

    @relaxed()
    def schedule(count: Count) -> jax.Array:
        value = schedules[0](count)
        for boundary, following in zip(boundaries, schedules[1:], strict=True):
            value = jnp.where(count < boundary, value, following(count - boundary))
        return value

    return schedule


@relaxed()
def warmup_constant_schedule(init_value: Scalar, peak_value: Scalar, warmup_steps: Scalar) -> optax.Schedule:
    """A straight line from `init_value` up to `peak_value`, constant afterwards.

    Args:
        init_value: shape `[]`, the value at step 0.
        peak_value: shape `[]`, the value from step `warmup_steps` on.
        warmup_steps: shape `[]`, > 0. As in Optax 0 or less means no warmup at all: `init_value` for ever. A
            search that should reach no warmup uses `join_schedules`, or an `init_value` above 0.

    Returns:
        A function from a step count of any shape to values of that shape.

    Source: Goyal et al., https://arxiv.org/abs/1706.02677; `optax.warmup_constant_schedule`.

    Example:
        >>> import jax
        >>> import jaxtune as jt
        >>> at = jax.jit(lambda step, warmup: jt.schedules.warmup_constant_schedule(0.0, 0.1, warmup)(step))
        >>> [round(float(at(step, 20)), 3) for step in (0, 10, 20, 100)]
        [0.0, 0.05, 0.1, 0.1]
    """
    return linear_schedule(init_value, peak_value, warmup_steps)


@relaxed()
def warmup_cosine_decay_schedule(
    init_value: Scalar,
    peak_value: Scalar,
    warmup_steps: Scalar,
    decay_steps: Scalar,
    end_value: Scalar = 0.0,
    exponent: Scalar = 1.0,
) -> optax.Schedule:
    """A straight line from `init_value` up to `peak_value`, then half a cosine wave down to `end_value`.

    Args:
        init_value: shape `[]`, the value at step 0.
        peak_value: shape `[]`, the value at step `warmup_steps`. As in Optax a peak of 0 means 0 ever after.
        warmup_steps: shape `[]`, >= 0; fractions are allowed, so `hp["warmup"] * total_steps` needs no
            rounding.
        decay_steps: shape `[]`, steps of the whole schedule, warmup included. A traced value <=
            `warmup_steps` gives `end_value` right after the warmup.
        end_value: shape `[]`, the value from step `decay_steps` on.
        exponent: shape `[]`, the cosine's share (from 1 to 0) is raised to this power, > 0.

    Returns:
        A function from a step count of any shape to values of that shape; weakly typed float32 unless an
        argument is a strong float array.

    Raises:
        ValueError: `decay_steps - warmup_steps` is known and not positive.

    Source: Goyal et al. (warmup), https://arxiv.org/abs/1706.02677; `optax.warmup_cosine_decay_schedule`.

    Example:
        >>> import jax
        >>> import jaxtune as jt
        >>> @jax.jit
        ... def at(step, peak, warmup):
        ...     return jt.schedules.warmup_cosine_decay_schedule(0.0, peak, warmup * 100, 100)(step)
        >>> [round(float(at(step, 0.1, 0.2)), 3) for step in (0, 10, 20, 60, 100)]
        [0.0, 0.05, 0.1, 0.05, 0.0]
    """
    cosine_steps = decay_steps - warmup_steps
    check_positive("warmup_cosine_decay_schedule", "decay_steps - warmup_steps", cosine_steps)

    @relaxed()
    def schedule(count: Count) -> jax.Array:
        warmup = line(position(count, warmup_steps), init_value, peak_value)
        decayed = cosine(position(count - warmup_steps, cosine_steps), exponent)
        # Optax computes end_value / peak_value and special-cases a peak of 0; this form needs no division.
        end = jnp.where(peak_value == 0, 0.0, end_value)
        return jnp.where(count < warmup_steps, warmup, (peak_value - end) * decayed + end)

    return schedule


@relaxed()
def warmup_exponential_decay_schedule(
    init_value: Scalar,
    peak_value: Scalar,
    warmup_steps: Scalar,
    transition_steps: Scalar,
    decay_rate: Scalar,
    transition_begin: Scalar = 0,
    staircase: bool | jax.Array = False,
    end_value: Scalar | None = None,
) -> optax.Schedule:
    """A straight line from `init_value` up to `peak_value`, then `exponential_decay`.

    Args:
        init_value: shape `[]`, the value at step 0.
        peak_value: shape `[]`, the value at step `warmup_steps`.
        warmup_steps: shape `[]`, >= 0.
        transition_steps: shape `[]`, in how many steps the value falls by `decay_rate`. As in Optax 0 or less
            means no decay at all.
        decay_rate: shape `[]`, >= 0, the factor; above 1 the value grows. As in Optax 0 means no decay at all.
        transition_begin: shape `[]`, how long the peak lasts; below 0 it counts as 0.
        staircase: shape `[]`, whether the value changes once in `transition_steps` only.
        end_value: shape `[]`, the limit of the decay: the least value for a `decay_rate` below 1, else the
            greatest; None for no limit.

    Returns:
        A function from a step count of any shape to values of that shape.

    Source: `optax.warmup_exponential_decay_schedule`.

    Example:
        >>> import jax
        >>> import jaxtune as jt
        >>> @jax.jit
        ... def at(step, rate):
        ...     return jt.schedules.warmup_exponential_decay_schedule(0.0, 1.0, 10, 30, rate)(step)
        >>> [round(float(at(step, 0.1)), 3) for step in (5, 10, 40, 70)]
        [0.5, 1.0, 0.1, 0.01]
    """
    warmup = linear_schedule(init_value, peak_value, warmup_steps)
    decay = exponential_decay(peak_value, transition_steps, decay_rate, transition_begin, staircase, end_value)
    return join_schedules([warmup, decay], [warmup_steps])
