"""User functions: what they may ask for, and one trace of each."""

from functools import partial
from types import MappingProxyType

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxtune.spaces.variant import Variant
from jaxtune.tasks.functions import Extras, asks_for, call, inputs_of, parameters, seamed, trace
from jaxtune.tasks.task import Task


class NnxModule(nnx.Module):
    def __init__(self, hp, *, rngs):
        self.hp = hp


class Callable:
    def __call__(self, x, step):
        return x + step


def names(function):
    return [p.name for p in parameters(function)]


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda a, b=1, *, c: None, ["a", "b", "c"]),
        (Callable(), ["x", "step"]),
        (NnxModule, ["hp", "rngs"]),  # inspect.signature of the class says (*args, **kwargs)
        (partial(lambda a, b, c: None, 1), ["b", "c"]),
        (jax.jit(lambda a, b: None), ["a", "b"]),
    ],
    ids=["function", "object", "nnx class", "partial", "jitted"],
)
def test_parameters(function, expected):
    assert names(function) == expected


def test_asks_for_goes_by_name():
    assert asks_for(lambda x, step: None, "step")
    assert not asks_for(lambda x, steps: None, "step")
    assert not asks_for(lambda x, **rest: None, "step")


# What `call` passes.

EXTRAS = {"hp": {"lr": 1}, "step": 7, "total_steps": 9}


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x, y: (x, y), (1, 2)),
        (lambda x, y, step: (x, y, step), (1, 2, 7)),
        (lambda x, y, total_steps, step: (x, y, total_steps, step), (1, 2, 9, 7)),
        (lambda x, y, *, step, hp: (x, y, step, hp), (1, 2, 7, {"lr": 1})),
        (lambda x, y, step=5, other=6: (x, y, step, other), (1, 2, 7, 6)),
        (lambda *args, step: (*args, step), (1, 2, 7)),
        (lambda x, y, **rest: (x, y, rest), (1, 2, {})),
        (lambda step, hp: (step, hp), (1, 2)),  # the fixed arguments go by position whatever their names
    ],
)
def test_call_passes_fixed_arguments_by_position_and_extras_by_name(function, expected):
    assert call("loss", function, 1, 2, **EXTRAS) == expected


@pytest.mark.parametrize(
    "function", [lambda x, y, epoch: None, lambda x, y, *, epoch: None, lambda x, y, step, epoch: None]
)
def test_call_refuses_a_required_parameter_it_does_not_know(function):
    with pytest.raises(TypeError, match=r"loss has a required parameter 'epoch' .* 2 fixed .* hp, step, total"):
        call("loss", function, 1, 2, **EXTRAS)


# The seam.


def extras(step=3, total_steps=8, stats=None):
    return Extras(np.int32(step), np.int32(total_steps), stats)


def variant_of(static=MappingProxyType({}), order=()):
    """Hyperparameters in this order, with the values of those that are static."""
    return Variant({}, {name: name for name in order}, static)


def test_hyperparameters_are_weak_inside_and_keep_the_users_order():
    seen = {}

    def init(key, hp, step, total_steps):
        seen.update(hp=hp, step=step, total_steps=total_steps)
        return jnp.zeros(())

    task = Task(init=init, step=init, evaluate=init)
    function = seamed(task, "init", variant_of({"act": "relu"}, ("lr", "act", "depth")))
    function(jax.random.key(0), {"depth": jnp.int32(3), "lr": jnp.float32(0.1)}, extras())
    assert list(seen["hp"]) == ["lr", "act", "depth"]
    assert seen["hp"]["act"] == "relu"
    bfloat16, int8 = jnp.ones((), jnp.bfloat16), jnp.ones((), jnp.int8)
    assert (seen["hp"]["lr"] * bfloat16).dtype == jnp.bfloat16
    assert (seen["hp"]["depth"] * int8).dtype == jnp.int8
    assert (seen["step"] / seen["total_steps"] * bfloat16).dtype == jnp.bfloat16


def test_functions_get_the_stats_they_ask_for():
    task = Task(
        init=lambda key, hp, stats: stats["mean"] + 1,
        step=lambda key, s, b, hp, stats: (s + stats["mean"], {}),
        evaluate=lambda key, s, d, hp, stats: {"loss": s * stats["mean"]},
    )
    stats = {"mean": jnp.float32(4)}
    given = extras(stats=stats)
    assert seamed(task, "init", variant_of())(None, {}, given) == 5
    assert seamed(task, "step", variant_of())(None, jnp.float32(1), None, {}, given)[0] == 5
    assert seamed(task, "evaluate", variant_of())(None, jnp.float32(2), None, {}, given)["loss"] == 8


# Tracing.

TABLE = jnp.arange(6.0).reshape(2, 3)


def init(key, hp):
    return {"w": 0.5, "n": 1, "key": key, "m": np.zeros(3, np.float32)}  # Python numbers will do


def step(key, state, batch, hp, step, total_steps):
    w = state["w"] + hp["lr"] * jnp.sum(TABLE) + jnp.sum(batch)
    return {**state, "w": w}, {"loss": w, "at": step / total_steps}


def evaluate(key, state, data, hp):
    return {"loss": state["w"] + jnp.sum(data), "one": 1}


X = np.ones((10, 2), np.float32)
TASK = Task(init=init, step=step, evaluate=evaluate, train=X, validation=X[:4], batch_size=5)
LR = {"lr": jax.ShapeDtypeStruct((), jnp.float32)}


def trace_of(task=TASK, static=None, hp=LR, order=("lr",), known=None):
    return trace({} if known is None else known, task, variant_of(static or {}, order), inputs_of(task, hp))


def test_the_trace_computes_what_the_functions_do():
    functions = trace_of()
    key, hp, given = jax.random.key(0), {"lr": jnp.float32(0.1)}, extras(step=2, total_steps=8)
    state = functions.init(functions.consts["init"], key, hp, given)  # a list, whatever the task's states are
    assert named(functions, state)["w"] == 0.5
    batch = jnp.asarray(X[:5])
    state, info, healthy = functions.step(functions.consts["step"], key, state, batch, hp, given)
    w = named(functions, state)["w"]
    np.testing.assert_allclose(w, 0.5 + 0.1 * 15 + 10, rtol=1e-6)
    assert (float(info["loss"]), float(info["at"]), bool(healthy)) == (float(w), 0.25, True)
    values = functions.evaluate(functions.consts["evaluate"], key, state, X[:4], hp, given)
    np.testing.assert_allclose(values["loss"], w + 8, rtol=1e-6)


def named(functions, state):
    return jax.tree.unflatten(functions.state_tree, state)


def test_a_state_of_python_numbers_becomes_strong_arrays():
    state = named(trace_of(), trace_of().state)
    assert {name: str(x.dtype) for name, x in state.items()} == {
        "key": "key<fry>",
        "m": "float32",
        "n": "int32",
        "w": "float32",
    }
    assert not any(v.aval.weak_type for v in trace_of().init.jaxpr.outvars)


def test_names_of_logs_and_metrics_are_known_without_running():
    assert trace_of().info == ("at", "loss")
    assert trace_of().metrics == ("loss", "one")


def test_arrays_in_closures_become_arguments():
    consts = trace_of().consts
    assert any(const is TABLE for const in consts["step"])
    assert not any(const is TABLE for const in consts["init"])
    other = [TABLE + 1 if const is TABLE else const for const in consts["step"]]
    hp, given = {"lr": jnp.float32(1)}, extras()
    state = trace_of().init(consts["init"], jax.random.key(0), hp, given)
    batch = jnp.zeros((5, 2))
    args = jax.random.key(0), state, batch, hp, given
    before, after = (named(trace_of(), trace_of().step(c, *args)[0])["w"] for c in (consts["step"], tuple(other)))
    assert float(after - before) == TABLE.size  # nothing of the table is baked into the trace


def test_the_inputs_that_are_hyperparameters_are_known():
    functions = trace_of(hp={"b": LR["lr"], "lr": LR["lr"]}, order=("lr", "b"))
    for part in (functions.init, functions.step, functions.evaluate):
        assert part.hp.stop - part.hp.start == 2
    shapes = [v.aval.shape for v in functions.step.jaxpr.invars[functions.step.hp]]
    assert shapes == [(), ()]
    assert functions.step.jaxpr.invars[functions.step.hp.start - 1].aval.shape == (5, 2)  # the batch


# Finding a trace again.


def test_one_search_traces_nothing_twice():
    known = {}
    first = trace_of(known=known)
    assert trace_of(known=known) is first
    assert trace_of(TASK.replace(train=X + 1, validation=X[4:8], test=X), known=known) is first
    assert trace_of() is not first  # another search does


@pytest.mark.parametrize(
    "change",
    [
        {"task": TASK.replace(batch_size=2)},
        {"task": TASK.replace(validation=X[:3])},
        {"task": TASK.replace(train=X[:, :1])},
        {"task": TASK.replace(evaluate=lambda key, s, d, hp: {"loss": s["w"]})},
        {"static": {"n": 1}, "order": ("lr", "n")},
        {"hp": {}, "static": {"lr": 0.1}},
    ],
    ids=["batch size", "validation size", "shape", "function", "constant", "static"],
)
def test_anything_else_is_traced_anew(change):
    known = {}
    assert trace_of(**change, known=known) is not trace_of(known=known)


@pytest.mark.parametrize("values", [(1, True), (1, 1.0), (0.0, False)])
def test_static_values_count_as_different_types_even_if_equal(values):
    known = {}
    first, second = (trace_of(static={"n": value}, order=("lr", "n"), known=known) for value in values)
    assert first is not second


def test_a_changed_setting_is_traced_anew():
    known = {}
    first = trace_of(known=known)
    with jax.default_matmul_precision("highest"):
        assert trace_of(known=known) is not first


def test_equal_containers_of_other_types_are_traced_anew():
    """(1, 2) == (1.0, 2.0), but a program may differ."""

    def evaluate(key, state, data, hp):
        return {"loss": jnp.float32(sum(1 if isinstance(v, float) else 2 for v in hp["c"]))}

    def step(key, state, batch, hp):
        return state, {}

    task = Task(init=lambda key, hp: jnp.zeros(()), step=step, evaluate=evaluate)
    known = {}
    variants = [variant_of({"c": c}, ("c",)) for c in ((1, 2), (1.0, 2.0), (1, 2))]
    traces = [trace(known, task, variant, inputs_of(task, {})) for variant in variants]
    assert traces[0] is traces[2]
    assert traces[0] is not traces[1]
