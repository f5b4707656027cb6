import numpy as np
import pytest
from diagnosing import make_result, said
from histories import NAN

FALLING = [1.0, 0.5, 0.2, 0.1, 0.05, 0.05, 0.025, 0.025]  # the last quarter made 2.6 %
SLOWER = [1.0, 0.5, 0.2, 0.1, 0.05, 0.05, 0.035, 0.035]  # 1.6 %
FLAT = [1.0, 0.5, 0.2, 0.1, 0.1, 0.1, 0.1, 0.1]


def accuracy(curve):
    return 1 - np.array(curve)


# Still falling at the end


def test_a_curve_that_still_falls():
    (found,) = said("still falling", make_result([FALLING]))
    assert found.sentence == (
        "Curves were still improving when training ended: in the last quarter of its 800 steps trial 0 made 3 % of all "
        "its improvement of loss."
    )
    assert "about 1600 steps" in found.advice
    assert not said("still falling", make_result([SLOWER]))


def test_an_accuracy_that_still_rises():
    assert said("still falling", make_result([accuracy(FALLING)], metric="accuracy", mode="max"))
    assert not said("still falling", make_result([accuracy(SLOWER)], metric="accuracy", mode="max"))


def test_a_curve_that_rises_does_not_fall():
    """Its last quarter is better than the one before, but worse than its best was."""
    curve = [1.0, 0.3, 0.1, 0.1, 0.4, 0.4, 0.25, 0.25]
    assert said("overfitting", make_result([curve], train=[curve]))
    assert not said("still falling", make_result([curve], train=[curve]))


def test_units_and_signs_do_not_matter():
    scaled = 1000 * np.array([FALLING]) - 5000
    assert said("still falling", make_result(scaled))
    assert not said("still falling", make_result(1000 * np.array([SLOWER]) - 5000))


def test_half_of_the_best_have_to_fall():
    others = [np.array(FLAT) + 0.01 * n for n in range(1, 5)]
    assert not said("still falling", make_result([FALLING, *others]))
    curves = [FALLING, np.array(FALLING) + 0.01, np.array(FALLING) + 0.02, *others[:2]]
    (found,) = said("still falling", make_result(curves))
    assert found.trials == (0, 1, 2)
    assert "as 3 of the best 5 trials." in found.sentence


def test_a_search_that_was_cut_falls_by_itself():
    assert not said("still falling", make_result([FALLING], total_steps=np.array([1600])))


def test_few_evaluations_say_nothing():
    assert not said("still falling", make_result([[1.0, 0.5, 0.4, 0.3]]))
    assert not said("plateau", make_result([[1.0, 0.1, 0.1, 0.1]]))


# A plateau


def test_a_plateau_that_is_reached_early():
    (found,) = said("plateau", make_result([FLAT]))
    assert found.sentence == (
        "Training went on after it stopped helping: trial 0 was as good by step 400 of 800 as it ever became, but for "
        "wiggles of loss."
    )
    assert "about 400 steps" in found.advice
    assert said("plateau", make_result([accuracy(FLAT)], metric="accuracy", mode="max"))


@pytest.mark.parametrize(
    ("curve", "is_flat"),
    [
        ([1.0, 0.5, 0.2, 0.1, 0.1, 0.1, 0.0995, 0.0995], True),  # less than anybody ranks by
        ([1.0, 0.5, 0.2, 0.1, 0.1, 0.1, 0.0985, 0.0985], False),
        ([1.0, 0.5, 0.2, 0.1055, 0.1, 0.106, 0.1, 0.106], True),  # as near as its wiggles
        ([1.0, 0.6, 0.4, 0.26, 0.25, 0.30, 0.25, 0.30], False),  # too noisy to tell
        ([1.0, 0.5, 0.2, 0.12, 0.1, 0.1, 0.1, 0.1], False),  # arrives in the second half
        ([1.0, 0.5, 0.1, 0.1, 0.3, 0.3, 0.3, 0.3], False),  # gets worse, which is something else
        ([0.1] * 8, False),  # has not moved
    ],
)
def test_what_is_flat(curve, is_flat):
    assert bool(said("plateau", make_result([curve]))) == is_flat


def test_a_trial_that_arrived_before_its_first_evaluation():
    """The others tell what there was to improve."""
    late = [np.linspace(1.0, 0.5, 8) + 0.01 * n for n in range(5)]
    (found,) = said("plateau", make_result([[0.1] * 8, [0.11] * 8, [0.12] * 8, *late]))
    assert "by step 100 of 800" in found.sentence


# Hardly begun


def learning(num_slow, num=20, moved=0.05, scatter=0.0, **changes):
    """Two evaluations of a loss that begins at 2.3; the lowest learning rates hardly move."""
    slow = np.arange(num) < num_slow
    start = 2.3 + scatter * np.arange(num)
    end = np.where(slow, start - moved, 0.3 + 0.01 * np.arange(num)[::-1])
    hparams = tuple({"lr": 10.0 ** (5 * n / num - 5)} for n in range(num))
    return make_result(np.stack([start, end], axis=1), hparams=hparams, **changes)


def test_most_trials_are_slow():
    (found,) = said("slow", learning(12))
    assert found.sentence == (
        "60 % of 20 trials had learned next to nothing by step 200: less than 10 % of what the best one had improved "
        "loss by then. They are 100 % of the trials with lr below 0.0075, and 0 % of the others."
    )
    assert found.advice.startswith("Search lr above 0.0075 only;")
    assert (found.hyperparameter, found.trials) == ("lr", tuple(range(12)))


def test_too_low_and_too_high():
    """Those with the highest learning rates are stuck too."""
    result = learning(20, 60)
    values = result.history.metrics["loss"]
    values[1, 0, 40:] = 2.28
    (found,) = said("slow", make_result(values[:, 0].T, hparams=result.history.hparams))
    assert "They are 100 % of the trials with lr below 0.00042, 100 % of those above 0.02, and 0 %" in found.sentence
    assert "lr above 0.00042 and below 0.02 only" in found.advice


@pytest.mark.parametrize(
    "result",
    [
        learning(10),  # half of them are
        learning(9, 15),  # too few trials
        learning(12, moved=0.3),  # they have begun
        learning(12, scatter=0.1),  # they stand at many places: they had arrived by the first evaluation
        learning(12, metric="accuracy", mode="max"),  # that is the other way round
        learning(12, schedule={"lr": np.ones((2, 20), np.float32)}),
        make_result(np.full((20, 1), 2.3)),
        make_result(np.full((20, 2), NAN), active=np.ones((2, 20), bool), diverged=np.full(20, 3)),
    ],
)
def test_what_is_not_slow(result):
    assert not said("slow", result)


def test_generations_begin_at_other_places():
    """Each is measured by its own best."""
    one = learning(12).history.metrics["loss"][:, 0].T
    curves = np.full((40, 4), NAN)
    curves[:20, :2], curves[20:, 2:] = one, one + 5
    result = make_result(curves, [100, 200, 100, 200], generation=np.arange(40) // 20)
    (found,) = said("slow", result)
    assert "60 % of 40 trials" in found.sentence
