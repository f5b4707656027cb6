import numpy as np
from diagnosing import make_result, said
from histories import NAN

# Rungs that mislead


def halved(late, num_cut=40, **options):
    """Trials in the order of a first rung, at step 50; those that go on have these values at step 200."""
    num = len(late) + num_cut
    late = np.append(late, np.full(num_cut, NAN))
    curves = np.stack([np.arange(num) / num, late], axis=1)
    pruned = np.where(np.arange(num) < num - num_cut, -1, 50)
    return make_result(curves, [50, 200], pruned=pruned, **options)


def shuffled(num, correlation):
    """Values whose ranks correlate with their order by about that much."""
    rng = np.random.default_rng(3)
    order, other = np.argsort(np.arange(num)), rng.permutation(num)
    mixed = correlation * order + np.sqrt(1 - correlation**2) * other
    return np.argsort(np.argsort(mixed)) / num


def test_an_order_that_turns_round():
    (found,) = said("rungs", halved(-np.arange(10.0)))
    assert found.sentence.startswith(
        "The order of trials at step 50 said little about that at step 200: of the 10 that were trained on, ranks "
        "correlate by -0.99 "
    )
    assert "Those that were cut can't be known" in found.sentence
    assert "min_steps=" in found.advice
    assert found.trials == tuple(range(10))
    assert not said("rungs", halved(np.arange(10.0)))


def test_chance_is_no_reason():
    """Ten values that don't correlate may well be of many that do; sixty are not."""
    assert not said("rungs", halved(shuffled(10, 0.0)))
    assert said("rungs", halved(shuffled(60, 0.0)))
    assert not said("rungs", halved(shuffled(60, 0.6)))


def test_few_trials_say_nothing():
    assert not said("rungs", halved(-np.arange(4.0)))
    assert said("rungs", halved(-np.arange(5.0)))


def test_brackets_are_not_mixed():
    """Each keeps its order, and one is worse in all at first and better in all later."""
    low = halved(np.arange(30.0), 10).history.metrics["loss"][:, 0].T
    curves = np.concatenate([low, np.stack([10 + low[:, 0], low[:, 1] - 100], axis=1)])
    pruned = np.tile(np.where(np.arange(40) < 30, -1, 50), 2)
    assert not said("rungs", make_result(curves, [50, 200], pruned=pruned, bracket=np.arange(80) // 40))
    assert said("rungs", make_result(curves, [50, 200], pruned=pruned))


def test_generations_are_pooled_rung_by_rung():
    one = halved(shuffled(12, 0.0), 4).history.metrics["loss"][:, 0].T
    num = 5
    curves = np.full((16 * num, 2 * num), NAN)
    for g in range(num):
        curves[16 * g : 16 * g + 16, 2 * g : 2 * g + 2] = one
    group = np.arange(16 * num) // 16
    pruned = np.tile(np.where(np.arange(16) < 12, -1, 50), num)
    result = make_result(curves, [50, 200] * num, pruned=pruned, bracket=group, generation=group)
    (found,) = said("rungs", result)
    assert "of the 60 that were trained on" in found.sentence


# How many trials


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
    curves = halved(np.arange(20.0), 44).history.metrics["loss"][:, 0].T
    curves[:, 0] = (np.arange(64) / 64) ** 0.4
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
