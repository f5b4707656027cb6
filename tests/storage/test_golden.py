"""Runs that earlier versions wrote: every later version opens them, and goes on with those that are not over."""

import csv
import shutil
import warnings
from pathlib import Path

import jax
import numpy as np
import pytest
from toys import NET, NET_SPACE, ONE

import jaxtune as jt

GOLDEN = sorted((Path(__file__).parent / "golden").iterdir())
each_format = pytest.mark.parametrize("folder", GOLDEN, ids=lambda path: path.name)
HALVING = jt.SuccessiveHalving(8, 5, 20, eta=2)


def test_the_format_of_now_is_among_them():
    from jaxtune.storage.directory import FORMAT

    assert [folder.name for folder in GOLDEN] == [f"format-{n + 1}" for n in range(FORMAT)]


@each_format
def test_finished_runs_open(folder):
    result = jt.load(folder / "finished")
    with (folder / "finished" / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(result.trials) == 8
    for row, trial in zip(rows, result.trials, strict=True):
        assert row["status"] == trial.status
        assert float(row["lr"]) == trial.hparams["lr"]
        assert float(row["loss"]) == pytest.approx(trial.metrics["loss"])
    assert {x.shape for x in jax.tree.leaves(result.best.states)} == {(1, 4, 8), (1, 8, 1)}


@each_format
def test_runs_that_are_not_over_open_and_go_on(folder, tmp_path):
    assert jt.load(folder / "stopped").interrupted
    shutil.copytree(folder / "stopped", tmp_path / "run")
    whole = jt.load(folder / "finished")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other versions of JAX or other machines, where last bits may differ
        result = jt.tune(NET, NET_SPACE, scheduler=HALVING, directory=tmp_path / "run", placement=ONE, progress=False)
    assert [trial.status for trial in result.trials] == [trial.status for trial in whole.trials]
    np.testing.assert_allclose(result.best.metrics["loss"], whole.best.metrics["loss"], rtol=1e-3)
