"""The entries of a space or sub-space: names with domains or constants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from jaxtune.domains.domain import Domain
from jaxtune.options import hashable_hint, is_hashable, plain


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
    if isinstance(value, np.ndarray | jax.Array):
        raise TypeError(
            f"The constant {name!r} is an array of shape {value.shape}: write a number or a tuple, "
            "or keep the array in the task's data or in a closure."
        )
    if isinstance(value, Mapping):
        raise TypeError(
            f"The constant {name!r} is a dict, {value!r}: to search over sub-spaces, one for each option, write "
            "Choice({...})."
        )
    if not is_hashable(value):
        raise TypeError(
            f"The constant {name!r} must be hashable: {hashable_hint(value)}; to search over "
            "several values write Choice((...))."
        )
