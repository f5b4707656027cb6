"""Schedules one after the other."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import optax

from jaxtune.interface.settings import relaxed
from jaxtune.training.schedules.phases import Count, Scalar


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
