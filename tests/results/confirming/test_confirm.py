"""Winners trained again on fresh seeds: their values, weights and words, kept and resumed."""

import pickle

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toys import DESCENT, DESCENT_SPACE, NET, NET_SPACE, Listed, descent_loss, tune

import jaxtune as jt
from jaxtune.drivers.confirming import with_confirmation
from jaxtune.engine.host import Host
from jaxtune.results.confirming import rounds

# A task that shows its seed: the loss is what is searched, and the luck of the initial weights.


def _init(key, hp):
    return jax.random.normal(key)


def _step(key, luck, batch, hp):
    return luck, {}


def _evaluate(key, luck, data, hp):
    return {"loss": hp["value"] + hp["luck"] * luck + jnp.mean(data), "luck": luck}


LUCKY = jt.Task(
    init=_init, step=_step, evaluate=_evaluate, train=np.zeros(4, np.float32), validation=np.zeros(4, np.float32),
    test=np.ones(4, np.float32),
)  # fmt: skip
SPACE = {"value": jt.Uniform(0.0, 10.0), "luck": jt.Uniform(0.0, 10.0)}
ROWS = [{"value": v, "luck": x} for v, x in ((1.0, 1.0), (1.25, 0.5), (9.0, 0.25))]


def lucky(rows=ROWS, task=LUCKY, **options):
    return tune(task, SPACE, scheduler=jt.FullBudget(len(rows), 4), sampler=Listed.of(*rows), **options)


@pytest.fixture(scope="module")
def found():
    """A search and its confirmation."""
    result = lucky()
    return result, result.confirm(top=3, replicates=4, progress=False)


def test_values_are_those_of_fresh_seeds(found):
    result, confirmation = found
    best = confirmation.best
    luck = np.asarray(best.states)
    assert len(luck) == len(set(luck.tolist())) == best.replicates["luck"].size >= 4
    assert result.best.metrics["luck"] not in luck
    expected = best.hparams["value"] + best.hparams["luck"] * luck
    np.testing.assert_allclose(best.replicates["loss"], expected, rtol=1e-6)
    assert best.metrics["loss"] == pytest.approx(expected.mean(), rel=1e-6)
    assert best.standard_error["loss"] == pytest.approx(expected.std(ddof=1) / np.sqrt(len(expected)), rel=1e-5)
    assert best.lineage == ((0, best.id),)


def test_all_candidates_share_their_seeds(found):
    """What the luck of a seed is worth differs from candidate to candidate; the luck is the same."""
    _, confirmation = found
    luck = confirmation._confirmed.metrics["luck"][:, 0]
    for candidate, count in enumerate(confirmation._confirmed.seeds):
        np.testing.assert_array_equal(luck[:count, candidate], luck[:count, confirmation._race.order[0]])


def test_records_and_table(found):
    result, confirmation = found
    records = confirmation.records()
    assert [row["trial"] for row in records] == confirmation.ranking
    assert records[0]["trial"] == confirmation.best.id
    assert records[0]["difference"] is not None
    assert sum(row["seeds"] for row in records) <= 12
    assert records[-1]["value"] == 9.0  # so much worse that it was out soon
    assert records[-1]["seeds"] == 2 < records[0]["seeds"]
    for row in records:
        assert row["seen"] == result.trials[row["trial"]].metrics["loss"]
        assert not row["failed"]
    for row in records[1:]:
        assert row["low"] <= row["difference"] <= row["high"]
    assert len(confirmation.table()) == 3
    text = str(confirmation)
    assert "of 12 trainings" in text
    assert f"the search saw {result.trials[records[0]['trial']].metrics['loss']:.4g}" in text


def test_the_same_call_gives_the_same(found):
    result, confirmation = found
    assert result.confirm(top=3, replicates=4, progress=False).records() == confirmation.records()


def test_more_replicates_go_on_with_the_same_seeds(found):
    result, confirmation = found
    more = result.confirm(top=3, replicates=6, progress=False)._confirmed.metrics["luck"]
    few = confirmation._confirmed.metrics["luck"]
    np.testing.assert_array_equal(more[:2], few[:2])
    assert len(more) > len(few)


def test_confirming_looks_at_no_test_data(found):
    result, confirmation = found
    assert result.num_tests == confirmation.num_tests == 0
    tested = confirmation.test()
    assert tested["loss"] == pytest.approx(confirmation.best.metrics["loss"] + 1.0, rel=1e-5)
    assert result.num_tests == confirmation.num_tests == 1


def test_the_search_is_left_as_it_was(found):
    result, _ = found
    assert result.confirmation is None
    assert result.best.states.shape == (1,)
    assert result.best is result.ranking[0]


def test_an_honest_winner_is_not_the_lucky_one():
    """Where luck is below 0 the trial that depends on it looks best; on other seeds the steady one is, mostly."""
    rows = [{"value": 3.0, "luck": 0.0}, {"value": 9.0, "luck": 6.0}, {"value": 4.0, "luck": 0.0}]
    searches = [lucky(rows, seed=seed) for seed in range(60)]
    deceived = [result for result in searches if result.best.id == 1]
    winners = [result.confirm(top=3, replicates=5, progress=False).best.id for result in deceived]
    assert len(deceived) >= 3
    assert np.mean(np.array(winners) == 0) > 0.7


# Trainings of all kinds


def test_a_confirmed_training_is_a_full_one():
    """Also of trials that were pruned."""
    result = tune(DESCENT, DESCENT_SPACE, scheduler=jt.SuccessiveHalving(9, 10, 90, eta=3))
    confirmation = result.confirm(top=4, replicates=2, progress=False)
    assert any(trial.status.kind == "pruned" for trial in result.ranking[:4])
    assert sorted(confirmation.ranking) == sorted(trial.id for trial in result.ranking[:4])
    for n, trial in enumerate(confirmation._confirmed.trials):
        for seed in range(confirmation._confirmed.seeds[n]):
            loss, start = (confirmation._confirmed.metrics[name][seed, 0, n] for name in ("loss", "start"))
            expected = descent_loss(start, result.trials[int(trial)].hparams["lr"], 90)
            assert loss == pytest.approx(expected, rel=1e-4)
    assert confirmation.best.steps == confirmation.best.best_step == 90
    assert confirmation.best.status == "finished"


def test_population_based_training_is_replayed():
    """A candidate's own schedule, from new weights: its losses are those of gradient descent by that schedule."""
    space = {"lr": jt.LogUniform(1e-4, 0.1)}
    result = tune(DESCENT, space, scheduler=jt.PopulationBasedTraining(6, steps=60, interval=10))
    confirmation = result.confirm(top=6, replicates=2, progress=False)
    assert any(result.trials[t].schedule("lr").boundaries for t in confirmation.ranking)
    made = confirmation._confirmed
    for n, trial in enumerate(made.trials):
        schedule = result.trials[int(trial)].schedule("lr")
        factor = np.prod([1 - 2 * schedule.at(step) for step in range(60)])
        np.testing.assert_allclose(made.metrics["loss"][0, 0, n], made.metrics["start"][0, 0, n] * factor**2, rtol=1e-3)


def test_every_fold_has_its_values():
    task = LUCKY.replace(train=np.arange(6, dtype=np.float32), validation=None)
    confirmation = lucky(task=task, folds=3).confirm(top=2, replicates=2, progress=False)
    best = confirmation.best
    assert best.replicates["loss"].shape == (2, 3)
    expected = best.hparams["value"] + best.hparams["luck"] * best.replicates["luck"]
    parts = best.replicates["loss"] - expected  # the means of the validation parts
    np.testing.assert_allclose(parts[0], parts[1], atol=1e-5)
    assert parts.mean() == pytest.approx(2.5, abs=1e-5)
    assert confirmation.test()["loss"] == pytest.approx(expected.mean() + 1.0, rel=1e-5)


def test_replicates_of_the_search_come_together():
    """Three seeds are rounded up to four, two by two as in the programs of the search."""
    confirmation = lucky(replicates=2).confirm(top=2, replicates=3, progress=False)
    assert confirmation._confirmed.budget == 8
    assert set(confirmation._confirmed.seeds.tolist()) <= {2, 4, 6}
    luck = confirmation.best.replicates["luck"]
    assert len(set(luck.tolist())) == len(luck)


def _late_evaluate(key, luck, data, hp, step):
    return {"loss": (step - 20.0) ** 2 + hp["value"] + 0.0 * luck * hp["luck"]}


def test_checkpoints_and_patience_count_as_in_the_search():
    """The loss is best at step 20; whoever waits for two evaluations stops at 40."""
    task = LUCKY.replace(evaluate=_late_evaluate)
    options = {"keep": "best", "evaluate_every": 10, "patience": 2}
    result = tune(task, SPACE, scheduler=jt.FullBudget(2, 60), sampler=Listed.of(*ROWS[:2]), **options)
    best = result.confirm(top=2, replicates=2, progress=False).best
    assert best.best_step == result.best.best_step == 20
    assert best.metrics["loss"] == pytest.approx(1.0)


def test_static_groups_and_generations():
    space = NET_SPACE | {"width": jt.Choice((4, 8), static=True)}
    options = {"scheduler": jt.FullBudget(4, 10), "sampler": jt.Random(), "generations": 2}
    result = tune(NET, space, confirm=jt.Confirm(5, 2), **options)
    confirmed = [result.trials[t] for t in result.confirmation.ranking]
    assert {trial.hparams["width"] for trial in confirmed} == {4, 8}
    assert result.best.states["weights"]["in"].shape[2] == result.best.hparams["width"]


def test_programs_are_those_of_the_search(compiled):
    result = tune(DESCENT, DESCENT_SPACE, scheduler=jt.FullBudget(8, 20))
    before = dict(compiled)
    result.confirm(top=8, replicates=2, progress=False)
    assert dict(compiled) == before


# Failures


def _fragile_evaluate(key, luck, data, hp):
    return {"loss": jnp.where((jnp.abs(luck - hp["luck"]) < 1e-3) | (hp["value"] > 2), hp["value"], jnp.nan)}


def fragile(values):
    """A search whose trials below 2 fail on all seeds but those of the search."""
    luck = float(lucky(ROWS[:1]).best.metrics["luck"])
    task = LUCKY.replace(evaluate=_fragile_evaluate)
    space = {"value": jt.Uniform(0.0, 10.0), "luck": jt.Choice((luck,))}
    rows = [{"value": value, "luck": luck} for value in values]
    return tune(task, space, scheduler=jt.FullBudget(len(rows), 4), sampler=Listed.of(*rows))


def test_whoever_fails_on_a_fresh_seed_comes_last():
    confirmation = fragile([1.0, 3.0, 4.0]).confirm(top=3, replicates=2, progress=False)
    assert confirmation.ranking[-1] == 0
    assert confirmation.records()[-1]["failed"]
    assert confirmation.records()[-1]["seeds"] == 1
    assert confirmation.best.hparams["value"] == 3.0
    assert "Trial 0 failed on a fresh seed." in confirmation.verdict


def test_where_all_fail_the_seen_winner_is_kept_and_it_is_said():
    result = fragile([1.0, 1.5])
    with pytest.warns(UserWarning, match="All 2 trials failed on fresh seeds"):
        confirmation = result.confirm(top=2, replicates=3, progress=False)
    assert confirmation.best is result.best
    assert confirmation.winner is result.winner
    assert "All 2 trials failed on fresh seeds" in confirmation.verdict
    assert "not to be trusted" in str(confirmation)
    assert confirmation.is_separable is None
    assert "  not confirmed: All 2 trials failed" in str(confirmation.result)
    assert "on fresh seeds;" not in str(confirmation.result)


def test_no_time_ends_it_after_the_first_seed(found):
    confirmation = found[0].confirm(top=3, replicates=2, time_limit=0, progress=False)
    assert confirmation.interrupted
    assert confirmation._confirmed.seeds.tolist() == [1, 1, 1]
    assert confirmation.ranking[0] == confirmation.best.id
    assert np.isnan(confirmation.records()[1]["low"])
    assert confirmation.verdict.startswith("One seed can't tell whether trial ")


def test_without_a_seed_the_seen_winner_stays(found, monkeypatch):
    """As Ctrl-C in the first one leaves it."""
    result, _ = found
    monkeypatch.setattr(rounds, "train_again", lambda *args: None)
    confirmation = result.confirm(top=3, replicates=2, progress=False)
    assert confirmation.interrupted
    assert confirmation.best is result.best
    assert "No seed was trained to its end" in confirmation.verdict


def _late_fragile_evaluate(key, luck, data, hp):
    """The best fail where luck is low."""
    return {"loss": jnp.where((hp["value"] < 2) & (luck < hp["luck"]), jnp.nan, hp["value"] + 1e-3 * luck)}


def test_whoever_is_out_inherits_where_the_leaders_fail():
    """On the first seeds all are healthy and the worst are out; then the leader fails."""
    lucks = np.asarray(lucky(ROWS[:1], seed=3).confirm(top=1, replicates=8, progress=False).best.states)
    limit = (min(lucks[:2]) + min(lucks[2:])) / 2
    assert min(lucks[2:]) < limit < min(lucks[:2]), "take another seed"
    task = LUCKY.replace(evaluate=_late_fragile_evaluate)
    space = {"value": jt.Uniform(0.0, 10.0), "luck": jt.Choice((float(limit),))}
    rows = [{"value": value, "luck": float(limit)} for value in (1.0, 5.0, 6.0)]
    result = tune(task, space, scheduler=jt.FullBudget(3, 4), sampler=Listed.of(*rows), seed=3)
    confirmation = result.confirm(top=3, replicates=8, progress=False)
    assert confirmation.records()[-1]["failed"]
    assert confirmation.best.hparams["value"] == 5.0
    assert len(confirmation.best.states) == len(confirmation.best.replicates["loss"]) == 2
    assert confirmation.has_winner


# Tuned with confirm=


@pytest.fixture(scope="module")
def confirmed():
    return lucky(confirm=jt.Confirm(3, 4))


def test_a_result_speaks_of_the_confirmed_winner(found, confirmed):
    result, confirmation = found
    assert confirmed.confirmation.records() == confirmation.records()
    assert confirmed.best.id == confirmation.best.id
    assert confirmed.best.metrics == confirmation.best.metrics
    assert [trial.id for trial in confirmed.ranking] == [trial.id for trial in result.ranking]
    assert confirmed.ranking[0].metrics == result.ranking[0].metrics
    seen = result.trials[confirmed.best.id].metrics["loss"]
    assert f"on fresh seeds; the search saw {seen:.4g}" in str(confirmed)


def test_the_test_and_the_gap_are_of_the_confirmed_winner(confirmed):
    tested = confirmed.test()
    assert tested["loss"] == pytest.approx(confirmed.best.metrics["loss"] + 1.0, rel=1e-5)
    gap = confirmed.gap()
    assert confirmed.num_tests == confirmed.confirmation.num_tests == 1
    seen = confirmed.trials[confirmed.best.id].metrics["loss"]
    assert gap.seen == seen
    assert gap.validation == pytest.approx(confirmed.best.metrics["loss"])
    assert gap.luck == pytest.approx(gap.validation - seen)
    assert gap.gap == pytest.approx(1.0, rel=1e-4)
    assert f"the search saw {seen:.3g}, fresh seeds" in str(gap)


def test_the_picture_marks_the_confirmed_winner(confirmed, monkeypatch):
    shown = {}
    monkeypatch.setattr("jaxtune.results.pictures.plot_curves", lambda *args, **options: shown.update(options))
    confirmed.plot_curves()
    assert shown["best"] == confirmed.best.id


def test_refit_takes_the_confirmed_configuration():
    result = tune(DESCENT, DESCENT_SPACE, scheduler=jt.FullBudget(4, 20), confirm=jt.Confirm(2, 3))
    again = result.refit(replicates=2)
    assert again.hparams == result.best.hparams
    assert again.states["x"].shape == (2, 3)
    assert again.states["count"].tolist() == [20, 20]


def test_an_interrupted_search_is_not_confirmed():
    result = lucky(confirm=jt.Confirm(2, 2), callback=lambda result: True, evaluate_every=2)
    assert result.interrupted
    assert result.confirmation is None


def test_trials_of_another_space_are_not_confirmed():
    """They were trained by a search before, with learning rates that this one lacks."""
    before = tune(DESCENT, {"lr": jt.LogUniform(2e-2, 3e-2)}, scheduler=jt.FullBudget(2, 20))
    with pytest.warns(UserWarning, match="none of this space are not confirmed"):
        after = tune(
            DESCENT, DESCENT_SPACE, scheduler=jt.FullBudget(2, 20), previous=before, seed=1, confirm=jt.Confirm(4, 2)
        )  # fmt: skip
    assert after.ranking[0].id in (0, 1)
    assert sorted(after.confirmation.ranking) == [2, 3]


def test_a_failure_leaves_the_search(monkeypatch):
    def fail(*args):
        raise OSError("disk on fire")

    monkeypatch.setattr(rounds, "train_again", fail)
    with pytest.raises(OSError, match="disk on fire") as caught:
        lucky(confirm=jt.Confirm(2, 2))
    assert len(caught.value.result.trials) == 3


def test_without_time_for_it_that_is_said():
    result, late = lucky(), Host(deadline=0.0, worked=True)
    with pytest.warns(UserWarning, match="no time left to confirm the winner"):
        later = with_confirmation(result, result.winner.search, jt.Confirm(2, 2), late, False)
    assert later.interrupted
    assert later.confirmation is None


def test_pickled(confirmed):
    again = pickle.loads(pickle.dumps(confirmed))
    assert again.confirmation.records() == confirmed.confirmation.records()
    assert again.best.metrics == confirmed.best.metrics
    np.testing.assert_array_equal(again.best.states, confirmed.best.states)
    bound = again.with_task(LUCKY, SPACE)
    assert bound.gap() == confirmed.gap()


# In folders


def test_a_folder_keeps_the_confirmation(confirmed, tmp_path, monkeypatch):
    made = lucky(confirm=jt.Confirm(3, 4), directory=tmp_path / "run")
    assert made.confirmation.records() == confirmed.confirmation.records()
    assert (tmp_path / "run" / "confirmation" / "winner" / "config.json").exists()
    assert not (tmp_path / "run" / "confirming").exists()
    monkeypatch.setattr(rounds, "train_again", None)  # nothing is trained
    again = lucky(confirm=jt.Confirm(3, 4), directory=tmp_path / "run")
    without = lucky(directory=tmp_path / "run")
    for one in (again, without, jt.load(tmp_path / "run"), jt.load(tmp_path / "run", LUCKY)):
        assert one.confirmation.records() == confirmed.confirmation.records()
        assert one.best.metrics == confirmed.best.metrics
        assert one.ranking[0].metrics == confirmed.ranking[0].metrics
    assert jt.load(tmp_path / "run", LUCKY).gap() == confirmed.gap()


def test_a_finished_search_can_be_confirmed_later(confirmed, tmp_path):
    lucky(directory=tmp_path / "run")
    later = lucky(directory=tmp_path / "run", confirm=jt.Confirm(3, 4))
    assert later.confirmation.records() == confirmed.confirmation.records()
    other = lucky(directory=tmp_path / "run", confirm=jt.Confirm(2, 1))
    assert len(other.confirmation.records()) == 2


def test_a_cut_confirmation_goes_on_with_the_next_seed(confirmed, tmp_path, monkeypatch):
    calls, train = [], rounds.train_again

    def cut(search, *args):
        calls.append(search.first_seed)
        return None if search.first_seed == 2 else train(search, *args)

    monkeypatch.setattr(rounds, "train_again", cut)
    part = lucky(confirm=jt.Confirm(3, 4), directory=tmp_path / "run")
    assert part.interrupted
    assert part.confirmation.interrupted
    assert part.confirmation._confirmed.metrics["loss"].shape[0] == 2
    monkeypatch.setattr(
        rounds, "train_again", lambda search, *args: (calls.append(search.first_seed), train(search, *args))[1]
    )
    whole = lucky(confirm=jt.Confirm(3, 4), directory=tmp_path / "run")
    assert whole.confirmation.records() == confirmed.confirmation.records()
    np.testing.assert_array_equal(whole.best.states, confirmed.best.states)
    assert calls[:4] == [0, 1, 2, 2]


def test_more_generations_need_another_confirmation(tmp_path):
    options = {"sampler": jt.Random(), "confirm": jt.Confirm(2, 2), "directory": tmp_path / "run"}
    scheduler = jt.FullBudget(3, 4)
    tune(LUCKY, SPACE, scheduler=scheduler, **options)
    more = tune(LUCKY, SPACE, scheduler=scheduler, generations=2, **options)
    assert len(more.trials) == 6
    assert more.confirmation is not None
    ids = [trial.id for trial in more.ranking[:2]]
    assert sorted(more.confirmation.ranking) == sorted(ids)


def test_a_cut_confirmation_of_fewer_generations_is_no_hindrance(tmp_path, monkeypatch):
    options = {"sampler": jt.Random(), "confirm": jt.Confirm(2, 3), "directory": tmp_path / "run"}
    scheduler, train = jt.FullBudget(3, 4), rounds.train_again
    monkeypatch.setattr(
        rounds, "train_again", lambda search, *more: None if search.first_seed else train(search, *more)
    )
    assert tune(LUCKY, SPACE, scheduler=scheduler, **options).interrupted
    monkeypatch.undo()
    more = tune(LUCKY, SPACE, scheduler=scheduler, generations=2, **options)
    assert not more.interrupted
    assert len(more.confirmation.records()) == 2


def test_a_damaged_confirmation_is_found(tmp_path):
    lucky(confirm=jt.Confirm(2, 2), directory=tmp_path / "run")
    file = tmp_path / "run" / "confirmation" / "weights.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(ValueError, match=r"weights.safetensors is damaged.*confirmation.json"):
        jt.load(tmp_path / "run")


def test_a_method_keeps_its_seeds_in_a_folder(found, tmp_path, monkeypatch):
    result, confirmation = found
    kept = result.confirm(top=3, replicates=4, directory=tmp_path / "kept", progress=False)
    assert kept.records() == confirmation.records()
    monkeypatch.setattr(rounds, "train_again", None)
    again = result.confirm(top=3, replicates=4, directory=tmp_path / "kept", progress=False)
    assert again.records() == confirmation.records()
    np.testing.assert_array_equal(again.best.states, confirmation.best.states)
    monkeypatch.undo()
    others = [
        lambda: result.confirm(top=2, replicates=4, directory=tmp_path / "kept", progress=False),
        lambda: lucky([ROWS[0], ROWS[2], ROWS[1]]).confirm(3, 4, directory=tmp_path / "kept", progress=False),
        lambda: lucky(task=LUCKY.replace(validation=np.ones(4, np.float32))).confirm(3, 4, directory=tmp_path / "kept"),
        lambda: lucky(seed=1).confirm(3, 4, directory=tmp_path / "kept"),
    ]
    for other in others:
        with pytest.raises(ValueError, match="holds another training"):
            other()


def test_the_folder_of_a_run_is_none_for_seeds(tmp_path):
    result = lucky(directory=tmp_path / "run")
    with pytest.raises(ValueError, match="holds a run: name a folder of the confirmation's own"):
        result.confirm(top=2, replicates=2, directory=tmp_path / "run")


def test_a_confirmation_can_be_kept_as_a_result(found, tmp_path):
    result, confirmation = found
    confirmation.result.save(tmp_path / "saved")
    again = jt.load(tmp_path / "saved", LUCKY)
    assert again.best.metrics == confirmation.best.metrics
    assert [trial.id for trial in again.ranking] == [trial.id for trial in result.ranking]
    assert jt.list_runs(tmp_path)["best"][0] == confirmation.best.metrics["loss"]
    assert "the best of 3 on fresh seeds" in (tmp_path / "saved" / "confirmation" / "winner" / "README.md").read_text()


# Bad input, and what is shown


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top": 0}, "Confirm needs top to be a whole number >= 1, got top=0"),
        ({"replicates": 0}, "Confirm needs replicates to be a whole number >= 1"),
        ({"top": 4}, "confirm takes the best top=4 trials, but there are 3: set top=3"),
    ],
)
def test_bad_numbers(found, options, message):
    with pytest.raises(ValueError, match=message):
        found[0].confirm(**options)


def test_bad_arguments_of_tune_are_refused_before_anything_compiles(compiled):
    with pytest.raises(TypeError, match=r"confirm must be None or a jt.Confirm\(top=8, replicates=5\), got 3"):
        lucky(confirm=3)
    with pytest.raises(ValueError, match="confirm takes the best top=8 trials, but there are 3: set top=3"):
        lucky(confirm=jt.Confirm())
    assert not compiled


def test_a_result_without_its_task_says_so(found):
    with pytest.raises(ValueError, match=r"confirm\(\) needs the task"):
        pickle.loads(pickle.dumps(found[0])).confirm()


def test_progress(found, capsys):
    found[0].confirm(top=3, replicates=2)
    first, second = capsys.readouterr().err.splitlines()
    assert first == "confirming, seed 1, 3 trials, step 4 of 4, 12 of 24 lane-steps"
    assert second.startswith("confirming, seed 2, 3 trials, step 4 of 4, best loss ")


# A network: what `predict` averages has metrics of its own


def test_the_test_tells_of_the_averaged_outputs():
    x = np.linspace(-1, 1, 40, dtype=np.float32)[:, None]
    split = x, x**2
    task = jt.supervised(
        nn.Sequential([nn.Dense(8), nn.tanh, nn.Dense(1)]), optimizer=lambda hp: optax.adam(hp["lr"]),
        loss=optax.squared_error, batch_size=10, train=split, validation=split, test=split,
    )  # fmt: skip
    space, options = {"lr": jt.LogUniform(1e-3, 0.1)}, {"scheduler": jt.FullBudget(3, 20)}
    result = tune(task, space, confirm=jt.Confirm(2, 3), **options)
    tested, seeds = result.test(), len(result.best.replicates["loss"])
    alone = [np.mean((result.best.predict(x, replicate=seed) - split[1]) ** 2) for seed in range(seeds)]
    assert tested["loss"] == pytest.approx(np.mean(alone), rel=1e-4)
    assert tested["loss_of_average"] == pytest.approx(np.mean((result.best.predict(x) - split[1]) ** 2), rel=1e-4)
    assert tested["loss_of_average"] < tested["loss"]
    assert result.num_tests == 1
