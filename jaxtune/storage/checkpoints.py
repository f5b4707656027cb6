"""Checkpoints of a running search: where it stands, and the arrays that it takes to go on from there.

Each is a folder, `checkpoints/000123-000007`: a step count, and the number of events in the log by then. It has a file
of arrays for each part, and a manifest with their digests, written last. The folder gets its name when all of it is on
the disk. The newest two stay.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jaxtune.interface.warning import warn
from jaxtune.storage import arrays, files
from jaxtune.storage.files import DamagedFile

_KEPT = 2
_PART = ".part"
_NAME = re.compile(r"\d{6,}-\d{6,}")


class Checkpoint(NamedTuple):
    """What was saved."""

    position: dict[str, Any]  # plain values
    parts: dict[str, dict[str, Any]]  # name -> name -> array


class Checkpoints:
    """The checkpoints of a run.

    Args:
        folder: Where they are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, step: int, events: int, position: Mapping[str, Any], parts: Mapping[str, Mapping[str, Any]]) -> None:
        """Writes a checkpoint, then takes the oldest away.

        Args:
            step: Steps trained.
            events: How many are in the log.
            position: Plain values.
            parts: Name -> arrays by name.

        Raises:
            OSError: The disk takes no more, or fails; the checkpoints before are as they were.
        """
        self.folder.mkdir(exist_ok=True)
        target = self.folder / f"{step:06d}-{events:06d}"
        part = self.folder / f"{target.name}{_PART}"
        for old in (part, target):  # of a process that was killed
            if old.exists():
                files.remove(old)
        part.mkdir()
        try:
            digests = {name: arrays.save(part / f"{name}.safetensors", some) for name, some in parts.items()}
            files.write_json(part / "manifest.json", {"position": dict(position), "sha256": digests})
            part.rename(target)
        except BaseException:
            files.remove(part)
            raise
        files.sync(self.folder)
        self._clean(target)

    def _clean(self, newest: Path) -> None:
        found = self._all()
        at = found.index(newest)
        for old in (*found[:at], *found[at + _KEPT :]):  # those before it are damaged, or of a course that was left
            files.remove(old)
        for part in self.folder.glob(f"*{_PART}"):
            files.remove(part)
        files.sweep(self.folder)

    def _all(self) -> list[Path]:
        """Newest first."""
        if not self.folder.is_dir():
            return []
        found = [path for path in self.folder.iterdir() if _NAME.fullmatch(path.name)]
        return sorted(found, key=lambda path: tuple(map(int, path.name.split("-")))[::-1], reverse=True)

    def usable(self) -> Iterator[Checkpoint]:
        """Those that are as they were written, newest first; a warning names each of the others."""
        for path in self._all():
            try:
                yield self._load(path)
            except (DamagedFile, FileNotFoundError) as error:
                warn(f"A checkpoint is left out: {error}")

    def _load(self, path: Path) -> Checkpoint:
        manifest = files.read_json(files.plain_file(path) / "manifest.json")
        parts = {
            name: arrays.load(path / f"{files.check_name(name)}.safetensors", digest)
            for name, digest in manifest["sha256"].items()
        }
        return Checkpoint(manifest["position"], parts)
