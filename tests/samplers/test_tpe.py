import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from toys import lowest, seen

from jaxtune.samplers import TPE, Sobol, axes
from jaxtune.samplers.density import density, draw, log_density
from jaxtune.samplers.ranking import ranking
from jaxtune.spaces.domains import Choice, Integer, LogUniform, Uniform
from jaxtune.spaces.space import Space

KEY = jax.random.key(0)
CUBE = Space.of({f"x{i}": Uniform(0, 1) for i in range(3)})
MIXED = Space.of(
    {
        "act": Choice(("relu", "tanh", "gelu"), weights=(2, 1, 1)),
        "width": Integer(1, 5),
        "optimizer": Choice({"sgd": {"momentum": Uniform(0, 1)}, "adam": {"beta": Uniform(0, 1)}}),
        "lr": LogUniform(1e-4, 1.0),
    }
)
POINTS = np.random.default_rng(0).random((40, 6)).astype(np.float32)


@jax.jit
def mixed(key, history):
    return TPE()(key, MIXED, history, 12)


# Order


def test_deeper_trials_come_first_then_lower_values_then_earlier_rows():
    nan, inf = np.nan, np.inf
    values = [[3, 2, nan], [1, nan, nan], [2, 2, nan], [9, 9, 9], [1, 1, 1], [nan, nan, nan], [0, -inf, nan]]
    failed = np.array([False, False, False, False, True, False, False])
    ranked = jax.jit(ranking)(seen(np.zeros((7, 1)), values, failed=failed, capacity=9))
    assert ranked.order.tolist()[:5] == [3, 0, 2, 6, 1]  # an infinite value is none
    assert set(ranked.order.tolist()[5:7]) == {4, 5}
    assert set(ranked.order.tolist()[7:]) == {7, 8}
    assert ranked.depth.tolist()[:7] == [1, 0, 1, 2, 2, -1, 0]
    assert int(ranked.num_healthy) == 5


# Points as models see them


def test_equal_configurations_have_equal_points_and_decode_to_themselves():
    canonical = np.asarray(jax.jit(lambda points: axes.canonical(MIXED, points))(POINTS))
    exists = MIXED.exists(MIXED.decode(POINTS))
    np.testing.assert_array_equal(axes.active(MIXED, POINTS), np.stack([exists[key] for key in MIXED.names], axis=1))
    before, after = MIXED.decode(POINTS), MIXED.decode(canonical)
    for i in range(len(POINTS)):
        assert MIXED.row(before, i) == MIXED.row(after, i)
        np.testing.assert_allclose(canonical[i], MIXED.encode(MIXED.row(before, i)), atol=1e-6)


def test_what_is_new_differs_from_all_before():
    points = jnp.array([[0.1, 0.2], [0.2, 0.1], [0.1, 0.2], [0.1, 0.3], [0.2, 0.1], [-1, -1], [-1, -1]])
    assert axes.is_new(points).tolist() == [True, True, False, True, False, True, False]


# Densities


def test_a_density_is_the_mixture_of_its_kernels():
    """Against scipy, with one dimension of each kind."""
    space = Space.of({"x": Uniform(0, 1), "act": Choice(("a", "b"), weights=(3, 1))})
    points = axes.canonical(space, np.array([[0.2, 0.1], [0.9, 0.9], [0.5, 0.5], [0.4, 0.2]], np.float32))
    kernels = density(space, points, jnp.array([True, True, False, True]))
    members, n = np.asarray(points)[[0, 1, 3]], 3
    spread = np.array([members[:, 0].std(), 1 - (2 / 3) ** 2 - (1 / 3) ** 2])
    (width, other), c = spread * n ** (-1 / 6), members[:, 0]
    at, expected = np.linspace(0, 1, 7), []
    for x in at:
        bells = stats.truncnorm.pdf(x, -c / width, (1 - c) / width, loc=c, scale=width)
        first_option = other + np.array([1, 0, 1]) * (1 - other) / 0.75
        expected.append((1 + bells @ first_option) / (1 + n))
    found = log_density(space, kernels, axes.canonical(space, np.stack([at, np.full(7, 0.1)], axis=1)))
    np.testing.assert_allclose(np.exp(found), expected, rtol=1e-4)


def test_a_density_integrates_to_one_and_is_what_is_drawn():
    @jax.jit
    def both(key):
        kernels = density(MIXED, axes.canonical(MIXED, POINTS), jnp.arange(40) < 6)
        even = axes.canonical(MIXED, Sobol()(key, MIXED, None, 2**14))
        return even, jnp.exp(log_density(MIXED, kernels, even)), axes.canonical(MIXED, draw(key, MIXED, kernels, 2**13))

    even, weights, drawn = both(KEY)
    np.testing.assert_allclose(jnp.mean(weights), 1, atol=0.05)
    for column, evenly in zip(np.asarray(drawn).T, np.asarray(even).T, strict=True):
        assert abs(column.mean() - np.average(evenly, weights=weights)) < 0.02
        assert abs((column**2).mean() - np.average(evenly**2, weights=weights)) < 0.02


def test_kernels_keep_a_width():
    kernels = density(MIXED, axes.canonical(MIXED, np.tile(POINTS[:1], (5, 1))), jnp.ones(5, bool))
    assert np.isfinite(kernels.width).all()
    assert (np.asarray(kernels.width) >= 0.03 - 1e-6).all()
    assert kernels.width[1] >= 0.1 - 1e-6  # half a cell of five


# The sampler


def bowl(points):
    return ((points - np.array([0.2, 0.7, 0.4])) ** 2).sum(axis=1)


def test_points_gather_around_good_trials():
    points = POINTS[:, :3]
    proposed = np.asarray(TPE(random=0.0)(KEY, CUBE, seen(points, bowl(points)), 16))
    assert bowl(proposed).mean() < 0.5 * bowl(points).mean()
    assert proposed.dtype == np.float32
    assert len(np.unique(proposed, axis=0)) == 16


def test_padding_and_its_amount_change_nothing():
    values = POINTS[:, 5]
    many = seen(POINTS, values, capacity=64)
    junk = many._replace(points=np.where(np.arange(64)[:, None] < 40, many.points, 0.9))
    np.testing.assert_array_equal(mixed(KEY, many), mixed(KEY, junk))
    np.testing.assert_allclose(mixed(KEY, many), mixed(KEY, seen(POINTS, values)), atol=1e-5)


def test_the_first_points_of_many_are_those_of_few():
    history = seen(POINTS, POINTS[:, 5])
    np.testing.assert_array_equal(TPE()(KEY, MIXED, history, 24)[:12], mixed(KEY, history))


def test_vmap_over_keys():
    keys, history = jax.random.split(KEY, 2), seen(POINTS, POINTS[:, 5])
    many = jax.jit(jax.vmap(lambda key: mixed(key, history)))(keys)
    for points, key in zip(many, keys, strict=True):
        np.testing.assert_allclose(points, mixed(key, history), atol=1e-5)
    assert not np.array_equal(*many)


@pytest.mark.parametrize(
    "history",
    [seen(POINTS), seen(POINTS[:1], [1.0], capacity=40), seen(POINTS[:0], np.zeros(0), capacity=40)],
    ids=["all failed", "one trial", "no trial"],
)
def test_sobol_as_long_as_there_is_no_model(history):
    np.testing.assert_array_equal(mixed(KEY, history), Sobol()(KEY, MIXED, history, 12))


def test_ties_and_equal_points():
    for history in (seen(POINTS, np.zeros(40)), seen(np.tile(POINTS[:1], (40, 1)), np.zeros(40))):
        points = np.asarray(mixed(KEY, history))
        assert ((points >= 0) & (points <= 1)).all()


def test_failures_are_avoided():
    points = POINTS[:, :3]
    values = np.where(points[:, 0] > 0.5, np.nan, points[:, 1])
    proposed = np.asarray(TPE(random=0.0)(KEY, CUBE, seen(points, values), 32))
    assert np.mean(proposed[:, 0] > 0.5) < 0.2


def test_no_option_loses_all_probability_and_good_ones_win():
    points = POINTS.copy()
    values = np.asarray(MIXED.decode(points)["act"] * 1.0)
    draws = jax.jit(lambda key: TPE()(key, MIXED, seen(points, values), 512))(KEY)
    shares = np.bincount(np.asarray(MIXED.decode(draws)["act"]), minlength=3) / 512
    assert shares[0] > 0.8
    assert (shares > 0).all()


def test_branches():
    """Inside the good branch its hyperparameter is learnt; what does not exist lies at 0.5."""
    decoded = MIXED.decode(POINTS)
    values = np.where(decoded["optimizer"] == 1, np.abs(decoded["optimizer=adam.beta"] - 0.8), 2.0)
    draws = np.asarray(TPE(random=0.0)(KEY, MIXED, seen(POINTS, values), 32))
    chosen = MIXED.decode(draws)
    adam = np.asarray(chosen["optimizer"]) == 1
    assert adam.mean() > 0.7
    assert np.abs(np.asarray(chosen["optimizer=adam.beta"])[adam] - 0.8).mean() < 0.15
    exists = MIXED.exists(chosen)
    assert (draws[~exists["optimizer=adam.beta"], MIXED.names.index("optimizer=adam.beta")] == 0.5).all()


def test_seen_configurations_of_a_small_space_are_left_out():
    space = Space.of({"a": Integer(1, 4), "b": Choice((1, 2, 3, 4))})
    everything = axes.canonical(space, Sobol()(KEY, space, None, 16))
    assert len(np.unique(everything, axis=0)) == 16
    history = seen(everything[:14], np.arange(14.0))
    proposed = TPE(random=0.0)(KEY, space, history, 32)
    assert len({*map(tuple, everything[14:].tolist())} & {*map(tuple, proposed.tolist())}) > 0


def test_better_than_sobol_on_a_smooth_function():
    ours, sobol = (np.log(lowest(sampler, 6)).mean() for sampler in (TPE(), Sobol()))
    assert ours < sobol + np.log(0.6)


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ({"good": 0}, ValueError, "TPE needs good above 0 and below 1, a share of the trials, got 0."),
        ({"good": 1.0}, ValueError, "TPE needs good above 0 and below 1, a share of the trials, got 1.0."),
        ({"random": 2}, ValueError, "TPE needs random from 0 to 1, a share of the points, got 2."),
        ({"random": "all"}, TypeError, "TPE needs a number for random, got the string 'all'."),
    ],
)
def test_refuses(arguments, error, sentence):
    with pytest.raises(error) as caught:
        TPE(**arguments)
    assert str(caught.value) == sentence
