"""What is traced and compiled, and when nothing has to be."""

import re
from collections import Counter

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toys import DESCENT, DESCENT_SPACE, NET, NET_SPACE, ONE, X, Y, tune

import jaxtune as jt
from jaxtune.tasks import executables

HALVING = jt.SuccessiveHalving(trials=16, min_steps=10, max_steps=90)


@pytest.fixture
def backend_compiles():
    """Everything that goes through a compiler during the test, the smallest helper too."""
    events = []

    def listen(event, seconds, **rest):
        if event.endswith("backend_compile_duration"):
            events.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield events
    jax.monitoring.unregister_event_duration_listener(listen)


def fresh_descent():
    """A task that has never been seen, since its step is a new function."""
    return DESCENT.replace(step=lambda key, state, batch, hp: DESCENT.step(key, state, batch, hp))


# How many programs


@pytest.mark.parametrize(
    "scheduler",
    [
        jt.SuccessiveHalving(trials=512, min_steps=5, max_steps=320, eta=4),
        jt.Hyperband(min_steps=1, max_steps=81, eta=3),
        jt.PopulationBasedTraining(trials=16, steps=40, interval=10),
        jt.FullBudget(trials=100, steps=10),
    ],
    ids=["halving", "hyperband", "pbt", "full"],
)
def test_at_most_four_training_programs(compiled, scheduler):
    tune(fresh_descent(), DESCENT_SPACE, scheduler=scheduler)
    assert compiled["spawn"] == 1
    assert 1 <= compiled["advance"] <= 4
    assert compiled["evaluate"] == compiled["advance"]


def test_a_population_that_shrinks_gets_narrower_programs_where_these_are_free(compiled, free_programs):
    placement = jt.Placement(devices=ONE.devices, lanes=8)
    scheduler = jt.SuccessiveHalving(trials=64, min_steps=5, max_steps=320, eta=2)  # 64 32 16 8 4 2 1
    tune(fresh_descent(), DESCENT_SPACE, scheduler=scheduler, placement=placement)
    assert 2 <= compiled["advance"] <= 4


def test_a_short_search_trains_with_one_program(compiled):
    scheduler = jt.SuccessiveHalving(trials=64, min_steps=5, max_steps=320, eta=2)
    tune(fresh_descent(), DESCENT_SPACE, scheduler=scheduler, placement=jt.Placement(devices=ONE.devices, lanes=8))
    assert compiled == {"spawn": 1, "advance": 1, "evaluate": 1, "move": 1}


def test_one_set_of_programs_per_group(compiled):
    space = NET_SPACE | {"width": jt.Choice((3, 5))}
    tune(NET, space, scheduler=jt.FullBudget(trials=8, steps=10))
    assert compiled == {"spawn": 2, "advance": 2, "evaluate": 2}


# When nothing is compiled


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (HALVING, jt.SuccessiveHalving(trials=16, min_steps=10, max_steps=810)),
        (jt.Hyperband(10, 90), jt.Hyperband(10, 90)),
        (jt.PopulationBasedTraining(6, 40, 20), jt.PopulationBasedTraining(6, 80, 20)),
        (jt.FullBudget(5, 100), jt.FullBudget(5, 500)),
    ],
    ids=["halving", "hyperband", "pbt", "full"],
)
def test_another_seed_and_a_longer_schedule_compile_nothing(compiled, backend_compiles, first, then):
    task = fresh_descent()
    tune(task, DESCENT_SPACE, scheduler=first)
    assert compiled["advance"] > 0
    compiled.clear()
    backend_compiles.clear()
    result = tune(task, DESCENT_SPACE, scheduler=then, seed=5)
    assert result.history.step[-1] == then.plan().steps
    assert not compiled
    assert not backend_compiles


def test_more_trials_compile_the_widest_program_at_most(compiled):
    task = fresh_descent()
    tune(task, DESCENT_SPACE, scheduler=jt.SuccessiveHalving(trials=40, min_steps=10, max_steps=90))
    compiled.clear()
    tune(task, DESCENT_SPACE, scheduler=jt.SuccessiveHalving(trials=100, min_steps=10, max_steps=90))
    assert compiled["advance"] <= 1
    compiled.clear()
    tune(task, DESCENT_SPACE, scheduler=jt.SuccessiveHalving(trials=120, min_steps=10, max_steps=90))
    assert not compiled  # capacities are powers of two


def test_a_custom_space_of_the_same_shape_compiles_nothing(compiled):
    task = fresh_descent()
    tune(task, DESCENT_SPACE, scheduler=HALVING)
    compiled.clear()
    tune(task, {"lr": jt.Uniform(0.001, 0.002)}, scheduler=HALVING)
    assert not compiled


def test_other_data_of_the_same_shapes_compile_nothing(compiled, backend_compiles):
    first = tune(NET, NET_SPACE, scheduler=HALVING)
    compiled.clear()
    backend_compiles.clear()
    other = NET.replace(train=(X[20:], Y[20:]), validation=(X[:20], Y[:20]))
    second = tune(other, NET_SPACE, scheduler=HALVING)
    assert not compiled
    assert not backend_compiles
    assert first.best.metrics["loss"] != second.best.metrics["loss"]


def test_a_new_batch_size_compiles(compiled):
    """The counters above do count."""
    tune(NET, NET_SPACE, scheduler=HALVING)
    compiled.clear()
    tune(NET.replace(batch_size=7), NET_SPACE, scheduler=HALVING)
    assert compiled["advance"] > 0


# When nothing is traced

TRACES = Counter()


class _Net(nn.Module):
    dropout: float

    @nn.compact
    def __call__(self, x, train):
        x = nn.Dropout(self.dropout, deterministic=not train)(nn.tanh(nn.Dense(8)(x)))
        return nn.Dense(1)(x)


def _model(hp):
    TRACES["model"] += 1
    return _Net(jt.rate(hp["dropout"]))


def _optimizer(hp):
    TRACES["optimizer"] += 1
    return optax.adam(hp["lr"])


def _loss(outputs, targets):
    TRACES["loss"] += 1
    return optax.squared_error(outputs, targets)


def _supervised(train, validation):
    data = {"train": train, "validation": validation}
    return jt.supervised(_model, optimizer=_optimizer, loss=_loss, batch_size=8, metrics={"mae": _mae}, **data)


def _mae(outputs, targets):
    TRACES["metric"] += 1
    return jnp.abs(outputs - targets)


def test_supervised_again_with_equal_functions_compiles_nothing(compiled):
    scheduler = jt.FullBudget(trials=4, steps=20)
    first = tune(_supervised((X[:30], Y[:30]), (X[30:], Y[30:])), NET_SPACE, scheduler=scheduler)
    assert min(TRACES[name] for name in ("model", "optimizer", "loss", "metric")) > 0
    TRACES.clear()
    compiled.clear()
    task = _supervised((X[20:].copy(), Y[20:].copy()), (X[:20], Y[:20]))
    second = tune(task, NET_SPACE, scheduler=scheduler, seed=1)
    assert first.best.metrics != second.best.metrics
    assert not compiled
    assert max(TRACES.values()) < 30  # traced once more, for what they read may have changed


# Arrays in closures


@pytest.mark.parametrize("kind", [np.asarray, jnp.asarray], ids=["numpy", "jax"])
def test_closed_over_arrays_are_arguments_and_no_constants(kind, compiled):
    big = kind(np.random.default_rng(0).normal(size=(2500, 1000)).astype(np.float32))  # 10 MB

    def step(key, state, batch, hp):
        row = jnp.asarray(big)[state["count"]]
        return {**state, "x": state["x"] * (1 - hp["lr"]) + jnp.mean(row)}, {}

    task = DESCENT.replace(step=step)
    tune(task, DESCENT_SPACE, scheduler=jt.FullBudget(trials=4, steps=10))
    futures = executables.EXECUTABLES._futures
    programs = {key[0]: future.result().call for key, future in futures.items() if isinstance(key[0], str)}
    assert set(programs) == {"spawn", "advance", "evaluate"}
    for program in programs.values():
        shapes = re.findall(r"= \w+\[([\d,]+)\]\S* constant\(", program.as_text())
        sizes = [np.prod([int(n) for n in shape.split(",")]) for shape in shapes]
        assert max(sizes, default=0) < 10_000
    assert programs["advance"].memory_analysis().argument_size_in_bytes > 10_000_000


def test_results_do_not_keep_data_alive():
    """Executables are kept between searches, data must not be."""
    import gc
    import weakref

    data = jnp.arange(1000.0)
    task = jt.Task(
        init=lambda key, hp: jnp.float32(0),
        step=lambda key, state, batch, hp: (state + hp["lr"] * jnp.sum(batch), {}),
        evaluate=lambda key, state, data, hp: {"loss": state},
        train=data,
        validation=data,
    )
    result = tune(task, DESCENT_SPACE, scheduler=jt.FullBudget(trials=2, steps=5))
    assert np.isfinite(result.best.metrics["loss"])
    alive = weakref.ref(data)
    del data, task, result
    gc.collect()
    assert alive() is None
