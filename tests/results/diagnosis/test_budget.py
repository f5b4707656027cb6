import re

import numpy as np
from diagnosing import make_result, said
from histories import NAN


def of_values(values, **options):
    return make_result(np.asarray(values)[:, None], **options)


def test_more_trials():
    """Squared distances from the best point in five dimensions, and in two."""
    spread = np.arange(1, 65) / 64
    (found,) = said("more trials", of_values(spread**0.4))
    assert "at step 100, the last with all 64 in training, the best of 32 of them" in found.sentence
    assert "previous=result" in found.advice
    assert said("more trials", of_values(1 - spread**0.4, metric="accuracy", mode="max"))
    assert not said("more trials", of_values(spread))
    assert said("more trials", of_values(spread[:16] ** 0.4))
    assert not said("more trials", of_values(spread[:15] ** 0.4))


def test_fewer_trials():
    spread = np.arange(1, 257) / 256
    (found,) = said("fewer trials", of_values(spread**2))
    assert "the best of 64 of them" in found.sentence
    assert found.advice.startswith("Take about 64 trials")
    assert not said("fewer trials", of_values(spread))


def test_values_are_those_that_all_trials_have():
    curves = np.full((64, 2), NAN)
    curves[:, 0], curves[:20, 1] = (np.arange(64) / 64) ** 0.4, 0.0
    pruned = np.where(np.arange(64) < 20, -1, 50)
    (found,) = said("more trials", make_result(curves, [50, 200], pruned=pruned))
    assert "at step 50, the last with all 64" in found.sentence


def test_trials_that_diverged_are_the_worst():
    spread = np.arange(1, 65) / 64
    values = np.where(np.arange(64) < 48, spread**0.4, NAN)
    diverged = np.where(np.arange(64) < 48, -1, 5)
    result = of_values(values, diverged=diverged, active=np.ones((1, 64), bool))
    (found,) = said("more trials", result)
    assert "all 64" in found.sentence


def test_trials_that_were_chosen_are_no_sample():
    spread = (np.arange(1, 65) / 64) ** 0.4
    assert not said("more trials", of_values(spread, generation=np.arange(64) // 32))
    assert not said("more trials", of_values(spread, schedule={"lr": np.ones((1, 64), np.float32)}))


def test_losses_that_explode_are_no_worse_than_a_good_one():
    values = np.concatenate([np.linspace(0.3, 0.4, 6), 1e9 * np.arange(1, 15)])
    (found,) = said("more trials", of_values(values))
    made = int(re.search(r"made (\d+) % of the way", found.sentence).group(1))
    assert 10 <= made <= 100
    value = float(re.search(r"has loss (\S+) on average", found.sentence).group(1))
    assert 0.3 < value < 0.4
