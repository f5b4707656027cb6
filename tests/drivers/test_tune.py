"""`tune`: the driver on the host."""

import gc
import os
import signal
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toys import DESCENT, DESCENT_SPACE, NET, NET_SPACE, ONE, TWO, Listed, descent_loss, tune

import jaxtune as jt
from jaxtune.engine import group, host, width
from jaxtune.engine.groups import Groups
from jaxtune.engine.host import Busy

HALVING = jt.SuccessiveHalving(trials=9, min_steps=10, max_steps=90)
PBT = jt.PopulationBasedTraining(trials=6, steps=40, interval=10)


def assert_equal_results(first, second):
    """To the last bit, the winner's state too."""
    assert first.best.id == second.best.id
    assert [t.hparams for t in first.trials] == [t.hparams for t in second.trials]
    assert [t.status for t in first.trials] == [t.status for t in second.trials]
    assert list(first.history.metrics) == list(second.history.metrics)
    for name, values in first.history.metrics.items():
        np.testing.assert_array_equal(values, second.history.metrics[name])
    jax.tree.map(np.testing.assert_array_equal, first.best.states, second.best.states)


def evaluated(task, trial, replicate=0):
    """What the task itself says about a trial's state."""
    return task.evaluate(None, jax.tree.map(lambda x: x[replicate], trial.states), task.validation, trial.hparams)


# Seeds


@pytest.mark.parametrize("scheduler", [HALVING, PBT], ids=["halving", "pbt"])
def test_repeated_it_is_equal_to_the_last_bit(scheduler):
    first, second = (tune(NET, NET_SPACE, scheduler=scheduler, seed=3, placement=TWO) for _ in range(2))
    assert_equal_results(first, second)


def test_seeds_differ_in_trials_and_in_training():
    first, second = (tune(DESCENT, DESCENT_SPACE, scheduler=HALVING, seed=seed) for seed in (0, 1))
    assert not {t.hparams["lr"] for t in first.trials} & {t.hparams["lr"] for t in second.trials}
    assert first.best.metrics["start"] != second.best.metrics["start"]
    assert (first.seed, second.seed) == (0, 1)


# The best trial


@pytest.mark.parametrize("scheduler", [HALVING, PBT], ids=["halving", "pbt"])
@pytest.mark.parametrize("placement", [ONE, TWO], ids=["1 device", "2 devices"])
def test_the_best_state_has_the_best_metrics(scheduler, placement):
    result = tune(NET, NET_SPACE, scheduler=scheduler, placement=placement, replicates=2)
    for replicate in range(2):
        values = evaluated(NET, result.best, replicate)
        for name in ("loss", "error"):
            np.testing.assert_allclose(values[name], result.best.replicates[name][replicate], rtol=1e-4)
    at_end = [t.metrics["loss"] for t in result.trials if t.status == "finished"]
    assert result.best.metrics["loss"] == min(at_end)


def test_the_test_split_is_that_of_the_best_trial():
    task = NET.replace(test=jax.tree.map(lambda x: x[:7], NET.validation))
    result = tune(task, NET_SPACE, scheduler=HALVING, replicates=2)
    expected = [evaluated(task.replace(validation=task.test), result.best, replicate) for replicate in (0, 1)]
    np.testing.assert_allclose(result.test()["error"], np.mean([e["error"] for e in expected]), rtol=1e-4)


def test_a_space_of_constants():
    result = tune(DESCENT, {"lr": 0.01}, scheduler=jt.FullBudget(trials=1, steps=10))
    assert result.best.hparams == {"lr": 0.01}
    expected = descent_loss(result.best.metrics["start"], 0.01, 10)
    np.testing.assert_allclose(result.best.metrics["loss"], expected, rtol=1e-5)


def test_mode_max():
    low = tune(DESCENT, DESCENT_SPACE, scheduler=HALVING, metric="loss", mode="min").best
    high = tune(DESCENT, DESCENT_SPACE, scheduler=HALVING, metric="loss", mode="max").best
    rates = [t.hparams["lr"] for t in tune(DESCENT, DESCENT_SPACE, scheduler=HALVING).trials]
    assert (low.hparams["lr"], high.hparams["lr"]) == (max(rates), min(rates))


# Replicates


def test_replicates_are_averaged():
    result = tune(NET, NET_SPACE, scheduler=HALVING, replicates=3)
    losses = result.history.metrics["loss"]  # [E, R, T]
    for trial in result.trials:
        values = losses[np.flatnonzero(result.history.active[:, trial.id])[-1], :, trial.id]
        assert len(set(values.tolist())) == 3
        np.testing.assert_array_equal(trial.replicates["loss"], values)
        mean = sum(values.tolist()) / 3
        variance = sum((v - mean) ** 2 for v in values.tolist()) / 2
        np.testing.assert_allclose(trial.metrics["loss"], mean, rtol=1e-6)
        np.testing.assert_allclose(trial.standard_error["loss"], (variance / 3) ** 0.5, rtol=1e-5)
    first = losses[0].mean(axis=0)
    assert np.flatnonzero(result.history.active[1]).tolist() == sorted(np.argsort(first)[:3].tolist())


def test_a_replicate_does_not_see_the_others():
    """Replicate r differs from the others by its key only: one alone is the first of three."""
    scheduler = jt.FullBudget(trials=6, steps=60)
    one, three = (tune(NET, NET_SPACE, scheduler=scheduler, replicates=n) for n in (1, 3))
    np.testing.assert_allclose(one.history.metrics["loss"][:, 0], three.history.metrics["loss"][:, 0], rtol=1e-3)


def test_replicates_count_as_lane_steps():
    assert tune(DESCENT, DESCENT_SPACE, scheduler=HALVING, replicates=3).history.lane_steps[-1] == (
        3 * HALVING.plan().trial_steps
    )


# Curves


@pytest.mark.parametrize(
    "scheduler",
    [
        HALVING,
        PBT,
    ],
    ids=["halving", "pbt"],
)
def test_curve_points_change_nothing_else(scheduler):
    plain = tune(DESCENT, DESCENT_SPACE, scheduler=scheduler)
    curve = tune(DESCENT, DESCENT_SPACE, scheduler=scheduler, evaluate_every=5)
    assert curve.history.step.tolist() == list(range(5, scheduler.plan().steps + 1, 5))
    rungs = np.isin(curve.history.step, plain.history.step)
    assert (curve.history.decided == rungs).all()
    assert [t.hparams for t in curve.trials] == [t.hparams for t in plain.trials]
    for name in ("loss", "count"):
        expected = plain.history.metrics[name]
        np.testing.assert_allclose(curve.history.metrics[name][rungs], expected, rtol=1e-5)
    assert curve.history.lane_steps[-1] == plain.history.lane_steps[-1]


def test_curve_points_lie_on_the_curve():
    result = tune(DESCENT, DESCENT_SPACE, scheduler=HALVING, evaluate_every=5)
    curves = result.curves("loss")
    for trial in result.trials:
        there = curves["steps"] <= trial.steps
        assert np.isfinite(curves["loss"][trial.id]).tolist() == there.tolist()
        expected = descent_loss(trial.metrics["start"], trial.hparams["lr"], curves["steps"][there])
        np.testing.assert_allclose(curves["loss"][trial.id][there], expected, rtol=1e-4)


# Callback


def test_callback_sees_every_evaluation():
    seen = []
    result = tune(DESCENT, DESCENT_SPACE, scheduler=HALVING, evaluate_every=30, callback=seen.append)
    assert [r.history.step[-1] for r in seen] == result.history.step.tolist() == [10, 30, 60, 90]
    assert [r.history.active[-1].sum() for r in seen] == [9, 3, 1, 1]
    assert not result.interrupted
    assert [t.status for t in seen[0].trials].count("pruned at step 10") == 6


@pytest.mark.parametrize("answer", [None, False, 1, "yes"])
def test_only_true_stops(answer):
    assert not tune(DESCENT, DESCENT_SPACE, scheduler=HALVING, callback=lambda result: answer).interrupted


@pytest.mark.parametrize("scheduler", [HALVING, PBT, jt.FullBudget(4, 40)], ids=["halving", "pbt", "full"])
def test_true_stops(scheduler):
    def stop(result):
        return result.history.step.tolist()[-1] == 20

    result = tune(DESCENT, DESCENT_SPACE, scheduler=scheduler, evaluate_every=20, callback=stop)
    assert result.history.step[-1] == 20
    assert_holds_what_is_known(result)


def test_the_true_of_numpy_stops():
    assert tune(DESCENT, DESCENT_SPACE, scheduler=HALVING, callback=lambda result: np.True_).interrupted


def test_true_at_the_end_is_no_interruption():
    result = tune(DESCENT, DESCENT_SPACE, scheduler=jt.FullBudget(4, 40), callback=lambda result: True)
    assert not result.interrupted
    assert result.best.status == "finished"


def test_an_error_in_the_callback_is_the_users():
    def fail(result):
        raise RuntimeError("mine")

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(RuntimeError, match="mine"):
        tune(DESCENT, DESCENT_SPACE, scheduler=HALVING, callback=fail)
    assert signal.getsignal(signal.SIGINT) is before


# Ctrl-C


@pytest.fixture
def own_handler():
    """A handler of the test's own, which fails the test if a signal reaches it."""
    before = signal.getsignal(signal.SIGINT)
    received = []

    def handler(number, frame):
        received.append(number)

    signal.signal(signal.SIGINT, handler)
    yield handler
    assert signal.getsignal(signal.SIGINT) is handler
    signal.signal(signal.SIGINT, before)
    assert not received


LONG = jt.SuccessiveHalving(trials=4, min_steps=100, max_steps=10**8, eta=10**6)  # rungs at 100 and 10 ** 8


def assert_holds_what_is_known(result, task=DESCENT):
    """The state is that of the last evaluation."""
    assert result.interrupted
    last = result.history.step[-1]
    assert result.best.steps == last == result.best.state["count"]
    assert result.best.status == "interrupted"
    for replicate, loss in enumerate(result.best.replicates["loss"]):
        np.testing.assert_allclose(evaluated(task, result.best, replicate)["loss"], loss, rtol=1e-6)


def test_ctrl_c_in_the_middle_of_a_rung(own_handler):
    """Sent by another thread while the device is busy, as a terminal does."""

    def press_soon(result):
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()

    result = tune(DESCENT, DESCENT_SPACE, scheduler=LONG, callback=press_soon)
    assert_holds_what_is_known(result)
    assert 100 < result.history.step[-1] < 10**8
    assert result.history.decided.tolist() == [True, False]
    assert sorted(t.status for t in result.trials) == ["interrupted", *["pruned at step 100"] * 3]


@pytest.mark.parametrize("replicates", [1, 2])
def test_ctrl_c_between_rungs(own_handler, replicates):
    options = {"scheduler": HALVING, "replicates": replicates, "placement": TWO}
    result = tune(DESCENT, DESCENT_SPACE, callback=lambda result: signal.raise_signal(signal.SIGINT), **options)
    assert_holds_what_is_known(result)
    assert result.history.step[-1] < 90


def test_ctrl_c_stops_all_groups_at_the_same_step(own_handler):
    space = DESCENT_SPACE | {"size": jt.Choice((2, 3), static=True)}
    result = tune(
        _SIZED,
        space,
        scheduler=jt.FullBudget(trials=4, steps=10**8),
        evaluate_every=10**4,
        callback=lambda result: signal.raise_signal(signal.SIGINT),
    )
    assert_holds_what_is_known(result, _SIZED)
    assert len({t.metrics["count"] for t in result.trials}) == 1


def test_ctrl_c_while_the_second_group_trains(own_handler, monkeypatch):
    """Groups train in turns: all have come equally far soon, also before the first evaluation."""
    follow = Groups._follow

    def pressed(self, standing, group, reached, number):
        if not self.host.interrupted and number == 1:
            signal.raise_signal(signal.SIGINT)
        follow(self, standing, group, reached, number)

    monkeypatch.setattr(Groups, "_follow", pressed)
    monkeypatch.setattr(host, "GRACE", 60.0)  # compilers of a loaded machine take their time
    space = DESCENT_SPACE | {"size": jt.Choice((2, 3, 4), static=True)}
    result = tune(_SIZED, space, scheduler=jt.FullBudget(trials=6, steps=10**8))
    assert_holds_what_is_known(result, _SIZED)
    (count,) = {t.metrics["count"] for t in result.trials}
    assert count < 10**8


def test_ctrl_c_while_widths_are_timed(own_handler, monkeypatch):
    """Nothing is trained then, so that there is no result."""
    monkeypatch.setattr(width.Width, "pays", True)
    monkeypatch.setattr(width.Width, "known", {})
    timed = width._seconds

    def pressed(*args):
        signal.raise_signal(signal.SIGINT)
        return timed(*args)

    monkeypatch.setattr(width, "_seconds", pressed)
    with pytest.raises(KeyboardInterrupt, match="before the first evaluation"):
        tune(DESCENT, DESCENT_SPACE, scheduler=HALVING)

    def hangs(*args):
        signal.raise_signal(signal.SIGINT)
        raise Busy(device=True)

    monkeypatch.setattr(width, "_seconds", hangs)
    with pytest.raises(KeyboardInterrupt, match="before the first evaluation: the device is still busy"):
        tune(DESCENT, DESCENT_SPACE, scheduler=HALVING)


def test_ctrl_c_in_a_slow_step(own_handler, monkeypatch):
    """100 steps of all lanes would take a quarter of a minute: calls are shorter, so that there is a result."""
    matrix = np.random.default_rng(0).normal(size=(128, 128)).astype(np.float32) / 12

    def step(key, x, batch, hp):
        return jax.lax.fori_loop(0, 200, lambda i, x: jnp.tanh(hp["lr"] * x @ matrix), x), {}

    task = jt.Task(
        init=lambda key, hp: jax.random.normal(key, (128, 128)),
        step=step,
        evaluate=lambda key, x, data, hp: {"loss": jnp.mean(x**2)},
    )
    train = group.Group.train

    def pressed(self, *args):
        for done in train(self, *args):
            signal.raise_signal(signal.SIGINT)
            yield done

    monkeypatch.setattr(group.Group, "train", pressed)
    monkeypatch.setattr(host, "GRACE", 60.0)
    result = tune(task, {"lr": jt.Uniform(0.5, 1.0)}, scheduler=jt.FullBudget(8, 100))
    assert result.interrupted
    assert result.best.steps == result.history.step[-1] <= 20


def test_ctrl_c_where_the_first_group_was_pruned(own_handler):
    sampler = Listed.of(*({"lr": lr, "size": size} for lr, size in ((1e-4, 2), (2e-4, 2), (1e-2, 3), (9e-3, 3))))
    result = tune(
        _SIZED,
        DESCENT_SPACE | {"size": jt.Choice((2, 3), static=True)},
        scheduler=jt.SuccessiveHalving(trials=4, min_steps=100, max_steps=100_000, eta=1000),
        sampler=sampler,
        callback=lambda result: signal.raise_signal(signal.SIGINT),
    )
    assert result.history.step[-1] < 100_000


def _sized_init(key, hp):
    x = jnp.ones(hp["size"]) + jax.random.uniform(key, (hp["size"],))
    return {"x": x, "x0": x, "count": jnp.int32(0)}


_SIZED = DESCENT.replace(init=_sized_init)


def test_ctrl_c_before_anything_is_finished(monkeypatch):
    spawn = group.Group.spawn

    def interrupted(self, hp):
        signal.raise_signal(signal.SIGINT)
        spawn(self, hp)

    monkeypatch.setattr(group.Group, "spawn", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tune(DESCENT, DESCENT_SPACE, scheduler=HALVING)


def test_ctrl_c_twice_raises():
    def press_twice(result):
        gc.disable()  # an exception that happens to come up in a callback of the collector is lost
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        tune(DESCENT, DESCENT_SPACE, scheduler=HALVING, callback=press_twice)
    gc.enable()
    assert signal.getsignal(signal.SIGINT) is before


def test_another_thread_may_tune():
    """Only the main thread may set signal handlers."""
    results = []
    thread = threading.Thread(target=lambda: results.append(tune(DESCENT, DESCENT_SPACE, scheduler=HALVING)))
    thread.start()
    thread.join()
    assert_equal_results(results[0], tune(DESCENT, DESCENT_SPACE, scheduler=HALVING))


# Static hyperparameters

WIDE_SPACE = NET_SPACE | {"width": jt.Choice((4, 8))}


def test_each_width_is_trained_as_if_alone():
    scheduler = jt.FullBudget(trials=7, steps=60)
    result = tune(NET, WIDE_SPACE, scheduler=scheduler, placement=TWO)
    widths = [t.hparams["width"] for t in result.trials]
    assert set(widths) == {4, 8}
    for size in (4, 8):
        trials = [t for t in result.trials if t.hparams["width"] == size]
        sampler = Listed.of(*({"lr": t.hparams["lr"], "dropout": t.hparams["dropout"]} for t in trials))
        options = {"scheduler": jt.FullBudget(len(trials), 60), "sampler": sampler, "placement": TWO}
        alone = tune(NET, NET_SPACE | {"width": size}, **options)
        losses = [t.metrics["loss"] for t in trials]
        np.testing.assert_allclose([t.metrics["loss"] for t in alone.trials], losses, rtol=1e-3)
    assert result.best.state["weights"]["in"].shape == (4, result.best.hparams["width"])


def test_all_groups_are_ranked_together():
    result = tune(NET, WIDE_SPACE, scheduler=HALVING, placement=TWO)
    losses, active = result.history.metrics["loss"].mean(axis=1), result.history.active
    for e, kept in ((0, 3), (1, 1)):
        ranked = sorted(np.flatnonzero(active[e]), key=lambda t, e=e: losses[e, t])
        assert np.flatnonzero(active[e + 1]).tolist() == sorted(ranked[:kept])
    np.testing.assert_allclose(evaluated(NET, result.best)["loss"], result.best.metrics["loss"], rtol=1e-4)


def test_weights_are_copied_inside_a_group_only():
    scheduler = jt.PopulationBasedTraining(trials=8, steps=40, interval=10)
    result = tune(NET, WIDE_SPACE, scheduler=scheduler, placement=TWO)
    widths = np.array([t.hparams["width"] for t in result.trials])
    assert (result.history.source != np.arange(8)).any()
    assert (widths[result.history.source] == widths).all()


def test_too_many_programs_are_refused():
    space = NET_SPACE | {"width": jt.Choice(tuple(range(2, 12)))}
    placement = jt.Placement(devices=ONE.devices, max_programs=4)
    message = r"10 combinations of static .*Placement\(max_programs=4\); 'width' alone has 10"
    with pytest.raises(ValueError, match=message):
        tune(NET, space, scheduler=jt.FullBudget(trials=64, steps=10), placement=placement)


def test_options_that_no_trial_has_need_no_program():
    space = NET_SPACE | {"width": jt.Choice(tuple(range(2, 12)))}
    sampler = Listed.of({"lr": 0.01, "dropout": 0.1, "width": 4}, {"lr": 0.02, "dropout": 0.1, "width": 4})
    placement = jt.Placement(devices=ONE.devices, max_programs=1)
    result = tune(NET, space, scheduler=jt.FullBudget(2, 60), sampler=sampler, placement=placement)
    assert [t.hparams["width"] for t in result.trials] == [4, 4]


# Population-based training


def test_lineage_replays_the_winner():
    """Its hyperparameters over its steps, followed through all copies, give its weights in one plain run."""
    result = tune(NET, NET_SPACE, scheduler=jt.PopulationBasedTraining(6, 80, interval=10), seed=1)
    copied = [t for t in result.trials if len(t.lineage) > 1]
    assert copied
    best = result.best
    lr, dropout = best.schedule("lr"), best.schedule("dropout")

    def step(key, state, batch, hp, step, total_steps):
        return NET.step(key, state, batch, {"lr": lr(step), "dropout": dropout(step)}, step, total_steps)

    task = NET.replace(step=step, evaluate=lambda key, state, data, hp: NET.evaluate(key, state, data, hp))
    replayed = tune(task, {}, scheduler=jt.FullBudget(trials=1, steps=80), seed=1).best
    np.testing.assert_allclose(replayed.metrics["loss"], best.metrics["loss"], rtol=1e-3)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-2, atol=1e-3), replayed.state, best.state)


def test_every_lineage_in_closed_form():
    result = tune(DESCENT, DESCENT_SPACE, scheduler=jt.PopulationBasedTraining(6, 80, interval=10), seed=1)
    assert any(len(trial.lineage) > 1 for trial in result.trials)
    for trial in result.trials:
        rates = np.asarray(trial.schedule("lr")(np.arange(80)), np.float64)
        expected = trial.metrics["start"] * np.prod(1 - 2 * rates) ** 2
        np.testing.assert_allclose(trial.metrics["loss"], expected, rtol=1e-4)
        assert trial.hparams["lr"] == pytest.approx(rates[-1])
        for start, slot in trial.lineage:
            e = start // 10
            assert result.history.schedule["lr"][e, slot] == pytest.approx(rates[start])


def test_mixed_numbers_of_a_choice_are_reported_as_they_were_used():
    """PBT over 1, 0.5, 2.5: an int among floats must not round what is reported."""
    task = DESCENT.replace(
        step=lambda key, state, batch, hp: (state, {}), evaluate=lambda key, state, data, hp: {"lr": hp["lr"] * 1.0}
    )
    scheduler = jt.PopulationBasedTraining(8, 40, 10)
    result = tune(task, {"lr": jt.Choice((1, 0.5, 2.5, 1.5))}, scheduler=scheduler, metric="lr", mode="max")
    assert [t.hparams["lr"] for t in result.trials] == [t.metrics["lr"] for t in result.trials]


def test_groups_must_report_the_same_metrics():
    def evaluate(key, state, data, hp):
        return {"loss": hp["lr"] * 1.0} | ({"extra": hp["lr"] * 2.0} if hp["k"] == "a" else {})

    space = DESCENT_SPACE | {"k": jt.Choice(("a", "b"))}
    with pytest.raises(ValueError, match="same metrics and logs.*extra"):
        tune(DESCENT.replace(evaluate=evaluate), space, scheduler=jt.FullBudget(8, 10))


def test_brackets_of_groups_under_exploits_are_the_groups():
    def evaluate(key, state, data, hp):
        return {"loss": hp["lr"] * (1.0 if hp["k"] == "a" else 2.0)}

    space = DESCENT_SPACE | {"k": jt.Choice(("a", "b"))}
    result = tune(DESCENT.replace(evaluate=evaluate), space, scheduler=jt.PopulationBasedTraining(8, 20, 10))
    assert {(t.hparams["k"], t.bracket) for t in result.trials} == {("a", 0), ("b", 1)}


def test_a_state_without_arrays_can_be_tested():
    task = DESCENT.replace(
        init=lambda key, hp: {},
        step=lambda key, state, batch, hp: (state, {"loss": hp["lr"] * 1.0}),
        evaluate=lambda key, state, data, hp: {"loss": hp["lr"] * 1.0},
        test=np.zeros(3, np.float32),
    )
    result = tune(task, DESCENT_SPACE, scheduler=jt.FullBudget(4, 10), replicates=2)
    assert result.test()["loss"] == pytest.approx(result.best.hparams["lr"], rel=1e-6)


def test_the_wrong_direction_is_warned_of():
    with pytest.warns(UserWarning, match="^mode='max' looks for the worst 'loss', which is better the other way"):
        worst = tune(DESCENT, DESCENT_SPACE, scheduler=jt.FullBudget(3, 10), mode="max").best
    assert worst.metrics["loss"] > tune(DESCENT, DESCENT_SPACE, scheduler=jt.FullBudget(3, 10)).best.metrics["loss"]


def test_the_best_is_shown_at_its_own_step():
    evaluate = lambda key, state, data, hp: {"loss": jnp.abs(state["count"] - 20.0)}  # noqa: E731
    task = DESCENT.replace(evaluate=evaluate)
    options = {"scheduler": jt.FullBudget(2, 40), "evaluate_every": 10}
    assert "loss 0 (min) at step 20\n" in repr(tune(task, DESCENT_SPACE, keep="best", **options))
    assert "loss 20 (min) after 40 steps\n" in repr(tune(task, DESCENT_SPACE, **options))
