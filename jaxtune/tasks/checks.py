"""Sentences about values: data, functions, their results and arguments, checked before anything compiles."""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.interface.counts import check_whole
from jaxtune.tasks.arrays import check_dtype, fits_device

_ARRAYS = (jax.Array, np.ndarray, np.generic, jax.ShapeDtypeStruct)
_NUMBERS = (bool, int, float, complex)
_EXAMPLES = {"loss": "optax.softmax_cross_entropy_with_integer_labels", "optimizer": "lambda hp: optax.adam(hp['lr'])"}
_ROLES = {
    "init": ("key", "hp"),
    "step": ("key", "state", "batch", "hp"),
    "evaluate": ("key", "state", "data", "hp"),
    "prepare": ("train",),
    "observe": ("state", "score", "hp"),
    "healthy": ("state",),
}
_OPTIONAL = ("prepare", "observe", "healthy")
_ARRAYS_ONLY = "the state must hold arrays only (Equinox: keep eqx.filter(model, eqx.is_array), combine inside step)."
_DATA_ADVICE = "collect the examples of a loader or iterator with numpy.concatenate first"


def _leaves(tree: Any) -> list[tuple[str, Any]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree, is_leaf=lambda x: isinstance(x, Iterator))
    return [(jax.tree_util.keystr(path), leaf) for path, leaf in leaves]


def kind(value: Any) -> str:
    """What a value is, in words."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if isinstance(value, (jax.Array, np.ndarray, np.generic)):
        return f"an array of dtype {value.dtype}"
    if isinstance(value, (str, *_NUMBERS)) or value is None:
        return repr(value)
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {len(value)}"
    return "a function" if inspect.isroutine(value) else f"a value of type {type(value).__name__}"


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, _NUMBERS) or (isinstance(leaf, _ARRAYS) and fits_device(leaf.dtype))


# What user functions return.


def check_state(state: Any, owner: str) -> None:
    """Raises TypeError if a leaf of a state, which `owner` returned, is no array."""
    for path, leaf in _leaves(state):
        if not _is_array(leaf):
            raise TypeError(f"{owner} returned {kind(leaf)} at state{path}; {_ARRAYS_ONLY}")


def check_same_state(before: Any, after: Any, owner: str) -> None:
    """Raises TypeError if a step changed structure, shape or dtype of the state."""
    structures: list[Any] = [jax.tree.structure(state) for state in (before, after)]
    if structures[0] != structures[1]:
        raise TypeError(
            f"{owner} changed the structure of the state from {structures[0]} to {structures[1]}; "
            "it must return the state it was given with new values."
        )
    for (path, old), (_, new) in zip(_leaves(before), _leaves(after), strict=True):
        if (old.shape, old.dtype) != (new.shape, new.dtype):
            raise TypeError(
                f"{owner} changed state{path} from {_describe(old)} to {_describe(new)}; it must keep shape and dtype."
            )


def _describe(leaf: Any) -> str:
    return f"{leaf.dtype}{list(leaf.shape)}"


def check_scalars(values: Any, owner: str) -> None:
    """Raises TypeError unless `values` is a dict of name -> real number."""
    rule = f"{owner} must be a dict of name -> scalar"
    if not isinstance(values, Mapping):
        raise TypeError(f"{rule}, got {kind(values)}.")
    for name, value in values.items():
        if not isinstance(name, str):
            raise TypeError(f"{rule}, got the name {name!r}.")
        if not is_real(value):
            raise TypeError(f"{rule}, but {name!r} is {kind(value)}.")
        if jnp.shape(value) != ():
            raise TypeError(f"{rule}, but {name!r} has shape {jnp.shape(value)}.")


def is_real(value: Any) -> bool:
    """Whether a value is an array of real numbers, or a number."""
    return _is_array(value) and any(
        jnp.issubdtype(jnp.result_type(value), kind) for kind in (np.bool_, np.integer, np.floating)
    )


def check_real(value: Any, owner: str) -> None:
    """Raises TypeError unless `owner` returned one array of real numbers, or a number."""
    if not is_real(value):
        raise TypeError(f"{owner} must return an array or a number, got {kind(value)}.")


# Data.


def num_examples(data: Any, name: str) -> int:
    """The length of the leading axis that all arrays of `data` share.

    Raises:
        TypeError: `data` holds something else than arrays: an iterator, say.
        ValueError: Lengths differ, or there is no example.
    """
    leaves = [(f"{name}{path}", leaf) for path, leaf in _leaves(data)]
    for path, leaf in leaves:
        if not isinstance(leaf, _ARRAYS):
            advice = "pass numpy.asarray(...)" if isinstance(leaf, (*_NUMBERS, str)) else _DATA_ADVICE
            raise TypeError(f"{path} must be an array that fits the device, got {kind(leaf)}; {advice}.")
        check_dtype(path, leaf)
    if not leaves:
        raise ValueError(f"{name} holds no array.")
    lists = jax.tree.leaves(data, is_leaf=lambda x: isinstance(x, list))
    hint = "; numpy.stack makes one array of a list" if any(isinstance(x, list) for x in lists) else ""
    for path, leaf in leaves:
        if leaf.ndim == 0:
            raise ValueError(f"{path} has no axis that counts examples{hint}.")
    first, count = leaves[0][0], leaves[0][1].shape[0]
    for path, leaf in leaves:
        if leaf.shape[0] != count:
            raise ValueError(
                f"All arrays of {name} need the same number of examples, but {first} has {count} and "
                f"{path} has {leaf.shape[0]}{hint}."
            )
    if count == 0:
        raise ValueError(f"{name} is empty.")
    return count


def check_pair(data: Any, name: str) -> None:
    """Raises TypeError unless `data` is a pair (inputs, targets)."""
    if not isinstance(data, (tuple, list)) or len(data) != 2:
        if isinstance(data, float):
            raise TypeError(
                f"{name} must be a pair (inputs, targets), got {data!r}: split the data, or pass folds= to tune."
            )
        advice = "" if isinstance(data, (tuple, list, dict, *_ARRAYS)) else f"; {_DATA_ADVICE}"
        if hasattr(data, "columns"):
            advice = "; pick columns for each, as in (frame[[...]], frame['...'])"
        raise TypeError(f"{name} must be a pair (inputs, targets) of arrays, got {kind(data)}{advice}.")


def check_batch_size(batch_size: Any, examples: int) -> int:
    """The size as an int; raises ValueError unless batches of it can be drawn from so many examples."""
    batch_size = check_whole("batch_size", batch_size)
    if batch_size > examples:
        raise ValueError(f"batch_size={batch_size} is larger than the training data, {examples} examples.")
    return batch_size


def check_finite(data: Any, name: str) -> None:
    """Raises ValueError if data hold NaN or infinity. Traced arrays have no values to look at."""
    for path, leaf in _leaves(data):
        if isinstance(leaf, jax.core.Tracer) or not jnp.issubdtype(leaf.dtype, jnp.inexact):
            continue
        bad = int(np.size(leaf) - np.count_nonzero(np.isfinite(np.asarray(leaf))))
        if bad:
            raise ValueError(f"{name}{path} holds {bad} values that are NaN or infinite; clean the data first.")


def check_fits(data: Any, name: str) -> None:
    """Raises ValueError if numbers don't fit the dtype that JAX is going to use: it would wrap them, or say inf."""
    for path, leaf in _leaves(data):
        used = jax.dtypes.canonicalize_dtype(leaf.dtype)
        if not isinstance(leaf, (np.ndarray, np.generic)) or used == leaf.dtype:
            continue
        values = np.asarray(leaf)
        bad = values[_is_beyond(values, used)]
        if bad.size:
            raise ValueError(
                f"{name}{path} has dtype {leaf.dtype}, of which JAX makes {used}, and {bad.size} values that don't fit "
                f"it, {bad.flat[0]} for one: scale them, convert them to floats, or set jax_enable_x64."
            )


def _is_beyond(values: np.ndarray, dtype: Any) -> np.ndarray:
    """Which values a narrower dtype can't hold; a float that is rounded is one that it can."""
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        return (values < limits.min) | (values > limits.max)
    with np.errstate(over="ignore"):
        return np.isfinite(values) & ~np.isfinite(values.astype(dtype))


# Functions and arguments.


def check_function(role: str, function: Any, arguments: Iterable[str]) -> None:
    """Raises TypeError unless `function` is a hashable callable that takes these positional arguments."""
    if not callable(function):
        example = f", such as {_EXAMPLES[role]}" if role in _EXAMPLES else ""
        raise TypeError(f"{role} must be a function of ({', '.join(arguments)}){example}, got {kind(function)}.")
    try:
        hash(function)
    except TypeError:
        raise TypeError(
            f"{role} must be hashable, since equal functions share a compiled program; got {kind(function)}."
        ) from None
    check_takes(role, function, arguments)


def check_takes(role: str, function: Callable, arguments: Iterable[str], no_more: bool = False) -> None:
    """Raises TypeError unless a function takes so many positional arguments; with `no_more`, if it needs others too."""
    arguments = tuple(arguments)
    try:
        signature = inspect.signature(function)
    except ValueError:  # some functions written in C have none
        return
    try:
        (signature.bind if no_more else signature.bind_partial)(*arguments)
    except TypeError:
        raise TypeError(f"{role} is called with ({', '.join(arguments)}), but takes {signature}.") from None


def check_task(task: Any) -> None:
    """Checks a task by itself: that it is one, its functions, and its data.

    Data are arrays of equal lengths, not empty, with numbers and a batch size that fit.

    Raises:
        TypeError: Something has the wrong type.
        ValueError: Something has a wrong value.
    """
    if isinstance(task, type) or not hasattr(task, "functions"):
        raise TypeError(
            "task must be a jaxtune Task, as jt.supervised(model, ...) or jt.Task(init, step, evaluate) makes one, got "
            f"{kind(task)}."
        )
    for role, arguments in _ROLES.items():
        if role not in _OPTIONAL or getattr(task, role) is not None:
            check_function(role, getattr(task, role), arguments)
    for name in ("train", "validation", "test"):
        if getattr(task, name) is not None:
            num_examples(getattr(task, name), name)
            check_fits(getattr(task, name), name)
    for name in ("batch_size", "prepare"):
        if getattr(task, name) is not None and task.train is None:
            raise ValueError(f"The task has {name} but no training data: pass train=.")
    if task.batch_size is not None:
        check_batch_size(task.batch_size, task.num_examples)
