"""The configurations of a study: the sampler's points, decoded. One compiled function for `tune` and `search`."""

import functools
import itertools
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.engine.keys import SAMPLE, search_key
from jaxtune.engine.search import Search
from jaxtune.interface.warning import warn
from jaxtune.samplers import Points
from jaxtune.samplers.sampler import Observed, Sampler
from jaxtune.spaces.configurations import as_value, different
from jaxtune.spaces.enumeration import all_points, num_configurations
from jaxtune.spaces.space import Space
from jaxtune.tasks import checks
from jaxtune.tasks.decoding import decoded
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


def prepare(key: jax.Array, *, sampler: Sampler, space: Space, num_points: int, history: Observed) -> None:
    """Starts compiling what `propose` calls first."""
    program = _sampling(sampler, space, num_points)
    if isinstance(program, Jitted):
        program.prepare(key, history)


@functools.lru_cache(maxsize=32)
def _sampling(sampler: Sampler, space: Space, num_points: int) -> Callable[..., jax.Array]:
    def points(key: jax.Array, history: Observed | None) -> jax.Array:
        points = sampler(search_key(key, SAMPLE), space, history, num_points)
        check_points(points, num_points, space.num_dims)
        return jnp.asarray(points, jnp.float32)

    return points if is_on_host(sampler) else Jitted(points)


def is_on_host(sampler: Sampler) -> bool:
    """Whether a sampler can't be compiled."""
    return getattr(sampler, "on_host", False)


def sampler_of(search: Search) -> Sampler:
    """Who proposes a generation: after the first one not those points again that were given."""
    sampler = search.sampler
    return sampler.then if search.generation and isinstance(sampler, Points) else sampler


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
        key: Key of the search, of all generations the same.
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
    before, size = set(map(as_value, previous_hparams)), num_configurations(space)
    for num_asked in _numbers_to_ask(sampler, size, num_points):
        points = np.asarray(sample(key, sampler=sampler, space=space, num_points=num_asked, history=history))
        check_points(points, num_asked, space.num_dims)
        found, num_accepted = different(space, points, decoded(points, space), by_value=bool(before))
        new = [point for value, point in found.items() if value not in before]
        if len(new) >= num_points:
            return np.array(new[:num_points])
    if size is not None and size <= _MAX_ENUMERATED and not _is_exhaustive(sampler):
        points = all_points(space)[np.asarray(jax.random.permutation(search_key(key, SAMPLE), size))]
        everything, _ = different(space, points, decoded(points, space), by_value=bool(before))
        found |= {value: point for value, point in everything.items() if value not in found}
        if not found:
            raise ValueError(f"The constraint accepts none of the {size} configurations.")
        what = f"The space has only {len(found)} different configurations"
    elif num_accepted < num_points:
        raise ValueError(
            f"The constraint accepted {num_accepted} of {num_asked} points ({num_accepted / num_asked:.2%}), too few "
            f"for {num_points} trials: narrow the domains to where it holds."
        )
    else:
        what = f"{sampler} proposed only {len(found)} different configurations"
    return _repeated(found, before, num_points, what)


def _numbers_to_ask(sampler: Sampler, size: int | None, num_points: int) -> Iterator[int]:
    """How many points to ask a sampler for, one number after the other until enough of them are left."""
    most = max(_MAX_POINTS, _MAX_FACTOR * num_points)
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
