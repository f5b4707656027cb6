"""Sentences about values: data, states and results of user functions, checked before anything compiles."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def _leaves(tree: Any) -> list[tuple[str, Any]]:
    return [(jax.tree_util.keystr(path), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)]


def _is_array(leaf: Any) -> bool:
    return isinstance(
        leaf, (jax.Array, np.ndarray, np.generic, int, float, complex, jax.ShapeDtypeStruct)
    ) or (hasattr(leaf, "shape") and hasattr(leaf, "dtype") and hasattr(leaf, "__array__"))


def check_arrays(tree: Any, owner: str, name: str, advice: str) -> None:
    """Raises TypeError if a leaf of `tree`, which `owner` returned as `name`, is no array."""
    for path, leaf in _leaves(tree):
        if not _is_array(leaf):
            kind = "function" if callable(leaf) else type(leaf).__name__
            raise TypeError(f"{owner} returned a {kind} at {name}{path}; {advice}")


def check_same_state(before: Any, after: Any, owner: str) -> None:
    """Raises TypeError if a step changed structure, shape or dtype of the state."""
    if jax.tree.structure(before) != jax.tree.structure(after):
        raise TypeError(
            f"{owner} changed the structure of the state from {jax.tree.structure(before)} to "
            f"{jax.tree.structure(after)}; it must return the state it was given with new values."
        )
    for (path, old), (_, new) in zip(_leaves(before), _leaves(after), strict=True):
        if (old.shape, old.dtype) != (new.shape, new.dtype):
            raise TypeError(
                f"{owner} changed state{path} from {_describe(old)} to {_describe(new)}; "
                "it must keep shape and dtype."
            )


def _describe(leaf: Any) -> str:
    return f"{leaf.dtype}{list(leaf.shape)}"


def check_scalars(values: Any, owner: str) -> None:
    """Raises TypeError unless `values` is a dict of name -> scalar."""
    if not isinstance(values, Mapping):
        raise TypeError(f"{owner} must be a dict of name -> scalar, got {type(values).__name__}.")
    for name, value in values.items():
        if not isinstance(name, str) or jnp.shape(value) != ():
            shape = jnp.shape(value)
            raise TypeError(f"{owner} must be a dict of name -> scalar, but {name!r} has shape {shape}.")


def num_examples(data: Any, name: str) -> int:
    """The length of the leading axis that all arrays of `data` share.

    Raises:
        TypeError: `data` holds something else than arrays: an iterator, say.
        ValueError: Lengths differ, or there is no example.
    """
    for path, leaf in _leaves(data):
        if isinstance(leaf, (int, float, complex)) or not _is_array(leaf):
            raise TypeError(
                f"{name} must hold arrays that fit the device, got {type(leaf).__name__}{' at ' + path if path else ''}; "
                "collect the examples of a loader or iterator with numpy.concatenate first."
            )
    lengths = {f"{name}{path}": leaf.shape[0] if leaf.ndim else None for path, leaf in _leaves(data)}
    if not lengths or None in lengths.values():
        raise ValueError(
            f"{name} must hold arrays whose leading axis counts examples, got {lengths or 'none'}."
        )
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{path} has {n}" for path, n in lengths.items())
        raise ValueError(f"All arrays of {name} need the same number of examples, but {listed}.")
    count = next(iter(lengths.values()))
    if count == 0:
        raise ValueError(f"{name} is empty.")
    return count


def check_batch_size(batch_size: Any, examples: int) -> None:
    """Raises ValueError unless batches of this size can be drawn from so many examples."""
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError(f"batch_size must be a whole number >= 1, got {batch_size!r}.")
    if batch_size > examples:
        raise ValueError(f"batch_size={batch_size} is larger than the training data, {examples} examples.")


def check_finite(data: Any, name: str) -> None:
    """Raises ValueError if floating-point data hold NaN or infinity. Traced arrays have no values to look at."""
    for path, leaf in _leaves(data):
        if isinstance(leaf, jax.core.Tracer) or not jnp.issubdtype(leaf.dtype, jnp.inexact):
            continue
        bad = int(np.size(leaf) - np.count_nonzero(np.isfinite(np.asarray(leaf))))
        if bad:
            raise ValueError(
                f"{name}{path} holds {bad} values that are NaN or infinite; clean the data first."
            )


def check_task_data(task: Any) -> None:
    """Checks the data of any task: arrays, equal lengths, not empty, a batch size that fits."""
    for name in ("train", "validation", "test"):
        if getattr(task, name) is not None:
            num_examples(getattr(task, name), name)
    if task.batch_size is not None:
        if task.train is None:
            raise ValueError("The task has a batch_size but no training data: pass train=.")
        check_batch_size(task.batch_size, num_examples(task.train, "train"))
