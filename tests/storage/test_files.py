"""Files that are whole or not there; locks; arrays."""

import os
import signal
import subprocess
import sys

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from jaxtune.storage import arrays, files
from jaxtune.storage.checkpoints import Checkpoints
from jaxtune.storage.files import DamagedFile
from jaxtune.storage.lock import Lock, is_held
from jaxtune.storage.log import Log


def test_json_that_was_changed_is_found(tmp_path):
    path = tmp_path / "some.json"
    files.write_json(path, {"text": "λ", "values": [1, 0.1, None]})
    assert files.read_json(path) == {"text": "λ", "values": [1, 0.1, None]}
    data = path.read_bytes()
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
        with pytest.raises(DamagedFile):
            files.read_json(path)
        path.write_bytes(data[:at])
        with pytest.raises(DamagedFile):
            files.read_json(path)


def test_json_of_any_size_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MOST_JSON", 100)
    files.write_json(tmp_path / "large.json", {"text": 200 * "x"})
    with pytest.raises(DamagedFile, match="larger"):
        files.read_json(tmp_path / "large.json")


@pytest.mark.parametrize("name", ["..", "../x", "/etc/passwd", "a/b", "", ".hidden", "a\0b", 101 * "x"])
def test_names_stay_in_their_folder(name):
    with pytest.raises(ValueError, match="no name"):
        files.check_name(name)


def test_links_are_refused(tmp_path):
    files.write_json(tmp_path / "real.json", {})
    (tmp_path / "link.json").symlink_to(tmp_path / "real.json")
    with pytest.raises(DamagedFile, match="symbolic link"):
        files.read_json(tmp_path / "link.json")
    with pytest.raises(DamagedFile, match="symbolic link"):
        files.digest(tmp_path / "link.json")


def test_what_was_taken_away_is_not_deleted_through_links(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").touch()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".trash-1").symlink_to(tmp_path / "outside")
    files.sweep(tmp_path / "run")
    assert not (tmp_path / "run" / ".trash-1").is_symlink()
    assert (tmp_path / "outside" / "file").exists()


DTYPES = "bool int8 uint8 int32 uint32 int64 float16 float32 float64 complex64 complex128 bfloat16 float8_e4m3fn int4"


@pytest.mark.parametrize("dtype", DTYPES.split())
@pytest.mark.parametrize("shape", [(), (3,), (2, 0), (2, 3)])
def test_arrays_of_any_dtype_come_back(tmp_path, dtype, shape):
    values = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(np.dtype(getattr(ml_dtypes, dtype, dtype)))
    digest = arrays.save(tmp_path / "a.safetensors", {"x": values, "transposed": values.T})
    found = arrays.load(tmp_path / "a.safetensors", digest)
    assert found["x"].dtype == values.dtype
    np.testing.assert_array_equal(found["x"].view(np.uint8), values.view(np.uint8)) if shape else None
    np.testing.assert_array_equal(found["transposed"].astype(complex), values.T.astype(complex))


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg"])
def test_random_keys_come_back(tmp_path, impl):
    keys = jax.random.split(jax.random.key(3, impl=impl), (2, 2))
    arrays.save(tmp_path / "k.safetensors", {"keys": keys})
    found = arrays.load(tmp_path / "k.safetensors")["keys"]
    assert found.dtype == keys.dtype
    assert jnp.array_equal(jax.random.bits(found[1, 0]), jax.random.bits(keys[1, 0]))


def test_damaged_arrays_are_found(tmp_path):
    path = tmp_path / "a.safetensors"
    digest = arrays.save(path, {"x": np.arange(100.0)})
    data = path.read_bytes()
    for at in np.random.default_rng(0).integers(len(data), size=100):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        with pytest.raises(DamagedFile):
            arrays.load(path, digest)
    for size in (0, 1, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:size])
        with pytest.raises(DamagedFile):
            arrays.load(path)


def test_what_gets_a_name_is_on_the_disk_before(tmp_path, monkeypatch):
    """And the name after it: a machine that loses power has all of it, or nothing."""
    calls = []
    fsync, replace, rename = os.fsync, os.replace, os.rename

    def synced(descriptor):
        calls.append(("sync", os.fstat(descriptor).st_ino))
        fsync(descriptor)

    def named(call, source, target):
        calls.append(("name", os.stat(source).st_ino))
        call(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", lambda *paths: named(replace, *paths))
    monkeypatch.setattr(os, "rename", lambda *paths: named(rename, *paths))

    files.write_text(tmp_path / "file", "x")
    file, folder = ((tmp_path / name).stat().st_ino for name in ("file", "."))
    assert calls == [("sync", file), ("name", file), ("sync", folder)]

    calls.clear()
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    checkpoints.save(1, 2, {}, {"part": {"x": np.ones(3)}})
    (made,) = checkpoints.folder.iterdir()
    whole = calls.index(("name", made.stat().st_ino))
    for path in made.iterdir():
        assert calls.index(("sync", path.stat().st_ino)) < whole
    assert calls.index(("sync", checkpoints.folder.stat().st_ino)) > whole

    log = Log(tmp_path / "log")
    calls.clear()
    log.append({"event": "evaluated"})
    log.close()
    assert calls == [("sync", (tmp_path / "log").stat().st_ino)]


HOLD = """
import sys, pathlib, time
from jaxtune.storage.lock import Lock
lock = Lock(pathlib.Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("stopped", [False, True])
def test_a_folder_is_held_until_its_process_is_gone(stopped, tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        if stopped:
            holder.send_signal(signal.SIGSTOP)
        assert is_held(tmp_path)
        with pytest.raises(RuntimeError, match=rf"in use by process {holder.pid} on \S+:"):
            Lock(tmp_path)
    finally:
        holder.kill()
        holder.wait()
    assert not is_held(tmp_path)
    Lock(tmp_path).release()


def test_two_searches_of_one_process_do_not_share_a_folder(tmp_path):
    lock = Lock(tmp_path)
    with pytest.raises(RuntimeError, match="in use"):
        Lock(tmp_path)
    lock.release()
    Lock(tmp_path).release()
