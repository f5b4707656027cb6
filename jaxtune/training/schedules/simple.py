"""Constant, straight, polynomial, cosine and exponential schedules."""

import jax
import jax.numpy as jnp
import optax

from jaxtune.interface.settings import relaxed
from jaxtune.training.schedules.phases import Count, Scalar, check_positive, cosine, line, position, raised


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


@relaxed()
def cosine_decay_schedule(
    init_value: Scalar, decay_steps: Scalar, alpha: Scalar = 0.0, exponent: Scalar = 1.0
) -> optax.Schedule:
    """Half a cosine wave from `init_value` down to `alpha * init_value`, constant afterwards.

    Args:
        init_value: shape `[]`, the value at step 0.
        decay_steps: shape `[]`, steps until the end of the decay, > 0; fractions are allowed. A traced
            value <= 0 gives the end value from step 0 on.
        alpha: shape `[]`, the end value as a share of `init_value`.
        exponent: shape `[]`, the cosine's share (from 1 to 0) is raised to this power, > 0.

    Returns:
        A function from a step count of any shape to values of that shape; weakly typed float32 unless an
        argument is a strong float array.

    Raises:
        ValueError: `decay_steps` is known and not positive.

    Source: Loshchilov and Hutter, SGDR, https://arxiv.org/abs/1608.03983; `optax.cosine_decay_schedule`.

    Example:
        >>> import jax
        >>> import jaxtune as jt
        >>> def halfway(decay_steps):
        ...     return jt.schedules.cosine_decay_schedule(1.0, decay_steps)(50)
        >>> [round(float(jax.jit(halfway)(steps)), 3) for steps in (50, 100, 200.0)]
        [0.0, 0.5, 0.854]
    """
    check_positive("cosine_decay_schedule", "decay_steps", decay_steps)

    @relaxed()
    def schedule(count: Count) -> jax.Array:
        decayed = cosine(position(count, decay_steps), exponent)
        return init_value * ((1 - alpha) * decayed + alpha)

    return schedule


@relaxed()
def exponential_decay(
    init_value: Scalar,
    transition_steps: Scalar,
    decay_rate: Scalar,
    transition_begin: Scalar = 0,
    staircase: bool | jax.Array = False,
    end_value: Scalar | None = None,
) -> optax.Schedule:
    """`init_value * decay_rate ** (steps / transition_steps)`, smooth or in steps of `transition_steps`.

    Args:
        init_value: shape `[]`, the value up to step `transition_begin`.
        transition_steps: shape `[]`, in how many steps the value falls by `decay_rate`. As in Optax 0 or less
            means no decay at all.
        decay_rate: shape `[]`, >= 0, the factor; above 1 the value grows. As in Optax 0 means no decay at all.
        transition_begin: shape `[]`, where the decay starts; below 0 it counts as 0.
        staircase: shape `[]`, whether the value changes once in `transition_steps` only ("step decay").
        end_value: shape `[]`, the limit: the least value for a `decay_rate` below 1, else the greatest; None for
            no limit.

    Returns:
        A function from a step count of any shape to values of that shape.

    Source: `optax.exponential_decay`.

    Example:
        >>> import jax
        >>> import jaxtune as jt
        >>> @jax.jit
        ... def at(step, staircase):
        ...     return jt.schedules.exponential_decay(1.0, 30, 0.1, staircase=staircase)(step)
        >>> [round(float(at(step, True)), 3) for step in (0, 29, 30, 59, 60)]
        [1.0, 1.0, 0.1, 0.1, 0.01]
        >>> round(float(at(15, False)), 3)
        0.316
    """

    @relaxed()
    def schedule(count: Count) -> jax.Array:
        divisor = jnp.where(transition_steps > 0, transition_steps, 1)
        passed = 1.0 * jnp.maximum(count - jnp.maximum(transition_begin, 0), 0) / divisor
        passed = jnp.where(staircase, jnp.floor(passed), passed)
        # decay_rate may be 0, where log(decay_rate), the slope over steps, is infinite.
        value = init_value * jnp.where(decay_rate == 0, 1.0, decay_rate) ** passed
        if end_value is not None:
            value = jnp.where(decay_rate < 1, jnp.maximum(value, end_value), jnp.minimum(value, end_value))
        return jnp.where((transition_steps > 0) & (decay_rate != 0), value, init_value)

    return schedule
