from functools import partial

import jax
import numpy as np
import optuna
import pytest
from optuna.samplers import NSGAIISampler, RandomSampler, TPESampler
from toys import DESCENT, DESCENT_SPACE, seen, tune

import jaxtune as jt
from jaxtune.samplers.from_optuna import FromOptuna
from jaxtune.spaces.domains import Choice, Integer, LogNormal, LogUniform, Uniform
from jaxtune.spaces.space import Space

KEY = jax.random.key(0)
SPACE = Space.of(
    {
        "lr": LogUniform(1e-4, 1.0),
        "guess": LogNormal(0.0, 1.0),
        "optimizer": Choice({"sgd": {"momentum": Uniform(0, 1)}, "adam": {"beta": Uniform(0, 1)}}),
        "width": Integer(1, 64, log=True, static=False),
        "act": Choice((len, max)),
    }
)
POINTS = np.random.default_rng(0).random((40, 7)).astype(np.float32)


class Recorder(TPESampler):
    """Remembers the study that it was asked with."""

    def sample_relative(self, study, trial, search_space):
        type(self).trials = study.get_trials(states=[s for s in optuna.trial.TrialState if s.name != "RUNNING"])
        return super().sample_relative(study, trial, search_space)


def test_trials_are_told_with_all_values_pruned_ones_too_and_failed_ones_without():
    nan = np.nan
    history = seen(POINTS[:3], [[3, nan], [2, 1], [5, 4]], failed=np.array([False, False, True]), capacity=8)
    FromOptuna(Recorder)(KEY, SPACE, history, 1)
    first, second, third = Recorder.trials
    steps = [int(step) for step in history.steps]
    assert (first.state.name, first.intermediate_values) == ("PRUNED", {steps[0]: 3.0})
    assert (second.state.name, second.value, second.intermediate_values) == (
        "COMPLETE",
        1.0,
        {steps[0]: 2.0, steps[1]: 1.0},
    )
    assert (third.state.name, third.intermediate_values) == ("PRUNED", {})
    decoded = {key: np.asarray(values) for key, values in SPACE.decode(POINTS[:3]).items()}
    for t, trial in enumerate(Recorder.trials):
        hparams, branch = SPACE.row(decoded, t), "optimizer=sgd.momentum"
        assert trial.params["lr"] == pytest.approx(hparams["lr"])
        assert trial.params["guess"] == pytest.approx(float(POINTS[t, 1]))  # its quantile
        assert trial.params["width"] == hparams["width"]
        assert (branch in trial.params) == (hparams["optimizer"] == "sgd")


def test_what_was_good_is_proposed_again():
    values = np.abs(POINTS[:, :1] - 0.7)
    points = FromOptuna(TPESampler)(KEY, SPACE, seen(POINTS, values), 24)
    assert np.mean(np.abs(points[:, 0] - 0.7) < 0.15) > 0.7
    everywhere = FromOptuna(RandomSampler)(KEY, SPACE, seen(POINTS, values), 24)
    assert np.mean(np.abs(everywhere[:, 0] - 0.7) < 0.15) < 0.6


def test_generations_differ_though_their_key_is_the_same():
    first, later = (FromOptuna(RandomSampler)(KEY, SPACE, seen(POINTS[:n], POINTS[:n, :1]), 4) for n in (8, 16))
    assert not np.isin(first, later).all()


def test_the_first_points_of_many_are_those_of_few():
    history = seen(POINTS, POINTS[:, :1])
    few, many = (np.asarray(FromOptuna(TPESampler)(KEY, SPACE, history, n)) for n in (3, 6))
    np.testing.assert_array_equal(many[:3], few)


def test_a_search_with_it_learns_and_can_be_interrupted(tmp_path):
    scheduler, sampler = jt.SuccessiveHalving(12, 2, 4, eta=2), FromOptuna(TPESampler, n_startup_trials=6)
    search = partial(tune, DESCENT, DESCENT_SPACE, scheduler=scheduler, sampler=sampler, generations=3)
    whole = search()
    means = [np.mean([np.log(t.hparams["lr"]) for t in whole.trials if t.generation == g]) for g in range(3)]
    assert means[2] > means[0] + 0.5  # the largest is the best
    search(directory=tmp_path / "run", callback=lambda result: result.history.num_trials > 12)
    again = search(directory=tmp_path / "run")
    assert [trial.hparams for trial in again.trials] == [trial.hparams for trial in whole.trials]


def test_points_go_on_with_it():
    points = jt.Points([{"lr": 0.005}], then=FromOptuna(TPESampler))
    result = tune(DESCENT, DESCENT_SPACE, scheduler=jt.FullBudget(4, 2), sampler=points)
    assert result.trials[0].hparams["lr"] == pytest.approx(0.005)
    assert len({trial.hparams["lr"] for trial in result.trials}) == 4


def test_search_says_that_it_cannot_have_it():
    with pytest.raises(ValueError, match=r"search is one compiled program, and FromOptuna\(TPESampler\) runs on the"):
        jt.search(KEY, DESCENT, DESCENT_SPACE, scheduler=jt.FullBudget(4, 2), sampler=FromOptuna(TPESampler))


def test_samplers_that_keep_notes_warn_that_they_begin_anew():
    space = Space.of({"x": Uniform(0, 1), "y": Uniform(0, 1)})
    with pytest.warns(UserWarning, match=r"NSGAIISampler keeps notes in its study \(.*\), which results don't hold"):
        FromOptuna(NSGAIISampler)(KEY, space, seen(POINTS[:, :2], POINTS[:, :1]), 2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FromOptuna(TPESampler(seed=1)), "needs a class such as optuna.samplers.TPESampler, got <optuna"),
        (lambda: FromOptuna(dict), "needs a class such as"),
        (lambda: FromOptuna(TPESampler, seed=3), "takes no seed: that of the search is used"),
        (lambda: FromOptuna(TPESampler, n_startup=3), "unexpected keyword argument 'n_startup'"),
        (lambda: FromOptuna(optuna.samplers.PartialFixedSampler), "PartialFixedSampler takes none"),
    ],
)
def test_what_can_not_work_is_refused_at_once(make, message):
    with pytest.raises(TypeError, match=message):
        make()


def test_a_sampler_of_optuna_itself_is_told_how_to_come_in():
    with pytest.raises(TypeError, match=r"got a value of type TPESampler: write jt.FromOptuna\(TPESampler\)"):
        tune(DESCENT, DESCENT_SPACE, scheduler=jt.FullBudget(4, 2), sampler=TPESampler())


def test_equal_arguments_make_equal_samplers():
    assert FromOptuna(TPESampler, multivariate=True) == FromOptuna(TPESampler, multivariate=True)
    assert FromOptuna(TPESampler, multivariate=True) != FromOptuna(TPESampler, multivariate=False)
    assert FromOptuna(TPESampler) != FromOptuna(RandomSampler)
