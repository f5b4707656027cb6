"""What all domains have in common."""

from __future__ import annotations

import abc
import dataclasses
from typing import Any

import jax
import numpy as np

from jaxtune.spaces.domains.numeric import as_float, cell, even


class Domain(abc.ABC):
    """The values one hyperparameter may take, and their map to and from [0, 1].

    Domains are frozen dataclasses, equal and hashable by value, so a space can be a static argument of
    `jax.jit`.

    Attributes:
        log: Whether the domain is even on a logarithmic scale; plots take their axis from it.
        static: True: an option index, one program per value; False: a traced value; None: not yet decided.
        ordered: Whether neighbours in [0, 1] are alike, so that a small move is a small change.

    Example:
        >>> from jaxtune.spaces.domains import Choice, Domain, Uniform
        >>> isinstance(Uniform(0.0, 1.0), Domain), isinstance(Choice((1, 2)), Domain)
        (True, True)
    """

    log: bool = False
    static: bool | None = False
    ordered: bool = True

    def __repr__(self) -> str:
        # What differs from a default: errors show domains.
        shown = [f for f in dataclasses.fields(self) if f.repr and getattr(self, f.name) != f.default]  # type: ignore[arg-type]  # subclasses are dataclasses
        return f"{type(self).__name__}({', '.join(f'{f.name}={getattr(self, f.name)!r}' for f in shown)})"

    @property
    def traceable(self) -> bool:
        """Whether the values are numbers that fit an array, hence whether `static=False` is possible."""
        return True

    @property
    def num_options(self) -> int | None:
        """Number of values, None for a continuous domain; `grid_units(None)` has the centres of their cells."""
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
        if self.num_options is None:
            raise TypeError(f"{self} is continuous: it has no option indices.")
        return cell(as_float(unit) * self.num_options, self.num_options)

    def option(self, index: int) -> Any:
        """Returns the Python value of an option index; only domains with `num_options`."""
        raise TypeError(f"{self} is continuous: it has no option indices.")

    def grid_size(self, levels: int | None) -> int:
        """Number of grid points when `levels` (at least 1; None: all values) are asked for: no more than values."""
        if levels is None and self.num_options is None:
            raise ValueError(f"{self} is continuous: a grid needs a number of levels for it.")
        return min(number for number in (levels, self.num_options) if number is not None)

    def grid_units(self, levels: int | None) -> np.ndarray:
        """The grid points in [0, 1], increasing, float32 `[grid_size(levels)]`.

        They are even on the domain's scale, both bounds included; the middle for one level.
        """
        fractions = even(self.grid_size(levels))
        if self.num_options is None:
            return fractions.astype(np.float32)
        # Half goes up, not to even: numbers exactly 1 apart must stay distinct.
        index = np.floor(fractions * (self.num_options - 1) + 0.5)
        return ((index + 0.5) / self.num_options).astype(np.float32)


class Continuous(Domain):
    """Numbers between two bounds."""

    low: float
    high: float

    def to_python(self, value: Any) -> float:
        """Returns the shortest decimal that reads back as the same number, so 0.1 and not 0.10000000149."""
        return min(max(float(str(np.asarray(value)[()])), self.low), self.high)
