"""The lanes of a population: their state, how they lie on devices, and how a chunk of them is taken and put back.

Shapes: R runs x rows x D devices make the lanes; a run is one replicate on one fold. Slot s = row * D + device holds
one trial, the same one in every run. Leaves are sharded over the device axis, and `shard_map` gives each device its own
rows.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P

from jaxtune.engine.data import Data
from jaxtune.tasks.functions import Extras

AXIS = "lanes"
HEALTHY = -1
_LANES, _EVERYWHERE = P(None, None, AXIS), P()


class Layout(NamedTuple):
    """How lanes lie on devices: with the traced functions, the static key of a program."""

    mesh: Mesh
    rows: int  # lanes per device and run that the arrays hold
    width: int  # lanes that a device trains at once; divides rows
    runs: int
    burst: int  # steps of the innermost loop
    batch_size: int | None
    fewest: int | None  # examples in the smallest fold's training part, if they come in batches
    keeps_best: bool  # whether the population holds a checkpoint of each lane
    most: int | None = None  # trials that it is for, where these are fewer than it has slots

    @property
    def devices(self) -> int:
        """Number of devices."""
        return self.mesh.devices.size

    @property
    def slots(self) -> int:
        """Trials that the arrays can hold."""
        return self.rows * self.devices

    @property
    def capacity(self) -> int:
        """Trials that it is for."""
        return self.slots if self.most is None else self.most

    @property
    def lanes(self) -> NamedSharding:
        """Placement of population leaves [R, rows, D, ...]."""
        return NamedSharding(self.mesh, _LANES)

    @property
    def everywhere(self) -> NamedSharding:
        """Placement of data, keys and tables: a copy on each device."""
        return NamedSharding(self.mesh, _EVERYWHERE)


class Population(flax.struct.PyTreeNode):
    """State of all lanes."""

    state: Any  # the trials' states; leaves [R, rows, D, ...]
    kept: Any  # their best states so far, likewise; None if these are not kept
    diverged: jax.Array  # [R, rows, D] int32: step of the first non-finite loss or metric, or HEALTHY
    info_sum: dict[str, jax.Array]  # [R, rows, D] float: sums of what steps log since the last evaluation
    info_count: dict[str, jax.Array]  # [R, rows, D] int32: how many of these were numbers


class Shared(flax.struct.PyTreeNode):
    """What all lanes share."""

    key: jax.Array  # key of the study
    consts: Any  # arrays that user functions close over
    data: Data
    replicate: jax.Array  # [R] int32: which replicate each run is
    fold: jax.Array  # [R] int32: and on which fold
    total_steps: jax.Array  # int32

    def extras(self, step: Any, fold: Any) -> Extras:
        """What task functions may ask for by name, in one fold."""
        return Extras(step, self.total_steps, self.data.of_fold(self.data.stats, fold))


def per_device(layout: Layout, body: Callable, *args: Any) -> Any:
    """Runs `body` on each device with its own rows of populations and of hyperparameters, and all other arguments.

    Leaves of a population are [R, rows, 1, ...] there, and so are results; a dict of hyperparameters, name -> [slots],
    becomes [rows, 1]. The device axis stays: without it XLA would copy a population on its way in and out of the loops.
    """

    def placed(arg: Any) -> tuple[Any, P]:
        if isinstance(arg, dict):
            return jax.tree.map(lambda x: x.reshape(layout.rows, layout.devices), arg), P(None, AXIS)
        return arg, _LANES if isinstance(arg, Population) else _EVERYWHERE

    tables, specs = zip(*map(placed, args), strict=True)
    return jax.shard_map(body, mesh=layout.mesh, in_specs=specs, out_specs=_LANES, check_vma=False)(*tables)


def num_chunks(num_lanes: jax.Array, layout: Layout) -> jax.Array:
    """Chunks with a lane in use on this device: slots are dealt round-robin, so that some devices have fewer."""
    rows = -(-(num_lanes - lax.axis_index(AXIS)) // layout.devices)
    return -(-rows // layout.width)


def _slice(x: jax.Array, first: tuple[Any, ...], sizes: tuple[int, ...]) -> jax.Array:
    """A part of an array; it begins at `first`, which is never negative, and at 0 in all other dimensions."""
    return lax.dynamic_slice(x, _begin(x, first), sizes, allow_negative_indices=False)


def _begin(x: jax.Array, first: tuple[Any, ...]) -> list[Any]:
    """Indices of one dtype, also where JAX's default is 64 bits."""
    return [*(jnp.asarray(i, jnp.int32) for i in first), *[np.int32(0)] * (x.ndim - len(first))]


def take(tree: Any, replicate: Any, row: Any, width: int) -> Any:
    """[R, rows, 1, ...] -> [width, ...]."""

    def slice_of(x: jax.Array) -> jax.Array:
        return _slice(x, (replicate, row), (1, width, 1, *x.shape[3:]))[0, :, 0]

    return jax.tree.map(slice_of, tree)


def take_hp(hp: Any, row: Any, width: int) -> Any:
    """[rows, 1] -> [width]."""
    return jax.tree.map(lambda x: _slice(x, (row,), (width, 1))[:, 0], hp)


def some(state: list, numbers: Iterable[int]) -> list:
    """Some leaves of a state."""
    return [state[number] for number in numbers]


def merged(state: list, numbers: Iterable[int], leaves: list) -> list:
    """A state with these leaves in place of some of its own."""
    return list((dict(enumerate(state)) | dict(zip(numbers, leaves, strict=True))).values())


def put(tree: Any, part: Any, replicate: Any, row: Any) -> Any:
    """Writes [width, ...] into [R, rows, 1, ...]."""

    def with_part(x: jax.Array, part: jax.Array) -> jax.Array:
        begin = _begin(x, (replicate, row))
        return lax.dynamic_update_slice(x, part[None, :, None], begin, allow_negative_indices=False)

    return jax.tree.map(with_part, tree, part)


def once(function: Any, states: Any, number: Any) -> tuple[Any, Any]:
    """What a function makes of the states of the chunk of a number, and more, in a loop of its own.

    Where a chunk is taken out of the population and put back without a loop in between, XLA copies all lanes for each
    of them. A loop that is known to run once is none, so how often it runs hangs on the number.
    """
    more = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), jax.eval_shape(function, states)[1])
    return lax.fori_loop(0, jnp.minimum(number, 0) + 1, lambda _, carry: function(carry[0]), (states, more))
