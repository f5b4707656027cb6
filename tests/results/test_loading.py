"""Results in folders: what comes back in another process, with the task and without it."""

import itertools
import json
import subprocess
import sys
import warnings
from dataclasses import replace
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from toys import NET, NET_SPACE, tune

import jaxtune as jt
from jaxtune.storage import files

RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 4)).astype(np.float32)
Y = np.argmax(X[:, :3], axis=1).astype(np.int32)
HALVING = jt.SuccessiveHalving(8, 5, 20, eta=2)


class Linen(nn.Module):
    act: object = nn.relu

    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(self.act(nn.Dense(8)(x)))


class Nnx(nnx.Module):
    def __init__(self, rngs):
        self.layers = nnx.List([nnx.Linear(4, 8, rngs=rngs), nnx.Linear(8, 3, rngs=rngs)])

    def __call__(self, x):
        return self.layers[1](nnx.relu(self.layers[0](x)))


MODELS = {"linen": lambda hp: Linen(hp["act"]), "nnx": lambda hp, rngs: Nnx(rngs)}
SPACES = {
    "linen": {"lr": jt.LogUniform(1e-3, 1e-1), "act": jt.Choice((nn.relu, nn.tanh)), "note": ("a", 1, 0.5)},
    "nnx": {"lr": jt.LogUniform(1e-3, 1e-1), "batch": 16},
}


def optimizer(hp):
    _ = hp.get("note"), hp.get("batch")  # constants that are there to be kept
    return optax.adam(hp["lr"])


def task(kind, model=None):
    return jt.supervised(
        model or MODELS[kind],
        optimizer=optimizer,
        loss=optax.softmax_cross_entropy_with_integer_labels,
        metrics={"accuracy": jt.metrics.accuracy},
        train=(X[:40], Y[:40]),
        validation=(X[40:60], Y[40:60]),
        test=(X[60:], Y[60:]),
        batch_size=16,
        preprocess=jt.standardize(),
    )


@pytest.fixture(scope="module", params=list(MODELS))
def kept(request, tmp_path_factory):
    """(kind, result, folder)."""
    folder = tmp_path_factory.mktemp("runs") / request.param
    result = tune(
        task(request.param), SPACES[request.param], scheduler=HALVING, directory=folder, keep_weights=2, replicates=2
    )
    return request.param, result, folder


def plain(hparams):
    return {name: getattr(value, "__name__", value) for name, value in hparams.items()}


def test_without_its_task_it_has_tables_curves_and_weights(kept):
    _, result, folder = kept
    again = jt.load(folder)
    assert repr(again) == repr(result)
    assert again.table() == result.table()
    assert [plain(t.hparams) for t in again.trials] == [plain(t.hparams) for t in result.trials]
    for name, values in result.curves().items():
        np.testing.assert_array_equal(again.curves()[name], values)
    assert again.timing == result.timing
    names = [jax.tree.leaves(trial.variables) for trial in (again.best, result.best)]
    for mine, theirs in zip(*names, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    with pytest.raises(ValueError, match="needs the task"):
        again.best.predict(X)


def test_with_its_task_it_does_all_again(kept):
    kind, result, folder = kept
    again = jt.load(folder, task(kind), SPACES[kind])
    for first, second in zip(result.ranking[:2], again.ranking[:2], strict=True):
        np.testing.assert_array_equal(first.predict(X), second.predict(X))
        assert first.hparams == second.hparams  # functions are themselves again
    assert again.test() == result.test()
    # On all devices, where the search ran on one.
    np.testing.assert_allclose(again.refit().predict(X), result.refit().predict(X), rtol=1e-4, atol=1e-4)


def test_the_space_is_read_where_it_is_plain(kept):
    kind, result, folder = kept
    if kind == "linen":
        with pytest.raises(ValueError, match=r"functions or classes.*load\(directory, task, space\)"):
            jt.load(folder, task(kind))
    else:
        np.testing.assert_array_equal(jt.load(folder, task(kind)).best.predict(X), result.best.predict(X))


def test_another_task_is_refused(kept):
    kind, _, folder = kept
    other = task(kind).replace(train=(X[:40] + 1, Y[:40]))
    with pytest.raises(ValueError, match="training data are others"):
        jt.load(folder, other, SPACES[kind])


def test_the_model_card_loads_it_in_plain_flax(kept, monkeypatch):
    kind, result, folder = kept
    card = (folder / "winner" / "README.md").read_text()
    code = card.partition("```python\n")[2].partition("```")[0]
    config = json.loads((folder / "winner" / "config.json").read_text())
    assert config["metrics"]["accuracy"]["mean"] == pytest.approx(result.best.metrics["accuracy"])
    stats = config["preprocessing"]
    assert len(stats) == 2
    mean, std = (np.asarray(stats[name], np.float32) for name in sorted(stats))
    inputs = jnp.asarray((X - mean) / std)
    model = Linen(result.best.hparams["act"]) if kind == "linen" else Nnx(nnx.Rngs(1))
    monkeypatch.chdir(folder / "winner")
    scope = {"inputs": inputs, "model": model}
    exec(
        "from flax import nnx\nfrom flax.traverse_util import unflatten_dict\nfrom safetensors.flax import load_file\n"
        + code.replace("model = ...", "model = model"),
        scope,
    )
    outputs = scope["outputs"] if kind == "linen" else model(inputs)
    np.testing.assert_allclose(outputs, result.best.predict(X, replicate=0), rtol=1e-4, atol=1e-5)


def test_arrays_are_for_any_program(kept):
    _, result, folder = kept
    curves = {path.name: np.load(path) for path in (folder / "history").glob("*.npy")}
    np.testing.assert_array_equal(curves["step.npy"], result.history.step)
    (loss,) = [values for name, values in curves.items() if name in ("metrics-0-loss.npy", "metrics-1-loss.npy")]
    np.testing.assert_array_equal(loss, result.history.metrics["loss"])
    assert (folder / "trials.csv").read_text().count("\n") == 9


READ = """
import sys, jax
import jaxtune as jt
result = jt.load(sys.argv[1])
print(result.best.id, result.best.metrics["accuracy"], len(result.trials))
"""


def test_another_process_reads_it(kept):
    _, result, folder = kept
    done = subprocess.run([sys.executable, "-c", READ, str(folder)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(result.best.id), str(result.best.metrics["accuracy"]), "8"]


def test_a_search_without_a_folder_is_saved(tmp_path):
    result = tune(NET, NET_SPACE, scheduler=HALVING)
    result.save(tmp_path / "it")
    again = jt.load(tmp_path / "it", NET)
    assert repr(again) == repr(result)
    with pytest.raises(ValueError, match="holds a run already"):
        result.save(tmp_path / "it")
    result.save(tmp_path / "it", overwrite=True)
    jt.load(tmp_path / "it").save(tmp_path / "copy")  # without its task
    assert repr(jt.load(tmp_path / "copy", NET)) == repr(result)
    replace(result, space=None).save(tmp_path / "old")
    with pytest.raises(ValueError, match="saved without its space"):
        jt.load(tmp_path / "old", NET)
    with pytest.raises(ValueError, match="holds a run already"):
        tune(NET, NET_SPACE, scheduler=HALVING, directory=tmp_path / "it")


def test_a_search_that_is_not_over_is_marked(tmp_path):
    cut = tune(NET, NET_SPACE, scheduler=HALVING, directory=tmp_path, callback=lambda result: True)
    found = jt.load(tmp_path)
    assert found.interrupted
    assert found.table() == cut.table()
    assert "interrupted" in repr(found)
    assert found.best.variables is None
    with pytest.raises(ValueError, match="not over"):
        jt.load(tmp_path, NET)


WIDTHS = {**NET_SPACE, "width": jt.Choice((4, 8), static=True)}
UNFINISHED = {  # space, options, evaluations before the search is cut off, trials by then
    "previous": (NET_SPACE, {"scheduler": HALVING, "seed": 1}, 1, 16),
    "generations": (NET_SPACE, {"scheduler": HALVING, "generations": 3}, 4, 16),
    "both": (NET_SPACE, {"scheduler": HALVING, "generations": 2, "seed": 1}, 4, 24),
    "groups": (WIDTHS, {"scheduler": jt.PopulationBasedTraining(8, steps=40, interval=10)}, 2, 8),
}


@pytest.mark.parametrize("name", UNFINISHED)
def test_all_that_an_unfinished_search_knows_is_there(name, tmp_path):
    space, options, cut, num_trials = UNFINISHED[name]
    if name in ("previous", "both"):
        options = {**options, "previous": tune(NET, NET_SPACE, scheduler=HALVING, keep_weights=2)}
    calls = itertools.count(1)
    stopped = tune(NET, space, directory=tmp_path, callback=lambda result: next(calls) == cut, **options)
    found = jt.load(tmp_path)
    assert found.interrupted
    assert len(found.trials) == len(stopped.trials) == num_trials
    assert found.table() == stopped.table()
    assert not found.weights
    row = jt.list_runs(tmp_path).iloc[0]
    assert (row["state"], row["trials"], row["lane_steps"] < row["budget"]) == ("stopped", num_trials, True)
    whole = tune(NET, space, directory=tmp_path, **options)
    assert jt.load(tmp_path).table() == whole.table()
    row = jt.list_runs(tmp_path).iloc[0]
    assert (row["state"], row["lane_steps"]) == ("finished", row["budget"])


def test_the_record_of_an_earlier_search_is_checked(tmp_path):
    options = {"scheduler": HALVING, "seed": 1, "previous": tune(NET, NET_SPACE, scheduler=HALVING)}
    tune(NET, NET_SPACE, directory=tmp_path, callback=lambda result: True, **options)
    path = tmp_path / "previous" / "history" / "step.npy"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="step.npy is damaged"):
        jt.load(tmp_path)


def test_a_winner_whose_seeds_are_missing_is_marked(tmp_path):
    options = {"scheduler": HALVING, "confirm": jt.Confirm(3, 2)}
    search = partial(tune, NET, NET_SPACE, directory=tmp_path, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # there was no time to confirm
        while not (tmp_path / "confirming").exists():
            assert search(time_limit=0).interrupted
    for found in (jt.load(tmp_path), jt.load(tmp_path, NET)):
        assert found.interrupted
        assert found.confirmation is None
        assert found.best.id == found.ranking[0].id
    assert found.best.state.keys() == {"weights", "momentum"}
    assert jt.list_runs(tmp_path)["state"].tolist() == ["stopped"]
    whole = search()
    found = jt.load(tmp_path)
    assert not found.interrupted
    assert found.best.id == whole.best.id == whole.confirmation.best.id
    assert jt.list_runs(tmp_path)["state"].tolist() == ["finished"]


def test_a_search_of_which_all_trials_diverge_is_kept(tmp_path):
    space = {"lr": jt.Uniform(1e30, 1e31), "dropout": 0.0}
    result = tune(NET, space, scheduler=HALVING, directory=tmp_path)
    again = tune(NET, space, scheduler=HALVING, directory=tmp_path)
    assert repr(again) == repr(result)
    with pytest.raises(ValueError, match="Every trial diverged"):
        _ = jt.load(tmp_path).best


def test_no_run_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no run"):
        jt.load(tmp_path / "nothing")


@pytest.mark.parametrize("name", ["../outside.npy", "/etc/passwd", "history/../../x.npy"])
def test_names_that_lead_out_of_a_run_are_refused(name, tmp_path):
    tune(NET, NET_SPACE, scheduler=HALVING).save(tmp_path / "run")
    np.save(tmp_path / "outside.npy", np.arange(3))
    path = tmp_path / "run" / "results.json"
    content = files.read_json(path)
    content["history"]["step"] = name
    files.write_json(path, content)
    with pytest.raises(ValueError, match="no name for a file of a run"):
        jt.load(tmp_path / "run")


def test_a_link_out_of_a_run_is_refused(tmp_path):
    tune(NET, NET_SPACE, scheduler=HALVING).save(tmp_path / "run")
    step = tmp_path / "run" / "history" / "step.npy"
    step.rename(tmp_path / "step.npy")
    step.symlink_to(tmp_path / "step.npy")
    with pytest.raises(ValueError, match="symbolic link"):
        jt.load(tmp_path / "run")


def test_pickles_are_not_read(tmp_path):
    tune(NET, NET_SPACE, scheduler=HALVING).save(tmp_path)
    canary = tmp_path.parent / "canary"
    path = tmp_path / "history" / "step.npy"

    class Evil:
        def __reduce__(self):
            return canary.touch, ()

    np.save(path, np.array([Evil()], object), allow_pickle=True)
    content = files.read_json(tmp_path / "results.json")
    content["sha256"]["history/step.npy"] = files.digest(path)
    files.write_json(tmp_path / "results.json", content)
    with pytest.raises(ValueError, match="pickle|Object arrays"):
        jt.load(tmp_path)
    assert not canary.exists()


# The log of experiments


def test_runs_are_listed(tmp_path):
    tune(NET, NET_SPACE, scheduler=HALVING, directory=tmp_path / "a")
    tune(NET, NET_SPACE, scheduler=HALVING, directory=tmp_path / "more" / "b", callback=lambda result: True)
    tune(NET, NET_SPACE, scheduler=HALVING, directory=tmp_path / "more" / "c")
    (tmp_path / "more" / "c" / "results.json").write_text("{}")
    (tmp_path / "nothing").mkdir()
    states = []

    def callback(result):
        states.append(jt.list_runs(tmp_path).set_index("run")["state"].to_dict())

    tune(NET, NET_SPACE, scheduler=HALVING, directory=tmp_path / "d", callback=callback)
    frame = jt.list_runs(tmp_path).set_index("run")
    wanted = {"a": "finished", "d": "finished", "more/b": "stopped", "more/c": "damaged"}
    assert frame["state"].to_dict() == wanted
    assert states[0] == wanted | {"d": "running"}
    row = frame.loc["more/b"]
    assert (row["step"], row["steps"], row["trials"], row["lane_steps"], row["budget"]) == (5, 20, 8, 40, 80)
    assert row["best"] == pytest.approx(frame.loc["a", "best"], rel=1)


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        jt.list_runs(tmp_path / "nothing")


# Last trainings, splits and stages


def test_a_refit_is_trained_once(kept, tmp_path, monkeypatch):
    _, result, _ = kept
    wanted = result.refit(replicates=2)
    first = result.refit(replicates=2, directory=tmp_path / "refit")
    monkeypatch.setattr("jaxtune.results.winner.Winner.retrain", lambda *_: pytest.fail("it was trained again"))
    again = result.refit(replicates=2, directory=tmp_path / "refit")
    for refit in (first, again):
        np.testing.assert_array_equal(refit.predict(X), wanted.predict(X))
        assert refit.test() == wanted.test()
    with pytest.raises(ValueError, match="holds another training"):
        result.refit(steps=3, directory=tmp_path / "refit")


def test_splits_are_kept(tmp_path):
    whole = NET.replace(
        train=(np.r_[NET.train[0], NET.validation[0]], np.r_[NET.train[1], NET.validation[1]]), validation=None
    )
    nested = partial(jt.nested, whole, NET_SPACE, splits=3, refit=1, scheduler=HALVING, progress=False)
    calls = []
    cut = nested(directory=tmp_path, callback=lambda result: calls.append(1) or len(calls) == 5)
    assert cut.interrupted is not None
    assert len(cut.results) == 1
    again = nested(directory=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["split-01", "split-02", "split-03"]
    wanted = nested()
    for name, values in wanted.scores.items():
        np.testing.assert_array_equal(again.scores[name], values)


def test_stages_are_kept(tmp_path):
    acts = {**NET_SPACE, "width": jt.Choice((4, 8), static=True)}
    staged = partial(jt.staged, NET, acts, ["lr", ("width", "dropout")], scheduler=HALVING, progress=False)
    wanted = staged()
    first = staged(directory=tmp_path)
    again = staged(directory=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["stage-01", "stage-02"]
    assert repr(first) == repr(again) == repr(wanted)


def test_without_any_time_splits_and_stages_come_to_their_end(tmp_path):
    whole = NET.replace(validation=None)
    acts = {**NET_SPACE, "width": jt.Choice((4, 8), static=True)}
    nested = partial(jt.nested, whole, NET_SPACE, splits=2, scheduler=HALVING, progress=False)
    staged = partial(jt.staged, NET, acts, ["lr", ("width", "dropout")], scheduler=HALVING, progress=False)
    for _ in range(40):
        splits = nested(directory=tmp_path / "nested", time_limit=0)
        stages = staged(directory=tmp_path / "staged", time_limit=0)
        if splits.interrupted is None and len(splits.results) == 2 and not stages.results[-1].interrupted:
            break
    else:
        pytest.fail("they never came to their end")
    np.testing.assert_array_equal(splits.scores["loss"], nested().scores["loss"])
    assert repr(stages) == repr(staged())


class Slashes(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(3, name="a/b%2F")(nn.Dense(8, name="a")(x))


def test_names_with_slashes_come_back(tmp_path):
    made = task("linen", Slashes())
    found = tune(made, {"lr": jt.LogUniform(1e-3, 1e-1)}, scheduler=jt.FullBudget(2, 2), directory=tmp_path)
    again = jt.load(tmp_path).best.variables
    assert again.keys() == {"params"}
    assert again["params"].keys() == {"a", "a/b%2F"}
    np.testing.assert_array_equal(again["params"]["a/b%2F"]["bias"], found.best.variables["params"]["a/b%2F"]["bias"])


def test_a_copy_without_its_lock_may_be_overwritten(tmp_path):
    (tmp_path / "kept").mkdir()
    for _ in range(2):
        tune(NET, NET_SPACE, scheduler=jt.FullBudget(2, 2), directory=tmp_path / "run", overwrite=True)
        (tmp_path / "run" / "run.lock").unlink()
    assert jt.load(tmp_path / "run").history.num_trials == 2
