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
    assert found.sentence == (
        "Early values said little about later ones: among trials that were trained on, the rank correlation is -0.99 "
        "from step 50 to 200 (10 trials), where 1 is the same order. Good trials may have been cut."
    )
    assert found.advice.startswith("Let the first rung come later than step 50: a larger min_steps=, or cut fewer")
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
    assert "(60 trials)" in found.sentence


def test_all_rungs_are_told_at_once():
    (found,) = said("rungs", cut_twice(LOWER[::-1], np.full(4, 0.04)))
    assert "-0.99 from step 20 to 80 (16 trials), where" in found.sentence
    assert found.advice.startswith("Let the first rung come at step 80: min_steps=80, or")
    curves = np.full((60, 3), NAN)
    curves[:, 0], curves[:20, 1], curves[:10, 2] = np.arange(60), -np.arange(20), np.arange(10) - 99
    pruned = np.where(np.arange(60) < 10, -1, np.where(np.arange(60) < 20, 80, 20))
    (found,) = said("rungs", make_result(curves, [20, 80, 320], pruned=pruned))
    assert "-0.99 from step 20 to 80 (20 trials), -0.99 from step 80 to 320 (10), where" in found.sentence
    assert "later than step 80:" in found.advice
    assert found.trials == tuple(range(20))


# Training that makes it worse


def cut_twice(at_80, at_320, **options):
    """Sixty-four trials at step 20, from 0.06 on; sixteen have these values at step 80, the first four at step 320."""
    curves = np.full((64, 3), NAN)
    curves[:, 0] = np.linspace(0.06, 1.0, 64)
    curves[:16, 1], curves[:4, 2] = at_80, at_320
    pruned = np.where(np.arange(64) < 4, -1, np.where(np.arange(64) < 16, 80, 20))
    return make_result(curves, [20, 80, 320], pruned=pruned, **options)


LOWER = np.linspace(0.05, 0.12, 16)  # at step 80: all got better
WORSE = np.array([0.16, 0.15, 0.17, 0.18])  # at step 320: by a tenth of all that they improved


def test_trials_that_get_worse():
    (found,) = said("too long", cut_twice(LOWER, WORSE))
    assert found.sentence == (
        "loss got worse with more training: of the 4 trials trained on from step 80 to 320, all did (on average 0.057, "
        "then 0.165)."
    )
    assert found.advice.startswith("Stop at about step 80 (max_steps=)")
    assert found.trials == (0, 1, 2, 3)
    assert not said("too long", cut_twice(LOWER, [0.04, 0.03, 0.02, 0.01]))


def test_an_accuracy_that_gets_worse():
    history = cut_twice(LOWER, WORSE).history
    curves = 1 - history.metrics["loss"][:, 0].T
    options = {"pruned": history.pruned, "metric": "accuracy", "mode": "max"}
    (found,) = said("too long", make_result(curves, [20, 80, 320], **options))
    assert "(on average 0.943, then 0.835)" in found.sentence


def test_wiggles_are_not_worse():
    assert not said("too long", cut_twice(np.full(16, 0.1), np.full(4, 0.122)))  # by 4.7 % of what they improved
    assert said("too long", cut_twice(np.full(16, 0.1), np.full(4, 0.126)))  # by 5.5 %


def test_luck_that_passes_is_not_worse():
    """Those that were chosen for a good value are as good as the others later."""
    at_80 = np.linspace(0.05, 0.35, 16)
    assert not said("too long", cut_twice(at_80, np.full(4, 0.19)))
    assert said("too long", cut_twice(at_80, np.full(4, 0.21)))


def test_most_and_the_winner_have_to_get_worse():
    assert said("too long", cut_twice(np.full(16, 0.1), [0.2, 0.2, 0.2, 0.3]))
    assert not said("too long", cut_twice(np.full(16, 0.1), [0.09, 0.2, 0.2, 0.2]))  # the winner did not
    at_80 = np.array([0.1, 0.25, 0.25, 0.1] + [0.1] * 12)
    (found,) = said("too long", cut_twice(np.array([0.1, 0.25, *[0.1] * 14]), [0.2, 0.21, 0.2, 0.2]))
    assert "to 320, 3 did (on" in found.sentence
    assert not said("too long", cut_twice(at_80, [0.2, 0.21, 0.21, 0.2]))  # two of four


def test_three_trials_say_nothing():
    def of(num):
        curves = np.full((12, 2), NAN)
        curves[:, 0], curves[:num, 1] = np.linspace(0.1, 1.0, 12), 0.9
        return make_result(curves, [50, 200], pruned=np.where(np.arange(12) < num, -1, 50))

    assert not said("too long", of(3))
    assert said("too long", of(4))


def test_it_is_told_from_where_it_goes_on_to_the_end():
    (found,) = said("too long", cut_twice(np.full(16, 0.6), np.full(4, 0.8)))
    assert "of the 16 trials trained on from step 20 to 80, all did" in found.sentence
    assert "; of the 4 from step 80 to 320, all did (on average 0.6, then 0.8)." in found.sentence
    assert "about step 20 " in found.advice
    assert not said("too long", cut_twice(np.full(16, 0.6), np.full(4, 0.1)))  # it came back


def test_no_later_rungs_where_training_makes_it_worse():
    turned = LOWER[::-1]
    assert said("rungs", cut_twice(turned, np.full(4, 0.04)))
    assert not said("rungs", cut_twice(turned, np.full(4, 0.3)))


def test_a_whole_curve_tells_more():
    rising = [0.5, 0.1, 0.11, 0.12, 0.2, 0.3, 0.4, 0.45]
    pruned = np.where(np.arange(8) < 4, -1, 400)
    curves = np.tile(rising, (8, 1))
    curves[4:, 4:] = NAN
    result = make_result(curves, pruned=pruned)
    assert said("overfitting", result)
    assert not said("too long", result)
