import jax
import numpy as np
import pytest
from toys import seen

from jaxtune.samplers import Grid, Points, Random, Sobol
from jaxtune.spaces.domains import Choice, Integer, LogUniform, Uniform
from jaxtune.spaces.space import Space, constrain

KEY = jax.random.key(0)
SPACE = Space.of({"lr": LogUniform(1e-4, 1.0), "depth": 3, "width": Integer(1, 9)})
TREE = Space.of({"optimizer": Choice({"sgd": {"lr": Uniform(0, 1), "momentum": 0.9}, "adam": {"beta": Uniform(0, 1)}})})
BASELINES = [{"lr": 0.01, "width": 8}, {"width": 2, "lr": 1.0, "depth": 3}]


@pytest.mark.parametrize("run", [lambda f: f, jax.jit], ids=["eager", "jit"])
@pytest.mark.parametrize("then", [Sobol(), Random()], ids=str)
def test_given_points_come_first_and_then_those_of_the_other_sampler(run, then):
    points = run(lambda key: Points(BASELINES, then)(key, SPACE, None, 7))(KEY)
    np.testing.assert_array_equal(points[:2], [SPACE.encode(hparams) for hparams in BASELINES])
    np.testing.assert_array_equal(points[2:], then(KEY, SPACE, None, 5))


def test_no_more_points_than_given():
    assert Points(BASELINES, Grid(1000))(KEY, SPACE, None, 2).shape == (2, 2)
    np.testing.assert_array_equal(Points([])(KEY, SPACE, None, 4), Sobol()(KEY, SPACE, None, 4))


def test_the_other_sampler_gets_the_history():
    history = seen(np.zeros((3, 2)))
    points = Points(BASELINES)(KEY, SPACE, history, 6)
    np.testing.assert_array_equal(points[2:], Sobol()(KEY, SPACE, history, 4))


def test_points_of_branches():
    points = Points([{"optimizer": "adam", "beta": 0.5}, {"optimizer": "sgd", "lr": 0.25, "momentum": 0.9}])
    np.testing.assert_allclose(points(KEY, TREE, None, 2), [[0.75, 0.5, 0.5], [0.25, 0.25, 0.5]])


def test_points_are_values():
    assert Points(BASELINES) == Points(tuple(dict(reversed(pairs.items())) for pairs in BASELINES))
    assert hash(Points(BASELINES)) == hash(Points(list(BASELINES)))
    assert Points([{"a": 1}]) != Points([{"a": True}])
    assert Points(BASELINES) != Points(BASELINES[::-1])
    assert Points(BASELINES) != Points(BASELINES, Random())
    assert Points([{"width": np.int64(3)}]) == Points([{"width": 3}])


def test_whether_more_points_can_be_had():
    assert not Points(BASELINES).exhaustive
    assert Points(BASELINES, then=Grid(3)).exhaustive


@pytest.mark.parametrize(
    ("make", "error", "sentence"),
    [
        (
            lambda: Points({"lr": 0.1}),
            TypeError,
            "Points needs a sequence of dicts, got {'lr': 0.1}: write [{'lr': 0.1}].",
        ),
        (lambda: Points(3), TypeError, "Points needs a sequence of dicts, got 3: write [3]."),
        (lambda: Points([3]), TypeError, "Points needs dicts from names to values, got 3 as number 0."),
        (lambda: Points([{1: 2}]), TypeError, "Points needs strings as names, got 1 in number 0."),
        (lambda: Points([{}, {"a": [1]}]), TypeError, "'a' of number 1 is not: write (1,), not [1]."),
        (lambda: Points([], then=Sobol), TypeError, "Points needs a sampler such as Sobol() for then, got <class"),
        (lambda: Points([], then=None), TypeError, "Points needs a sampler such as Sobol() for then, got None."),
        (
            lambda: Points(BASELINES)(KEY, SPACE, None, 1),
            ValueError,
            "Points has 2 configurations for 1 trials: set trials=2 or more.",
        ),
        (
            lambda: Points([BASELINES[0], {"lr": 3.0, "width": 2}])(KEY, SPACE, None, 4),
            ValueError,
            "Points number 1: 'lr': LogUniform(low=0.0001, high=1.0) does not contain 3.0.",
        ),
        (
            lambda: Points([{"lr": 0.1}])(KEY, SPACE, None, 4),
            ValueError,
            "Points number 0: The hyperparameters lack 'width'.",
        ),
        (
            lambda: Points([{"lr": "0.1", "width": 2}])(KEY, SPACE, None, 4),
            TypeError,
            "Points number 0: 'lr': LogUniform(low=0.0001, high=1.0) needs a number for the value, got the string",
        ),
        (
            lambda: Points([{"optimizer": "adam", "beta": 0.5, "lr": 0.1}])(KEY, TREE, None, 4),
            ValueError,
            "Points number 0: 'lr' does not exist with optimizer='adam'",
        ),
        (
            lambda: Points(BASELINES)(KEY, constrain(SPACE, lambda hp: hp["depth"] * hp["width"] > 20), None, 4),
            ValueError,
            "Points number 1 violates a constraint of the space: {'depth': 3, 'lr': 1.0, 'width': 2}.",
        ),
    ],
)
def test_points_refuses(make, error, sentence):
    with pytest.raises(error) as caught:
        make()
    assert sentence in str(caught.value)


def test_a_configuration_is_listed_once():
    with pytest.raises(ValueError, match="the same configuration at 0 and 2"):
        Points([{"lr": 0.1}, {"lr": 0.2}, {"lr": 0.1}])
    Points([{"flag": 1}, {"flag": True}])  # different for a program
