"""Runs a part of a benchmark in a process of its own, in which nothing is compiled yet."""

import json
import subprocess
import sys
from typing import Any


def fresh(script: str, *arguments: str) -> Any:
    """What the script prints as JSON on its last line.

    Raises:
        SystemExit: It failed; what it said is on the standard error already.
    """
    done = subprocess.run([sys.executable, script, *arguments], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{script} {' '.join(arguments)} ended with status {done.returncode}.")
    return json.loads(done.stdout.splitlines()[-1])
