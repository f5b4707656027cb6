"""Optax's learning-rate schedules with every argument traceable: Optax's names, order, defaults and values.

Optax branches in Python on its arguments (`if decay_steps <= 0`), which fails where they are hyperparameters of a
compiled search. Here `jt.schedules.` in place of `optax.` is all that changes: peaks, step counts and boundaries
may be traced, differ between trials, and be fractions, so `hp["warmup"] * total_steps` needs no rounding. Known bad
values raise; traced ones can't, and what they give is said at each argument. Beyond Optax there are
`cyclic_schedule` and `cosine_restarts_schedule`; what follows the validation score is `jt.reduce_on_plateau`.
"""

from jaxtune.training.schedules.cycles import cosine_restarts_schedule, cyclic_schedule, sgdr_schedule
from jaxtune.training.schedules.joined import (
    join_schedules,
    warmup_constant_schedule,
    warmup_cosine_decay_schedule,
    warmup_exponential_decay_schedule,
)
from jaxtune.training.schedules.piecewise import (
    cosine_onecycle_schedule,
    linear_onecycle_schedule,
    piecewise_constant_schedule,
    piecewise_interpolate_schedule,
)
from jaxtune.training.schedules.simple import (
    constant_schedule,
    cosine_decay_schedule,
    exponential_decay,
    linear_schedule,
    polynomial_schedule,
)

__all__ = [
    "constant_schedule",
    "cosine_decay_schedule",
    "cosine_onecycle_schedule",
    "cosine_restarts_schedule",
    "cyclic_schedule",
    "exponential_decay",
    "join_schedules",
    "linear_onecycle_schedule",
    "linear_schedule",
    "piecewise_constant_schedule",
    "piecewise_interpolate_schedule",
    "polynomial_schedule",
    "sgdr_schedule",
    "warmup_constant_schedule",
    "warmup_cosine_decay_schedule",
    "warmup_exponential_decay_schedule",
]
