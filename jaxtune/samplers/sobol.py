"""Sobol search: points that fill the unit cube more evenly than random ones."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.interface.habits import hinted
from jaxtune.samplers.sampler import Observed
from jaxtune.spaces.space import Space

_BITS = 30  # of a coordinate on the host
_FLOAT_BITS = 24  # that float32 holds for any number below 1, so that none rounds up to 1
_MATRIX_SEED = 0
_MAX_DIMS = 21201  # the direction numbers that scipy ships


@hinted
@dataclass(frozen=True)
class Sobol:
    """Scrambled Sobol points: any 2^k of them put one point into each of 2^k equal cells of every axis.

    The points are made on the host with scipy and scrambled there once and for all by a random linear matrix;
    the search's key then shifts them digit by digit (an exclusive or), which keeps the evenness, makes every
    point uniform by itself, and runs under `jit` and `vmap` with a traced key. Numbers of points that are no
    power of two are cut from the next one; they are a little less even.

    References: Sobol, USSR Comput. Math. 1967; direction numbers of Joe and Kuo, SIAM J. Sci. Comput. 2008; Matoušek,
    "On the L2-discrepancy for anchored boxes", J. Complexity 1998, for the scrambling.

    Example:
        >>> import jax
        >>> import jaxtune as jt
        >>> space = jt.Space.of({"lr": jt.Uniform(0.0, 1.0), "dropout": jt.Uniform(0.0, 0.7)})
        >>> points = jt.Sobol()(jax.random.key(0), space, None, 4)
        >>> sorted((4 * points[:, 0]).astype(int).tolist())
        [0, 1, 2, 3]
    """

    def __call__(self, key: jax.Array, space: Space, history: Observed | None, num_points: int) -> jax.Array:
        """Draws points.

        Args:
            key: typed key, may be traced.
            space: the space, at most 21201 domains.
            history: the sequence goes on after as many points.
            num_points: how many points; powers of two are the most even.

        Returns:
            [num_points, D] float32 in [0, 1).

        Raises:
            ValueError: if the space has more domains than scipy has direction numbers.
        """
        num_dims = space.num_dims
        if num_dims > _MAX_DIMS:
            raise ValueError(f"Sobol has at most {_MAX_DIMS} dimensions, got a space with {num_dims}: use Random().")
        points: Any = _host_points(num_points, num_dims)
        if history is not None:  # as many as its count, which may be traced
            points = jnp.asarray(_host_points(len(history.points) + num_points, num_dims))
            points = jax.lax.dynamic_slice_in_dim(points, history.count, num_points)
        shift = jax.random.bits(key, (num_dims,), jnp.uint32) >> (32 - _FLOAT_BITS)
        return (points ^ shift).astype(jnp.float32) * jnp.float32(2.0**-_FLOAT_BITS)


@functools.lru_cache(maxsize=16)
def _host_points(num_points: int, num_dims: int) -> np.ndarray:
    """The unshifted points as uint32 of 24 bits, [num_points, D]."""
    from scipy.stats import qmc  # here, because it doubles the time to import jaxtune

    if num_dims == 0 or num_points == 0:
        return np.zeros((num_points, num_dims), np.uint32)
    engine = qmc.Sobol(num_dims, scramble=True, bits=_BITS, rng=np.random.default_rng(_MATRIX_SEED))
    # scipy warns about other numbers than powers of two: draw the next one and cut.
    unit = engine.random_base2((num_points - 1).bit_length())[:num_points]
    points = (unit * 2.0**_BITS).astype(np.uint32) >> (_BITS - _FLOAT_BITS)
    points.flags.writeable = False  # the cache hands out the array itself
    return points
