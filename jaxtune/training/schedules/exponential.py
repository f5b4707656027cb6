"""Exponential and step-wise decay."""

import jax
import jax.numpy as jnp
import optax

from jaxtune.interface.settings import relaxed
from jaxtune.training.schedules.phases import Count, Scalar


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
