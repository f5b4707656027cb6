"""The configurations of a study: the sampler's points, decoded. One compiled function for `tune` and `search`."""

import functools
import itertools
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.engine.keys import SAMPLE, search_key
from jaxtune.interface.warning import warn
from jaxtune.samplers.observed import Observed
from jaxtune.samplers.sampler import Sampler
from jaxtune.spaces.configurations import Rows
from jaxtune.spaces.enumeration import combinations, num_configurations
from jaxtune.spaces.space import Space
from jaxtune.spaces.values import typed
from jaxtune.tasks import checks
from jaxtune.tasks.decoding import decode
from jaxtune.tasks.executables import Jitted

_MAX_ENUMERATED = 2**16  # configurations of a space that are looked at one by one
_MAX_POINTS = 4096  # asked of a sampler in vain
_MAX_FACTOR = 64  # the same, as a multiple of the trials


def sample(
    key: jax.Array, *, sampler: Sampler, space: Space, num_points: int, history: Observed | None = None
) -> jax.Array:
    """Points [T, D] of the unit cube that a sampler proposes for a study.

    Raises:
        ValueError: There is nothing to choose, or the sampler's points are none of the unit cube.
    """
    if space.num_dims == 0 and num_points > 1:
        raise ValueError(f"The space holds constants only, so {num_points} trials would be equal: set trials=1.")
    return _sampling(sampler, space, num_points)(key, history)


@functools.lru_cache(maxsize=32)
def _sampling(sampler: Sampler, space: Space, num_points: int) -> Jitted:
    def points(key: jax.Array, history: Observed | None) -> jax.Array:
        points = sampler(search_key(key, SAMPLE), space, history, num_points)
        check_points(points, num_points, space.num_dims)
        return jnp.asarray(points, jnp.float32)

    return Jitted(points)


def propose(
    key: jax.Array,
    *,
    sampler: Sampler,
    space: Space,
    history: Observed | None = None,
    num_points: int,
    previous_hparams: Iterable[Mapping[str, Any]] = (),
) -> np.ndarray:
    """Points of a study that are allowed and different from one another.

    Those of `sample`, but for configurations that violate a constraint of the space or occurred before; the sampler
    is asked for twice as many points until enough are left. If a space has too few configurations, all of them are
    taken and then repeated in order, with a warning.

    Args:
        key: Key of the study.
        sampler: The sampler.
        space: The space, everything pinned.
        history: Trials trained before, or None.
        num_points: T.
        previous_hparams: Configurations trained before, as `Space.row` returns them; not proposed again.

    Returns:
        [T, D] float32 in [0, 1].

    Raises:
        ValueError: The constraints accept too few points, or the sampler's points are none of the unit cube.

    Example:
        >>> import jax
        >>> from jaxtune.drivers.proposing import propose
        >>> from jaxtune.spaces.domains import Integer
        >>> from jaxtune.samplers import Random
        >>> from jaxtune.spaces.space import Space, constrain
        >>> space = constrain({"width": Integer(1, 6)}, lambda hp: hp["width"] % 2 == 0)
        >>> points = propose(jax.random.key(0), sampler=Random(), space=space, num_points=3)
        >>> sorted(space.decode(points)["width"].tolist())
        [2, 4, 6]
    """
    before = {_value(hparams) for hparams in previous_hparams}
    for num_asked in _numbers_to_ask(sampler, space, num_points):
        points = np.asarray(sample(key, sampler=sampler, space=space, num_points=num_asked, history=history))
        check_points(points, num_asked, space.num_dims)
        found, num_accepted = _different(points, space, by_value=bool(before))
        new = [point for value, point in found.items() if value not in before]
        if len(new) >= num_points:
            return np.array(new[:num_points])
    if _is_small(space) and not _is_exhaustive(sampler):
        everything, _ = _different(_all_points(key, space), space, by_value=bool(before))
        found |= {value: point for value, point in everything.items() if value not in found}
        if not found:
            raise ValueError(f"The constraint accepts none of the {num_configurations(space)} configurations.")
        what = f"The space has only {len(found)} different configurations"
    elif num_accepted < num_points:
        raise ValueError(
            f"The constraint accepted {num_accepted} of {num_asked} points ({num_accepted / num_asked:.2%}), too few "
            f"for {num_points} trials: narrow the domains to where it holds."
        )
    else:
        what = f"{sampler} proposed only {len(found)} different configurations"
    return _repeated(found, before, num_points, what)


def _numbers_to_ask(sampler: Sampler, space: Space, num_points: int) -> Iterator[int]:
    """How many points to ask a sampler for, one number after the other until enough of them are left."""
    most, size = max(_MAX_POINTS, _MAX_FACTOR * num_points), num_configurations(space)
    if _is_exhaustive(sampler) or (size is not None and size <= num_points):
        most = num_points  # more would bring nothing
    elif size is not None:
        most = min(most, 4 * size)
    num_asked = num_points
    while num_asked <= most:
        yield num_asked
        num_asked *= 2


def _is_exhaustive(sampler: Sampler) -> bool:
    return getattr(sampler, "exhaustive", False)


def _is_small(space: Space) -> bool:
    """Whether all configurations can be looked at."""
    size = num_configurations(space)
    return size is not None and size <= _MAX_ENUMERATED


def _all_points(key: jax.Array, space: Space) -> np.ndarray:
    """All configurations of a small space, in random order."""
    points = combinations(space, lambda entry: entry.value.grid_units(None))
    return points[np.asarray(jax.random.permutation(search_key(key, SAMPLE), len(points)))]


def _different(points: np.ndarray, space: Space, by_value: bool) -> tuple[dict[Hashable, np.ndarray], int]:
    """The allowed points by configuration, the first of equal ones; and how many of the points were allowed.

    Configurations are told apart by their `_value`, which those of another search have too, or by a cheaper code.
    """
    decoded = {name: np.asarray(values) for name, values in decode(points, space=space).items()}
    rows = Rows(space, decoded)
    keys: Sequence[Hashable] = list(map(_value, rows)) if by_value else _codes(decoded, space)
    allowed: Sequence[int] = range(len(points))
    if space.constraints:
        allowed = [t for t, row in enumerate(rows) if space.allows(row)]
    found: dict[Hashable, int] = {}
    for t in allowed:
        found.setdefault(keys[t], t)
    return dict(zip(found, points[list(found.values())], strict=True)), len(allowed)


def _codes(decoded: Mapping[str, np.ndarray], space: Space) -> list[bytes]:
    """Bytes for each point, equal for equal configurations and only for these."""
    if not decoded:
        return [b""]
    exists = space.exists(decoded)
    columns = [np.where(exists[key], values, 0) + 0.0 for key, values in decoded.items()]  # -0.0 equals 0.0
    return [code.tobytes() for code in np.stack(columns, axis=1, dtype=np.float64)]


def _value(hparams: Mapping[str, Any]) -> Hashable:
    """A configuration as a value: 1, 1.0 and True are different."""
    return frozenset((name, typed(value)) for name, value in hparams.items())


def _repeated(found: dict[Hashable, np.ndarray], before: set[Hashable], num_points: int, what: str) -> np.ndarray:
    """What is new, and then everything again in order; with a warning."""
    new = [point for value, point in found.items() if value not in before][:num_points]
    if len(new) < num_points:
        num_before = sum(value in before for value in found)
        trained = f", {num_before} of them trained before," if num_before else ""
        again = num_points - len(new)
        warn(f"{what}{trained} for {num_points} trials: {again} are trained again.")
        old = [point for value, point in found.items() if value in before]
        new += itertools.islice(itertools.cycle(new + old), again)
    return np.stack(new)


def check_points(points: Any, num_points: int, num_dims: int) -> None:
    """Raises unless a sampler returned points of the unit cube; traced ones have no values to look at."""
    wanted = f"sampler must return an array [{num_points}, {num_dims}] of numbers in [0, 1]"
    if not checks.is_real(points):
        raise TypeError(f"{wanted}, got {checks.kind(points)}.")
    if jnp.shape(points) != (num_points, num_dims):
        raise ValueError(f"{wanted}, got shape {jnp.shape(points)}.")
    if not isinstance(points, jax.core.Tracer):
        values = np.asarray(points)
        outside = values[~((values >= 0) & (values <= 1))]  # NaN too
        if outside.size:
            raise ValueError(f"{wanted}, got {outside[0]}.")
