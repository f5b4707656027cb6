"""One hand-written `jit(vmap(training))` over all trials, without pruning: on one device, or on one for each core.

Compiled ahead of time, so that a single search tells the time with and without the compile: the warm time is that of
the compiled program alone.
"""

import math
import time

import jax
import numpy as np
from halving import configurations
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import jaxtune as jt
from searches import work as w
from searches.training import safe, training


def searcher(work, devices=1):
    """All configurations, trained to the end side by side."""
    if devices > 1:
        jt.set_host_device_count(devices)
    parts = training(work)
    devices = jax.devices()[: math.gcd(devices, work.trials)]
    mesh = jax.make_mesh((len(devices),), ("lanes",), axis_types=(AxisType.Auto,), devices=devices)
    split, whole = NamedSharding(mesh, PartitionSpec("lanes")), NamedSharding(mesh, PartitionSpec())

    def train(hp, key, rows):
        start_key, step_key = jax.random.split(key)
        state = parts.start(hp, start_key)
        return parts.validation_loss(parts.advance(state, hp, step_key, rows, 0, work.max_steps))

    specs = PartitionSpec("lanes"), PartitionSpec(), PartitionSpec()
    lanes = jax.vmap(train, in_axes=(0, None, None))
    many = jax.jit(jax.shard_map(lanes, mesh=mesh, in_specs=specs, out_specs=specs[0], check_vma=False))

    def search(seed):
        found = w.Found()
        key, rows = jax.device_put((jax.random.key(seed), w.rows(work, seed)), whole)
        hp = jax.device_put(configurations(seed, work.trials), split)
        compiled = many.lower(hp, key, rows).compile()
        found.compiling = time.perf_counter() - found.begin
        losses = np.asarray(compiled(hp, key, rows))
        found.losses = [safe(loss) for loss in losses]
        found.best = min(found.losses)
        found.saw(found.best)
        return found.done()

    return search
