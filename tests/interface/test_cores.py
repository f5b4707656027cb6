"""The cores of a CPU as devices: set by a call, by the environment, or not at all, of which a long search tells."""

import os
import subprocess
import sys
from types import SimpleNamespace

import jax
import pytest
from toys import DESCENT, DESCENT_SPACE, ONE

import jaxtune as jt
from jaxtune.interface import cores, entry
from jaxtune.monitoring import progress

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def start(code, **environment):
    environment = {k: v for k, v in os.environ.items() if k != cores.VARIABLE} | environment
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", code], text=True, env=environment, **pipes)


def finish(process):
    """The number of devices that it prints, and its warnings."""
    out, err = process.communicate()
    assert process.returncode == 0, err
    return int(out), err


def test_host_devices_have_to_be_set_before_jax_starts():
    jax.devices()
    with pytest.raises(RuntimeError, match="before JAX starts"):
        jt.set_host_device_count(4)


def test_set_host_device_count():
    code = "import jaxtune as jt, jax; jt.set_host_device_count({}); print(len(jax.devices('cpu')))"
    some, all_of_them = (start(code.format(count)) for count in ("3", ""))
    assert finish(some) == (3, "")
    assert finish(all_of_them) == (CORES, "")


CODE = """
import contextlib, jax, jaxtune as jt
{}
with contextlib.suppress(TypeError):
    jt.plan(None, {{}}, scheduler=jt.FullBudget(1, 1))
print(len(jax.devices()))
"""


def test_the_environment_sets_them_at_the_first_call():
    later, call = "jax.devices()", "jt.set_host_device_count(2)"
    lines = [("", "3"), ("", "all"), (later, "3"), (later, "1"), (call, "3")]
    runs = [start(CODE.format(line), JAXTUNE_HOST_DEVICES=value, JAX_PLATFORMS="cpu") for line, value in lines]
    by_number, by_word, late, late_but_so, called = map(finish, runs)
    assert by_number == (3, "")
    assert by_word == (CORES, "")
    assert late[0] == 1
    assert "JAXTUNE_HOST_DEVICES=3 comes too late: JAX had started before the first call of jaxtune" in late[1]
    assert late_but_so == (1, "")
    assert called == (2, "")  # a call says it louder


@pytest.mark.parametrize("value", ["0", "-1", "2.5", "four"])
def test_other_values_are_refused(monkeypatch, value):
    monkeypatch.setenv(cores.VARIABLE, value)
    monkeypatch.setattr(cores.jax, "config", SimpleNamespace(values={"jax_num_cpu_devices": -1}))
    with pytest.raises(ValueError, match=f"JAXTUNE_HOST_DEVICES must be .* got '{value}'"):
        cores.read_environment.__wrapped__()


ENTRIES = "tune plan nested search lr_range_test overfit_check sensitivity staged"


@pytest.mark.parametrize("name", ENTRIES.split())
def test_every_entry_reads_the_environment(monkeypatch, name):
    class Read(Exception):
        pass

    def read():
        raise Read

    monkeypatch.setattr(entry, "read_environment", read)
    needed = {"nested": {"splits": 2}, "sensitivity": {"steps": 1, "space": {}}, "search": {"space": {}}}.get(name, {})
    options = {} if name in ("sensitivity", "lr_range_test", "overfit_check") else {"scheduler": None}
    with pytest.raises(Read):
        getattr(jt, name)(None, None, **needed, **options)


# A hint


def test_a_long_search_on_one_of_several_cores_says_so_once(monkeypatch, capsys):
    monkeypatch.setattr(progress, "LONG", 0.0)
    monkeypatch.setattr(progress, "_GIVEN", set())
    monkeypatch.setattr(cores, "num_cores", lambda: 8)

    def shown(**options):
        jt.tune(DESCENT, DESCENT_SPACE, scheduler=jt.FullBudget(2, 10), placement=ONE, **options)
        return capsys.readouterr().err

    assert "Hint" not in shown()  # there are other devices
    monkeypatch.setattr(cores.jax, "device_count", lambda platform: 1)
    assert "Hint" not in shown(progress=False)
    assert "Hint: this search has one CPU device, and there are 8 cores. jt.set_host_device_count()" in shown()
    assert "Hint" not in shown()


def test_there_is_no_hint_where_nothing_is_to_gain(monkeypatch):
    (cpu,) = ONE.devices
    monkeypatch.setattr(cores.jax, "device_count", lambda platform: 1)
    monkeypatch.setattr(cores, "num_cores", lambda: 1)
    assert cores.hint([cpu]) == ""
    monkeypatch.setattr(cores, "num_cores", lambda: 2)
    assert "2 cores" in cores.hint([cpu])
    assert cores.hint([SimpleNamespace(platform="gpu")]) == ""
    assert cores.hint([cpu, cpu]) == ""


@pytest.mark.parametrize("count", [0, -1, "all", 1.5])
def test_a_number_of_devices(count):
    with pytest.raises(ValueError, match="count"):
        jt.set_host_device_count(count)
