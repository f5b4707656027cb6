"""Numbers that are normally distributed, themselves or in their logarithm."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.interface.habits import hinted
from jaxtune.spaces.domains.domain import Continuous
from jaxtune.spaces.domains.numeric import as_float, between, member, number, set_fields
from jaxtune.spaces.values import FLOAT32_MAX, FLOAT32_TINY

_CUT = 4.0  # standard deviations; in the tails beyond, float32 units are too coarse to tell values apart

# The quantile function as a table with straight lines between its points, which errs by less than 1e-4. Compilers round
# longer formulas, ndtri's too, differently from program to program, and a trial must have the same hyperparameters in
# every program that decodes it.
_PARTS = 1024
_DEVIATION = np.linspace(-_CUT, _CUT, _PARTS + 1).astype(np.float32)  # exact: multiples of 1 / 128
_PROBABILITY = np.asarray([0.5 * math.erfc(-z / math.sqrt(2)) for z in _DEVIATION.tolist()], np.float32)
_WIDTH = 2 * _CUT / _PARTS
_SLOPE = (_WIDTH / np.diff(_PROBABILITY.astype(np.float64))).astype(np.float32)


@dataclass(frozen=True, repr=False)
class _Bell(Continuous):
    """What is normally distributed, itself or, with `log`, in its logarithm."""

    mean: float
    std: float
    low: float = field(init=False, repr=False, compare=False)
    high: float = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Checks and sets mean and std, as floats, and where the distribution is cut."""
        owner = type(self).__name__
        mean, std = number(owner, "mean", self.mean), number(owner, "std", self.std)
        if not (math.isfinite(mean) and math.isfinite(std) and std > 0):
            raise ValueError(f"{owner} needs a finite mean and a finite std above 0, got mean={mean}, std={std}.")
        set_fields(self, mean=mean, std=std, low=mean - _CUT * std, high=mean + _CUT * std)

    def decode(self, unit: jax.Array) -> jax.Array:
        """Maps [0, 1] to quantiles, any shape."""
        unit = as_float(unit)
        # As in Uniform: the minimum changes no value; it keeps compilers from fusing the product with what follows.
        distance = jnp.minimum(self.std * _quantile(unit), 2 * _CUT * self.std)
        return between(self, unit, math.exp(self.mean) * jnp.exp(distance) if self.log else self.mean + distance)

    def encode(self, value: Any) -> float:
        """Maps a number of the domain to the probability of those below it."""
        given = member(self, value)
        deviations = ((math.log(given) if self.log else given) - self.mean) / self.std
        return float(np.interp(deviations, _DEVIATION, _PROBABILITY))

    def grid_units(self, levels: int | None) -> np.ndarray:
        """The middles of equally wide cells of [0, 1]."""
        size = self.grid_size(levels)
        return ((np.arange(size) + 0.5) / size).astype(np.float32)


def _quantile(unit: jax.Array) -> jax.Array:
    """Standard deviations from the mean, from -4 to 4."""
    unit = jnp.clip(unit, _PROBABILITY[0], _PROBABILITY[-1])
    part = jnp.searchsorted(jnp.asarray(_PROBABILITY[1:-1]), unit, side="right")
    begin, slope = jnp.asarray(_PROBABILITY)[part], jnp.asarray(_SLOPE)[part]
    return jnp.asarray(_DEVIATION)[part] + jnp.minimum((unit - begin) * slope, _WIDTH)


@hinted
@dataclass(frozen=True, repr=False)
class Normal(_Bell):
    """Normally distributed numbers, for a guess with an uncertainty.

    Always traced. Cut at 4 standard deviations, beyond which lie 6 of 100,000 draws: `low` and `high` are the
    smallest and the largest value. A grid takes the quantiles in the middles of equally likely parts.

    Args:
        mean: the most likely value.
        std: standard deviation, above 0.

    Raises:
        TypeError: if an argument is not a number.
        ValueError: if an argument is not finite, `std <= 0`, or the values don't fit float32.

    Attributes:
        low: smallest value, `mean - 4 std`.
        high: largest value, `mean + 4 std`.

    Example:
        >>> import jaxtune as jt
        >>> domain = jt.Normal(10.0, 2.0)
        >>> domain.decode(0.5).item(), round(domain.encode(12.0), 3), domain.high
        (10.0, 0.841, 18.0)
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if not max(abs(self.low), abs(self.high)) <= FLOAT32_MAX:
            raise ValueError(
                f"Normal needs values that fit float32 (up to {FLOAT32_MAX:.3g}), got mean={self.mean}, std={self.std}."
            )


@hinted
@dataclass(frozen=True, repr=False)
class LogNormal(_Bell):
    """Positive numbers whose natural logarithm is normally distributed, for a guess with an uncertain factor.

    `mean` and `std` are those *of the logarithm*: `LogNormal(math.log(0.01), math.log(3))` has the median 0.01, and
    two thirds of its draws lie within a factor of 3 of it. Always traced. Cut at 4 standard deviations, as `Normal`.

    Args:
        mean: mean of the logarithm.
        std: standard deviation of the logarithm, above 0.

    Raises:
        TypeError: if an argument is not a number.
        ValueError: if an argument is not finite, `std <= 0`, or the values don't fit float32.

    Attributes:
        low: smallest value, `exp(mean - 4 std)`.
        high: largest value, `exp(mean + 4 std)`.

    Example:
        >>> import math
        >>> import jaxtune as jt
        >>> domain = jt.LogNormal(math.log(0.01), math.log(3.0))
        >>> round(domain.decode(0.5).item(), 6), round(domain.encode(0.03), 3)
        (0.01, 0.841)
    """

    log = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not math.log(FLOAT32_TINY) <= self.low < self.high <= math.log(FLOAT32_MAX):
            raise ValueError(
                f"LogNormal needs values that fit float32 ({FLOAT32_TINY:.3g} to {FLOAT32_MAX:.3g}), got "
                f"mean={self.mean}, std={self.std}: both are of the natural logarithm, as in "
                "LogNormal(math.log(0.01), math.log(3))."
            )
        set_fields(self, low=math.exp(self.low), high=math.exp(self.high))
