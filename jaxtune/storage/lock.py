"""One process at a time in a run's folder."""

import fcntl
import os
import socket
from pathlib import Path
from typing import Any


class Lock:
    """Holds a folder until it is released or the process is gone, however it goes.

    Args:
        folder: The run's.

    Raises:
        RuntimeError: Another process, or another search of this one, holds it; says which.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / "run.lock"
        self._file: Any = path.open("a+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.seek(0)
            holder = self._file.read(200).strip() or "another process"
            self._file.close()
            raise RuntimeError(f"{folder} is in use by {holder}: one search at a time writes to it.") from None
        self._file.seek(0)
        self._file.truncate()
        self._file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        self._file.flush()

    def release(self) -> None:
        """Lets others in."""
        self._file.close()
