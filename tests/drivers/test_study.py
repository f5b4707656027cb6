"""Checkpoints, early stopping, continued searches, conditional spaces, constraints and observers in `tune`."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from counting import COUNTING, LR, VALLEY, VALLEY_SPACE, valley
from toys import DESCENT, DESCENT_SPACE, NET, NET_SPACE, Listed, X, Y, tune

import jaxtune as jt
from jaxtune.drivers.observing import of_previous
from jaxtune.spaces.space import Space
from jaxtune.tasks.problem import resolve


def hiked(*configurations, scheduler=None, steps=50, **options):
    """A search over these (lr, offset) of `VALLEY`, looked at every 5 steps."""
    sampler = Listed.of(*({"lr": lr, "offset": offset} for lr, offset in configurations))
    scheduler = scheduler or jt.FullBudget(len(configurations), steps)
    return tune(VALLEY, VALLEY_SPACE, scheduler=scheduler, sampler=sampler, **{"evaluate_every": 5, **options})


# The best checkpoint

EARLY, LATE = (0.1, 0.0), (0.02, 0.5)  # lowest after 10 and after 50 updates


def test_the_best_checkpoint_counts():
    result = hiked(EARLY, LATE, keep="best")
    early, late = result.trials
    assert (result.best.id, early.best_step, late.best_step) == (0, 10, 50)
    assert early.metrics["loss"] == pytest.approx(0.0, abs=1e-6)
    assert early.metrics["count"] == 10  # all metrics are of that evaluation
    assert early.steps == late.steps == 50
    assert early.status == late.status == "finished"
    np.testing.assert_array_equal(result.best.states["count"], [10])
    for name, values in result.winner.metrics("validation").items():
        np.testing.assert_array_equal(values, result.best.replicates[name])


def test_the_last_value_counts_otherwise():
    result = hiked(EARLY, LATE, keep="last")
    assert [trial.id for trial in result.ranking] == [1, 0]
    assert result.trials[0].metrics["loss"] == pytest.approx(valley(*EARLY, 50), rel=1e-5)
    assert result.trials[0].best_step == result.trials[1].best_step == 50
    np.testing.assert_array_equal(result.best.states["count"], [50])


@pytest.mark.parametrize("metric", ["loss", "gain"])
def test_rungs_rank_by_the_best_value(metric):
    """At step 25 the early trial is far above its best; it goes on, in smaller arrays, with its checkpoint."""
    others = [(0.04, 0.1 * n) for n in range(1, 7)]
    scheduler = jt.SuccessiveHalving(7, 25, 75, eta=3)
    mode = "min" if metric == "loss" else "max"
    result = hiked(*others, EARLY, scheduler=scheduler, keep="best", metric=metric, mode=mode)
    assert result.best.id == 6
    assert (result.best.best_step, result.best.status) == (10, "finished")
    np.testing.assert_array_equal(result.best.states["count"], [10])
    last = hiked(*others, EARLY, scheduler=scheduler, keep="last", metric=metric, mode=mode)
    assert last.trials[6].status == "pruned at step 25"
    assert last.best.id == 0


def test_the_checkpoint_of_a_network_that_overfits():
    """On a real task: the weights that `best` hands out are those of the lowest curve point."""
    result = tune(
        NET, NET_SPACE, scheduler=jt.FullBudget(6, 300), evaluate_every=20, keep="best", replicates=2, metric="error",
        mode="min",
    )  # fmt: skip
    curve = result.curves("error")
    best = result.best
    assert best.best_step == curve["steps"][np.argmin(curve["error"][best.id])] < 300
    assert best.metrics["error"] == pytest.approx(curve["error"].min())
    hidden = np.tanh(NET.validation[0] @ best.states["weights"]["in"])  # [R, V, hidden]
    errors = np.abs(hidden @ best.states["weights"]["out"] - NET.validation[1]).mean(axis=(1, 2))
    np.testing.assert_allclose(best.replicates["error"], errors, rtol=1e-5)
    np.testing.assert_allclose(result.winner.metrics("validation")["error"], errors, rtol=1e-5)


def test_checkpoints_do_not_change_training():
    options = {"scheduler": jt.FullBudget(6, 40), "evaluate_every": 20, "replicates": 2}
    kept, plain = (tune(NET, NET_SPACE, keep=keep, **options) for keep in ("best", "last"))
    np.testing.assert_array_equal(kept.curves()["loss"], plain.curves()["loss"])


# Patience


def test_a_trial_without_improvement_stops():
    """The lowest value comes after 10 steps; two evaluations later patience is over."""
    result = hiked(EARLY, LATE, patience=2, keep="best")
    early, late = result.trials
    assert (early.status, early.steps, early.best_step) == ("stopped early at step 20", 20, 10)
    assert (late.status, late.steps) == ("finished", 50)
    assert result.history.lane_steps[-1] == 20 + 50
    assert result.history.lane_steps.tolist() == [*range(10, 41, 10), *range(45, 71, 5)]
    assert result.best.id == 0  # it competes with the value it has,
    np.testing.assert_array_equal(result.best.states["count"], [10])  # and its weights are there
    assert result.winner.metrics("validation")["loss"][0] == result.best.metrics["loss"]


def test_without_checkpoints_the_last_weights_count():
    result = hiked((0.1, 0.0), (0.01, 2.0), patience=1)
    assert result.best.status == "stopped early at step 15"
    np.testing.assert_array_equal(result.best.states["count"], [15])
    assert result.best.metrics["loss"] == pytest.approx(valley(0.1, 0.0, 15), rel=1e-5)


def test_stopped_trials_are_pruned_at_rungs():
    good = (0.04, 0.0)  # lowest after 25
    bad = [(0.2, 0.1 * n) for n in range(1, 9)]  # lowest after 5
    result = hiked(*bad, good, scheduler=jt.SuccessiveHalving(9, 25, 75, eta=3), patience=1, keep="best")
    statuses = [trial.status for trial in result.trials]
    assert statuses[2:8] == ["pruned at step 25"] * 6
    assert [trial.steps for trial in result.trials[:8]] == [10] * 8
    assert result.best.id == 8
    assert result.best.best_step == 25
    assert statuses[:2] == ["stopped early at step 10"] * 2  # among the three that go on


def test_a_search_whose_trials_all_stop_ends():
    result = hiked((0.2, 0.5), (0.1, 0.2), (0.05, 0.1), patience=1, steps=500)
    assert result.history.step[-1] == 25
    assert [trial.status for trial in result.trials] == [f"stopped early at step {n}" for n in (10, 15, 25)]
    assert not result.interrupted
    assert result.best.id == int(np.argmin([valley(0.2, 0.5, 10), valley(0.1, 0.2, 15), valley(0.05, 0.1, 25)]))
    assert result.best.states is not None


def test_of_equal_stopped_trials_the_lower_id_wins_with_its_weights():
    """The other one stopped first and was saved first; both are at 0.25 then."""

    def evaluate(key, state, data, hp):
        fallen = jnp.where(state["count"] * hp["lr"] >= 1.0, 0.25, 0.5)
        return {"loss": fallen + 0.0 * hp["offset"], "count": state["count"]}

    result = tune(
        VALLEY.replace(evaluate=evaluate), VALLEY_SPACE, scheduler=jt.FullBudget(2, 100), evaluate_every=5, patience=2,
        keep="best", sampler=Listed.of({"lr": 0.1, "offset": 1.0}, {"lr": 0.2, "offset": 1.0}),
    )  # fmt: skip
    assert [trial.status for trial in result.trials] == ["stopped early at step 20", "stopped early at step 15"]
    assert result.best.id == 0
    np.testing.assert_array_equal(result.best.states["count"], [10])


def test_a_pruned_trial_does_not_keep_the_place_of_the_winner():
    """The first to stop is pruned; the one that pruned it stops later, with a worse value, and still wins."""

    def evaluate(key, state, data, hp):
        early = hp["lr"] > 0.15
        rising = jnp.where(state["count"] <= 15, 0.4, 0.1 * state["count"])
        return {"loss": jnp.where(early, 0.5, rising) + 0.0 * hp["offset"]}

    result = tune(
        VALLEY.replace(evaluate=evaluate), VALLEY_SPACE, scheduler=jt.SuccessiveHalving(2, 15, 30, eta=2),
        evaluate_every=5, patience=2, sampler=Listed.of({"lr": 0.2, "offset": 1.0}, {"lr": 0.1, "offset": 1.0}),
    )  # fmt: skip
    assert [trial.status for trial in result.trials] == ["pruned at step 15", "stopped early at step 15"]
    assert result.best.states is not None


def test_a_later_stop_with_a_worse_value_still_has_its_weights():
    """As above, but with a stop after the rung."""

    def evaluate(key, state, data, hp):
        early = hp["lr"] > 0.15
        rising = jnp.where(state["count"] <= 15, 1.0 - 0.04 * state["count"], 0.1 * state["count"])
        return {"loss": jnp.where(early, 0.5, rising) + 0.0 * hp["offset"], "count": state["count"]}

    result = tune(
        VALLEY.replace(evaluate=evaluate), VALLEY_SPACE, scheduler=jt.SuccessiveHalving(2, 15, 60, eta=4),
        evaluate_every=5, patience=2, sampler=Listed.of({"lr": 0.2, "offset": 1.0}, {"lr": 0.1, "offset": 1.0}),
    )  # fmt: skip
    assert [trial.status for trial in result.trials] == ["pruned at step 15", "stopped early at step 25"]
    assert result.best.metrics["loss"] == 2.5
    np.testing.assert_array_equal(result.best.states["count"], [25])


@pytest.mark.parametrize("options", [{"keep": "best"}, {"patience": 3}], ids=["keep", "patience"])
def test_population_based_training_takes_neither(options):
    scheduler = jt.PopulationBasedTraining(4, 20, 10)
    with pytest.raises(ValueError, match="PopulationBasedTraining replaces the weights"):
        tune(DESCENT, DESCENT_SPACE, scheduler=scheduler, **options)


@pytest.mark.parametrize("options", [{"keep": "first"}, {"patience": 0}, {"patience": 1.5}], ids=str)
def test_wrong_wishes_are_refused(options):
    with pytest.raises((TypeError, ValueError), match=next(iter(options))):
        tune(DESCENT, DESCENT_SPACE, scheduler=jt.FullBudget(2, 10), **options)


# Going on from an earlier search

HALVING = jt.SuccessiveHalving(9, 10, 90)


def test_trials_of_two_searches():
    first = tune(NET, NET_SPACE, scheduler=HALVING)
    both = tune(NET, NET_SPACE, scheduler=HALVING, previous=first, seed=1)
    assert [trial.id for trial in both.trials] == list(range(18))
    for before, now in zip(first.trials, both.trials, strict=False):
        assert (now.hparams, now.metrics, now.status) == (before.hparams, before.metrics, before.status)
    best = min((t for t in both.trials if t.steps == 90), key=lambda trial: trial.metrics["loss"])
    assert both.best.id == best.id
    assert len(both.ranking) == len(both.records()) == 18
    curves = both.curves("loss")
    assert curves["steps"].tolist() == [10, 30, 90] * 2
    assert np.isnan(curves["loss"][:9, 3:]).all()
    assert np.isnan(curves["loss"][9:, :3]).all()
    spent, best_so_far = both.progress()
    assert spent.tolist() == [*first.progress()[0], *(first.progress()[0] + first.progress()[0][-1])]
    assert (np.diff(best_so_far) <= 0).all()
    assert best_so_far[-1] == min(np.nanmin(curves["loss"]), first.progress()[1][-1])
    assert "18 trials" in repr(both)


@pytest.mark.parametrize("earlier", [True, False], ids=["earlier", "later"])
def test_the_best_of_both_has_its_weights(earlier):
    good, bad = {"lr": 0.01, "dropout": 0.0}, {"lr": 0.001, "dropout": 0.4}
    one, two = (good, bad) if earlier else (bad, good)
    task = NET.replace(test=NET.validation)
    options = {"scheduler": jt.FullBudget(1, 100)}
    first = tune(task, NET_SPACE, sampler=Listed.of(one), **options)
    both = tune(task, NET_SPACE, sampler=Listed.of(two), previous=first, **options)
    assert both.best.id == (0 if earlier else 1)
    assert both.trials[1 - both.best.id].states is None
    assert both.test()["loss"] == pytest.approx(both.best.metrics["loss"], rel=1e-5)
    assert both.refit().steps == 100
    assert both.num_tests == 1
    assert first.num_tests == 0


def test_three_searches():
    results = [None]
    for number in range(3):
        results.append(
            tune(NET, NET_SPACE, scheduler=jt.FullBudget(3, 20 + 10 * number), previous=results[-1], seed=number)
        )
    assert [trial.steps for trial in results[-1].trials] == [20] * 3 + [30] * 3 + [40] * 3
    assert all(trial.status == "finished" for trial in results[-1].trials)
    assert results[-1].best.steps == 40  # values after other numbers of steps are not comparable
    assert len({trial.bracket for trial in results[-1].trials}) == 3


def test_no_configuration_is_trained_twice():
    space = DESCENT_SPACE | {"lr": jt.Choice([n / 1000 for n in range(1, 11)])}
    first = tune(DESCENT, space, scheduler=jt.FullBudget(4, 10))
    both = tune(DESCENT, space, scheduler=jt.FullBudget(6, 10), previous=first)  # the same seed, too
    assert sorted(trial.hparams["lr"] for trial in both.trials) == [n / 1000 for n in range(1, 11)]
    with pytest.warns(UserWarning, match="trained before"):
        tune(DESCENT, space, scheduler=jt.FullBudget(2, 10), previous=both)


def test_samplers_see_earlier_trials():
    seen = []

    class Watching(jt.Random):
        def __call__(self, key, space, history, num_points):
            seen.append(history)
            if history is not None:
                assert history.points.shape == (4, 1)
                assert history.values.shape == (4, 1)
            return jt.Random()(key, space, history, num_points)

    options = {"scheduler": jt.FullBudget(4, 10), "metric": "gain", "mode": "max"}
    space = {"lr": jt.Uniform(0.0, 1.0), "offset": 0.5}
    first = tune(VALLEY, space, sampler=Watching(), **options)
    assert seen == [None]
    both = tune(VALLEY, space, sampler=Watching(), previous=first, **options)
    assert len(seen) > 1
    told = of_previous(resolve(VALLEY, Space.of(space), "gain", "max"), both, np.int32([10]))
    np.testing.assert_allclose(told.points[:, 0], [trial.hparams["lr"] for trial in both.trials], rtol=1e-5)
    np.testing.assert_allclose(told.values[:, 0], [trial.metrics["loss"] for trial in both.trials], rtol=1e-5)
    assert (told.steps.tolist(), told.count, told.failed.any()) == ([10], 8, False)


def test_population_based_training_and_halving_follow_each_other():
    """Rates that were explored keep their course, and those of the other search are constant."""
    pbt, plain = jt.PopulationBasedTraining(6, 40, 10), jt.FullBudget(6, 40)
    sampler = Listed.of(*({"lr": 0.001 * 1.5**n, "dropout": 0.01 * n} for n in range(6)))
    for first, second in ((pbt, plain), (plain, pbt)):
        before = tune(NET, NET_SPACE, scheduler=first)
        options = {"scheduler": second, "sampler": sampler, "seed": 1}
        both, alone = (tune(NET, NET_SPACE, previous=earlier, **options) for earlier in (before, None))
        trials = list(zip(both.trials, [*before.trials, *alone.trials], strict=True))
        for now, then in trials:
            assert now.hparams == then.hparams
            assert now.schedule("lr") == then.schedule("lr")
        explored = [len(now.schedule("lr").values) > 1 for now, _ in trials]
        assert any(explored)
        assert not all(explored)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "error", "mode": "min"}, "metric"),
        ({"mode": "max"}, "mode"),
        ({"replicates": 2}, "replicates"),
        ({"previous": "result"}, "must be a Result"),
    ],
    ids=["metric", "mode", "replicates", "type"],
)
def test_another_kind_of_search_is_no_continuation(options, message):
    first = tune(NET, NET_SPACE, scheduler=jt.FullBudget(2, 10))
    with pytest.raises((TypeError, ValueError), match=message):
        tune(NET, NET_SPACE, scheduler=jt.FullBudget(2, 10), **{"previous": first, **options})


def test_another_task_is_no_continuation():
    first = tune(NET, NET_SPACE, scheduler=jt.FullBudget(2, 10))
    with pytest.raises(ValueError, match="reports"):
        tune(DESCENT, DESCENT_SPACE, scheduler=jt.FullBudget(2, 10), previous=first)


# Conditional spaces

DEEP = {"lr": jt.Uniform(0.3, 0.4), "width": jt.Integer(2, 4)}
BRANCHES = {"kind": jt.Choice({"plain": {"lr": jt.Uniform(0.1, 0.2)}, "deep": DEEP})}


def _kind_init(key, hp):
    assert set(hp) == ({"kind", "lr"} if hp["kind"] == "plain" else {"kind", "lr", "width"})
    size = 1 if hp["kind"] == "plain" else hp["width"]
    return {"x": jnp.zeros(size), "count": jnp.int32(0)}


def _kind_step(key, state, batch, hp):
    return {"x": state["x"] + hp["lr"], "count": state["count"] + 1}, {}


def _kind_evaluate(key, state, data, hp):
    return {"loss": jnp.sum(state["x"]), "size": jnp.int32(state["x"].shape[0])}


KINDS = jt.Task(init=_kind_init, step=_kind_step, evaluate=_kind_evaluate)


def test_conditional_hyperparameters():
    """Branches share a name, and an integer is a shape in one of them only: it becomes static by itself."""
    result = tune(KINDS, BRANCHES, scheduler=jt.FullBudget(24, 10))
    assert {trial.hparams["kind"] for trial in result.trials} == {"plain", "deep"}
    sizes = set()
    for trial in result.trials:
        deep = trial.hparams["kind"] == "deep"
        assert set(trial.hparams) == ({"kind", "lr", "width"} if deep else {"kind", "lr"})
        low, high = (0.3, 0.4) if deep else (0.1, 0.2)
        assert low <= trial.hparams["lr"] <= high
        size = trial.hparams.get("width", 1)
        assert trial.metrics["size"] == size
        assert trial.metrics["loss"] == pytest.approx(10 * size * trial.hparams["lr"], rel=1e-4)
        sizes.add(size)
    assert sizes == {1, 2, 3, 4}
    assert all(record["width"] is None for record in result.records() if record["kind"] == "plain")


def test_conditional_spaces_in_other_searches():
    halving = tune(KINDS, BRANCHES, scheduler=jt.SuccessiveHalving(18, 10, 90))
    best = min(halving.trials, key=lambda trial: 10 * trial.metrics["size"] * trial.hparams["lr"])
    assert halving.best.id == best.id
    assert halving.best.state["count"] == 90
    refit = halving.refit(steps=20)
    assert refit.state["x"].sum() == pytest.approx(20 * refit.hparams["lr"] * len(refit.state["x"]), rel=1e-4)
    both = tune(KINDS, BRANCHES, scheduler=jt.FullBudget(4, 90), previous=halving, seed=1)
    assert len({tuple(trial.hparams.items()) for trial in both.trials}) == 22


def test_conditional_spaces_under_population_based_training():
    """Exploring stays within the branch; the other branch's names never appear."""
    result = tune(KINDS, BRANCHES, scheduler=jt.PopulationBasedTraining(16, 40, 10))
    for trial in result.trials:
        deep = trial.hparams["kind"] == "deep"
        assert set(trial.hparams) == ({"kind", "lr", "width"} if deep else {"kind", "lr"})
        course = trial.schedule("lr")
        low, high = (0.3, 0.4) if deep else (0.1, 0.2)
        assert all(low - 1e-6 <= value <= high + 1e-6 for value in course.values)
        edges = [0, *course.boundaries, 40]
        expected = sum(rate * (b - a) for rate, a, b in zip(course.values, edges, edges[1:], strict=False))
        assert trial.metrics["loss"] == pytest.approx(expected * trial.metrics["size"], rel=1e-3)


# Constraints

COUPLED = jt.constrain({"lr": jt.Uniform(0.0, 1.0), "offset": jt.Uniform(0.0, 1.0)},
                       lambda hp: hp["lr"] + hp["offset"] <= 1.0)  # fmt: skip


def test_constraints_hold_in_every_search():
    result = tune(VALLEY, COUPLED, scheduler=jt.SuccessiveHalving(32, 5, 45))
    assert all(trial.hparams["lr"] + trial.hparams["offset"] <= 1.0 for trial in result.trials)
    assert max(trial.hparams["lr"] + trial.hparams["offset"] for trial in result.trials) > 0.8


@pytest.mark.parametrize("seed", range(3))
def test_constraints_hold_where_trials_explore(seed):
    scheduler = jt.PopulationBasedTraining(16, 40, 4, quantile=0.5, resample_probability=0.5)
    result = tune(VALLEY, COUPLED, scheduler=scheduler, seed=seed)
    lr, offset = (result.history.schedule[name] for name in ("lr", "offset"))  # [E, T], of every interval
    assert (lr + offset <= 1.0 + 1e-6).all()
    assert (lr[0] != lr[-1]).any()
    explored = [trial for trial in result.trials if len(trial.schedule("lr").values) > 1]
    assert explored
    assert all(trial.hparams["lr"] + trial.hparams["offset"] <= 1.0 + 1e-6 for trial in result.trials)


# Observers


def _told_init(key, hp):
    return VALLEY.init(key, hp) | {"sum": jnp.float32(0), "times": jnp.int32(0)}


def _told_step(key, state, batch, hp):
    return state | {"count": state["count"] + 1}, {}


def _observe(state, score, hp):
    return state | {"sum": state["sum"] + score, "times": state["times"] + 1}


TOLD = VALLEY.replace(init=_told_init, step=_told_step, observe=_observe)


@pytest.mark.parametrize(("metric", "mode"), [("loss", "min"), ("gain", "max"), ("gain", "min")])
def test_states_observe_the_score(metric, mode):
    """Every evaluation, after it was made; lower is better."""
    scheduler = jt.SuccessiveHalving(4, 10, 40, eta=2)
    result = tune(TOLD, VALLEY_SPACE, scheduler=scheduler, evaluate_every=5, metric=metric, mode=mode, replicates=2)
    values = result.curves(metric)[metric][result.best.id]
    assert not np.isnan(values).any()
    state = result.best.states
    np.testing.assert_array_equal(state["times"], [8, 8])
    np.testing.assert_allclose(state["sum"], [values.sum() * (1 if mode == "min" else -1)] * 2, rtol=1e-4)


def test_observers_see_hyperparameters_and_steps():
    def observe(state, score, hp, step, total_steps):
        return state | {"sum": hp["lr"] * step / total_steps}

    task = TOLD.replace(observe=observe)
    result = tune(task, VALLEY_SPACE, scheduler=jt.FullBudget(3, 40), evaluate_every=30)
    assert result.best.state["sum"] == pytest.approx(result.best.hparams["lr"], rel=1e-5)


def _plateau(hp):
    return optax.chain(optax.sgd(hp["lr"]), jt.reduce_on_plateau(factor=hp["factor"], patience=2))


def test_reduce_on_plateau_in_a_search():
    """The validation targets are far from where training leads: its score only rises after the first evaluation."""
    import flax.linen as nn

    task = jt.supervised(
        nn.Dense(1), optimizer=_plateau, loss=optax.squared_error, train=(X[:30], Y[:30] + 5.0),
        validation=(X[30:], Y[30:] - 5.0), batch_size=10,
    )  # fmt: skip
    sampler = Listed.of({"lr": 0.01, "factor": 1e-6}, {"lr": 0.01, "factor": 0.5}, {"lr": 0.01, "factor": 1.0 - 1e-6})
    result = tune(
        task, {"lr": 0.01, "factor": jt.Uniform(1e-6, 1.0 - 1e-6)}, scheduler=jt.FullBudget(3, 50),
        evaluate_every=10, sampler=sampler,
    )  # fmt: skip
    frozen, halved, free = result.curves("loss")["loss"]
    np.testing.assert_array_equal(frozen[:3], free[:3])  # not before two evaluations in a row were no better
    np.testing.assert_allclose(frozen[3:], frozen[2], rtol=1e-4)
    assert (np.diff(free) > 1).all()
    assert (frozen[3:] < halved[3:]).all()
    assert (halved[3:] < free[3:]).all()
    scales = [leaf for leaf in jax.tree.leaves(result.best.state) if leaf.shape == () and leaf == np.float32(1e-6)]
    assert scales  # the best is the frozen one, and its state says so


def test_one_group_per_batch_size():
    """Groups of other batch sizes with checkpoints, patience and replicates, all at once."""
    space = LR | {"batch_size": jt.Choice([4, 8])}
    result = tune(
        COUNTING, space, scheduler=jt.FullBudget(6, 30), evaluate_every=10, patience=1, keep="best", replicates=2
    )
    assert {trial.status for trial in result.trials} == {"stopped early at step 20"}  # the loss never changes
    assert {trial.best_step for trial in result.trials} == {10}
    best = result.best
    np.testing.assert_array_equal(best.states["updates"], [10 * 8 // best.hparams["batch_size"]] * 2)
