"""Files of a run that a head names with their digests: written before it, and checked before they are read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxtune.storage import arrays, files
from jaxtune.storage.files import DamagedFile


class Files:
    """Files of a folder, and their digests.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.digests: dict[str, str] = {}

    def add(self, name: str, save: Any) -> str:
        """Writes a file by a function of its path."""
        self.digests[name] = files.write(self.path / name, save)
        return name

    def add_array(self, name: str, array: np.ndarray) -> str:
        """Writes an array for NumPy."""

        def save(part: Path) -> None:
            with part.open("wb") as file:
                np.save(file, array, allow_pickle=False)

        return self.add(name, save)

    def add_arrays(self, name: str, values: Mapping[str, Any], about: Mapping[str, str] | None = None) -> str:
        """Writes named arrays."""
        self.digests[name] = arrays.save(self.path / name, values, about)
        return name

    def add_text(self, name: str, text: str) -> str:
        """Writes a text."""
        return self.add(name, lambda part: part.write_bytes(text.encode()))


def inside(path: Path, name: str) -> Path:
    """A file of a run by its name, which leads nowhere else."""
    for part in name.split("/"):
        path = files.plain_file(path / files.check_name(part))
    return path


def array(path: Path, name: str) -> np.ndarray:
    """What `Files.add_array` wrote."""
    found: np.ndarray = np.load(inside(path, name), allow_pickle=False)
    return found


def check_digests(path: Path, head: str, known: Mapping[str, str], sizes: Mapping[str, int] | None = None) -> None:
    """Raises DamagedFile unless all files are as they were written.

    Args:
        path: The folder.
        head: Who names them.
        known: Name -> digest.
        sizes: Name -> bytes, of those that have grown since.
    """
    for name, digest in known.items():
        if files.digest(inside(path, name), (sizes or {}).get(name)) != digest:
            raise DamagedFile(f"{path / name} is damaged: it doesn't have the digest that {head} names.")
