"""What users of other tuners write first is answered with what jaxtune has instead."""

import copy
import inspect
import pickle

import numpy as np
import pytest
import scipy.stats
from toys import DESCENT, DESCENT_SPACE, tune

import jaxtune as jt
from jaxtune.interface.habits import hinted
from jaxtune.spaces.space import Space
from jaxtune.tasks.problem import resolve


class FloatDistribution:
    """Like one of Optuna's."""

    __module__ = "optuna.distributions"


FEW = jt.FullBudget(trials=2, steps=2)


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("Loguniform", "jt.LogUniform(low, high)"),
        ("loguniform", "jt.LogUniform(low, high)"),
        ("log_uniform", "jt.LogUniform(low, high)"),
        ("QUniform", "jt.Uniform(low, high, step=...)"),
        ("randint", "jt.Integer(low, high), both included"),
        ("suggest_int", "jt.Integer(low, high), both included"),
        ("Categorical", "jt.Choice([...])"),
        ("grid_search", "jt.Choice([...]), all of whose values sampler=jt.Grid() tries"),
        ("Boolean", "jt.Choice([False, True])"),
        ("create_study", "jt.tune(task, space, scheduler=...)"),
        ("ASHAScheduler", "jt.SuccessiveHalving(trials, min_steps, max_steps)"),
        ("HyperbandPruner", "jt.Hyperband(min_steps, max_steps)"),
        ("RandomSearch", "sampler=jt.Random() with scheduler=jt.FullBudget(trials, steps)"),
        ("TPESampler", "sampler=jt.TPE() with generations=8"),
        ("GPSampler", "sampler=jt.Bayesian() with generations=8"),
        ("TuneBOHB", "sampler=jt.TPE() with generations=8 and scheduler=jt.Hyperband(min_steps, max_steps)"),
    ],
)
def test_names_of_other_packages(name, ours):
    with pytest.raises(AttributeError) as caught:
        getattr(jt, name)
    assert str(caught.value) == f"module 'jaxtune' has no attribute {name!r}: write {ours}"


def test_misspelt_names():
    with pytest.raises(
        AttributeError, match="has no attribute 'SuccesiveHalving', did you mean 'SuccessiveHalving'\\?"
    ):
        jt.SuccesiveHalving  # noqa: B018
    assert not hasattr(jt, "__wrapped__")


def call(function, *args, **kwargs):
    return lambda: function(*args, **kwargs)


T = (DESCENT, DESCENT_SPACE)
SCHEDULER = ": the scheduler has it, as in scheduler=jt.SuccessiveHalving(trials=64, min_steps=50, max_steps=800)."
EPOCHS = " It counts updates: an epoch is as many as there are examples, divided by batch_size."
ARGUMENTS = {
    "tune() has no argument 'n_trials'" + SCHEDULER: call(jt.tune, *T, n_trials=100),
    "tune() has no argument 'num_samples'" + SCHEDULER: call(jt.tune, *T, scheduler=FEW, num_samples=10),
    "tune() has no argument 'trials'" + SCHEDULER: call(jt.tune, *T, trials=10),
    "tune() has no argument 'epochs'" + SCHEDULER: call(jt.tune, *T, epochs=3),
    "tune() has no argument 'direction', did you mean 'mode'?": call(jt.tune, *T, scheduler=FEW, direction="maximize"),
    "tune() has no argument 'pruner', did you mean 'scheduler'?": call(jt.tune, *T, pruner=FEW),
    "tune() has no argument 'param_space', did you mean 'space'?": call(jt.tune, DESCENT, param_space={}),
    "tune() has no argument 'callbacks', did you mean 'callback'?": call(jt.tune, *T, scheduler=FEW, callbacks=[]),
    "tune() has no argument 'random_state', did you mean 'seed'?": call(jt.tune, *T, scheduler=FEW, random_state=0),
    "tune() has no argument 'cv', did you mean 'folds'?": call(jt.tune, *T, scheduler=FEW, cv=5),
    "tune() has no argument 'n_jobs': all trials train side by side; on a CPU, jt.set_host_device_count() makes every "
    "core a device.": call(jt.tune, *T, scheduler=FEW, n_jobs=4),
    "tune() has no argument 'points_to_evaluate': sampler=jt.Points([...]) tries known configurations first.": call(
        jt.tune, *T, scheduler=FEW, points_to_evaluate=[{"lr": 0.1}]
    ),
    "FullBudget() has no argument 'epochs', did you mean 'steps'?" + EPOCHS: call(jt.FullBudget, trials=4, epochs=10),
    "tune() has no argument 'batch_size': jt.supervised takes batch_size.": call(
        jt.tune, *T, scheduler=FEW, batch_size=8
    ),
    "tune() has no argument 'evaluate_evry', did you mean 'evaluate_every'?": call(jt.tune, *T, evaluate_evry=8),
    "tune() takes task, space by position, got 3 values: give the others by name.": call(jt.tune, *T, FEW),
    "plan() has no argument 'direction': jt.tune takes mode.": call(jt.plan, *T, direction="max"),
    "plan() has no argument 'max_trials'" + SCHEDULER: call(jt.plan, *T, max_trials=3),
    "search() has no argument 'direction', did you mean 'mode'?": call(jt.search, 0, *T, direction="max"),
    "FullBudget() has no argument 'n_trials', did you mean 'trials'?": call(jt.FullBudget, n_trials=3, steps=3),
    "FullBudget() has no argument 'max_epochs', did you mean 'steps'?" + EPOCHS: call(jt.FullBudget, 3, max_epochs=3),
    "SuccessiveHalving() has no argument 'max_t', did you mean 'max_steps'?": call(jt.SuccessiveHalving, 9, max_t=81),
    "SuccessiveHalving() has no argument 'grace_period', did you mean 'min_steps'?": call(
        jt.SuccessiveHalving, 9, grace_period=1
    ),
    "Hyperband() has no argument 'reduction_factor', did you mean 'eta'?": call(jt.Hyperband, 1, 9, reduction_factor=3),
    "Hyperband() has no argument 'min_epochs', did you mean 'min_steps'?" + EPOCHS: call(jt.Hyperband, min_epochs=3),
    "LogUniform() has no argument 'min_value', did you mean 'low'?": call(jt.LogUniform, min_value=1e-4, high=1.0),
    "Uniform() has no argument 'q', did you mean 'step'?": call(jt.Uniform, 0.0, 1.0, q=0.1),
    "Uniform() has no argument 'log': LogUniform and Integer(..., log=True) are logarithmic.": call(
        jt.Uniform, 1e-4, 1.0, log=True
    ),
    "Choice() takes one value, options, got 3: write Choice([...]) around them.": call(jt.Choice, 1, 2, 3),
    "Choice() has no argument 'probabilities', did you mean 'weights'?": call(jt.Choice, [1, 2], probabilities=[1, 2]),
    "supervised() has no argument 'loss_fn', did you mean 'loss'?": call(jt.supervised, None, loss_fn=None),
    "supervised() has no argument 'metric': jt.tune takes metric.": call(jt.supervised, None, metric="accuracy"),
    "supervised() has no argument 'epochs'" + SCHEDULER: call(jt.supervised, None, epochs=3),
    "Task() has no argument 'batchsize', did you mean 'batch_size'?": call(jt.Task, batchsize=3),
    "Grid() has no argument 'resolution', did you mean 'levels'?": call(jt.Grid, resolution=3),
    "Placement() has no argument 'device', did you mean 'devices'?": call(jt.Placement, device="gpu"),
}


@pytest.mark.parametrize("words", ARGUMENTS)
def test_arguments_of_other_tuners(words):
    with pytest.raises(TypeError) as caught:
        ARGUMENTS[words]()
    assert str(caught.value) == words


# Made by jaxtune alone, of other libraries' classes, or with nothing to confuse.
OTHERS = {
    "Ensemble",
    "Result",
    "Trial",
    "Outcome",
    "Nested",
    "SearchPlan",
    "Space",
    "rate",
    "kernels_only",
    "set_host_device_count",
    "nested",  # hands them on to tune
    "FromOptuna",  # and this one to Optuna
}


@pytest.mark.parametrize("name", sorted({name for name in jt.__all__ if callable(getattr(jt, name))} - OTHERS))
def test_everything_public_answers(name):
    with pytest.raises(TypeError, match=rf"^{name}\(\) has no argument 'nonsense'"):
        getattr(jt, name)(nonsense=1)


def test_times_are_limits():
    for name in ("timeout", "time_budget_s"):
        with pytest.raises(TypeError, match=f"tune\\(\\) has no argument '{name}'.*time_limit"):
            jt.tune(*T, scheduler=FEW, **{name: 60})


def test_what_python_says_of_missing_arguments_stays():
    with pytest.raises(TypeError, match="missing 1 required keyword-only argument: 'scheduler'"):
        jt.tune(*T)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'steps'"):
        jt.FullBudget(3)


def test_signatures_and_helps_stay():
    assert list(inspect.signature(jt.FullBudget).parameters) == ["trials", "steps"]
    assert list(inspect.signature(jt.tune).parameters)[:3] == ["task", "space", "scheduler"]
    assert jt.tune.__doc__.startswith("Searches a space")
    assert pickle.loads(pickle.dumps(FEW)) == FEW


def test_functions_that_take_any_argument_do():
    assert hinted(lambda a, **others: others)(1, b=2) == {"b": 2}
    assert hinted(lambda *all_: all_)(1, 2, 3) == (1, 2, 3)


# Results


@pytest.fixture(scope="module")
def result():
    return tune(DESCENT, DESCENT_SPACE, scheduler=FEW)


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("best_params", ": write result.best.hparams"),
        ("best_params_", ": write result.best.hparams"),
        ("best_config", ": write result.best.hparams"),
        ("best_value", ": write result.best.metrics"),
        ("best_score_", ": write result.best.metrics"),
        ("best_trial", ": write result.best"),
        ("get_best_result", ": write result.best"),
        ("get_best_models", ": write result.best.model"),
        ("trials_dataframe", ": write result.to_dataframe()"),
        ("results_summary", ": write result.table()"),
        ("plot_curve", ": write result.plot_curves()"),
        ("trails", ", did you mean 'trials'?"),
        ("nothing_like_it", ""),
    ],
)
def test_what_other_results_have(result, name, ours):
    with pytest.raises(AttributeError) as caught:
        getattr(result, name)
    assert str(caught.value) == f"'Result' object has no attribute {name!r}{ours}"


@pytest.mark.parametrize(("name", "ours"), [("params", "hparams"), ("value", "metrics"), ("number", "id")])
def test_what_other_trials_have(result, name, ours):
    with pytest.raises(AttributeError, match=f"'Trial' object has no attribute '{name}': write trial.{ours}"):
        getattr(result.best, name)


def test_a_property_that_fails_says_why(result, monkeypatch):
    monkeypatch.setattr(type(result), "num_runs", property(lambda self: self.num_rans))
    with pytest.raises(AttributeError, match="no attribute 'num_rans'"):
        result.num_runs  # noqa: B018


def test_results_are_copied_and_pickled_as_before(result):
    for again in (copy.copy(result), pickle.loads(pickle.dumps(result))):
        assert again.best.hparams == result.best.hparams


# Spaces


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (
            [0.1, 0.2],
            "'lr' is the list [0.1, 0.2]: to search over its values write Choice([0.1, 0.2]); a constant is a",
        ),
        (np.array([0.1, 0.2]), "of shape (2,): to search over its values write Choice(array.tolist()); for a constant"),
        (scipy.stats.loguniform(1e-4, 1.0), "'lr' is a rv_continuous_frozen of scipy: write a domain of jaxtune, as"),
        (FloatDistribution(), "'lr' is a FloatDistribution of optuna: write a domain of jaxtune"),
        ({"values": [1, 2]}, "to search over values write Choice([1, 2]); to search over sub-spaces"),
        ({"min": 0.1, "max": 1.0}, "for numbers between two bounds write Uniform(0.1, 1.0) or LogUniform; to search"),
        (jt.LogUniform, "'lr' is the class LogUniform itself: write LogUniform(...)."),
    ],
)
def test_what_is_no_domain(value, words):
    with pytest.raises(TypeError) as caught:
        Space.of({"lr": value})
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("given", "instead"),
    [
        (
            (1e-4, 1e-2),
            "jt.Uniform(0.0001, 0.01) or jt.LogUniform(0.0001, 0.01) or jt.Choice([0.0001, 0.01]).",
        ),
        ((1e-4, 1e-3, 1e-2), "jt.Choice([0.0001, 0.001, 0.01])."),
        ((0.0, 0.01), "jt.Uniform(0.0, 0.01) or jt.Choice([0.0, 0.01])."),
        ((1, 2), "jt.Integer(1, 2) or jt.Choice([1, 2])."),
    ],
)
def test_a_tuple_for_a_range(given, instead):
    words = f"'lr' is the tuple {given}, a constant, where the task needs a number: to search write {instead}"
    with pytest.raises(TypeError) as caught:
        resolve(DESCENT, Space.of({"lr": given}), "loss", None)
    assert words in str(caught.value)


def test_a_tuple_for_a_range_beside_one_that_the_task_wants():
    def step(key, state, batch, hp):
        return DESCENT.step(key, state, batch, {"lr": hp["lr"] * sum(hp["betas"])})

    with pytest.raises(TypeError, match="'lr' is the tuple"):
        resolve(DESCENT.replace(step=step), Space.of({"betas": (0.9, 0.99), "lr": (0.1, 0.2)}), "loss", None)


def test_a_tuple_that_the_task_wants():
    task = DESCENT.replace(step=lambda key, state, batch, hp: DESCENT.step(key, state, batch, {"lr": hp["lrs"][0]}))
    resolve(task, Space.of({"lrs": (1e-4, 1e-2)}), "loss", None)
