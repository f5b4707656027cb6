"""Hyperparameters as places in [0, 1], which is how pictures lay them out and models read them.

Shapes: T trials.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxtune.results.plots.axes import MISSING, has_place
from jaxtune.results.tables import hparam_names
from jaxtune.results.text import labels
from jaxtune.spaces.values import Named, is_number, typed
from jaxtune.spaces.written import value_read


@dataclass(frozen=True, eq=False)
class Dimension:
    """One hyperparameter of a search, by its name; branches that share a name share the dimension.

    Attributes:
        name: Of the hyperparameter.
        kind: "linear" or "log" for numbers, "category" for all else.
        values: Per trial, `MISSING` where it has none.
        places: Float [T], in [0, 1] from `low` to `high` or, of a category, (index + 1/2) / number of options; NaN
            where the trial has none.
        low: Lower end of the range: as searched, or the least value tried where that is unknown or unbounded. Of a
            category 0.
        high: Upper end. Of a category the number of options.
        options: Texts of the options of a category, in order; empty for numbers.
        bounded: Whether the search could not have gone beyond `low` and `high`.
        integer: Whether all values are whole numbers.
    """

    name: str
    kind: str
    values: Sequence[Any]
    places: np.ndarray
    low: float
    high: float
    options: tuple[str, ...] = ()
    bounded: bool = False
    integer: bool = False

    def value_at(self, place: float) -> float:
        """The number at a place in [0, 1]; of a category its index, as a float.

        Example:
            >>> import numpy as np
            >>> lr = Dimension("lr", "log", [1e-3], np.array([0.5]), 1e-4, 1e-2)
            >>> round(lr.value_at(0.5), 6)
            0.001
        """
        if self.kind == "log":
            return float(math.exp(math.log(self.low) + place * (math.log(self.high) - math.log(self.low))))
        return float(self.low + place * (self.high - self.low))


def dimensions(hparams: Sequence[Mapping[str, Any]], log_names: Sequence[str], space: Any = None) -> list[Dimension]:
    """A dimension for each hyperparameter that differs between trials, in the order of the space.

    Args:
        hparams: Of each trial, T of them.
        log_names: Names of those on logarithmic scales.
        space: What was searched, see `space_written`; None if that is not known.

    Example:
        >>> tried = [{"lr": 1e-3, "act": "relu", "layers": 2}, {"lr": 1e-2, "act": "tanh", "layers": 2}]
        >>> lr, act = dimensions(tried, ["lr"], {"lr": {"domain": "LogUniform", "low": 1e-4, "high": 1.0}})
        >>> [round(place, 3) for place in lr.places.tolist()], act.options, act.places.tolist()
        ([0.25, 0.5], ('relu', 'tanh'), [0.25, 0.75])
    """
    hparams = list(hparams)  # which are decoded when they are asked for
    known: dict[str, list[Mapping[str, Any]]] = {}
    for name, domain in _domains(space or {}):
        known.setdefault(name, []).append(domain)
    changing = [name for name in hparam_names(hparams) if _differs(hparams, name)]
    return [_dimension(name, hparams, name in log_names, known.get(name, [])) for name in changing]


def _differs(hparams: Sequence[Mapping[str, Any]], name: str) -> bool:
    return len({typed(one.get(name, MISSING)) for one in hparams}) > 1


def _domains(space: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Name and written domain of all that is searched, also inside branches."""
    for name, value in space.items():
        if isinstance(value, Mapping) and "domain" in value:
            yield name, value
            for branch in value.get("branches", ()):
                yield from _domains(branch)


def _dimension(name: str, hparams: Sequence[Mapping[str, Any]], log: bool, domains: list) -> Dimension:
    values = [one.get(name, MISSING) for one in hparams]
    tried = [value for value in values if value is not MISSING]
    if any("options" in domain for domain in domains) or not all(map(has_place, tried)):
        return _category(name, values, domains)
    low, high = float(min(tried)), float(max(tried))
    bounded = bool(domains) and all("low" in domain and "high" in domain for domain in domains)
    if bounded:
        low = min(low, *(domain["low"] for domain in domains))
        high = max(high, *(domain["high"] for domain in domains))
    log = log and low > 0
    numbers = np.array([math.nan if value is MISSING else float(value) for value in values])
    places = _along(np.log(numbers), math.log(low), math.log(high)) if log else _along(numbers, low, high)
    integer = all(isinstance(value, int) for value in tried)
    return Dimension(name, "log" if log else "linear", values, places, low, high, (), bounded, integer)


def _along(values: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.clip((values - low) / (high - low), 0.0, 1.0) if high > low else np.where(np.isnan(values), np.nan, 0.5)


def _category(name: str, values: Sequence[Any], domains: Sequence[Mapping[str, Any]]) -> Dimension:
    """Options in the order of the space; what was tried besides follows, numbers first."""
    tried = [value for value in values if value is not MISSING]
    options = [option for domain in domains for option in value_read(domain.get("options", {"tuple": []}))]
    # In a folder functions are but names; several of one name only the values themselves tell apart.
    key = _by_name if len(set(map(_by_name, options))) == len(set(map(typed, options))) else typed
    named = {key(option): option for option in options} if key is _by_name else {}
    others = {key(value): value for value in tried if key(value) not in named}
    rest = sorted(others.values(), key=lambda value: (not is_number(value), value if is_number(value) else str(value)))
    index = {known: i for i, known in enumerate((*named, *map(key, rest)))}
    num = len(index)
    places = np.array([math.nan if value is MISSING else (index[key(value)] + 0.5) / num for value in values])
    texts = tuple(labels([*named.values(), *rest]))
    return Dimension(name, "category", values, places, 0.0, float(num), texts, bounded=True)


def _by_name(value: Any) -> Any:
    """Equal for equal values, and for a function and its name."""
    name = getattr(value, "__name__", None)
    return typed(value) if name is None else (Named, name)
