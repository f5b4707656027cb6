"""One of several values, some of which may bring hyperparameters of their own."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.interface.counts import plain
from jaxtune.interface.habits import did_you_mean, hinted
from jaxtune.spaces.domains.domain import Domain
from jaxtune.spaces.domains.entries import as_entries
from jaxtune.spaces.domains.numeric import check_flags, number, same_float32, set_fields
from jaxtune.spaces.values import as_options, fits_array, is_number, typed

_SMALLEST_SHARE = 1e-6  # of [0, 1] that float32 still divides well


@hinted
@dataclass(frozen=True, repr=False)
class Choice(Domain):
    """One of several values, each with a cell of [0, 1] of its own.

    Numbers may be traced or static; anything else (strings, functions, tuples, bools) is static. Traced
    options become int32 if all are ints, floats otherwise.

    A dict makes a *conditional* choice: each option has a sub-space, whose names join `hp` where the option is
    chosen and don't exist elsewhere. Sub-spaces may hold constants and further conditional choices. Options may
    share names; a name that could exist twice at the same time is an error of the space. Conditional choices are
    static.

    Args:
        options: the values, hashable and different from one another; kept as a tuple. Or a dict from such
            values to sub-spaces, which are dicts from names to domains or constants, perhaps empty.
        weights: a positive number for each option, its share of random trials; None for equal shares.
        ordered: whether neighbours in `options` are alike, as numbers in order are: population-based training
            then explores by moving to a neighbour instead of drawing anew.
        static: True makes one program per value; False traces the value, which needs numbers; None lets
            jaxtune find out.

    Raises:
        TypeError: if the options are not a sequence or dict, or not hashable, a sub-space is not a dict, a weight
            not a number, or a flag not a bool.
        ValueError: if there is no option, one occurs twice or is NaN, weights are not positive, too unequal or
            of another number than the options, or `static=False` with options other than numbers.

    Example:
        >>> import jaxtune as jt
        >>> jt.Choice((32, 64, 128)).decode([0.0, 0.5, 1.0]).tolist()
        [32, 64, 128]
        >>> jt.Choice(("relu", "tanh")).static, jt.Choice(("relu", "tanh")).encode("tanh")
        (True, 0.75)
        >>> jt.Choice(("relu", "tanh"), weights=(3, 1)).encode("tanh")
        0.875
        >>> jt.Choice({"sgd": {"lr": jt.LogUniform(1e-3, 1.0), "momentum": 0.9}, "none": {}}).options
        ('sgd', 'none')
    """

    options: tuple = field(compare=False)
    weights: tuple[float, ...] | None = field(default=None, kw_only=True)
    ordered: bool = field(default=False, kw_only=True)
    static: bool | None = field(default=None, kw_only=True)
    branches: tuple[tuple[tuple[str, Any], ...], ...] | None = field(init=False, repr=False, compare=False)
    _typed: tuple = field(init=False, repr=False)  # 1, 1.0 and True are different options

    def __post_init__(self) -> None:
        branches = None
        if isinstance(self.options, Mapping):
            branches = tuple(as_entries(sub, f"The sub-space of {key!r}") for key, sub in self.options.items())
        set_fields(self, options=as_options(self.options), branches=branches)
        set_fields(self, weights=_as_weights(self.weights, self.options))
        set_fields(self, _typed=(typed(self.options), typed(branches)))
        check_flags(self)
        if self.static is None and not self.traceable:
            set_fields(self, static=True)
        if self.static is False and branches:
            raise ValueError("Choice with static=False can't have sub-spaces: leave static out.")
        if self.static is False and not self.traceable:
            raise ValueError(
                f"Choice with static=False needs numbers that fit 32 bits (bools don't count), "
                f"got options {self.options}: leave static out."
            )

    @property
    def traceable(self) -> bool:
        """Whether all options are ints or floats that fit 32 bits, without sub-spaces."""
        return self.branches is None and all(map(fits_array, self.options))

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
        if self.weights is None:
            return super().decode_index(unit)
        inner = jnp.asarray(self._edges()[1:-1], jnp.float32)
        return jnp.searchsorted(inner, jnp.asarray(unit, jnp.float32), side="right").astype(jnp.int32)

    def encode(self, value: Any) -> float:
        """Maps an option to the middle of its cell."""
        return float(self._centres()[self.index(value)])

    def to_python(self, value: Any) -> Any:
        """Returns the option that a decoded number stands for, as it was written."""
        return self.options[self.index(value)]

    def option(self, index: int) -> Any:
        """Returns an option as it was written."""
        return self.options[index]

    def grid_size(self, levels: int | None) -> int:
        """Number of options, whatever `levels`."""
        return self.num_options

    def grid_units(self, levels: int | None) -> np.ndarray:
        """The middles of all cells, whatever `levels`."""
        return self._centres().astype(np.float32)

    def index(self, value: Any) -> int:
        """Returns the index of an option.

        Raises:
            ValueError: if it is no option.
        """
        value = plain(value)
        same_type = [typed(option) for option in self.options]
        if typed(value) in same_type:
            return same_type.index(typed(value))
        if is_number(value):
            # 64.0 for 64, or a float32 that has been through an array for the Python float it came from.
            for same in (operator.eq, same_float32):
                for index, option in enumerate(self.options):
                    if is_number(option) and same(option, value):
                        return index
        raise ValueError(f"Choice has no option {value!r}{did_you_mean(value, self.options)}, got {self}.")

    def _edges(self) -> np.ndarray:
        """Where cells begin and end, [num_options + 1]."""
        weights = self.weights or (1.0,) * self.num_options
        return np.concatenate([[0.0], np.cumsum(weights) / math.fsum(weights)])

    def _centres(self) -> np.ndarray:
        if self.weights is None:
            return (np.arange(self.num_options) + 0.5) / self.num_options
        edges = self._edges()
        return (edges[:-1] + edges[1:]) / 2


def _as_weights(weights: Any, options: tuple) -> tuple[float, ...] | None:
    if weights is None:
        return None
    if isinstance(weights, str) or not isinstance(weights, Iterable):
        raise TypeError(f"Choice needs a sequence of weights, got {weights!r}.")
    given = tuple(weights)
    weights = tuple(number("Choice", "each weight", weight) for weight in given)
    if len(weights) != len(options):
        raise ValueError(f"Choice needs a weight for each of its {len(options)} options, got {len(weights)}.")
    if not all(0 < weight < math.inf for weight in weights):
        raise ValueError(f"Choice needs weights above 0, got {given}: leave out options that are not wanted.")
    if min(weights) < _SMALLEST_SHARE * math.fsum(weights):
        raise ValueError(f"Choice needs weights of at least a millionth of their sum, got {given}.")
    return weights
