"""Outer splits: every search sees its own training part only, and later ones compile nothing."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest
from toys import NET, NET_SPACE, ONE, X, Y

import jaxtune as jt
from jaxtune.drivers.tune import tune
from jaxtune.practice import nested as nesting
from jaxtune.practice.nested import Nested
from jaxtune.results.confirming import rounds

ALL = NET.replace(train=(X, Y), validation=None)
SCHEDULER = jt.SuccessiveHalving(4, min_steps=10, max_steps=40, eta=4)


def nested(task=ALL, **arguments):
    given = {"splits": 5, "scheduler": SCHEDULER, "placement": ONE, "progress": False} | arguments
    return jt.nested(task, NET_SPACE, **given)


@pytest.fixture
def tasks(monkeypatch):
    """The tasks of all searches."""
    seen = []

    def spy(task, *args, **kwargs):
        seen.append(task)
        return tune(task, *args, **kwargs)

    monkeypatch.setattr(nesting, "tune", spy)
    return seen


def rows(part):
    return {x.tobytes() for x in np.asarray(part[0])}


def test_parts_are_disjoint_and_whole(tasks):
    outer = nested()
    everything = rows((X, Y))
    assert len(outer.results) == len(tasks) == 5
    tested = [rows(task.test) for task in tasks]
    assert set.union(*tested) == everything
    assert sum(map(len, tested)) == len(everything)
    for task in tasks:
        parts = [rows(task.train), rows(task.validation), rows(task.test)]
        assert [len(part) for part in parts] == [32, 8, 10]
        assert set.union(*parts) == everything
        assert sum(map(len, parts)) == len(everything)


def test_scores_are_those_of_each_winner(tasks):
    given = [(np.arange(10, 50), np.arange(10)), (np.arange(40), np.arange(40, 50))]
    outer = nested(splits=given)
    np.testing.assert_array_equal(tasks[1].test[0], X[40:])
    for score, result in zip(outer.scores["loss"], outer.results, strict=True):
        assert result.num_tests == 1
        assert score == pytest.approx(result.test()["loss"])
    assert outer.mean["loss"] == pytest.approx(np.mean(outer.scores["loss"]))
    assert outer.standard_error["loss"] == pytest.approx(np.std(outer.scores["loss"], ddof=1) / np.sqrt(2))


def test_tables_of_splits():
    pytest.importorskip("pandas")
    winners = [SimpleNamespace(hparams={"lr": 0.1, "loss": 1}), SimpleNamespace(hparams={"lr": 0.2})]
    outer = Nested({"loss": np.array([0.5, 0.25]), "top_5": np.array([0.9, 0.8])}, [], winners, 2)
    assert outer.records()[0] == {"split": 1, "lr": 0.1, "hp_loss": 1, "loss": 0.5, "top_5": 0.9}
    frame = outer.to_dataframe()
    assert frame.shape == (2, 5)
    assert frame.groupby("split").loss.first().tolist() == [0.5, 0.25]
    assert (
        outer.to_latex()
        == r"""
\begin{tabular}{lrr}
\toprule
split & loss & top\_5 \\
\midrule
1 & 0.5 & 0.9 \\
2 & 0.25 & 0.8 \\
\midrule
mean & 0.375 $\pm$ 0.12 & 0.85 $\pm$ 0.05 \\
\bottomrule
\end{tabular}
""".strip()
    )


def test_later_splits_compile_nothing(compiled):
    nested(splits=2, refit=1)
    compiled.clear()
    jax.clear_caches()  # whatever else is jitted would show as a new compilation below
    nested(splits=2, refit=1)
    events = []
    jax.monitoring.register_event_duration_secs_listener(lambda name, *_, **__: events.append(name))
    try:
        nested(splits=2, refit=1)
    finally:
        jax.monitoring.clear_event_listeners()
    assert not compiled
    assert not [name for name in events if name == "/jax/core/compile/backend_compile_duration"]


def test_inner_cross_validation(tasks):
    outer = nested(splits=2, folds=3, validation=None)
    assert all(task.validation is None for task in tasks)
    assert outer.results[0].best.replicates["loss"].shape == (1, 3)


def test_refit_trains_on_the_whole_training_part():
    one, two = (nested(splits=2, refit=n) for n in (1, 2))
    again = one.results[0].refit(replicates=1).test()["loss"]
    assert one.scores["loss"][0] == pytest.approx(again)
    assert one.scores["loss"][0] != pytest.approx(two.scores["loss"][0])


# Confirmed winners: two trials of each split on two fresh seeds, which takes two rounds

CONFIRMED = {"splits": 2, "refit": 1, "confirm": jt.Confirm(top=2, replicates=2)}


@pytest.fixture(scope="module")
def confirmed():
    return nested(**CONFIRMED)


def test_confirmed_winners_are_refitted_and_tested(confirmed):
    for score, result, winner in zip(confirmed.scores["loss"], confirmed.results, confirmed.winners, strict=True):
        assert result.confirmation.best.replicates["loss"].size == 2
        assert winner.hparams == result.confirmation.best.hparams
        assert score == pytest.approx(result.refit(replicates=1).test()["loss"])
    for score, result in zip(nested(**CONFIRMED | {"refit": None}).scores["loss"], confirmed.results, strict=True):
        assert score == pytest.approx(result.confirmation.test()["loss"])


def test_a_cut_confirmation_ends_it_and_goes_on_in_its_folder(confirmed, monkeypatch, tmp_path):
    seeds, train, cut_at = [], rounds.train_again, {4}  # the second round of the second split

    def train_again(search, *args):
        seeds.append(search.first_seed)
        return None if len(seeds) in cut_at else train(search, *args)

    monkeypatch.setattr(rounds, "train_again", train_again)
    cut = nested(**CONFIRMED, directory=tmp_path)
    assert (len(cut.results), cut.interrupted.confirmation.interrupted) == (1, True)
    for _ in range(2):  # the second time everything is there
        whole = nested(**CONFIRMED, directory=tmp_path)
        np.testing.assert_array_equal(whole.scores["loss"], confirmed.scores["loss"])
    assert seeds == [0, 1, 0, 1, 1]


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"task": NET}, ValueError, "all examples as train"),
        ({"splits": [(range(40), range(30, 50))]}, ValueError, "in both parts"),
        ({"splits": [(range(40), range(40, 51))]}, ValueError, "names example 50"),
        ({"splits": [(range(40), range(40, 50)), (range(30), range(40, 50))]}, ValueError, "equal sizes"),
        ({"splits": "5"}, TypeError, "list of pairs"),
        ({"splits": [range(40)]}, TypeError, "must be a pair"),
        ({"validation": 1.5}, ValueError, "between 0 and 1"),
        ({"validation": 0.001}, ValueError, "one part empty"),
        ({"validation": 0.2, "folds": 3}, ValueError, "not both"),
        ({"refit": 0}, ValueError, "refit must be"),
        ({"confirm": 2}, TypeError, "confirm must be None or a jt.Confirm"),
    ],
    ids=["validation", "overlap", "range", "sizes", "text", "pair", "share", "empty", "both", "refit", "confirm"],
)
def test_bad_input(changes, error, words):
    with pytest.raises(error, match=words):
        nested(**changes)
