"""The hyperparameters of one trial as a user writes them, held against the entries of a space."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jaxtune.interface.counts import plain
from jaxtune.interface.habits import did_you_mean
from jaxtune.spaces.domains import Domain
from jaxtune.spaces.hyperparameters import Entry, active_entries
from jaxtune.spaces.values import is_hashable


def assigned(entries: Sequence[Entry], hparams: Mapping[str, Any]) -> list[Entry]:
    """The entries that exist with these hyperparameters, after a check that the hyperparameters are theirs.

    Args:
        entries: all those of a space.
        hparams: name -> Python value of all domains that exist for the options chosen; constants may be there with
            the value they have.

    Raises:
        ValueError: if a name is unknown, missing or inactive, an option none of its choice, or a constant has another
            value.
    """
    check_known(hparams, list(dict.fromkeys(entry.name for entry in entries)))

    def index_of(entry: Entry) -> int:
        if entry.name not in hparams:
            return -1  # reported below
        encode_value(entry.name, entry.value, hparams[entry.name])
        return entry.value.index(hparams[entry.name])

    existing = list(active_entries(entries, index_of))
    missing = [entry.name for entry in existing if entry.is_domain and entry.name not in hparams]
    if missing:
        raise ValueError(f"The hyperparameters lack {', '.join(map(repr, missing))}.")
    _check_active(entries, hparams, {entry.name: entry for entry in existing})
    for entry in existing:
        if not entry.is_domain and entry.name in hparams:
            _check_constant(entry, hparams[entry.name])
    return existing


def encode_value(name: str, domain: Domain, value: Any) -> float:
    """The value in [0, 1], with the hyperparameter's name in errors."""
    try:
        return domain.encode(value)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name!r}: {error}") from None


def check_known(given: Iterable[str], known: Sequence[str]) -> None:
    """Raises ValueError if a name is none of the space's."""
    for name in given:
        if name not in known:
            raise ValueError(
                f"The space has no hyperparameter {name!r}{did_you_mean(name, known)}; it has {', '.join(known)}."
            )


def _check_active(entries: Sequence[Entry], hparams: Mapping[str, Any], existing: Mapping[str, Entry]) -> None:
    for name in hparams:
        if name in existing:
            continue
        keys = [entry.key for entry in entries if entry.name == name]
        choices = [f"{e.name}={hparams[e.name]!r}" for e in existing.values() if e.is_conditional]
        raise ValueError(f"{name!r} does not exist with {', '.join(choices)}: the space has {' and '.join(keys)}.")


def _check_constant(entry: Entry, given: Any) -> None:
    if not (is_hashable(given) and plain(given) == entry.value):
        raise ValueError(f"{entry.name!r} is the constant {entry.value!r} in this space, got {given!r}.")
