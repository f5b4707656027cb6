"""Main memory that this process can still take: what the machine has left, and what its containers allow."""

from collections.abc import Iterator
from pathlib import Path

_GROUPS, _ROOT = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
# Of control groups in version 2 and 1: their folder, limit, use, and what of it is a cache that can go at any time.
_FILES = {
    2: ("", "memory.max", "memory.current", "inactive_file"),
    1: ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


def available(groups: Path = _GROUPS, root: Path = _ROOT) -> int:
    """Bytes that are left: a process that takes more is killed.

    Args:
        groups: The file that lists the control groups of this process.
        root: Where control groups are mounted.
    """
    import psutil  # here, because it takes a while to import

    return min([psutil.virtual_memory().available, *_left(groups, root)])


def _left(groups: Path, root: Path) -> Iterator[int]:
    """Of each control group with a limit that this process is in, from the innermost up."""
    for version, path in _own(groups):
        folder, *files = _FILES[version]
        top = root / folder
        inner = top / path.lstrip("/")
        for group in (inner, *inner.parents):
            if group.is_relative_to(top):
                yield from _of_group(group, *files)


def _own(groups: Path) -> Iterator[tuple[int, str]]:
    """(version, path) of the groups that may limit memory; lines are `number:controllers:path`."""
    try:
        lines = groups.read_text(encoding="utf-8").splitlines()
    except OSError:  # no Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers or "memory" in controllers.split(","):
            yield (1 if controllers else 2), path


def _of_group(group: Path, limit: str, use: str, cache: str) -> Iterator[int]:
    try:
        most, used = int((group / limit).read_text()), int((group / use).read_text())
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # no such group here, or no limit
        return
    yield max(0, most - used + int(stat.get(cache, 0)))
