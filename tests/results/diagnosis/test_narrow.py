"""Ranges that are wider than they need be."""

import numpy as np
import pytest
from diagnosing import make_result, said

import jaxtune as jt

NUM = 100


def of(domain, best, rest=None, name="lr", **options):
    """A hundred trials, the best first, with places of these; the rest are spread over the range."""
    rest = np.linspace(0.0, 1.0, NUM - len(best)) if rest is None else rest
    hparams = tuple({name: domain.to_python(domain.decode(np.float32(place)))} for place in (*best, *rest))
    curves = 0.1 + 0.01 * np.arange(len(hparams))[:, None]
    return make_result(curves, hparams=hparams, space={name: domain}, log_names=("lr",), **options)


LR = jt.LogUniform(1e-4, 1.0)
INSIDE = np.linspace(0.4, 0.6, 10)


def test_the_range_of_the_best():
    (found,) = said("narrow", of(LR, INSIDE))
    assert found.sentence == "The best 10 of 100 trials have lr from 0.0039 to 0.026."
    assert found.advice == 'Search there: "lr": jt.LogUniform(0.0025, 0.04).'
    assert found.hyperparameter == "lr"
    assert found.trials == tuple(range(10))


def test_ends_that_are_open():
    uniform = jt.Uniform(0.0, 0.5)
    (low,) = said("narrow", of(uniform, np.linspace(0.03, 0.4, 10)[[5, *range(5), *range(6, 10)]], name="dropout"))
    assert low.sentence.endswith("have dropout of at most 0.2.")
    assert low.advice == 'Search there: "dropout": jt.Uniform(0, 0.23).'
    (high,) = said("narrow", of(uniform, np.linspace(0.6, 0.97, 10)[::-1][[5, *range(5), *range(6, 10)]], name="d"))
    assert high.sentence.endswith("have d of at least 0.3.")
    assert high.advice == 'Search there: "d": jt.Uniform(0.27, 0.5).'


@pytest.mark.parametrize(("width", "is_narrow"), [(0.46, True), (0.51, False)])
def test_half_a_range(width, is_narrow):
    assert bool(said("narrow", of(LR, np.linspace(0.3, 0.3 + width, 20), np.linspace(0, 1, 180)))) == is_narrow


def test_few_trials_say_nothing():
    assert said("narrow", of(LR, INSIDE, np.linspace(0, 1, 90)))
    assert not said("narrow", of(LR, INSIDE[:9], np.linspace(0, 1, 90)))


def test_chance_is_no_reason():
    """Values that all trials share to a half, and ten hyperparameters of which one will be narrow."""
    assert not said("narrow", of(LR, INSIDE, np.concatenate([np.linspace(0.41, 0.59, 50), np.linspace(0, 1, 40)])))
    rng = np.random.default_rng(0)

    def named(num, width):
        values = rng.uniform(size=(NUM, num))
        values[:, 0] = np.append(np.linspace(0.3, 0.3 + width, 10), np.linspace(0, 1, NUM - 10))
        hparams = tuple({f"x{n}": float(one) for n, one in enumerate(row)} for row in values)
        space = {f"x{n}": jt.Uniform(0.0, 1.0) for n in range(num)}
        return make_result(0.1 + 0.01 * np.arange(NUM)[:, None], hparams=hparams, space=space)

    assert [one.hyperparameter for one in said("narrow", named(1, 0.48))] == ["x0"]
    assert not said("narrow", named(20, 0.48))
    assert said("narrow", named(20, 0.3))


def test_only_the_first_generation_counts():
    """A model puts trials where good ones were."""
    result = of(LR, np.append(INSIDE, INSIDE), np.linspace(0, 1, 180), generation=np.zeros(200, int))
    assert said("narrow", result)
    later = np.where(np.arange(200) % 2, 1, 0)
    late = of(LR, np.append(INSIDE, INSIDE), np.linspace(0, 1, 180), generation=later)
    (found,) = said("narrow", late)
    assert found.sentence.startswith("The best 10 of the first 100 trials")
    assert set(found.trials) <= set(np.flatnonzero(later == 0).tolist())
    assert not said("narrow", of(LR, INSIDE, schedule={"lr": np.ones((1, NUM), np.float32)}))


def test_what_another_rule_speaks_of_is_not_said_twice():
    at_end = of(LR, np.linspace(0.99, 0.96, 10))
    assert said("edge", at_end)
    assert not said("narrow", at_end)
    stuck = np.where(np.arange(NUM) < 40, 0.3 + 0.001 * np.arange(NUM), 2.25)
    result = of(LR, np.linspace(0.7, 0.9, 40)[np.random.default_rng(0).permutation(40)], np.linspace(0.0, 0.65, 60))
    slow = make_result(
        np.stack([np.full(NUM, 2.3), stuck], axis=1),
        hparams=result.history.hparams,
        space={"lr": LR},
        log_names=("lr",),
    )
    assert said("slow", slow)
    assert not said("narrow", slow)
    assert said("narrow", result)


def test_whole_numbers():
    domain = jt.Integer(1, 8)
    (found,) = said("narrow", of(domain, [0.4, 0.5] * 5, name="layers"))
    assert found.sentence.endswith("have layers from 4 to 5.")
    assert found.advice == 'Search there: "layers": jt.Integer(3, 6).'
    (found,) = said("narrow", of(domain, [0.4] * 10, name="layers"))
    assert found.sentence.endswith("have layers 4.")
    (found,) = said("narrow", of(jt.Integer(8, 64, step=8), [0.4, 0.5] * 5, name="units"))
    assert found.advice == 'Search there: "units": jt.Integer(24, 48, step=8).'
    (found,) = said("narrow", of(jt.Integer(1, 1000, log=True), [0.4, 0.5] * 5))
    assert found.advice.startswith('Search there: "lr": jt.Integer(7, 32, log=True)')


def test_options():
    def acts(best, num):
        options = ["relu", "tanh", "gelu"]
        hparams = tuple({"act": act} for act in (*best, *(options[n % 3] for n in range(num - len(best)))))
        curves = 0.1 + 0.01 * np.arange(num)[:, None]
        return make_result(curves, hparams=hparams, space={"act": jt.Choice(options)})

    (found,) = said("narrow", acts(["relu"] * 10, 100))
    assert found.sentence.endswith("have act relu.")
    assert found.advice == "Search there: act only relu."
    (found,) = said("narrow", acts(["relu", "tanh"] * 10, 200))
    assert found.sentence.endswith("have act relu or tanh.")
    assert not said("narrow", acts(["relu", "tanh"] * 5, 100))  # (2 / 3)^10, for any two of three
