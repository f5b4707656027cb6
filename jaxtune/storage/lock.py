"""One process at a time in a run's folder."""

from __future__ import annotations

import fcntl
import os
import socket
import time
import weakref
from pathlib import Path
from typing import Any

_NAME = "run.lock"
_PATIENCE = 0.3  # seconds; who only looks whether a run is held does so for a moment


_held: weakref.WeakSet[Lock] = weakref.WeakSet()


class Lock:
    """Holds a folder until it is released or the process is gone, however it goes.

    Args:
        folder: The run's.

    Raises:
        OSError: The folder can't be written to.
        RuntimeError: Another process, or another search of this one, holds it; says which.
    """

    def __init__(self, folder: Path) -> None:
        self._file = (folder / _NAME).open("a+")
        end = time.monotonic() + _PATIENCE
        while not _locks(self._file, fcntl.LOCK_EX):
            if time.monotonic() > end:
                self._file.seek(0)
                holder = self._file.read(200).strip() or "another process"
                self._file.close()
                raise RuntimeError(f"{folder} is in use by {holder}: one search at a time writes to it.")
            time.sleep(0.02)
        self._file.truncate(0)
        self._file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        self._file.flush()
        _held.add(self)

    def release(self) -> None:
        """Lets others in."""
        if not self._file.closed:
            fcntl.flock(self._file, fcntl.LOCK_UN)
            self.forget()

    def forget(self) -> None:
        """Closes this process's copy: what a fork inherits would hold the folder after its parent is gone."""
        self._file.close()


def _forget_all() -> None:
    for lock in list(_held):
        lock.forget()


os.register_at_fork(after_in_child=_forget_all)


def is_held(folder: Path) -> bool:
    """Whether a process is at work in a folder."""
    try:
        with (folder / _NAME).open() as file:
            return not _locks(file, fcntl.LOCK_SH)
    except OSError:
        return False


def _locks(file: Any, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
