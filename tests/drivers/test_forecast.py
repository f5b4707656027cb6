"""A plan says beforehand what a search then takes."""

import flax.linen as nn
import numpy as np
import optax
import pytest
from toys import DESCENT, DESCENT_SPACE, NET, NET_SPACE, ONE, TWO, tune

import jaxtune as jt
from jaxtune.engine import measured
from jaxtune.engine.width import Width

SCHEDULER = jt.SuccessiveHalving(8, min_steps=10, max_steps=40, eta=4)


def plan(task=NET, space=NET_SPACE, **arguments):
    return jt.plan(task, space, **({"scheduler": SCHEDULER, "placement": ONE} | arguments))


def test_budget_and_rungs_are_those_of_the_search():
    planned = plan(replicates=2)
    result = tune(NET, NET_SPACE, scheduler=SCHEDULER, replicates=2)
    assert planned.lane_steps == result.history.lane_steps[-1] == (8 * 10 + 2 * 30) * 2
    assert planned.rows == ((10, 8), (40, 2))
    assert planned.runs == 2
    assert planned.groups[0].lanes == 16


def test_groups_and_names():
    space = NET_SPACE | {"width": jt.Choice([4, 8]), "batch_size": jt.Choice([4, 16])}
    planned = plan(space=space, scheduler=jt.FullBudget(16, 40))
    assert planned.static == ("width", "batch_size")
    assert planned.traced == ("lr", "dropout")
    assert {(g.static["width"], g.static["batch_size"]) for g in planned.groups} == {(4, 4), (4, 16), (8, 4), (8, 16)}
    assert sum(g.trials for g in planned.groups) == 16
    assert {g.static["batch_size"]: g.updates for g in planned.groups} == {4: 80, 16: 20}


def test_programs_are_those_that_compile(compiled):
    def step(key, state, batch, hp):
        return DESCENT.step(key, state, batch, hp)

    task = DESCENT.replace(step=step)  # never compiled before
    for placement, keep in ((ONE, "last"), (TWO, "best")):
        planned = jt.plan(task, DESCENT_SPACE, scheduler=SCHEDULER, placement=placement, keep=keep)
        compiled.clear()  # it times a chunk with programs of its own
        result = tune(task, DESCENT_SPACE, scheduler=SCHEDULER, placement=placement, keep=keep)
        assert np.isfinite(result.best.metrics["loss"])
        assert planned.programs == sum(compiled.values())
        compiled.clear()


def test_memory_counts_states_and_checkpoints():
    lane = 4 * (3 + 3 + 1)  # two vectors of three floats and a counter
    planned = plan(DESCENT, DESCENT_SPACE)
    assert planned.memory == 8 * lane
    assert plan(DESCENT, DESCENT_SPACE, keep="best").memory == 2 * planned.memory
    assert plan(DESCENT, DESCENT_SPACE, replicates=3).memory == 3 * planned.memory
    assert planned.available > planned.memory
    assert plan(DESCENT, DESCENT_SPACE, scheduler=jt.FullBudget(33, 10)).memory == 64 * lane  # as the arrays are padded


@pytest.mark.parametrize("folds", [None, 5])
def test_memory_of_data(folds):
    """Training and validation examples, the latter among the former too for a last training on both."""
    x = np.zeros((100, 10), np.float32)
    parts = {"train": x, "validation": None} if folds else {"train": x[:60], "validation": x[60:]}
    task = DESCENT.replace(step=lambda key, state, batch, hp: DESCENT.step(key, state, None, hp), batch_size=4, **parts)
    planned = plan(task, DESCENT_SPACE, folds=folds)
    assert planned.data == 4000 + (4000 if folds else 1600)
    assert "5.6 kB of data" in repr(planned) or folds


def test_folds_are_lanes():
    task = NET.replace(validation=None)
    assert plan(task, folds=3).groups[0].lanes == 24


def test_too_many_programs_name_the_hyperparameter():
    space = NET_SPACE | {"width": jt.Integer(2, 40), "batch_size": jt.Choice([4, 8])}
    with pytest.raises(ValueError, match="'width' alone has"):
        plan(space=space, scheduler=jt.FullBudget(64, 40))


def test_the_estimate_grows_with_the_work():
    x = np.zeros((64, 4), np.float32)
    task = jt.supervised(
        nn.Dense(1),
        optimizer=lambda hp: optax.sgd(hp["lr"]),
        loss=optax.squared_error,
        train=(x, x[:, :1]),
        validation=(x, x[:, :1]),
        batch_size=16,
    )
    short, long = (plan(task, DESCENT_SPACE, scheduler=jt.FullBudget(8, steps)).seconds for steps in (100, 100_000))
    assert 0 < short < long / 20  # 1,000 times the steps; timings of a busy machine differ


def test_text():
    text = repr(plan(space=NET_SPACE | {"width": jt.Choice([4, 8])}))
    for words in ("8 trials", "width=4", "lane-steps", "memory:", "8 to step 10, 2 to step 40", "traced: lr, dropout"):
        assert words in text


def test_tells_devices_scratch_and_how_the_width_was_chosen(monkeypatch):
    planned = plan(placement=TWO)
    assert planned.devices == 2
    group = planned.groups[0]
    assert planned.scratch == 2 * group.scratch_bytes > 0
    assert group.chosen_by == "rule"
    given = plan(placement=jt.Placement(devices=TWO.devices, lanes=1)).groups[0]
    assert given.chosen_by == "you"
    assert group.scratch_bytes // group.chunk <= given.scratch_bytes < group.scratch_bytes  # evaluating takes some too
    monkeypatch.setattr(Width, "pays", True)
    monkeypatch.setattr(measured, "recall", lambda _: {})
    assert plan().groups[0].chosen_by == "rule; measured when it starts"
    monkeypatch.setattr(measured, "recall", lambda _: {2: 0.5, 1: 0.25})
    by_measurement = plan()
    assert (by_measurement.groups[0].chosen_by, by_measurement.groups[0].chunk) == ("measurement", 1)
    assert by_measurement.seconds == 0.25 * by_measurement.lane_steps  # what was measured is not measured again
    assert "1 device(s) with" in repr(by_measurement)


def test_a_confirmation_costs_at_most_what_the_plan_says():
    """Three seeds come in rounds of two."""
    options = {"scheduler": jt.SuccessiveHalving(8, 10, 40, eta=4), "replicates": 2, "confirm": jt.Confirm(2, 3)}
    planned = jt.plan(NET, NET_SPACE, placement=ONE, **options)
    assert planned.confirming == 2 * 4 * 40
    assert "and at most 320 to confirm the winner" in repr(planned)
    seeds = tune(NET, NET_SPACE, **options).confirmation._confirmed.seeds
    assert seeds.sum() * 40 <= planned.confirming
