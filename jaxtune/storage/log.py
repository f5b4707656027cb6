"""An append-only log: a line of JSON per event, each with its length and a checksum of all so far.

A line reads `{"bytes": 52, "crc32": "0a1b2c3d", "event": {...}}`. The checksum of an event goes on from that of the
event before, so that a line that was changed, doubled, moved or left out is found; what a process could not finish to
write is the tail, which is cut off.
"""

import json
import math
import os
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jaxtune.storage.files import DamagedFile, plain_file, sync

_LINE = re.compile(rb'\{"bytes": (\d{1,10}), "crc32": "([0-9a-f]{8})", "event": (\{.*\})\}\n')


class Content(NamedTuple):
    """What a log holds."""

    events: list[dict[str, Any]]
    sums: list[int]  # after each event
    size: int  # bytes that are whole


def read(path: Path, repair: bool = False, size: int | None = None) -> Content:
    """The events of a log, in order.

    Args:
        path: The file.
        repair: Takes the valid events before a damaged one, instead of raising.
        size: Bytes that are read; None for all.

    Raises:
        FileNotFoundError: There is none.
        DamagedFile: There is something wrong before the last line; says at which byte.
    """
    events, sums = list[dict[str, Any]](), list[int]()
    at = before = 0
    data = plain_file(path).read_bytes()[:size]
    while at < len(data):
        end = data.find(b"\n", at) + 1
        line = data[at:end] if end else b""
        match = _LINE.fullmatch(line)
        if match is None or int(match[1]) != len(match[3]) or zlib.crc32(match[3], before) != int(match[2], 16):
            if not repair and not _is_torn(data[at:]):
                raise DamagedFile(
                    f"{path} is damaged at byte {at}, after {len(events)} events: "
                    f"`jaxtune show --repair {path.parent}` keeps those."
                )
            break
        before = int(match[2], 16)
        events.append(json.loads(match[3]))
        sums.append(before)
        at = end
    return Content(events, sums, at)


def _is_torn(rest: bytes) -> bool:
    """Whether this is a line that was not written to its end: nothing follows it, and it breaks off."""
    return b"\n" not in rest


class Log:
    """The log of a run, open for more.

    Args:
        path: The file; made if there is none. A torn last line is moved to a file beside it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists():
            path.touch()
            sync(path.parent)
        content = read(path)
        self.events, self.sums = content.events, content.sums
        self._file = path.open("r+b")
        _cut(self._file, path, content.size)

    def append(self, event: Mapping[str, Any]) -> None:
        """Adds an event that lasts once this returns; the log is as before if the disk takes no more."""
        body = json.dumps(event, ensure_ascii=False, separators=(", ", ": "), allow_nan=False).encode()
        crc = zlib.crc32(body, self.sums[-1] if self.sums else 0)
        end = self._file.tell()
        try:
            self._file.write(b'{"bytes": %d, "crc32": "%08x", "event": %s}\n' % (len(body), crc, body))
            _sync(self._file)
        except OSError:
            self._file.seek(end)
            self._file.truncate(end)
            raise
        self.events.append(dict(event))
        self.sums.append(crc)

    def close(self) -> None:
        """Nothing more will come."""
        self._file.close()


def numbers(values: Any) -> Any:
    """Numbers of an array, at any depth, as JSON has them: what is not finite becomes a text."""
    if isinstance(values, list):
        return [numbers(value) for value in values]
    return values if not isinstance(values, float) or math.isfinite(values) else str(values)


def repair(path: Path) -> int:
    """Keeps the valid events before a damaged one; how many bytes were cut off, which are kept in a file beside it."""
    size = read(path, repair=True).size
    with path.open("r+b") as file:
        return _cut(file, path, size)


def _cut(file: Any, path: Path, size: int) -> int:
    file.seek(size)
    torn = file.read()
    if torn:
        path.with_suffix(".torn").write_bytes(torn)
        file.truncate(size)
        _sync(file)
    file.seek(size)
    return len(torn)


def _sync(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())
