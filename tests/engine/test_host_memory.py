"""What is left of main memory: control groups as the kernel shows them, in a folder of our own."""

import psutil
import pytest

from jaxtune.engine.host_memory import available

GIB = 2**30


@pytest.fixture
def left(tmp_path, monkeypatch):
    """What is said to be left, with these lines of /proc/self/cgroup and files; 8 GiB are free on the machine."""
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": 8 * GIB}))

    def left(lines, files):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{text}\n")
        groups = tmp_path / "cgroup"
        groups.write_text(f"{lines}\n")
        return available(groups, tmp_path) / GIB

    return left


def group(folder, limit, used, cache=0, names=("memory.max", "memory.current", "inactive_file")):
    stat = f"anon 5\n{names[2]} {int(cache * GIB)}"
    values = [limit if isinstance(limit, str) else int(limit * GIB), int(used * GIB), stat]
    return {f"{folder}/{name}": value for name, value in zip((*names[:2], "memory.stat"), values, strict=True)}


def test_a_limit_leaves_what_is_not_used(left):
    assert left("0::/app", group("app", 4, 1)) == 3
    assert left("0::/app", group("app", 4, 1, cache=0.5)) == 3.5  # the kernel drops that when it needs to
    assert left("0::/app", group("app", 4, 5)) == 0
    assert left("0::/app", group("app", 40, 1)) == 8  # more than the machine has
    assert left("0::/app", group("app", "max", 1)) == 8


def test_the_tightest_of_all_groups_above_counts(left):
    files = group("pod", 2, 1) | group("pod/box", 4, 1) | group("pod/box/app", "max", 1)
    assert left("0::/pod/box/app", files) == 1


def test_a_container_sees_its_own_group_as_the_root(left):
    """Its path may be that on the host, of which nothing is mounted."""
    files = {name.removeprefix("./"): text for name, text in group(".", 3, 1).items()}
    assert left("0::/", files) == 2
    assert left("0::/docker/0123", files) == 2


def test_groups_of_version_1(left):
    names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    lines = "5:cpu,cpuacct:/app\n4:memory:/app\n0::/other"
    files = group("memory/app", 2, 1, 0.25, names) | group("memory", str(2**63 - 4096), 1, 0, names)
    assert left(lines, files) == 1.25


def test_no_groups(left, tmp_path):
    assert left("0::/app", {}) == 8
    assert available(tmp_path / "missing", tmp_path) == 8 * GIB
