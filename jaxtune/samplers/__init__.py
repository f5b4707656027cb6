"""Samplers: pure functions that choose points of the unit cube.

May import `spaces`. Begin with `random.py`.

A sampler is a frozen dataclass with

    __call__(key, space, history, num_points) -> [num_points, D] float32 in [0, 1]

where `key` is a typed key (`jax.random.key`) that may be traced, `space` a `jaxtune.spaces.space.Space` of D
domains, `history` a `jaxtune.samplers.sampler.Observed` of trials trained before or None, and `num_points` a Python
int.
It has no state to save, and works under `jax.jit` and under `jax.vmap` over keys.

`tune` drops points that violate a constraint of the space or repeat a configuration, and asks again for twice as
many points with the same key; so the first points of many should be the same as those of few. A sampler that has no
more points to give says so with an attribute `exhaustive = True`; one that can't be compiled with `on_host = True`.

To add a sampler, write one file here and export it below: the conformance test then covers it.
"""

from jaxtune.samplers.bayesian import Bayesian
from jaxtune.samplers.from_optuna import FromOptuna
from jaxtune.samplers.grid import Grid
from jaxtune.samplers.points import Points
from jaxtune.samplers.random import Random
from jaxtune.samplers.sobol import Sobol
from jaxtune.samplers.tpe import TPE

__all__ = ["TPE", "Bayesian", "FromOptuna", "Grid", "Points", "Random", "Sobol"]
