"""Samplers: pure functions that choose points of the unit cube.

A sampler is a frozen dataclass with

    __call__(key, space, history, num_points) -> [num_points, D] float32 in [0, 1]

where `key` is a typed key (`jax.random.key`) that may be traced, `space` a `jaxtune.space.Space` of D
domains, `history` None (reserved for samplers that learn from finished trials) and `num_points` a Python int.
It has no state to save, and works under `jax.jit` and under `jax.vmap` over keys. To add one, write one file
here and export it below: the conformance test then covers it.
"""

from jaxtune.samplers.grid import Grid
from jaxtune.samplers.random import Random
from jaxtune.samplers.sobol import Sobol

__all__ = ["Grid", "Random", "Sobol"]
