"""Numbers that users give, Python's and NumPy's alike; counts are never bools, and no more than programs can count."""

import numbers
import operator
from typing import Any

import numpy as np

MOST = 2**31 - 1  # programs count in int32


def plain(value: Any) -> Any:
    """A numpy scalar as a Python number; anything else as it is."""
    return value.item() if isinstance(value, np.generic) else value


def is_whole(value: Any) -> bool:
    """Whether a value is one whole number, of Python, NumPy or JAX; a bool is none."""
    if isinstance(value, bool):
        return False
    try:
        operator.index(value)
    except TypeError:  # a tracer's error is one too
        return False
    return True


def check_whole(name: str, value: Any, low: int = 1, high: int | None = None, owner: Any = None) -> int:
    """A whole number in these bounds, as an int; an `owner` is who needs it as a field of that name.

    Raises:
        ValueError: It is none; without `high`, also one that programs can't count to.

    Example:
        >>> import numpy as np
        >>> from jaxtune.interface.counts import check_whole
        >>> check_whole("steps", np.int64(3))
        3
    """
    most = MOST if high is None else high
    if is_whole(value) and low <= operator.index(value) <= most:
        return operator.index(value)
    bound = f" and <= {most}" if high is not None or (is_whole(value) and value > most) else ""
    who, got = (f"{name} must", "") if owner is None else (f"{type(owner).__name__} needs {name} to", f"{name}=")
    raise ValueError(f"{who} be a whole number >= {low}{bound}, got {got}{value!r}.")


def whole_or_none(name: str, value: Any) -> int | None:
    """None, or a whole number of at least 1; raises ValueError for anything else."""
    return None if value is None else check_whole(name, value)


def set_counts(owner: Any, *names: str) -> None:
    """Checks fields of a frozen dataclass, in its `__post_init__`, and makes them ints of at least 1.

    Raises:
        ValueError: One is no whole number from 1 to what programs can count to.
    """
    for name in names:
        object.__setattr__(owner, name, check_whole(name, getattr(owner, name), owner=owner))


def check_seed(seed: Any) -> int:
    """A seed as an int; raises unless it is a whole number that JAX takes as it is."""
    if not is_whole(seed):
        raise TypeError(f"seed must be a whole number, got {seed!r}.")
    return check_whole("seed", seed, low=0, high=2**32 - 1)  # JAX would silently drop the higher bits


def check_seconds(name: str, seconds: Any) -> None:
    """Raises ValueError unless this is None or a number of seconds."""
    is_number = isinstance(seconds, numbers.Real) and not isinstance(seconds, bool)
    if seconds is not None and not (is_number and 0 <= seconds < 1e12):
        raise ValueError(f"{name} must be a number of seconds, got {seconds!r}.")
