"""Arrays in files: safetensors, which other programs read too. Nothing in them is ever executed."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import safetensors
from safetensors import numpy as tensors

from jaxtune.storage.files import DamagedFile, digest, write

_DTYPES = {"BOOL": "bool", "BF16": "bfloat16"} | {
    f"{letter}{bits}": f"{kind}{bits}"
    for letter, kind, sizes in (
        ("I", "int", (8, 16, 32, 64)),
        ("U", "uint", (8, 16, 32, 64)),
        ("F", "float", (16, 32, 64)),
    )
    for bits in sizes
}  # of the format, and their names


def save(path: Path, arrays: Mapping[str, Any], about: Mapping[str, str] | None = None) -> str:
    """Writes named arrays, and tells the digest of the file.

    Args:
        path: The file.
        arrays: Of any dtype that JAX has; random keys as their numbers. Dtypes that the format lacks are kept as bytes.
        about: Texts that go along.
    """
    dtypes, plain = dict[str, str](), dict[str, np.ndarray]()
    for name, array in arrays.items():
        if isinstance(array, jax.Array) and jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
            dtypes[name] = f"key<{jax.random.key_impl(array)}>"
            array = jax.random.key_data(array)
        host = np.asarray(array, order="C")
        if host.dtype.name not in _DTYPES.values():
            dtypes[name] = host.dtype.name
            host = np.frombuffer(host.tobytes(), np.uint8).reshape(*host.shape, host.dtype.itemsize)
        plain[name] = host
    notes = {**(about or {}), **({"dtypes": json.dumps(dtypes)} if dtypes else {})}
    return write(path, lambda part: tensors.save_file(plain, part, notes))


def load(path: Path, known: str | None = None) -> dict[str, Any]:
    """The arrays of a file, by name.

    Args:
        path: The file.
        known: Its digest; None if nobody knows.

    Raises:
        DamagedFile: It is not what was written.
    """
    if known is not None and digest(path) != known:
        raise DamagedFile(f"{path} is damaged: it doesn't have the digest that was noted when it was written.")
    try:
        data = path.read_bytes()
        with safetensors.safe_open(path, "numpy") as file:
            dtypes = json.loads((file.metadata() or {}).get("dtypes", "{}"))
        return {name: _array(spec, dtypes.get(name)) for name, spec in safetensors.deserialize(data)}
    except (OSError, KeyError, ValueError, safetensors.SafetensorError) as error:
        raise DamagedFile(f"{path} is damaged: {error}.") from None


def _array(spec: Mapping[str, Any], dtype: str | None) -> Any:
    array = np.frombuffer(spec["data"], _dtype(_DTYPES[spec["dtype"]])).reshape(spec["shape"])
    if dtype is None:
        return array
    if dtype.startswith("key<"):
        return jax.random.wrap_key_data(jnp.asarray(array), impl=dtype[4:-1])
    return np.frombuffer(array.tobytes(), _dtype(dtype)).reshape(array.shape[:-1])


def _dtype(name: str) -> np.dtype:
    return np.dtype(getattr(ml_dtypes, name, name))
