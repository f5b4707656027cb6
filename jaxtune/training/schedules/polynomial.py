"""Constant, straight and polynomial schedules."""

import jax
import jax.numpy as jnp
import optax

from jaxtune.interface.settings import relaxed
from jaxtune.training.schedules.phases import Count, Scalar, line, position, raised


@relaxed()
def constant_schedule(value: Scalar) -> optax.Schedule:
    """The same value at every step: the schedule to compare others with, or a part of `join_schedules`.

    Args:
        value: shape `[]`.

    Returns:
        A function from a step count to `value`.

    Source: `optax.constant_schedule`.

    Example:
        >>> import jaxtune as jt
        >>> jt.schedules.constant_schedule(0.1)(5)
        0.1
    """
    return lambda count: value


@relaxed()
def linear_schedule(
    init_value: Scalar, end_value: Scalar, transition_steps: Scalar, transition_begin: Scalar = 0
) -> optax.Schedule:
    """A straight line from `init_value` to `end_value`, constant before and after.

    Args:
        init_value: shape `[]`, the value up to step `transition_begin`.
        end_value: shape `[]`, the value from step `transition_begin + transition_steps` on.
        transition_steps: shape `[]`, the length of the line. As in Optax 0 or less means no transition at all:
            `init_value` for ever.
        transition_begin: shape `[]`, where the line starts; below 0 it counts as 0.

    Returns:
        A function from a step count of any shape to values of that shape.

    Source: `optax.linear_schedule`.

    Example:
        >>> import jax
        >>> import jaxtune as jt
        >>> halfway = jax.jit(lambda steps: jt.schedules.linear_schedule(1.0, 0.0, steps)(50))
        >>> [round(float(halfway(steps)), 3) for steps in (50, 100, 200)]
        [0.0, 0.5, 0.75]
    """

    @relaxed()
    def schedule(count: Count) -> jax.Array:
        return line(_moved(count, transition_steps, transition_begin), init_value, end_value)

    return schedule


@relaxed()
def polynomial_schedule(
    init_value: Scalar,
    end_value: Scalar,
    power: Scalar,
    transition_steps: Scalar,
    transition_begin: Scalar = 0,
) -> optax.Schedule:
    """From `init_value` to `end_value` with what is left to go raised to a power, constant before and after.

    Args:
        init_value: shape `[]`, the value up to step `transition_begin`.
        end_value: shape `[]`, the value from step `transition_begin + transition_steps` on.
        power: shape `[]`, > 0; 1 is `linear_schedule`, 2 falls fast first and slowly at the end.
        transition_steps: shape `[]`, the length of the curve. As in Optax 0 or less means no transition at all:
            `init_value` for ever.
        transition_begin: shape `[]`, where the curve starts; below 0 it counts as 0.

    Returns:
        A function from a step count of any shape to values of that shape.

    Source: `optax.polynomial_schedule`.

    Example:
        >>> import jax
        >>> import jaxtune as jt
        >>> halfway = jax.jit(lambda power: jt.schedules.polynomial_schedule(1.0, 0.0, power, 100)(50))
        >>> [round(float(halfway(power)), 3) for power in (0.5, 1.0, 2.0)]
        [0.707, 0.5, 0.25]
    """

    @relaxed()
    def schedule(count: Count) -> jax.Array:
        left = raised(1 - _moved(count, transition_steps, transition_begin), power)
        return (init_value - end_value) * left + end_value

    return schedule


def _moved(count: Count, steps: Scalar, begin: Scalar) -> jax.Array:
    """Position in a transition that starts at `begin`; one of no steps never happens."""
    return jnp.where(steps > 0, position(count - jnp.maximum(begin, 0), steps), 0.0)
