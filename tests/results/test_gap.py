"""Validation against test: the gap, its standard error, and what picking the best explains of it."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats
from toys import Listed, tune

import jaxtune as jt
from jaxtune.results.gap import Gap, max_optimism

RNG = np.random.default_rng(7)


# Optimism


@pytest.mark.parametrize("n", [2, 5, 30, 200])
@pytest.mark.parametrize("error", [0.5, 3.0])
def test_optimism_of_equal_scores_is_an_expected_maximum(n, error):
    def density(x):
        return x * n * stats.norm.pdf(x) * stats.norm.cdf(x) ** (n - 1)

    expected = error * integrate.quad(density, -12, 12)[0]
    assert max_optimism(np.full(n, 1.7), error) == pytest.approx(expected, abs=4 * error / np.sqrt(10_000))


def test_scores_that_can_be_told_from_the_best_do_not_count():
    """Two numbers differ by more than 1.96 sqrt(2) standard errors in 5 % of all cases."""
    limit = stats.norm.ppf(0.975) * np.sqrt(2)
    both = np.sqrt(2) * stats.norm.pdf(0)  # the best of two equal ones (Clark, 1961)
    for distance, expected in ((0.1, both), (0.95 * limit, both), (1.05 * limit, 0.0)):
        scores = np.array([4.0, 4.0 + 0.8 * distance, 90.0])
        assert max_optimism(scores, 0.8) == pytest.approx(0.8 * expected, rel=0.03)


@pytest.mark.parametrize("count", [2, 8, 64, 512])
@pytest.mark.parametrize("common", [0.0, 0.95])
@pytest.mark.parametrize("spread", [0.0, 0.5, 1.0, 3.0])
def test_optimism_covers_what_selection_adds(count, common, spread):
    """Simulated searches whose errors, of variance 1, are the same for all candidates in part."""
    rng = np.random.default_rng(3)
    added, most = [], []
    for _ in range(100):
        errors = np.sqrt(1 - common) * rng.normal(size=count) + np.sqrt(common) * rng.normal()
        scores = spread * rng.normal(size=count) + errors
        added.append(-errors[np.argmin(scores)])
        most.append(max_optimism(scores, 1.0))
    assert -0.3 < np.mean(added) < np.mean(most) + 0.3
    if spread == common == 0.0:
        assert np.mean(most) == pytest.approx(np.mean(added), abs=0.3)


def test_optimism_of_a_million_candidates():
    """The largest of n normal numbers has the median isf(1 - 0.5 ** (1 / n)), and a mean a little above it."""
    median = stats.norm.isf(-np.expm1(np.log(0.5) / 1_000_000))
    assert median < max_optimism(np.zeros(1_000_000), 1.0) < median + 0.1


def test_no_optimism():
    assert max_optimism(np.array([1.0]), 2.0) == 0.0
    assert max_optimism(np.array([0.0, 100.0]), 1.0) == pytest.approx(0.0, abs=0.1)
    assert max_optimism(np.array([1.0, 1.0]), 0.0) == 0.0
    assert np.isnan(max_optimism(np.array([1.0, 1.0]), np.nan))


# The gap


@pytest.mark.parametrize(("mode", "gap"), [("min", 0.5), ("max", -0.5)])
def test_a_gap_is_positive_where_the_test_is_worse(mode, gap):
    one = Gap.of(
        "m", mode, seen=1.0, validation=np.array([1.0]), test=np.array([1.5]), errors={"validation": 0.3, "test": 0.4},
        candidates=np.array([1.0]),
    )  # fmt: skip
    assert one.gap == pytest.approx(gap)
    assert one.standard_error == pytest.approx(0.5)  # 3, 4, 5
    assert (one.validation, one.test, one.max_optimism, one.num_candidates) == (1.0, 1.5, 0.0, 1)


def test_seeds_add_to_the_standard_error():
    validation, test = np.array([1.0, 2.0, 4.0]), np.array([2.0, 5.0, 5.0])  # differences 1, 3, 1
    one = Gap.of(
        "m", "min", seen=1.0, validation=validation, test=test, errors={"validation": 0.0, "test": 0.0},
        candidates=np.array([1.0]),
    )  # fmt: skip
    assert one.gap == pytest.approx(5 / 3)
    assert one.standard_error == pytest.approx(stats.sem([1.0, 3.0, 1.0]))


@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_the_interval_holds_how_much_worse_a_selected_trial_is(spread):
    """Known noise, 64 trials, 200 searches: in 95 % of them, though the best was selected by its errors."""
    rng, held, naive = np.random.default_rng(5), [], []
    for _ in range(200):
        truth = spread * rng.exponential(size=64)
        scores = truth + rng.normal(size=64)
        best = int(np.argmin(scores))
        one = Gap.of(
            "m", "min", seen=scores[best], validation=scores[[best]], test=truth[[best]] + rng.normal(),
            errors={"validation": 1.0, "test": 1.0}, candidates=scores,
        )  # fmt: skip
        held.append(one.low <= truth[best] - scores[best] <= one.high)
        naive.append(abs(truth[best] - scores[best]) <= 1.96)  # as if it had not been selected
    assert 0.95 - 2 * np.sqrt(0.95 * 0.05 / 200) <= np.mean(held) < 1
    assert np.mean(naive) < 0.8


def test_the_interval_counts_seeds_by_their_number():
    """Without errors of examples: Student's interval of the paired differences."""
    validation, test = np.array([1.0, 2.0, 4.0]), np.array([2.0, 5.0, 5.0])
    one = Gap.of(
        "m", "max", seen=2.0, validation=validation, test=test, errors={"validation": 0.0, "test": 0.0},
        candidates=np.array([1.0]),
    )  # fmt: skip
    expected = stats.ttest_1samp(validation - test, 0).confidence_interval(0.95)
    assert (one.low, one.high) == (pytest.approx(expected.low), pytest.approx(expected.high))
    assert one.luck == pytest.approx(2.0 - 7 / 3)  # of an accuracy, say: fresh seeds do better than what was seen


def test_text_of_a_gap():
    one = Gap("rmse", 0.4, 0.4, 0.5, 0.0, 0.1, 0.06, 0.14, 0.02, 0.003, 7)
    assert str(one) == "rmse: validation 0.4, test 0.5; gap 0.1 ± 0.02 (of which having picked the best of 7 " \
        "explains 0 to 0.003)"  # fmt: skip


# Of a result: a task whose loss is the mean of its data, or the square of that.


def _init(key, hp):
    return jnp.zeros(())


def _step(key, state, batch, hp):
    return state, {}


def _evaluate(key, state, data, hp):
    return {"loss": jnp.mean(data) + hp["shift"], "square": jnp.mean(data) ** 2, "negative": -jnp.mean(data)}


def mean_task(num_validation, num_test):
    """A task that reports the mean of its examples."""
    draw = lambda n: RNG.normal(size=n).astype(np.float32)  # noqa: E731
    return jt.Task(
        init=_init, step=_step, evaluate=_evaluate, train=draw(3), validation=draw(num_validation), test=draw(num_test)
    )


SPACE = {"shift": jt.Uniform(0.0, 100.0)}


def searched(task, shifts=(0.0, 50.0), **options):
    """A search over these shifts."""
    sampler = Listed.of(*({"shift": shift} for shift in shifts))
    return tune(task, SPACE, scheduler=jt.FullBudget(len(shifts), 2), sampler=sampler, **options)


@pytest.mark.parametrize("size", [2, 9, 20])
def test_jackknife_of_a_mean(size):
    """With blocks of one example: the textbook standard error of a mean."""
    task = mean_task(size, size + 1 if size < 20 else 20)
    result = searched(task)
    for split in ("validation", "test"):
        data = getattr(task, split)
        assert result.winner.sampling_error(split)["loss"] == pytest.approx(stats.sem(data), rel=1e-3)


def test_jackknife_of_larger_blocks():
    """Of 60 examples, 20 blocks of three are left out: the standard error of a mean of 20 block means."""
    task = mean_task(60, 5)
    blocks = task.validation.reshape(20, 3).mean(axis=1)
    assert searched(task).winner.sampling_error("validation")["loss"] == pytest.approx(stats.sem(blocks), rel=1e-3)


@pytest.mark.parametrize("size", [39, 59, 119])
def test_jackknife_counts_all_examples(size):
    """Where blocks don't come out even the error is still that of all examples, not of 20 blocks."""
    task = mean_task(size, 5)
    block = size // 20
    means = task.validation[: 20 * block].reshape(20, block).mean(axis=1)
    expected = means.std(ddof=1) * np.sqrt(block / size)
    assert searched(task).winner.sampling_error("validation")["loss"] == pytest.approx(expected, rel=1e-3)


def test_jackknife_of_a_metric_that_is_no_mean():
    """The delta method: the error of a squared mean is 2 |mean| times that of the mean."""
    task = mean_task(20, 20)
    task = task.replace(test=task.test + 10)
    error = searched(task).winner.sampling_error("test")["square"]
    assert error == pytest.approx(2 * abs(task.test.mean()) * stats.sem(task.test), rel=0.02)


def test_a_single_example_has_no_sampling_error():
    result = searched(mean_task(1, 8))
    assert np.isnan(result.winner.sampling_error("validation")["loss"])
    assert np.isnan(result.gap().standard_error)


def test_gap_of_a_result():
    task = mean_task(15, 12)
    result = searched(task, shifts=(0.0, 0.0625, 90.0))
    gap = result.gap()
    assert result.num_tests == 1  # it had to look
    assert gap.metric == "loss"
    assert gap.validation == pytest.approx(task.validation.mean(), abs=1e-5)
    assert gap.test == pytest.approx(task.test.mean(), abs=1e-5)
    assert gap.gap == pytest.approx(gap.test - gap.validation)
    expected = np.hypot(stats.sem(task.validation), stats.sem(task.test))
    assert gap.standard_error == pytest.approx(expected, rel=1e-3)
    assert gap.num_candidates == 3
    both = np.sqrt(2) * stats.norm.pdf(0)
    assert gap.max_optimism == pytest.approx(both * stats.sem(task.validation), rel=0.03)  # 90 is out of the question
    result.gap()
    assert result.num_tests == 1  # and remembers what it saw


def test_gap_of_a_metric_to_maximise():
    task = mean_task(15, 12)
    result = tune(task, SPACE, scheduler=jt.FullBudget(1, 2), metric="negative", mode="max")
    assert result.gap().gap == pytest.approx(task.test.mean() - task.validation.mean(), abs=1e-5)


def test_pruned_trials_are_candidates():
    """The best was picked from all healthy trials."""
    task = mean_task(15, 12)

    def evaluate(key, state, data, hp):
        return _evaluate(key, state, data, hp) | {"loss": jnp.where(hp["shift"] > 80, jnp.nan, hp["shift"])}

    result = tune(task.replace(evaluate=evaluate), SPACE, scheduler=jt.SuccessiveHalving(9, 2, 18))
    healthy = sum(trial.hparams["shift"] <= 80 for trial in result.trials)
    assert healthy < 9
    assert result.gap().num_candidates == healthy


def test_all_evaluations_are_candidates_where_checkpoints_are_kept():
    """Five evaluations of each of two trials."""

    def evaluate(key, state, data, hp, step):
        return {"loss": step + hp["shift"]}

    task = mean_task(15, 12).replace(evaluate=evaluate)
    sampler = Listed.of({"shift": 0.0}, {"shift": 7.0})
    options = {"scheduler": jt.FullBudget(2, 50), "evaluate_every": 10, "sampler": sampler}
    assert tune(task, SPACE, keep="best", **options).gap().num_candidates == 10
    assert tune(task, SPACE, keep="last", **options).gap().num_candidates == 2


def test_gap_in_folds():
    """Validation parts differ, the test split is the same: errors are those of the means over folds."""
    task = mean_task(2, 12).replace(train=RNG.normal(size=30).astype(np.float32), validation=None)
    pairs = [(range(15), range(15, 30)), (range(15, 30), range(15))]
    result = searched(task, folds=pairs)
    gap = result.gap()
    assert gap.validation == pytest.approx(task.train.mean(), abs=1e-5)
    assert gap.test == pytest.approx(task.test.mean(), abs=1e-5)
    both = task.train[:15] + task.train[15:]  # block i is left out of both folds
    swapped = both / 2
    expected = np.hypot(stats.sem(swapped), stats.sem(task.test))
    assert gap.standard_error == pytest.approx(expected, rel=1e-3)


def test_gap_needs_test_data():
    with pytest.raises(ValueError, match=r"gap\(\) needs test data"):
        searched(mean_task(5, 5).replace(test=None)).gap()
