"""How the configurations of a space lie in the unit cube, for models that compare them.

Shapes: N points, D dimensions.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.spaces.domains import Choice
from jaxtune.spaces.enumeration import INACTIVE
from jaxtune.spaces.space import Space

_MAX_CELLS = 2**12  # of a dimension that is divided into them; more are as good as a continuum


def shares(space: Space) -> tuple[np.ndarray | None, ...]:
    """How much of [0, 1] each option has, float32, for every dimension whose neighbours are not alike; else None."""
    return tuple(
        np.asarray(domain.weights or (1.0,) * domain.num_options, np.float32)
        / np.float32(sum(domain.weights or (1.0,) * domain.num_options))
        if isinstance(domain, Choice) and not domain.ordered
        else None
        for _, domain in space.domains
    )


def cell_widths(space: Space) -> np.ndarray:
    """The mean width of the cells that each dimension is divided into, [D] float32; 0 without cells."""
    return np.asarray([1 / domain.num_options if domain.num_options else 0 for _, domain in space.domains], np.float32)


def options(space: Space, points: jax.Array) -> jax.Array:
    """Option indices in the dimensions that have `shares`, 0 in all others: int32 [N, D]."""
    columns = [
        jnp.zeros(len(points), jnp.int32) if share is None else domain.decode_index(points[:, i])
        for i, ((_, domain), share) in enumerate(zip(space.domains, shares(space), strict=True))
    ]
    return jnp.stack(columns, axis=1)


def active(space: Space, points: jax.Array) -> jax.Array:
    """Which hyperparameters exist at which points, bool [N, D]; what `Space.exists` says of decoded ones."""
    found: dict[str, jax.Array] = {}
    column = {key: i for i, key in enumerate(space.names)}
    for entry in space.entries:
        if entry.is_domain:
            found[entry.key] = jnp.ones(len(points), bool)
            if entry.condition is not None:  # its choice comes first
                choice = entry.condition.key
                index = space.domain(choice).decode_index(points[:, column[choice]])
                found[entry.key] = found[choice] & (index == entry.condition.index)
    return jnp.stack([found[key] for key in space.names], axis=1)


def canonical(space: Space, points: jax.Array) -> jax.Array:
    """The same configurations, equal ones at equal points: [N, D] float32.

    Values of cells lie in their middle, what does not exist at 0.5, as `Space.encode` has them.

    Example:
        >>> import jax.numpy as jnp
        >>> import jaxtune as jt
        >>> from jaxtune.samplers.axes import canonical
        >>> space = jt.Space.of({"act": jt.Choice(("relu", "tanh")), "rate": jt.Uniform(0.0, 1.0)})
        >>> canonical(space, jnp.array([[0.1, 0.3], [0.9, 0.3]])).tolist()
        [[0.25, 0.30000001192092896], [0.75, 0.30000001192092896]]
    """
    points = jnp.asarray(points, jnp.float32)
    columns = [
        jnp.asarray(domain.grid_units(None))[domain.decode_index(points[:, i])]
        if domain.num_options is not None and domain.num_options <= _MAX_CELLS
        else points[:, i]
        for i, (_, domain) in enumerate(space.domains)
    ]
    return jnp.where(active(space, points), jnp.stack(columns, axis=1), jnp.float32(INACTIVE))


def is_new(points: jax.Array) -> jax.Array:
    """Which canonical points differ from all before them, bool [N].

    By codes of 32 bits: a different point is taken for an equal one once in four billion pairs.
    """
    bits = jax.lax.bitcast_convert_type(points, jnp.uint32)
    factors = np.random.default_rng(0).integers(0, 2**31, points.shape[1], np.uint32) * 2 + 1
    code = jnp.sum((bits ^ (bits >> 15)) * factors, axis=1, dtype=jnp.uint32)
    order = jnp.argsort(code, stable=True)  # the first of equal ones stays the first
    first = jnp.concatenate([jnp.ones(1, bool), jnp.diff(code[order]) != 0])
    return jnp.zeros(len(points), bool).at[order].set(first)
