"""The configurations of many trials: as plain dicts, made when they are first asked for; and which of them differ."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, overload

import numpy as np

from jaxtune.spaces.domains import Domain
from jaxtune.spaces.space import Space
from jaxtune.spaces.values import typed

_BLOCK = 256  # rows made together: a column at a time is several times faster than row by row


class Rows(Sequence):
    """What `Space.row` returns for each trial, T of them.

    A search may have 100,000 trials, of which nobody looks at more than the best.

    Args:
        space: the space.
        decoded: what its `decode` returned: [T] per domain.

    Example:
        >>> from jaxtune.spaces.domains import Uniform
        >>> from jaxtune.spaces.configurations import Rows
        >>> from jaxtune.spaces.space import Space
        >>> space = Space.of({"rate": Uniform(0.0, 1.0), "depth": 3})
        >>> Rows(space, space.decode([[0.25], [0.5]]))[1]
        {'rate': 0.5, 'depth': 3}
    """

    def __init__(self, space: Space, decoded: Mapping[str, Any]) -> None:
        self._space = space
        self._decoded = {key: np.asarray(values) for key, values in decoded.items()}
        self._blocks: dict[int, list[dict[str, Any]]] = {}

    def __len__(self) -> int:
        return len(next(iter(self._decoded.values()), [0]))

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        if isinstance(index, slice):
            return [self[t] for t in range(len(self))[index]]
        number, place = divmod(range(len(self))[index], _BLOCK)
        if number not in self._blocks:
            self._blocks[number] = self._block(slice(number * _BLOCK, (number + 1) * _BLOCK))
        return self._blocks[number][place]

    def _block(self, part: slice) -> list[dict[str, Any]]:
        space, decoded = self._space, {key: values[part] for key, values in self._decoded.items()}
        variants, group_of = space.groups(decoded)
        columns = {key: _column(space.domain(key), decoded[key]) for key in space.traced}
        return [
            variant.hp({name: columns[key][t] for name, key in variant.traced.items()})
            for t, variant in enumerate(variants[number] for number in group_of.tolist())
        ]


def _column(domain: Domain, values: np.ndarray) -> list[Any]:
    """Plain Python values of one hyperparameter; of discrete ones each is made once."""
    if domain.num_options is None:
        return list(map(domain.to_python, values))
    different, where = np.unique(values, return_inverse=True)
    plain = list(map(domain.to_python, different))
    return [plain[i] for i in where.reshape(-1).tolist()]


def different(
    space: Space, points: np.ndarray, decoded: Mapping[str, np.ndarray], by_value: bool
) -> tuple[dict[Hashable, np.ndarray], int]:
    """The allowed points by configuration, the first of equal ones; and how many of the points were allowed.

    Args:
        space: the space.
        points: [T, D], in the unit cube.
        decoded: what they decode to.
        by_value: tells configurations apart by their values, which those of another search have too; else by a
            cheaper code.
    """
    rows = Rows(space, decoded)
    keys: Sequence[Hashable] = list(map(as_value, rows)) if by_value else _codes(space, decoded)
    allowed: Sequence[int] = range(len(points))
    if space.constraints:
        allowed = [t for t, row in enumerate(rows) if space.allows(row)]
    found: dict[Hashable, int] = {}
    for t in allowed:
        found.setdefault(keys[t], t)
    return dict(zip(found, points[list(found.values())], strict=True)), len(allowed)


def as_value(hparams: Mapping[str, Any]) -> Hashable:
    """A configuration as a value: 1, 1.0 and True are different."""
    return frozenset((name, typed(value)) for name, value in hparams.items())


def _codes(space: Space, decoded: Mapping[str, np.ndarray]) -> list[bytes]:
    """Bytes for each point, equal for equal configurations and only for these."""
    if not decoded:
        return [b""]
    exists = space.exists(decoded)
    columns = [np.where(exists[key], values, 0) + 0.0 for key, values in decoded.items()]  # -0.0 equals 0.0
    return [code.tobytes() for code in np.stack(columns, axis=1, dtype=np.float64)]
