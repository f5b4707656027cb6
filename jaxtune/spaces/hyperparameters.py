"""The hyperparameters of a space as a flat list of entries: read from a user's dict, and which of them exist together.

A conditional choice has a sub-space for each option. Its entries stand in the list right after the choice, and exist
where that option is chosen.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jaxtune.spaces.domains import Choice, Domain
from jaxtune.spaces.domains.entries import as_entries
from jaxtune.spaces.values import typed


@dataclass(frozen=True)
class Condition:
    """That a conditional choice has a certain option."""

    key: str
    index: int


@dataclass(frozen=True)
class Entry:
    """A hyperparameter of a space.

    Attributes:
        key: what it is called within the space: no two entries have the same. The name itself at the top level,
            `"optimizer=sgd.lr"` for the `lr` in the branch `"sgd"` of the choice `"optimizer"`.
        name: what it is called in `hp`; entries that never exist at the same time may share it.
        value: a domain, or a constant as a plain Python value.
        condition: what must hold for it to exist, if it is in a branch.
    """

    key: str
    name: str
    value: Any = field(compare=False)
    condition: Condition | None
    _typed: Any = field(init=False, repr=False)  # 1, 1.0 and True are different constants

    def __post_init__(self) -> None:
        object.__setattr__(self, "_typed", typed(self.value))

    @property
    def is_domain(self) -> bool:
        """Whether it is searched, not constant."""
        return isinstance(self.value, Domain)

    @property
    def is_conditional(self) -> bool:
        """Whether it is a choice whose options bring hyperparameters of their own."""
        return isinstance(self.value, Choice) and self.value.branches is not None

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """The conditions of its branches, if it is conditional."""
        return tuple(Condition(self.key, index) for index in range(len(self.value.options)))


def read_entries(space: Any) -> tuple[Entry, ...]:
    """The entries of a user's dict, depth first."""
    return tuple(_flat(as_entries(space, "A space"), "", None))


def check_distinct(entries: tuple[Entry, ...]) -> None:
    """Raises ValueError if two entries have the same key, or can exist at the same time under the same name."""
    conditions: dict[str, dict[str, int]] = {}
    by_name: dict[str, list[str]] = {}
    for entry in entries:
        if entry.key in conditions:
            raise ValueError(f"The space has two hyperparameters that read {entry.key!r}: rename one of them.")
        own = entry.condition
        conditions[entry.key] = {} if own is None else {**conditions[own.key], own.key: own.index}
        for other in by_name.setdefault(entry.name, []):
            if _can_coexist(conditions[entry.key], conditions[other]):
                raise ValueError(
                    f"{other!r} and {entry.key!r} can exist at the same time, and both would be hp[{entry.name!r}]: "
                    "rename one of them."
                )
        by_name[entry.name].append(entry.key)


def _can_coexist(a: Mapping[str, int], b: Mapping[str, int]) -> bool:
    return all(a[key] == b[key] for key in a.keys() & b.keys())


def active_entries(entries: Iterable[Entry], index_of: Callable[[Entry], int]) -> Iterator[Entry]:
    """The entries that exist, given the option index of each conditional choice that exists."""
    chosen: dict[str, int] = {}
    for entry in entries:
        if entry.condition is None or chosen.get(entry.condition.key) == entry.condition.index:
            if entry.is_conditional:
                chosen[entry.key] = index_of(entry)
            yield entry


def static_combinations(entries: Sequence[Entry]) -> Iterator[dict[str, int]]:
    """All combinations of options, by key, of static entries that exist together, made one by one.

    The first options come first, then what differs from them in one option, then all others.
    """
    for num_changes in range(len(entries) + 1):
        leaves = _leaves(num_changes, entries, {})
        yield from sorted(leaves, key=lambda leaf: max(leaf.values())) if num_changes == 1 else leaves


def _leaves(num_changes: int, entries: Sequence[Entry], chosen: dict[str, int]) -> Iterator[dict[str, int]]:
    """Completes the chosen options with those of more entries, exactly so many of them not the first ones."""
    if not entries:
        if num_changes == 0:
            yield chosen
        return
    entry, *rest = entries
    if entry.condition is not None and chosen.get(entry.condition.key) != entry.condition.index:
        yield from _leaves(num_changes, rest, chosen)
        return
    changed = range(1, entry.value.num_options) if num_changes else ()
    for index in (*changed, 0):
        yield from _leaves(num_changes - (index > 0), rest, {**chosen, entry.key: index})


def pinned(entry: Entry, static: bool) -> Entry:
    """The entry of a domain, pinned to static (True) or traced (False).

    Raises:
        ValueError: if the domain can't be what is asked.
    """
    name, domain = entry.key, entry.value
    if domain.static is static:
        return entry
    if domain.num_options is None:
        raise ValueError(f"{name!r} can't be static: {domain} is continuous, one program per value has no end.")
    if entry.is_conditional:
        raise ValueError(f"{name!r} can't be traced: its options have sub-spaces, so each needs a program of its own.")
    if domain.static is False:
        raise ValueError(f"{name!r} can't be static: {domain} holds traced numbers; write Choice((...), static=True).")
    try:
        return dataclasses.replace(entry, value=dataclasses.replace(domain, static=static))
    except ValueError as error:
        raise ValueError(f"{name!r} can't be traced: {error}") from None


def _flat(entries: Iterable[tuple[str, Any]], prefix: str, condition: Condition | None) -> Iterator[Entry]:
    """Entries with those of their branches, depth first."""
    for name, value in entries:
        key = prefix + name
        yield Entry(key, name, value, condition)
        if isinstance(value, Choice) and value.branches:
            for index, branch in enumerate(value.branches):
                option = value.options[index]
                text = getattr(option, "__name__", None) or str(option)
                yield from _flat(branch, f"{key}={text}.", Condition(key, index))
