"""Domains: the values a hyperparameter may take, and their map to and from [0, 1].

A hyperparameter is *traced* (a number that one compiled program takes as an argument) or *static* (a value
that changes the program: a shape, an activation function, an optimizer); a static one travels as the int32
index of its option. `unit` is a float array in [0, 1]; `decode` works elementwise on any shape.
"""

from __future__ import annotations

import abc
import math
import numbers
import operator
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.options import FLOAT32_MAX, INT32, as_options, did_you_mean, fits_array, is_number, plain, typed

_FLOAT32_TINY = float(np.finfo(np.float32).tiny)
_MAX_INTEGERS = 2**24  # a float32 unit names no more cells than this


class Domain(abc.ABC):
    """The values one hyperparameter may take, and their map to and from [0, 1].

    Domains are frozen dataclasses, equal and hashable by value, so a space can be a static argument of
    `jax.jit`.

    Example:
        >>> from jaxtune.domains import Choice, Domain, Uniform
        >>> isinstance(Uniform(0.0, 1.0), Domain), isinstance(Choice((1, 2)), Domain)
        (True, True)
    """

    @property
    def log(self) -> bool:
        """Whether the domain is even on a logarithmic scale; plots take their axis from it."""
        return False

    @property
    def static(self) -> bool | None:
        """True: an option index, one program per value; False: a traced value; None: not yet decided."""
        return False

    @property
    def traceable(self) -> bool:
        """Whether the values are numbers that fit an array, hence whether `static=False` is possible."""
        return True

    @property
    def num_options(self) -> int | None:
        """Number of values, None for a continuous domain."""
        return None

    @abc.abstractmethod
    def decode(self, unit: jax.Array) -> jax.Array:
        """Maps points of [0, 1], any shape, to values of the same shape; traceable, strongly typed."""

    @abc.abstractmethod
    def encode(self, value: Any) -> float:
        """Maps one Python value to [0, 1], for integers and choices to the centre of its cell.

        Raises:
            ValueError: if the value lies outside the domain.
            TypeError: if the value is not a number where one is needed.
        """

    @abc.abstractmethod
    def to_python(self, value: Any) -> Any:
        """Turns one decoded value into the plain Python value that tables show and `encode` accepts."""

    def decode_index(self, unit: jax.Array) -> jax.Array:
        """Maps points of [0, 1], any shape, to int32 option indices; only domains with `num_options`."""
        raise TypeError(f"{self} is continuous: it has no option indices.")

    def option(self, index: int) -> Any:
        """Returns the Python value of an option index; only domains with `num_options`."""
        raise TypeError(f"{self} is continuous: it has no option indices.")

    @abc.abstractmethod
    def grid_size(self, levels: int | None) -> int:
        """Number of grid points when `levels` (at least 1; None: all values) are asked for."""

    @abc.abstractmethod
    def grid_units(self, levels: int | None) -> np.ndarray:
        """The grid points in [0, 1], increasing, float32 `[grid_size(levels)]`."""


class _Continuous(Domain):
    """What `Uniform` and `LogUniform` share: numbers between two bounds."""

    low: float
    high: float

    def to_python(self, value: Any) -> float:
        """Returns the shortest decimal that reads back as the same number, so 0.1 and not 0.10000000149."""
        return min(max(float(str(np.asarray(value)[()])), self.low), self.high)

    def grid_size(self, levels: int | None) -> int:
        """Number of grid points, which is `levels`."""
        if levels is None:
            raise ValueError(f"{self} is continuous: a grid needs a number of levels for it.")
        return levels

    def grid_units(self, levels: int | None) -> np.ndarray:
        """Points even on the domain's scale, both bounds included; the middle for one level."""
        return _even(self.grid_size(levels)).astype(np.float32)


@dataclass(frozen=True)
class Uniform(_Continuous):
    """Numbers spread evenly over [low, high], both bounds included.

    Always traced. Values are floats of JAX's default precision; a bound that float32 can't hold exactly is
    rounded to the nearest one that it can.

    Args:
        low: smallest value, finite.
        high: largest value, finite, above `low`.

    Raises:
        TypeError: if a bound is not a number.
        ValueError: if a bound is not finite in float32, or `low >= high`.

    Example:
        >>> from jaxtune.domains import Uniform
        >>> domain = Uniform(0.0, 0.5)
        >>> domain.decode(0.5).item(), domain.encode(0.125)
        (0.25, 0.25)
    """

    low: float
    high: float

    def __post_init__(self):
        low, high = _bounds(self)
        if not low < high:
            raise ValueError(f"Uniform needs low < high, got low={self.low}, high={self.high}.")
        _set(self, low=low, high=high)

    def decode(self, unit: jax.Array) -> jax.Array:
        """Maps [0, 1] to [low, high], any shape."""
        unit = _as_float(unit)
        # The minimum changes no value; it keeps compilers from fusing product and sum into one differently
        # rounded operation, so that a trial has the same hyperparameters in every program that decodes it.
        width = self.high - self.low
        return _between(self, unit, self.low + jnp.minimum(unit * width, width))

    def encode(self, value: Any) -> float:
        """Maps a number of the domain to [0, 1]."""
        return (_member(self, value) - self.low) / (self.high - self.low)


@dataclass(frozen=True)
class LogUniform(_Continuous):
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
        >>> from jaxtune.domains import LogUniform
        >>> domain = LogUniform(1e-4, 1.0)
        >>> round(domain.decode(0.5).item(), 6), round(domain.encode(0.1), 6)
        (0.01, 0.75)
    """

    low: float
    high: float

    def __post_init__(self):
        low, high = _bounds(self)
        if not 0 < low < high:
            raise ValueError(f"LogUniform needs 0 < low < high, got low={self.low}, high={self.high}.")
        if low < _FLOAT32_TINY:
            raise ValueError(
                f"LogUniform needs low >= {_FLOAT32_TINY:.3g}, the least normal float32, got low={self.low}."
            )
        _set(self, low=low, high=high)

    @property
    def log(self) -> bool:
        """True."""
        return True

    def decode(self, unit: jax.Array) -> jax.Array:
        """Maps [0, 1] to [low, high], any shape."""
        unit = _as_float(unit)
        # From the geometric middle: the exponent, and with it the rounding error of exp, is half as large.
        middle = math.sqrt(self.low) * math.sqrt(self.high)
        return _between(self, unit, middle * jnp.exp((unit - 0.5) * self._log_ratio))

    def encode(self, value: Any) -> float:
        """Maps a number of the domain to [0, 1]."""
        value = _member(self, value)
        return (math.log(value) - math.log(self.low)) / self._log_ratio

    @property
    def _log_ratio(self) -> float:
        return math.log(self.high) - math.log(self.low)


@dataclass(frozen=True)
class Integer(Domain):
    """Whole numbers from low to high, both included, each with a cell of [0, 1] of its own.

    Linear cells are equally wide; with `log=True` the value v has the cell from log(v - 1/2) to log(v + 1/2).
    The inverse `decode(encode(v)) == v` is exact for up to 2**22 linear values and 2**18 logarithmic ones;
    beyond, float32 may name a neighbour.

    Args:
        low: smallest value, at least 1 with `log=True`.
        high: largest value, above `low`.
        log: whether values are spread evenly in their logarithm.
        static: True makes one program per value, as shapes need; False traces the value as an int32; None
            lets jaxtune find out.

    Raises:
        TypeError: if a bound is not a number, `log` not a bool or `static` neither a bool nor None.
        ValueError: if a bound is not a whole number of 32 bits, `low >= high`, `low < 1` with `log=True`, or
            there are more than 2**24 values.

    Example:
        >>> from jaxtune.domains import Integer
        >>> Integer(1, 4).decode([0.0, 0.3, 1.0]).tolist()
        [1, 2, 4]
        >>> Integer(1, 1000, log=True).decode(0.5).item()
        22
    """

    low: int
    high: int
    log: bool = field(default=False, kw_only=True)
    static: bool | None = field(default=None, kw_only=True)

    def __post_init__(self):
        low, high = _bounds(self)
        _check_flags(self)
        given = f"got low={self.low}, high={self.high}"
        if not (low.is_integer() and high.is_integer()):
            raise ValueError(f"Integer needs whole numbers as bounds, {given}.")
        if not low < high:
            raise ValueError(f"Integer needs low < high, {given}.")
        if self.log and low < 1:
            raise ValueError(f"Integer with log=True needs 1 <= low < high, {given}.")
        if low < INT32.min or high > INT32.max:
            raise ValueError(f"Integer needs bounds that fit 32 bits, {given}.")
        if high - low + 1 > _MAX_INTEGERS:
            raise ValueError(
                f"Integer holds at most 2**24 values, because float32 can't tell more apart, {given}: "
                "use Uniform or LogUniform and round the value in your own code."
            )
        _set(self, low=int(low), high=int(high))

    @property
    def num_options(self) -> int:
        """Number of values, `high - low + 1`."""
        return self.high - self.low + 1

    def decode(self, unit: jax.Array) -> jax.Array:
        """Maps [0, 1] to int32 values, any shape."""
        return self.low + self.decode_index(unit)

    def decode_index(self, unit: jax.Array) -> jax.Array:
        """Maps [0, 1] to the int32 distance from `low`, any shape."""
        unit = _as_float(unit)
        if not self.log:
            return _cell(unit * self.num_options, self.num_options)
        # expm1, not exp: the distance from low keeps its precision even where low itself is large.
        return _cell((self.low - 0.5) * jnp.expm1(unit * self._log_ratio), self.num_options)

    def encode(self, value: Any) -> float:
        """Maps a whole number to the middle of its cell; with `log=True` to where its logarithm lies."""
        number = _member(self, value)
        if not number.is_integer():
            raise ValueError(f"{self} holds whole numbers, got {value}.")
        return float(self._encode_all(number))

    def to_python(self, value: Any) -> int:
        """Returns an int."""
        return int(value)

    def option(self, index: int) -> int:
        """Returns `low + index`."""
        return self.low + int(index)

    def grid_size(self, levels: int | None) -> int:
        """Number of grid points: all values, or `levels` if there are more values than that."""
        return self.num_options if levels is None else min(levels, self.num_options)

    def grid_units(self, levels: int | None) -> np.ndarray:
        """All values, or `levels` distinct ones, even on the domain's scale, both bounds included."""
        size = self.grid_size(levels)
        fractions = _even(size)
        if not self.log:
            values = self.low + fractions * (self.high - self.low)
        else:
            values = self.low * np.exp(fractions * (math.log(self.high) - math.log(self.low)))
            # Small values of a log domain lie closer than 1 apart: each takes the next free number.
            values = np.maximum(values, self.low + np.arange(size)) if size > 1 else values
        # Half goes up, not to even: numbers exactly 1 apart must stay distinct.
        return self._encode_all(np.clip(np.floor(values + 0.5), self.low, self.high)).astype(np.float32)

    def _encode_all(self, values: Any) -> Any:
        if not self.log:
            return (values - self.low + 0.5) / self.num_options
        return (np.log(values) - math.log(self.low - 0.5)) / self._log_ratio

    @property
    def _log_ratio(self) -> float:
        return math.log(self.high + 0.5) - math.log(self.low - 0.5)


@dataclass(frozen=True)
class Choice(Domain):
    """One of several values, each with an equally wide cell of [0, 1].

    Numbers may be traced or static; anything else (strings, functions, tuples, bools) is static. Traced
    options become int32 if all are ints, floats otherwise.

    Args:
        options: the values, hashable and different from one another; kept as a tuple.
        static: True makes one program per value; False traces the value, which needs numbers; None lets
            jaxtune find out.

    Raises:
        TypeError: if the options are not a sequence or not hashable, or `static` is neither a bool nor None.
        ValueError: if there is no option, one occurs twice or is NaN, or `static=False` with options other
            than numbers.

    Example:
        >>> from jaxtune.domains import Choice
        >>> Choice((32, 64, 128)).decode([0.0, 0.5, 1.0]).tolist()
        [32, 64, 128]
        >>> Choice(("relu", "tanh")).static, Choice(("relu", "tanh")).encode("tanh")
        (True, 0.75)
    """

    options: tuple = field(compare=False)
    static: bool | None = field(default=None, kw_only=True)
    _typed_options: tuple = field(init=False, repr=False)  # 1, 1.0 and True are different options

    def __post_init__(self):
        options = as_options(self.options)
        _check_flags(self)
        _set(self, options=options, _typed_options=tuple(map(typed, options)))
        if not self.traceable and self.static is None:
            _set(self, static=True)
        if not self.traceable and self.static is False:
            raise ValueError(
                f"Choice with static=False needs numbers that fit 32 bits (bools don't count), "
                f"got options {self.options}: leave static out."
            )

    @property
    def traceable(self) -> bool:
        """Whether all options are ints or floats that fit 32 bits."""
        return all(map(fits_array, self.options))

    @property
    def num_options(self) -> int:
        """Number of options."""
        return len(self.options)

    def decode(self, unit: jax.Array) -> jax.Array:
        """Maps [0, 1] to the options' numbers, any shape; `decode_index` is for options of other kinds."""
        whole = all(isinstance(option, int) for option in self.options)
        table = jnp.asarray(self.options, jnp.int32 if whole else jnp.result_type(float))
        return table[self.decode_index(unit)]

    def decode_index(self, unit: jax.Array) -> jax.Array:
        """Maps [0, 1] to int32 option indices, any shape."""
        return _cell(_as_float(unit) * self.num_options, self.num_options)

    def encode(self, value: Any) -> float:
        """Maps an option to the middle of its cell."""
        return (self._index(value) + 0.5) / self.num_options

    def to_python(self, value: Any) -> Any:
        """Returns the option that a decoded number stands for, as it was written."""
        return self.options[self._index(value)]

    def option(self, index: int) -> Any:
        """Returns an option as it was written."""
        return self.options[index]

    def grid_size(self, levels: int | None) -> int:
        """Number of options, whatever `levels`."""
        return self.num_options

    def grid_units(self, levels: int | None) -> np.ndarray:
        """The middles of all cells, whatever `levels`."""
        return ((np.arange(self.num_options) + 0.5) / self.num_options).astype(np.float32)

    def _index(self, value: Any) -> int:
        value = plain(value)
        if typed(value) in self._typed_options:
            return self._typed_options.index(typed(value))
        if is_number(value):
            # 64.0 for 64, or a float32 that has been through an array for the Python float it came from.
            for same in (operator.eq, _same_float32):
                for index, option in enumerate(self.options):
                    if is_number(option) and same(option, value):
                        return index
        raise ValueError(f"Choice has no option {value!r}{did_you_mean(value, self.options)}, got {self}.")


# Numbers: validation, rounding, cells.


def _set(domain: Any, **values: Any) -> None:
    for name, value in values.items():
        object.__setattr__(domain, name, value)  # the way a frozen dataclass normalises its own fields


def _number(owner: str, name: str, value: Any) -> float:
    if isinstance(value, str):
        hint = " (YAML reads 1e-3 as text, write 1.0e-3)" if _reads_as_number(value) else ""
        raise TypeError(f"{owner} needs a number for {name}, got the string {value!r}{hint}.")
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
        raise TypeError(f"{owner} needs a number for {name}, got {value!r} of type {type(value).__name__}.")
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _reads_as_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _bounds(domain: Any) -> tuple[float, float]:
    owner = type(domain).__name__
    low, high = _number(owner, "low", domain.low), _number(owner, "high", domain.high)
    given = f"got low={domain.low}, high={domain.high}"
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"{owner} needs finite bounds, {given}.")
    if max(abs(low), abs(high), high - low) > FLOAT32_MAX:
        raise ValueError(f"{owner} needs a range that fits float32 (up to {FLOAT32_MAX:.3g}), {given}.")
    return low, high


def _check_flags(domain: Any) -> None:
    owner = type(domain).__name__
    if not (domain.static is None or isinstance(domain.static, bool)):
        raise TypeError(f"{owner} needs static=True, False or None, got static={domain.static!r}.")
    if not isinstance(domain.log, bool):
        raise TypeError(f"{owner} needs log=True or False, got log={domain.log!r}.")


def _member(domain: Any, value: Any) -> float:
    """Checks that a value lies in a domain of numbers, and returns it as a float between the bounds."""
    number = _number(str(domain), "the value", value)
    inside = domain.low <= number <= domain.high
    # A float32 that decoded from a bound may lie outside it by its rounding.
    if not inside and not any(_same_float32(number, bound) for bound in (domain.low, domain.high)):
        raise ValueError(f"{domain} does not contain {value}.")
    return min(max(number, domain.low), domain.high)


def _same_float32(a: float, b: float) -> bool:
    with np.errstate(over="ignore"):
        return bool(np.float32(a) == np.float32(b))


def _as_float(unit: Any) -> jax.Array:
    return jnp.asarray(unit, jnp.result_type(float))


def _between(domain: Any, unit: jax.Array, value: jax.Array) -> jax.Array:
    """Keeps rounded values inside the bounds, and makes the ends of the unit interval hit them exactly."""
    value = jnp.clip(value, domain.low, domain.high)
    return jnp.where(unit <= 0, domain.low, jnp.where(unit >= 1, domain.high, value))


def _cell(position: jax.Array, num_cells: int) -> jax.Array:
    """Index of the cell a position in [0, num_cells] lies in; the upper end belongs to the last cell."""
    return jnp.clip(jnp.floor(position).astype(jnp.int32), 0, num_cells - 1)


def _even(levels: int) -> np.ndarray:
    """Evenly spaced numbers from 0 to 1, or the middle if there is room for one only."""
    return np.linspace(0.0, 1.0, levels) if levels > 1 else np.array([0.5])
