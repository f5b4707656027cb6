"""Searches of several generations: what each is given, what comes of all, and how they go on in folders."""

import math
import os
import pickle
import signal
import threading
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from runs import assert_same
from toys import DESCENT, DESCENT_SPACE, NET, NET_SPACE, ONE

import jaxtune as jt
from jaxtune.engine.groups import Groups
from jaxtune.samplers.sampler import Observed
from jaxtune.samplers.tpe import good_and_others
from jaxtune.storage.checkpoints import Checkpoints

tune = partial(jt.tune, progress=False, placement=ONE)
HALVING = jt.SuccessiveHalving(8, 5, 20, eta=2)
KEY = jax.random.key(0)


@dataclass(frozen=True)
class Noting:
    """Tells what it sees, and proposes as another sampler."""

    heard: list
    then: Any = jt.Random()  # noqa: RUF009 - a frozen value

    def __hash__(self):
        return id(self.heard)

    def __call__(self, key, space, history, num_points):
        if history is not None:
            jax.debug.callback(lambda **fields: self.heard.append(fields), ordered=True, **history._asdict())
        return self.then(key, space, history, num_points)


@pytest.fixture(scope="module")
def three():
    return tune(NET, NET_SPACE, scheduler=HALVING, generations=3)


def test_one_generation_is_a_search_as_before():
    assert_same(tune(NET, NET_SPACE, scheduler=HALVING, generations=1), tune(NET, NET_SPACE, scheduler=HALVING))


def test_the_first_generation_is_the_search_of_one(three):
    one = tune(NET, NET_SPACE, scheduler=HALVING)
    np.testing.assert_array_equal(three.history.metrics["loss"][:3, :, :8], one.history.metrics["loss"])


def test_trials_of_all_are_counted_and_ranked_together(three):
    assert [trial.id for trial in three.trials] == list(range(24))
    assert [trial.generation for trial in three.trials] == [0] * 8 + [1] * 8 + [2] * 8
    assert three.history.lane_steps[-1] == 3 * HALVING.plan().trial_steps
    values = [trial.metrics["loss"] for trial in three.trials if trial.status == "finished"]
    assert len(values) == 6
    assert three.best.metrics["loss"] == min(values)
    assert not three.interrupted
    assert len({tuple(trial.hparams.items()) for trial in three.trials}) == 24


def test_a_sequence_goes_on_through_all_generations():
    every = tune(DESCENT, DESCENT_SPACE, scheduler=jt.FullBudget(32, 2))
    parts = tune(DESCENT, DESCENT_SPACE, scheduler=jt.FullBudget(8, 2), generations=4)
    assert [t.hparams for t in parts.trials] == [t.hparams for t in every.trials]


def test_each_generation_has_its_own_initial_weights_and_trials_of_one_share_them():
    task = DESCENT
    found = tune(task, DESCENT_SPACE, scheduler=jt.FullBudget(4, 2), generations=3)
    starts = np.reshape([trial.metrics["start"] for trial in found.trials], (3, 4))
    assert (starts == starts[:, :1]).all()
    assert len(set(starts[:, 0].tolist())) == 3


def test_samplers_see_every_evaluation_of_all_trials_before():
    heard = []
    found = tune(NET, NET_SPACE, scheduler=HALVING, generations=3, sampler=Noting(heard), replicates=2)
    jax.effects_barrier()
    seen = [fields for fields in heard if fields["count"] == 16][-1]
    assert {int(fields["count"]) for fields in heard} == {8, 16}
    assert seen["points"].shape == (16, 2)
    assert seen["steps"].tolist() == [5, 10, 20]
    space = jt.Space.of(NET_SPACE)
    np.testing.assert_allclose(seen["points"], [space.encode(t.hparams) for t in found.trials[:16]], atol=1e-6)
    for t in range(16):
        e = 3 * (t // 8)
        values = found.history.metrics["loss"][e : e + 3, :, t]  # [3, R]
        np.testing.assert_allclose(seen["values"][t], values.mean(axis=1), rtol=1e-6)
        np.testing.assert_allclose(seen["errors"][t], values.std(axis=1, ddof=1) / 2**0.5, rtol=1e-4)
    assert seen["generation"].tolist() == [0] * 8 + [1] * 8
    assert not seen["failed"].any()


def test_samplers_see_what_failed_and_which_way_is_better():
    heard = []
    space = {"lr": jt.LogUniform(1e-3, 1e9), "dropout": 0.1}
    found = tune(NET, space, scheduler=jt.FullBudget(8, 20), generations=2, sampler=Noting(heard), mode="max")
    jax.effects_barrier()
    (seen,) = heard
    np.testing.assert_array_equal(seen["failed"], found.history.failed[:8])
    assert 0 < seen["failed"].sum() < 8
    assert np.isnan(seen["values"][seen["failed"]]).all()
    best = np.nanargmin(seen["values"][:, 0])
    assert found.trials[best].metrics["loss"] == np.nanmax([t.metrics["loss"] for t in found.trials[:8]])


def test_hyperband_with_tpe_learns_from_all_rungs_of_all_brackets_as_bohb():
    heard = []
    scheduler = jt.Hyperband(min_steps=2, max_steps=8, eta=2)
    found = tune(DESCENT, DESCENT_SPACE, scheduler=scheduler, sampler=Noting(heard, jt.TPE()), generations=2)
    jax.effects_barrier()
    (fields,), count = heard, len(found.trials) // 2
    seen, first = Observed(**fields), found.trials[:count]
    assert {trial.bracket for trial in first} == {0, 1, 2}
    for trial in first:  # at all rungs that it came to, of other brackets too
        rungs = [step for step in (2, 4, 8) if step <= trial.steps]
        assert seen.steps[np.isfinite(seen.values[trial.id])].tolist() == rungs
    # BOHB models the best share; of which rung, it leaves to how deep trials came: deepest first, then by value there
    order = sorted(first, key=lambda trial: (-trial.steps, trial.metrics["loss"]))
    good, others = good_and_others(jt.Space.of(DESCENT_SPACE), seen, 0.15)
    wanted = {trial.id for trial in order[: math.ceil(0.15 * count)]}
    assert set(np.flatnonzero(good.member)) == wanted
    assert set(np.flatnonzero(others.member)) == set(range(count)) - wanted
    rates = [np.mean([np.log(t.hparams["lr"]) for t in part]) for part in (first, found.trials[count:])]
    assert rates[1] > rates[0]  # the largest is the best


def test_an_earlier_search_is_seen_too():
    heard = []
    first = tune(NET, NET_SPACE, scheduler=jt.FullBudget(8, 7))
    found = tune(NET, NET_SPACE, scheduler=HALVING, generations=2, sampler=Noting(heard), previous=first, seed=1)
    jax.effects_barrier()
    assert [int(fields["count"]) for fields in heard] == [8, 16]
    assert heard[1]["steps"].tolist() == [5, 7, 10, 20]
    assert heard[1]["generation"].tolist() == [0] * 8 + [1] * 8
    assert [t.generation for t in found.trials] == [0] * 8 + [1] * 8 + [2] * 8


def test_trials_of_another_space_are_counted():
    first = tune(NET, {**NET_SPACE, "lr": jt.LogUniform(1e-5, 3e-2)}, scheduler=jt.FullBudget(8, 7))
    outside = sum(trial.hparams["lr"] < 1e-3 for trial in first.trials)
    heard = []
    with pytest.warns(UserWarning, match=f"{outside} trials of previous are none of this space"):
        tune(NET, NET_SPACE, scheduler=jt.FullBudget(8, 7), sampler=Noting(heard), previous=first, seed=1)
    jax.effects_barrier()
    assert [int(fields["count"]) for fields in heard] == [8 - outside]


def test_given_points_are_tried_once():
    sampler = jt.Points([{"lr": 0.01, "dropout": 0.2}])
    found = tune(NET, NET_SPACE, scheduler=jt.FullBudget(4, 2), generations=3, sampler=sampler)
    assert sum(t.hparams["dropout"] == pytest.approx(0.2, rel=1e-4) for t in found.trials) == 1


def test_programs_of_the_first_train_all_others(compiled):
    tune(NET, NET_SPACE, scheduler=HALVING)
    assert compiled
    compiled.clear()
    tune(NET, NET_SPACE, scheduler=HALVING, generations=4)
    assert not compiled


@pytest.mark.parametrize("replicates", [1, 2])
def test_search_is_the_same_as_one_program(replicates):
    options = {"scheduler": HALVING, "generations": 3, "replicates": replicates, "sampler": jt.Random()}
    wanted = tune(NET, NET_SPACE, **options)
    run = jax.jit(lambda key, task: jt.search(key, task, NET_SPACE, **options))
    found = run(KEY, NET)
    losses = [trial.metrics["loss"] for trial in wanted.trials]
    # With JAX 0.12 last bits differ where several generations are one program.
    off = 0.0 if jax.__version__.startswith("0.10.") else 1e-6
    np.testing.assert_allclose(found.metrics["loss"], np.float32(losses), rtol=off)
    assert int(found.best) == wanted.best.id
    for a, b in zip(jax.tree.leaves(found.state), jax.tree.leaves(wanted.best.states), strict=True):
        np.testing.assert_allclose(a, b, rtol=off, atol=off)
    assert found.steps.tolist() == [trial.steps for trial in wanted.trials]


def test_what_all_generations_lost_has_no_best():
    space = {"lr": jt.LogUniform(1e6, 1e8), "dropout": 0.1}
    found = tune(NET, space, scheduler=HALVING, generations=2)
    assert found.history.failed.all()
    assert found.history.num_trials == 16


def test_a_plan_counts_all_of_them():
    one, four = (jt.plan(NET, NET_SPACE, scheduler=HALVING, generations=n, placement=ONE) for n in (1, 4))
    assert four.lane_steps == 4 * one.lane_steps
    assert four.programs == one.programs
    assert "2 to step 20, 4 times" in str(four)


# Ends


def test_a_callback_ends_all_generations(three):
    seen = []

    def callback(result):
        seen.append(result.history.num_trials)
        return len(seen) == 5

    found = tune(NET, NET_SPACE, scheduler=HALVING, generations=3, callback=callback)
    assert seen == [8, 8, 8, 16, 16]
    assert found.interrupted
    assert found.trials[0].status.kind in ("finished", "pruned")
    assert found.best.states is not None
    np.testing.assert_array_equal(found.history.metrics["loss"], three.history.metrics["loss"][:5, :, :16])


def test_a_callback_may_end_it_between_two_generations():
    found = tune(
        NET, NET_SPACE, scheduler=HALVING, generations=3, callback=lambda result: len(result.history.step) == 3
    )
    assert found.interrupted
    assert found.history.num_trials == 8
    assert {trial.status.kind for trial in found.trials} == {"finished", "pruned"}


def test_a_time_limit_ends_it_after_the_first_evaluation():
    assert tune(NET, NET_SPACE, scheduler=HALVING, generations=1000, time_limit=0).interrupted


def test_ctrl_c_keeps_what_is_known():
    begun = threading.Event()

    def press():
        begun.wait(60)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    found = tune(NET, NET_SPACE, scheduler=HALVING, generations=10_000, callback=lambda result: begun.set())
    thread.join()
    assert found.interrupted
    assert found.best.states is not None


def test_winners_are_replayed_with_the_keys_of_their_generation():
    found = tune(NET, NET_SPACE, scheduler=HALVING, generations=3, keep_weights=6)
    for trial in found.ranking[:6]:
        winner = found.weights[trial.id]
        assert winner.search.generation == trial.generation
        np.testing.assert_allclose(winner.metrics("validation")["loss"], trial.metrics["loss"], rtol=1e-5)
        again = pickle.loads(pickle.dumps(winner))
        assert again.search["generation"] == trial.generation


# Folders


def cut_off(space, folder, **options):
    """What a search finds that is interrupted at every evaluation."""
    options = {"directory": folder, "callback": lambda result: True, "checkpoint_every": 0} | options
    while (found := tune(NET, space, **options)).interrupted:
        pass
    return found


@pytest.mark.parametrize("space", [NET_SPACE, {**NET_SPACE, "width": jt.Choice((4, 8), static=True)}])
def test_a_search_that_is_cut_off_comes_to_the_same_end(space, tmp_path):
    options = {"scheduler": HALVING, "generations": 3, "keep_weights": 3, "checkpoint_every": 0}
    wanted = tune(NET, space, **options)
    cuts = 0
    while (found := tune(NET, space, directory=tmp_path, callback=lambda result: True, **options)).interrupted:
        cuts += 1
        assert jt.load(tmp_path).history.num_trials == found.history.num_trials
    assert cuts == 8
    assert_same(found, wanted)
    assert_same(tune(NET, space, directory=tmp_path, **options), wanted)
    assert_same(jt.load(tmp_path, NET, space), wanted)


def test_more_generations_extend_a_search_that_is_over(tmp_path):
    common = {"scheduler": HALVING, "checkpoint_every": 0}
    wanted = tune(NET, NET_SPACE, generations=4, **common)
    tune(NET, NET_SPACE, directory=tmp_path, **common)
    assert tune(
        NET, NET_SPACE, directory=tmp_path, generations=4, callback=lambda r: len(r.history.step) == 5, **common
    ).interrupted
    assert not (tmp_path / "results.json").exists()
    assert_same(tune(NET, NET_SPACE, directory=tmp_path, generations=4, **common), wanted)
    assert jt.load(tmp_path).history.num_trials == 32


def test_an_extension_that_was_killed_at_once_leaves_the_result(tmp_path, monkeypatch):
    common = {"scheduler": HALVING, "directory": tmp_path}
    wanted = tune(NET, NET_SPACE, **common)
    with monkeypatch.context() as patched:
        patched.setattr(Checkpoints, "save", lambda *args: (_ for _ in ()).throw(SystemExit))
        patched.setattr(Groups, "spawn", lambda self, standing: (_ for _ in ()).throw(SystemExit))
        with pytest.raises(SystemExit):
            tune(NET, NET_SPACE, generations=2, **common)
    assert_same(jt.load(tmp_path, NET, NET_SPACE), wanted)
    assert_same(tune(NET, NET_SPACE, **common), wanted)
    more = tune(NET, NET_SPACE, generations=2, **common)
    assert_same(more, tune(NET, NET_SPACE, scheduler=HALVING, generations=2))
    assert_same(jt.load(tmp_path, NET, NET_SPACE), more)


def test_groups_that_differ_between_generations_go_on(tmp_path):
    space = {**NET_SPACE, "width": jt.Choice((3, 4, 5, 6), static=True)}
    common = {"scheduler": jt.FullBudget(3, 6), "evaluate_every": 3, "generations": 3, "sampler": jt.Random()}
    wanted = tune(NET, space, **common)
    assert_same(cut_off(space, tmp_path, **common), wanted)


def test_an_earlier_search_without_weights_or_of_another_space_goes_on(tmp_path):
    first = tune(NET, {**NET_SPACE, "width": 4}, scheduler=jt.FullBudget(8, 20))
    space = {**NET_SPACE, "width": 8}
    common = {"scheduler": HALVING, "generations": 2, "previous": first, "seed": 1, "keep_weights": 20}
    wanted = tune(NET, space, **common)
    assert_same(cut_off(space, tmp_path, **common), wanted)
    assert_same(tune(NET, space, directory=tmp_path, **common), wanted)
    bare = pickle.loads(pickle.dumps(first))
    bare.weights.clear()
    run = tmp_path / "bare"
    for _ in range(2):
        found = tune(NET, space, directory=run, **{**common, "previous": bare})
    assert found.history.num_trials == 24


def test_widths_are_those_of_the_first_generation(monkeypatch, tmp_path):
    common = {"scheduler": HALVING, "generations": 3, "directory": tmp_path, "checkpoint_every": 0}
    wanted = tune(NET, NET_SPACE, scheduler=HALVING, generations=3)
    tune(NET, NET_SPACE, callback=lambda result: len(result.history.step) == 2, **common)
    monkeypatch.setattr("jaxtune.engine.layouts.choose_ladder", lambda *_: pytest.fail("widths were chosen again"))
    assert_same(tune(NET, NET_SPACE, **common), wanted)


def test_who_ran_out_of_patience_is_seen_with_the_value_that_counts():
    heard = []
    space = {"lr": jt.LogUniform(1e-3, 0.5), "dropout": jt.Uniform(0.0, 0.5)}
    options = {"scheduler": jt.FullBudget(16, 40), "evaluate_every": 2, "patience": 2, "generations": 2}
    found = tune(NET, space, sampler=Noting(heard), **options)
    jax.effects_barrier()
    (seen,) = heard
    history = found.history
    early = np.flatnonzero(history.stopped[:16] >= 0)
    assert len(early)
    for t in early:
        assert seen["values"][t, -1] == pytest.approx(found.trials[t].metrics["loss"])


def test_fewer_generations_are_refused(tmp_path):
    tune(NET, NET_SPACE, directory=tmp_path, scheduler=HALVING, generations=2)
    with pytest.raises(ValueError, match="holds more than 1 generation"):
        tune(NET, NET_SPACE, directory=tmp_path, scheduler=HALVING)


# Bad input


@pytest.mark.parametrize("generations", [0, -1, 1.5, "2", True])
def test_generations_are_counted(generations):
    with pytest.raises((TypeError, ValueError), match="generations"):
        tune(NET, NET_SPACE, scheduler=HALVING, generations=generations)


def test_population_based_training_takes_one():
    with pytest.raises(ValueError, match="takes one generation, got 2"):
        tune(NET, NET_SPACE, scheduler=jt.PopulationBasedTraining(4, 20, 10), generations=2)


def test_a_sampler_that_fails_later_loses_nothing():
    @dataclass(frozen=True)
    class Wrong:
        def __call__(self, key, space, history, num_points):
            good = jt.Random()(key, space, history, num_points)
            return good if history is None else good * jnp.nan

    with pytest.raises(ValueError, match=r"got nan") as caught:
        tune(NET, NET_SPACE, scheduler=HALVING, generations=2, sampler=Wrong())
    assert caught.value.result.history.num_trials == 8


def test_small_spaces_are_tried_again_with_a_warning():
    space = {"lr": jt.Choice((0.001, 0.01)), "dropout": jt.Choice((0.0, 0.1))}
    with pytest.warns(UserWarning, match="has only 4 different configurations, 4 of them trained before"):
        found = tune(NET, space, scheduler=jt.FullBudget(4, 2), generations=2)
    assert found.history.num_trials == 8


def _evaluate_valley(key, x, data, hp):
    return {"loss": 10 * (hp["a"] - 0.31) ** 2 + (hp["b"] - 0.77) ** 2 + (hp["c"] - 0.5) ** 2}


VALLEY = jt.Task(init=lambda key, hp: hp["a"], step=lambda key, x, batch, hp: (x, {}), evaluate=_evaluate_valley)
CUBE = {name: jt.Uniform(0.0, 1.0) for name in "abc"}
LEARNING = {"scheduler": jt.SuccessiveHalving(16, 1, 4, eta=2), "generations": 4}


@pytest.mark.parametrize("sampler", [jt.TPE(), jt.Bayesian()], ids=["tpe", "bayesian"])
def test_models_find_better_ones(sampler):
    found, spread = (tune(VALLEY, CUBE, sampler=one, **LEARNING) for one in (sampler, jt.Sobol()))
    assert found.best.metrics["loss"] < 0.5 * spread.best.metrics["loss"]


def test_a_model_in_one_program_is_the_same():
    """It proposes the same, where programs are compiled as users compile them: see test_usual_effort.py."""
    found = tune(VALLEY, CUBE, sampler=jt.TPE(), **LEARNING)
    run = jax.jit(lambda key, task: jt.search(key, task, CUBE, sampler=jt.TPE(), **LEARNING))
    here, there = run(KEY, VALLEY).metrics["loss"], np.float32([t.metrics["loss"] for t in found.trials])
    np.testing.assert_allclose(here[:16], there[:16], rtol=1e-5)
    if "optimization_level=0" not in os.environ.get("XLA_FLAGS", ""):
        np.testing.assert_allclose(here, there, rtol=1e-5)  # the valley itself is rounded in another way


def test_models_with_too_few_trials_say_so_once():
    space = {"lr": jt.LogUniform(1e6, 1e8), "dropout": 0.1}
    words = "needs 3 trials that succeeded before it, and has seen 0: generation 2 is"
    with pytest.warns(UserWarning, match=words) as w:
        found = tune(NET, space, scheduler=jt.FullBudget(4, 20), generations=3, sampler=jt.Bayesian())
    assert sum("needs 3 trials" in str(one.message) for one in w) == 1
    assert len({t.hparams["lr"] for t in found.trials}) == 12
    with pytest.warns(UserWarning, match="with generations=1 it learns nothing"):
        tune(NET, NET_SPACE, scheduler=jt.FullBudget(2, 2), sampler=jt.TPE())
