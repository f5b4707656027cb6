"""What one search may take from another: programs for its own shapes only, and values that mean the same."""

import numpy as np
import pytest
from toys import NET, NET_SPACE, X, Y, tune

import jaxtune as jt
from jaxtune.results.history import precise_mean

SHORT = jt.FullBudget(4, 20)
WHOLE = NET.replace(train=(X, Y), validation=None)


def test_programs_are_for_the_shapes_of_the_data():
    """The trace knows one batch; executables must know all of the data."""
    in_folds = tune(WHOLE, NET_SPACE, scheduler=SHORT, folds=5)
    split = WHOLE.replace(train=(X[:40], Y[:40]), validation=(X[40:], Y[40:]))
    tune(split, NET_SPACE, scheduler=SHORT, replicates=5)
    tune(split.replace(train=(X[:35], Y[:35])), NET_SPACE, scheduler=SHORT, replicates=5)
    again = tune(WHOLE, NET_SPACE, scheduler=SHORT, folds=5)
    np.testing.assert_array_equal(again.history.metrics["loss"], in_folds.history.metrics["loss"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"folds": 4}, "previous has folds"),
        ({"folds": 5, "seed": 1}, "previous has folds"),  # other seeds deal other folds
        ({"folds": 5, "replicates": 2}, "previous has replicates 1, this search 2"),
        ({"folds": 5, "task": WHOLE.replace(batch_size=4)}, "previous has batch_size 8, this search 4"),
        ({"folds": 5, "metric": "error", "mode": "min"}, "previous has metric 'loss', this search 'error'"),
    ],
    ids=["folds", "seed", "replicates", "batch size", "metric"],
)
def test_only_comparable_searches_are_continued(changes, words):
    before = tune(WHOLE, NET_SPACE, scheduler=SHORT, folds=5)
    given = {"task": WHOLE, "space": NET_SPACE, "scheduler": SHORT} | changes
    with pytest.raises(ValueError, match=words):
        tune(**given, previous=before)


def test_looks_at_the_test_split_go_on_counting():
    task = NET.replace(test=(X[:5], Y[:5]))
    before = tune(task, NET_SPACE, scheduler=SHORT)
    before.test()
    assert tune(task, NET_SPACE, scheduler=SHORT, previous=before).num_tests == 1


def test_an_interrupted_search_stays_interrupted():
    halving = jt.SuccessiveHalving(4, min_steps=10, max_steps=40, eta=4)
    before = tune(NET, NET_SPACE, scheduler=halving, callback=lambda result: True)
    after = tune(NET, NET_SPACE, scheduler=halving, previous=before)
    assert [trial.status for trial in after.trials[:4]].count("interrupted") == 1
    assert "in training" not in {trial.status for trial in after.trials}


def test_trials_without_updates_are_refused():
    space = NET_SPACE | {"batch_size": jt.Choice([4, 30])}
    with pytest.raises(ValueError, match="batch_size=30 makes no update: evaluate at most every 4 steps"):
        tune(NET, space, scheduler=SHORT, evaluate_every=2)


def test_the_stated_number_of_steps_between_evaluations_works():
    space = NET_SPACE | {"batch_size": jt.Choice([4, 30])}
    assert tune(NET, space, scheduler=SHORT, evaluate_every=4).best.steps == 20


def test_validation_data_of_another_precision_are_pooled():
    """JAX makes both of them float32."""
    wide = NET.replace(validation=tuple(part.astype(np.float64) for part in NET.validation))
    for task in (NET, wide):
        result = tune(task, NET_SPACE, scheduler=SHORT)
        weights = result.refit().state["weights"]["in"]
        assert not np.array_equal(weights, result.best.state["weights"]["in"])
    alone = NET.replace(validation=(NET.validation[0], NET.validation[1].astype(np.int32)))
    with pytest.raises(ValueError, match="not alike"):
        tune(alone, NET_SPACE, scheduler=SHORT).refit()


def test_ties_in_single_precision_are_ties_for_all():
    """Who saves the weights of a stopped trial and who ranks it must agree: these means differ by 2e-8 in float64."""
    values = np.array([[0.75, 0.825, 0.875], [0.85, 0.85, 0.75]], np.float32)  # [T, R]
    assert len(set(values.astype(np.float64).mean(axis=1))) == 2
    assert len(set(precise_mean(values))) == 1
    np.testing.assert_array_equal(
        precise_mean(np.asfortranarray(np.repeat(values, 9, axis=1)).T.copy().T),
        precise_mean(np.repeat(values, 9, axis=1)),
    )
