"""Data as users have them (frames, tensors of other libraries, lists, big-endian files) as arrays that JAX takes.

What holds the numbers in another form is converted; what would have to be guessed (which value stands for a masked one,
which unit for a time) is refused, with what to write.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_NUMBERS = (bool, int, float, complex, np.number, np.bool_)
_CURES = {  # of the kinds of dtypes that no device can hold
    "U": "encode it as numbers first, as numpy.unique(values, return_inverse=True)[1] does",
    "O": "encode it as numbers first, as .astype(float) does for numbers, numpy.stack for arrays",
    "M": "make it a number first, as in (times - times.min()) / numpy.timedelta64(1, 'D')",
    "m": "make it a number first, as in times / numpy.timedelta64(1, 's')",
    "V": "make it a plain array first, as numpy.lib.recfunctions.structured_to_unstructured does",
    "f": "pass its .astype(numpy.float64)",
    "c": "pass its .astype(numpy.complex128)",
}


def as_arrays(data: Any, name: str) -> Any:
    """A pytree of data with arrays in place of frames, tensors and lists of numbers; what else is in it stays.

    Args:
        data: Pytree. A list of numbers, or of rows of them, is an array; other lists, tuples and dicts are structure.
        name: What errors call it.

    Raises:
        TypeError: An array is of a kind that has to be changed by its owner: sparse, masked, of text or times.
        ValueError: Lists differ in length.

    Example:
        >>> from jaxtune.tasks.arrays import as_arrays
        >>> as_arrays({"x": [[1.0, 2.0], [3.0, 4.0]]}, "train")["x"].shape
        (2, 2)
    """
    leaves, tree = jax.tree_util.tree_flatten_with_path(data, is_leaf=_is_leaf)
    arrays = [_as_array(name + jax.tree_util.keystr(path), x) for path, x in leaves]
    changed = any(array is not x for array, (_, x) in zip(arrays, leaves, strict=True))
    return jax.tree.unflatten(tree, arrays) if changed else data


def fits_device(dtype: Any) -> bool:
    """Whether JAX knows a dtype: numbers, booleans and keys, no strings, objects or times."""
    if getattr(dtype, "kind", None) in ("M", "m") or dtype in (np.longdouble, np.clongdouble):
        return dtype in (np.float64, np.complex128)  # what these are on some machines
    return any(jnp.issubdtype(dtype, kind) for kind in (np.number, np.bool_, jax.dtypes.extended))


def check_dtype(path: str, x: Any) -> None:
    """Raises TypeError, with the cure, if no device can hold an array of this dtype."""
    if not fits_device(x.dtype):
        is_text = x.dtype.kind not in _CURES or (x.dtype == object and any(isinstance(v, str) for v in x.flat))
        cure = _CURES["U" if is_text else x.dtype.kind]
        raise TypeError(f"{path} has dtype {x.dtype}, which no device can hold; {cure}.")


def _is_leaf(x: Any) -> bool:
    return isinstance(x, Iterator) or _is_sparse(x) or _is_numbers(x)


def _is_numbers(x: Any, rows: Any = list) -> bool:
    """Whether this is a list of numbers, or of lists or tuples of them."""
    return isinstance(x, rows) and bool(x) and all(isinstance(y, _NUMBERS) or _is_numbers(y, (list, tuple)) for y in x)


def _is_sparse(x: Any) -> bool:
    return hasattr(x, "todense") or (hasattr(x, "is_sparse") and x.is_sparse is True)


def _as_array(path: str, x: Any) -> Any:
    if _is_sparse(x):
        dense = next((name for name in ("toarray", "todense", "to_dense") if hasattr(x, name)), "to_dense")
        raise TypeError(f"{path} is sparse ({type(x).__name__}), and programs take dense arrays: pass its .{dense}().")
    if isinstance(x, jax.Array):
        return _on_one_device(path, x)
    if isinstance(x, np.ndarray):
        return _plain(path, x)
    if isinstance(x, range) or _is_numbers(x):
        return _stacked(path, x)
    if hasattr(x, "columns") and hasattr(x, "to_numpy"):
        return _plain(path, _of_frame(path, x))
    if hasattr(x, "to_numpy") or hasattr(x, "__array__"):
        return _plain(path, _asked(path, x)) if not isinstance(x, np.generic) else x
    return x


def _plain(path: str, x: np.ndarray) -> np.ndarray:
    """An array of a device's kind: no subclass, no mask, in the machine's own order of bytes."""
    if isinstance(x, np.ma.MaskedArray):
        hidden = int(np.ma.getmaskarray(x).sum())
        if hidden:
            raise TypeError(
                f"{path} is a masked array with {hidden} values masked, which training would use: pass "
                ".filled(value), or leave these examples out."
            )
    x = np.asarray(x)
    check_dtype(path, x)
    return x if x.dtype.isnative else x.astype(x.dtype.newbyteorder("="))


def _stacked(path: str, x: Sequence[Any]) -> np.ndarray:
    try:
        return _plain(path, np.asarray(x))
    except ValueError:
        raise ValueError(f"{path} is a list of lists of different lengths: pad them to one length.") from None


def _of_frame(path: str, frame: Any) -> np.ndarray:
    """The numbers of a data frame, [N, columns]; columns of several kinds of numbers are promoted."""
    values = np.asarray(frame.to_numpy())
    if values.dtype != object:
        return values
    columns: Mapping[str, np.ndarray] = {name: np.asarray(frame[name].to_numpy()) for name in frame.columns}
    for name, column in columns.items():
        check_dtype(f"{path}[{name!r}]", column)
    return np.stack(list(columns.values()), axis=1)


def _asked(path: str, x: Any) -> np.ndarray:
    """The array of another library's object, which it gives away itself."""
    try:
        if hasattr(x, "detach"):  # a tensor that may be asked for gradients, and lie on an accelerator
            x = x.detach().cpu()
        return np.asarray(x.to_numpy() if hasattr(x, "to_numpy") else x)
    except Exception as error:
        raise TypeError(
            f"{path} is a {type(x).__name__} that NumPy can't make an array of ({error}): convert it first, to a plain "
            "float32 or integer array."
        ) from error


def _on_one_device(path: str, x: jax.Array) -> Any:
    """An array that lies where it can be combined with others; those of some device are fetched to the host."""
    if isinstance(x, jax.core.Tracer) or jnp.issubdtype(x.dtype, jax.dtypes.extended):
        return x
    if not x.is_fully_addressable:
        raise TypeError(f"{path} is spread over several processes: give each of them all of the data.")
    return np.asarray(x) if x.committed and x.devices() != {jax.devices()[0]} else x
