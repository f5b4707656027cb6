"""Triangular cycles."""

import jax
import jax.numpy as jnp
import optax

from jaxtune.interface.settings import relaxed
from jaxtune.training.schedules.phases import Count, Scalar, check_positive


@relaxed()
def cyclic_schedule(
    base_value: Scalar, peak_value: Scalar, half_cycle_steps: Scalar, gamma: Scalar = 1.0
) -> optax.Schedule:
    """Straight lines up to `peak_value` and back to `base_value`, again and again.

    Args:
        base_value: shape `[]`, the value at the start and the end of every cycle.
        peak_value: shape `[]`, the value in the middle of the first cycle.
        half_cycle_steps: shape `[]`, > 0, steps up, and steps down; the paper's stepsize, which it puts at 2 to
            10 epochs. A traced value <= 0 gives `base_value`.
        gamma: shape `[]`, in [0, 1], by which the height of each cycle shrinks against the one before: 1 is the
            paper's "triangular", 0.5 its "triangular2".

    Returns:
        A function from a step count of any shape to values of that shape.

    Raises:
        ValueError: `half_cycle_steps` is known and not positive.

    Source: Smith, Cyclical Learning Rates for Training Neural Networks, https://arxiv.org/abs/1506.01186.

    Example:
        >>> import jax
        >>> import jaxtune as jt
        >>> @jax.jit
        ... def at(step, half, gamma):
        ...     return jt.schedules.cyclic_schedule(0.1, 1.1, half, gamma)(step)
        >>> [round(float(at(step, 10, 0.5)), 3) for step in (0, 5, 10, 20, 30, 50)]
        [0.1, 0.6, 1.1, 0.1, 0.6, 0.35]
    """
    check_positive("cyclic_schedule", "half_cycle_steps", half_cycle_steps)

    @relaxed()
    def schedule(count: Count) -> jax.Array:
        half = jnp.where(half_cycle_steps > 0, half_cycle_steps, 1)
        cycle = jnp.floor(1.0 * count / (2 * half))
        # From the start of the cycle: a fraction of all cycles so far would lose digits as they grow.
        share = jnp.clip(1 - jnp.abs((count - cycle * (2 * half)) / half - 1), 0.0, 1.0)
        # 0 ** 0 is 1, but its slope is NaN.
        height = (peak_value - base_value) * jnp.where(cycle > 0, gamma, 1.0) ** cycle
        value = base_value + height * share
        return jnp.where(half_cycle_steps > 0, value, base_value)

    return schedule
