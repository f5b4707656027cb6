import numpy as np
import pytest
from diagnosing import make_result, said
from histories import NAN

import jaxtune as jt

# The best value near an end


def at_places(places, domain=None, name="lr", num=100, **options):
    """A hundred trials of one evaluation, the first the best, with hyperparameters at given places of the range."""
    domain = domain or jt.LogUniform(1e-5, 0.1)
    rest = np.linspace(0.1, 0.9, num - len(places))
    hparams = tuple({name: domain.to_python(domain.decode(np.float32(p)))} for p in (*places, *rest))
    curves = 0.1 + 0.01 * np.arange(num)[:, None]
    return make_result(curves, hparams=hparams, space={name: domain}, log_names=("lr",), **options)


def test_the_best_near_the_upper_end():
    (found,) = said("edge", at_places([0.96, 0.97, 0.5, 0.98, 0.2]))
    assert found.hyperparameter == "lr"
    assert found.trials == (0, 1, 3)
    assert found.sentence == (
        "The best value of lr lies at the upper end of its range: 0.0692 (trial 0) of 1e-05 to 0.1, as 3 of the best 5 "
        "trials. Better values may lie beyond."
    )
    assert "higher values of lr, to about 1;" in found.advice  # a quarter of four decades
    assert "Tuning Playbook, 2023" in found.source


def test_the_best_near_the_lower_end():
    (found,) = said("edge", at_places([0.04, 0.01, 0.03, 0.5, 0.2]))
    assert "lower values of lr, to about 1e-06;" in found.advice
    (found,) = said("edge", at_places([0.04, 0.01, 0.03, 0.5, 0.2], jt.Uniform(2.0, 4.0), "rate"))
    assert "to about 1;" in found.advice  # half a range, which is as low as half of its end


@pytest.mark.parametrize(
    "places",
    [
        [0.94, 0.97, 0.98, 0.98, 0.2],  # the winner isn't
        [0.96, 0.94, 0.5, 0.98, 0.2],  # most of the others aren't
        [0.96, 0.03, 0.02, 0.5, 0.2],  # some are at the other end
    ],
)
def test_no_end(places):
    assert not said("edge", at_places(places))


def test_few_trials_can_lie_at_an_end():
    """As many as evenly spread ones would, if they are the best."""
    domain = jt.LogUniform(1e-4, 1.0)
    (found,) = said("edge", at_places(np.linspace(0.97, 0.03, 16).tolist(), domain, num=16))
    assert "as 2 of the best 2 trials" in found.sentence
    assert not said("edge", at_places(np.linspace(0.97, 0.03, 16)[[0, 2, 1, *range(3, 16)]].tolist(), domain, num=16))
    assert said("edge", at_places(np.linspace(0.98, 0.02, 32).tolist(), domain, num=32))
    assert not said("edge", at_places([0.94, 0.06], domain, num=2))
    assert not said("edge", at_places([0.95, 0.5, 0.96], domain, num=30))  # two of three: with a probability of 3 %


def test_an_unbounded_range_has_no_end():
    hparams = tuple({"lr": float(v)} for v in range(1, 21))
    curves = 0.1 + 0.01 * np.arange(20)[:, None]
    assert not said("edge", make_result(curves, hparams=hparams))
    assert not said("edge", make_result(curves, hparams=hparams, space={"lr": jt.Normal(10.0, 5.0)}))


def test_an_end_that_most_values_are_is_none():
    """Of three whole numbers, two are ends."""
    domain = jt.Integer(1, 3)
    hparams = tuple({"layers": n} for n in (3, 3, 3, 2, 1) + (1, 2, 3) * 15)
    options = {"hparams": hparams, "space": {"layers": domain}}
    curves = 0.1 + 0.01 * np.arange(50)[:, None]
    assert not said("edge", make_result(curves, **options))
    hparams = tuple({"layers": n} for n in (3, 3, 3, 3, 3) + (1, 2, 1, 2, 3) * 9)
    (found,) = said("edge", make_result(curves, **options | {"hparams": hparams}))
    assert "3 (trial 0) of 1 to 3" in found.sentence
    assert "to about 4;" in found.advice


@pytest.mark.parametrize(
    ("domain", "place"), [(jt.Uniform(0.0, 0.5), 0.0), (jt.Uniform(0.5, 1.0), 1.0), (jt.LogUniform(0.001, 1.0), 1.0)]
)
def test_an_end_where_such_numbers_end(domain, place):
    (found,) = said("edge", at_places([place] * 5, domain, "rate"))
    assert "beyond." not in found.sentence
    assert found.advice.startswith(f"Fix rate at {place:.0f} if it can't go beyond")


@pytest.mark.parametrize(
    ("domain", "place", "end"),
    [
        (jt.Uniform(0.5, 0.99), 1.0, "0.995"),  # there is nothing beyond 1
        (jt.LogUniform(0.9, 0.9999), 1.0, "0.99995"),
        (jt.Uniform(0.0, 0.8), 1.0, "0.9"),
        (jt.Uniform(0.0, 0.5), 1.0, "0.75"),
        (jt.Uniform(0.0, 2.0), 1.0, "3"),
        (jt.Integer(3, 6, log=True), 0.0, "2"),  # further than the end, by one at least
        (jt.Integer(3, 6, log=True), 1.0, "7"),
        (jt.Integer(2, 4), 0.0, "1"),
        (jt.Integer(4, 20), 0.0, "2"),
        (jt.Integer(-4, 4), 0.0, "-8"),
    ],
)
def test_values_beyond_are_possible_and_further(domain, place, end):
    name = "lr" if getattr(domain, "log", isinstance(domain, jt.LogUniform)) else "rate"
    (found,) = said("edge", at_places([place] * 5, domain, name))
    assert f", to about {end};" in found.advice


def test_values_that_are_explored_go_to_ends_by_themselves():
    explored = {"lr": np.full((1, 100), 1.0, np.float32)}
    assert not said("edge", at_places([1.0] * 5, schedule=explored))


# Divergence


def of_lr(num_failed, num=40, best=0, **changes):
    """Learning rates up to 1; the highest fail."""
    hparams = tuple({"lr": (n + 1) / num, "wd": (7 * n % num) / num} for n in range(num))
    failed = np.arange(num) >= num - num_failed
    curves = np.where(np.arange(num) == best, 0.1, 0.5 + 0.001 * np.arange(num))
    curves = np.where(failed, NAN, curves)[:, None]
    diverged = np.where(failed, 7, -1)
    return make_result(curves, hparams=hparams, diverged=diverged, active=np.ones((1, num), bool), **changes)


def test_many_diverged_above_a_learning_rate():
    (found,) = said("diverged", of_lr(10))
    assert found.sentence == (
        "10 of 40 (25 %) trials diverged: their loss was no finite number any more. They are 100 % of the trials "
        "with lr above 0.76, and 0 % of the others."
    )
    assert found.advice.startswith("Search lr below 0.76 only")
    assert (found.hyperparameter, found.trials) == ("lr", tuple(range(30, 40)))


def test_one_in_ten_is_many():
    assert said("diverged", of_lr(4))
    assert not said("diverged", of_lr(3))


def test_divergence_that_goes_with_nothing():
    result = of_lr(0)
    result.history.diverged[::3] = 5
    (found,) = said("diverged", make_result(0.1 + np.zeros((40, 1)), **fields(result)))
    assert "They are" not in found.sentence
    assert found.hyperparameter is None
    assert found.advice.startswith("Search lower learning rates, or clip gradients")


def fields(result):
    return {name: getattr(result.history, name) for name in ("hparams", "diverged")}


def test_all_diverged():
    (found,) = result = of_lr(40).diagnose()
    assert found.sentence.startswith("40 of 40 (100 %) trials diverged")
    assert len(result) == 1


def test_the_winner_is_not_advised_away():
    result = of_lr(0)
    result.history.diverged[32:] = 5
    curves = np.where(np.arange(40) == 35, 0.01, 0.5)[:, None]
    result.history.diverged[35] = -1
    (found,) = said("diverged", make_result(curves, **fields(result)))
    assert found.advice.startswith("The best trial is among them, so keep such values, and clip gradients")


def of_options(failing, **hparams):
    """Sixty trials with three optimizers, of which some diverge."""
    hparams = tuple({"opt": ("sgd", "adam", "lion")[n % 3], "wd": (7 * n % 60) / 60, **hparams} for n in range(60))
    failed = np.array([one["opt"] in failing for one in hparams])
    curves = np.where(failed, NAN, 0.5 + 0.001 * np.arange(60))[:, None]
    changes = {"diverged": np.where(failed, 7, -1), "active": np.ones((1, 60), bool)}
    return make_result(curves, hparams=hparams, space={"opt": jt.Choice(("sgd", "adam", "lion"))}, **changes)


def test_an_option_with_which_trials_diverge():
    (found,) = said("diverged", of_options(["sgd"]))
    assert found.sentence.endswith("They are 100 % of the trials with opt sgd, and 0 % of the others.")
    assert found.advice.startswith("Search opt adam or lion only, or clip gradients")
    assert found.hyperparameter == "opt"
    (found,) = said("diverged", of_options(["sgd", "lion"]))
    assert found.sentence.endswith("They are 100 % of the trials with opt sgd or lion, and 0 % of the others.")
    assert found.advice.startswith("Search opt adam only, or clip gradients")


def test_learning_rates_are_advised_where_there_are_some():
    everything = ["sgd", "adam", "lion"]
    (found,) = said("diverged", of_options(everything))
    assert found.advice.startswith("Clip gradients")
    (found,) = said("diverged", of_options(everything, peak_lr=0.1))
    assert found.advice.startswith("Search lower learning rates, or clip gradients")
