"""Whole numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.interface.habits import hinted
from jaxtune.spaces.domains.domain import Domain
from jaxtune.spaces.domains.numeric import (
    MAX_CELLS,
    as_float,
    bounds,
    cell,
    check_flags,
    even,
    member,
    number,
    set_fields,
)
from jaxtune.spaces.values import INT32


@hinted
@dataclass(frozen=True, repr=False)
class Integer(Domain):
    """Whole numbers from low to high, both included, each with a cell of [0, 1] of its own.

    Linear cells are equally wide; with `log=True` the value v has the cell from log(v - step / 2) to
    log(v + step / 2).
    The inverse `decode(encode(v)) == v` is exact for up to 2**22 linear values and 2**18 logarithmic ones;
    beyond, float32 may name a neighbour.

    Args:
        low: smallest value, at least 1 with `log=True`.
        high: largest value, above `low`; lowered to the last value that steps from `low` reach.
        log: whether values are spread evenly in their logarithm.
        step: distance between values, at least 1; with `log=True` below `2 * low`.
        static: True makes one program per value, as shapes need; False traces the value as an int32; None
            lets jaxtune find out.

    Raises:
        TypeError: if a bound is not a number, `log` not a bool or `static` neither a bool nor None.
        ValueError: if a bound is not a whole number of 32 bits, `low >= high`, `low < 1` with `log=True`, the
            step is no whole number above 0 or too large, or there are more than 2**24 values.

    Example:
        >>> import jaxtune as jt
        >>> jt.Integer(1, 4).decode([0.0, 0.3, 1.0]).tolist()
        [1, 2, 4]
        >>> jt.Integer(1, 1000, log=True).decode(0.5).item()
        22
        >>> jt.Integer(8, 64, step=8).decode([0.0, 0.3, 1.0]).tolist()
        [8, 24, 64]
    """

    low: int
    high: int
    log: bool = field(default=False, kw_only=True)
    step: int = field(default=1, kw_only=True)
    static: bool | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        low, high = bounds(self)
        check_flags(self)
        given = f"got low={self.low}, high={self.high}"
        if not (low.is_integer() and high.is_integer()):
            raise ValueError(f"Integer needs whole numbers as bounds, {given}.")
        if not low < high:
            raise ValueError(f"Integer needs low < high, {given}.")
        if self.log and low < 1:
            raise ValueError(f"Integer with log=True needs 1 <= low < high, {given}.")
        if low < INT32.min or high > INT32.max:
            raise ValueError(f"Integer needs bounds that fit 32 bits, {given}.")
        low, high, step = int(low), int(high), number("Integer", "step", self.step)
        if not (step.is_integer() and 1 <= step <= high - low):
            raise ValueError(f"Integer needs a whole step from 1 to high - low = {high - low}, got step={self.step}.")
        if self.log and step >= 2 * low:
            raise ValueError(f"Integer with log=True needs step < 2 * low, got low={low}, step={self.step}.")
        if (high - low) // step + 1 > MAX_CELLS:
            raise ValueError(
                f"Integer holds at most 2**24 values, because float32 can't tell more apart, {given}: "
                "use Uniform or LogUniform and round the value in your own code."
            )
        set_fields(self, low=low, high=high - (high - low) % int(step), step=int(step))

    @property
    def num_options(self) -> int:
        """Number of values."""
        return (self.high - self.low) // self.step + 1

    def decode(self, unit: jax.Array) -> jax.Array:
        """Maps [0, 1] to int32 values, any shape."""
        return self.low + self.step * self.decode_index(unit)

    def decode_index(self, unit: jax.Array) -> jax.Array:
        """Maps [0, 1] to the int32 number of steps from `low`, any shape."""
        if not self.log:
            return super().decode_index(unit)
        # expm1, not exp: the distance from low keeps its precision even where low itself is large.
        return cell(self._log_begin / self.step * jnp.expm1(as_float(unit) * self._log_ratio), self.num_options)

    def encode(self, value: Any) -> float:
        """Maps a whole number to the middle of its cell; with `log=True` to where its logarithm lies."""
        given = member(self, value)
        if not given.is_integer():
            raise ValueError(f"{self} holds whole numbers, got {value}.")
        if (given - self.low) % self.step:
            raise ValueError(f"{self} holds {self.low}, {self.low + self.step} and so on, got {value}.")
        return float(self._encode_all(given))

    def to_python(self, value: Any) -> int:
        """Returns an int."""
        return int(value)

    def option(self, index: int) -> int:
        """Returns `low + step * index`."""
        return self.low + self.step * int(index)

    def grid_units(self, levels: int | None) -> np.ndarray:
        """All values, or `levels` distinct ones, even on the domain's scale, both bounds included."""
        if not self.log:
            return super().grid_units(levels)
        size = self.grid_size(levels)
        steps = self.low / self.step * np.expm1(even(size) * (math.log(self.high) - math.log(self.low)))
        # Small values of a log domain lie closer than 1 step apart: each takes the next free one.
        steps = np.maximum(steps, np.arange(size)) if size > 1 else steps
        index = np.clip(np.floor(steps + 0.5), 0, self.num_options - 1)
        return self._encode_all(self.low + self.step * index).astype(np.float32)

    def _encode_all(self, values: Any) -> Any:
        if not self.log:
            return ((values - self.low) / self.step + 0.5) / self.num_options
        return (np.log(values) - math.log(self._log_begin)) / self._log_ratio

    @property
    def _log_begin(self) -> float:
        return self.low - self.step / 2

    @property
    def _log_ratio(self) -> float:
        return math.log(self.high + self.step / 2) - math.log(self._log_begin)
