"""Schedules equal Optax's at fixed arguments, and take every argument traced."""

import inspect
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxtune import schedules
from jaxtune.tasks.weak import weaken

STEPS = np.arange(10_001)

# schedule -> argument sets, each a dict of Optax's names
CASES = {
    "constant_schedule": [{"value": 0.1}],
    "linear_schedule": [
        {"init_value": 0.1, "end_value": 0.001, "transition_steps": 8000},
        {"init_value": 0.0, "end_value": 0.3, "transition_steps": 12_345, "transition_begin": 700},
        {"init_value": 0.1, "end_value": 0.2, "transition_steps": 1, "transition_begin": -5},
        {"init_value": 0.1, "end_value": 0.2, "transition_steps": 0, "transition_begin": 3},
        {"init_value": 0.1, "end_value": 0.2, "transition_steps": -4},
    ],
    "polynomial_schedule": [
        {"init_value": 0.1, "end_value": 0.001, "power": 2, "transition_steps": 8000},
        {"init_value": 0.1, "end_value": 0.3, "power": 0.5, "transition_steps": 1234, "transition_begin": 77},
        {"init_value": 1.0, "end_value": 0.0, "power": 1.5, "transition_steps": 1234.5, "transition_begin": -3},
        {"init_value": 1.0, "end_value": 0.0, "power": 2.0, "transition_steps": 0},
    ],
    "exponential_decay": [
        {"init_value": 0.1, "transition_steps": 1000, "decay_rate": 0.5},
        {"init_value": 0.1, "transition_steps": 700, "decay_rate": 0.9, "transition_begin": 50, "staircase": True},
        {"init_value": 0.1, "transition_steps": 123.4, "decay_rate": 0.9, "transition_begin": -50},
        {"init_value": 0.1, "transition_steps": 1000, "decay_rate": 0.5, "end_value": 0.01},
        {"init_value": 0.1, "transition_steps": 1000, "decay_rate": 1.5, "end_value": 0.4, "staircase": True},
        {"init_value": 0.1, "transition_steps": 1000, "decay_rate": 0.0, "end_value": 0.4},
        {"init_value": 0.1, "transition_steps": 0, "decay_rate": 0.5, "end_value": 0.4},
    ],
    "piecewise_constant_schedule": [
        {"init_value": 0.1},
        {"init_value": 0.1, "boundaries_and_scales": {3000: 0.1, 6000: 0.5, 9000: 4.0}},
        {"init_value": 0.1, "boundaries_and_scales": {6000: 0.1, 0: 0.5, 1234.5: 0.0}},
    ],
    "piecewise_interpolate_schedule": [
        {"interpolate_type": "linear", "init_value": 0.1},
        {"interpolate_type": "linear", "init_value": 0.1, "boundaries_and_scales": {1: 9.0, 8000: 0.1, 9000: 0.0}},
        {"interpolate_type": "cosine", "init_value": 0.1, "boundaries_and_scales": {500: 9.0, 10_000: 0.1}},
        {"interpolate_type": "cosine", "init_value": 0.1, "boundaries_and_scales": {600: 0.5, 0: 3.0, 50.5: 0.1}},
    ],
    "cosine_decay_schedule": [
        {"init_value": 0.1, "decay_steps": 8000},
        {"init_value": 1.0, "decay_steps": 12_000, "alpha": 0.1},
        {"init_value": 3e-4, "decay_steps": 777.7, "alpha": 0.01, "exponent": 2.0},
        {"init_value": 3e-4, "decay_steps": 5000, "alpha": 1.5, "exponent": 0.5},
        {"init_value": 1.0, "decay_steps": 1},
        {"init_value": -1.0, "decay_steps": 500, "exponent": 3},
    ],
    "warmup_constant_schedule": [
        {"init_value": 0.0, "peak_value": 0.1, "warmup_steps": 1000},
        {"init_value": 0.01, "peak_value": 0.1, "warmup_steps": 77.7},
        {"init_value": 0.01, "peak_value": 0.1, "warmup_steps": 0},
    ],
    "warmup_cosine_decay_schedule": [
        {"init_value": 0.0, "peak_value": 0.1, "warmup_steps": 500, "decay_steps": 9000},
        {"init_value": 0.0, "peak_value": 0.1, "warmup_steps": 0, "decay_steps": 9000},
        {"init_value": 1e-5, "peak_value": 3e-4, "warmup_steps": 1, "decay_steps": 2, "end_value": 1e-6},
        {"init_value": 0.0, "peak_value": 1.0, "warmup_steps": 123.4, "decay_steps": 5678.9, "exponent": 2.0},
        {
            "init_value": 0.2,
            "peak_value": 0.1,
            "warmup_steps": 3000,
            "decay_steps": 20_000,
            "end_value": 0.05,
            "exponent": 0.5,
        },
        {"init_value": 0.1, "peak_value": 0.0, "warmup_steps": 100, "decay_steps": 1000, "end_value": 0.5},
        {"init_value": 0.0, "peak_value": 0.1, "warmup_steps": 100, "decay_steps": 1000, "end_value": 0.5},
    ],
    "warmup_exponential_decay_schedule": [
        {"init_value": 0.0, "peak_value": 0.1, "warmup_steps": 500, "transition_steps": 900, "decay_rate": 0.5},
        {
            "init_value": 0.01,
            "peak_value": 0.1,
            "warmup_steps": 0,
            "transition_steps": 1000,
            "decay_rate": 0.8,
            "transition_begin": 100,
            "staircase": True,
            "end_value": 0.02,
        },
    ],
    "cosine_onecycle_schedule": [
        {"transition_steps": 10_000, "peak_value": 0.1},
        {"transition_steps": 777, "peak_value": 0.1, "pct_start": 0.45, "div_factor": 10.0, "final_div_factor": 5.0},
    ],
    "linear_onecycle_schedule": [
        {"transition_steps": 10_000, "peak_value": 0.1},
        {"transition_steps": 777, "peak_value": 0.1, "pct_start": 0.45, "pct_final": 0.9, "final_div_factor": 5.0},
        {"transition_steps": 500, "peak_value": 0.1, "pct_start": 0.0, "pct_final": 0.998, "div_factor": 3.0},
    ],
    "sgdr_schedule": [
        {
            "cosine_kwargs": [
                {"init_value": 0.0, "peak_value": 0.1, "warmup_steps": 100, "decay_steps": 1000},
                {"init_value": 0.0, "peak_value": 0.05, "warmup_steps": 0, "decay_steps": 2000, "end_value": 0.01},
                {"init_value": 0.0, "peak_value": 0.03, "warmup_steps": 9, "decay_steps": 3000, "exponent": 2.0},
            ]
        },
        {"cosine_kwargs": [{"init_value": 0.0, "peak_value": 0.1, "warmup_steps": 10, "decay_steps": 100}]},
    ],
    "join_schedules": [
        {
            "schedules": [
                ("linear_schedule", {"init_value": 0.0, "end_value": 0.1, "transition_steps": 100}),
                ("constant_schedule", {"value": 0.1}),
                ("exponential_decay", {"init_value": 0.1, "transition_steps": 1000, "decay_rate": 0.5}),
            ],
            "boundaries": [100, 5000],
        },
        {"schedules": [("cosine_decay_schedule", {"init_value": 0.1, "decay_steps": 100})], "boundaries": []},
    ],
}
OWN = {
    "cyclic_schedule": [
        {"base_value": 0.01, "peak_value": 0.1, "half_cycle_steps": 500},
        {"base_value": 0.1, "peak_value": 0.01, "half_cycle_steps": 3, "gamma": 1.0},
        {"base_value": 0.01, "peak_value": 0.1, "half_cycle_steps": 77.7, "gamma": 0.97},
        {"base_value": 0.01, "peak_value": 0.1, "half_cycle_steps": 700, "gamma": 0.5},
        {"base_value": 0.01, "peak_value": 0.1, "half_cycle_steps": 700, "gamma": 0.0},
    ],
    "cosine_restarts_schedule": [
        {"init_value": 0.1, "first_cycle_steps": 100},
        {"init_value": 0.1, "first_cycle_steps": 1, "cycle_multiplier": 2, "end_value": 0.01},
        {"init_value": 0.1, "first_cycle_steps": 7, "cycle_multiplier": 3, "end_value": 0.2},
        {"init_value": 0.1, "first_cycle_steps": 33.3, "cycle_multiplier": 1.37},
        {"init_value": 0.1, "first_cycle_steps": 51, "cycle_multiplier": 1.001},
        {"init_value": 0.1, "first_cycle_steps": 20_000, "cycle_multiplier": 2.0},
    ],
}
ALL = CASES | OWN
ROWS = [(name, number) for name, sets in CASES.items() for number in range(len(sets))]
OWN_ROWS = [(name, number) for name, sets in OWN.items() for number in range(len(sets))]


def make(module, name, arguments):
    """The schedule; those of `join_schedules` are given by name and arguments."""
    if name == "join_schedules":
        parts = [make(module, *part) for part in arguments["schedules"]]
        return module.join_schedules(parts, arguments["boundaries"])
    return getattr(module, name)(**arguments)


def complete(name, arguments):
    """The arguments with defaults filled in, as a pytree whose leaves are all numbers that may be traced."""
    if name == "join_schedules":
        return arguments
    bound = inspect.signature(getattr(schedules, name)).bind(**arguments)
    bound.apply_defaults()
    arguments = dict(bound.arguments)
    if isinstance(arguments.get("boundaries_and_scales"), dict):
        arguments["boundaries_and_scales"] = sorted(arguments["boundaries_and_scales"].items())
    return arguments


def split(arguments):
    """Numbers, and how to put others in their place; text stays."""
    leaves, tree = jax.tree.flatten(arguments)

    def put(numbers):
        numbers = iter(numbers)
        return jax.tree.unflatten(tree, [leaf if isinstance(leaf, str) else next(numbers) for leaf in leaves])

    return [leaf for leaf in leaves if not isinstance(leaf, str)], put


def values(schedule):
    return jax.vmap(lambda count: jnp.asarray(schedule(count)))(STEPS)


def assert_close(got, want, rtol=2e-5, atol=1e-6):
    np.testing.assert_allclose(got, want, rtol=rtol, atol=atol * np.max(np.abs(want)))


@pytest.mark.parametrize("name", CASES)
def test_names_order_and_defaults_are_optax_s(name):
    ours, theirs = (inspect.signature(getattr(module, name)).parameters for module in (schedules, optax))
    assert [(p.name, p.default) for p in ours.values()] == [(p.name, p.default) for p in theirs.values()]


def test_every_schedule_has_cases():
    assert set(schedules.__all__) == set(ALL)


def test_all_of_optax_s_schedules_are_there():
    """The rest of `optax.schedules` are types, and what changes an optimizer's settings without tracing."""
    makers = {name for name in dir(optax.schedules) if name.endswith(("_schedule", "_decay", "_schedules"))}
    makers = {name for name in makers if not name.startswith("_")}
    assert makers == set(CASES)


@pytest.mark.parametrize(("name", "number"), ROWS)
def test_values_equal_optax_s(name, number):
    """Over 10,000 steps, to 2e-5 of the value or 1e-6 of the greatest one."""
    want = values(make(optax, name, CASES[name][number]))
    got = jax.jit(lambda: values(make(schedules, name, CASES[name][number])))()
    assert got.dtype == want.dtype
    assert_close(got, want)


@pytest.mark.parametrize(("name", "number"), ROWS)
def test_values_equal_optax_s_with_every_argument_traced(name, number):
    numbers, put = split(complete(name, CASES[name][number]))
    others = [number if isinstance(number, bool) else 0.9 * number for number in numbers]

    @jax.jit
    @jax.vmap
    def traced(numbers):
        return values(make(schedules, name, put(map(weaken, numbers))))

    got = traced([jnp.asarray(pair) for pair in zip(numbers, others, strict=True)])
    assert_close(got[0], values(make(optax, name, CASES[name][number])))
    assert np.isfinite(got[1]).all()


@pytest.mark.parametrize("name", CASES)
def test_integer_arguments_may_be_traced(name):
    numbers, put = split(complete(name, CASES[name][0]))
    got = jax.jit(lambda numbers: jnp.asarray(make(schedules, name, put(numbers))(100)))(
        list(map(jnp.asarray, numbers))
    )
    assert_close(got, make(optax, name, CASES[name][0])(100))


@pytest.mark.parametrize("name", ALL)
def test_weak_arguments_and_strong_step_counts_give_weak_values(name):
    for arguments in ALL[name]:
        numbers, put = split(complete(name, arguments))

        def value(count, put=put, numbers=numbers):
            return jnp.asarray(make(schedules, name, put(numbers))(count))

        def traced(numbers, count, put=put):
            return jnp.asarray(make(schedules, name, put(map(weaken, numbers)))(count))

        assert jax.eval_shape(value, jnp.int32(3)).weak_type
        assert jax.eval_shape(traced, list(map(jnp.asarray, numbers)), jnp.int32(3)).weak_type


# Where Optax has no such schedule: references in plain Python.


def cyclic(base_value, peak_value, half_cycle_steps, gamma):
    """Straight lines between the corners of all cycles, one after the other."""
    at, height, corners = 0.0, peak_value - base_value, []
    while at <= STEPS[-1]:
        corners += [(at, base_value), (at + half_cycle_steps, base_value + height)]
        at, height = at + 2 * half_cycle_steps, height * gamma
    return np.interp(STEPS, *np.transpose([*corners, (at, base_value)]))


def restarts(init_value, first_cycle_steps, cycle_multiplier, end_value):
    """A restart is at the step nearest to the end of a cycle."""
    found, start, length = [], 0.0, first_cycle_steps
    for count in STEPS:
        while count + 0.5 >= start + length:
            start, length = start + length, length * cycle_multiplier
        angle = math.pi * min(max((count - start) / length, 0), 1)
        found.append(end_value + (init_value - end_value) * (1 + math.cos(angle)) / 2)
    return np.array(found)


REFERENCES = {"cyclic_schedule": cyclic, "cosine_restarts_schedule": restarts}


@pytest.mark.parametrize(("name", "number"), OWN_ROWS)
def test_values_equal_a_reference(name, number):
    """To 1e-4 of the greatest value: after many cycles float32 knows their start to about a thousandth of a step."""
    arguments = complete(name, OWN[name][number])
    numbers, put = split(arguments)
    want = REFERENCES[name](**put(float(np.float32(number)) for number in numbers))
    assert_close(jax.jit(lambda: values(make(schedules, name, arguments)))(), want, rtol=0, atol=1e-4)
    traced = jax.jit(jax.vmap(lambda numbers: values(make(schedules, name, put(numbers)))))
    assert_close(traced([jnp.asarray([number, 2 * number]) for number in numbers])[0], want, rtol=0, atol=1e-4)


def test_integer_cycles_are_pytorch_s():
    """T_0 = 10, T_mult = 2: cycles start at 0, 10, 30, 70 ... and nowhere else."""
    got = np.asarray(values(schedules.cosine_restarts_schedule(1.0, 10, 2)))
    assert np.flatnonzero(got == 1.0).tolist() == [10 * (2**i - 1) for i in range(10)]


# The corners where a formula divides 0 by 0, has an infinite slope or overflows; all traced.

CORNERS = {
    "constant_schedule": [{"value": 0.0}],
    "linear_schedule": [{"init_value": 0.1, "end_value": 0.0, "transition_steps": 0}],
    "polynomial_schedule": [
        {"init_value": 0.1, "end_value": 0.0, "power": power, "transition_steps": steps}
        for power in (0.5, 1.0, 2.0)
        for steps in (0, 10, 2.5)
    ],
    "exponential_decay": [
        {"init_value": 0.1, "transition_steps": steps, "decay_rate": rate, "transition_begin": 1000.0}
        for steps in (0, 0.1)
        for rate in (0.0, 0.01, 1.0)
    ],
    "piecewise_constant_schedule": [{"init_value": 0.0, "boundaries_and_scales": {0: 0.0, 5: 0.0}}],
    "piecewise_interpolate_schedule": [
        {"interpolate_type": kind, "init_value": 0.1, "boundaries_and_scales": [(0, 0.0), (5, 2.0), (5, 1.0)]}
        for kind in ("linear", "cosine")
    ],
    "cosine_decay_schedule": [{"init_value": 0.1, "decay_steps": steps, "exponent": 0.5} for steps in (0, 10)],
    "warmup_constant_schedule": [{"init_value": 0.0, "peak_value": 0.1, "warmup_steps": 0}],
    "warmup_cosine_decay_schedule": [
        {
            "init_value": 0.0,
            "peak_value": peak,
            "warmup_steps": warmup,
            "decay_steps": decay,
            "end_value": 0.01,
            "exponent": exponent,
        }
        for warmup, decay in [(0.0, 10.0), (10.0, 10.0), (0.0, 0.0), (12.0, 10.0), (2.5, 10.0)]
        for exponent in (0.5, 1.0, 2.0)
        for peak in (0.0, 0.1)
    ],
    "warmup_exponential_decay_schedule": [
        {"init_value": 0.0, "peak_value": 0.1, "warmup_steps": 100, "transition_steps": 0.1, "decay_rate": 0.01}
    ],
    "cosine_onecycle_schedule": [{"transition_steps": steps, "peak_value": 0.1} for steps in (0, 1)],
    "linear_onecycle_schedule": [{"transition_steps": steps, "peak_value": 0.1} for steps in (0, 1)],
    "sgdr_schedule": [
        {"cosine_kwargs": 2 * [{"init_value": 0.0, "peak_value": 0.1, "warmup_steps": 0, "decay_steps": 0}]}
    ],
    "join_schedules": [
        {
            "schedules": 2 * [("cosine_decay_schedule", {"init_value": 0.1, "decay_steps": 5, "exponent": 0.5})],
            "boundaries": [5],
        }
    ],
    "cyclic_schedule": [
        {"base_value": 0.01, "peak_value": 0.1, "half_cycle_steps": steps, "gamma": gamma}
        for steps in (-1, 0, 5)
        for gamma in (0.0, 1.0)
    ],
    "cosine_restarts_schedule": [
        {"init_value": 0.1, "first_cycle_steps": steps, "cycle_multiplier": multiplier}
        for steps in (-1, 0, 5)
        for multiplier in (0.0, 0.5, 1.0, 2.0)
    ],
}


@pytest.mark.parametrize("name", ALL)
def test_values_and_gradients_are_finite(name):
    counts = jnp.array([0, 1, 5, 9, 10, 11, 100, 777, 3000, 10_000])
    groups = {}  # of equal structure, so that each is compiled once
    for arguments in ALL[name] + CORNERS[name]:
        numbers, put = split(complete(name, arguments))
        structure = str(jax.tree.structure(put(numbers))) + str(arguments.get("interpolate_type"))
        groups.setdefault(structure, (put, []))[1].append(np.array(numbers, np.float32))
    for put, rows in groups.values():

        def value(numbers, count, put=put):
            return jnp.asarray(make(schedules, name, put(list(numbers)))(count))

        found = jax.vmap(jax.vmap(jax.value_and_grad(value), in_axes=(None, 0)), in_axes=(0, None))
        values, gradients = jax.jit(found)(np.stack(rows), counts)
        finite = np.isfinite(values).all(axis=1) & np.isfinite(gradients).all(axis=(1, 2))
        assert finite.all(), [rows[i] for i in np.flatnonzero(~finite)]


def test_traced_arguments_that_a_known_value_may_not_have():
    """Nothing can be raised then: what holds instead is said in the docstrings."""

    def at(name, count, *arguments):
        return float(jax.jit(lambda numbers: make(schedules, name, dict(numbers))(count))(arguments[0]))

    assert at("cosine_decay_schedule", 0, {"init_value": 1.0, "decay_steps": 0, "alpha": 0.25}) == 0.25
    late = {"init_value": 0.0, "peak_value": 1.0, "warmup_steps": 12, "decay_steps": 10, "end_value": 0.25}
    assert at("warmup_cosine_decay_schedule", 12, late) == 0.25
    assert at("cyclic_schedule", 3, {"base_value": 0.5, "peak_value": 1.0, "half_cycle_steps": 0}) == 0.5
    restart = {"init_value": 0.5, "first_cycle_steps": 10, "cycle_multiplier": 0.1}
    assert at("cosine_restarts_schedule", 40, restart) == 0.5
    assert at("cosine_restarts_schedule", 3, restart | {"first_cycle_steps": 0}) == 0.5
    cycle = {"transition_steps": 0, "peak_value": 1.0, "div_factor": 2.0, "final_div_factor": 4.0}
    assert at("linear_onecycle_schedule", 9, cycle | {"transition_steps": 10, "pct_final": 1.0}) > 0.5
    assert at("cosine_onecycle_schedule", 0, cycle) == at("linear_onecycle_schedule", 0, cycle) == 0.125


BAD = {
    "no steps": (lambda: schedules.cosine_decay_schedule(0.1, 0), "cosine_decay_schedule needs decay_steps > 0, got 0"),
    "nan steps": (lambda: schedules.cosine_decay_schedule(0.1, math.nan), "needs decay_steps > 0, got nan"),
    "all warmup": (
        lambda: schedules.warmup_cosine_decay_schedule(0.0, 0.1, jnp.int32(15), jnp.int32(10)),
        "needs decay_steps - warmup_steps > 0, got -5",
    ),
    "no cycle": (lambda: schedules.sgdr_schedule([]), "needs the arguments of at least one cycle"),
    "an empty cycle": (
        lambda: schedules.sgdr_schedule([{"init_value": 0, "peak_value": 1, "warmup_steps": 0, "decay_steps": 0}]),
        "needs decay_steps - warmup_steps > 0, got 0",
    ),
    "no first cycle": (lambda: schedules.cosine_restarts_schedule(0.1, 0), "needs first_cycle_steps > 0, got 0"),
    "shrinking cycles": (
        lambda: schedules.cosine_restarts_schedule(0.1, 10, 0.5),
        "cosine_restarts_schedule needs cycle_multiplier >= 1, got 0.5",
    ),
    "no half cycle": (lambda: schedules.cyclic_schedule(0.0, 0.1, 0), "needs half_cycle_steps > 0, got 0"),
    "no onecycle": (lambda: schedules.linear_onecycle_schedule(0, 0.1), "needs transition_steps > 0, got 0"),
    "no cosine onecycle": (lambda: schedules.cosine_onecycle_schedule(-1, 0.1), "needs transition_steps > 0, got -1"),
    "percent": (
        lambda: schedules.cosine_onecycle_schedule(10, 0.1, 30),
        "cosine_onecycle_schedule needs 0 <= pct_start <= 1, got pct_start=30.0",
    ),
    "shares out of order": (
        lambda: schedules.linear_onecycle_schedule(10, 0.1, 0.5, 0.4),
        "needs 0 <= pct_start <= pct_final <= 1, got pct_start=0.5, pct_final=0.4",
    ),
    "negative scale": (
        lambda: schedules.piecewise_constant_schedule(0.1, {5: 0.5, 3: -1.0}),
        "piecewise_constant_schedule needs scales >= 0, got -1",
    ),
    "boundaries out of order": (
        lambda: schedules.piecewise_constant_schedule(0.1, [(5, 0.5), (3, 0.5)]),
        "piecewise_constant_schedule needs increasing boundaries, got 5, 3.",
    ),
    "interpolation": (
        lambda: schedules.piecewise_interpolate_schedule("cubic", 0.1),
        "needs interpolate_type 'linear' or 'cosine', got 'cubic'",
    ),
    "boundaries missing": (
        lambda: schedules.join_schedules([len, len], []),
        "needs one boundary between each two schedules, got 2 schedules and 0 boundaries",
    ),
    "no schedules": (lambda: schedules.join_schedules([], []), "got 0 schedules and 0 boundaries"),
}


@pytest.mark.parametrize("what", BAD)
def test_known_bad_arguments_are_refused_with_a_sentence(what):
    call, message = BAD[what]
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("given", [[5, 0.5], "ab", 3, [(1, 2, 3)]], ids=repr)
def test_boundaries_that_are_no_pairs_are_refused(given):
    with pytest.raises(TypeError, match="needs a dict of boundary -> scale or .boundary, scale. pairs, got"):
        schedules.piecewise_interpolate_schedule("linear", 0.1, given)


# Learning rates of optimizers.


def train(factory, schedule, dtype):
    """Parameters after six steps, of which the first are all of every schedule's early phases."""
    optimizer = factory(schedule)
    params = jnp.linspace(0.5, 1.0, 3).astype(dtype)

    def step(carry, _):
        params, state = carry
        updates, state = optimizer.update(params, state, params)
        return (optax.apply_updates(params, updates), state), updates

    (params, _), updates = jax.lax.scan(step, (params, optimizer.init(params)), length=6)
    assert params.dtype == updates.dtype == dtype
    return params


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("factory", [optax.sgd, optax.adamw])
@pytest.mark.parametrize("name", ALL)
def test_learning_rates_of_optimizers(name, factory, dtype):
    arguments = ALL[name][-1]
    numbers, put = split(complete(name, arguments))

    @jax.jit
    @jax.vmap
    def traced(numbers):
        return train(factory, make(schedules, name, put(map(weaken, numbers))), dtype)

    got = traced([jnp.asarray([number, number]) for number in numbers])
    if name in CASES:
        want = jax.jit(lambda: train(factory, make(optax, name, arguments), dtype))()
        near = 1e-5 if dtype == jnp.float32 else 1e-2
        np.testing.assert_allclose(got[0].astype(np.float32), want.astype(np.float32), rtol=near, atol=near)
