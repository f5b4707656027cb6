"""The comparison with peers: its arithmetic, and that every peer which is installed does its work."""

import json
import sys
from importlib import import_module, util
from types import SimpleNamespace
from unittest import mock

import jax
import numpy as np
import pytest
from scripts import ROOT, run, runs

from jaxtune.cli.demo import digits

BENCHMARKS = ROOT / "benchmarks"
with mock.patch.object(sys, "path", [str(BENCHMARKS), *sys.path]):
    PEERS = import_module("peers").PEERS


@pytest.fixture
def script(monkeypatch):
    """A function that imports a script."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return import_module


def record(peer, seed=0, *, fresh=10.0, warm=4.0, events=(), share=1.0, first_trials=0.0, losses=()):
    """What a process says; both searches see the same events, the fresh one 6 s later."""
    return {
        "peer": peer,
        "seed": seed,
        "load": 1.0,
        "share": share,
        "first_trials": first_trials,
        "fresh": {"seconds": fresh, "events": [(at + 6, loss) for at, loss in events]},
        "warm": {"seconds": warm, "events": list(events)},
        "best": [0.25, 0.75],
        "losses": list(losses),
    }


def page(*records):
    """A saved run: halving that takes the steps of two trainings."""
    names = {"machine": "m", "versions": "v", "model": "mlp", "what": "w", "quick": False}
    return names | {"trials": 8, "rungs": [10, 40], "trainings": 2, "records": list(records)}


def test_a_share_of_a_search_is_extrapolated_without_its_compilation(script):
    peers = script("peers")
    part = record("hyperoptax", share=0.25)
    assert peers.whole(part, "warm") == 16
    assert peers.whole(part, "fresh") == 22  # 6 s before the search, 16 of it
    assert peers.whole(record("hand"), "fresh") == 10


def test_the_target_is_what_half_of_the_random_searches_reach(script):
    losses = np.linspace(0, 1, 1000)
    target = script("peers").target_of(page(record("hand", losses=losses[::-1]), record("jaxtune")))
    draws = np.random.default_rng(0).choice(losses, (20_000, 2)).min(axis=1)
    assert np.mean(draws <= target) == pytest.approx(0.5, abs=0.02)
    assert script("peers").target_of(page(record("jaxtune"))) is None


def test_losses_of_a_seed_count_once_for_the_target(script):
    low, high = record("hand", losses=[1.0] * 4), record("hand-sharded", losses=[1.0] * 4)
    other = record("hand", seed=1, losses=[2.0, 0.5, 0.5, 0.5])
    assert script("peers").target_of(page(low, high, other)) == 0.5


def test_time_to_the_target_is_that_of_the_first_evaluation_which_is_as_good(script):
    until = script("peers").until
    found = record("jaxtune", events=[(1.0, 0.9), (2.0, 0.5), (3.0, 0.4)])
    assert until(found, "warm", 0.5, page()) == 2
    assert until(found, "fresh", 0.5, page()) == 8
    assert until(found, "warm", 0.1, page()) is None


def test_a_share_reaches_the_target_with_the_trainings_that_half_of_all_searches_need(script):
    until = script("peers").until
    serial, batches = record("a", share=0.25), record("b", share=0.25, first_trials=0.5)
    assert until(serial, "warm", 0.5, page()) == 4  # 2 of 8 trials, each 2 s
    assert until(batches, "warm", 0.5, page()) == 8  # half of 16 s
    assert until(serial, "fresh", 0.5, page()) == 10


def test_the_table_sets_every_peer_against_jaxtune_seed_by_seed(script, capsys):
    ours = [record("jaxtune", seed, warm=warm, events=[(1.0, 0.1)]) for seed, warm in ((0, 1.0), (1, 2.0))]
    hand = [record("hand", seed, warm=8.0, losses=[0.1, 0.3]) for seed in (0, 1)]
    part = record("optuna-compiled", warm=1.0, share=0.1)
    script("peers").report(page(*ours, *hand, part))
    text = capsys.readouterr().out
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| ")]
    header, first, loop, by_hand = rows
    assert first[header.index("warm, s")] == "1.5 (1-2)"
    assert by_hand[5] == "6 (4-8)"  # 8 / 1 and 8 / 2
    assert by_hand[header.index("s to target, warm")] == "never, 0 of 2 seeds"
    assert loop[header.index("run")] == "EXTRAPOLATED from 10.00%"
    assert loop[header.index("best validation loss")] == "(of a share)"


def test_rungs_are_those_of_jaxtune(script):
    works = script("searches.work").works(None)
    assert works["mlp"].rungs == [50, 200, 800, 3200]
    assert works["few"].rungs == [3200]
    for work in works.values():
        plan = work.scheduler.plan()
        assert [row.stop for row in plan.rows] == work.rungs
        assert work.smaller().rungs[-1] == 40


def test_a_training_in_parts_is_the_same_training(script):
    """And what Optuna and Ray train trial by trial is what is trained side by side by hand."""
    work = script("searches.work").works(None)["mlp"].smaller()
    training = script("searches.training")
    hp = training.arrays({"lr": 1e-3, "weight_decay": 1e-2, "dropout": 0.25})
    key, rows = jax.random.key(0), script("searches.work").rows(work, 0)
    train = training.trainer(work)
    state, _ = train(None, hp, key, rows, 0, 10)
    _, in_parts = train(state, hp, key, rows, 10, 40)
    _, at_once = train(None, hp, key, rows, 0, 40)
    assert float(in_parts) == pytest.approx(float(at_once), rel=1e-5)


def test_the_loss_is_the_demos(script):
    logits = np.random.default_rng(0).normal(size=(7, 10)).astype(np.float32)
    labels = np.arange(7)
    ours = script("searches.work").loss(logits, labels)
    np.testing.assert_allclose(ours, digits.loss(logits, labels), rtol=1e-5)


@runs("benchmarks/peers.py")
def test_peers_runs_and_goes_on_where_it_was_cut_off(tmp_path):
    saved = []
    for names in ("jaxtune", "jaxtune,hand"):
        run("benchmarks/peers.py", "--seeds", 1, "--output", "out.json", "--peers", names, cwd=tmp_path)
        saved.append(json.loads((tmp_path / "out.json").read_text())["records"])
    (first,), (kept, hand) = saved
    assert kept == first
    assert (first["peer"], hand["peer"]) == ("jaxtune", "hand")
    assert len(hand["losses"]) == 8
    for r in (first, hand):
        assert_has_searched(r)


def assert_has_searched(found):
    """Whether a record is that of a first and a second search that found a network."""
    assert found["warm"]["seconds"] < found["fresh"]["seconds"]
    assert 0 < found["best"][0] < 2.4  # a network that guesses has log 10


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in PEERS if name not in ("jaxtune", "hand")])
def test_every_other_peer_searches(script, name):
    if util.find_spec(PEERS[name].needs) is None:
        pytest.skip(f"{PEERS[name].needs} is not installed")
    saved = {"records": []}
    options = SimpleNamespace(model="mlp", quick=True, data=None, output=None)
    script("peers").run(name, 0, options, saved)
    (found,) = saved["records"]
    assert found["peer"] == name
    assert_has_searched(found)


def test_every_search_has_a_peer():
    files = (BENCHMARKS / "searches").glob("*.py")
    searches = {path.stem for path in files if "\ndef searcher(" in path.read_text(encoding="utf-8")}
    assert searches == {peer.module for peer in PEERS.values()}
