"""What every scheduler must do: a new one joins the table by being exported; give it arguments here."""

import dataclasses
import doctest
import importlib
import inspect

import numpy as np
import pytest
from toys import DESCENT, DESCENT_SPACE, descent_loss, tune

import jaxtune.schedulers

ARGUMENTS = {
    "FullBudget": {"trials": 5, "steps": 20},
    "SuccessiveHalving": {"trials": 9, "min_steps": 5, "max_steps": 50},
    "Hyperband": {"min_steps": 5, "max_steps": 50},
    "PopulationBasedTraining": {"trials": 6, "steps": 20, "interval": 5},
}
NAMES = [name for name in jaxtune.schedulers.__all__ if hasattr(getattr(jaxtune.schedulers, name), "plan")]


@pytest.fixture(params=NAMES)
def scheduler(request):
    return getattr(jaxtune.schedulers, request.param)(**ARGUMENTS[request.param])


def test_the_table_is_complete():
    assert set(NAMES) == set(ARGUMENTS)
    assert set(NAMES) <= set(jaxtune.__all__)


def test_is_a_value(scheduler):
    again = dataclasses.replace(scheduler)
    assert again == scheduler
    assert hash(again) == hash(scheduler)
    with pytest.raises(dataclasses.FrozenInstanceError):
        scheduler.trials = 3


def test_plan_is_well_formed(scheduler):
    plan = scheduler.plan()
    assert plan == scheduler.plan()
    stops = [row.stop for row in plan.rows]
    assert stops == sorted(set(stops))
    assert all(type(stop) is int and stop >= 1 and stop % plan.burst == 0 for stop in stops)
    alive = plan.brackets
    for row in plan.rows:
        assert len(row.keep) == len(plan.brackets)
        assert all(1 <= kept <= before for kept, before in zip(row.keep, alive, strict=True))
        alive = row.keep
    assert plan.rows[-1].keep == plan.rows[-2].keep if len(plan.rows) > 1 else True


def test_a_search_spends_exactly_what_the_plan_says(scheduler):
    plan, result = scheduler.plan(), tune(DESCENT, DESCENT_SPACE, scheduler=scheduler)
    history = result.history
    assert len(result.trials) == plan.trials
    assert history.step.tolist() == [row.stop for row in plan.rows]
    assert history.active.sum(axis=1).tolist() == list(plan.population)
    assert history.lane_steps[-1] == plan.trial_steps
    assert [trial.bracket for trial in result.trials] == list(plan.bracket_of)
    # The states themselves have counted how often they were stepped.
    counts = [trial.metrics["count"] for trial in result.trials]
    assert counts == [trial.steps for trial in result.trials]
    assert sum(counts) == plan.trial_steps


def test_every_trial_was_trained_with_its_own_hyperparameters(scheduler):
    """Wherever lanes were moved to: the state goes with its hyperparameters, interval by interval."""
    history = tune(DESCENT, DESCENT_SPACE, scheduler=scheduler).history
    lr = np.array([hparams["lr"] for hparams in history.hparams])
    loss = history.metrics["start"][0, 0].copy()  # [T], equal for all trials
    for e, steps in enumerate(np.diff(history.step, prepend=0)):
        loss = descent_loss(loss, history.schedule["lr"][e] if history.schedule else lr, steps)
        active = history.active[e]
        np.testing.assert_allclose(history.metrics["loss"][e, 0, active], loss[active], rtol=1e-4)
        loss = loss[history.source[e]]


def test_documented_with_a_running_example(scheduler):
    assert ">>>" in inspect.getdoc(type(scheduler))
    assert doctest.testmod(importlib.import_module(type(scheduler).__module__)).failed == 0
