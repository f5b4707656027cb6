"""The overfitting check: networks that can, models that can't, and faults that it has to name."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toys import ONE

import jaxtune as jt
from jaxtune.practice import overfit

RNG = np.random.default_rng(0)
X = RNG.choice([-1.0, 1.0], size=(200, 2)).astype(np.float32) + 0.1 * RNG.normal(size=(200, 2)).astype(np.float32)
Y = (X[:, 0] * X[:, 1] > 0).astype(np.int32)  # exclusive or: no line separates it
CROSS_ENTROPY = optax.softmax_cross_entropy_with_integer_labels
LR = {"lr": jt.LogUniform(1e-3, 1e-1)}


class MLP(nn.Module):
    blocked: bool = False

    @nn.compact
    def __call__(self, x):
        outputs = nn.Dense(2)(nn.tanh(nn.Dense(16)(x)))
        return jax.lax.stop_gradient(outputs) if self.blocked else outputs


def adam(hp):
    return optax.adam(hp["lr"])


def supervised(model, **changes):
    parts = {"optimizer": adam, "loss": CROSS_ENTROPY, "train": (X, Y), "validation": (X, Y), "batch_size": 64}
    return jt.supervised(model, **{**parts, **changes})


def check(task, space=LR, **changes):
    arguments = {"trials": 4, "steps": 200, "progress": False, "placement": ONE, **changes}
    return jt.overfit_check(task, space, **arguments)


@pytest.fixture(scope="module")
def passed():
    return check(supervised(MLP()))


def test_network_passes(passed):
    assert passed.verdict == "passes"
    assert passed.relative < 0.01
    assert "by heart" in passed.reason
    assert passed.best == np.min(passed.curve)
    curves = passed.result.curves("loss")["loss"]
    (number,) = np.flatnonzero((curves == passed.curve).all(axis=1))
    assert passed.best == curves.min()
    assert passed.hparams == passed.result.trials[number].hparams


def test_linear_model_cannot_learn_exclusive_or():
    found = check(supervised(nn.Dense(2)))
    assert found.verdict == "cannot"
    assert found.best > 0.4
    assert "has come to rest" in found.reason


def test_dead_gradients_are_named():
    found = check(supervised(MLP(blocked=True)))
    assert found.verdict == "cannot"
    assert "never moved" in found.reason
    assert "no gradient reaches the parameters" in repr(found)


def test_too_few_steps_are_too_slow():
    found = check(supervised(MLP()), {"lr": 3e-3}, steps=60)
    assert found.verdict == "too slow"
    assert "still falling" in found.reason


def test_all_diverged():
    task = jt.Task(
        init=lambda key, hp: jnp.zeros(()),
        step=lambda key, x, batch, hp: (x / hp["lr"], {"loss": x}),
        evaluate=lambda key, x, data, hp: {"loss": 1.0 + x},
        train=X,
        validation=X,
    )
    found = check(task, {"lr": 0.0})
    assert (found.verdict, found.hparams) == ("cannot", {})
    assert "Every trial diverged" in repr(found)


def test_initial_loss_is_that_of_the_search():
    """A learning rate of zero leaves the loss where it was."""
    found = check(supervised(MLP()), {"lr": 0.0}, steps=50, seed=3)
    np.testing.assert_allclose(found.curve, found.initial, rtol=1e-6)


def test_examples_are_drawn_from_all_and_used_for_everything():
    task = overfit._few(supervised(MLP()), 32, seed=0)
    x, y = task.train
    assert (x.shape, y.shape, task.batch_size, task.test) == ((32, 2), (32,), 32, None)
    assert task.validation is task.train
    rows = [int(np.flatnonzero((row == X).all(axis=1))[0]) for row in x]
    assert len(set(rows)) == 32
    assert max(rows) > 100
    np.testing.assert_array_equal(y, Y[rows])


def test_batch_size_is_at_most_the_examples():
    assert overfit._few(supervised(MLP(), batch_size=8), 32, seed=0).batch_size == 8


def test_batch_size_of_the_space_is_replaced():
    space = {"batch_size": jt.Choice((64, 128)), **LR}
    found = check(supervised(MLP()), space, examples=16, steps=5, trials=2)
    assert [trial.hparams["batch_size"] for trial in found.result.trials] == [16, 16]
    assert len({trial.hparams["lr"] for trial in found.result.trials}) == 2


def test_one_trial_for_plain_hyperparameters():
    found = check(supervised(MLP()), {"lr": 0.03}, trials=16)
    assert len(found.result.trials) == 1
    assert found.verdict == "passes"


# Verdicts


def verdict(*curves, initial=1.0):
    values = np.array(curves, float)
    return overfit._verdict(values, int(np.argmin(np.nanmin(values, axis=1))), initial, "loss")[0]


def test_verdicts_from_curves():
    assert verdict([0.5, 0.1, 0.05, 0.009]) == "passes"
    assert verdict([0.5, 0.009, 0.05, 0.5]) == "passes"  # at the best point
    assert verdict([0.5, 0.1, 0.05, 0.011]) == "too slow"
    assert verdict([0.5, 0.1, 0.098, 0.096]) == "cannot"
    assert verdict([1.0, 1.0, 1.0, 1.0]) == "cannot"
    assert verdict([0.5, np.nan, np.nan, np.nan]) == "cannot"
    assert verdict([1.0, 1.0, 1.0, 1.0], [0.5, 0.1, 0.05, 0.001]) == "passes"


def test_scale_of_the_loss_does_not_matter():
    assert verdict([50, 10, 5, 0.9], initial=100.0) == "passes"
    assert verdict([0.5, 0.1, 0.05, 0.009], initial=0.1) == "too slow"


def test_plot_shows_what_has_to_be_reached(passed):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    ax = passed.plot()
    levels = {line.get_label(): line.get_ydata()[0] for line in ax.get_lines()}
    assert levels["passes below"] == 0.01 * passed.initial
    assert levels["at step 0"] == levels["best trial"] == passed.initial
    assert (ax.get_title(), ax.get_yscale()) == ("passes", "log")
    assert len(ax.get_lines()) == 4 + 3
    matplotlib.pyplot.close("all")


# Bad input


def negative(key, x, data, hp):
    return {"loss": -1.0 - jnp.sum(x) * hp["lr"]}


NEGATIVE = jt.Task(
    init=lambda key, hp: jnp.zeros(2),
    step=lambda key, x, batch, hp: (x, {}),
    evaluate=negative,
    train=X,
    validation=X,
)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"task": 1}, TypeError, "task must be a jaxtune Task, as .* makes one, got 1"),
        ({"task": NEGATIVE.replace(train=None)}, ValueError, "needs a task with training data"),
        ({"task": NEGATIVE}, ValueError, "'loss' is -1 at step 0: name another metric"),
        ({"examples": 0}, ValueError, "examples must be a whole number >= 1 and <= 200, got 0"),
        ({"examples": 201}, ValueError, "examples must be a whole number >= 1 and <= 200, got 201"),
        ({"steps": 0}, ValueError, "steps must be a whole number >= 1, got 0"),
        ({"trials": 2.0}, ValueError, "trials must be a whole number >= 1, got 2.0"),
        ({"seed": "a"}, TypeError, "seed must be a whole number, got 'a'"),
        ({"metric": "auc"}, ValueError, "metric='auc' is unknown; the task reports loss"),
        ({"metric": 1}, TypeError, "metric must be the name of a metric, got 1"),
        ({"placement": 1}, TypeError, "placement must be a jt.Placement"),
        ({"space": [LR]}, TypeError, "A space is a dict"),
    ],
)
def test_bad_input(changes, error, message):
    with pytest.raises(error, match=message):
        check(**{"task": supervised(MLP()), **changes})
