"""Cosine decay."""

import jax
import optax

from jaxtune.interface.settings import relaxed
from jaxtune.training.schedules.phases import Count, Scalar, check_positive, cosine, position


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
