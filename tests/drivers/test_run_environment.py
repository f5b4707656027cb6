"""Searches in folders where processes, threads and disks are not as one would wish."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from runs import assert_same
from toys import NET, NET_SPACE, ONE

import jaxtune as jt
from jaxtune.storage.lock import Lock

tune = partial(jt.tune, progress=False, placement=ONE, checkpoint_every=0)
HALVING = jt.SuccessiveHalving(8, 5, 20, eta=2)


def test_two_threads_search_in_two_folders(tmp_path):
    def search(seed, folder=tmp_path):
        directory = folder and folder / str(seed)
        return tune(NET, NET_SPACE, scheduler=HALVING, seed=seed, directory=directory)

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(search, range(2)))
    for seed in range(2):
        wanted = search(seed, None)
        assert_same(found[seed], wanted)
        assert_same(search(seed), wanted)


def test_of_two_threads_in_one_folder_one_searches(tmp_path):
    begun, answers = threading.Event(), []

    def callback(result):
        begun.set()
        while not answers:
            time.sleep(0.01)

    def second():
        begun.wait(60)
        try:
            tune(NET, NET_SPACE, scheduler=HALVING, directory=tmp_path)
        except RuntimeError as error:
            answers.append(str(error))

    thread = threading.Thread(target=second)
    thread.start()
    tune(NET, NET_SPACE, scheduler=HALVING, directory=tmp_path, callback=callback)
    thread.join()
    assert f"in use by process {os.getpid()}" in answers[0]


_FORKING = """
import os, sys, time
from pathlib import Path
from jaxtune.storage.lock import Lock
lock = Lock(Path(sys.argv[1]))
child = os.fork()
if child == 0:
    time.sleep(60)
    os._exit(0)
print(child, flush=True)
if sys.argv[2] == "release":
    lock.release()
time.sleep(60)
"""


def test_a_child_holds_no_folder(tmp_path):
    for how in ("release", "kill"):
        process = subprocess.Popen(
            [sys.executable, "-c", _FORKING, str(tmp_path), how], stdout=subprocess.PIPE, text=True
        )
        child = int(process.stdout.readline())
        if how == "kill":
            process.kill()
            process.wait()
        try:
            Lock(tmp_path).release()
        finally:
            os.kill(child, signal.SIGKILL)
            process.kill()
            process.wait()
            process.stdout.close()


_POOR = """
import os, shutil, sys
from pathlib import Path
sys.path[:0] = sys.argv[3:]
here = Path(sys.argv[1])
os.chdir(here)
shutil.rmtree(here)
os.umask(0o077)
import jax
jax.config.update("jax_num_cpu_devices", 8)
from toys import NET, NET_SPACE, ONE
import jaxtune as jt
for _ in range(2):
    jt.tune(NET, NET_SPACE, scheduler=jt.SuccessiveHalving(8, 5, 20, eta=2), directory=sys.argv[2], placement=ONE)
os._exit(0)  # else Python says by its status that what it had to say reached nobody
"""


def test_a_poor_environment_is_enough(tmp_path):
    """No home, no terminal, nobody who reads, no working directory, ASCII, a strange path, a strict mask."""
    (tmp_path / "gone").mkdir()
    run = tmp_path / "a λ folder" / "run"
    environment = {
        name: value for name, value in os.environ.items() if name.startswith(("JAX", "XLA")) or name == "PATH"
    }
    tests = Path(__file__).parent.parent
    arguments = [str(tmp_path / "gone"), str(run), str(tests), str(tests.parent)]
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.Popen(  # -P: Python 3.13.0 fails to import anything from a folder that is gone
        [sys.executable, "-P", "-c", _POOR, *arguments], env={**environment, "LANG": "C"}, stdout=writer, stderr=writer
    )
    os.close(writer)
    assert process.wait() == 0
    assert_same(jt.load(run, NET, NET_SPACE), tune(NET, NET_SPACE, scheduler=HALVING))


_CACHED = """
import sys
sys.path[:0] = sys.argv[2:]
import jax
jax.config.update("jax_num_cpu_devices", 8)
from toys import NET, NET_SPACE, ONE
import jaxtune as jt
options = {"scheduler": jt.SuccessiveHalving(8, 5, 20, eta=2), "placement": ONE, "progress": False}
jt.tune(NET, NET_SPACE, directory=sys.argv[1], **options)
"""


def _flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.slow
def test_damaged_programs_in_the_cache_of_jax_change_nothing(tmp_path):
    """They are compiled again; so it is where the cache can't be written to."""
    wanted = tune(NET, NET_SPACE, scheduler=HALVING)
    cache, tests = tmp_path / "cache", Path(__file__).parent.parent
    damages = (lambda path: None, _flip, lambda path: path.write_bytes(path.read_bytes()[:100]))
    environment = {
        **os.environ,
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    for number, damage in enumerate(damages):
        programs = list(cache.glob("*-cache"))
        assert bool(programs) == (number > 0)
        for path in programs:
            damage(path)
        run = tmp_path / str(number)
        subprocess.run(
            [sys.executable, "-c", _CACHED, str(run), str(tests), str(tests.parent)], env=environment, check=True
        )
        assert_same(jt.load(run, NET, NET_SPACE), wanted)
    cache.rename(tmp_path / "away")
    cache.write_text("no folder")
    run = tmp_path / "none"
    subprocess.run(
        [sys.executable, "-c", _CACHED, str(run), str(tests), str(tests.parent)], env=environment, check=True
    )
    assert_same(jt.load(run, NET, NET_SPACE), wanted)


def test_a_slow_disk_does_not_stop_the_training(tmp_path, monkeypatch):
    """While a checkpoint is being written the search goes on, to its second evaluation."""
    original, evaluated, seen = os.fsync, threading.Event(), []

    def slow(descriptor):
        if threading.current_thread().name == "jaxtune-checkpoint":
            seen.append(threading.active_count())
            assert evaluated.wait(60), "the search waited for its checkpoint"
        original(descriptor)

    def callback(result):
        if len(result.history.step) == 2:
            evaluated.set()

    monkeypatch.setattr(os, "fsync", slow)
    found = tune(NET, NET_SPACE, scheduler=HALVING, directory=tmp_path, callback=callback)
    assert seen
    monkeypatch.undo()
    assert_same(found, tune(NET, NET_SPACE, scheduler=HALVING))
