"""Numbers spread evenly between two bounds, on a linear or a logarithmic scale."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.interface.habits import hinted
from jaxtune.spaces.domains.domain import Continuous
from jaxtune.spaces.domains.numeric import (
    MAX_CELLS,
    as_float,
    between,
    bounds,
    member,
    number,
    same_float32,
    set_fields,
)
from jaxtune.spaces.values import FLOAT32_TINY


@hinted
@dataclass(frozen=True, repr=False)
class Uniform(Continuous):
    """Numbers spread evenly over [low, high], both bounds included; with a step only some of them.

    Always traced. Values are floats of JAX's default precision; a bound that float32 can't hold exactly is
    rounded to the nearest one that it can.

    Args:
        low: smallest value, finite.
        high: largest value, finite, above `low`; with a step lowered to the last value that steps reach.
        step: distance between values, which are `low`, `low + step`, ... with equally wide cells of [0, 1] each;
            None for all numbers.

    Raises:
        TypeError: if an argument is not a number.
        ValueError: if a bound is not finite in float32, `low >= high`, or the step is not above 0, larger than
            `high - low`, or too small for float32.

    Example:
        >>> import jaxtune as jt
        >>> domain = jt.Uniform(0.0, 0.5)
        >>> domain.decode(0.5).item(), domain.encode(0.125)
        (0.25, 0.25)
        >>> domain = jt.Uniform(0.0, 0.5, step=0.25)
        >>> domain.decode([0.1, 0.5, 0.9]).tolist(), domain.encode(0.25)
        ([0.0, 0.25, 0.5], 0.5)
    """

    low: float
    high: float
    step: float | None = None

    def __post_init__(self) -> None:
        low, high = bounds(self)
        if not low < high:
            raise ValueError(f"Uniform needs low < high, got low={self.low}, high={self.high}.")
        set_fields(self, low=low, high=high)
        if self.step is not None:
            step, given = number("Uniform", "step", self.step), f"got low={low}, high={high}, step={self.step}"
            if not 0 < step <= high - low:
                raise ValueError(f"Uniform needs 0 < step <= high - low, {given}.")
            # Values have to stay apart, and so have the cells of [0, 1], when they are rounded.
            coarsest = float(np.spacing(np.float32(max(abs(low), abs(high)))))
            if step < 4 * coarsest or (high - low) / step >= MAX_CELLS / 4:
                raise ValueError(f"Uniform needs a larger step, because float32 can't tell the values apart, {given}.")
            set_fields(self, step=step)
            set_fields(self, high=self.option((self.num_options or 1) - 1))

    @property
    def num_options(self) -> int | None:
        """Number of values, None without a step."""
        if self.step is None:
            return None
        # As decimals: 0.3 / 0.1 is 3 to people, though not to floats.
        return int((_decimal(self.high) - _decimal(self.low)) / _decimal(self.step)) + 1

    def decode(self, unit: jax.Array) -> jax.Array:
        """Maps [0, 1] to [low, high], any shape."""
        unit, width = as_float(unit), self.high - self.low
        # The minimum changes no value; it keeps compilers from fusing product and sum into one differently
        # rounded operation, so that a trial has the same hyperparameters in every program that decodes it.
        if self.step is None or self.num_options is None:
            return between(self, unit, self.low + jnp.minimum(unit * width, width))
        index = self.decode_index(unit)
        value = self.low + jnp.minimum(as_float(index) * self.step, width)
        return jnp.where(index == self.num_options - 1, self.high, jnp.clip(value, self.low, self.high))

    def encode(self, value: Any) -> float:
        """Maps a number of the domain to [0, 1], with a step to the middle of its cell."""
        given = member(self, value)
        if self.num_options is None:
            return (given - self.low) / (self.high - self.low)
        index = self._nearest(given)
        if not same_float32(self.option(index), given):
            raise ValueError(f"{self} holds {self.low}, {self.option(1)} and so on, got {value}.")
        return (index + 0.5) / self.num_options

    def option(self, index: int) -> float:
        """Returns `low + step * index`, to the last decimal; only with a step."""
        if self.step is None:
            return super().option(index)
        return float(_decimal(self.low) + int(index) * _decimal(self.step))

    def to_python(self, value: Any) -> float:
        """Returns the shortest decimal that reads back as the same number, with a step the nearest value."""
        return super().to_python(value) if self.step is None else self.option(self._nearest(float(value)))

    def _nearest(self, value: float) -> int:
        return round((value - self.low) / (self.high - self.low) * ((self.num_options or 1) - 1))


@hinted
@dataclass(frozen=True, repr=False)
class LogUniform(Continuous):
    """Positive numbers spread evenly in their logarithm over [low, high], both bounds included.

    The natural domain of learning rates and weight decays. Always traced. Decoded in float32 to a relative
    error of about 1e-6.

    Args:
        low: smallest value, above 0.
        high: largest value, finite, above `low`.

    Raises:
        TypeError: if a bound is not a number.
        ValueError: if a bound is not finite in float32, or not `0 < low < high`.

    Example:
        >>> import jaxtune as jt
        >>> domain = jt.LogUniform(1e-4, 1.0)
        >>> round(domain.decode(0.5).item(), 6), round(domain.encode(0.1), 6)
        (0.01, 0.75)
    """

    low: float
    high: float
    log = True

    def __post_init__(self) -> None:
        low, high = bounds(self)
        if not 0 < low < high:
            raise ValueError(f"LogUniform needs 0 < low < high, got low={self.low}, high={self.high}.")
        if low < FLOAT32_TINY:
            raise ValueError(
                f"LogUniform needs low >= {FLOAT32_TINY:.3g}, the least normal float32, got low={self.low}."
            )
        set_fields(self, low=low, high=high)

    def decode(self, unit: jax.Array) -> jax.Array:
        """Maps [0, 1] to [low, high], any shape."""
        unit = as_float(unit)
        # From the geometric middle: the exponent, and with it the rounding error of exp, is half as large.
        middle = math.sqrt(self.low) * math.sqrt(self.high)
        return between(self, unit, middle * jnp.exp((unit - 0.5) * self._log_ratio))

    def encode(self, value: Any) -> float:
        """Maps a number of the domain to [0, 1]."""
        return (math.log(member(self, value)) - math.log(self.low)) / self._log_ratio

    @property
    def _log_ratio(self) -> float:
        return math.log(self.high) - math.log(self.low)


def _decimal(value: float) -> Decimal:
    return Decimal(repr(value))
