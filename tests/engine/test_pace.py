"""Batch sizes against budget: trials of one rung have seen equally many examples."""

import math

import numpy as np
import pytest
from counting import COUNTING, IDS, LR
from hypothesis import given, settings, strategies as st
from toys import Listed, tune

import jaxtune as jt
from jaxtune.engine.pace import Pace
from jaxtune.schedulers.plan import Plan, Row

sizes = st.integers(1, 300)


@settings(deadline=None)
@given(base=sizes, size=sizes, steps=st.integers(0, 10_000))
def test_updates_see_as_many_examples_as_steps(base, size, steps):
    """The least number of updates that sees them all."""
    updates = Pace(base, size).updates(steps)
    assert isinstance(updates, int)
    assert updates * size >= steps * base
    assert (updates - 1) * size < steps * base
    assert Pace(base, size).steps(updates) == pytest.approx(updates * size / base)


@settings(deadline=None)
@given(base=sizes, size=sizes, multiple=st.integers(1, 300), rungs=st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_bursts_come_out_even_where_updates_do(base, size, multiple, rungs):
    stops = [multiple * n for n in sorted(set(rungs))]
    plan, pace = Plan((1,), tuple(Row(stop) for stop in stops)), Pace(base, size)
    burst = pace.burst(plan)
    assert 1 <= burst <= max(1000, plan.burst)
    common = math.gcd(*stops)
    if common * base % size == 0:
        assert all(pace.updates(stop) % burst == 0 for stop in stops)
    for stop in stops:
        whole = pace.lands_on(stop, burst)
        assert whole == (stop * base % (size * burst) == 0)


def test_equal_sizes_change_nothing():
    plan, pace = Plan((1,), (Row(60), Row(180))), Pace(16, 16)
    assert [pace.updates(n) for n in (0, 1, 60)] == [0, 1, 60]
    assert pace.burst(plan) == plan.burst == 60


# Groups


def by_size(result):
    return {trial.hparams["batch_size"]: trial for trial in result.trials}


@pytest.mark.parametrize("sizes", [(4, 8, 16), (3, 8, 24), (5, 7, 30)], ids=str)
def test_groups_make_so_many_updates(sizes):
    """Also where a size does not divide the examples: single updates make up the rest."""
    steps, every = 30, 10
    result = tune(
        COUNTING, LR | {"batch_size": jt.Choice(sizes)}, scheduler=jt.FullBudget(3, steps), evaluate_every=every,
        sampler=Listed.of(*({"lr": 0.01, "batch_size": b} for b in sizes)),
    )  # fmt: skip
    curves = result.curves()
    assert curves["steps"].tolist() == [10, 20, 30]  # of the scheduler
    assert all(trial.steps == steps for trial in result.trials)
    for size, trial in by_size(result).items():
        expected = [math.ceil(stop * 8 / size) for stop in (10, 20, 30)]
        assert curves["updates"][trial.id].tolist() == expected
        assert curves["told"][trial.id].tolist() == [math.ceil(steps * 8 / size)] * 3  # total_steps in updates
    assert result.history.lane_steps.tolist() == [30, 60, 90]


def test_batches_have_the_size_of_the_group():
    for size in (4, 6):
        result = tune(COUNTING, LR | {"batch_size": size}, scheduler=jt.FullBudget(2, 15))
        assert result.best.state["seen"].sum() == math.ceil(15 * 8 / size) * size
        assert result.best.state["seen"][30:].sum() == 0


def test_rungs_compare_groups_after_equally_many_examples():
    space = LR | {"batch_size": jt.Choice([4, 8, 16])}
    result = tune(COUNTING, space, scheduler=jt.SuccessiveHalving(9, 6, 54))
    assert sorted({trial.steps for trial in result.trials}) == [6, 18, 54]
    for trial in result.trials:
        assert trial.metrics["updates"] * trial.hparams["batch_size"] == trial.steps * 8
    best = min(result.trials, key=lambda trial: trial.hparams["lr"])  # across the groups
    assert result.best.id == best.id
    assert result.best.state["updates"] == result.best.metrics["updates"]


def test_divergence_is_reported_in_steps_of_the_scheduler():
    def step(key, state, batch, hp, total_steps):
        state, _ = COUNTING.step(key, state, batch, hp, total_steps)
        import jax.numpy as jnp

        bad = state["updates"] * (batch.shape[0] / 8) > 12  # after 12 steps' worth of examples
        return state, {"loss": jnp.where(bad & (hp["lr"] > 0.01), jnp.nan, 1.0)}

    configurations = [{"lr": lr, "batch_size": b} for b in (4, 16) for lr in (0.005, 0.05)]
    result = tune(
        COUNTING.replace(step=step), LR | {"batch_size": jt.Choice([4, 16])}, scheduler=jt.FullBudget(4, 20),
        sampler=Listed.of(*configurations),
    )  # fmt: skip
    statuses = [trial.status for trial in result.trials]
    assert statuses == ["finished", "diverged at step 12"] * 2


# Refused


@pytest.mark.parametrize(
    ("domain", "error", "message"),
    [
        (jt.Choice([8, 31]), ValueError, "31"),
        (jt.Choice([8, 0]), ValueError, "0"),
        (jt.Choice([8, 2.5]), (TypeError, ValueError), "2.5"),
        (jt.Uniform(4.0, 16.0), (TypeError, ValueError), "batch_size"),
        (jt.LogUniform(4.0, 16.0), (TypeError, ValueError), "batch_size"),
    ],
    ids=["larger", "zero", "fraction", "uniform", "log-uniform"],
)
def test_wrong_batch_sizes_are_refused(domain, error, message):
    with pytest.raises(error, match=message):
        tune(COUNTING, LR | {"batch_size": domain}, scheduler=jt.FullBudget(4, 10))


def test_examples_of_all_sizes_are_the_same():
    """Batch order does not depend on the batch size: the stream of examples is cut otherwise."""
    order = []
    for size in (5, 10):
        result = tune(COUNTING, LR | {"batch_size": size}, scheduler=jt.FullBudget(2, 10), seed=1)
        order.append(result.best.state["seen"])
    np.testing.assert_array_equal(*order)
    assert order[0].shape == IDS.shape
