"""What traced functions compute, as values: equal for equal computations and for nothing else."""

import os
import subprocess
import sys
from collections import namedtuple
from functools import partial

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toys import DESCENT_SPACE, X, Y, tune

import jaxtune as jt
from jaxtune.tasks.fingerprints import array_digest, digest, fingerprint

ONE = np.ones(3, np.float32)


def traced(function, *args):
    return fingerprint(jax.make_jaxpr(function)(*(args or (ONE,))).jaxpr)


def layered(x):
    """Everything that a jaxpr can hold: calls, loops, branches, rules, random numbers."""
    x = jax.nn.relu(jax.jit(jnp.tanh)(x)) + jax.random.normal(jax.random.key(0), x.shape)
    x = jax.lax.scan(lambda c, _: (jnp.sin(c), None), x, length=3)[0]
    x = jax.lax.cond(x[0] > 0, jnp.cos, jnp.exp, x)
    return jax.lax.while_loop(lambda c: c[0] < 0, lambda c: c + 1, jax.nn.softmax(x))


def test_the_same_text_traced_again_is_equal():
    again = jax.tree_util.Partial(lambda x: layered(x))
    assert traced(layered) == traced(again)
    assert digest(traced(layered)) == digest(traced(again))
    assert hash(traced(layered)) == hash(traced(again))


@partial(jax.jit, static_argnums=1)
def scaled(x, n):
    return x * n


def with_jvp(factor):
    @jax.custom_jvp
    def f(x):
        return jnp.round(x)

    f.defjvp(lambda primals, tangents: (f(*primals), factor * tangents[0]))
    return f


def with_vjp(factor):
    @jax.custom_vjp
    def f(x):
        return jnp.round(x)

    f.defvjp(lambda x: (f(x), None), lambda _, g: (factor * g,))
    return f


def called(offset):
    struct = jax.ShapeDtypeStruct((), jnp.float32)
    return lambda x: x + jax.pure_callback(lambda y: np.float32(offset), struct, x[0], vmap_method="sequential")


def total(function):
    return lambda x: function(x).sum()


def choosing(first, second):
    return lambda x: jax.lax.cond(x[0] > 0, first, second, x)


def closed(value):
    return lambda x: jax.jit(lambda y: y + jnp.asarray(value))(x)


DIFFERENT = {
    "numbers": (lambda x: x * 2.0, lambda x: x * 2.0000002),
    "types of numbers": (lambda x: jnp.full(2, 1) + 0 * x[0], lambda x: jnp.full(2, 1.0) + 0 * x[0]),
    "static arguments": (lambda x: scaled(x, 2), lambda x: scaled(x, 3)),
    "operations": (jnp.sin, jnp.cos),
    "order of arguments": (lambda x: x - x[::-1], lambda x: x[::-1] - x),
    "gradients by custom_jvp": (jax.grad(total(with_jvp(1.0))), jax.grad(total(with_jvp(2.0)))),
    "gradients by custom_vjp": (jax.grad(total(with_vjp(1.0))), jax.grad(total(with_vjp(2.0)))),
    "pure callbacks": (called(1.0), called(2.0)),
    "lengths of loops": tuple(
        lambda x, n=n: jax.lax.scan(lambda c, _: (jnp.sin(c), None), x, length=n)[0] for n in (2, 3)
    ),
    "branches": (choosing(jnp.sin, jnp.cos), choosing(jnp.cos, jnp.sin)),
    "negative zero": (lambda x: jnp.where(x > 0, x, 0.0), lambda x: jnp.where(x > 0, x, -0.0)),
}  # fmt: skip


@pytest.mark.parametrize("name", DIFFERENT)
def test_other_computations_differ(name):
    first, second = DIFFERENT[name]
    assert traced(first) != traced(second)
    assert traced(first) == traced(first)


def test_shapes_and_dtypes_differ():
    assert traced(jnp.sin, ONE) != traced(jnp.sin, ONE[:2])
    assert traced(jnp.sin, ONE) != traced(jnp.sin, ONE.astype(jnp.bfloat16))


def test_arrays_of_a_trace_are_arguments_and_those_inside_a_call_are_not():
    outer = [jax.make_jaxpr(lambda x, a=a: x + a)(ONE) for a in (jnp.arange(3.0), jnp.arange(1.0, 4.0))]
    assert fingerprint(outer[0].jaxpr) == fingerprint(outer[1].jaxpr)
    inner = [jax.make_jaxpr(closed(a))(ONE) for a in (jnp.arange(3.0), jnp.arange(3.0), jnp.arange(1.0, 4.0))]
    whole = [(fingerprint(one.jaxpr), array_digest(one.consts)) for one in inner]
    assert whole[0] == whole[1]
    assert whole[0] != whole[2]


@pytest.mark.parametrize("dtype", [np.float32, jnp.bfloat16, np.int8, np.bool_, np.complex64])
def test_digests_of_arrays(dtype):
    values = np.arange(20).reshape(4, 5).astype(dtype)
    other = values.copy()
    other[2, 3] = 0
    assert array_digest(values) == array_digest(jnp.asarray(values)) != array_digest(other)
    assert array_digest(values) != array_digest(values.reshape(5, 4))
    assert array_digest([values, other]) != array_digest([other, values])


# Whole searches: what shares programs, and what must not


def cell(noise=0.0):
    """A notebook cell that is run again: everything in it is new."""

    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(1)(nn.tanh(nn.Dense(8)(x)))

    task = jt.supervised(
        lambda hp: Net(),
        optimizer=lambda hp: optax.adam(hp["lr"]),
        loss=lambda outputs, targets: optax.squared_error(outputs, targets) + noise,
        metrics={"mae": lambda outputs, targets: jnp.abs(outputs - targets)},
        train=(X[:30], Y[:30]),
        validation=(X[30:], Y[30:]),
        batch_size=8,
    )
    return tune(task, {"lr": jt.LogUniform(1e-3, 3e-2)}, scheduler=jt.SuccessiveHalving(9, 10, 30), keep="best")


def test_a_cell_that_is_run_again_compiles_nothing(compiled):
    first = cell()
    assert compiled
    compiled.clear()
    second = cell()
    assert not compiled
    np.testing.assert_array_equal(first.history.metrics["loss"], second.history.metrics["loss"])
    third = cell(noise=1.0)  # another number in the loss is another program
    assert set(compiled) == {"advance", "evaluate"}
    np.testing.assert_allclose(third.best.metrics["loss"], first.best.metrics["loss"] + 1, rtol=1e-5)


def own_task(kind, factor=1.0):
    """A task whose state is of a class defined in the same cell."""
    if kind == "named tuple":
        State = namedtuple("State", ["x", "n"])
    elif kind == "flax struct":

        @flax.struct.dataclass
        class State:
            x: jax.Array
            n: jax.Array
    else:

        def State(x, n):
            return {"x": x, "n": n}

    def get(state, name):
        return state[name] if isinstance(state, dict) else getattr(state, name)

    return jt.Task(
        init=lambda key, hp: State(x=jax.random.normal(key, (3,)), n=jnp.int32(0)),
        step=lambda key, s, batch, hp: (State(x=get(s, "x") * (1 - factor * hp["lr"]), n=get(s, "n") + 1), {}),
        evaluate=lambda key, s, data, hp: {"loss": jnp.sum(get(s, "x") ** 2)},
    )


@pytest.mark.parametrize("kind", ["named tuple", "flax struct", "dict"])
def test_states_of_classes_that_are_defined_again(compiled, kind):
    first = tune(own_task(kind), DESCENT_SPACE, scheduler=jt.FullBudget(4, 20))
    compiled.clear()
    second = tune(own_task(kind), DESCENT_SPACE, scheduler=jt.FullBudget(4, 20))
    assert not compiled
    assert type(first.best.state) is not type(second.best.state) or kind == "dict"  # the user's own, each time
    assert first.best.metrics == second.best.metrics


def test_equal_text_with_other_values_is_another_search():
    losses = [
        tune(own_task("dict", f), DESCENT_SPACE, scheduler=jt.FullBudget(4, 20)).best.metrics["loss"]
        for f in (1.0, 3.0)
    ]
    assert losses[1] < losses[0]


@pytest.mark.parametrize("rule", [with_jvp, with_vjp])
def test_rules_of_differentiation_are_not_shared(rule):
    """Equal values, other gradients: the weights after training tell them apart."""

    def trained(factor):
        f = rule(factor)
        task = jt.Task(
            init=lambda key, hp: jnp.float32(10.0),
            step=lambda key, w, batch, hp: (w - hp["lr"] * jax.grad(f)(w), {}),
            evaluate=lambda key, w, data, hp: {"loss": w},
        )
        return tune(task, {"lr": 0.125}, scheduler=jt.FullBudget(1, 8)).best.metrics["loss"]

    assert [trained(factor) for factor in (1.0, 2.0, 1.0)] == [9.0, 8.0, 9.0]


def test_callbacks_are_not_shared():
    def trained(value):
        task = jt.Task(
            init=lambda key, hp: jnp.zeros(1),
            step=lambda key, w, batch, hp: (called(value)(w) + 0 * hp["lr"], {}),
            evaluate=lambda key, w, data, hp: {"loss": w[0]},
        )
        return tune(task, DESCENT_SPACE, scheduler=jt.FullBudget(2, 3)).best.metrics["loss"]

    assert [trained(value) for value in (1.0, 2.0)] == [3.0, 6.0]


def test_arrays_in_closures_are_not_shared(compiled):
    """They are arguments of one program."""

    def trained(array):
        task = jt.Task(
            init=lambda key, hp: jnp.float32(0),
            step=lambda key, w, batch, hp: (w + jnp.sum(array) + 0 * hp["lr"], {}),
            evaluate=lambda key, w, data, hp: {"loss": w},
        )
        return tune(task, DESCENT_SPACE, scheduler=jt.FullBudget(2, 3)).best.metrics["loss"]

    assert trained(jnp.ones(4)) == 12.0
    compiled.clear()
    assert trained(2 * jnp.ones(4)) == 24.0
    assert not compiled


def test_settings_of_jax_are_not_shared(compiled):
    def again():
        tune(own_task("dict"), DESCENT_SPACE, scheduler=jt.FullBudget(2, 3))

    again()
    compiled.clear()
    with jax.default_matmul_precision("highest"):
        again()
    assert compiled["advance"]
    compiled.clear()
    again()
    assert not compiled


def test_data_of_other_shapes_are_not_shared(compiled):
    task = jt.Task(
        init=lambda key, hp: jnp.float32(0),
        step=lambda key, w, batch, hp: (w + jnp.sum(batch) * hp["lr"], {}),
        evaluate=lambda key, w, data, hp: {"loss": jnp.sum(data) + w},
        batch_size=2,
        train=np.ones(10, np.float32),
        validation=np.ones(4, np.float32),
    )
    tune(task, DESCENT_SPACE, scheduler=jt.FullBudget(2, 3))
    compiled.clear()
    longer = tune(task.replace(train=np.ones(12, np.float32)), DESCENT_SPACE, scheduler=jt.FullBudget(2, 3))
    assert compiled["advance"]
    assert np.isfinite(longer.best.metrics["loss"])


def test_another_number_of_trials_compiles_what_is_new_in_shape(compiled):
    tune(own_task("dict"), DESCENT_SPACE, scheduler=jt.SuccessiveHalving(27, 10, 90))
    compiled.clear()
    tune(own_task("dict"), DESCENT_SPACE, scheduler=jt.SuccessiveHalving(28, 10, 90))
    assert not compiled
    tune(own_task("dict"), DESCENT_SPACE, scheduler=jt.SuccessiveHalving(27, 10, 90), evaluate_every=10)
    assert compiled["spawn"] == compiled["advance"] == 0


TRACED = """
import hashlib, flax.linen as nn, numpy as np, optax, jaxtune as jt
from jaxtune.tasks.problem import resolve
from jaxtune.spaces.space import Space
x = np.ones((20, 3), np.float32)
metrics = {name: lambda outputs, targets, power=power: (outputs[:, 0] - targets) ** power
           for power, name in enumerate(("first", "second", "third", "fourth"))}
task = jt.supervised(nn.Dense(2), optimizer=lambda hp: optax.adam(hp["lr"]), metrics=metrics,
                     loss=optax.softmax_cross_entropy_with_integer_labels, batch_size=5,
                     train=(x, np.zeros(20, int)), validation=(x, np.zeros(20, int)))
functions = resolve(task, Space.of({"lr": jt.LogUniform(1e-3, 1.0)}), "loss", None).first.functions
print(hashlib.sha256("".join(str(part.jaxpr) for part in functions.parts).encode()).hexdigest())
"""


@pytest.mark.slow
def test_traces_do_not_depend_on_the_hashes_of_python():
    """Else a second process would compile again what the first one left on disk."""
    seen = set()
    for seed in "123":
        environment = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONHASHSEED": seed}
        run = subprocess.run(
            [sys.executable, "-c", TRACED], capture_output=True, text=True, env=environment, check=True
        )
        seen.add(run.stdout)
    assert len(seen) == 1
