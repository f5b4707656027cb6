"""Optax's learning-rate schedules with every argument traceable: Optax's names, order, defaults and values.

Optax branches in Python on its arguments (`if decay_steps <= 0`), which fails where they are
hyperparameters of a compiled search. Here every branch is a `where`. A schedule maps a step count to a
value; one of the family is a position in [0, 1] (`_position`), a curve over it (`_line`, `_cosine`) and,
where it has phases, a `where` that joins them. `optax.join_schedules` accepts traced boundaries as it is.
"""

import jax
import jax.numpy as jnp
import optax

__all__ = ["cosine_decay_schedule", "warmup_cosine_decay_schedule"]

Scalar = jax.Array | float  # shape [], traced or not


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
        >>> from jaxtune import schedules
        >>> def halfway(decay_steps):
        ...     return schedules.cosine_decay_schedule(1.0, decay_steps)(50)
        >>> [round(float(jax.jit(halfway)(steps)), 3) for steps in (50, 100, 200.0)]
        [0.0, 0.5, 0.854]
    """
    _check_positive("cosine_decay_schedule", "decay_steps", decay_steps)

    def schedule(count: Scalar) -> jax.Array:
        decayed = _cosine(_position(count, decay_steps), exponent)
        return init_value * ((1 - alpha) * decayed + alpha)

    return schedule


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
        >>> from jaxtune import schedules
        >>> @jax.jit
        ... def at(step, peak, warmup):
        ...     return schedules.warmup_cosine_decay_schedule(0.0, peak, warmup * 100, 100)(step)
        >>> [round(float(at(step, 0.1, 0.2)), 3) for step in (0, 10, 20, 60, 100)]
        [0.0, 0.05, 0.1, 0.05, 0.0]
    """
    cosine_steps = decay_steps - warmup_steps
    _check_positive("warmup_cosine_decay_schedule", "decay_steps - warmup_steps", cosine_steps)

    def schedule(count: Scalar) -> jax.Array:
        warmup = _line(_position(count, warmup_steps), init_value, peak_value)
        decayed = _cosine(_position(count - warmup_steps, cosine_steps), exponent)
        # Optax computes end_value / peak_value and special-cases a peak of 0; this form needs no division.
        end = jnp.where(peak_value == 0, 0.0, end_value)
        return jnp.where(count < warmup_steps, warmup, (peak_value - end) * decayed + end)

    return schedule


def _position(count: Scalar, steps: Scalar) -> jax.Array:
    """How far `count` is on the way through a phase of `steps`: 0 at its start, 1 from its end on."""
    # The inner where keeps 0/0 out of the branch not taken, where it would still make the gradient NaN.
    divisor = jnp.where(steps > 0, steps, 1)
    # A quotient of two int32 arrays would be a strong float32; 1.0 * count is weak, and stays so.
    return jnp.where(steps > 0, jnp.clip(1.0 * count / divisor, 0.0, 1.0), 1.0)


def _line(position: jax.Array, start: Scalar, end: Scalar) -> jax.Array:
    """The straight line over `position`."""
    return (start - end) * (1 - position) + end


def _cosine(position: jax.Array, exponent: Scalar) -> jax.Array:
    """Half a cosine wave from 1 to 0 over `position`, raised to `exponent`."""
    wave = 0.5 * (1 + jnp.cos(jnp.pi * position))
    # The slope of wave ** exponent at 0 is infinite for exponents below 1: infinity times 0 would be NaN.
    end = 0.0 ** jax.lax.stop_gradient(jnp.asarray(exponent))
    return jnp.where(wave > 0, jnp.where(wave > 0, wave, 1.0) ** exponent, end)


def _check_positive(schedule: str, name: str, value: Scalar) -> None:
    """Refuses a known value that is not positive; says nothing about a traced one."""
    try:
        known = float(value)
    except jax.errors.ConcretizationTypeError:
        return
    if not known > 0:
        raise ValueError(f"{schedule} needs {name} > 0, got {known:g}.")
