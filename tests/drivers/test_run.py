"""Searches in folders: the same call goes on to the same end, whatever happened before."""

import errno
import itertools
import os
import signal
import sys
import threading
from contextlib import suppress
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest
from runs import assert_same
from toys import NET, NET_SPACE, ONE, TWO

import jaxtune as jt
from jaxtune.drivers.keeping import Keeper
from jaxtune.drivers.study import Study
from jaxtune.engine.programs import Programs

tune = partial(jt.tune, progress=False, placement=ONE, checkpoint_every=0)
HALVING = jt.SuccessiveHalving(8, 5, 20, eta=2)
PBT = jt.PopulationBasedTraining(8, steps=40, interval=10)
WIDTHS = {**NET_SPACE, "width": jt.Choice((4, 8), static=True)}
SEARCHES = {  # name -> task, space, options
    "halving": (NET, NET_SPACE, {"scheduler": HALVING}),
    "hyperband": (NET, NET_SPACE, {"scheduler": jt.Hyperband(min_steps=5, max_steps=20, eta=2)}),
    "pbt": (NET, NET_SPACE, {"scheduler": PBT}),
    "folds": (NET.replace(validation=None), NET_SPACE, {"scheduler": HALVING, "folds": 3}),
    "replicates": (NET, NET_SPACE, {"scheduler": HALVING, "replicates": 2, "metric": "error", "mode": "min"}),
    "groups": (NET, WIDTHS, {"scheduler": PBT}),
    "best": (
        NET,
        NET_SPACE,
        {"scheduler": HALVING, "keep": "best", "patience": 2, "evaluate_every": 1, "keep_weights": 3},
    ),
}
each_search = pytest.mark.parametrize("name", SEARCHES)


def search(name, directory=None, **more):
    task, space, options = SEARCHES[name]
    return tune(task, space, directory=directory, **options, **more)


@pytest.fixture(scope="module")
def wanted():
    """Name -> what a search finds that nobody disturbs."""
    return {name: search(name) for name in SEARCHES}


@pytest.fixture
def further(wanted):
    """One more search, "further", which goes on from one of them."""
    options = {"scheduler": HALVING, "previous": wanted["halving"], "seed": 1}
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(SEARCHES, "further", (NET, NET_SPACE, options))
        patched.setitem(wanted, "further", search("further"))
        yield


# Interrupted by a callback, at every evaluation


@each_search
def test_a_search_that_is_cut_off_again_and_again_comes_to_the_same_end(name, wanted, tmp_path):
    cuts = 0
    while (result := search(name, tmp_path / "run", callback=lambda result: True)).interrupted:
        cuts += 1
    assert cuts >= len({row.stop for row in SEARCHES[name][2]["scheduler"].plan().rows}) - 1
    assert_same(result, wanted[name])
    assert_same(search(name, tmp_path / "run"), wanted[name])


def test_arrays_that_shrink_come_to_the_same_end(tmp_path, free_programs, compiled):
    options = {"scheduler": jt.SuccessiveHalving(20, 5, 20, eta=2)}
    wanted = tune(NET, NET_SPACE, **options)
    assert compiled["advance"] > 1
    while (result := tune(NET, NET_SPACE, directory=tmp_path, callback=lambda result: True, **options)).interrupted:
        pass
    assert_same(result, wanted)


def test_a_finished_search_is_not_trained_again(wanted, tmp_path, compiled):
    search("halving", tmp_path)
    compiled.clear()
    assert_same(search("halving", tmp_path), wanted["halving"])
    assert not compiled
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize("limit", [0, 0.1])
def test_a_search_whose_time_is_up_goes_on_in_the_middle_of_a_row(limit, tmp_path):
    long = {"scheduler": jt.SuccessiveHalving(4, 50_000, 200_000, eta=2), "checkpoint_every": None}
    wanted = tune(NET, NET_SPACE, **long)
    for _ in range(2):
        cut = tune(NET, NET_SPACE, directory=tmp_path, time_limit=limit, **long)
    assert cut.interrupted
    assert_same(tune(NET, NET_SPACE, directory=tmp_path, **long), wanted)


@each_search
def test_without_any_time_each_call_comes_further(name, wanted, tmp_path):
    calls = itertools.count()
    while (result := search(name, tmp_path, time_limit=0)).interrupted:
        assert next(calls) < 60
    assert_same(result, wanted[name])


@pytest.mark.filterwarnings("ignore:There was no time left to confirm")
def test_without_any_time_all_generations_and_seeds_are_trained(tmp_path):
    options = {"scheduler": HALVING, "generations": 2, "confirm": jt.Confirm(3, 2)}
    wanted, states = tune(NET, NET_SPACE, **options), []
    while (result := tune(NET, NET_SPACE, directory=tmp_path, time_limit=0, **options)).interrupted:
        states.append((len(result.history.step), sorted(path.name for path in tmp_path.glob("confirming/*/round-*"))))
        assert len(states) < 60
    assert states[-1] == (6, ["round-01"])
    assert_same(result, wanted)
    np.testing.assert_array_equal(result.confirmed.metrics["loss"], wanted.confirmed.metrics["loss"])


@pytest.mark.parametrize("row", [1, 2, 3])
@pytest.mark.parametrize("name", ["halving", "best"])
def test_an_interruption_at_the_end_of_a_row_loses_nothing(row, name, wanted, tmp_path, monkeypatch):
    original, calls = Study._train, itertools.count(1)

    with monkeypatch.context() as patched:
        patched.setattr(Study, "_train", lambda self, start, one: _interrupted(original, self, start, one, calls, row))
        first = search(name, tmp_path)
    assert first.interrupted == (row < 3 or name == "best")
    assert_same(search(name, tmp_path), wanted[name])


def _interrupted(train, study, start, one, calls, last):
    step = train(study, start, one)
    if next(calls) == last:
        study.host.interrupt()
    return step


def test_an_error_of_the_callback_loses_nothing(wanted, tmp_path):
    def callback(result):
        if result.history.step[-1] == 10:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        search("halving", tmp_path, callback=callback)
    assert caught.value.result.history.step[-1] == 10
    seen = []
    result = search("halving", tmp_path, callback=lambda result: seen.append(result.history.step[-1]))
    assert seen == [20]
    assert_same(result, wanted["halving"])


def test_a_program_that_exits_lets_the_folder_go(wanted, tmp_path):
    with pytest.raises(SystemExit):
        search("halving", tmp_path, callback=lambda result: sys.exit(3))
    assert_same(search("halving", tmp_path), wanted["halving"])


@pytest.mark.parametrize("function", ["init", "step", "evaluate"])
def test_a_task_that_raises_lets_the_folder_go(function, wanted, tmp_path):
    def fails(*args, **kwargs):
        raise ZeroDivisionError("of the user")

    with pytest.raises(ZeroDivisionError, match="of the user") as caught:
        tune(NET.replace(**{function: fails}), NET_SPACE, directory=tmp_path, scheduler=HALVING)
    assert caught.traceback[-1].name == "fails"
    assert_same(search("halving", tmp_path), wanted["halving"])


@pytest.fixture
def signal_later(monkeypatch):
    """A function that sends this process a signal while the next search trains, however long its start takes."""
    advance = Programs.advance

    def send(number):
        timer = threading.Timer(0.5, os.kill, (os.getpid(), number))

        def watched(self, *args):
            if timer.ident is None:
                timer.start()
            return advance(self, *args)

        monkeypatch.setattr(Programs, "advance", watched)

    return send


def test_ctrl_c_saves(signal_later, tmp_path):
    long = {"scheduler": jt.FullBudget(2, 10**9)}
    signal_later(signal.SIGINT)
    result = tune(NET, NET_SPACE, directory=tmp_path, checkpoint_every=None, **long)
    assert result.interrupted
    steps = [int(path.name.split("-")[0]) for path in (tmp_path / "checkpoints").iterdir()]
    assert max(steps) == result.history.step[-1]
    assert len(steps) <= 2


@pytest.mark.parametrize("own", [False, True])
def test_sigterm_saves_and_ends_the_process(own, signal_later, tmp_path):
    heard, before = [], signal.getsignal(signal.SIGTERM)
    if own:
        signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    signal_later(signal.SIGTERM)
    try:
        if own:
            assert tune(NET, NET_SPACE, scheduler=jt.FullBudget(2, 10**9), directory=tmp_path).interrupted
        else:
            with pytest.raises(SystemExit) as ended:
                tune(NET, NET_SPACE, scheduler=jt.FullBudget(2, 10**9), directory=tmp_path)
            assert ended.value.code == 143
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == ([signal.SIGTERM] if own else [])
    assert list((tmp_path / "checkpoints").iterdir())


def test_states_with_random_keys_go_on(tmp_path):
    def step(key, state, batch, hp):
        own, _ = jax.random.split(state["key"])
        return {"key": own, "x": state["x"] * (1 - hp["lr"]) + 0.01 * jax.random.normal(own)}, {"loss": state["x"]}

    task = jt.Task(
        init=lambda key, hp: {"key": jax.random.key(3, impl="rbg"), "x": jax.random.uniform(key)},
        step=step,
        evaluate=lambda key, state, data, hp: {"loss": state["x"] ** 2},
    )
    options = {"scheduler": HALVING}
    wanted = tune(task, {"lr": jt.Uniform(0.0, 0.1)}, **options)
    while tune(
        task, {"lr": jt.Uniform(0.0, 0.1)}, directory=tmp_path, callback=lambda result: True, **options
    ).interrupted:
        pass
    found = jt.load(tmp_path)
    np.testing.assert_array_equal(found.history.metrics["loss"], wanted.history.metrics["loss"])


def test_groups_without_trials_in_training_and_stopped_trials_go_on(tmp_path):
    space = {"lr": jt.LogUniform(1e-3, 3e-2), "dropout": 0.1, "width": jt.Choice((2, 4, 6, 8), static=True)}
    options = {"scheduler": HALVING, "patience": 1, "evaluate_every": 5}
    wanted = tune(NET, space, **options)
    while (found := tune(NET, space, directory=tmp_path, callback=lambda result: True, **options)).interrupted:
        pass
    assert_same(found, wanted)
    assert (found.history.stopped >= 0).any()


def test_a_search_whose_trials_all_stopped_is_over(tmp_path):
    task = jt.Task(
        init=lambda key, hp: hp["lr"] * 0,
        step=lambda key, x, batch, hp: (x, {"loss": x}),
        evaluate=lambda key, x, data, hp: {"loss": x},
    )
    options = {"scheduler": jt.FullBudget(4, 20), "patience": 2, "evaluate_every": np.int64(1)}
    wanted = tune(task, {"lr": jt.Uniform(0.0, 1.0)}, **options)
    while tune(
        task, {"lr": jt.Uniform(0.0, 1.0)}, directory=tmp_path, callback=lambda result: True, **options
    ).interrupted:
        pass
    assert jt.load(tmp_path).history.step.tolist() == wanted.history.step.tolist()


def test_another_working_directory_changes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "else").mkdir()
    found = search("halving", "run", callback=lambda result: monkeypatch.chdir(tmp_path / "else"))
    assert jt.load(tmp_path / "run").best.id == found.best.id


def test_weights_of_another_program_are_not_deleted(tmp_path):
    (tmp_path / "weights").mkdir()
    with pytest.raises(ValueError, match="holds something else"):
        search("halving", tmp_path)
    assert (tmp_path / "weights").exists()


# Killed at every call that makes something last


class Killed(BaseException):
    """The process is gone: nothing of it reaches the disk any more."""


CALLS = ["fsync", "replace", "rename", "mkdir", "unlink", "rmdir", "truncate"]


@pytest.fixture
def kill(monkeypatch):
    """A function that lets the n-th call that changes the disk, and all after it, fail; and counts them."""
    state = {"left": 0, "count": 0}

    def patch(name):
        original = getattr(os, name)

        def call(*args, **kwargs):
            state["count"] += 1
            if state["count"] > state["left"]:
                raise Killed
            return original(*args, **kwargs)

        monkeypatch.setattr(os, name, call)

    def after(number):
        state.update(left=number, count=0)
        for name in CALLS:
            patch(name)
        return state

    monkeypatch.setattr(threading, "excepthook", lambda args: None)
    yield after
    monkeypatch.undo()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("name", ["halving", "pbt", "best", "further"])
def test_killed_at_any_call_it_comes_to_the_same_end(name, wanted, further, kill, tmp_path, monkeypatch):
    with monkeypatch.context():
        state = kill(10**9)
        search(name, tmp_path / "whole")
        total = state["count"]
    monkeypatch.undo()
    assert total > 30
    for number in range(0, total, 1 if name == "halving" else 13):
        run = tmp_path / f"{name}-{number}"
        kill(number)
        with suppress(Killed):
            search(name, run)
        for thread in threading.enumerate():
            if thread.name == "jaxtune-checkpoint":
                thread.join()
        monkeypatch.undo()
        assert_same(search(name, run), wanted[name])
        assert not [path for path in run.rglob("*") if path.name.startswith(".trash")]


# Damage


def damaged(data, seed):
    """Some bytes with a bit flipped, or cut."""
    rng = np.random.default_rng(seed)
    if seed % 4 == 0:
        return data[: rng.integers(len(data))]
    at, bit = int(rng.integers(len(data))), int(rng.integers(8))
    return data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]


def test_damage_of_a_finished_run_is_told(wanted, tmp_path):
    search("halving", tmp_path)
    unread = "run.lock", "report.json", "report.html"
    names = [path for path in tmp_path.rglob("*") if path.is_file() and path.name not in unread]
    assert {path.name for path in names} >= {"results.json", "trials.csv", "step.npy", "config.json"}
    for path in names:
        data = path.read_bytes()
        for seed in range(6):
            path.write_bytes(damaged(data, seed))
            with pytest.raises(ValueError, match="damaged"):
                jt.load(tmp_path)
        with pytest.raises(ValueError, match="damaged"):
            search("halving", tmp_path)
        path.write_bytes(data)
    assert_same(search("halving", tmp_path), wanted["halving"])


@pytest.mark.parametrize("which", ["manifest.json", "group-0.safetensors"])
def test_a_damaged_checkpoint_is_left_out(which, wanted, tmp_path):
    steps = []
    for _ in range(2):
        search("halving", tmp_path, callback=lambda result: True)
    newest, _ = sorted((tmp_path / "checkpoints").iterdir(), reverse=True)
    path = newest / which
    path.write_bytes(damaged(path.read_bytes(), 1))
    with pytest.warns(UserWarning, match="A checkpoint is left out"):
        result = search("halving", tmp_path, callback=lambda result: steps.append(result.history.step[-1]) or False)
    assert steps == [10, 20]
    assert_same(result, wanted["halving"])


def test_without_any_checkpoint_all_is_trained_again(wanted, tmp_path):
    search("halving", tmp_path, callback=lambda result: True)
    for path in (tmp_path / "checkpoints").rglob("*.safetensors"):
        path.write_bytes(b"")
    with pytest.warns(UserWarning, match="A checkpoint is left out"):
        assert_same(search("halving", tmp_path), wanted["halving"])


def test_a_log_that_was_changed_is_refused_until_it_is_repaired(wanted, tmp_path):
    search("halving", tmp_path, callback=lambda result: True)
    log = tmp_path / "log.jsonl"
    data = log.read_bytes()
    at = data.index(b'"metrics"')
    log.write_bytes(data[:at] + b'"netrics"' + data[at + 9 :])
    with pytest.raises(ValueError, match=r"damaged at byte \d+.*jaxtune show --repair"):
        search("halving", tmp_path)
    from jaxtune.storage.log import repair

    repair(log)
    assert_same(search("halving", tmp_path), wanted["halving"])


# The disk


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_full_disk_costs_no_result(number, wanted, tmp_path, monkeypatch):
    original, calls = os.fsync, itertools.count()

    def full(descriptor):
        if next(calls) > 12:
            raise OSError(number, os.strerror(number))
        original(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.warns(UserWarning, match="The search goes on, but is not saved any more: the log in"):
            assert_same(search("halving", tmp_path), wanted["halving"])
    assert_same(search("halving", tmp_path), wanted["halving"])


def test_a_checkpoint_that_the_disk_refuses_is_not_the_last(wanted, tmp_path, monkeypatch):
    from jaxtune.storage import checkpoints

    original, failed = checkpoints.arrays.save, []

    def full(path, *args):
        if "checkpoints" in str(path) and len(failed) < 2:
            failed.append(path)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return original(path, *args)

    monkeypatch.setattr(checkpoints.arrays, "save", full)
    with pytest.warns(UserWarning, match="saved up to the checkpoint before: a checkpoint in"):
        assert_same(search("halving", tmp_path), wanted["halving"])
    assert failed


# What makes a search the same


OTHERS = {  # what differs -> options, and words of the sentence
    "seed": ({"seed": 1}, "seed: 0 there, 1 here"),
    "scheduler": ({"scheduler": jt.SuccessiveHalving(8, 5, 40, eta=2)}, "max_steps=20"),
    "sampler": ({"sampler": jt.Random()}, r"sampler: Sobol\(\) there, Random\(\) here"),
    "metric": ({"metric": "error", "mode": "min"}, "metric: loss there, error here"),
    "keep": ({"keep": "best"}, "keep: last there, best here"),
    "patience": ({"patience": 3, "evaluate_every": 5}, "patience: nothing there, 3 here"),
    "replicates": ({"replicates": 2}, "replicates: 1 there, 2 here"),
}


@pytest.mark.parametrize("what", OTHERS)
@pytest.mark.parametrize("over", [False, True])
def test_another_search_is_refused(what, over, tmp_path):
    search("halving", tmp_path, callback=None if over else lambda result: True)
    options, words = OTHERS[what]
    with pytest.raises(ValueError, match=f"(?s)holds another search:.*{words}.*overwrite=True"):
        tune(NET, NET_SPACE, directory=tmp_path, **{"scheduler": HALVING} | options)


def _slower(key, state, batch, hp, step, total_steps):
    return NET.step(key, state, batch, {**hp, "lr": 0.5 * hp["lr"]}, step, total_steps)


@pytest.mark.parametrize("over", [False, True])
@pytest.mark.parametrize(
    ("task", "space", "words"),
    [
        (NET.replace(train=(NET.train[0] + 1, NET.train[1])), NET_SPACE, r"data\['train'\]"),
        (NET.replace(validation=(NET.validation[0], NET.validation[1] + 1)), NET_SPACE, r"data\['validation'\]"),
        (NET, {**NET_SPACE, "lr": jt.LogUniform(1e-3, 2e-2)}, r"space\['lr'\]: .*high=0.03\) there"),
        (NET, dict(reversed(NET_SPACE.items())), "space: in another order"),
        (NET.replace(step=_slower), NET_SPACE, "function 'step', as traced,"),
    ],
)
def test_another_task_is_refused(task, space, words, over, tmp_path):
    search("halving", tmp_path, callback=None if over else lambda result: True)
    before = (tmp_path / "log.jsonl").read_bytes()
    with pytest.raises(ValueError, match=f"(?s)holds another search:.*{words}"):
        tune(task, space, directory=tmp_path, scheduler=HALVING)
    assert (tmp_path / "log.jsonl").read_bytes() == before


def test_functions_made_anew_are_the_same_search(wanted, tmp_path):
    def step(key, state, batch, hp, step, total_steps):
        return NET.step(key, state, batch, hp, step, total_steps)

    search("halving", tmp_path, callback=lambda result: True)
    result = tune(NET.replace(step=step), dict(NET_SPACE), directory=tmp_path, scheduler=HALVING)
    assert_same(result, wanted["halving"])


def test_what_changes_no_trial_may_differ(wanted, tmp_path):
    search("halving", tmp_path, callback=lambda result: True)
    other = search("halving", tmp_path, keep_weights=2, time_limit=1e6)
    assert other.weights.keys() > wanted["halving"].weights.keys()


def test_other_versions_are_warned_of_or_refused(wanted, tmp_path, monkeypatch):
    search("halving", tmp_path, callback=lambda result: True)
    monkeypatch.setattr("jaxtune.results.manifest.jax.__version__", "9.9.9")
    with pytest.raises(ValueError, match=r"(?s)strict=True refuses.*jax: \S+ there, 9.9.9 here"):
        search("halving", tmp_path, strict=True)
    with pytest.warns(UserWarning, match="other versions .*9.9.9 here.*last bits") as warned:
        assert_same(search("halving", tmp_path), wanted["halving"])
    assert len(warned) == 1


def test_overwrite_starts_anew(wanted, tmp_path):
    search("pbt", tmp_path)
    assert_same(search("halving", tmp_path, overwrite=True), wanted["halving"])
    assert_same(search("halving", tmp_path), wanted["halving"])


@pytest.mark.parametrize("name", ["halving", "best"])
def test_on_other_devices_it_comes_to_the_same_end(name, wanted, tmp_path):
    places = itertools.cycle([ONE, TWO, jt.Placement(devices=jax.devices()), jt.Placement(devices=jax.devices()[:3])])
    result = wanted[name]
    task, space, options = SEARCHES[name]
    for place in places:
        found = jt.tune(
            task,
            space,
            directory=tmp_path,
            placement=place,
            progress=False,
            checkpoint_every=0,
            **options,
            callback=lambda result: True,
        )
        if not found.interrupted:
            break
    assert_same(found, result)


def test_widths_are_those_of_the_first_run(wanted, tmp_path, monkeypatch):
    search("halving", tmp_path, callback=lambda result: True)
    # On this machine, so to say, others would be faster.
    monkeypatch.setattr("jaxtune.engine.layouts.choose_ladder", lambda *_: pytest.fail("widths were chosen again"))
    assert_same(search("halving", tmp_path), wanted["halving"])


# Going on from an earlier search, and the clock


def test_a_search_that_goes_on_from_another_is_kept_too(tmp_path):
    first = search("halving")
    task, space, options = SEARCHES["halving"]
    wanted = tune(task, space, previous=first, seed=1, **options)
    cut = tune(task, space, previous=first, seed=1, directory=tmp_path, callback=lambda result: True, **options)
    assert cut.interrupted
    assert_same(tune(task, space, previous=first, seed=1, directory=tmp_path, **options), wanted)
    assert len(jt.load(tmp_path).trials) == 16
    with pytest.raises(ValueError, match="previous"):
        tune(task, space, seed=1, directory=tmp_path, **options)


def test_the_clock_of_the_host_plays_no_part(wanted, tmp_path, monkeypatch):
    import time

    days = itertools.count()
    monkeypatch.setattr(time, "time", lambda: 1e9 - 86_400 * next(days))
    search("halving", tmp_path, callback=lambda result: True)
    assert_same(search("halving", tmp_path), wanted["halving"])


# Bad input


def never(*_):
    pytest.fail("the task was traced")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.write_text("x"), "is a file"),
        (lambda path: (path.mkdir(), (path / "notes.txt").touch()), r"holds something else \(notes.txt\)"),
        (lambda path: path.symlink_to(path.parent), "is a symbolic link"),
        (lambda path: (path.mkdir(), (path / "search.json").write_text("{}")), r"holds something else \(search.json\)"),
    ],
)
def test_a_folder_of_something_else_is_refused(make, words, tmp_path, monkeypatch):
    make(tmp_path / "it")
    monkeypatch.setattr("jaxtune.drivers.study.propose", never)
    for overwrite in (False, True):
        with pytest.raises(ValueError, match=words):
            search("halving", tmp_path / "it", overwrite=overwrite)


def test_a_folder_that_cannot_be_made_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("jaxtune.drivers.study.propose", never)
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="can't be written to: Not a directory"):
        search("halving", tmp_path / "file" / "below")


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOSPC])
@pytest.mark.parametrize("call", ["mkdir", "open"])
def test_a_disk_that_takes_nothing_is_told_before_anything_is_traced(call, number, tmp_path, monkeypatch):
    def refuses(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("jaxtune.drivers.study.propose", never)
    with monkeypatch.context() as disk:
        disk.setattr(Path, call, refuses)
        with pytest.raises(ValueError, match=f"^directory='.*run' can't be written to: {os.strerror(number)}"):
            search("halving", tmp_path / "run")


@pytest.mark.parametrize("directory", [3, b"", ""])
def test_a_directory_is_a_path(directory):
    with pytest.raises(TypeError, match="directory must be a path"):
        search("halving", directory)


def test_a_folder_in_use_is_refused(tmp_path):
    def callback(result):
        with pytest.raises(RuntimeError, match=f"in use by process {os.getpid()}"):
            search("halving", tmp_path)

    search("halving", tmp_path, callback=callback)


def test_a_later_format_is_refused(tmp_path):
    from jaxtune.storage import files

    search("halving", tmp_path, callback=lambda result: True)
    files.write_json(tmp_path / "search.json", files.read_json(tmp_path / "search.json") | {"format": 99})
    with pytest.raises(ValueError, match="has format 99.*take a newer one"):
        search("halving", tmp_path)


def test_a_listener_of_ours_that_fails_costs_nothing(wanted, tmp_path, monkeypatch):
    monkeypatch.setattr(Keeper, "write", lambda self, event: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        search("halving", tmp_path)  # before anything is trained


def test_no_thread_or_file_is_left(tmp_path):
    import psutil

    search("halving", tmp_path / "warm")
    before = len(psutil.Process().open_files()), threading.active_count()
    search("halving", tmp_path / "run")
    assert (len(psutil.Process().open_files()), threading.active_count()) == before
