"""How often the test data of a run were looked at: a log of its own, to which any process may add at any time.

It has a lock of its own as well, for a moment at a time: another process may be training further in the folder.
"""

import datetime
import fcntl
from pathlib import Path

from jaxtune.storage.log import Log, read

NAME = "tests.jsonl"


def count(folder: Path) -> int:
    """How many looks there were by now.

    Raises:
        DamagedFile: Not all that is written there can be read.
    """
    try:
        return len(read(folder / NAME).events)
    except FileNotFoundError:
        return 0


def add(folder: Path) -> None:
    """One more.

    Raises:
        OSError: Nothing can be written there.
        DamagedFile: Not all that is written there can be read.
    """
    with (folder / NAME).open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        log = Log(folder / NAME)
        try:
            log.append({"event": "tested", "when": datetime.datetime.now().astimezone().isoformat(timespec="seconds")})
        finally:
            log.close()
