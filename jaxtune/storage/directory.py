"""The folder of a run: what is in it, and who may write there.

search.json      what is searched, and with what; the format's version
log.jsonl        evaluations and decisions, see `log.py`
tests.jsonl      looks at the test data, see `looks.py`
checkpoints/     populations of a search that is not over, see `checkpoints.py`
results.json     what came of it, with digests of all files that belong to it
history/         the same as arrays, curves among them
previous/        the record of an earlier search that this one goes on from, as a result of its own
trials.csv       the same as a table
winner/          the weights of the best trial, for other programs
weights/         states of all trials that keep theirs
report.html      all of it on one page; report.json is the same for programs, every minute while the search runs
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from jaxtune.storage import files, looks
from jaxtune.storage.checkpoints import Checkpoints
from jaxtune.storage.lock import Lock
from jaxtune.storage.log import Log, repair

FORMAT = 1
_HEADS = "search.json", "results.json", "refit.json", "round.json", "ensemble.json"  # each says that there is a run
CONFIRMATION = "confirmation.json", "confirmation"
_LOGS = "log.jsonl", "log.torn", looks.NAME, "tests.torn"
_SEEN = "trials.csv", "report.json", "report.html"
_FOLDERS = "previous", "checkpoints", "history", "winner", "weights", "confirming", "ensemble"
_OURS = *_HEADS, *CONFIRMATION, *_LOGS, *_SEEN, *_FOLDERS


def part_folder(directory: Any, kind: str, number: int) -> Path | None:
    """The folder of one of several searches, counted from 0; None without a directory."""
    return None if directory is None else Directory(directory).path / f"{kind}-{number + 1:02d}"


class Directory:
    """The folder of a run, open for reading.

    Args:
        path: Where it is.

    Raises:
        TypeError: `path` is none.
        ValueError: There is something else.
    """

    def __init__(self, path: Any) -> None:
        if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
            raise TypeError(f"directory must be a path, got {path!r}.")
        self.path = Path(path)
        if self.path.is_symlink():
            raise ValueError(f"directory={str(path)!r} is a symbolic link: name the folder that it leads to.")
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"directory={str(path)!r} is a file: name a folder, which may be new.")

    @property
    def checkpoints(self) -> Checkpoints:
        """Its checkpoints."""
        return Checkpoints(self.path / "checkpoints")

    @property
    def log_path(self) -> Path:
        """Its log."""
        return self.path / "log.jsonl"

    @property
    def previous(self) -> Directory:
        """The record of an earlier search, where this one goes on from one."""
        return Directory(self.path / "previous")

    @property
    def has_search(self) -> bool:
        """Whether it says what is searched here."""
        return (self.path / "search.json").exists()

    @property
    def is_new(self) -> bool:
        """Whether nothing has been searched here."""
        return not any((self.path / name).exists() for name in _HEADS)

    @property
    def is_free(self) -> bool:
        """Whether no run is here."""
        return not any((self.path / name).exists() for name in ("run.lock", *_HEADS))

    @property
    def has_results(self) -> bool:
        """Whether the search is over."""
        return (self.path / "results.json").exists()

    @property
    def is_confirming(self) -> bool:
        """Whether the best trials of a search that is over are trained again, or were until something ended that."""
        return (self.path / "confirming").exists() and not (self.path / CONFIRMATION[0]).exists()

    def search(self) -> dict[str, Any]:
        """What is searched here.

        Raises:
            FileNotFoundError: Nothing is.
            DamagedFile: It can't be read.
            ValueError: A later version of jaxtune wrote it.
        """
        try:
            found: dict[str, Any] = files.read_json(self.path / "search.json")
        except FileNotFoundError:
            raise FileNotFoundError(f"{self.path} holds no run: there is no search.json.") from None
        self.check_format(found)
        return found

    def check_format(self, content: Mapping[str, Any]) -> None:
        """Raises ValueError if a later version of jaxtune wrote this."""
        if content.get("format") != FORMAT:
            raise ValueError(
                f"{self.path} has format {content.get('format')}, and this version of jaxtune reads format {FORMAT}: "
                "take a newer one."
            )


class Writer(Directory):
    """The folder of a run, open for one search to write to; a context manager.

    Args:
        path: Where it is; made if it is not there.
        overwrite: Deletes the run that is there.

    Raises:
        TypeError: `path` is none.
        ValueError: There is something else, or nothing can be written.
        RuntimeError: Another process writes there.
    """

    def __init__(self, path: Any, overwrite: bool = False) -> None:
        super().__init__(path)
        self.path = self.path.absolute()  # the program may change its working directory
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            known = _OURS if (self.path / "run.lock").exists() else ()  # else `weights` is that of another program
            others = [one.name for one in self.path.iterdir() if one.name not in known and not _is_ours(one.name)]
            if others and not self._is_run():
                raise ValueError(
                    f"directory={str(path)!r} holds something else ({', '.join(sorted(others)[:3])}): name a folder of "
                    "the run's own."
                )
            self._lock = Lock(self.path)
        except OSError as error:
            raise ValueError(f"directory={str(path)!r} can't be written to: {error.strerror}.") from None
        self.log: Log | None = None
        if overwrite:
            self._empty()
        files.sweep(self.path)

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._close_log()
        self._lock.release()

    def check_new(self) -> None:
        """Raises ValueError if there is a run."""
        if not self.is_new:
            raise ValueError(
                f"{self.path} holds a run already: name another directory, or pass overwrite=True to delete that one."
            )

    def begin(self, search: dict[str, Any]) -> None:
        """Says what is searched here."""
        self._empty()  # a run that was killed before it had begun
        files.write_json(self.path / "search.json", {"format": FORMAT, **search})
        self.open_log()

    def forget_results(self) -> None:
        """More was trained, and is saved: what came of it before is no result any more."""
        for name in (CONFIRMATION[0], "results.json"):
            if (self.path / name).exists():
                files.remove(self.path / name)

    def open_log(self) -> Log:
        """The log, for more events."""
        self._close_log()
        self.log = Log(self.log_path)
        return self.log

    def repair(self) -> int:
        """Keeps the valid events of its logs; how many bytes were cut off, which are kept in files beside them."""
        return sum(repair(path) for path in (self.log_path, self.path / looks.NAME) if path.exists())

    def _is_run(self) -> bool:
        """Whether what is here is a run, though perhaps a copy without its lock, or damaged."""
        if (self.path / "run.lock").exists():
            return not self.is_new
        for name in _HEADS:
            with contextlib.suppress(OSError, ValueError):
                return "format" in files.read_json(self.path / name)
        return False

    def _close_log(self) -> None:
        if self.log is not None:
            self.log.close()

    def end(self) -> None:
        """Nothing more will be trained: the results are there."""
        if self.checkpoints.folder.exists():
            files.remove(self.checkpoints.folder)

    def _empty(self) -> None:
        # The search goes first: without it there is no run, whatever else is left.
        for name in _OURS:
            if (self.path / name).exists():
                files.remove(self.path / name)


def _is_ours(name: str) -> bool:
    return name == "run.lock" or name.startswith(".")
