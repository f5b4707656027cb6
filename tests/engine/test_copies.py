"""No program copies all lanes where it changes a few: it would do so for each chunk, a hundred times as slow."""

import jax
import jax.numpy as jnp
import pytest
from toys import tune

import jaxtune as jt
from jaxtune.tasks.executables import EXECUTABLES

LANES, SIZE = 256, 20_000
BYTES = 4 * LANES * SIZE
SPACE = {"lr": jt.LogUniform(1e-4, 1e-2)}


def init(key, hp):
    return {"x": jnp.ones(3), "large": jax.random.normal(key, (SIZE,)), "momentum": jnp.zeros(SIZE)}


def evaluate(key, state, data, hp):
    return {"loss": jnp.sum(state["x"] ** 2) + state["large"][0]}


def trained(key, state, batch, hp):
    def loss(large):
        return jnp.sum(jnp.tanh(large.reshape(100, -1) @ jnp.ones(SIZE // 100)) ** 2)

    value, slope = jax.value_and_grad(loss)(state["large"])
    momentum = 0.9 * state["momentum"] + slope
    large = state["large"] - hp["lr"] * momentum
    return {"x": state["x"] + 1, "large": large, "momentum": momentum}, {"loss": value}


def frozen(key, state, batch, hp):
    return {**state, "x": state["x"] - hp["lr"] * state["large"][:3]}, {"loss": state["x"][0]}


def observe(state, score, hp):
    return jax.tree.map(lambda x: x + score, state)


def observe_a_part(state, score, hp):
    return {**state, "x": state["x"] + score}


@pytest.mark.parametrize(
    ("step", "observe", "every"),
    [
        (trained, None, 4),
        (trained, None, 1),
        (frozen, None, 4),
        (frozen, None, 1),
        (trained, observe, 4),
        (trained, observe_a_part, 4),
    ],
    ids=["bursts", "single steps", "frozen", "frozen, single steps", "observed", "observed in part"],
)
def test_scratch_is_far_less_than_the_population(step, observe, every):
    EXECUTABLES.clear()
    task = jt.Task(init=init, step=step, evaluate=evaluate, observe=observe)
    tune(task, SPACE, scheduler=jt.FullBudget(LANES, 8), evaluate_every=every)
    programs = [future.result() for future in EXECUTABLES._futures.values()]
    assert len(programs) > 2
    assert max(program.scratch_bytes for program in programs) < BYTES / 3
