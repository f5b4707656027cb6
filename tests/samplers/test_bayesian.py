import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from toys import lowest, seen

from jaxtune.samplers import Bayesian, Sobol
from jaxtune.samplers.bayesian import by_improvement, by_thompson, log_improvement, observations
from jaxtune.samplers.gaussian_process import Posterior
from jaxtune.samplers.ranking import ranking
from jaxtune.samplers.warping import warp
from jaxtune.spaces.domains import Choice, Integer, Uniform
from jaxtune.spaces.space import Space

KEY = jax.random.key(0)
PLANE = Space.of({"x": Uniform(0, 1), "y": Uniform(0, 1)})
TREE = Space.of(
    {
        "width": Integer(1, 5),
        "optimizer": Choice({"sgd": {"momentum": Uniform(0, 1)}, "adam": {"beta": Uniform(0, 1)}, "none": {}}),
    }
)
POINTS = np.random.default_rng(0).random((40, 4)).astype(np.float32)
ACQUISITIONS = ("thompson", "expected_improvement")
each_acquisition = pytest.mark.parametrize("acquisition", ACQUISITIONS)


@jax.jit
def tree(key, history):
    return Bayesian()(key, TREE, history, 12)


# Warping


def test_warping_keeps_distances_of_the_better_half_and_ranks_of_the_worse():
    values = np.array([[1.0], [2.0], [4.0], [7.0], [9.0], [1e30], [np.nan]])
    z = np.asarray(jax.jit(warp)(jnp.asarray(values, jnp.float32), np.full((7, 1), np.nan), np.isfinite(values)).values)
    assert (np.diff(z[:6, 0]) > 0).all()
    np.testing.assert_allclose((z[2] - z[1]) / (z[1] - z[0]), 2, rtol=1e-4)
    np.testing.assert_allclose(z[4:6, 0], stats.norm.ppf([4.5 / 6, 5.5 / 6]), atol=1e-4)
    assert z[6] == 0


@pytest.mark.parametrize(("factor", "shift"), [(1e-6, 0.0), (1e6, 1.0), (1.0, -50.0)])
def test_warping_knows_no_scale(factor, shift):
    values = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    there, errors = np.ones((20, 3), bool), np.abs(values) / 10
    one = warp(jnp.asarray(values), errors, there)
    other = warp(jnp.asarray(factor * values + shift), factor * errors, there)
    np.testing.assert_allclose(one.values, other.values, atol=1e-3)
    np.testing.assert_allclose(one.errors, other.errors, atol=1e-3)
    assert one.failure > one.values.max() + 0.5


def test_equal_values_and_none_at_all():
    for there in (True, False):
        warped = warp(jnp.full((5, 2), 3.0), np.full((5, 2), np.nan), np.full((5, 2), there))
        assert np.isfinite(warped.values).all()
        assert (np.asarray(warped.errors) == 0).all()


# What the process sees


def test_rows_are_each_trials_deepest_and_first_evaluation():
    nan = np.nan
    values = [[3, 2, 1], [4, nan, nan], [5, 4, nan], [2, nan, nan]]
    history = seen(POINTS[:4, :2], values, capacity=6, failed=np.array([False, False, False, True]), steps=[1, 3, 9])
    rows, top = observations(PLANE, history, ranking(history))
    there = np.asarray(rows.there)
    points, steps = np.asarray(rows.points)[there], np.exp(np.asarray(rows.log_steps)[there]).round()
    found = {
        (int(np.argmin(np.abs(POINTS[:4, :2] - p).sum(axis=1))), int(s)) for p, s in zip(points, steps, strict=True)
    }
    assert found == {(0, 9), (0, 1), (1, 1), (2, 3), (2, 1), (3, 9)}
    assert np.exp(top).round() == 9
    failed = np.abs(points - POINTS[3, :2]).sum(axis=1) < 1e-6
    assert np.asarray(rows.values)[there][failed] > np.asarray(rows.values)[there][~failed].max()


def test_many_trials_are_sub_sampled_and_the_best_stay():
    points = np.random.default_rng(1).random((600, 2)).astype(np.float32)
    values = np.random.default_rng(2).permutation(600.0 * np.arange(600))
    rows, _ = observations(PLANE, *(h := (seen(points, values, capacity=700),)), ranking(*h))
    assert rows.there.shape == (256,)
    assert rows.there.all()
    kept = {tuple(point) for point in np.asarray(rows.points).tolist()}
    order = np.argsort(values)
    assert len(kept) == 256
    assert {tuple(point) for point in points[order[:64]].tolist()} <= kept
    places = [place for place in range(64, 600) if tuple(points[order[place]].tolist()) in kept]
    assert np.diff([63, *places, 600]).max() <= 8  # the others evenly


# Acquisitions


def test_thompson_chooses_as_often_as_candidates_are_the_best():
    known = Posterior(jnp.array([0.0, 0.5, 3.0]), jnp.diag(jnp.array([0.5, 0.5, 0.5])))
    keys = jax.random.split(KEY, 4000)
    chosen = jax.jit(jax.vmap(lambda key: by_thompson(key, known, jnp.ones(3, bool), 2)))(keys)
    np.testing.assert_allclose((np.asarray(chosen)[:, 0] == 0).mean(), stats.norm.cdf(0.5), atol=0.03)
    assert (chosen[:, 0] != chosen[:, 1]).all()


def test_improvement_looks_elsewhere_after_a_choice():
    """Two candidates that go together, and a third, a little worse, that knows nothing of them."""
    covariance = jnp.array([[1.0, 0.99, 0.0], [0.99, 1.0, 0.0], [0.0, 0.0, 1.0]])
    chosen = by_improvement(Posterior(jnp.array([0.0, 0.01, 0.1]), covariance), jnp.ones(3, bool), 3)
    assert chosen.tolist() == [0, 2, 1]
    chosen = by_improvement(Posterior(jnp.array([0.0, 0.01, 0.1]), covariance), jnp.array([False, True, True]), 2)
    assert chosen.tolist() == [1, 2]


def test_log_improvement():
    z = np.array([-30.0, -12.0, -5.0, -3.9, 0.0, 3.0])
    from_scipy = np.where(z > -8, np.log(stats.norm.pdf(z) + z * stats.norm.cdf(z)), np.nan)
    found = log_improvement(jnp.asarray(z, jnp.float32))
    np.testing.assert_allclose(found[2:], from_scipy[2:], rtol=2e-2)
    assert np.isfinite(found).all()
    assert (np.diff(found) > 0).all()


# The sampler


def test_padding_changes_nothing():
    many = seen(POINTS, POINTS[:, 3], capacity=64)
    is_trial = np.arange(64) < 40
    junk = many._replace(points=np.where(is_trial[:, None], many.points, 0.9), values=many.values + ~is_trial[:, None])
    np.testing.assert_array_equal(tree(KEY, many), tree(KEY, junk))


@pytest.mark.slow
def test_vmap_over_keys():
    keys, history = jax.random.split(KEY, 2), seen(POINTS, POINTS[:, 3], capacity=64)
    many = jax.jit(jax.vmap(lambda key: tree(key, history)))(keys)
    assert not np.array_equal(*many)
    for points, key in zip(many, keys, strict=True):
        alone = np.asarray(tree(key, history))
        assert np.isclose(points, alone, atol=1e-4).all(axis=1).mean() > 0.7  # roundings may turn a close choice


@pytest.mark.parametrize(
    "history",
    [seen(POINTS, capacity=64), seen(POINTS[:1], [1.0], capacity=64), seen(POINTS[:0], np.zeros(0), capacity=64)],
    ids=["all failed", "one trial", "no trial"],
)
def test_sobol_as_long_as_there_is_no_model(history):
    np.testing.assert_array_equal(tree(KEY, history), Sobol()(KEY, TREE, history, 12))


def test_ties_equal_points_and_few_trials():
    same = np.tile(POINTS[:1], (40, 1))
    for points, values in ((POINTS, np.zeros(40)), (same, np.zeros(40)), (POINTS[:3], [1.0, 2.0, np.inf])):
        proposed = np.asarray(tree(KEY, seen(points, values, capacity=64)))
        assert ((proposed >= 0) & (proposed <= 1)).all()


@pytest.mark.slow
def test_branches_and_options():
    """The good branch is found, and in it the good value; no option loses all probability."""
    decoded = TREE.decode(POINTS)
    values = np.where(decoded["optimizer"] == 1, np.abs(decoded["optimizer=adam.beta"] - 0.8), 2.0)
    ask = jax.jit(lambda key, history: Bayesian()(key, TREE, history, 64))
    history = seen(POINTS, values, capacity=64)
    draws = np.concatenate([ask(key, history) for key in jax.random.split(KEY, 4)])
    chosen = TREE.decode(draws)
    adam = np.asarray(chosen["optimizer"]) == 1
    assert adam.mean() > 0.5
    assert np.abs(np.asarray(chosen["optimizer=adam.beta"])[adam] - 0.8).mean() < 0.2
    assert set(np.asarray(chosen["optimizer"]).tolist()) == {0, 1, 2}
    exists = TREE.exists(chosen)
    absent = draws[~exists["optimizer=sgd.momentum"], TREE.names.index("optimizer=sgd.momentum")]
    assert np.mean(absent == 0.5) > 0.85  # of Sobol's points, one in twenty, they are anywhere


@pytest.mark.slow
def test_failures_are_avoided():
    values = np.where(POINTS[:, 0] > 0.5, np.nan, POINTS[:, 1])
    proposed = Bayesian("expected_improvement")(KEY, PLANE, seen(POINTS[:, :2], values), 16)
    assert np.mean(proposed[:, 0] > 0.55) < 0.2


@pytest.mark.slow
@each_acquisition
def test_better_than_sobol_on_a_smooth_function(acquisition):
    small = {"batch": 16, "num_keys": 3}
    ours = np.log(lowest(Bayesian(acquisition), 3, **small)).mean()
    assert ours < np.log(lowest(Sobol(), 3, **small)).mean() + np.log(0.3)


@pytest.mark.slow
def test_under_x64():
    with jax.enable_x64(True):
        history = seen(POINTS, POINTS[:, 3])
        history = history._replace(values=history.values.astype(np.float64))
        points = Bayesian()(KEY, TREE, history, 3)
    assert points.dtype == jnp.float32


def test_refuses():
    with pytest.raises(ValueError, match="Bayesian needs acquisition='thompson' or 'expected_improvement', got 'ei'"):
        Bayesian("ei")
