"""The population: what a trial becomes depends on its hyperparameters and its replicate, and on nothing else."""

import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toys import DESCENT, DESCENT_SPACE, NET, NET_SPACE, ONE, TWO, Listed, descent_loss, tune

import jaxtune as jt
from jaxtune.engine import population as engine
from jaxtune.engine.batches import batch_indices, empty_window
from jaxtune.engine.keys import TRAIN
from jaxtune.engine.population import Layout, Population

ALL = jt.Placement()
HALVING = jt.SuccessiveHalving(trials=16, min_steps=10, max_steps=90)
FULL = jt.FullBudget(trials=16, steps=90)


def at_rungs(result, metric="loss"):
    """The metric [E, T] as it was recorded, NaN where a trial was not in training."""
    return result.history.metrics[metric].mean(axis=1)


# One trial does not see the others


@pytest.fixture(scope="module")
def everyone():
    """All 16 trials trained to the end, evaluated at the rungs of `HALVING`."""
    return at_rungs(tune(NET, NET_SPACE, scheduler=FULL, evaluate_every=10))[[0, 2, 8]]  # steps 10, 30, 90


def test_pruning_others_changes_no_trial(everyone):
    """Lanes are moved and chunks become narrower as the population shrinks; curves stay what they were."""
    losses = at_rungs(tune(NET, NET_SPACE, scheduler=HALVING))
    assert np.isfinite(losses).sum(axis=1).tolist() == [16, 5, 1]
    trained = np.isfinite(losses)
    np.testing.assert_allclose(losses[trained], everyone[trained], rtol=1e-3)


def test_a_survivor_equals_the_same_trial_alone():
    best = tune(NET, NET_SPACE, scheduler=HALVING).best
    alone = tune(NET, best.hparams, scheduler=jt.FullBudget(trials=1, steps=90)).best
    np.testing.assert_allclose(alone.metrics["loss"], best.metrics["loss"], rtol=1e-3)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-2, atol=1e-4), alone.state, best.state)


def plain_loop(task, hp, steps):
    """The final state and the logs of one trial, by nothing but the functions of the task, jitted."""
    study = jax.random.fold_in(jax.random.key(0), TRAIN)
    init_key, order_key, step_key, _ = (engine.replicate_key(study, 0, purpose) for purpose in range(4))
    batches = [None] * steps
    if task.batch_size:
        window = empty_window(task.num_examples, task.num_examples, task.batch_size, steps)
        count = jnp.int32(task.num_examples)
        batches, _ = batch_indices(window, order_key, jnp.int32(0), count, task.batch_size, steps)
    step = jax.jit(lambda key, state, batch, hp, count: task.step(key, state, batch, hp, step=count, total_steps=steps))
    state, logs = jax.jit(task.init)(init_key, hp), []
    for count, indices in enumerate(batches):
        batch = jax.tree.map(lambda x, i=indices: x[i], task.train)
        state, info = step(jax.random.fold_in(step_key, count), state, batch, hp, count)
        logs.append(info)
    return state, logs


def test_a_trial_equals_a_plain_loop():
    hp = {"lr": 0.01, "dropout": 0.25}
    best = tune(NET, hp, scheduler=jt.FullBudget(trials=1, steps=20)).best
    state, logs = plain_loop(NET, hp, steps=20)
    np.testing.assert_allclose(best.metrics["loss"], NET.evaluate(None, state, NET.validation, hp)["loss"], rtol=1e-4)
    np.testing.assert_allclose(best.metrics["train_loss"], np.mean([info["loss"] for info in logs]), rtol=1e-4)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5), best.state, state)


def _drawing_step(key, state, batch, hp, step, total_steps):
    """Keys used in every way that may be told apart: shared, from the state, inside loops and branches."""
    keys, x = jax.random.split(key, 8), state["x"]
    own, from_state = jax.random.split(state["key"])
    in_scan = jax.lax.scan(lambda c, k: (c + jax.random.normal(k, (3,)), None), x, jax.random.split(keys[0], 2))[0]
    drawn = {
        "shared": jax.random.uniform(keys[1], (3,)),
        "compared": jax.random.bernoulli(keys[2], hp["a"], (3,)),
        "parameter": jax.random.gamma(keys[3], hp["a"] + 1, (3,)),
        "scan": in_scan,
        "cond": jax.lax.cond(hp["a"] > 0.5, jax.random.uniform, jax.random.normal, keys[4]),
        "permutation": jax.random.permutation(keys[5], x),
        "folded": jax.random.uniform(jax.random.fold_in(keys[6], jnp.int32(10 * hp["a"]) + step)),
        "legacy": jax.random.uniform(jax.random.key_data(keys[7]), (3,)),
        "state": jax.random.uniform(from_state, (3,)),
    }
    info = {name: jnp.sum(value * jnp.arange(1.0, 4.0)) for name, value in drawn.items()}
    x = 0.9 * x + sum(0.01 * value for value in drawn.values())
    return {"x": x, "key": own}, info


@pytest.mark.parametrize("placement", [ONE, ALL], ids=["1 device", "8 devices"])
def test_any_way_to_draw_equals_a_plain_loop(placement):
    """Shared draws are made once per burst, some on each device; the others are left where they are."""
    task = jt.Task(
        init=lambda key, hp: {"x": jax.random.normal(key, (3,)), "key": key},
        step=_drawing_step,
        evaluate=lambda key, state, data, hp: {"score": jnp.sum(state["x"]) * hp["a"]},
    )
    options = {"scheduler": jt.FullBudget(trials=2, steps=15), "metric": "score", "mode": "min"}
    for trial in tune(task, {"a": jt.Uniform(0.0, 1.0)}, placement=placement, **options).trials:
        _, logs = plain_loop(task, trial.hparams, steps=15)
        for name in logs[0]:
            expected = np.mean([info[name] for info in logs])
            np.testing.assert_allclose(trial.metrics[f"train_{name}"], expected, rtol=1e-4, err_msg=name)


@pytest.mark.parametrize("lanes", [1, 2, 8])
def test_chunk_width_changes_no_trial(everyone, lanes):
    placement = jt.Placement(devices=ONE.devices, lanes=lanes)
    losses = at_rungs(tune(NET, NET_SPACE, scheduler=FULL, placement=placement))
    np.testing.assert_allclose(losses[-1], everyone[-1], rtol=1e-3)


@pytest.mark.parametrize("placement", [TWO, ALL], ids=["2 devices", "8 devices"])
def test_number_of_devices_changes_no_trial(everyone, placement):
    losses = at_rungs(tune(NET, NET_SPACE, scheduler=HALVING, placement=placement))
    trained = np.isfinite(losses)
    np.testing.assert_allclose(losses[trained], everyone[trained], rtol=1e-3)


def test_the_rest_of_the_population_changes_no_trial(everyone):
    """The same trials in another order, among others."""
    hparams = [t.hparams for t in tune(NET, NET_SPACE, scheduler=FULL).trials]
    chosen = [7, 3, 12]
    sampler = Listed.of({"lr": 0.02, "dropout": 0.0}, *(hparams[t] for t in chosen))
    losses = at_rungs(tune(NET, NET_SPACE, scheduler=jt.FullBudget(4, 90), sampler=sampler))
    np.testing.assert_allclose(losses[-1, 1:], everyone[-1, chosen], rtol=1e-3)


ODD_LANES = (jt.Placement(devices=ONE.devices, lanes=12), 10)


@pytest.mark.parametrize(("placement", "trials"), [(ONE, 30), (TWO, 30), (ALL, 60), ODD_LANES])
def test_lanes_keep_their_hyperparameters_wherever_they_move(placement, trials):
    scheduler = jt.SuccessiveHalving(trials, min_steps=5, max_steps=40, eta=2)
    result = tune(DESCENT, DESCENT_SPACE, scheduler=scheduler, placement=placement)
    for trial in result.trials:
        expected = descent_loss(trial.metrics["start"], trial.hparams["lr"], trial.steps)
        np.testing.assert_allclose(trial.metrics["loss"], expected, rtol=1e-4)
        assert trial.metrics["count"] == trial.steps


def test_in_double_precision_over_200_steps():
    """Rounding grows with the steps; in float64 it has far to go. A process of its own, since this is a setting."""
    code = (
        "import conftest, jax, numpy as np\n"
        "jax.config.update('jax_enable_x64', True)\n"
        "from toys import *\n"
        "halving = tune(NET, NET_SPACE, scheduler=jt.SuccessiveHalving(12, 50, 200, eta=4))\n"
        "full = tune(NET, NET_SPACE, scheduler=jt.FullBudget(12, 200), evaluate_every=50, placement=TWO)\n"
        "assert halving.best.state['weights']['in'].dtype == np.float64\n"
        "losses = [r.history.metrics['loss'][:, 0] for r in (halving, full)]\n"
        "trained = np.isfinite(losses[0])\n"
        "np.testing.assert_allclose(losses[0][trained], losses[1][[0, 3]][trained], rtol=1e-6)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


@pytest.mark.slow
def test_sixteen_thousand_lanes():
    scheduler = jt.SuccessiveHalving(trials=2**14, min_steps=5, max_steps=20, eta=4)
    result = tune(DESCENT, DESCENT_SPACE, scheduler=scheduler, placement=ALL)
    lr = np.array([hparams["lr"] for hparams in result.history.hparams])
    losses = at_rungs(result)
    for e, steps in enumerate((5, 20)):
        trained = result.history.active[e]
        assert trained.sum() == (2**14, 2**12)[e]
        expected = descent_loss(result.history.metrics["start"][e, 0], lr, steps)
        np.testing.assert_allclose(losses[e, trained], expected[trained], rtol=1e-4)


# Randomness is shared


def _draws(role):
    def evaluate(key, state, data, hp):
        return {"loss": hp["a"], "drawn": state[role] if role in state else jax.random.uniform(key)}

    def step(key, state, batch, hp):
        return {**state, "step": jax.random.uniform(key), "batch": jnp.sum(batch * 2.0 ** jnp.arange(4))}, {}

    return jt.Task(
        init=lambda key, hp: {"init": jax.random.uniform(key), "step": jnp.zeros(()), "batch": jnp.zeros(())},
        step=step,
        evaluate=evaluate,
        train=np.arange(9, dtype=np.float32),
        validation=np.zeros(1, np.float32),
        batch_size=4,
    )


@pytest.mark.parametrize("role", ["init", "step", "batch", "evaluate"])
def test_all_trials_of_a_replicate_draw_the_same(role):
    scheduler = jt.FullBudget(trials=5, steps=4)
    result = tune(
        _draws(role),
        {"a": jt.Uniform(0, 1)},
        scheduler=scheduler,
        replicates=3,
        evaluate_every=1,
        placement=TWO,
    )
    drawn = result.history.metrics["drawn"]  # [E, R, T]
    assert (drawn == drawn[:, :, :1]).all()
    assert len(np.unique(drawn[:, :, 0])) == {"init": 3, "evaluate": 3}.get(role, 12)  # per replicate or each step


# Extras


def _record_init(key, hp, stats, total_steps, step):
    return {"sum": jnp.int32(0), "init": jnp.stack([total_steps, step]), "stats": stats}


def _record_step(key, state, batch, hp, step, total_steps, stats):
    same = jnp.all(stats["mean"] == state["stats"]["mean"])
    return {**state, "sum": state["sum"] + jnp.where(same, step, -(10**6))}, {"total": total_steps}


def _record_evaluate(key, state, data, hp, *, step, total_steps, stats):
    numbers = {
        "loss": hp["a"],
        "sum": state["sum"],
        "step": step,
        "total": total_steps,
        "mean": stats["mean"],
    }
    return {**numbers, "init_total": state["init"][0], "init_step": state["init"][1]}


def test_step_total_steps_and_stats_reach_user_functions():
    train = np.arange(12, dtype=np.float32)
    task = jt.Task(
        init=_record_init,
        step=_record_step,
        evaluate=_record_evaluate,
        train=train,
        validation=train,
        batch_size=5,
        prepare=lambda train: {"mean": jnp.mean(train)},
    )
    scheduler = jt.SuccessiveHalving(trials=4, min_steps=10, max_steps=40, eta=2)
    result = tune(task, {"a": jt.Uniform(0, 1)}, scheduler=scheduler, evaluate_every=5)
    steps = result.history.step
    assert steps.tolist() == [5, 10, 15, 20, 25, 30, 35, 40]
    first = {name: values[:, 0, result.best.id] for name, values in result.history.metrics.items()}
    np.testing.assert_array_equal(first["step"], steps)
    np.testing.assert_array_equal(first["sum"], steps * (steps - 1) // 2)  # 0 + 1 + ... + (steps - 1)
    for name, expected in {
        "total": 40,
        "train_total": 40,
        "init_total": 40,
        "init_step": 0,
        "mean": 5.5,
    }.items():
        assert (first[name] == expected).all()


# Divergence

KINDS = {
    "loss nan": 1,
    "loss inf": 2,
    "loss -inf": 3,
    "metric nan": 4,
    "metric inf": 5,
    "metric -inf": 6,
    "only another metric": 7,
}


def _fragile_step(key, state, batch, hp, step):
    x = state - hp["lr"] * 2 * state
    kind, now = hp["kind"], step == 7
    bad = jnp.select([kind == 1, kind == 2, kind == 3], [jnp.nan, jnp.inf, -jnp.inf], 0.0)
    x = jnp.where(now & (kind > 0) & (kind < 4), jnp.nan, x)
    return x, {"loss": jnp.where(now, bad, jnp.sum(x**2)), "lr": hp["lr"]}


def _fragile_evaluate(key, state, data, hp, step):
    kind = hp["kind"]
    score = jnp.sum(state**2) * jnp.where(hp["flip"] > 0, -1.0, 1.0)
    bad = jnp.select([kind == 4, kind == 5, kind == 6], [jnp.nan, jnp.inf, -jnp.inf], score)
    return {"score": jnp.where(step >= 20, bad, score), "other": jnp.where(kind == 7, jnp.nan, 1.0)}


FRAGILE = jt.Task(
    init=lambda key, hp: 1.0 + jax.random.uniform(key, (3,)), step=_fragile_step, evaluate=_fragile_evaluate
)
FRAGILE_SPACE = {"lr": jt.LogUniform(1e-3, 0.1), "kind": jt.Integer(0, 7), "flip": jt.Integer(0, 1)}


def fragile(kinds, scheduler, *, flip=0, lrs=None, **rest):
    """Trials whose learning rates get worse and that break in the given ways; breaking ones are among the best."""
    lrs = lrs or np.geomspace(0.1, 0.001, len(kinds)).round(6).tolist()
    sampler = Listed.of(*({"lr": lr, "kind": k, "flip": flip} for lr, k in zip(lrs, kinds, strict=True)))
    options = {"metric": "score", "mode": "max" if flip else "min"} | rest
    return tune(FRAGILE, FRAGILE_SPACE, scheduler=scheduler, sampler=sampler, **options)


FRAGILE_HALVING = jt.SuccessiveHalving(trials=8, min_steps=5, max_steps=40, eta=2)  # rungs at 5, 10, 20, 40


@pytest.mark.parametrize("flip", [0, 1], ids=["min", "max"])
@pytest.mark.parametrize("name", [name for name in KINDS if name != "only another metric"])
def test_a_bad_lane_never_wins_and_never_spreads(name, flip):
    kind = KINDS[name]
    good = fragile([0] * 8, FRAGILE_HALVING, flip=flip)
    assert good.best.id == 0
    result = fragile([kind] + [0] * 7, FRAGILE_HALVING, flip=flip)
    assert result.best.id == 1
    assert result.trials[0].status == f"diverged at step {7 if kind < 4 else 19}"
    assert result.ranking[-1].id == 0
    assert np.isnan(result.trials[0].metrics["score"])
    for trial in range(1, 8):  # the neighbours are what they are without it, to the last bit
        both = result.history.active[:, trial] & good.history.active[:, trial]
        assert both[0]
        scores = [r.history.metrics["score"][both, 0, trial] for r in (result, good)]
        np.testing.assert_array_equal(*scores)


def test_steps_before_the_bad_one_are_logged_and_none_after():
    good = fragile([0, 0], jt.FullBudget(2, 20)).history.metrics["train_loss"][0, 0]
    result = fragile([0, 1], jt.FullBudget(2, 20))
    logged = result.history.metrics["train_loss"][0, 0]
    assert logged[0] == good[0]
    assert np.isfinite(logged[1])
    assert logged[1] > good[1]  # the average of the first seven, while the loss falls
    assert result.trials[1].steps == 7
    np.testing.assert_allclose(result.history.metrics["train_lr"][0, 0, 1], result.trials[1].hparams["lr"], rtol=1e-5)


def test_another_metric_may_be_nan():
    result = fragile([7, 0, 0, 0], jt.FullBudget(4, 20))
    assert result.best.id == 0
    assert np.isnan(result.best.metrics["other"])


def test_divergence_inside_a_burst_and_across_rows_is_recorded_at_its_step():
    """One burst of 20 steps, bursts of 4, and calls of several bursts: step 7 all the same."""
    for every in (None, 4):
        result = fragile([0, 2, 0, 3], jt.FullBudget(4, 20), evaluate_every=every)
        assert result.history.diverged.tolist() == [-1, 7, -1, 7]


def test_one_replicate_that_diverges_is_enough():
    task = FRAGILE.replace(step=_fragile_in_one_replicate)
    sampler = Listed.of({"lr": 0.1, "kind": 1, "flip": 0}, {"lr": 0.001, "kind": 0, "flip": 0})
    options = {"sampler": sampler, "metric": "score", "mode": "min", "replicates": 8}
    result = tune(task, FRAGILE_SPACE, scheduler=jt.FullBudget(2, 20), **options)
    bad = np.isnan(result.history.metrics["score"][0, :, 0])
    assert 0 < bad.sum() < 8
    assert result.best.id == 1
    assert result.trials[0].status == "diverged at step 7"


def _fragile_in_one_replicate(key, state, batch, hp, step):
    bad = (step == 7) & (jnp.sum(state) * 100 % 1 < 0.5) & (hp["kind"] == 1)  # depends on the initial value
    x = state - hp["lr"] * 2 * state
    return jnp.where(step < 7, state, x), {"loss": jnp.where(bad, jnp.nan, 0.0)}


def test_where_all_diverge_best_raises_with_the_learning_rates():
    result = fragile([1, 1, 2, 3], jt.FullBudget(4, 20))
    assert [trial.status for trial in result.trials] == ["diverged at step 7"] * 4
    with pytest.raises(ValueError, match="Every trial diverged.*lr from 0.001 to 0.1"):
        _ = result.best
    assert result.trials[0].state is None


def test_all_diverged_in_the_middle_of_a_search():
    result = fragile([1] * 8, jt.SuccessiveHalving(trials=8, min_steps=10, max_steps=40, eta=2))
    assert result.history.step.tolist() == [10, 20, 40]
    with pytest.raises(ValueError, match="Every trial diverged"):
        _ = result.best


def _fast_ones_break(key, state, batch, hp, step):
    state, info = DESCENT.step(key, state, batch, hp)
    return state, {"loss": jnp.where((step == 7) & (hp["lr"] > 0.03), jnp.nan, info["loss"])}


def test_population_based_training_revives_what_diverged():
    space, scheduler = {"lr": jt.LogUniform(1e-4, 0.1)}, jt.PopulationBasedTraining(4, 30, interval=10)
    sampler = Listed.of(*({"lr": lr} for lr in (0.02, 0.05, 0.01, 0.015)))
    result = tune(DESCENT.replace(step=_fast_ones_break), space, scheduler=scheduler, sampler=sampler)
    history, revived = result.history, result.trials[1]
    loss = history.metrics["loss"][:, 0, 1]
    assert np.isfinite(loss).tolist() == [False, True, True]
    assert history.source[0].tolist() == [0, 0, 2, 3]
    assert revived.status == "finished"
    assert revived.lineage[:2] == ((0, 0), (10, 1))
    # From the donor's weights, with a learning rate of its own.
    donor, lr = history.metrics["loss"][0, 0, 0], history.schedule["lr"][1]
    assert lr[1] != lr[0]
    np.testing.assert_allclose(loss[1], descent_loss(donor, lr[1], 10), rtol=1e-4)


# Moving lanes

SUBTLE = [-0.0, 1e-42]  # what sums and flushing processors lose


def _arbitrary_population(layout, specials=(0.0, np.nan, np.inf, -np.inf)):
    """Leaves of every kind, with special numbers among them."""
    rng = np.random.default_rng(0)
    shape = (layout.runs, layout.rows, layout.devices)
    floats = rng.normal(size=(*shape, 3)).astype(np.float32)
    floats[..., 0] = rng.choice(specials, size=shape)
    state = {
        "float32": jnp.asarray(floats),
        "bfloat16": jnp.asarray(floats, jnp.bfloat16),
        "float16": jnp.asarray(floats, jnp.float16),
        "bool": jnp.asarray(rng.random(shape) < 0.5),
        "int8": jnp.asarray(rng.integers(-128, 128, (*shape, 2)), jnp.int8),
        "uint32": jnp.asarray(rng.integers(0, 2**32, shape), jnp.uint32),
        "key": jax.random.split(jax.random.key(1), shape),
        "empty": jnp.zeros((*shape, 0)),
    }
    diverged = jnp.asarray(rng.integers(-1, 9, shape), jnp.int32)
    sums = {"loss": jnp.asarray(rng.normal(size=shape), jnp.float32)}
    counts = {"loss": jnp.asarray(rng.integers(0, 9, shape), jnp.int32)}
    return Population(state, {"copy": state["float32"] + 1}, diverged, sums, counts)


def _bits(population):
    """Leaves as bytes [R, slots, ...]."""

    def of(x):
        x = jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x
        x = np.asarray(x)
        return x.reshape(x.shape[0], x.shape[1] * x.shape[2], -1).view(np.uint8)

    return jax.tree.map(of, population)


def _halving_sources(slots_before, slots_after):
    kept = np.sort(np.random.default_rng(1).choice(slots_before, slots_after, replace=False))
    return kept.astype(np.int32)


def _exploit_sources(slots):
    """Some slots take from others, lower and higher ones, which keep their own."""
    source = np.arange(slots, dtype=np.int32)
    source[[0, slots - 1]] = [slots - 2, 1]
    return source


def _check_move(before, after, source, num_lanes, **specials):
    population = jax.device_put(_arbitrary_population(before, **specials), before.lanes)
    expected = jax.tree.map(lambda x: x[:, source[:num_lanes]], _bits(population))
    move = jax.jit(lambda *args: engine.move(before, after, *args), out_shardings=after.lanes)
    moved = move(population, source, jnp.int32(num_lanes))
    assert jax.tree.map(lambda x: x.dtype, moved) == jax.tree.map(lambda x: x.dtype, population)
    jax.tree.map(np.testing.assert_array_equal, jax.tree.map(lambda x: x[:, :num_lanes], _bits(moved)), expected)


def _layout(num_devices, rows, runs=1):
    mesh = jt.Placement(devices=jax.devices()[:num_devices]).mesh()
    return Layout(mesh, rows, 1, runs, 1, None, None, keeps_best=True)


each_number_of_devices = pytest.mark.parametrize("num_devices", [1, 2, 8])


@pytest.mark.parametrize("move_bytes", [2**21, 1], ids=["one block", "block of one row"])
@each_number_of_devices
def test_survivors_are_moved_bit_for_bit(monkeypatch, num_devices, move_bytes):
    monkeypatch.setattr(engine, "_MOVE_BYTES", move_bytes)
    before, after = _layout(num_devices, rows=8), _layout(num_devices, rows=2)
    _check_move(before, after, _halving_sources(before.slots, after.slots), after.slots)


@pytest.mark.parametrize("move_bytes", [2**21, 1], ids=["one block", "block of one row"])
@each_number_of_devices
def test_copies_are_made_bit_for_bit(monkeypatch, num_devices, move_bytes):
    monkeypatch.setattr(engine, "_MOVE_BYTES", move_bytes)
    layout = _layout(num_devices, rows=4, runs=2)
    _check_move(layout, layout, _exploit_sources(layout.slots), layout.slots)


@each_number_of_devices
def test_bits_that_arithmetic_loses_are_moved(num_devices):
    layout = _layout(num_devices, rows=4, runs=2)
    _check_move(layout, layout, _exploit_sources(layout.slots), layout.slots, specials=SUBTLE)


@pytest.mark.parametrize("num_devices", [1, 2])
def test_only_used_slots_have_to_be_right(num_devices):
    """Survivors rarely fill a block: slots beyond them may hold anything."""
    layout = _layout(num_devices, rows=8)
    source = np.append(np.array([1, 4, 6], np.int32), np.zeros(layout.slots - 3, np.int32))
    _check_move(layout, layout, source, 3)
