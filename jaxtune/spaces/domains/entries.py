"""The entries of a space or sub-space: names with domains or constants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from jaxtune.interface.counts import plain
from jaxtune.spaces.domains.domain import Domain
from jaxtune.spaces.values import hashable_hint, is_hashable

_TUNERS = ("ray", "optuna", "hyperopt", "keras_tuner", "kerastuner", "scipy", "skopt", "ConfigSpace", "nevergrad")


def as_entries(space: Any, owner: str) -> tuple[tuple[str, Any], ...]:
    """Checks a user's dict and returns it as (name, domain or plain constant) pairs, in its order.

    Args:
        space: dict name -> domain or constant.
        owner: how errors call it, at the begin of a sentence.

    Raises:
        TypeError: if it is not a dict, a name not a string, or a constant an array or not hashable.
    """
    if not isinstance(space, Mapping):
        raise TypeError(f"{owner} is a dict from names to domains or constants, got {space!r}.")
    for name, value in space.items():
        _check_entry(owner, name, value)
    return tuple((name, plain(value)) for name, value in space.items())


def _check_entry(owner: str, name: Any, value: Any) -> None:
    if not isinstance(name, str):
        raise TypeError(f"{owner} needs strings as names, got {name!r}.")
    if isinstance(value, Domain):
        return
    if isinstance(value, type) and issubclass(value, Domain):
        raise TypeError(f"{name!r} is the class {value.__name__} itself: write {value.__name__}(...).")
    if (library := type(value).__module__.partition(".")[0]) in _TUNERS:
        raise TypeError(
            f"{name!r} is a {type(value).__name__} of {library}: write a domain of jaxtune, as Uniform(low, high), "
            "LogUniform(low, high), Integer(low, high) or Choice([...])."
        )
    if isinstance(value, np.ndarray | jax.Array):
        search = "to search over its values write Choice(array.tolist()); for a constant " if value.ndim == 1 else ""
        raise TypeError(
            f"The constant {name!r} is an array of shape {value.shape}: {search}write a number or a tuple, "
            "or keep the array in the task's data or in a closure."
        )
    if isinstance(value, Mapping):
        raise TypeError(
            f"The constant {name!r} is a dict, {value!r}: {_searched(value)}to search over sub-spaces, one for each "
            "option, write Choice({...})."
        )
    if isinstance(value, list) and all(map(is_hashable, value)):
        raise TypeError(
            f"{name!r} is the list {value}: to search over its values write Choice({value}); a constant is a tuple, "
            f"{tuple(value)}."
        )
    if not is_hashable(value):
        raise TypeError(
            f"The constant {name!r} must be hashable: {hashable_hint(value)}; to search over "
            "several values write Choice((...))."
        )


def _searched(value: Mapping) -> str:
    """What to write for a domain in the words of a sweep's configuration."""
    if "values" in value:
        return f"to search over values write Choice({value['values']}); "
    ends = [next((value[word] for word in words if word in value), None) for words in (("min", "low"), ("max", "high"))]
    return "" if None in ends else f"for numbers between two bounds write Uniform({ends[0]}, {ends[1]}) or LogUniform; "
