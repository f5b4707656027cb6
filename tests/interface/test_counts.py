"""Numbers that count something: NumPy's are as good as Python's, and none is larger than programs can count."""

import inspect
import warnings

import jax.numpy as jnp
import numpy as np
import pytest
from toys import DESCENT, DESCENT_SPACE, NET, NET_SPACE, tune

import jaxtune as jt
from jaxtune.interface.counts import check_whole, is_whole
from jaxtune.tasks.folds import make_folds

FEW = jt.FullBudget(trials=4, steps=5)


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3), np.array(3), jnp.int32(3)])
def test_whole_numbers(value):
    assert is_whole(value)
    assert type(check_whole("n", value)) is int


@pytest.mark.parametrize(
    "value", [True, np.bool_(True), 3.0, np.float32(3), "3", None, np.array([3, 4]), np.array([3])]
)
def test_others(value):
    assert not is_whole(value)
    with pytest.raises(ValueError, match="n must be a whole number >= 1, got "):
        check_whole("n", value)


N = np.int64
COUNTED = {  # each has ints where it was given NumPy's
    "FullBudget": lambda: jt.FullBudget(N(4), N(20)),
    "SuccessiveHalving": lambda: jt.SuccessiveHalving(N(9), N(5), N(45), eta=N(3)),
    "Hyperband": lambda: jt.Hyperband(N(5), N(45), N(3)),
    "PopulationBasedTraining": lambda: jt.PopulationBasedTraining(N(6), N(20), N(5)),
    "Placement": lambda: jt.Placement(lanes=N(4), max_programs=N(3)),
    "Integer": lambda: jt.Integer(N(1), N(9), step=N(2)),
}


@pytest.mark.parametrize("name", COUNTED)
def test_numbers_of_numpy_are_kept_as_pythons(name):
    made = COUNTED[name]()
    assert not [value for value in vars(made).values() if isinstance(value, np.generic)]
    assert "np." not in repr(made)


def test_numbers_of_numpy_in_searches_and_splits():
    assert len(make_folds(NET.replace(validation=None), N(5), 0)) == 5
    assert jt.Grid(N(3)) == jt.Grid(3)
    assert NET.replace(batch_size=N(8)) == NET
    with pytest.raises(ValueError, match="must be a whole number >= 2"):  # read as a number of splits
        jt.nested(NET.replace(validation=None), NET_SPACE, splits=N(1), scheduler=FEW)


def test_numbers_of_numpy_overflow_nothing():
    """As ints of eight bits would."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = tune(
            DESCENT, DESCENT_SPACE, scheduler=FEW, replicates=np.int8(2), evaluate_every=np.int8(2), seed=np.uint32(3)
        )
    assert type(result.seed) is int
    assert type(result.refit(replicates=np.int8(1)).replicates) is int
    assert result.trials[np.int64(1)].id == 1


MOST = "to be a whole number >= 1 and <= 2147483647, got "
TOO_LARGE = {
    "steps=2147483648": lambda: jt.FullBudget(4, 2**31),
    "trials=2147483648": lambda: jt.FullBudget(2**31, 4),
    "max_steps=4294967296": lambda: jt.SuccessiveHalving(4, 1, 2**32),
    "min_steps=": lambda: jt.Hyperband(N(2**40), 2**50),
    "interval=2147483648": lambda: jt.PopulationBasedTraining(4, 100, 2**31),
}


@pytest.mark.parametrize("given", TOO_LARGE)
def test_more_than_programs_can_count(given):
    with pytest.raises(ValueError, match=MOST + given):
        TOO_LARGE[given]()


def test_more_replicates_than_programs_can_count():
    with pytest.raises(ValueError, match="replicates must be a whole number >= 1 and <= 2147483647, got 2147483648"):
        tune(DESCENT, DESCENT_SPACE, scheduler=FEW, replicates=2**31)


@pytest.mark.parametrize(
    "run",
    [
        lambda seed: tune(DESCENT, DESCENT_SPACE, scheduler=FEW, seed=seed),
        lambda seed: jt.plan(DESCENT, DESCENT_SPACE, scheduler=FEW, seed=seed),
        lambda seed: jt.nested(NET.replace(validation=None), NET_SPACE, splits=3, scheduler=FEW, seed=seed),
        lambda seed: jt.overfit_check(NET, NET_SPACE, examples=8, seed=seed),
        lambda seed: jt.lr_range_test(NET, NET_SPACE, seed=seed),
    ],
    ids=["tune", "plan", "nested", "overfit_check", "lr_range_test"],
)
def test_seeds_that_jax_would_change(run):
    with pytest.raises(ValueError, match=r"seed must be a whole number >= 0 and <= 4294967295, got -2"):
        run(-2)


@pytest.mark.parametrize("run", [tune, jt.plan])
def test_an_evaluation_beyond_the_end(run):
    with pytest.raises(ValueError, match=r"evaluate_every=6 lies beyond the end of the search, step 5: take less"):
        run(DESCENT, DESCENT_SPACE, scheduler=FEW, evaluate_every=6)


class TakesTwo:
    def __call__(self, result, epoch):
        pass


@pytest.mark.parametrize(
    ("callback", "takes"),
    [
        (lambda: None, r"\(\)"),
        (lambda result, epoch: None, r"\(result, epoch\)"),
        (TakesTwo(), r"\(result, epoch\)"),
        (lambda *, result: None, r"\(\*, result\)"),
    ],
)
def test_callbacks_that_take_no_result(callback, takes):
    with pytest.raises(TypeError, match=rf"callback is called with \(result\), but takes {takes}\."):
        tune(DESCENT, DESCENT_SPACE, scheduler=FEW, callback=callback)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: jt.SuccessiveHalving(9, 20, 50), "SuccessiveHalving trains for 40 steps instead of max_steps=50: a"),
        (lambda: jt.Hyperband(20, 170), "Hyperband trains for 160 steps instead of max_steps=170: a multiple of min"),
        (
            lambda: jt.PopulationBasedTraining(8, 105, 10),
            "trains for 100 steps instead of steps=105: a multiple of int",
        ),
    ],
)
def test_steps_that_rounding_changes_are_said(make, words):
    with pytest.warns(UserWarning, match=words) as caught:
        scheduler = make()
    assert caught[0].filename == __file__
    assert f"for {scheduler.plan().steps} steps" in str(caught[0].message)


def test_steps_that_it_leaves_alone_are_not():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        jt.SuccessiveHalving(9, 20, 1000)
        jt.Hyperband(20, 500)
        jt.PopulationBasedTraining(8, 100, 10)


def test_signatures_are_as_before():
    assert list(inspect.signature(jt.FullBudget).parameters) == ["trials", "steps"]
