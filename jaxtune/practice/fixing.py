"""Spaces in which some hyperparameters are fixed; what the functions of this package share."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxtune.interface.counts import check_whole, plain
from jaxtune.schedulers import FullBudget
from jaxtune.spaces.assignment import encode_value
from jaxtune.spaces.domains import Choice
from jaxtune.spaces.enumeration import num_configurations
from jaxtune.spaces.hyperparameters import Entry
from jaxtune.spaces.space import Space


def num_trials(space: Space, trials: Any) -> int:
    """So many trials, or as many as there are configurations if those are fewer: one if nothing is searched."""
    trials = check_whole("trials", trials)
    configurations = num_configurations(space)
    return trials if configurations is None else min(trials, configurations)


def without(space: Space, name: str) -> Space:
    """The space without a hyperparameter, in whatever branch."""
    return replace(space, entries=tuple(entry for entry in space.entries if entry.name != name))


def joined(space: Space, more: Space | Mapping[str, Any]) -> Space:
    """The space with more hyperparameters, which come last."""
    return replace(space, entries=space.entries + Space.of(more).entries)


def fix(space: Space, values: Mapping[str, Any], free: Collection[str] = ()) -> Space:
    """The space in which hyperparameters have one value each.

    They stay traced or static as they were, so that programs are the same ones as those of the whole space. Of a
    fixed conditional choice only the branch chosen is left; a free one takes the whole of its branches with it.

    Args:
        space: What is searched.
        values: name -> Python value of those to fix; names that the space lacks are ignored.
        free: Keys of entries to leave as they are; `free_keys` makes them.
    """
    chosen: dict[str, int] = {}  # options of the fixed conditional choices
    gone: set[str] = set()
    entries = []
    for entry in space.entries:
        condition = entry.condition
        if condition and condition.key in chosen | dict.fromkeys(gone):
            if condition.key in gone or chosen[condition.key] != condition.index:
                gone.add(entry.key)
                continue
            entry = replace(entry, condition=None)
        if entry.is_domain and entry.name in values and entry.key not in free:
            if entry.is_conditional:
                chosen[entry.key] = entry.value.index(values[entry.name])
            entry = replace(entry, value=_constant(entry, values[entry.name]))
        entries.append(entry)
    return replace(space, entries=tuple(entries))


def _constant(entry: Entry, value: Any) -> Choice:
    """A choice of one option: the value stays exactly as it is, and traced where its domain is."""
    domain = entry.value
    encode_value(entry.name, domain, value)  # raises where the domain has it not
    return Choice((domain.to_python(plain(value)),), static=domain.static)


def free_keys(space: Space, names: Collection[str]) -> set[str]:
    """Keys of the domains with these names, and of all that lie in branches of such a choice."""
    free: set[str] = set()
    for entry in space.entries:
        if entry.is_domain and (entry.name in names or (entry.condition and entry.condition.key in free)):
            free.add(entry.key)
    return free


def middle(space: Space) -> dict[str, Any]:
    """The hyperparameters in the middle of the unit cube, as Python values; constants included."""
    decoded = space.decode(jnp.full((1, space.num_dims), 0.5, jnp.float32))
    return space.row({key: np.asarray(values) for key, values in decoded.items()}, 0)


def even_schedule(trials: int, steps: int, num_points: int) -> tuple[FullBudget, int]:
    """A full budget, and the length of about so many equal intervals, of which it is a multiple: rounded up."""
    every = max(1, steps // num_points)
    return FullBudget(trials, -(-steps // every) * every), every
