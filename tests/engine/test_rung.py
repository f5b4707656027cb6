"""Decisions at a rung: who goes on, who copies whom, what changes.

Tables have T entries, one per trial; `values` are [R, T].
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxtune import Choice, Integer, LogUniform, Uniform
from jaxtune.engine.lanes import HEALTHY
from jaxtune.engine.rung import decide, survivors
from jaxtune.engine.standing import at_start, scores
from jaxtune.schedulers import Exploit
from jaxtune.spaces.space import Space

KEY = jax.random.key(0)
NAN, INF = np.nan, np.inf
EXPLOIT = Exploit(quantile=0.25, resample_probability=0.25, perturbation=0.1)
CONTINUOUS = Space.of({"lr": LogUniform(1e-4, 1.0), "decay": Uniform(0.0, 1.0)})
SPACES = {
    "continuous": CONTINUOUS,
    "mixed": Space.of({"lr": LogUniform(1e-4, 1.0), "depth": Integer(1, 4), "size": Choice((32, 64))}),
    "two options": Space.of({"size": Choice((32, 64))}),
    "discrete": Space.of({"size": Choice((32, 64)), "depth": Integer(1, 3), "steps": Integer(1, 50, log=True)}),
}


def tables(values, points, *, keep, bracket=None, training=None, diverged=None):
    """Arguments of `decide` from short lists; the rest of 12 trials waits in a fourth bracket, out of training.

    One shape for all tests compiles once. One bracket, all training, none diverged unless told.
    """
    values = np.atleast_2d(np.asarray(values, np.float32))
    number, rest = values.shape[1], 12 - values.shape[1]
    bad = np.zeros(values.shape, bool) if diverged is None else np.atleast_2d(diverged)
    brackets = np.asarray([*([0] * number if bracket is None else bracket), *[3] * rest], np.int32)
    competing = np.asarray([*([True] * number if training is None else training), *[False] * rest])
    standing = at_start(np, points, brackets, len(values), np.float32).replace(
        training=competing,
        competing=competing,
        values=np.pad(values, ((0, 0), (0, rest))),
        diverged=np.pad(np.where(bad, 7, HEALTHY).astype(np.int32), ((0, 0), (0, rest)), constant_values=HEALTHY),
    )
    return np.asarray([*keep, *[0] * (3 - len(keep)), rest], np.int32), standing


@partial(jax.jit, static_argnames=("space", "mode", "exploit"))
def many(keys, generation, args, points, *, space, mode, exploit):
    """Decisions under K keys, from places [K, T, D]. A loop, because vmapped random numbers compile slowly."""
    (keep, standing), rest = args, {"space": space, "mode": mode, "exploit": exploit}

    def one(at):
        return decide(at[0], generation, np.int32(0), keep, standing.replace(points=at[1]), **rest)

    return jax.lax.map(one, (keys, points))


def decision(values, *, points=None, space=CONTINUOUS, mode="min", exploit=None, **rest):
    """`decide` under one key, for the trials in `values` only."""
    number = np.shape(values)[-1]
    at = np.full((12, space.num_dims), 0.5, np.float32)
    at[:number] = 0.5 if points is None else points
    options = {"space": space, "mode": mode, "exploit": exploit}
    after = decide(KEY, np.int32(0), np.int32(0), *tables(values, at, **rest), **options)
    return jax.tree.map(lambda x: x[:number], after)


def goes_on(*args, **kwargs):
    return np.flatnonzero(decision(*args, **kwargs).training).tolist()


# Who goes on


@pytest.mark.parametrize("mode", ["min", "max"])
def test_scores_are_never_nan_and_what_is_not_finite_is_worst(mode):
    values = jnp.asarray([[0.3, NAN, INF, -INF, -2.0, 5.0]])
    diverged = jnp.asarray([[False, False, False, False, False, True]])
    expected = [0.3, INF, INF, INF, -2.0, INF] if mode == "min" else [-0.3, INF, INF, INF, 2.0, INF]
    np.testing.assert_allclose(scores(jnp, values, diverged, mode), expected, rtol=1e-6)


@pytest.mark.parametrize("mode", ["min", "max"])
def test_the_best_go_on(mode):
    values = np.array([3.0, 1.0, 2.0, 5.0, 4.0])
    assert goes_on(values if mode == "min" else -values, keep=[2], mode=mode) == [1, 2]


@pytest.mark.parametrize(("keep", "ids"), [(1, [1]), (2, [1, 3]), (3, [1, 3, 4])])
def test_ties_go_to_the_lower_id(keep, ids):
    assert goes_on([2.0, 1.0, 2.0, 1.0, 1.0], keep=[keep]) == ids


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
@pytest.mark.parametrize("mode", ["min", "max"])
def test_what_is_not_finite_never_beats_a_number(bad, mode):
    assert goes_on([bad, 7.0, bad, -7.0], keep=[2], mode=mode) == [1, 3]


def test_a_diverged_trial_never_beats_another():
    assert goes_on([0.0, 9.0, 8.0], keep=[2], diverged=[True, False, False]) == [1, 2]


def test_where_nothing_is_finite_the_lower_ids_go_on():
    assert goes_on([NAN, INF, -INF], keep=[2]) == [0, 1]


def test_who_is_not_in_training_stays_out():
    assert goes_on([0.0, 3.0, 1.0, 2.0], keep=[2], training=[False, True, True, True]) == [2, 3]
    assert goes_on([0.0, NAN, 1.0, 2.0], keep=[2], training=[False, True, False, False]) == [1]


def test_replicates_are_averaged_and_one_that_diverged_spoils_the_trial():
    values = [[1.0, 0.0, 4.0], [3.0, 0.0, 1.0]]  # means 2, 0, 2.5
    assert goes_on(values, keep=[1]) == [1]
    assert goes_on(values, keep=[2], diverged=[[False, False, False], [False, True, False]]) == [0, 2]
    assert goes_on([[1.0, 0.0, 4.0], [3.0, NAN, 1.0]], keep=[2]) == [0, 2]


def test_brackets_are_ranked_separately():
    values = [9.0, 1.0, 8.0, 2.0, 7.0, 3.0]
    assert goes_on(values, keep=[1, 2], bracket=[0, 1, 0, 1, 0, 1]) == [1, 3, 4]
    assert goes_on(values, keep=[3, 1], bracket=[0, 0, 0, 1, 1, 1]) == [0, 1, 2, 3]


def test_any_table_against_sorted():
    rng = np.random.default_rng(0)
    for _ in range(50):
        values = rng.choice([0.0, 1.0, 2.0, 3.0, NAN, INF, -INF], size=12, p=[0.2] * 4 + [0.1, 0.05, 0.05])
        bracket, training = rng.integers(0, 3, 12), rng.random(12) < 0.8
        keep, diverged = rng.integers(1, 6, 3), rng.random(12) < 0.1
        expected = []
        for b in range(3):
            bad = ~np.isfinite(values) | diverged
            members = [t for t in range(12) if bracket[t] == b and training[t]]
            ranked = sorted(members, key=lambda t, bad=bad: (bad[t], 0 if bad[t] else values[t], t))
            expected += ranked[: keep[b]]
        rest = {"keep": keep, "bracket": bracket, "training": training, "diverged": diverged}
        assert goes_on(values, **rest) == sorted(expected)


def test_without_exploits_weights_and_hyperparameters_stay():
    points = np.random.default_rng(0).random((4, 2)).astype(np.float32)
    after = decision([4.0, 3.0, 2.0, 1.0], keep=[2], points=points)
    assert after.source.tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(after.points, points)


# Who copies whom


def exploited(values, *, exploit=EXPLOIT, mode="min", **rest):
    """Sources [K, T] under K keys."""
    number = np.shape(values)[-1]
    points = np.zeros((64, 12, 2), np.float32)
    args = tables(values, points[0], **{"keep": [number]} | rest)
    keys = jax.random.split(KEY, 64)
    after = many(keys, np.int32(0), args, points, space=CONTINUOUS, mode=mode, exploit=exploit)
    assert (after.source[:, number:] == np.arange(number, 12)).all()
    return np.asarray(after.source[:, :number])


def test_the_worst_quarter_copies_the_best_quarter():
    values = [5.0, 1.0, 8.0, 4.0, 2.0, 7.0, 3.0, 6.0]  # best 1, 4; worst 2, 5
    source = exploited(values)
    healthy = [0, 1, 3, 4, 6, 7]
    assert (source[:, healthy] == healthy).all()
    for loser in (2, 5):
        assert set(source[:, loser]) == {1, 4}  # each is drawn now and then
    assert len({tuple(row) for row in source[:, [2, 5]]}) == 4  # losers draw on their own


def test_mode_max_turns_it_round():
    source = exploited([5.0, 1.0, 8.0, 4.0, 2.0, 7.0, 3.0, 6.0], mode="max")
    assert set(source[:, 1]) | set(source[:, 4]) == {2, 5}


@pytest.mark.parametrize("num_trials", [2, 3, 5])
def test_at_least_one_copies_however_small_the_quantile(num_trials):
    source = exploited(np.arange(float(num_trials)))
    assert (source == [*range(num_trials - 1), 0]).all()


def test_half_copies_half():
    source = exploited(np.arange(5.0), exploit=Exploit(0.5, 0.25, 0.1))
    assert (source[:, :3] == [0, 1, 2]).all()  # the middle one neither gives nor takes
    assert set(source[:, 3:].flat) == {0, 1}


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_what_diverged_always_copies_and_never_gives(bad):
    source = exploited([bad, 1.0, bad, 2.0, bad, bad, 3.0, bad])
    assert (source[:, [1, 3, 6]] == [1, 3, 6]).all()
    assert set(source[:, [0, 2, 4, 5, 7]].flat) == {1, 3}  # the best quarter of all, both healthy


def test_one_healthy_trial_revives_all_that_diverged():
    diverged = [True, True, False, True, True, True, True, True]
    assert (exploited([0.0] * 8, diverged=diverged) == 2).all()


def test_where_all_diverged_nothing_is_copied_and_nothing_explored():
    points = np.random.default_rng(0).random((8, 2)).astype(np.float32)
    after = decision([NAN] * 8, keep=[8], exploit=EXPLOIT, points=points)
    assert after.source.tolist() == list(range(8))
    np.testing.assert_array_equal(after.points, points)


def test_copies_stay_inside_a_bracket():
    values = [1.0, 9.0, 3.0, 2.0, 7.0, 8.0, 5.0]
    bracket = [0, 1, 0, 0, 1, 1, 2]  # best of each: 0, 4; a bracket of one trial has nobody to copy
    source = exploited(values, keep=[7, 7, 7], bracket=bracket)
    assert (source == [0, 4, 0, 3, 4, 5, 6]).all()


def test_a_bracket_of_one_diverged_trial_copies_nobody():
    source = exploited([1.0, 2.0, NAN], keep=[3, 3], bracket=[0, 0, 1])
    assert (source == [0, 0, 2]).all()


# What changes


RESAMPLE, MOVE = Exploit(0.25, 1.0, 0.1), Exploit(0.25, 0.0, 0.1)
NUM_KEYS = 2000


def explored(space, *, exploit=EXPLOIT, donor=None, generation=0):
    """Places [K, D] that a trial is sent to which copies one at `donor` [D] (random places if None), and those."""
    keys, shape = jax.random.split(jax.random.key(1), NUM_KEYS), (NUM_KEYS, space.num_dims)
    random = np.random.default_rng(0).random(shape, np.float32)
    before = random if donor is None else np.broadcast_to(np.asarray(donor, np.float32), shape)
    points = np.full((NUM_KEYS, 12, space.num_dims), 0.3, np.float32)
    points[:, 0] = before
    args = tables([1.0, 2.0], points[0], keep=[2])
    after = many(keys, np.int32(generation), args, points, space=space, mode="min", exploit=exploit)
    np.testing.assert_array_equal(after.points[:, 0], before)  # the donor itself never changes
    np.testing.assert_array_equal(after.points[:, 2:], points[:, 2:])
    return before, np.asarray(after.points[:, 1])


@pytest.mark.parametrize("exploit", [RESAMPLE, Exploit(0.25, 0.1, 0.5)], ids=str)
@pytest.mark.parametrize("name", SPACES)
def test_at_least_one_decoded_value_always_changes(name, exploit):
    space = SPACES[name]
    before, after = explored(space, exploit=exploit)
    old, new = space.decode(before), space.decode(after)
    changed = np.stack([old[n] != new[n] for n in space.traced])
    assert changed.any(axis=0).all()
    assert ((after >= 0) & (after <= 1)).all()


def test_a_value_changes_next_to_a_choice_of_one():
    space = Space.of({"size": Choice((32, 64)), "factor": Choice((2,))})
    before, after = explored(space, exploit=RESAMPLE)
    assert (space.decode(before)["size"] != space.decode(after)["size"]).all()


def test_every_other_option_is_reached():
    space = Space.of({"depth": Choice((1, 2, 3, 4))})
    _, after = explored(space, donor=[0.0])
    assert set(space.decode(after)["depth"].tolist()) == {2, 3, 4}


@pytest.mark.parametrize("at", [0.0, 0.05, 0.5, 0.97, 1.0])
def test_a_move_is_never_lost_on_a_bound(at):
    """Clipping would pile trials up on the bounds; a move that would leave the domain goes the other way."""
    _, after = explored(CONTINUOUS, donor=[at, at], exploit=MOVE)
    moves = np.abs(after - at)
    np.testing.assert_allclose(moves, 0.1, atol=1e-6)
    sides = {-1, 1} if 0.1 <= at < 0.9 else {1 if at < 0.5 else -1}
    assert set(np.sign(after - at).flat) == sides


def test_few_explored_values_lie_on_a_bound():
    space = Space.of({"b2": Uniform(0.9, 0.999), "lr": LogUniform(1e-4, 1.0)})
    _, after = explored(space)
    values = space.decode(after)
    for name, domain in space.domains:
        on_bound = (values[name] <= domain.low) | (values[name] >= domain.high)
        assert on_bound.mean() < 0.01


def test_resampled_values_are_uniform():
    _, after = explored(CONTINUOUS, donor=[0.5, 0.5], exploit=RESAMPLE)
    for column in after.T:
        assert np.abs(np.sort(column) - np.linspace(0, 1, NUM_KEYS)).max() < 1.95 / np.sqrt(
            NUM_KEYS
        )  # Kolmogorov, p 0.001


def test_how_often_a_value_is_resampled():
    _, after = explored(CONTINUOUS, donor=[0.5, 0.5])
    resampled = ~np.isclose(np.abs(after - 0.5), 0.1, atol=1e-6)
    assert np.abs(resampled.mean(axis=0) - 0.25).max() < 4 * np.sqrt(0.25 * 0.75 / NUM_KEYS)


def test_each_hyperparameter_has_noise_of_its_own():
    """One draw for all would only ever move learning rate and weight decay up or down together."""
    _, after = explored(CONTINUOUS, donor=[0.5, 0.5], exploit=MOVE)
    up = after > 0.5
    for first in (False, True):
        for second in (False, True):
            assert abs((up == [first, second]).all(axis=1).mean() - 0.25) < 0.05
    _, after = explored(CONTINUOUS, donor=[0.5, 0.5], exploit=RESAMPLE)
    assert abs(np.corrcoef(after.T)[0, 1]) < 0.1


def test_noise_belongs_to_the_name():
    """Another hyperparameter in the space does not change what a seed does to this one."""
    alone = Space.of({"decay": Uniform(0.0, 1.0)})
    np.testing.assert_array_equal(
        explored(CONTINUOUS, donor=[0.5, 0.5])[1][:, 1], explored(alone, donor=[0.5])[1][:, 0]
    )


def test_noise_differs_between_generations_and_between_trials():
    first, second = (explored(CONTINUOUS, donor=[0.5, 0.5], generation=g)[1] for g in (0, 1))
    assert (first != second).any(axis=1).mean() > 0.5
    after = decision(np.arange(8.0), keep=[8], exploit=Exploit(0.5, 1.0, 0.1))
    assert len(np.unique(after.points[4:], axis=0)) == 4


def test_static_hyperparameters_are_copied_unchanged():
    space = Space.of({"width": Choice((8, 16), static=True), "lr": LogUniform(1e-4, 1.0)})
    before, after = explored(space)
    np.testing.assert_array_equal(after[:, 0], before[:, 0])
    assert (after[:, 1] != before[:, 1]).all()


# Where lanes go


def test_survivors_keep_their_order_and_move_up():
    lanes = np.array([4, 0, 5, 2, 6, 6], np.int32)  # trials 4, 0, 5, 2 of T = 6 and two free slots
    training = np.array([True, False, False, False, True, True])
    after, slots = survivors(np, lanes, training, np.arange(6), 4)
    assert after.tolist() == [4, 0, 5, 6]
    assert slots[:3].tolist() == [0, 1, 2]
    training[0] = False
    after, slots = survivors(np, lanes, training, np.arange(6), 2)
    assert (after.tolist(), slots.tolist()) == ([4, 5], [0, 2])


def test_survivors_take_their_lane_from_the_source():
    lanes = np.array([1, 3, 0, 2], np.int32)
    after, slots = survivors(np, lanes, np.ones(4, bool), np.array([0, 1, 3, 3]), 4)
    assert after.tolist() == [1, 3, 0, 2]
    assert slots.tolist() == [0, 1, 2, 1]  # trial 2 from the slot of trial 3


def test_the_host_and_the_compiled_search_agree():
    rng = np.random.default_rng(0)
    jitted = jax.jit(lambda *args: survivors(jnp, *args), static_argnums=3)
    for _ in range(100):
        lanes = np.append(rng.permutation(10), [10, 10]).astype(np.int32)
        training = rng.random(10) < 0.5
        source = np.where(training, rng.permutation(10), np.arange(10)).astype(np.int32)
        for mine, theirs in zip(
            survivors(np, lanes, training, source, 8), jitted(lanes, training, source, 8), strict=True
        ):
            np.testing.assert_array_equal(mine, theirs)
