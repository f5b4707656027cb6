"""A population as arrays that don't know where its lanes lay, and back: on other devices or in other chunks too."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.engine.lanes import Layout, Population


def saved(population: Population, layout: Layout, count: int) -> dict[str, np.ndarray]:
    """The first `count` slots: number of a leaf -> [R, count, ...], copies on the host."""

    def of(x: Any) -> np.ndarray:
        x = jax.random.key_data(x) if _is_key(x) else x
        host = np.asarray(x).reshape(layout.runs, layout.slots, *x.shape[3:])
        return np.array(host[:, :count])

    return {f"{number:05d}": of(leaf) for number, leaf in enumerate(jax.tree.leaves(population))}


def restored(arrays: Mapping[str, np.ndarray], shape: Population, layout: Layout) -> Population:
    """The population that was saved; the other slots hold copies of its last one.

    Args:
        arrays: From `saved`.
        shape: Shapes and dtypes of the population.
        layout: Where its lanes lie now.

    Raises:
        ValueError: These are arrays of something else.
    """

    def of(struct: Any, x: np.ndarray) -> jax.Array:
        rest = np.broadcast_to(x[:, -1:], (x.shape[0], layout.slots - x.shape[1], *x.shape[2:]))
        slots = np.concatenate([x, rest], axis=1).reshape(layout.runs, layout.rows, layout.devices, *x.shape[2:])
        if not _is_key(struct):
            if (slots.shape, slots.dtype) != (struct.shape, struct.dtype):
                raise ValueError(f"A saved array is {slots.dtype}{slots.shape}, not {struct.dtype}{struct.shape}.")
            return jax.device_put(slots, layout.lanes)
        keys = jax.random.wrap_key_data(jnp.asarray(slots), impl=jax.random.key_impl(jnp.empty((), struct.dtype)))
        return jax.device_put(keys, layout.lanes)

    structs, tree = jax.tree.flatten(shape)
    given = [arrays[name] for name in sorted(arrays)]
    return jax.tree.unflatten(tree, [of(struct, x) for struct, x in zip(structs, given, strict=True)])


def _is_key(x: Any) -> bool:
    return bool(jnp.issubdtype(x.dtype, jax.dtypes.prng_key))
