"""Values and spaces as JSON: numbers and texts as they are, functions and classes by name."""

import dataclasses
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from jaxtune.spaces.domains import Choice, Domain, Integer, LogNormal, LogUniform, Normal, Uniform
from jaxtune.spaces.space import Space
from jaxtune.spaces.values import Named

_KINDS = {kind.__name__: kind for kind in (Choice, Integer, LogNormal, LogUniform, Normal, Uniform)}


class Names:
    """Gives a name to each value that is neither number nor text, another one to each.

    Args:
        space: Options and constants that get theirs first, so that they can be found again.
    """

    def __init__(self, space: Space | None = None) -> None:
        self._known: dict[Any, Named] = {}
        for entry in () if space is None else space.entries:
            for value in getattr(entry.value, "options", ()) if entry.is_domain else (entry.value,):
                value_written(value, self)

    def __call__(self, value: Any) -> Named:
        """The name of a value, the same each time."""
        if isinstance(value, Named):
            return value
        if value not in self._known:
            name = getattr(value, "__name__", None) or str(value)
            number = 1 + sum(known.name == name for known in self._known.values())
            self._known[value] = Named(name, number)
        return self._known[value]

    @property
    def values(self) -> dict[Named, Any]:
        """Name -> value."""
        return {name: value for value, name in self._known.items()}


def value_written(value: Any, names: Names) -> Any:
    """An option or constant as JSON."""
    if value is None or type(value) in (bool, int, str):
        return value
    if type(value) is float:
        return value if math.isfinite(value) else {"float": str(value)}
    if type(value) is tuple:
        return {"tuple": [value_written(one, names) for one in value]}
    named = names(value)
    return {"name": named.name, "number": named.number}


def value_read(value: Any, known: Mapping[Named, Any] = MappingProxyType({})) -> Any:
    """What was written; a function or class as its name, unless it is known by that."""
    if not isinstance(value, dict):
        return value
    if "float" in value:
        return float(value["float"])
    if "tuple" in value:
        return tuple(value_read(one, known) for one in value["tuple"])
    named = Named(str(value["name"]), int(value["number"]))
    return known.get(named, named)


def space_written(space: Space) -> dict[str, Any]:
    """A space as JSON, without its constraints.

    Example:
        >>> from jaxtune.spaces.domains import LogUniform
        >>> from jaxtune.spaces.space import Space
        >>> written = space_written(Space.of({"lr": LogUniform(1e-4, 1.0), "depth": 3}))
        >>> written
        {'lr': {'domain': 'LogUniform', 'low': 0.0001, 'high': 1.0}, 'depth': 3}
        >>> space_read(written).names
        ('lr',)
    """
    top = {entry.name: entry.value for entry in space.entries if entry.condition is None}
    return _written(top, Names())


def _written(entries: Mapping[str, Any], names: Names) -> dict[str, Any]:
    return {
        name: _domain_written(value, names) if isinstance(value, Domain) else value_written(value, names)
        for name, value in entries.items()
    }


def _domain_written(domain: Domain, names: Names) -> dict[str, Any]:
    given = {f.name: getattr(domain, f.name) for f in dataclasses.fields(domain) if f.init}  # type: ignore[arg-type]
    found = {name: value_written(value, names) for name, value in given.items() if value is not None}
    branches = getattr(domain, "branches", None)
    if branches is not None:
        found["branches"] = [_written(dict(branch), names) for branch in branches]
    return {"domain": type(domain).__name__, **found}


def space_read(written: Mapping[str, Any]) -> Space:
    """The space that was written; functions in it are names.

    Raises:
        ValueError: A domain is none of jaxtune's own.
    """
    return Space.of(_read(written))


def _read(written: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _domain_read(value) if isinstance(value, dict) and "domain" in value else value_read(value)
        for name, value in written.items()
    }


def _domain_read(written: Mapping[str, Any]) -> Domain:
    if written["domain"] not in _KINDS:
        raise ValueError(f"There is no domain {written['domain']!r} in jaxtune.")
    given = {name: value_read(value) for name, value in written.items() if name not in ("domain", "branches")}
    if "branches" in written:
        given["options"] = dict(zip(given["options"], map(_read, written["branches"]), strict=True))
    return _KINDS[written["domain"]](**given)
