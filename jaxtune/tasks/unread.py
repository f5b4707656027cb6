"""Hyperparameters that nothing reads: a search over them would only add noise to its report."""

import itertools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.interpreters.partial_eval import dce_jaxpr

from jaxtune.spaces.space import Space
from jaxtune.tasks.functions import Functions

_MAX_LISTED = 4096
_MAX_COMBINATIONS = 64  # of static options that are looked at for one that reads a hyperparameter


class _Look(NamedTuple):
    """One combination of static options and the programs that it gives."""

    indices: dict[str, int]
    text: tuple[Any, ...]
    consts: list[Any]
    read: set[str]  # traced hyperparameters


def check_all_read(space: Space, functions_of: Callable[[Mapping[str, int]], Functions]) -> None:
    """Raises ValueError if no function reads a hyperparameter.

    A traced one is read if some program depends on it, a static one if it makes a difference between two
    programs; be it for some options of the others only, as beta of Adam where the first option is SGD.

    Args:
        space: The space, everything pinned.
        functions_of: From option indices of the static hyperparameters to the traced functions.
    """
    unread = {key for key in space.names if key in space.traced or space.domain(key).num_options != 1}
    seen: list[_Look] = []
    for indices in _few_changes_first(space):
        look = _look(space, indices, functions_of(indices))
        unread -= look.read
        unread -= {name for other in seen for name in _proves_read(look, other)}
        if not unread:
            return
        seen.append(look)
        if len(seen) == _MAX_COMBINATIONS:
            return  # the benefit of the doubt
    name = space.hp_name(next(key for key in space.names if key in unread))
    raise ValueError(f"The space has {name!r}, which no function of the task reads.")


def _few_changes_first(space: Space) -> list[dict[str, int]]:
    """Options of the static hyperparameters: the first ones, then those with one change, then all others."""
    combinations = list(itertools.islice(space.static_combinations(), _MAX_LISTED))
    return sorted(combinations, key=lambda indices: sum(index > 0 for index in indices.values()))


def _look(space: Space, indices: dict[str, int], functions: Functions) -> _Look:
    parts = functions.parts
    text = tuple((str(part.jaxpr), part.out_tree) for part in parts)
    traced = {name: key for name, key in space.active(indices).items() if key in space.traced}
    read = _inputs_read(functions, [traced[name] for name in sorted(traced)])
    return _Look(indices, text, jax.tree.leaves(functions.consts), read)


def _inputs_read(functions: Functions, names: list[str]) -> set[str]:
    """Keys of the traced hyperparameters that the results of some function depend on."""
    read = set()
    for traced in functions.parts:
        _, used = dce_jaxpr(traced.jaxpr, [True] * len(traced.jaxpr.outvars))
        read |= {name for name, is_used in zip(names, used[traced.hp], strict=True) if is_used}
    return read


def _proves_read(a: _Look, b: _Look) -> set[str]:
    """The static hyperparameter in which two looks differ, if it is one only and the programs differ.

    What exists in one branch of a choice only differs together with that choice.
    """
    changed = {key for key, index in a.indices.items() if key in b.indices and index != b.indices[key]}
    if len(changed) != 1:
        return set()
    same = a.text == b.text and all(map(_same_array, a.consts, b.consts))
    return set() if same else changed


def _same_array(a: Any, b: Any) -> bool:
    if a is b or isinstance(a, jax.core.Tracer) or isinstance(b, jax.core.Tracer):
        return a is b
    if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
        a, b = jax.random.key_data(a), jax.random.key_data(b)
    return np.array_equal(np.asarray(a), np.asarray(b))
