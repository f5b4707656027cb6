"""Grid search: every combination of a few levels of each hyperparameter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from jaxtune.interface.counts import is_whole
from jaxtune.interface.habits import did_you_mean, hinted
from jaxtune.samplers.sampler import Observed
from jaxtune.spaces.configurations import Rows
from jaxtune.spaces.domains import Choice
from jaxtune.spaces.enumeration import combinations, num_combinations, num_values, searched
from jaxtune.spaces.hyperparameters import Entry
from jaxtune.spaces.space import Space

_MAX_CHECKED = 2**20  # configurations that a constraint is asked about


@hinted
@dataclass(frozen=True)
class Grid:
    """All combinations of evenly spaced levels, the last hyperparameter varying fastest.

    Continuous domains get `levels` points from bound to bound (the middle for one level), evenly spaced on
    the domain's own scale, normal ones their quantiles; `Choice` gets all its options; domains of steps all their
    values, or `levels` of them where they have more. With conditional choices each branch has a product of its own.
    Combinations that a constraint of the space forbids are left out. A grid is whole or it is no grid: the scheduler
    must ask for exactly its number of points.

    Args:
        levels: one number for all hyperparameters, or a dict from names to numbers; at least 1. A
            hyperparameter without one takes all its values, which a continuous one can't. A name counts in all
            branches that have it. (Kept as sorted pairs, to be hashable.)

    Raises:
        TypeError: if a level is not an int.
        ValueError: if a level is below 1.

    Example:
        >>> import jax
        >>> import jaxtune as jt
        >>> space = jt.Space.of({"rate": jt.Uniform(0.0, 1.0), "act": jt.Choice(("relu", "tanh"))})
        >>> jt.Grid({"rate": 3})(jax.random.key(0), space, None, 6).tolist()
        [[0.0, 0.25], [0.0, 0.75], [0.5, 0.25], [0.5, 0.75], [1.0, 0.25], [1.0, 0.75]]
    """

    exhaustive: ClassVar[bool] = True  # there are no more points than those of the first call

    levels: int | Mapping[str, int] | tuple[tuple[str, int], ...] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.levels, Mapping):
            object.__setattr__(self, "levels", tuple(sorted(self.levels.items(), key=str)))
        if self.levels is not None:
            named = _named(self.levels)
            given: dict[str, Any] = {"": self.levels} if named is None else named
            for name, levels in given.items():
                where = f" for {name!r}" if name else ""
                if not is_whole(levels):
                    raise TypeError(f"Grid needs a whole number of levels{where}, got {levels!r}.")
                if levels < 1:
                    raise ValueError(f"Grid needs at least 1 level{where}, got {levels}.")

    def __call__(self, key: jax.Array, space: Space, history: Observed | None, num_points: int) -> jax.Array:
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

        def size_of(entry: Entry) -> int:
            return entry.value.grid_size(levels[entry.name])

        def check_number(number: int, allowed: str = "") -> None:
            if number != num_points:
                axes = [f"{entry.name} {num_values(space, size_of, entry)}" for entry in searched(space, None)]
                raise ValueError(
                    f"Grid has {size} points ({' x '.join(axes) or 'no axes'}){allowed}, but the scheduler asks for "
                    f"{num_points} trials: set trials={number} or change the levels."
                )

        size = num_combinations(space, size_of)
        if not space.constraints:
            check_number(size)  # before there are any: a grid may be huge
        elif size > _MAX_CHECKED:
            raise ValueError(f"Grid has {size} points, too many to ask a constraint about each: take fewer levels.")
        points = combinations(space, lambda entry: entry.value.grid_units(levels[entry.name]))
        if space.constraints:
            with jax.ensure_compile_time_eval():  # the caller may be under jit
                rows = Rows(space, space.decode(points))
            points = points[[space.allows(row) for row in rows]]
        check_number(len(points), f", of which the constraint allows {len(points)}")
        return jnp.asarray(points)

    def _levels_of(self, space: Space) -> dict[str, int | None]:
        """Levels by name of each hyperparameter of the space, None for all its values."""
        named = _named(self.levels)
        default: Any = self.levels if named is None else None
        levels: dict[str, int | None] = dict.fromkeys((space.hp_name(key) for key in space.names), default)
        for name in named or ():
            if name not in levels:
                raise ValueError(
                    f"Grid has levels for {name!r}, which the space does not search"
                    f"{did_you_mean(name, levels)}; it has {', '.join(levels)}."
                )
        levels |= named or {}
        for key, domain in space.domains:
            name = space.hp_name(key)
            if domain.num_options is None and levels[name] is None:
                raise ValueError(
                    f"Grid needs a number of levels for {name!r}, which is continuous ({domain}): "
                    f"write Grid(10) or Grid({{{name!r}: 10}})."
                )
            if named and isinstance(domain, Choice) and levels[name] not in (None, domain.num_options):
                raise ValueError(
                    f"Grid takes all {domain.num_options} options of {name!r}, got {levels[name]} levels: leave it out."
                )
        return levels


def _named(levels: Any) -> dict[str, Any] | None:
    """The pairs of a `levels` that was given as a dict, else None."""
    if isinstance(levels, tuple) and all(isinstance(pair, tuple) and len(pair) == 2 for pair in levels):
        return dict(levels)
    return None
