"""All combinations of a few values of each hyperparameter: the product over a space and its branches.

Where a space has conditional choices this is a product of sums: a choice counts as many values as its branches have
combinations. Shapes: N combinations, D domains.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from jaxtune.spaces.hyperparameters import Condition, Entry
from jaxtune.spaces.space import Space

INACTIVE = 0.5  # what `Space.encode` writes too


def num_combinations(space: Space, size_of: Callable[[Entry], int], condition: Condition | None = None) -> int:
    """Number of combinations, without making them.

    Args:
        space: a space; its constraints are ignored.
        size_of: number of values of an entry that is a domain without branches.
        condition: counts those of one branch; None counts all.

    Example:
        >>> from jaxtune.spaces.domains import Choice, Integer
        >>> from jaxtune.spaces.enumeration import num_combinations
        >>> from jaxtune.spaces.space import Space
        >>> optimizer = Choice({"sgd": {"warmup": Integer(1, 3)}, "adam": {}})
        >>> space = Space.of({"optimizer": optimizer, "depth": Integer(1, 2)})
        >>> num_combinations(space, lambda entry: entry.value.num_options)
        8
    """
    return math.prod(num_values(space, size_of, entry) for entry in searched(space, condition))


def num_values(space: Space, size_of: Callable[[Entry], int], entry: Entry) -> int:
    """Number of values of one hyperparameter, together with those of its branches."""
    if not entry.is_conditional:
        return size_of(entry)
    return sum(num_combinations(space, size_of, condition) for condition in entry.conditions)


def searched(space: Space, condition: Condition | None) -> list[Entry]:
    """The domains of one branch, or of the top level for None."""
    return [entry for entry in space.entries if entry.condition == condition and entry.is_domain]


def num_configurations(space: Space) -> int | None:
    """Number of different configurations of a space without its constraints; None if there is no end of them."""
    if any(domain.num_options is None for _, domain in space.domains):
        return None
    return num_combinations(space, lambda entry: entry.value.num_options)


def all_points(space: Space) -> np.ndarray:
    """All configurations [N, D] of a space that has an end of them, without regard to its constraints."""
    return combinations(space, lambda entry: entry.value.grid_units(None))


def combinations(space: Space, units_of: Callable[[Entry], np.ndarray]) -> np.ndarray:
    """All combinations as points of the unit cube, the last hyperparameter varying fastest.

    Args:
        space: a space; its constraints are ignored.
        units_of: values of an entry that is a domain, in [0, 1]; of a conditional choice one for each option.

    Returns:
        [N, D] float32, 0.5 in inactive dimensions.
    """
    column = {key: i for i, key in enumerate(space.names)}

    def of_branch(condition: Condition | None) -> np.ndarray:
        block = np.full((1, space.num_dims), np.nan, np.float32)  # NaN: not in this branch
        for entry in searched(space, condition):
            block = _pairs(block, of_entry(entry))
        return block

    def of_entry(entry: Entry) -> np.ndarray:
        units = units_of(entry)
        if not entry.is_conditional:
            block = np.full((len(units), space.num_dims), np.nan, np.float32)
            block[:, column[entry.key]] = units
            return block
        blocks = [of_branch(condition) for condition in entry.conditions]
        for block, unit in zip(blocks, units, strict=True):
            block[:, column[entry.key]] = unit
        return np.concatenate(blocks)

    return np.nan_to_num(of_branch(None), nan=INACTIVE)


def _pairs(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Each row of `left` with each of `right`; no column has numbers in both."""
    left, right = np.repeat(left, len(right), axis=0), np.tile(right, (len(left), 1))
    return np.where(np.isnan(right), left, right)
