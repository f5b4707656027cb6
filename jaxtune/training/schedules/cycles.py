"""Cycles: triangles, and cosine decay with warm restarts."""

import itertools
from collections.abc import Iterable, Mapping

import jax
import jax.numpy as jnp
import optax

from jaxtune.interface.settings import relaxed
from jaxtune.training.schedules.joined import join_schedules, warmup_cosine_decay_schedule
from jaxtune.training.schedules.phases import Count, Scalar, check, check_positive, cosine, position


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


@relaxed()
def sgdr_schedule(cosine_kwargs: Iterable[Mapping[str, Scalar]]) -> optax.Schedule:
    """Cycles of `warmup_cosine_decay_schedule`, one after the other, each with its own arguments.

    Args:
        cosine_kwargs: the arguments of each cycle, at least one; `decay_steps` is how long it lasts. The number
            of cycles is known, all else may be traced. `cosine_restarts_schedule` needs no number of cycles.

    Returns:
        A function from a step count of any shape to values of that shape.

    Raises:
        ValueError: there is no cycle, or one whose `decay_steps - warmup_steps` is known and not positive.

    Source: Loshchilov and Hutter, SGDR, https://arxiv.org/abs/1608.03983; `optax.sgdr_schedule`.

    Example:
        >>> import jax
        >>> import jaxtune as jt
        >>> @jax.jit
        ... def at(step, peak):
        ...     cycle = {"init_value": 0.0, "warmup_steps": 0, "decay_steps": 50}
        ...     return jt.schedules.sgdr_schedule([cycle | {"peak_value": p} for p in (peak, peak / 2)])(step)
        >>> [round(float(at(step, 1.0)), 3) for step in (0, 25, 50, 75, 100)]
        [1.0, 0.5, 0.5, 0.25, 0.0]
    """
    cycles = [dict(kwargs) for kwargs in cosine_kwargs]
    if not cycles:
        raise ValueError("sgdr_schedule needs the arguments of at least one cycle, got none.")
    ends = list(itertools.accumulate(kwargs["decay_steps"] for kwargs in cycles))
    return join_schedules([warmup_cosine_decay_schedule(**kwargs) for kwargs in cycles], ends[:-1])


@relaxed()
def cosine_restarts_schedule(
    init_value: Scalar, first_cycle_steps: Scalar, cycle_multiplier: Scalar = 1.0, end_value: Scalar = 0.0
) -> optax.Schedule:
    """Half cosine waves from `init_value` down to `end_value`, again and again, each longer than the one before.

    The number of cycles follows from the arguments and the step count in closed form, so that all of them may be
    traced. Optax has no such schedule; its `sgdr_schedule` takes a list of cycles.

    Args:
        init_value: shape `[]`, the value at the start of every cycle.
        first_cycle_steps: shape `[]`, > 0, the paper's T_0. A traced value <= 0 gives `init_value`.
        cycle_multiplier: shape `[]`, >= 1, the paper's T_mult: how much longer a cycle is than the one before.
            A traced value below 1 counts as 1.
        end_value: shape `[]`, what the value falls to at the end of a cycle.

    Returns:
        A function from a step count of any shape to values of that shape. Where cycles are no whole numbers of
        steps, the restart is at the nearest step.

    Raises:
        ValueError: `first_cycle_steps` is known and not positive, or `cycle_multiplier` known and below 1.

    Source: Loshchilov and Hutter, SGDR, https://arxiv.org/abs/1608.03983.

    Example:
        >>> import jax
        >>> import jaxtune as jt
        >>> @jax.jit
        ... def at(step, steps, multiplier):
        ...     return jt.schedules.cosine_restarts_schedule(1.0, steps, multiplier)(step)
        >>> [round(float(at(step, 10, 2)), 3) for step in (0, 5, 10, 20, 30, 50)]
        [1.0, 0.5, 1.0, 0.5, 1.0, 0.5]
    """
    check_positive("cosine_restarts_schedule", "first_cycle_steps", first_cycle_steps)
    check("cosine_restarts_schedule", cycle_multiplier, "cycle_multiplier >= 1", lambda number: number >= 1)

    @relaxed()
    def schedule(count: Count) -> jax.Array:
        unit = jnp.where(first_cycle_steps > 0, first_cycle_steps, 1)
        growth = jnp.maximum(cycle_multiplier, 1.0) - 1
        # Half a step of margin: the float32 logarithm of a cycle's exact end may lie on either side of it.
        cycle = jnp.floor(_num_cycles((count + 0.5) / unit, growth))
        start = unit * _length(cycle, growth)
        left = cosine(position(count - start, unit * (1 + growth) ** cycle))
        value = (init_value - end_value) * left + end_value
        return jnp.where(first_cycle_steps > 0, value, init_value)

    return schedule


def _length(cycles: jax.Array, growth: jax.Array) -> jax.Array:
    """Sum of (1 + growth) ** i over i < cycles: the length of so many cycles, in units of the first."""
    safe = jnp.where(growth == 0, 1.0, growth)
    return jnp.where(growth == 0, cycles, jnp.expm1(cycles * jnp.log1p(safe)) / safe)


def _num_cycles(length: jax.Array, growth: jax.Array) -> jax.Array:
    """The inverse of `_length`."""
    safe = jnp.where(growth == 0, 1.0, growth)
    return jnp.where(growth == 0, length, jnp.log1p(length * safe) / jnp.log1p(safe))
