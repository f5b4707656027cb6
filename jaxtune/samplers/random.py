"""Random search: independent uniform points."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from jaxtune.interface.habits import hinted
from jaxtune.samplers.sampler import Observed
from jaxtune.spaces.domains.numeric import draw_units
from jaxtune.spaces.space import Space


@hinted
@dataclass(frozen=True)
class Random:
    """Draws every coordinate of every point independently and uniformly.

    The baseline of Bergstra and Bengio, "Random Search for Hyper-Parameter Optimization", JMLR 2012.

    Example:
        >>> import jax
        >>> import jaxtune as jt
        >>> space = jt.Space.of({"lr": jt.Uniform(0.0, 1.0), "dropout": jt.Uniform(0.0, 0.7)})
        >>> jt.Random()(jax.random.key(0), space, None, 5).shape
        (5, 2)
    """

    def __call__(self, key: jax.Array, space: Space, history: Observed | None, num_points: int) -> jax.Array:
        """Draws points.

        Args:
            key: typed key, may be traced.
            space: the space, D domains.
            history: their number changes the key, so that a continued search draws other points.
            num_points: how many points.

        Returns:
            [num_points, D] float32 in [0, 1).
        """
        if history is not None:  # an empty one changes nothing
            key = jnp.where(history.count == 0, key, jax.random.fold_in(key, history.count))
        return draw_units(key, (num_points, space.num_dims))
