"""Search spaces: domains of hyperparameters and their map to and from the unit cube.

Samplers and PBT work in the unit cube, networks work with hyperparameters; this file converts between the
two and knows which hyperparameters are *traced* (numbers that one compiled program takes as arguments) and
which are *static* (values that change the program: shapes, activation functions, optimizers). A static
hyperparameter travels as the int32 index of its option.

Shapes: T trials, D domains of a space. `unit` is a float32 array in [0, 1]; `decode` works elementwise on
any shape.
"""

from __future__ import annotations

import abc
import dataclasses
import difflib
import math
import numbers
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_FLOAT32_MAX = float(np.finfo(np.float32).max)
_FLOAT32_TINY = float(np.finfo(np.float32).tiny)
_INT32 = np.iinfo(np.int32)
_MAX_INTEGERS = 2**24  # a float32 unit names no more cells than this


class Domain(abc.ABC):
    """The values one hyperparameter may take, and their map to and from [0, 1].

    Domains are frozen dataclasses, equal and hashable by value, so a space can be a static argument of
    `jax.jit`.

    Example:
        >>> from jaxtune.space import Choice, Domain, Uniform
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
        >>> from jaxtune.space import Uniform
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
        >>> from jaxtune.space import LogUniform
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
        >>> from jaxtune.space import Integer
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
        if low < _INT32.min or high > _INT32.max:
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
        return self.low + _option_index(self, index)

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
        >>> from jaxtune.space import Choice
        >>> Choice((32, 64, 128)).decode([0.0, 0.5, 1.0]).tolist()
        [32, 64, 128]
        >>> Choice(("relu", "tanh")).static, Choice(("relu", "tanh")).encode("tanh")
        (True, 0.75)
    """

    options: tuple = field(compare=False)
    static: bool | None = field(default=None, kw_only=True)
    # Python holds 1 == 1.0 == True, for a program they are three different things: compared with their types.
    _typed_options: tuple = field(init=False, repr=False)

    def __post_init__(self):
        options = _options(self.options)
        _check_flags(self)
        _set(self, options=options, _typed_options=tuple(map(_typed, options)))
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
        return all(map(_fits_array, self.options))

    @property
    def num_options(self) -> int:
        """Number of options."""
        return len(self.options)

    def decode(self, unit: jax.Array) -> jax.Array:
        """Maps [0, 1] to the options' numbers, any shape.

        Raises:
            TypeError: if the options are not numbers; `decode_index` works for all.
        """
        if not self.traceable:
            raise TypeError(f"{self} has options that are not numbers: only decode_index can map them.")
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
        return self.options[_option_index(self, index)]

    def grid_size(self, levels: int | None) -> int:
        """Number of options, whatever `levels`."""
        return self.num_options

    def grid_units(self, levels: int | None) -> np.ndarray:
        """The middles of all cells, whatever `levels`."""
        return ((np.arange(self.num_options) + 0.5) / self.num_options).astype(np.float32)

    def _index(self, value: Any) -> int:
        value = _plain(value)
        typed = _typed(value)
        for index, option in enumerate(self._typed_options):
            if option == typed:
                return index
        if _is_number(value):
            # 64.0 for 64, or a float32 that has been through an array for the Python float it came from.
            for same in (lambda option: option == value, lambda option: _same_float32(option, value)):
                for index, option in enumerate(self.options):
                    if _is_number(option) and same(option):
                        return index
        raise ValueError(f"Choice has no option {value!r}{_suggestion(value, self.options)}, got {self}.")


@dataclass(frozen=True)
class Space:
    """The hyperparameters of a study: names with domains, to be searched, and names with constants.

    Made by `Space.of` from the user's plain dict. Frozen and hashable, so it can be a static argument of
    `jax.jit`; the order of the dict is part of it, because dimension i of the unit cube is the i-th domain.

    Attributes:
        domains: (name, domain) pairs in the order of the dict; D of them.
        constants: (name, value) pairs in the order of the dict, values as the user wrote them.
        order: all names in the order of the dict.

    Example:
        >>> from jaxtune.space import Choice, LogUniform, Space
        >>> width = Choice((64, 128), static=True)
        >>> space = Space.of({"lr": LogUniform(1e-4, 1.0), "width": width, "layers": 2})
        >>> space.names, space.num_dims, space.static
        (('lr', 'width'), 2, ('width',))
        >>> decoded = space.decode(space.encode({"lr": 0.01, "width": 128})[None])
        >>> space.row(decoded, 0)
        {'lr': 0.01, 'width': 128, 'layers': 2}
    """

    domains: tuple[tuple[str, Domain], ...] = ()
    constants: tuple[tuple[str, Any], ...] = field(default=(), compare=False)
    order: tuple[str, ...] = ()
    _typed_constants: tuple = field(init=False, repr=False)  # 1, 1.0 and True are different constants

    def __post_init__(self):
        names = tuple(name for name, _ in self.domains + self.constants)
        if not self.order:
            _set(self, order=names)
        if sorted(self.order) != sorted(set(names)) or len(names) != len(set(names)):
            raise ValueError(
                f"Space needs each name once, in order {self.order} and among domains and constants {names}."
            )
        _set(self, _typed_constants=tuple((name, _typed(value)) for name, value in self.constants))

    @classmethod
    def of(cls, space: Space | Mapping[str, Any]) -> Space:
        """Makes a Space from a dict of names to domains or constants; a Space passes through.

        Args:
            space: the user's dict; a value that is not a domain is a constant.

        Raises:
            TypeError: if `space` is not a dict, a name not a string, or a constant an array or not hashable.

        Example:
            >>> from jaxtune.space import Space, Uniform
            >>> Space.of({"dropout": Uniform(0.0, 0.7), "depth": 3}).constants
            (('depth', 3),)
        """
        if isinstance(space, Space):
            return space
        if not isinstance(space, Mapping):
            raise TypeError(f"A space is a dict from names to domains or constants, got {space!r}.")
        for name, value in space.items():
            _check_entry(name, value)
        return cls(
            domains=tuple((name, value) for name, value in space.items() if isinstance(value, Domain)),
            constants=tuple(
                (name, _plain(value)) for name, value in space.items() if not isinstance(value, Domain)
            ),
            order=tuple(space),
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the D domains, in the order of the unit cube's dimensions."""
        return tuple(name for name, _ in self.domains)

    @property
    def num_dims(self) -> int:
        """D, the number of domains; 0 for a space of constants."""
        return len(self.domains)

    @property
    def static(self) -> tuple[str, ...]:
        """Names of the domains that decode to option indices."""
        return tuple(name for name, domain in self.domains if domain.static)

    @property
    def traced(self) -> tuple[str, ...]:
        """Names of the domains that decode to values, those not yet decided among them."""
        return tuple(name for name, domain in self.domains if not domain.static)

    @property
    def undecided(self) -> tuple[str, ...]:
        """Names of the domains whose `static` is None: to be found out and pinned."""
        return tuple(name for name, domain in self.domains if domain.static is None)

    def domain(self, name: str) -> Domain:
        """Returns the domain of a name.

        Raises:
            KeyError: if no domain has this name.
        """
        return dict(self.domains)[name]

    def pin(self, static: Mapping[str, bool]) -> Space:
        """Returns a Space in which the named domains are pinned to static (True) or traced (False).

        Args:
            static: a bool for each name to pin.

        Raises:
            ValueError: if a name has no domain, or its domain can't be what is asked.

        Example:
            >>> from jaxtune.space import Integer, Space
            >>> Space.of({"width": Integer(1, 9)}).pin({"width": True}).static
            ('width',)
        """
        _check_names(static, self.names)
        return dataclasses.replace(
            self,
            domains=tuple(
                (name, _pinned(name, domain, static[name]) if name in static else domain)
                for name, domain in self.domains
            ),
        )

    def decode(self, unit: jax.Array) -> dict[str, jax.Array]:
        """Maps points of the unit cube to hyperparameters.

        Args:
            unit: [T, D] (or any leading shape), in [0, 1].

        Returns:
            A [T] array per domain: int32 option indices of static ones, values of traced ones. No constants.
        """
        if np.shape(unit)[-1:] != (self.num_dims,):
            raise ValueError(
                f"The space has {self.num_dims} dimensions {self.names}, got the shape {np.shape(unit)}."
            )
        unit = jnp.asarray(unit)
        return {
            name: (domain.decode_index if domain.static else domain.decode)(unit[..., i])
            for i, (name, domain) in enumerate(self.domains)
        }

    def encode(self, hparams: Mapping[str, Any]) -> np.ndarray:
        """Maps one trial's hyperparameters to a point of the unit cube.

        Args:
            hparams: Python values of all domains; constants may be there with the value they have.

        Returns:
            A float32 array [D] in [0, 1].

        Raises:
            ValueError: if a name is unknown or missing, or a value outside its domain.
        """
        _check_names(hparams, self.order)
        missing = [name for name in self.names if name not in hparams]
        if missing:
            raise ValueError(f"The hyperparameters lack {', '.join(map(repr, missing))}.")
        for name, constant in self.constants:
            if name in hparams and not _equal_constants(hparams[name], constant):
                raise ValueError(
                    f"{name!r} is the constant {constant!r} in this space, got {hparams[name]!r}."
                )
        units = [_encode_named(name, domain, hparams[name]) for name, domain in self.domains]
        return np.asarray(units, np.float32)

    def static_value(self, name: str, index: int) -> Any:
        """Returns the Python value behind an option index of a static hyperparameter."""
        return self.domain(name).option(index)

    def assemble(self, traced: Mapping[str, Any], indices: Mapping[str, int]) -> dict[str, Any]:
        """Puts together the `hp` dict of user functions, in the order of the user's own dict.

        Args:
            traced: values of the traced names, as they are to be handed on.
            indices: option index of each static name, turned here into its Python value.

        Returns:
            All hyperparameters, constants included.

        Example:
            >>> from jaxtune.space import Choice, Space, Uniform
            >>> space = Space.of({"act": Choice(("relu", "tanh")), "depth": 3, "rate": Uniform(0.0, 1.0)})
            >>> space.assemble({"rate": 0.5}, {"act": 1})
            {'act': 'tanh', 'depth': 3, 'rate': 0.5}
        """
        values = dict(self.constants)
        values |= {name: traced[name] for name in self.traced}
        values |= {name: self.static_value(name, int(indices[name])) for name in self.static}
        return {name: values[name] for name in self.order}

    def row(self, decoded: Mapping[str, Any], index: int) -> dict[str, Any]:
        """Returns one trial's hyperparameters as plain Python values, constants included.

        Args:
            decoded: what `decode` returned, best as numpy arrays: [T] per domain.
            index: which of the T trials.

        Returns:
            Floats as float (the shortest decimal of the float32), ints as int, options as they were written;
            in the order of the user's own dict. `encode` accepts it.
        """
        entries = {name: np.asarray(decoded[name])[index] for name in self.names}
        traced = {name: self.domain(name).to_python(entries[name]) for name in self.traced}
        return self.assemble(traced, entries)


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
    if max(abs(low), abs(high), high - low) > _FLOAT32_MAX:
        raise ValueError(f"{owner} needs a range that fits float32 (up to {_FLOAT32_MAX:.3g}), {given}.")
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


def _option_index(domain: Integer | Choice, index: int) -> int:
    if not 0 <= index < domain.num_options:  # a negative index would quietly count from the end
        raise ValueError(f"{domain} has the option indices 0 to {domain.num_options - 1}, got {index}.")
    return int(index)


def _even(levels: int) -> np.ndarray:
    """Evenly spaced numbers from 0 to 1, or the middle if there is room for one only."""
    return np.linspace(0.0, 1.0, levels) if levels > 1 else np.array([0.5])


# Options and constants: plain Python values, compared together with their types.


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _typed(value: Any) -> Any:
    if isinstance(value, tuple | frozenset):
        return type(value), (tuple if isinstance(value, tuple) else frozenset)(map(_typed, value))
    return type(value), value


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)  # no bools, no enums


def _fits_array(value: Any) -> bool:
    if type(value) is int:
        return bool(_INT32.min <= value <= _INT32.max)
    return type(value) is float and (math.isinf(value) or abs(value) <= _FLOAT32_MAX)


def _is_hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _options(options: Any) -> tuple:
    """Checks the options of a Choice and returns them as a tuple of plain values."""
    if isinstance(options, Mapping):
        raise TypeError(
            f"Choice doesn't take a dict of sub-spaces yet: list the options, as in Choice({tuple(options)})."
        )
    if isinstance(options, str):
        raise TypeError(
            f"Choice needs a sequence of options, got the string {options!r}: write ({options!r},)."
        )
    if isinstance(options, set | frozenset):
        raise TypeError(f"Choice needs options in a fixed order, got the set {options!r}: write a tuple.")
    if not isinstance(options, Iterable):
        raise TypeError(f"Choice needs a sequence of options, got {options!r}: write ({options!r},).")
    options = tuple(map(_plain, options))
    if not options:
        raise ValueError("Choice needs at least one option, got none.")
    _check_options(options)
    return options


def _check_options(options: tuple) -> None:
    seen: set[Hashable] = set()
    for option in options:
        if not _is_hashable(option):
            raise TypeError(f"Choice options must be hashable: {_hashable_hint(option)}.")
        if option != option:
            raise ValueError("Choice options can't be NaN, which equals nothing, not even itself.")
        # As numbers 1 and 1.0 are the same option; True is another one.
        key = (float, option) if _is_number(option) else _typed(option)
        if key in seen:
            raise ValueError(f"Choice options must differ, got {option!r} more than once in {options}.")
        seen.add(key)


def _hashable_hint(value: Any) -> str:
    if isinstance(value, list):
        return f"write {_as_tuples(value)}, not {value}"
    if isinstance(value, set):
        return f"write frozenset({value}), not {value}"
    if isinstance(value, np.ndarray | jax.Array):
        return "write a number or a tuple, not an array"
    return f"write a tuple or a string, not {value!r}"


def _as_tuples(value: Any) -> Any:
    return tuple(map(_as_tuples, value)) if isinstance(value, list) else value


def _check_entry(name: Any, value: Any) -> None:
    if not isinstance(name, str):
        raise TypeError(f"A space needs strings as names, got {name!r}.")
    if isinstance(value, Domain):
        return
    if isinstance(value, type) and issubclass(value, Domain):
        raise TypeError(f"{name!r} is the class {value.__name__} itself: write {value.__name__}(...).")
    if isinstance(value, np.ndarray | jax.Array):
        raise TypeError(
            f"The constant {name!r} is an array of shape {value.shape}: write a number or a tuple, "
            "or keep the array in the task's data or in a closure."
        )
    if not _is_hashable(value):
        raise TypeError(
            f"The constant {name!r} must be hashable: {_hashable_hint(value)}; to search over "
            "several values write Choice((...))."
        )


def _equal_constants(a: Any, b: Any) -> bool:
    return _is_hashable(a) and bool(_plain(a) == b)


def _pinned(name: str, domain: Domain, static: bool) -> Domain:
    if domain.static is static:
        return domain
    if domain.num_options is None:
        raise ValueError(
            f"{name!r} can't be static: {domain} is continuous, one program per value has no end."
        )
    try:
        return dataclasses.replace(domain, static=static)  # type: ignore[type-var]
    except ValueError as error:
        raise ValueError(f"{name!r} can't be traced: {error}") from None


def _encode_named(name: str, domain: Domain, value: Any) -> float:
    try:
        return domain.encode(value)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name!r}: {error}") from None


def _check_names(given: Iterable[str], known: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            raise ValueError(
                f"The space has no hyperparameter {name!r}{_suggestion(name, known)}; "
                f"it has {', '.join(known)}."
            )


def _suggestion(name: Any, known: Iterable[Any]) -> str:
    close = difflib.get_close_matches(str(name), [k for k in known if isinstance(k, str)], n=1)
    return f", did you mean {close[0]!r}?" if close else ""
