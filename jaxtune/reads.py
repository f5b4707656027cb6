"""Hyperparameters that nothing reads: a search over them would only add noise to its report."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.interpreters.partial_eval import dce_jaxpr

from jaxtune.functions import Functions
from jaxtune.space import Space

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
    unread = {name for name in space.names if name in space.traced or space.domain(name).num_options != 1}
    seen: list[_Look] = []
    for indices in _combinations(space):
        look = _look(space, indices, functions_of(indices))
        unread -= look.read
        unread -= {name for other in seen for name in _proves_read(look, other)}
        if not unread:
            return
        seen.append(look)
        if len(seen) == _MAX_COMBINATIONS:
            return  # the benefit of the doubt
    names = [name for name in space.names if name in unread]
    raise ValueError(f"The space has {names[0]!r}, which no function of the task reads.")


def _combinations(space: Space) -> Iterator[dict[str, int]]:
    """Options of the static hyperparameters: the first ones, then those with one change, then all others."""
    numbers = {name: space.domain(name).num_options or 1 for name in space.static}
    first = dict.fromkeys(numbers, 0)
    changes = sorted((i, name) for name, number in numbers.items() for i in range(1, number))
    yield first
    for index, name in changes:
        yield {**first, name: index}
    for indices in itertools.product(*map(range, numbers.values())):
        if sum(index > 0 for index in indices) > 1:
            yield dict(zip(numbers, indices, strict=True))


def _look(space: Space, indices: dict[str, int], functions: Functions) -> _Look:
    parts = (functions.init, functions.step, functions.evaluate)
    text = tuple((str(part.jaxpr), part.out_tree) for part in parts)
    read = _inputs_read(functions, sorted(space.traced))
    return _Look(indices, text, jax.tree.leaves(functions.consts), read)


def _inputs_read(functions: Functions, names: list[str]) -> set[str]:
    """Traced hyperparameters that the results of init, step or evaluate depend on."""
    read = set()
    for traced in (functions.init, functions.step, functions.evaluate):
        _, used = dce_jaxpr(traced.jaxpr, [True] * len(traced.jaxpr.outvars))
        read |= {name for name, is_used in zip(names, used[traced.hp], strict=True) if is_used}
    return read


def _proves_read(a: _Look, b: _Look) -> set[str]:
    """The static hyperparameter in which two looks differ, if it is one only and the programs differ."""
    changed = {name for name, index in a.indices.items() if index != b.indices[name]}
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
