"""Constraints: predicates of users that a configuration must fulfil."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from jaxtune.spaces.values import is_hashable


def check_constraint(predicate: Any) -> None:
    """Raises TypeError unless this can be a constraint: callable, and hashable because a space is."""
    if not callable(predicate) or not is_hashable(predicate):
        raise TypeError(f"A constraint is a (hashable) function of hp that returns a bool, got {predicate!r}.")


def fulfils(constraint: Callable, hparams: Mapping[str, Any]) -> bool:
    """Whether one trial's hyperparameters fulfil a constraint.

    Raises:
        TypeError: if the constraint returns something else than a bool.
        ValueError: if it raises an exception.
    """
    name = getattr(constraint, "__name__", repr(constraint))
    try:
        answer = constraint(dict(hparams))
    except Exception as error:
        raise ValueError(
            f"The constraint {name} raised {type(error).__name__}: {error}, for {dict(hparams)}. "
            "Hyperparameters of branches exist in some configurations only: hp.get(name) is None elsewhere."
        ) from error
    if not isinstance(answer, bool | np.bool_):
        raise TypeError(f"The constraint {name} must return True or False, got {answer!r} for {dict(hparams)}.")
    return bool(answer)
