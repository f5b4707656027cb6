import numpy as np
import pytest
from diagnosing import make_result, said

from jaxtune.results.confirming.confirm import Confirm
from jaxtune.results.confirming.rounds import Confirmed


def replicated(*trials, **options):
    """Trials of one evaluation, with a value per seed."""
    return make_result(np.array(trials)[:, None, :], **options)


def test_one_seed_cannot_tell():
    (found,) = said("tie", make_result([[0.3], [0.1], [0.2]]))
    assert found.sentence == (
        "The lead may be luck, for each trial has but one seed: trial 1 has loss 0.1, trial 2 0.2, and 1 more was "
        "trained as long."
    )
    assert "result.confirm()" in found.advice
    assert found.trials == (1, 2)


def test_a_trial_that_was_trained_longer_has_no_rival():
    assert not said("tie", make_result([[0.1, 0.1], [0.2, np.nan]], pruned=np.array([-1, 100])))
    assert not said("tie", make_result([[0.1]]))


def test_replicates_are_compared_in_pairs():
    """Seeds differ by much more than trials do, and each shifts both alike."""
    luck = np.array([0.0, 1.0, 2.0, 3.0])
    assert not said("tie", replicated(0.1 + luck, 0.2 + luck + [0, 0.01, 0, 0.01]))
    (found,) = said("tie", replicated(0.1 + luck, 0.2 + luck + [0.5, -0.5, 0.5, -0.5]))
    assert found.sentence == (
        "Trial 0 (loss 1.6) can't be distinguished from trial 1 (1.7) by 4 seeds: such a difference is within chance."
    )


@pytest.mark.parametrize(("t", "is_tie"), [(3.6, False), (2.7, True)])
def test_the_level_is_five_percent(t, is_tie):
    """Student's t of three degrees of freedom stays within 3.18 with 95 %."""
    luck = np.array([0.0, 1.0, 2.0, 3.0])
    differences = 0.1 + 0.1 / t * np.sqrt(3) * np.array([1, -1, 1, -1])
    assert bool(said("tie", replicated(luck, luck + differences))) == is_tie


def test_seeds_of_generations_are_no_pairs():
    luck = np.array([0.0, 1.0, 2.0, 3.0])
    other = 0.2 + luck + [0, 0.01, 0, 0.01]
    assert said("tie", replicated(0.1 + luck, other, generation=np.array([0, 1])))


def test_all_that_could_be_as_good_are_counted():
    values = np.array([0.1, 0.2, 0.15, 0.12])
    (found,) = said(
        "tie", replicated(values, values + np.array([0.01, -0.01, 0.02, 0]), values[::-1] + 0.01, values + 1)
    )
    assert found.trials == (0, 1, 2)
    assert ", nor from 1 more:" in found.sentence


def test_trials_that_are_equal():
    """But for rounding: more seeds tell nothing."""
    values = np.array([0.1, 0.2, 0.15, 0.15])
    (found,) = said("tie", replicated(values, values + 1e-9))
    assert found.sentence == "Trials 0 and 1 are equal: both have loss 0.15, on all seeds."
    assert found.advice == "Take the simpler of the two: more seeds would hardly tell them apart."
    (found,) = said("tie", confirmed([[0.1, 0.1 + 1e-9], [0.3, 0.3 - 1e-9], [0.2, 0.2]]))
    assert found.sentence.endswith(" are equal: both have loss 0.2, on all fresh seeds.")
    assert set(found.trials) == {0, 1}
    assert "chance" in said("tie", replicated(values, values + np.array([1e-5, 0, 0, 0])))[0].sentence


def test_a_fold_counts_once():
    """Two folds with three replicates each are two values."""
    values = np.array([0.1, 1.1, 0.1, 1.1, 0.1, 1.1])
    other = values + np.array([0.0, 0.2] * 3)
    (found,) = said("tie", replicated(values, other, options={"num_folds": 2}))
    assert "by 2 folds" in found.sentence


# After a confirmation


def confirmed(values, lost=None, trials=(0, 1), searched=(0.1, 0.2)):
    """Trials that the search saw like that, of which some were confirmed; `values` are [S, n], on fresh seeds."""
    values = np.array(values, float)[:, None, :]
    num = len(trials)
    lost = np.zeros(num, bool) if lost is None else np.array(lost)
    seeds = np.full(num, len(values))
    confirm, count = Confirm(num, len(values)), num * len(values)
    made = Confirmed(np.array(trials), {"loss": values}, lost, seeds, confirm, count, 100, 100, None, False)
    return make_result([[value] for value in searched], options={"confirmed": made})


def test_a_confirmed_winner_that_is_better():
    assert not said("tie", confirmed([[0.1, 0.5], [0.11, 0.52], [0.1, 0.51]]))


def test_a_confirmed_winner_that_may_be_lucky():
    (found,) = said("tie", confirmed([[0.1, 0.2], [0.3, 0.1], [0.1, 0.3]]))
    assert found.sentence.startswith(
        "Trial 0 can't be distinguished from trial 1: on 3 fresh seeds it leads by 0.0333 in loss, which may be "
        "chance (95 % interval: -"
    )
    assert found.advice.startswith("Take the simpler of the two, or")
    assert found.advice.endswith("result.confirm(top=2, replicates=12).")


def test_as_many_are_confirmed_again_as_are_near():
    """Those that are much worse are left out, unless the search saw them as better."""
    luck = [[0.1, 0.2, 0.15, 3.0], [0.3, 0.1, 0.3, 3.1], [0.1, 0.3, 0.2, 3.2]]
    (found,) = said("tie", confirmed(luck, trials=range(4), searched=(0.1, 0.2, 0.3, 0.4)))
    assert "from trial 1, nor from 1 more:" in found.sentence or "from trial 2, nor from 1 more:" in found.sentence
    assert found.advice == (
        "Take the simplest of them, or distinguish them by more seeds: result.confirm(top=3, replicates=12)."
    )
    assert set(found.trials) == {0, 1, 2}
    (found,) = said("tie", confirmed(luck, trials=range(4), searched=(0.1, 0.2, 0.4, 0.3)))
    assert "top=4" in found.advice


def test_one_fresh_seed():
    (found,) = said("tie", confirmed([[0.3, 0.2]]))
    assert found.sentence == "One fresh seed can't show whether trial 1 is better than trial 0."
    assert found.trials == (1, 0)


def test_all_candidates_failed():
    """Not a tie, and confirming them again would fail again."""
    result = confirmed([[np.nan, np.nan], [np.nan, np.nan]], [True, True])
    (found,) = said("confirmation", result)
    assert "All 2 trials failed on fresh seeds" in found.sentence
    assert "search lower learning rates or clip gradients" in found.advice
    assert "confirm()" not in found.advice
    assert set(found.trials) == {0, 1}
    assert not said("tie", result)


def test_one_candidate_failed():
    result = confirmed([[0.3, np.nan], [0.3, np.nan]], [False, True])
    assert not said("tie", result)
    assert not said("confirmation", result)
