"""How tests run the scripts of benchmarks/ and docs/ as their users do."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def runs(script):
    """Marks a test that runs a script, named by its path from the root; `test_every_script_is_run` looks for these."""
    assert (ROOT / script).is_file(), script
    return pytest.mark.slow


def environment(trains=True):
    """What a process is given; if it trains for longer than a test, better code, which takes longer to compile."""
    flags = os.environ.get("XLA_FLAGS", "")
    if trains:
        flags = flags.replace("optimization_level=0", "optimization_level=1")
    return {"JAX_PLATFORMS": "cpu"} | os.environ | {"XLA_FLAGS": flags}


def run(script, *options, cwd, root=ROOT, trains=False):
    """What a script prints with --quick; a few steps of most networks are not worth better code."""
    command = [sys.executable, str(root / script), "--quick", *map(str, options)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment(trains), check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rows(text):
    """The rows of all tables in a text, column name -> cell."""
    header, found = None, []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if not cells or set(line) <= set("|-: "):
            header = header if cells else None
        elif header is None:
            header = cells
        else:
            found.append(dict(zip(header, cells, strict=True)))
    return found


def number(cell):
    """The first number of a cell."""
    return float(re.match(r"-?[\d,.]+(e[+-]\d+)?", cell).group().replace(",", ""))
