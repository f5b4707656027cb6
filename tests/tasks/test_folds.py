"""Cross-validation: what trains and what validates in each fold, and that nothing crosses over."""

import numpy as np
import pytest
from counting import COUNTING, IDS, LINE, LR, X, Y, descend, falling
from toys import Listed, tune

import jaxtune as jt
from jaxtune.tasks.folds import make_folds

ALL = COUNTING.replace(train=IDS, validation=None)
ONCE = jt.FullBudget(trials=2, steps=10)


def classified(targets):
    """A task with these classes."""
    targets = np.asarray(targets)
    return ALL.replace(train=(np.zeros((len(targets), 1), np.float32), targets))


# A number of folds


@pytest.mark.parametrize(("num_examples", "number"), [(40, 2), (40, 7), (39, 4), (5, 5), (40, 40)])
def test_a_number_of_folds_divides_the_examples(num_examples, number):
    folds = make_folds(ALL.replace(train=IDS[:num_examples], batch_size=1), number, seed=0)
    assert len(folds) == number
    times = np.zeros(num_examples, int)
    for fold in folds:
        assert sorted([*fold.train, *fold.validation]) == list(range(num_examples))  # disjoint, and nothing lost
        times[fold.validation] += 1
    assert len({len(fold.validation) for fold in folds}) == 1
    assert times.min() == 1
    assert times.sum() - num_examples < number  # as few as possible validate twice
    assert times.max() <= 2


def test_folds_are_shuffled_by_the_seed():
    first, again, other = (make_folds(ALL, 4, seed) for seed in (0, 0, 1))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.validation, b.validation)
    assert any((a.validation != b.validation).any() for a, b in zip(first, other, strict=True))
    assert any(np.ptp(np.diff(fold.validation)) > 0 for fold in first)  # neither blocks nor a comb


@pytest.mark.parametrize("number", [2, 3, 5, 10])
def test_folds_are_stratified(number):
    """Classes of 30, 11 and 7 examples, sorted: each fold has the same share of each, within one example."""
    targets = np.repeat([0, 1, 2], [30, 11, 7])
    folds = make_folds(classified(targets), number, seed=0)
    for label, size in enumerate((30, 11, 7)):
        counts = [np.sum(targets[fold.validation] == label) for fold in folds]
        assert max(counts) - min(counts) <= 1
        assert abs(np.mean(counts) - size / number) <= 1


def test_real_targets_are_no_classes():
    """Sorted real targets would otherwise spread over the folds."""
    targets = np.arange(40, dtype=np.float32)
    folds = make_folds(classified(targets), 4, seed=0)
    plain = make_folds(ALL, 4, seed=0)
    for a, b in zip(folds, plain, strict=True):
        np.testing.assert_array_equal(a.validation, b.validation)


# Given folds


def test_pairs_and_masks_are_taken_as_they_are():
    pairs = [([5, 3, 20, 21, 22, 23, 24, 25], [1, 2]), (range(10, 30), np.array([7, 9]))]
    masks = [tuple(np.isin(IDS, part) for part in pair) for pair in pairs]
    for fold, pair in zip(make_folds(ALL, pairs, 0), pairs, strict=True):
        for part, given in zip(fold, pair, strict=True):
            np.testing.assert_array_equal(part, given)
    for fold, pair in zip(make_folds(ALL, masks, 0), pairs, strict=True):
        for part, given in zip(fold, pair, strict=True):
            np.testing.assert_array_equal(part, sorted(given))


def test_pairs_of_a_splitter():
    from sklearn.model_selection import KFold

    pairs = list(KFold(3).split(IDS))  # 14, 13 and 13 examples
    folds = make_folds(ALL, pairs, 0)
    assert [len(fold.validation) for fold in folds] == [13, 13, 13]
    for fold, (train, validation) in zip(folds, pairs, strict=True):
        np.testing.assert_array_equal(fold.train, train)
        np.testing.assert_array_equal(fold.validation, validation[:13])


WRONG = {
    "overlap": ([(range(10), [9, 10])], ValueError, "1 examples in both parts, example 9"),
    "outside": ([(range(10), [40])], ValueError, "names example 40, but there are 40"),
    "twice": ([(range(10), [12, 12])], ValueError, "names an example twice"),
    "short-mask": ([(range(10), np.ones(5, bool))], ValueError, "dtype bool and shape"),
    "real": ([(range(10), [12.0])], ValueError, "dtype float64"),
    "empty": ([(range(10), [])], ValueError, "needs lists of example numbers"),
    "sizes": ([(range(10), [20]), (range(10), [20, 21, 22])], ValueError, "same size .* from 1 to 3"),
    "few": ([(range(7), [20])], ValueError, "7 training examples, fewer than batch_size=8"),
    "one": (1, ValueError, ">= 2"),
    "many": (41, ValueError, "41"),
    "true": (True, TypeError, "True"),
    "text": ("ab", TypeError, "number or a list of pairs"),
    "none": ([], TypeError, "number or a list of pairs"),
    "triples": ([(range(10), [20], [30])], TypeError, "number or a list of pairs"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_folds_are_refused(wrong):
    folds, error, message = WRONG[wrong]
    with pytest.raises(error, match=message):
        tune(ALL, LR, scheduler=ONCE, folds=folds)


def test_a_negative_example_is_named():
    with pytest.raises(ValueError, match="names example -3"):
        make_folds(ALL, [(range(10), [12, -3])], 0)


def test_a_generator_is_refused():
    with pytest.raises(TypeError, match="becomes a list by list"):
        tune(ALL, LR, scheduler=ONCE, folds=(pair for pair in [(range(10), [20])]))


def test_folds_and_validation_data_are_refused():
    with pytest.raises(ValueError, match="not both"):
        tune(COUNTING, LR, scheduler=ONCE, folds=3)


def test_folds_without_data_are_refused():
    with pytest.raises(ValueError, match="the task has none"):
        tune(ALL.replace(train=None, batch_size=None), LR, scheduler=ONCE, folds=3)


def test_unequal_training_parts_need_a_batch_size():
    pairs = [(range(10), [20]), (range(11), [20])]
    with pytest.raises(ValueError, match="equally many training examples"):
        make_folds(ALL.replace(batch_size=None), pairs, 0)


# Searching in folds


def test_each_lane_trains_on_its_own_fold_only():
    pairs = [(range(10), [30, 31]), (range(10, 29), [1, 2]), (range(0, 40, 2), [11, 13])]
    result = tune(ALL, LR, scheduler=jt.FullBudget(trials=3, steps=50), folds=pairs, replicates=2)
    seen = result.best.states["seen"].reshape(2, 3, 40)
    for fold, (train, validation) in enumerate(pairs):
        for replicate in range(2):
            counts = seen[replicate, fold]
            assert counts.sum() == 50 * 8
            assert counts[list(train)].max() - counts[list(train)].min() <= 1  # epochs, with one begun
            assert set(np.flatnonzero(counts)) == set(train)
            assert result.best.replicates["validated"][replicate, fold] == sum(validation)
    assert not result.history.metrics["leaked"].any()
    assert result.best.replicates["loss"].shape == (2, 3)


def test_full_batch_training_in_folds_equals_training_alone():
    """Every value of every trial in every fold, against gradient descent by hand."""
    task = LINE.replace(train=(X[:18], Y[:18]), validation=None)
    folds = make_folds(task, 3, seed=0)
    configurations = [{"lr": lr} for lr in (0.01, 0.1, 0.3)]
    result = tune(
        task, {"lr": jt.Uniform(0.0, 1.0)}, scheduler=jt.FullBudget(3, 20), folds=3, replicates=2,
        sampler=Listed.of(*configurations),
    )  # fmt: skip
    start = tune(task, {"lr": 0.0}, scheduler=jt.FullBudget(1, 20), folds=3, replicates=2).best.states
    start = np.asarray(start).reshape(2, 3, 2)
    np.testing.assert_array_equal(start[:, 0], start[:, 1])  # the same initial weights in all folds
    assert (start[0] != start[1]).all()
    for trial, configuration in zip(result.trials, configurations, strict=True):
        for number, (train, validation) in enumerate(folds):
            for replicate in range(2):
                rates = falling(configuration["lr"], 20, 20)
                w = descend(start[replicate, number], X[train], Y[train], rates)
                expected = np.mean((X[validation] @ w + Y[train].mean() - Y[validation]) ** 2)
                np.testing.assert_allclose(trial.replicates["loss"][replicate, number], expected, rtol=1e-4)
                # Statistics are those of the training part alone.
                mean = trial.replicates["mean"][replicate, number]
                np.testing.assert_allclose(mean, Y[train].mean(), rtol=1e-6)
        np.testing.assert_allclose(trial.metrics["loss"], trial.replicates["loss"].mean(), rtol=1e-6)


def test_standardizing_in_folds_uses_the_training_part():
    """Inputs of the validation part are shifted far away: they must not move the statistics."""
    import flax.linen as nn
    import optax

    shifted = X.copy()
    shifted[16:] += 1000.0
    task = jt.supervised(
        nn.Dense(1), optimizer=lambda hp: optax.sgd(hp["lr"]), loss=optax.squared_error,
        preprocess=jt.standardize(), train=(shifted, Y[:, None]), batch_size=4,
    )  # fmt: skip
    pairs = [(range(16), range(16, 24)), (range(2, 18), [*range(2), *range(18, 24)])]
    result = tune(task, {"lr": jt.Uniform(0.01, 0.02)}, scheduler=jt.FullBudget(2, 10), folds=pairs)
    first, second = result.best.replicates["loss"][0]
    assert first > 1e4 > 1e3 > second  # only in the second fold do the statistics know of such examples


def test_rungs_rank_by_the_mean_over_folds():
    """Each fold prefers another trial; the mean decides."""
    import jax.numpy as jnp

    def evaluate(key, state, data, hp):
        wanted = jnp.where(data[0] == 0, 0.2, 0.9)
        return {"loss": (hp["lr"] - wanted) ** 2 + 0.0 * state["updates"]}

    task = ALL.replace(evaluate=evaluate)
    sampler = Listed.of(*({"lr": lr} for lr in (0.2, 0.9, 0.55)))
    pairs = [(range(10, 20), [0]), (range(10, 20), [1])]
    result = tune(
        task, {"lr": jt.Uniform(0.0, 1.0)}, scheduler=jt.SuccessiveHalving(3, 5, 15), sampler=sampler, folds=pairs
    )
    assert result.best.id == 2
    assert [trial.status for trial in result.trials] == ["pruned at step 5", "pruned at step 5", "finished"]
    np.testing.assert_allclose(result.best.standard_error["loss"], 0, atol=1e-6)
    np.testing.assert_allclose(result.trials[0].replicates["loss"], [[0.0, 0.49]], atol=1e-6)


def test_other_folds_and_data_compile_nothing(compiled):
    """Nor do other numbers of training examples, if the smallest stays: as in a nested cross-validation."""
    task = ALL.replace(step=lambda *args, total_steps: COUNTING.step(*args, total_steps))
    scheduler = jt.SuccessiveHalving(8, 10, 90)
    tune(task, LR, scheduler=scheduler, folds=[(range(20), range(30, 35)), (range(9), range(30, 35))])
    assert "advance" in compiled
    compiled.clear()
    tune(task, LR, scheduler=scheduler, folds=[(range(10, 19), range(19, 24)), (range(9, 40), range(5))], seed=3)
    other = task.replace(train=IDS[::-1].copy())
    tune(other, LR, scheduler=scheduler, folds=[(range(9), range(30, 35))] * 2)
    assert set(compiled) <= {"move"}  # within equal arrays: compiled when survivors first leave gaps, in any search
