"""Hyperparameters that states hold: found by data flow, kept up to date under PBT, or left alone."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toys import tune

import jaxtune as jt
from jaxtune.spaces.space import Space
from jaxtune.tasks.problem import resolve

PBT = jt.PopulationBasedTraining(trials=8, steps=40, interval=10)
LR = {"lr": jt.LogUniform(1e-4, 1e-1)}
X = np.zeros((8, 2), np.float32)


class Rising(nn.Module):
    """The loss is -w, so that under SGD w ends at the sum of the learning rates that were in force."""

    @nn.compact
    def __call__(self, x):
        return 0 * x[:, :1] + self.param("w", nn.initializers.zeros, (1,))


def rising(optimizer):
    data = (X, X[:, :1])
    return jt.supervised(Rising(), optimizer=optimizer, loss=lambda o, t: -o, train=data, validation=data, batch_size=8)


def own(init, step, evaluate=None):
    """A task of three functions whose loss is -w."""
    return jt.Task(init=init, step=step, evaluate=evaluate or (lambda key, s, data, hp: {"loss": -s["w"]}))


def looped(key, state, batch, hp):
    """The rate goes through loops and branches on its way."""

    def body(carry, _):
        w, lr = carry
        return jax.lax.cond(w < 1e6, lambda w, lr: (w + lr / 2, lr), lambda w, lr: (w, lr), w, lr), None

    w, lr = jax.lax.scan(body, (state["w"], state["lr"]), length=2)[0]
    return {"w": w, "lr": jax.jit(lambda x: x)(lr)}, {}


INJECTED = {
    "inject_hyperparams": rising(lambda hp: optax.inject_hyperparams(optax.sgd)(hp["lr"])),
    "scaled before": rising(lambda hp: optax.inject_hyperparams(optax.sgd)(1.0 * hp["lr"])),
    "inside apply_if_finite": rising(
        lambda hp: optax.apply_if_finite(optax.inject_hyperparams(optax.sgd)(hp["lr"]), 5)
    ),
    "inside a chain": rising(lambda hp: optax.chain(optax.clip(10.0), optax.inject_hyperparams(optax.sgd)(hp["lr"]))),
    "a state of one's own": own(
        lambda key, hp: {"w": 0.0, "lr": hp["lr"]}, lambda key, s, batch, hp: ({**s, "w": s["w"] + s["lr"]}, {})
    ),
    "loops and branches": own(lambda key, hp: {"w": 0.0, "lr": hp["lr"]}, looped),
}


@pytest.mark.parametrize("name", INJECTED)
def test_the_reported_schedule_is_what_happened(name):
    schedules = []
    for trial in tune(INJECTED[name], LR, scheduler=PBT).trials:
        schedules.append([float(trial.schedule("lr")(step)) for step in range(40)])
        assert -trial.metrics["loss"] == pytest.approx(sum(schedules[-1]), rel=1e-5)
    assert any(len(set(schedule)) > 1 for schedule in schedules)  # some were explored


def test_search_does_the_same():
    task = INJECTED["inject_hyperparams"]
    outcome = jax.jit(lambda key, task: jt.search(key, task, LR, scheduler=PBT))(jax.random.key(0), task)
    best = jt.tune(task, LR, scheduler=PBT, progress=False).best
    assert float(outcome.metrics["loss"][outcome.best]) == best.metrics["loss"]


def test_a_refit_follows_the_schedule():
    result = tune(INJECTED["inject_hyperparams"], LR, scheduler=PBT)
    steps = result.best.best_step
    claimed = sum(float(result.best.schedule("lr")(step)) for step in range(steps))
    assert float(result.refit().variables["params"]["w"][0]) == pytest.approx(claimed, rel=1e-5)


SCALE = {"scale": jt.LogUniform(0.5, 2.0), "lr": jt.LogUniform(1e-4, 1e-1)}
DEAD = {
    "the scale of initial weights": own(
        lambda key, hp: {"w": hp["scale"] * jax.random.uniform(key)},
        lambda key, s, batch, hp: ({"w": s["w"] + hp["lr"]}, {}),
    ),
    "a value that anneals": own(
        lambda key, hp: {"w": 0.0, "t": hp["scale"]},
        lambda key, s, batch, hp: ({"w": s["w"] + hp["lr"] * s["t"], "t": 0.9 * s["t"]}, {}),
    ),
    "read but for the log": own(
        lambda key, hp: {"w": hp["scale"] * jax.random.uniform(key)},
        lambda key, s, batch, hp: ({"w": s["w"] + hp["lr"]}, {"scale": hp["scale"]}),
    ),
}


@pytest.mark.parametrize("name", DEAD)
def test_what_only_init_reads_is_left_alone_and_said_once(name):
    with pytest.warns(UserWarning, match="leaves 'scale' as it is: only init reads it") as caught:
        result = tune(DEAD[name], SCALE, scheduler=PBT)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    started = {trial.hparams["scale"] for trial in tune(DEAD[name], SCALE, scheduler=jt.FullBudget(8, 10)).trials}
    for trial in result.trials:
        assert trial.hparams["scale"] in started  # its own, or the donor's, whose weights it has
    rates = {trial.hparams["lr"] for trial in result.trials}
    assert rates - {t.hparams["lr"] for t in tune(DEAD[name], SCALE, scheduler=jt.FullBudget(8, 10)).trials}


def functions_of(task, space=SCALE):
    return resolve(task, Space.of(space), "loss", None).first.functions


def test_what_is_read_later_too_is_explored():
    both = own(
        lambda key, hp: {"w": hp["scale"] * jax.random.uniform(key)},
        lambda key, s, batch, hp: ({"w": s["w"] + hp["lr"] * hp["scale"]}, {}),
    )
    judged = own(
        lambda key, hp: {"w": hp["scale"] * jax.random.uniform(key)},
        lambda key, s, batch, hp: ({"w": s["w"] + hp["lr"]}, {}),
        lambda key, s, data, hp: {"loss": -s["w"] * hp["scale"]},
    )
    assert functions_of(both).dead == functions_of(judged).dead == frozenset()


def test_most_tasks_hold_nothing():
    functions = functions_of(rising(lambda hp: optax.adam(hp["lr"])), LR)
    assert (functions.holds, functions.held, functions.dead) == (None, (), frozenset())


def test_reduce_on_plateau_takes_its_settings_from_steps():
    plateau = rising(lambda hp: optax.chain(optax.sgd(hp["lr"]), jt.reduce_on_plateau(hp["factor"], 2)))
    assert functions_of(plateau, LR | {"factor": jt.Uniform(0.1, 0.9)}).dead == frozenset()


def test_an_observer_that_changes_a_leaf_keeps_it_from_being_held():
    task = own(lambda key, hp: {"w": 0.0, "lr": hp["lr"]}, lambda key, s, batch, hp: ({**s, "w": s["w"] + s["lr"]}, {}))
    changed = task.replace(observe=lambda state, score, hp: {**state, "lr": state["lr"] * 0.5})
    assert functions_of(task, LR).held != ()
    assert functions_of(changed, LR).held == ()
    assert functions_of(changed, LR).dead == {"lr"}


def test_bfloat16_parameters_round_what_they_hold():
    """As `optax.inject_hyperparams` does: the new value goes the way of the first one."""

    class Half(nn.Module):
        @nn.compact
        def __call__(self, x):
            return 0 * x[:, :1] + self.param("w", nn.initializers.zeros, (1,), jnp.bfloat16).astype(jnp.float32)

    data = (X, X[:, :1])
    task = jt.supervised(
        Half(), optimizer=lambda hp: optax.inject_hyperparams(optax.sgd)(hp["lr"]), loss=lambda o, t: -o,
        train=data, validation=data, batch_size=8,
    )  # fmt: skip
    result = tune(task, LR, scheduler=PBT)
    held = np.asarray(jax.tree.leaves(result.best.state["optimizer"].hyperparams)[0])
    assert held.dtype == jnp.bfloat16
    assert held == jnp.bfloat16(result.best.hparams["lr"])
