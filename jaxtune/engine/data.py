"""The data of a search as its programs see them: splits or folds, which example is in which, and fitted statistics.

Data are lists of arrays here, the leaves of what a task has.

Shapes: F folds (1 without cross-validation), C examples that a training part may have at most, V in a validation part.
The training part of a fold is a list of rows, so that folds, and a last training on all data, share one program.
"""

import math
from collections.abc import Sequence
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxtune.tasks.executables import Jitted
from jaxtune.tasks.folds import Fold
from jaxtune.tasks.functions import structs
from jaxtune.tasks.task import Task

_ALIGNMENT = 64  # bytes


@flax.struct.dataclass
class Data:
    """What lanes train on and are evaluated on."""

    train: Any  # [C, ...] each; without batch size [F, N, ...]
    rows: Any  # [F, C] int32: the examples of each fold's training part come first; None without batch size
    count: Any  # [F] int32: how many these are; None without batch size
    validation: Any  # [F, V, ...] each
    stats: Any  # what Task.prepare returned for each fold, [F, ...] each

    def of_fold(self, part: Any, fold: Any) -> Any:
        """One fold of a part whose leaves have a leading fold axis."""
        alone = self.num_folds == 1  # a static index is no copy
        return jax.tree.map(lambda x: x[0] if alone else jax.lax.dynamic_index_in_dim(x, fold, keepdims=False), part)

    @property
    def num_folds(self) -> int:
        """F."""
        leaves = jax.tree.leaves((self.rows, self.validation, self.stats))
        return leaves[0].shape[0] if leaves else 1


def task_data(task: Task, folds: Sequence[Fold] | None = None) -> Data:
    """The data of a task, with validation data of its own or in folds; arrays may be traced.

    Without folds the validation data follow the training data in `train`, where they look alike: no search trains on
    them, but a last training on both finds arrays of the shapes that its program was compiled for.
    """
    if task.train is None:
        return Data([], None, None, _stacked([task.validation]), [])
    splits = [task] if folds is None else [of_fold(task, fold) for fold in folds]
    parts, validation = [split.train for split in splits], [split.validation for split in splits]
    stats = [] if task.prepare is None else _stacked([Jitted(task.prepare)(part) for part in parts])
    train = task.train if folds is not None or task.batch_size is None else pooled(task)
    used = [np.arange(task.num_examples or 0)] if folds is None else [fold.train for fold in folds]
    return _data(task, train, parts, used, validation, stats)


def _data(task: Task, train: Any, parts: list, used: Sequence[np.ndarray], validation: list, stats: list) -> Data:
    """All examples `train` with the rows of each fold's training part; or these parts, where no batches are drawn."""
    if task.batch_size is None:
        return Data(_stacked(parts), None, None, _stacked(validation), stats)
    rows = np.tile(np.arange(jax.tree.leaves(train)[0].shape[0], dtype=np.int32), (len(used), 1))
    for row, numbers in zip(rows, used, strict=True):
        row[: len(numbers)] = numbers
    counts = jnp.asarray([len(numbers) for numbers in used], jnp.int32)
    return Data(_arrays(train), jnp.asarray(rows), counts, _stacked(validation), stats)


def pooled(task: Task) -> Any:
    """Training and validation examples in one, or the training data alone where the two don't fit together."""
    if not is_poolable(task):
        return task.train
    return jax.tree.map(_concatenate, task.train, task.validation)


def is_poolable(task: Task) -> bool:
    """Whether training and validation examples have the same structure, shapes and dtypes."""
    train, validation = (jax.tree.map(_shape, part) for part in (task.train, task.validation))
    return bool(train == validation)


def whole(task: Task, folds: Sequence[Fold] | None) -> Data:
    """All data of a task for training: training and validation examples together, none held back.

    Shapes are those that a search in these folds has; nothing is to be evaluated.
    """
    if task.train is None:
        return task_data(task)
    train, times = pooled(task), 1 if folds is None else len(folds)
    stats = [] if task.prepare is None else _stacked([Jitted(task.prepare)(train)] * times)
    part = task.validation if folds is None else of_fold(task, folds[0]).validation
    used = [np.arange(jax.tree.leaves(train)[0].shape[0])] * times
    return _data(task, train, [train] * times, used, [part] * times, stats)


def of_fold(task: Task, fold: Fold) -> Task:
    """The task of one fold: with a training and a validation part."""
    train, validation = (_take(task.train, part) for part in fold)
    return task.replace(train=train, validation=validation)


def smallest_fold(task: Task, folds: Sequence[Fold]) -> Task:
    """The task of the fold with the fewest training examples, which stands for all when a search is checked."""
    return of_fold(task, min(folds, key=lambda fold: len(fold.train)))


def on_devices(data: Data, mesh: Mesh) -> Data:
    """The data on each device: a copy, but the devices of a CPU share one, for which it has to lie on the host."""
    on_cpu = mesh.devices.flat[0].platform == "cpu"
    return jax.device_put(jax.tree.map(_on_host, data) if on_cpu else data, NamedSharding(mesh, PartitionSpec()))


def data_bytes(task: Task, folds: Sequence[Fold] | None, mesh: Mesh) -> int:
    """Bytes that the data of a search take on all devices, without fitted statistics."""
    train, validation = _bytes(task.train), _bytes(task.validation)
    if folds is not None:
        validation = sum(len(fold.validation) for fold in folds) * train // (task.num_examples or 1)
        train *= len(folds) if task.batch_size is None else 1
    elif task.batch_size is not None and is_poolable(task):
        train += validation
    copies = 1 if mesh.devices.flat[0].platform == "cpu" else mesh.devices.size
    return copies * (train + validation)


def _bytes(tree: Any) -> int:
    leaves = jax.tree.leaves(structs(tree))
    return sum(x.size * x.dtype.itemsize for x in leaves)


def _on_host(x: jax.Array) -> Any:
    """A view, whose memory JAX can share among devices; random keys have none."""
    return x if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else np.asarray(x)


def _shape(x: Any) -> Any:
    return x.shape[1:], jax.dtypes.canonicalize_dtype(x.dtype)


def _concatenate(a: Any, b: Any) -> Any:
    if not (isinstance(a, np.ndarray) and isinstance(b, np.ndarray)):
        return jnp.concatenate([a, b])
    shape, dtype = (len(a) + len(b), *a.shape[1:]), jax.dtypes.canonicalize_dtype(a.dtype)
    return jax.device_put(np.concatenate([a, b], out=_aligned(shape, dtype), casting="unsafe"))  # casts as JAX would


def _aligned(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array of the host whose memory JAX takes for that of a CPU device as it is."""
    size = math.prod(shape) * dtype.itemsize
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    first = -memory.ctypes.data % _ALIGNMENT
    return memory[first : first + size].view(dtype).reshape(shape)


def _take(tree: Any, rows: np.ndarray) -> Any:
    return jax.tree.map(lambda x: x[rows], tree)


def _arrays(tree: Any) -> list[jax.Array]:
    return [jnp.asarray(x) for x in jax.tree.leaves(tree)]  # copies: a user may change their own arrays


def _stacked(parts: Sequence[Any]) -> list[jax.Array]:
    leaves = [jax.tree.leaves(part) for part in parts]
    return [jnp.stack([jnp.asarray(x) for x in xs]) for xs in zip(*leaves, strict=True)]
