"""How often the test data were looked at, over all processes that had a run in a folder."""

import errno
import os
import pickle
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import flax.linen as nn
import numpy as np
import optax
import pytest
from toys import X, Y, tune

import jaxtune as jt
from jaxtune.cli.main import main
from jaxtune.storage import log, looks

TASK = jt.supervised(
    nn.Dense(1),
    optimizer=lambda hp: optax.sgd(hp["lr"]),
    loss=optax.squared_error,
    train=(X[:30], Y[:30]),
    validation=(X[30:40], Y[30:40]),
    test=(X[40:], Y[40:]),
    batch_size=8,
)
SPACE = {"lr": jt.LogUniform(1e-3, 3e-2)}
search = partial(tune, TASK, SPACE, scheduler=jt.FullBudget(4, 20), keep_weights=4)


def test_looks_count_in_the_folder(tmp_path):
    found = search(directory=tmp_path)
    found.test()
    found.gap()  # takes the values of that one
    loaded = jt.load(tmp_path, TASK)
    assert loaded.num_tests == 1
    assert "test: looked at 1x" in repr(jt.load(tmp_path))
    loaded.test()
    loaded.refit().test()
    loaded.ensemble(size=2).test()
    loaded.confirm(top=2, replicates=1, progress=False).test()
    assert loaded.num_tests == jt.load(tmp_path).num_tests == 5
    assert search(directory=tmp_path).num_tests == 5
    assert found.num_tests == 1  # that process knows of its own
    events = log.read(tmp_path / "tests.jsonl").events
    assert [event["event"] for event in events] == ["tested"] * 5


def test_show_tells(tmp_path, capsys):
    search(directory=tmp_path).test()
    assert main(["show", str(tmp_path)]) == 0
    assert "test: looked at 1x" in capsys.readouterr().out


def test_wherever_a_result_is_kept_it_is_counted(tmp_path):
    found = search(directory=tmp_path / "run")
    found.test()
    found.save(tmp_path / "copy")
    found.test()
    assert [jt.load(tmp_path / name).num_tests for name in ("run", "copy")] == [2, 2]
    pickle.loads(pickle.dumps(found)).with_task(TASK, SPACE).test()
    assert [jt.load(tmp_path / name).num_tests for name in ("run", "copy")] == [3, 3]
    other = search(scheduler=jt.FullBudget(5, 20))
    other.save(tmp_path / "run", overwrite=True)
    assert jt.load(tmp_path / "run").num_tests == 0


def test_looks_at_a_search_that_is_not_over_count(tmp_path):
    cut = search(directory=tmp_path, evaluate_every=10, callback=lambda result: True)
    cut.test()
    assert jt.load(tmp_path).num_tests == 1

    def callback(result):
        if result.weights:
            result.test()

    found = search(directory=tmp_path, evaluate_every=10, callback=callback)
    assert found.num_tests == jt.load(tmp_path).num_tests == 2


def test_looks_at_what_an_error_leaves_count(tmp_path):
    with pytest.raises(ZeroDivisionError) as caught:
        search(directory=tmp_path, evaluate_every=10, callback=lambda result: 1 / 0)
    caught.value.result.test()
    assert jt.load(tmp_path).num_tests == 1


def test_further_generations_and_searches_go_on_counting(tmp_path):
    first = search(directory=tmp_path / "first")
    first.test()
    further = partial(search, directory=tmp_path / "further", previous=first, seed=1)
    further().test()
    found = further(generations=2)
    assert found.num_tests == jt.load(tmp_path / "further").num_tests == 2
    assert jt.load(tmp_path / "first").num_tests == 1


def test_looks_of_many_at_once_all_count(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: looks.add(tmp_path), range(40)))
    code = "import sys; from pathlib import Path; from jaxtune.storage import looks\n"
    code += "for _ in range(20): looks.add(Path(sys.argv[1]))"
    here = {**os.environ, "PYTHONPATH": str(Path(jt.__file__).parents[1])}
    others = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], env=here) for _ in range(2)]
    assert [one.wait() for one in others] == [0, 0]
    assert looks.count(tmp_path) == 80


def test_a_search_that_goes_on_in_the_folder_keeps_nobody_from_counting(tmp_path):
    """Looks have a log of their own, because that of the search belongs to whoever searches."""
    first = search(directory=tmp_path)
    seen = []

    def callback(result):
        first.test()
        seen.append(looks.count(tmp_path))

    found = search(directory=tmp_path, generations=2, callback=callback)
    assert seen == [1]
    assert found.num_tests == 1


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_a_folder_that_cannot_be_written_to_costs_a_warning(number, tmp_path, monkeypatch):
    search(directory=tmp_path)
    loaded = jt.load(tmp_path, TASK)
    original = os.fsync if number == errno.ENOSPC else Path.open

    def refuses(first, *args, **kwargs):
        if number == errno.ENOSPC or "r" not in (*args, "r")[0]:
            raise OSError(number, os.strerror(number))
        return original(first, *args, **kwargs)

    if number == errno.ENOSPC:
        monkeypatch.setattr(os, "fsync", refuses)
    else:
        monkeypatch.setattr(Path, "open", refuses)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        tested = [loaded.test() for _ in range(3)]
    assert np.isfinite(tested[0]["loss"])
    assert [os.strerror(number) in str(one.message) for one in said] == [True]
    assert loaded.num_tests == 3
    monkeypatch.undo()
    assert jt.load(tmp_path).num_tests == 0


def test_a_folder_that_is_gone_stays_gone(tmp_path):
    found = search(directory=tmp_path / "run")
    (tmp_path / "run").rename(tmp_path / "moved")
    with pytest.warns(UserWarning, match="is not counted in .*run"):
        found.test()
    assert not (tmp_path / "run").exists()
    assert jt.load(tmp_path / "moved").num_tests == 0


def test_damage_is_told_and_mended(tmp_path, capsys):
    found = search(directory=tmp_path)
    for _ in range(3):
        found.test()
    path = tmp_path / "tests.jsonl"
    data = path.read_bytes()
    second = data.index(b"\n") + 1
    path.write_bytes(data[: second + 9] + b"x" + data[second + 10 :])
    for look in (lambda: jt.load(tmp_path), lambda: search(directory=tmp_path)):
        with pytest.raises(ValueError, match=rf"tests.jsonl is damaged at byte {second}, after 1 events: .*--repair"):
            look()
    with pytest.warns(UserWarning, match="is not counted in"):
        found.test()
    assert main(["show", "--repair", str(tmp_path)]) == 0
    assert "test: looked at 1x" in capsys.readouterr().out
    path.write_bytes(data[:-5])  # torn
    assert jt.load(tmp_path).num_tests == 2
    jt.load(tmp_path, TASK).test()
    assert jt.load(tmp_path).num_tests == 3
