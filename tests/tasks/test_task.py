"""Tasks in general: values that compare equal, and what their functions are given."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toys import DESCENT, DESCENT_SPACE, NET, tune

import jaxtune as jt

X = np.arange(12, dtype=np.float32).reshape(6, 2)


def init(key, hp):
    return {"w": jnp.zeros(())}


def step(key, state, batch, hp):
    return state, {"loss": state["w"]}


def evaluate(key, state, data, hp):
    return {"loss": state["w"] + hp["lr"]}


def task(**changes):
    parts = {"init": init, "step": step, "evaluate": evaluate, "train": X, "validation": X, "batch_size": 2}
    return jt.Task(**{**parts, **changes})


# A task is a value.


def test_equal_parts_make_equal_tasks():
    assert task() == task()
    assert hash(task()) == hash(task())
    assert task() == task(train=X.copy(), validation=jnp.asarray(X))


@pytest.mark.parametrize(
    "change",
    [
        {"init": lambda key, hp: {"w": jnp.zeros(())}},
        {"batch_size": 3},
        {"prepare": len},
        {"train": X + 1},
        {"train": X[:4]},
        {"train": (X,)},
        {"validation": None},
        {"test": X},
    ],
    ids=lambda change: next(iter(change)),
)
def test_any_other_part_makes_another_task(change):
    assert task(**change) != task()


def test_a_task_is_no_other_thing():
    assert task() != "task"
    assert task() != 0


def test_the_data_are_the_leaves():
    leaves = jax.tree.leaves(task(train={"x": X, "y": X[:, 0]}, test=X + 1))
    assert len(leaves) == 4
    doubled = jax.tree.map(lambda x: 2 * x, task(test=X + 1))
    np.testing.assert_array_equal(doubled.train, 2 * X)
    np.testing.assert_array_equal(doubled.test, 2 * X + 2)
    assert doubled.functions == task().functions
    assert jax.tree.structure(task()) == jax.tree.structure(task(train=X + 1))
    assert jax.tree.structure(task()) != jax.tree.structure(task(batch_size=3))


def test_a_task_can_be_an_argument_of_a_jitted_function():
    traces = []

    @jax.jit
    def total(task):
        traces.append(task)
        return jnp.sum(task.train) + task.batch_size

    assert total(task()) == X.sum() + 2
    assert total(task(train=X + 1)) == X.sum() + 12 + 2
    assert len(traces) == 1
    assert total(task(batch_size=3)) == X.sum() + 3


def test_functions_are_the_part_that_is_compiled():
    assert task(train=X + 1).functions == task().functions
    assert task(batch_size=3).functions != task().functions
    assert task().functions.train is None


def test_replace_changes_nothing_else():
    changed = task().replace(train=X[:4])
    assert changed == task(train=X[:4])
    assert task().num_examples == 6
    assert changed.num_examples == 4


@pytest.mark.parametrize(
    ("epochs", "batch_size", "expected"),
    [(1, 2, 3), (10, 2, 30), (1, 4, 2), (1, 5, 1), (0.5, 2, 2), (0.01, 2, 1)],
)
def test_steps_of_epochs(epochs, batch_size, expected):
    assert task(batch_size=batch_size).steps(epochs) == expected


@pytest.mark.parametrize("change", [{"train": None}, {"batch_size": None}])
def test_epochs_need_data_and_a_batch_size(change):
    with pytest.raises(ValueError, match="needs training data and a batch_size"):
        task(**change).steps(1)


def test_examples_are_counted_in_any_pytree():
    assert task(train={"a": X, "b": (X[:, 0],)}).num_examples == 6
    assert task(train=None).num_examples is None


# What the functions are given.

SPACE = {"lr": jt.Uniform(0.0, 1.0)}
NUM = 7


def counting_init(key, hp):
    return {
        "seen": jnp.zeros(NUM, jnp.int32),
        "batch": jnp.zeros((), jnp.int32),
        "step": jnp.full((), -1, jnp.int32),
        "bits": jax.random.bits(key),
        "drawn": jnp.zeros((), jnp.uint32),
        "own": jax.random.fold_in(key, 1),
    }


def counting_step(key, state, batch, hp, step, total_steps, stats):
    _, own = jax.random.split(state["own"])  # a key of the trial's own, carried along
    after = {
        **state,
        "seen": state["seen"].at[batch["index"]].add(1),
        "batch": jnp.int32(batch["index"].shape[0]),
        "step": jnp.int32(step),
        "drawn": state["drawn"] ^ jax.random.bits(key),
        "own": own,
    }
    return after, {"share": step / total_steps, "shift": jnp.mean(batch["value"]) - stats}


def counting_evaluate(key, state, data, hp, step, total_steps, stats):
    return {
        "loss": hp["lr"],
        "low": state["seen"].min(),
        "high": state["seen"].max(),
        "batch": state["batch"],
        "step": state["step"],
        "stop": step,
        "total": total_steps,
        "stats": stats,
        "init_bits": state["bits"] >> 8,
        "step_bits": state["drawn"] >> 8,
        "own_bits": jax.random.bits(state["own"]) >> 8,
        "eval_bits": jax.random.bits(key) >> 8,
        "num_data": data["index"].shape[0],
    }


DATA = {"index": np.arange(NUM), "value": np.arange(NUM, dtype=np.float32) + 1}
COUNTING = jt.Task(
    init=counting_init,
    step=counting_step,
    evaluate=counting_evaluate,
    train=DATA,
    validation={"index": np.arange(3), "value": np.zeros(3, np.float32)},
    batch_size=3,
    prepare=lambda train: jnp.mean(train["value"]),
)


@pytest.fixture(scope="module")
def counted():
    """3 trials x 2 replicates, 14 steps of 3 examples: six epochs of 7."""
    return tune(
        COUNTING,
        SPACE,
        scheduler=jt.SuccessiveHalving(trials=3, min_steps=7, max_steps=14, eta=2),
        sampler=jt.Random(),
        replicates=2,
    )


def last(result, name):
    """[T, R]."""
    return np.stack([trial.replicates[name] for trial in result.trials])


def test_an_epoch_shows_every_example_once_also_if_batches_do_not_divide_it(counted):
    pruned = np.array([trial.steps == 7 for trial in counted.trials])
    assert pruned.tolist().count(True) == 2
    for name in ("low", "high"):  # 7 batches of 3 are 3 epochs, 14 are 6
        np.testing.assert_array_equal(last(counted, name)[pruned], 3)
        np.testing.assert_array_equal(last(counted, name)[~pruned], 6)


def test_steps_are_counted_from_zero_and_total_steps_are_those_of_the_scheduler(counted):
    for trial in counted.trials:
        assert trial.metrics["step"] == trial.steps - 1
        assert trial.metrics["stop"] == trial.steps
        assert trial.metrics["total"] == 14
        assert trial.metrics["batch"] == 3
        assert trial.metrics["num_data"] == 3


def test_steps_log_what_they_return_as_info(counted):
    shares = counted.curves("train_share")["train_share"]  # [T, E]
    best = counted.best.id
    np.testing.assert_allclose(shares[best], [np.mean(np.arange(7) / 14), np.mean(np.arange(7, 14) / 14)])


@pytest.mark.parametrize(
    ("logged", "named"),
    [
        (("train_return",), ["train_return"]),
        (("loss", "train_return"), ["train_loss", "train_return"]),
        (("loss", "train_loss"), ["train_loss", "train_train_loss"]),  # two names stay two
    ],
)
def test_logs_get_their_prefix_once(logged, named):
    task = DESCENT.replace(step=lambda key, x, batch, hp: (x, {name: hp["lr"] for name in logged}))
    result = tune(task, DESCENT_SPACE, scheduler=jt.FullBudget(2, 5))
    assert [name for name in result.history.metrics if name.startswith("train_")] == named
    assert result.best.metrics[named[-1]] == pytest.approx(result.best.hparams["lr"])


def test_prepare_sees_the_training_data(counted):
    np.testing.assert_array_equal(last(counted, "stats"), DATA["value"].mean())
    shift = counted.curves("train_shift")["train_shift"]
    np.testing.assert_allclose(shift[counted.best.id], 0, atol=1e-5)  # whole epochs only


@pytest.mark.parametrize("name", ["init_bits", "step_bits", "eval_bits", "own_bits"])
def test_keys_are_shared_by_trials_and_differ_between_replicates(counted, name):
    bits = last(counted, name)
    if name in ("step_bits", "own_bits"):  # these went on for the winner
        bits = bits[[trial.id for trial in counted.trials if trial.steps == 7]]
    assert (bits == bits[0]).all()
    assert bits[0, 0] != bits[0, 1]


def test_keys_differ_between_purposes_and_steps(counted):
    bits = [
        int(last(counted, name)[trial.id, 0])
        for trial in counted.trials
        for name in ("init_bits", "step_bits", "own_bits", "eval_bits")
    ]
    # Of three trials, two pruned ones agree in everything, and the winner differs in two.
    assert len(set(bits)) == 6


def test_a_state_may_hold_keys(counted):
    assert jnp.issubdtype(counted.best.state["own"].dtype, jax.dtypes.prng_key)
    bits = jax.random.bits(counted.best.state["own"]) >> 8
    assert float(bits) == counted.best.replicates["own_bits"][0]


def whole_step(key, state, batch, hp):
    row = jax.random.randint(key, (), 0, NUM)  # draws for itself
    value = batch["value"]
    return {"sum": jnp.sum(value), "rows": state["rows"].at[row].add(1)}, {"loss": hp["lr"] + 0 * value[row]}


def test_without_a_batch_size_a_step_gets_all_of_train():
    whole = jt.Task(
        init=lambda key, hp: {"sum": 0.0, "rows": np.zeros(NUM, np.int32)},
        step=whole_step,
        evaluate=lambda key, state, data, hp: {"loss": hp["lr"], "sum": state["sum"]},
        train=DATA,
        validation=DATA,
    )
    result = tune(whole, SPACE, scheduler=jt.FullBudget(trials=2, steps=30), sampler=jt.Random())
    assert result.best.metrics["sum"] == DATA["value"].sum()
    rows = result.best.state["rows"]
    assert rows.sum() == 30
    assert (rows > 0).sum() > 3


def test_a_task_without_data():
    bare = jt.Task(
        init=lambda key, hp: 1.0,
        step=lambda key, x, batch, hp: (x * (1 - hp["lr"]) if batch is None else x, {}),
        evaluate=lambda key, x, data, hp: {"loss": x, "none": data is None},
    )
    result = tune(bare, SPACE, scheduler=jt.FullBudget(trials=2, steps=3), sampler=jt.Random())
    for trial in result.trials:
        np.testing.assert_allclose(trial.metrics["loss"], (1 - trial.hparams["lr"]) ** 3, rtol=1e-5)
        assert trial.metrics["none"] == 1


# Compiled programs are found again.


def test_other_data_of_equal_shapes_compile_nothing(compiled):
    scheduler = jt.FullBudget(trials=2, steps=5)
    space = {"lr": jt.LogUniform(1e-3, 3e-2), "dropout": 0.1}
    first = tune(NET, space, scheduler=scheduler)
    compiled.clear()
    x, y = NET.train
    other = NET.replace(train=(x[::-1].copy(), y))
    second = tune(other, space, scheduler=scheduler)
    assert not compiled
    assert second.best.metrics["loss"] != first.best.metrics["loss"]
