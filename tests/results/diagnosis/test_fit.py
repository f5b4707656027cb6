import numpy as np
import pytest
from diagnosing import make_result, said

FIT = [1.0, 0.5, 0.3, 0.2]


def ended(validation, train, **options):
    """One trial whose curves go from 1 to these values."""
    return make_result([[1.0, 0.6, 0.5, validation]], train=[[1.0, 0.6, 0.5, train]], **options)


# Overfitting


def test_a_wide_gap():
    (found,) = said("overfitting", ended(0.2, 0.03))  # 0.17 of 0.8
    assert found.sentence == (
        "The best trials overfit: trial 0 has loss 0.2 on validation data and train_loss 0.03 on training data, "
        "a gap of 21 % of all that loss improved."
    )
    assert found.advice.startswith("Regularise more: weight decay, dropout")
    assert not said("overfitting", ended(0.2, 0.05))  # 0.15 of 0.8


def test_a_gap_of_accuracies():
    def scores(validation, train):
        return make_result([[0.1, 0.4, 0.5, validation]], train=[[0.1, 0.4, 0.5, train]], metric="accuracy", mode="max")

    (found,) = said("overfitting", scores(0.8, 0.96))
    assert "accuracy 0.8 on validation data and train_accuracy 0.96" in found.sentence
    assert not said("overfitting", scores(0.8, 0.9))
    assert not said("overfitting", scores(0.8, 0.6))  # the other way round


def test_the_loss_speaks_where_the_metric_has_no_training_values():
    result = ended(0.2, 0.03)
    result.history.metrics["accuracy"] = 1 - result.history.metrics["loss"]
    result = make_result([[0.0, 0.4, 0.5, 0.8]], metric="accuracy", mode="max")
    assert not said("overfitting", result)
    result.history.metrics.update(ended(0.2, 0.03).history.metrics)
    (found,) = said("overfitting", result)
    assert "train_loss 0.03" in found.sentence


def test_without_training_values_nothing_is_said():
    assert not said("overfitting", make_result([FIT]))
    assert not said("underfitting", make_result([[1.0, 0.99, 0.98, 0.97]]))


RISING = [1.0, 0.5, 0.3, 0.2, 0.2, 0.25, 0.3, 0.31]


def test_validation_that_rises_again():
    (found,) = said("overfitting", make_result([RISING]))
    assert "trial 0 was best at step 400 of 800 and has lost 13 % of its improvement since." in found.sentence
    assert 'keep="best"' in found.advice
    assert said("overfitting", make_result([1 - np.array(RISING)], metric="accuracy", mode="max"))
    (found,) = said("overfitting", make_result([RISING], kept=np.array([3])))
    assert found.advice.startswith("Its best checkpoint was kept; stop there (patience=)")


@pytest.mark.parametrize(
    "curve",
    [
        [1.0, 0.5, 0.3, 0.2, 0.2, 0.22, 0.25, 0.26],  # by 6 %
        [1.0, 0.5, 0.3, 0.2, 0.2, 0.2, 0.2, 0.5],  # one odd evaluation
        [0.2, 0.2, 0.25, 0.3],  # too few
    ],
)
def test_what_does_not_rise(curve):
    assert not said("overfitting", make_result([curve]))


# Underfitting


def test_training_data_that_are_hardly_fitted():
    (found,) = said("underfitting", ended(0.72, 0.7))
    assert found.sentence == (
        "Even the best trials hardly fit their training data: trial 0 ended with train_loss 0.7, where training began "
        "at about 1, and loss 0.72 on validation data is no better."
    )
    assert "jt.overfit_check" in found.advice
    assert not said("underfitting", ended(0.62, 0.6))  # a third is gone
    assert said("underfitting", ended(0.8, 0.7))
    assert not said("underfitting", ended(0.95, 0.7))  # validation is much worse


def test_accuracies_are_measured_from_one():
    options = {"metric": "accuracy", "mode": "max"}
    curve = [0.1, 0.2, 0.25, 0.3]
    (found,) = said("underfitting", make_result([curve], train=[curve], **options))
    assert "train_accuracy 0.3, where training began at about 0.1, and accuracy 0.3 on" in found.sentence
    better = [0.1, 0.2, 0.4, 0.5]
    assert not said("underfitting", make_result([better], train=[better], **options))


@pytest.mark.parametrize("shift", [-2.0, 100.0])
def test_scores_without_a_zero_say_nothing(shift):
    """A log-likelihood, or a score of games."""
    curve = shift + np.array([0.0, 0.1, 0.15, 0.2])
    assert not said("underfitting", make_result([curve], train=[curve], metric="score", mode="max"))
    assert not said("underfitting", make_result([-curve - 200], train=[-curve - 200]))
