"""JAX's own settings: those that hold for a thread, and those that hold for all, give the same searches."""

import contextlib
import pickle
import sys

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType
from toys import DESCENT, DESCENT_SPACE, X, Y, tune

import jaxtune as jt
from jaxtune.tasks import executables

SPACE = {"lr": jt.LogUniform(1e-3, 3e-2), "dropout": jt.Uniform(0.0, 0.5)}


class Net(nn.Module):
    dropout: float

    @nn.compact
    def __call__(self, x, train=False):
        return nn.Dense(1)(nn.Dropout(self.dropout, deterministic=not train)(nn.tanh(nn.Dense(8)(x))))


def task():
    return jt.supervised(
        lambda hp: Net(jt.rate(hp["dropout"])),
        optimizer=lambda hp: optax.adam(hp["lr"]),
        loss=optax.squared_error,
        train=(X[:30], Y[:30]),
        validation=(X[30:], Y[30:]),
        batch_size=8,
    )


def search(**options):
    return tune(task(), SPACE, **({"scheduler": jt.SuccessiveHalving(6, 10, 20, eta=2)} | options))


def mesh(kind):
    devices = jax.devices()[:2]
    return jax.make_mesh((2,), ("mine",), axis_types=(kind,), devices=devices)


HARMLESS = {
    "default device": lambda: jax.default_device(jax.devices()[3]),
    "debug_nans": lambda: jax.debug_nans(True),
    "matmul precision": lambda: jax.default_matmul_precision("highest"),
    "mesh of automatic axes": lambda: jax.set_mesh(mesh(AxisType.Auto)),
    "mesh of explicit axes": lambda: jax.set_mesh(mesh(AxisType.Explicit)),
    "leak checks": lambda: jax.checking_leaks(),
    "rank promotion raises": lambda: jax.numpy_rank_promotion("raise"),
    "dtypes are strict": lambda: jax.numpy_dtype_promotion("strict"),
    "checks": lambda: jax.enable_checks(True),
    "transfer guard": lambda: jax.transfer_guard("disallow"),
}


@pytest.fixture(scope="module")
def plain():
    return search()


@pytest.mark.parametrize("name", HARMLESS)
def test_settings_that_change_no_numbers(name, plain):
    with HARMLESS[name]():
        result = search()
        predicted, again = result.best.predict(X[:3]), result.refit().variables
    np.testing.assert_array_equal(result.history.metrics["loss"], plain.history.metrics["loss"])
    np.testing.assert_array_equal(predicted, plain.best.predict(X[:3]))
    jax.tree.map(np.testing.assert_array_equal, again, plain.refit().variables)


def test_without_jit_a_search_compiles_all_the_same_and_says_so(plain):
    with jax.disable_jit(), pytest.warns(UserWarning, match="^jax_disable_jit is set, but a search compiles"):
        result = search()
    np.testing.assert_array_equal(result.history.metrics["loss"], plain.history.metrics["loss"])


def everywhere(setting, value, function):
    """The result of a function while a setting holds for all threads."""
    before = getattr(jax.config, setting)
    try:
        jax.config.update(setting, value)
        return function()
    finally:
        jax.config.update(setting, before)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("jax_debug_nans", True),
        ("jax_debug_infs", True),
        ("jax_disable_jit", True),
        ("jax_transfer_guard", "disallow"),
        ("jax_numpy_rank_promotion", "raise"),
        ("jax_numpy_dtype_promotion", "strict"),
    ],
)
@pytest.mark.filterwarnings("ignore:jax_disable_jit")
def test_settings_for_all_threads(setting, value, plain):
    result = everywhere(setting, value, search)
    np.testing.assert_array_equal(result.history.metrics["loss"], plain.history.metrics["loss"])


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
def test_search_as_a_function_under_a_mesh(kind):
    """It is left where that is possible."""

    def function():
        return jt.search(jax.random.key(0), DESCENT, DESCENT_SPACE, scheduler=jt.FullBudget(2, 5)).metrics["loss"]

    plain = function()
    with jax.set_mesh(mesh(kind)), jax.debug_nans(True):
        np.testing.assert_array_equal(function(), plain)
        with pytest.raises(ValueError, match="^jaxtune has a mesh of its own: it can't be traced under another one"):
            jax.jit(function)()


def test_results_are_pickled_and_bound_under_any_setting(plain):
    for context in (lambda: jax.set_mesh(mesh(AxisType.Explicit)), jax.disable_jit):
        with context():
            text = pickle.dumps(plain)
            again = pickle.loads(text).with_task(task(), SPACE)
            np.testing.assert_array_equal(again.best.predict(X[:3]), plain.best.predict(X[:3]))


STRICT = {
    "jax_numpy_rank_promotion": (jax.numpy_rank_promotion, "raise", lambda x: x + jnp.ones((1, 3))),
    "jax_numpy_dtype_promotion": (jax.numpy_dtype_promotion, "strict", lambda x: x * jnp.int32(1)),
}


@pytest.mark.parametrize("name", STRICT)
@pytest.mark.parametrize("role", ["init", "step", "evaluate"])
def test_the_users_own_functions_are_as_strict_as_the_user(name, role):
    context, value, careless = STRICT[name]

    def function(key, *args):
        careless(jnp.ones(3))
        return getattr(DESCENT, role)(key, *args)

    task = DESCENT.replace(**{role: function})
    with context(value), pytest.raises((ValueError, TypeError), match=name.removeprefix("jax_")):
        tune(task, DESCENT_SPACE, scheduler=jt.FullBudget(2, 5))


def test_a_callback_finds_the_users_settings():
    seen = []

    def callback(result):
        seen.append((jax.config.jax_numpy_rank_promotion, jax.config.jax_numpy_dtype_promotion))
        seen.append((jax.config.jax_transfer_guard, jax.sharding.get_mesh().axis_names))
        tune(DESCENT, DESCENT_SPACE, scheduler=jt.FullBudget(2, 5))  # a search inside finds them, too

    strict = jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"), jax.transfer_guard("log")
    with strict[0], strict[1], strict[2], jax.set_mesh(mesh(AxisType.Auto)):
        tune(DESCENT, DESCENT_SPACE, scheduler=jt.FullBudget(2, 5), callback=callback)
        assert jax.config.jax_numpy_rank_promotion == "raise"
    assert seen == [("raise", "strict"), ("log", ("mine",))]


def test_planning_and_practice_work_where_all_is_strict():
    task = jt.supervised(
        nn.Dense(1),
        optimizer=lambda hp: optax.sgd(jt.scaling.linear(hp["lr"], 8, 4)),
        loss=optax.squared_error,
        metrics={"r2": jt.metrics.r2},
        preprocess=jt.standardize(targets=True),
        train=(X[:30], X[:30, :1]),
        validation=(X[30:], X[30:, :1]),
        batch_size=8,
    )
    space, scheduler = {"lr": jt.LogUniform(1e-3, 3e-2)}, jt.FullBudget(2, 5)
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"), jax.transfer_guard("disallow"):
        assert jt.plan(task, space, scheduler=scheduler).programs > 1
        assert jt.lr_range_test(task, space, low=1e-4, high=10.0, steps=100).learning_rates.shape
        key = jax.device_put(np.zeros(2, np.uint32))
        assert np.isfinite(jt.search(key, task, space, scheduler=scheduler).metrics["loss"]).all()


@pytest.mark.parametrize(
    "function",
    [
        lambda: jt.metrics.f1(jnp.ones((6, 3)), jnp.arange(6) % 3),
        lambda: jt.metrics.auc(jnp.arange(6.0), jnp.arange(6) % 2),
        lambda: jt.metrics.mae(jnp.ones(6), jnp.ones(6) > 0),
        lambda: jt.schedules.warmup_cosine_decay_schedule(0.1, 0.2, 3, 10)(jnp.int32(4)),
        lambda: jt.schedules.cosine_onecycle_schedule(10, 0.1)(jnp.int32(4)),
        lambda: jt.scaling.sqrt(0.1, jnp.int32(64), 32),
    ],
)
def test_functions_for_users_work_where_all_is_strict(function):
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        strict = function()
    np.testing.assert_array_equal(strict, function())


CHANGING = {
    "x64": (lambda: jax.enable_x64(True), "jax_enable_x64", True),
    "threefry": (lambda: jax.threefry_partitionable(False), "jax_threefry_partitionable", False),
    "rbg keys": (lambda: jax.default_prng_impl("rbg"), "jax_default_prng_impl", "rbg"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CHANGING)
def test_a_context_is_the_same_as_a_global_setting(name, plain, compiled):
    """Programs compiled in threads that lack the context would come out as without it."""
    context, setting, value = CHANGING[name]
    options = {"scheduler": jt.FullBudget(4, 20)}
    with context():
        here = search(**options).history.metrics["loss"]
    executables.EXECUTABLES.clear()
    before = getattr(jax.config, setting)
    try:
        jax.config.update(setting, value)
        everywhere = search(**options).history.metrics["loss"]
    finally:
        jax.config.update(setting, before)
    np.testing.assert_array_equal(here, everywhere)
    assert not np.array_equal(here, search(**options).history.metrics["loss"])


def test_programs_are_not_taken_from_another_context():
    with jax.enable_x64(True):
        wide = search(scheduler=jt.FullBudget(2, 5))
    narrow = search(scheduler=jt.FullBudget(2, 5))
    with jax.enable_x64(True):
        again = search(scheduler=jt.FullBudget(2, 5))
    assert (wide.history.metrics["loss"].dtype, narrow.history.metrics["loss"].dtype) == (np.float64, np.float32)
    np.testing.assert_array_equal(wide.history.metrics["loss"], again.history.metrics["loss"])


# What a user's callback may do


def callback(step, error):
    def ends(result):
        if result.history.step[-1] == step:
            raise error

    return ends


@pytest.mark.parametrize(
    "error", [ZeroDivisionError("mine"), MemoryError("mine"), KeyboardInterrupt("mine"), SystemExit(3)]
)
@pytest.mark.parametrize("step", [10, 40])
def test_its_exceptions_end_the_search_with_the_result_so_far(error, step):
    options = {"scheduler": jt.FullBudget(3, 40), "evaluate_every": 10}
    with pytest.raises(type(error), match="mine|3") as caught:
        tune(DESCENT, DESCENT_SPACE, callback=callback(step, error), **options)
    result = caught.value.result
    assert caught.value is error
    assert result.history.step[-1] == step
    assert result.interrupted == (step < 40)
    assert result.best.state is not None  # with its weights
    assert any(f"ended the search at step {step}: see error.result" in note for note in error.__notes__)


def test_an_exception_without_room_for_a_result_passes():
    class Tight(Exception):
        __slots__ = ()

        def __setattr__(self, name, value):
            if name == "result":
                raise AttributeError(name)
            super().__setattr__(name, value)

    with pytest.raises(Tight):
        tune(DESCENT, DESCENT_SPACE, scheduler=jt.FullBudget(3, 40), callback=callback(40, Tight()))


def test_what_it_prints_goes_to_stdout(capsys):
    tune(DESCENT, DESCENT_SPACE, scheduler=jt.FullBudget(3, 20), callback=lambda r: print("here"), progress=True)
    assert capsys.readouterr().out == "here\n"


def test_a_terminal_that_is_gone_takes_no_result_along(monkeypatch):
    class Gone:
        encoding = "utf-8"

        def write(self, text):
            raise OSError(5, "Input/output error")

        def flush(self):
            raise OSError(5, "Input/output error")

        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", Gone())
    with contextlib.suppress(UserWarning):
        result = jt.tune(DESCENT, DESCENT_SPACE, scheduler=jt.SuccessiveHalving(8, 5, 20, eta=2), progress=True)
    assert result.best.status == "finished"
    for broken in (None, jnp):
        monkeypatch.setattr(sys, "stderr", broken)
        assert jt.tune(DESCENT, DESCENT_SPACE, scheduler=jt.FullBudget(2, 5), progress=True).best.steps == 5
