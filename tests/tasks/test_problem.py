"""Traced or static, read or not: what is found out about a task and a space before anything compiles."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxtune as jt
from jaxtune.spaces.space import Space
from jaxtune.tasks.problem import resolve

TABLES = {"a": jnp.arange(3.0), "b": jnp.arange(3.0), "c": jnp.ones(3)}


def task(use):
    """A task whose step adds what `use` makes of the hyperparameters."""

    def step(key, state, batch, hp, step, total_steps):
        return state + use(hp), {"loss": state}

    return jt.Task(
        init=lambda key, hp: jnp.zeros(()),
        step=step,
        evaluate=lambda key, state, data, hp: {"loss": state},
    )


def pinned(use, **space):
    return resolve(task(use), Space.of(space), "loss", None).space


# An Integer or a Choice of numbers is traced where the task can take an array, else static.


def width(hp):
    return jnp.sum(jnp.ones(hp["width"]))


def test_what_decides_shapes_becomes_static():
    space = pinned(width, width=jt.Integer(2, 5))
    assert (space.static, space.traced) == (("width",), ())


def test_what_is_only_calculated_with_becomes_traced():
    space = pinned(lambda hp: 1.0 * hp["warmup_steps"], warmup_steps=jt.Integer(10, 1000, log=True))
    assert (space.static, space.traced) == ((), ("warmup_steps",))


@pytest.mark.parametrize(
    "use",
    [
        lambda hp: 1.0 if hp["n"] > 3 else 0.0,
        lambda hp: sum(range(hp["n"])),
        lambda hp: float(hp["n"]),
        lambda hp: np.log(hp["n"]),
        lambda hp: {2: 0.1, 5: 0.2}.get(int(hp["n"]), 0.3),
    ],
    ids=["if", "range", "float", "numpy", "key"],
)
@pytest.mark.parametrize("domain", [jt.Integer(2, 5), jt.Choice((2, 5))], ids=["Integer", "Choice"])
def test_what_python_needs_becomes_static(use, domain):
    assert pinned(use, n=domain).static == ("n",)


def test_each_hyperparameter_is_decided_by_itself():
    space = pinned(
        lambda hp: width(hp) + hp["momentum"] * hp["warmup"] + hp["lr"] + (1 if hp["deep"] else 0),
        momentum=jt.Choice((0.0, 0.9)),
        width=jt.Integer(2, 5),
        lr=jt.Uniform(0.0, 1.0),
        warmup=jt.Integer(1, 9),
        deep=jt.Choice((True, False)),
    )
    assert space.static == ("width", "deep")
    assert space.traced == ("momentum", "lr", "warmup")


def test_two_in_one_branch_become_static_both():
    space = pinned(lambda hp: 1.0 if hp["a"] > hp["b"] else 0.0, a=jt.Integer(1, 3), b=jt.Integer(1, 3))
    assert space.static == ("a", "b")


def test_static_can_be_asked_for():
    def use(hp):
        return 1.0 * hp["n"]

    assert pinned(use, n=jt.Integer(1, 3)).traced == ("n",)
    assert pinned(use, n=jt.Integer(1, 3, static=True)).static == ("n",)


def test_constants_are_python_values_and_belong_to_no_group():
    space = pinned(width, width=5)
    assert (space.static, space.traced) == ((), ())
    assert space.variant({}).static == {"width": 5}


def test_functions_of_a_group_hold_its_options():
    sized = jt.Task(
        init=lambda key, hp: jnp.zeros(hp["width"]),
        step=lambda key, state, batch, hp: (state, {}),
        evaluate=lambda key, state, data, hp: {"loss": jnp.sum(state)},
    )
    problem = resolve(sized, Space.of({"width": jt.Choice((3, 7))}), "loss", None)
    three, seven = problem.space.variants()
    assert problem.case(three).functions.state[0].shape == (3,)
    assert problem.case(seven).functions.state[0].shape == (7,)


# The options of one hyperparameter may decide whether others are read.


def conditional(hp):
    if hp["optimizer"] == "sgd":
        return 0.1
    made = optax.adam(0.1, b1=hp["b1"]) if hp["optimizer"] == "adam" else optax.rmsprop(0.1, hp["b2"])
    return made.update(jnp.ones(()), made.init(jnp.zeros(())), jnp.zeros(()))[0] * (2 if hp["double"] else 1)


CONDITIONAL = {
    "optimizer": jt.Choice(("sgd", "adam", "rmsprop")),
    "b1": jt.Uniform(0.5, 0.9),
    "b2": jt.Uniform(0.5, 0.9),
    "double": jt.Choice((False, True)),
}


def test_what_only_some_options_read_is_read():
    assert pinned(conditional, **CONDITIONAL).names == tuple(CONDITIONAL)


@pytest.mark.parametrize("domain", [jt.Uniform(0.0, 1.0), jt.Choice(("x", "y")), jt.Integer(1, 3)], ids=str)
def test_what_no_option_reads_is_refused(domain):
    with pytest.raises(ValueError, match="The space has 'lost', which no function of the task reads."):
        pinned(conditional, **CONDITIONAL, lost=domain)


def test_a_result_that_does_not_depend_on_it_does_not_count():
    with pytest.raises(ValueError, match="has 'dead'"):
        pinned(lambda hp: jnp.zeros_like(hp["dead"] * 2.0), dead=jt.Uniform(0.0, 1.0))


@pytest.mark.parametrize("role", ["init", "step", "evaluate"])
def test_every_function_counts(role):
    functions = {
        "init": lambda key, hp: hp.get("init", 0.0) + jnp.zeros(()),
        "step": lambda key, state, batch, hp: (state + hp.get("step", 0.0), {}),
        "evaluate": lambda key, state, data, hp: {"loss": state + hp.get("evaluate", 0.0)},
    }
    problem = resolve(jt.Task(**functions), Space.of({role: jt.Uniform(0.0, 1.0)}), "loss", None)
    assert problem.space.traced == (role,)


def test_a_choice_between_arrays_of_one_shape_is_read():
    def use(hp):
        return jnp.sum(TABLES[hp["table"]])

    assert pinned(use, table=jt.Choice(("a", "c"))).static == ("table",)
    with pytest.raises(ValueError, match="has 'table'"):
        pinned(use, table=jt.Choice(("a", "b")))  # equal arrays


def test_one_option_is_no_search_and_no_mistake():
    assert pinned(lambda hp: 0.0, only=jt.Choice(("x",))).static == ("only",)


def test_after_many_combinations_a_hyperparameter_has_the_benefit_of_the_doubt(monkeypatch):
    monkeypatch.setattr("jaxtune.tasks.problem._MAX_CASES", 4)
    many = {name: jt.Choice(("x", "y")) for name in "abc"}
    pinned(lambda hp: 0.0, **many)
    with pytest.raises(ValueError, match="has 'a'"):
        pinned(lambda hp: 0.0, a=many["a"])


# What is wrong in one group only.


def only_adam(hp):
    return {"sgd": lambda: hp["lr"], "adam": lambda: hp["lr"] if hp["b1"] > 0.5 else 0.0}[hp["optimizer"]]()


OPTIMIZER = {"optimizer": jt.Choice(("sgd", "adam")), "lr": jt.Uniform(0.0, 1.0)}


def test_a_python_branch_in_a_later_group_is_explained():
    with pytest.raises(TypeError, match=r"'b1' is a traced number.* declare it static"):
        pinned(only_adam, **OPTIMIZER, b1=jt.Uniform(0.0, 1.0))


def test_a_misspelt_name_in_a_later_group_is_explained():
    with pytest.raises(KeyError, match=r"reads hp\['b1'\], which the space lacks, did you mean 'b_1'\?"):
        pinned(only_adam, **OPTIMIZER, b_1=jt.Uniform(0.0, 1.0))


def test_a_users_exception_in_a_later_group_passes_through():
    error = RuntimeError("mine")

    def use(hp):
        if hp["optimizer"] == "adam":
            raise error
        return hp["lr"]

    with pytest.raises(RuntimeError) as caught:
        pinned(use, **OPTIMIZER)
    assert caught.value is error


# Step counts are traced as well.


@pytest.mark.parametrize("name", ["step", "total_steps"])
def test_a_step_count_used_as_a_python_value_is_named(name):
    def step(key, state, batch, hp, step, total_steps):
        counts = {"step": step, "total_steps": total_steps}
        return (state + hp["lr"] if counts[name] > 3 else state), {}

    bad = jt.Task(init=lambda key, hp: 0.0, step=step, evaluate=lambda key, state, data, hp: {"loss": state})
    with pytest.raises(TypeError, match=rf"'{name}' is a traced number.* keep {name} out of it"):
        resolve(bad, Space.of({"lr": jt.Uniform(0.0, 1.0)}), "loss", None)


def test_the_hyperparameters_of_a_failure_are_noted():
    def use(hp):
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError) as caught:
        pinned(use, lr=jt.Uniform(0.0, 1.0), depth=3)
    assert caught.value.__notes__[-1] == "This happened with the hyperparameters {'lr': 0.5, 'depth': 3}."
    assert caught.value.__context__ is None


# Under jit, for `search`.


def test_a_problem_can_be_resolved_under_jit():
    @jax.jit
    def outer(x):
        space = pinned(lambda hp: hp["lr"] * hp["n"], lr=jt.Uniform(0.0, 1.0), n=jt.Integer(1, 3))
        assert space.traced == ("lr", "n")
        return x

    outer(1.0)


@pytest.mark.parametrize(("mode", "expected"), [(None, "min"), ("min", "min"), ("max", "max")])
def test_the_direction_of_the_loss_is_known(mode, expected):
    problem = resolve(task(lambda hp: hp["lr"]), Space.of({"lr": jt.Uniform(0.0, 1.0)}), "loss", mode)
    assert problem.mode == expected


def traces_of_the_step(count):
    """How often a task is traced that needs one of so many integers as a Python number."""
    calls = []

    def use(hp):
        calls.append(hp)
        return jnp.sum(jnp.ones(hp["h3"])) + sum(hp[f"h{i}"] for i in range(count))

    space = pinned(use, **{f"h{i}": jt.Integer(1, 2) for i in range(count)})
    assert space.static == ("h3",)
    return len(calls)


def test_what_is_static_is_found_by_halves():
    """One trace for each of n hyperparameters, n long themselves, would make the whole quadratic."""
    assert traces_of_the_step(64) - traces_of_the_step(16) <= 4  # two traces for each of the two more halvings


def test_several_static_ones_are_found_among_many():
    names = [f"h{i}" for i in range(12)]

    def use(hp):
        return jnp.sum(jnp.ones((hp["h0"], hp["h7"], hp["h8"]))) + sum(hp[name] for name in names)

    assert set(pinned(use, **{name: jt.Integer(1, 2) for name in names}).static) == {"h0", "h7", "h8"}
