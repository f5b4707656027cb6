"""Tests of the tests: what keeps a search from being lost or wrong is taken out of the code, one thing at a time.

Each row is one change, made in a copy of jaxtune, and what the tests that should notice make of it.

    python benchmarks/mutations.py [--quick]
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from side_by_side import machine

ROOT = Path(__file__).resolve().parent.parent
FILES, LOG, RUN = "tests/storage/test_files.py", "tests/storage/test_log.py", "tests/drivers/test_run.py"


class Mutation(NamedTuple):
    """One change: its name, a file of jaxtune, its text and what takes its place; and the tests that should fail."""

    what: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


MUTATIONS = (
    Mutation("files are not synced", "storage/files.py", "os.fsync(file.fileno())", "pass", (FILES,)),
    Mutation("names are not synced", "storage/files.py", "os.fsync(descriptor)", "pass", (FILES,)),
    Mutation("the log is not synced", "storage/log.py", "os.fsync(file.fileno())", "pass", (FILES,)),
    Mutation("checksums of the log are not compared", "storage/log.py", "!= int(match[2], 16)", "< 0", (LOG,)),
    Mutation("digests of arrays are not compared", "storage/arrays.py", "digest(path) != known", "False", (FILES,)),
    Mutation("nobody holds the folder", "storage/lock.py", "kind | fcntl.LOCK_NB", "fcntl.LOCK_UN", (FILES,)),
    Mutation("old checkpoints go first", "storage/checkpoints.py", "_KEPT = 2", "_KEPT = 0", (RUN, "-k", "left_out")),
    Mutation(
        "what is not finite may be the best",
        "engine/standing.py",
        "xp.isfinite(score) & ~lost.any(axis=0)",
        "(score == score)",
        ("tests/engine/test_standing.py",),
    ),
    Mutation(
        "a search that is resumed forgets who was pruned",
        "results/journal.py",
        'training = np.isin(np.arange(num_trials), event["trials"])',
        "training = np.ones(num_trials, bool)",
        (RUN, "-k", "again_and_again and halving"),
    ),
    Mutation("another search is not refused", "results/manifest.py", "if found:", "if False:", (RUN, "-k", "refused")),
)


def outcome(mutation, scratch):
    """What the tests make of a change: the last line of their output."""
    copy = Path(scratch) / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    for name in ("jaxtune", "tests"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    path = copy / "jaxtune" / mutation.file
    text = path.read_text()
    if text.count(mutation.old) != 1:
        raise SystemExit(f"{mutation.file} has {text.count(mutation.old)} times {mutation.old!r}: one is needed.")
    path.write_text(text.replace(mutation.old, mutation.new))
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", "-m", "", *mutation.tests]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    done = subprocess.run(
        command, cwd=copy, env=inherited | {"PYTHONPATH": str(copy)}, capture_output=True, text=True, check=False
    )
    failed = re.search(r"^FAILED \S+?::(\w+)", done.stdout, re.MULTILINE)
    return failed[1] if failed else "nobody"


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the first two changes")
    quick = parser.parse_args().quick
    print(machine())
    print("\n| change | noticed by |")
    print("|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        for mutation in MUTATIONS[: 2 if quick else None]:
            print(f"| {mutation.what} | {outcome(mutation, scratch)} |", flush=True)


if __name__ == "__main__":
    main()
