"""Options and constants: plain hashable Python values, compared together with their types.

For Python 1 == 1.0 == True; for a program they are three different things.
"""

import math
import pickle
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from jaxtune.interface.counts import plain

FLOAT32_MAX = float(np.finfo(np.float32).max)
FLOAT32_TINY = float(np.finfo(np.float32).tiny)  # the least normal one
INT32 = np.iinfo(np.int32)


def typed(value: Any) -> Any:
    """A key that is equal for equal values of equal types, inside tuples too."""
    if isinstance(value, tuple):
        return type(value), tuple(map(typed, value))
    if isinstance(value, frozenset):
        return type(value), frozenset(map(typed, value))
    return type(value), value


def is_number(value: Any) -> bool:
    """Whether a plain value is an int or a float; bools and enums are not."""
    return type(value) in (int, float)


def fits_array(value: Any) -> bool:
    """Whether a value is a number that an int32 or float32 array can hold."""
    if type(value) is int:
        return bool(INT32.min <= value <= INT32.max)
    return type(value) is float and (math.isinf(value) or abs(value) <= FLOAT32_MAX)


def is_hashable(value: Any) -> bool:
    """Whether `hash(value)` works."""
    try:
        hash(value)
    except TypeError:
        return False
    return True


def as_options(options: Any) -> tuple:
    """Checks the options of a Choice and returns them as a tuple of plain values."""
    if isinstance(options, str) or not isinstance(options, Iterable):
        raise TypeError(f"Choice needs a sequence of options, got {options!r}: write ({options!r},).")
    if isinstance(options, set | frozenset):
        raise TypeError(f"Choice needs options in a fixed order, got the set {options!r}: write a tuple.")
    options = tuple(map(plain, options))
    if not options:
        raise ValueError("Choice needs at least one option, got none.")
    seen: set[Hashable] = set()
    for option in options:
        if not is_hashable(option):
            raise TypeError(f"Choice options must be hashable: {hashable_hint(option)}.")
        if option != option:
            raise ValueError("Choice options can't be NaN, which equals nothing, not even itself.")
        # As numbers 1 and 1.0 are the same option; True is another one.
        key = (float, option) if is_number(option) else typed(option)
        if key in seen:
            raise ValueError(f"Choice options must differ, got {option!r} more than once in {options}.")
        seen.add(key)
    return options


def hashable_hint(value: Any) -> str:
    """What to write instead of a value that is not hashable."""
    if isinstance(value, list):
        return f"write {_as_tuples(value)}, not {value}"
    if isinstance(value, set):
        return f"write frozenset({value}), not {value}"
    if isinstance(value, np.ndarray | jax.Array):
        return "write a number or a tuple, not an array"
    return f"write a tuple or a string, not {value!r}"


def _as_tuples(value: Any) -> Any:
    return tuple(map(_as_tuples, value)) if isinstance(value, list) else value


@dataclass(frozen=True)
class Named:
    """What a pickle keeps of an option that is a function or a class: its name, and which one of that name it was."""

    name: str
    number: int

    @property
    def __name__(self) -> str:  # tables and pictures show options by their names
        return self.name


def portable(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Configurations as any process can read them: functions that it can't import are but named."""
    known: dict[int, Any] = {}
    counts = Counter[str]()

    def plain_value(value: Any) -> Any:
        if isinstance(value, (bool, int, float, str, type(None))):
            return value
        if id(value) not in known:
            name = getattr(value, "__name__", None) or str(value)
            counts[name] += not _is_importable(value)
            known[id(value)] = value if _is_importable(value) else Named(name, counts[name])
        return known[id(value)]

    return [{name: plain_value(value) for name, value in row.items()} for row in rows]


def _is_importable(value: Any) -> bool:
    """Whether another process gets the same from a pickle; it doesn't have what was typed into this one."""
    if getattr(value, "__module__", None) == "__main__":
        return False
    try:
        return bool(pickle.loads(pickle.dumps(value)) == value)
    except Exception:  # pickle raises whatever comes up
        return False
