"""Hyperparameters that nothing reads: a search over them would only add noise to its report."""

from collections.abc import Iterable
from itertools import islice
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.interpreters.partial_eval import dce_jaxpr

from jaxtune.spaces.space import Space
from jaxtune.tasks.case import Case

_MAX_CASES = 64  # that are looked at for one that reads a hyperparameter


def check_all_read(space: Space, cases: Iterable[Case]) -> None:
    """Raises ValueError if no function reads a hyperparameter.

    A traced one is read if some program depends on it, a static one if it makes a difference between two
    programs; be it for some options of the others only, as beta of Adam where the first option is SGD.

    Args:
        space: The space, everything pinned.
        cases: Of all its variants, those with few changes first.
    """
    unread = {key for key in space.names if key in space.traced or space.domain(key).num_options != 1}
    seen: list[Case] = []
    for case in islice(cases, _MAX_CASES):
        unread -= _traced_read(case)
        unread -= {key for other in seen for key in _static_read(case, other)}
        if not unread:
            return
        seen.append(case)
    if len(seen) == _MAX_CASES:
        return  # the benefit of the doubt
    name = space.hp_name(next(key for key in space.names if key in unread))
    raise ValueError(f"The space has {name!r}, which no function of the task reads.")


def _traced_read(case: Case) -> set[str]:
    """Keys of the traced hyperparameters that the results of some function depend on."""
    keys = [case.variant.traced[name] for name in sorted(case.variant.traced)]
    read = set()
    for traced in case.functions.parts:
        _, used = dce_jaxpr(traced.jaxpr, [True] * len(traced.jaxpr.outvars))
        read |= {key for key, is_used in zip(keys, used[traced.hp], strict=True) if is_used}
    return read


def _static_read(a: Case, b: Case) -> set[str]:
    """The static hyperparameter in which two cases differ, if it is one only and the programs differ.

    What exists in one branch of a choice only differs together with that choice.
    """
    mine, theirs = a.variant.indices, b.variant.indices
    changed = {key for key, index in mine.items() if key in theirs and index != theirs[key]}
    return changed if len(changed) == 1 and not _are_same(a, b) else set()


def _are_same(a: Case, b: Case) -> bool:
    if [part.fingerprint for part in a.functions.parts] != [part.fingerprint for part in b.functions.parts]:
        return False
    return all(map(_same_array, *(jax.tree.leaves(case.functions.consts) for case in (a, b))))


def _same_array(a: Any, b: Any) -> bool:
    if a is b or isinstance(a, jax.core.Tracer) or isinstance(b, jax.core.Tracer):
        return a is b
    if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
        a, b = jax.random.key_data(a), jax.random.key_data(b)
    return np.array_equal(np.asarray(a), np.asarray(b))
