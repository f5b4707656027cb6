"""Files that are there as a whole or not at all, whenever a process is killed or a machine loses power."""

import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=,+-]{0,99}")
_TRASH = ".trash-"
MOST_JSON = 2**26  # bytes of a JSON file that is read


class DamagedFile(ValueError):
    """A file of a run is not what was written."""


def write(path: Path, save: Callable[[Path], Any]) -> str:
    """Makes a file, and tells its digest.

    Args:
        path: Where it is in the end; what is there is replaced.
        save: Writes it to another path, in the same folder.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        save(part)
        with part.open("rb") as file:
            os.fsync(file.fileno())
            found = hashlib.file_digest(file, "sha256").hexdigest()
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
    sync(path.parent)
    return found


def write_text(path: Path, text: str) -> str:
    """Makes a file of text; the same on every system."""
    return write(path, lambda part: part.write_bytes(text.encode()))


def sync(folder: Path) -> None:
    """Makes the names in a folder last."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def digest(path: Path, size: int | None = None) -> str:
    """SHA-256 of a file, or of its first bytes.

    Raises:
        DamagedFile: There is none, or it can't be read.
    """
    try:
        with plain_file(path).open("rb") as file:
            if size is not None:
                return hashlib.sha256(file.read(size)).hexdigest()
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DamagedFile(f"{path} can't be read: {error.strerror}.") from None


def write_json(path: Path, value: Mapping[str, Any]) -> str:
    """Makes a file of JSON that carries its own digest."""
    body = json.dumps(value, indent=1, ensure_ascii=False)
    sha = hashlib.sha256(body.encode()).hexdigest()
    return write_text(path, f'{{\n "sha256": "{sha}",\n "content": {body}\n}}\n')


def read_json(path: Path) -> Any:
    """What `write_json` wrote.

    Raises:
        FileNotFoundError: There is no such file.
        DamagedFile: It is not as it was written.
    """
    if plain_file(path).stat().st_size > MOST_JSON:
        raise DamagedFile(f"{path} is larger than {MOST_JSON >> 20} MiB: that is no file of a run.")
    data = path.read_bytes()
    match = re.fullmatch(rb'\{\n "sha256": "([0-9a-f]{64})",\n "content": (.*)\n\}\n', data, re.DOTALL)
    if match is None or hashlib.sha256(match[2]).hexdigest().encode() != match[1]:
        raise DamagedFile(f"{path} is damaged: its content doesn't have the digest that it names.")
    return json.loads(match[2])


def check_name(name: str) -> str:
    """A name that stays in its folder.

    Raises:
        ValueError: It could lead elsewhere, or some system doesn't take it.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name for a file of a run: letters, digits and any of . _ = , + - make one.")
    return name


def plain_file(path: Path) -> Path:
    """A path inside a run, refused where it is a link: it may lead anywhere."""
    if path.is_symlink():
        raise DamagedFile(f"{path} is a symbolic link, and a run has none.")
    return path


def remove(path: Path) -> None:
    """Takes a folder or a file away: its name is gone at once, whatever happens then."""
    trash = path.with_name(f"{_TRASH}{uuid.uuid4().hex[:12]}")
    path.rename(trash)
    sweep(path.parent)


def sweep(folder: Path) -> None:
    """Deletes what was taken away before."""
    for trash in folder.glob(f"{_TRASH}*"):
        if trash.is_dir() and not trash.is_symlink():
            shutil.rmtree(trash, ignore_errors=True)
        else:
            trash.unlink(missing_ok=True)
