"""Grid search: every combination of a few levels of each hyperparameter."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from jaxtune.domains import Choice
from jaxtune.options import did_you_mean
from jaxtune.space import Space


@dataclass(frozen=True)
class Grid:
    """All combinations of evenly spaced levels, the last hyperparameter varying fastest.

    Continuous domains get `levels` points from bound to bound (the middle for one level), evenly spaced on
    the domain's own scale; `Choice` gets all its options; `Integer` all its values, or `levels` of them where
    it has more. A grid is whole or it is no grid: the scheduler must ask for exactly its number of points.

    Args:
        levels: one number for all hyperparameters, or a dict from names to numbers; at least 1. A
            hyperparameter without one takes all its values, which a continuous one can't. (Kept as sorted
            pairs, to be hashable.)

    Raises:
        TypeError: if a level is not an int.
        ValueError: if a level is below 1.

    Example:
        >>> import jax
        >>> from jaxtune.samplers import Grid
        >>> from jaxtune.domains import Choice, Uniform
        >>> from jaxtune.space import Space
        >>> space = Space.of({"rate": Uniform(0.0, 1.0), "act": Choice(("relu", "tanh"))})
        >>> Grid({"rate": 3})(jax.random.key(0), space, None, 6).tolist()
        [[0.0, 0.25], [0.0, 0.75], [0.5, 0.25], [0.5, 0.75], [1.0, 0.25], [1.0, 0.75]]
    """

    levels: int | Mapping[str, int] | tuple[tuple[str, int], ...] | None = None

    def __post_init__(self):
        if isinstance(self.levels, Mapping):
            object.__setattr__(self, "levels", tuple(sorted(self.levels.items(), key=str)))
        if self.levels is not None:
            named = _named(self.levels)
            for name, levels in {"": self.levels}.items() if named is None else named.items():
                _check_levels(name, levels)

    def __call__(self, key: jax.Array, space: Space, history: Any, num_points: int) -> jax.Array:
        """Returns the grid.

        Args:
            key: unused, a grid is not random.
            space: the space, D domains.
            history: unused.
            num_points: must be the number of grid points.

        Returns:
            [num_points, D] float32 in [0, 1].

        Raises:
            ValueError: if the grid has another number of points, a continuous domain has no levels, or
                `levels` names a hyperparameter that the space lacks or a `Choice` with another number of
                options.
        """
        del key, history
        levels = self._levels_of(space)
        sizes = [domain.grid_size(levels[name]) for name, domain in space.domains]
        _check_size(space.names, sizes, num_points)
        # Mixed radix: a point's number has one digit per axis, so the product is never built.
        index = jnp.arange(num_points, dtype=jnp.int32)
        columns = []
        for i, (name, domain) in enumerate(space.domains):
            digit = index // math.prod(sizes[i + 1 :]) % sizes[i]
            columns.append(jnp.asarray(domain.grid_units(levels[name]), jnp.float32)[digit])
        return jnp.stack(columns, axis=1) if columns else jnp.zeros((num_points, 0), jnp.float32)

    def _levels_of(self, space: Space) -> dict[str, int | None]:
        """Levels per hyperparameter of the space, None for all its values."""
        named = _named(self.levels)
        _check_names(named or {}, space)
        default: Any = self.levels if named is None else None
        levels: dict[str, int | None] = dict.fromkeys(space.names, default) | (named or {})
        for name, domain in space.domains:
            if domain.num_options is None and levels[name] is None:
                raise ValueError(
                    f"Grid needs a number of levels for {name!r}, which is continuous ({domain}): "
                    f"write Grid(10) or Grid({{{name!r}: 10}})."
                )
        return levels


def _named(levels: Any) -> dict[str, Any] | None:
    """The pairs of a `levels` that was given as a dict, else None."""
    if isinstance(levels, tuple) and all(isinstance(pair, tuple) and len(pair) == 2 for pair in levels):
        return dict(levels)
    return None


def _check_levels(name: str, levels: Any) -> None:
    where = f" for {name!r}" if name else ""
    if isinstance(levels, bool) or not isinstance(levels, numbers.Integral):
        raise TypeError(f"Grid needs a whole number of levels{where}, got {levels!r}.")
    if levels < 1:
        raise ValueError(f"Grid needs at least 1 level{where}, got {levels}.")


def _check_names(levels: Mapping[str, int], space: Space) -> None:
    domains = dict(space.domains)
    for name, number in levels.items():
        if name not in domains:
            raise ValueError(
                f"Grid has levels for {name!r}, which the space does not search"
                f"{did_you_mean(name, space.names)}; it has {', '.join(space.names)}."
            )
        domain = domains[name]
        if isinstance(domain, Choice) and number != domain.num_options:
            raise ValueError(
                f"Grid takes all {domain.num_options} options of {name!r}, got {number} levels: leave it out."
            )


def _check_size(names: tuple[str, ...], sizes: list[int], num_points: int) -> None:
    if math.prod(sizes) == num_points:
        return
    axes = " x ".join(f"{name} {size}" for name, size in zip(names, sizes, strict=True)) or "no axes"
    raise ValueError(
        f"Grid has {math.prod(sizes)} points ({axes}), but the scheduler asks for {num_points} trials: "
        f"set trials={math.prod(sizes)} or change the levels."
    )
