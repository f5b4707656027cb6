import optuna
import pytest
from toys import DESCENT, DESCENT_SPACE, tune

import jaxtune as jt

BRANCHES = {"a": {"lr": jt.LogUniform(1e-4, 1e-2)}, "b": {"lr": jt.LogUniform(1e-3, 2e-2), "other": 3}}
SPACE = {"kind": jt.Choice(BRANCHES)}


def step(key, state, batch, hp):
    rate = hp["lr"] if hp["kind"] == "a" else hp["lr"] / hp["other"]
    return DESCENT.step(key, state, batch, {"lr": rate})


TASK = jt.Task(init=DESCENT.init, step=step, evaluate=DESCENT.evaluate)
HALVING = jt.SuccessiveHalving(8, 2, 4, eta=2)


@pytest.fixture(scope="module")
def result():
    return tune(TASK, SPACE, scheduler=HALVING, generations=2)


def test_every_trial_is_there_with_its_values_and_fate(result):
    study = jt.to_optuna(result)
    assert study.direction.name == "MINIMIZE"
    assert study.best_trial.user_attrs["id"] == result.best.id
    assert study.best_value == result.best.metrics["loss"]
    assert len(study.trials) == 16
    for trial, told in zip(result.trials, study.trials, strict=True):
        assert told.state.name == {"finished": "COMPLETE", "pruned": "PRUNED"}[trial.status.kind]
        kind = trial.hparams["kind"]
        assert told.params == {"kind": kind, f"kind={kind}.lr": trial.hparams["lr"]}
        assert told.user_attrs.get("other") == trial.hparams.get("other")
        assert (told.user_attrs["generation"], told.user_attrs["steps"]) == (trial.generation, trial.steps)
        assert told.user_attrs["start"] == trial.metrics["start"]
        assert max(told.intermediate_values) == trial.steps
        assert told.intermediate_values[max(told.intermediate_values)] == trial.metrics["loss"]


def test_pictures_and_importances_of_optuna_read_it(result):
    study = jt.to_optuna(result)
    assert set(optuna.importance.get_param_importances(study)) == {"kind", "kind=a.lr", "kind=b.lr"}
    axes = optuna.visualization.matplotlib.plot_intermediate_values(study)
    assert len(axes.get_lines()) == 16


def test_a_sampler_of_optuna_goes_on_from_it(result):
    study = jt.to_optuna(result)
    study.sampler = optuna.samplers.TPESampler(seed=0, n_startup_trials=1)
    assert study.ask().suggest_categorical("kind", ("a", "b")) in BRANCHES


def test_a_metric_that_is_to_be_high(result):
    found = tune(DESCENT, DESCENT_SPACE, scheduler=HALVING, mode="max")
    study = jt.to_optuna(found)
    assert study.direction.name == "MAXIMIZE"
    assert study.best_params == found.best.hparams


def test_a_loaded_result_needs_its_space(result, tmp_path):
    result.save(tmp_path / "run")
    loaded = jt.load(tmp_path / "run")
    with pytest.raises(ValueError, match="needs the space of the search, which comes with the task of the winner"):
        jt.to_optuna(loaded)
    assert jt.to_optuna(loaded, SPACE).best_params == jt.to_optuna(result).best_params
    with pytest.raises(ValueError, match="no hyperparameter 'kind'"):
        jt.to_optuna(loaded, DESCENT_SPACE)


def test_diverged_trials_have_failed_and_all_may_have():
    space = {"lr": jt.Uniform(1e20, 1e30)}
    found = tune(DESCENT, space, scheduler=HALVING)
    assert {trial.state.name for trial in jt.to_optuna(found, space).trials} == {"FAIL"}


def test_a_storage_keeps_it(result, tmp_path):
    url = f"sqlite:///{tmp_path / 'study.db'}"
    jt.to_optuna(result, storage=url)
    (summary,) = optuna.get_all_study_summaries(url)
    assert summary.n_trials == 16


def test_anything_but_a_result_is_refused(result):
    with pytest.raises(TypeError, match="to_optuna needs a result, as tune and load return it, got a Trial"):
        jt.to_optuna(result.best)
