"""The learning-rate range test against problems whose stability limit is known."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toys import ONE

import jaxtune as jt
from jaxtune.practice.range_test import _read

LIMIT = 0.25  # 2 / L


def quadratic(key, hp):
    return jnp.full(4, 10.0)


def noisy_descent(key, x, batch, hp):
    """Gradient descent on L / 2 |x|^2 with noise in the gradient; diverges for rates above 2 / L."""
    curvature = 2 / LIMIT
    noise = hp.get("noise", 0.1) * jax.random.normal(key, x.shape)
    return x - hp["lr"] * (curvature * x + noise), {"loss": 0.5 * curvature * jnp.sum(x**2)}


def squared(key, x, data, hp):
    return {"loss": jnp.sum(x**2)}


QUADRATIC = jt.Task(init=quadratic, step=noisy_descent, evaluate=squared)


def range_test(task=QUADRATIC, space=None, **changes):
    arguments = {"low": 1e-5, "high": 10.0, "progress": False, "placement": ONE, **changes}
    return jt.lr_range_test(task, {} if space is None else space, **arguments)


def test_divergence_is_at_the_stability_limit():
    found = range_test()
    assert LIMIT < found.divergence < 2.5 * LIMIT
    assert found.diverged.all()
    assert found.suggestion.high == found.divergence / 2


def test_steepest_descent_is_where_the_closed_form_falls_fastest():
    found = range_test(space={"noise": 0.0})
    rates = 1e-5 * 1e6 ** (np.arange(400) / 399)
    x = 10.0 * np.cumprod(np.append(1.0, 1 - rates * 2 / LIMIT))[:-1]
    exact = rates[np.argmin(np.gradient(x**2, np.log(rates)))]
    np.testing.assert_allclose(np.log10(found.steepest), np.log10(exact), atol=0.12)


def test_the_rate_grows_exponentially_from_low_to_high():
    task = jt.Task(
        init=lambda key, hp: jnp.zeros(2),
        step=lambda key, x, batch, hp: (jnp.stack([x[0], hp["lr"]]), {"loss": -jnp.log(hp["lr"])}),
        evaluate=squared,
    )
    found = range_test(task, low=1e-3, high=10.0, steps=100)
    np.testing.assert_allclose(found.learning_rates, 1e-3 * 1e4 ** (np.arange(100) / 99), rtol=1e-5)
    np.testing.assert_allclose(found.losses[0], -np.log(found.learning_rates), atol=1e-4)


def test_lanes_are_the_other_hyperparameters():
    found = range_test(space={"noise": jt.Uniform(0.0, 0.5), "lr": jt.LogUniform(1e-9, 1.0)}, trials=5, replicates=2)
    assert found.losses.shape == (5, 100)
    assert len({hparams["noise"] for hparams in found.hparams}) == 5
    assert all(hparams.keys() == {"noise"} for hparams in found.hparams)
    assert found.divergence == np.median(found.lane_divergence)
    assert found.steepest == np.median(found.lane_steepest)


def test_batch_sizes_sweep_side_by_side():
    """Lanes with larger batches make fewer updates, over the same range of rates."""
    task = jt.Task(
        init=lambda key, hp: jnp.zeros(()),
        step=lambda key, x, batch, hp: (x, {"loss": -jnp.log(hp["lr"])}),
        evaluate=squared,
        train=np.zeros((64, 1), np.float32),
        batch_size=4,
    )
    found = range_test(task, {"batch_size": jt.Choice((4, 16))}, low=1e-3, high=10.0, steps=400)
    assert {hparams["batch_size"] for hparams in found.hparams} == {4, 16}
    between = np.log(10.0) * 4 / 100
    np.testing.assert_allclose(found.losses, np.stack([-np.log(found.learning_rates)] * 2), atol=1.5 * between)


def test_no_more_lanes_than_configurations():
    assert range_test(space={"noise": jt.Choice((0.1, 0.2))}, trials=16).losses.shape == (2, 100)


def test_without_divergence_the_sweep_is_the_end():
    found = range_test(high=0.1)
    assert not found.diverged.any()
    assert found.divergence == found.suggestion.high == 0.1
    assert "no lane diverged up to 0.1" in repr(found)


def test_divergence_at_once_asks_for_a_lower_start():
    with pytest.raises(ValueError, match=r"fell in no lane before it diverged, .* began at 1\.0: take a lower low"):
        range_test(low=1.0)


def test_no_learning_asks_for_a_higher_end():
    with pytest.raises(ValueError, match=r"fell in no lane between the learning rates 1e-09 and 1e-08: take a larger"):
        range_test(low=1e-9, high=1e-8)


def test_steps_are_rounded_up_to_equal_intervals():
    """With an odd interval at the end the innermost loop of the program would be a step long."""
    found = range_test(steps=455)
    assert found.result.history.step[-1] == 456
    assert set(np.diff(found.result.history.step)) == {4}


# Reading curves


RATES = np.linspace(-6, 1, 101)


def valley(fall=-3.0, wall=0.0):
    """Falls from 2.3 to 0.3 around one rate and explodes at another."""
    return 2.3 - 2.0 / (1 + 10 ** (-2 * (RATES - fall))) + np.where(wall < RATES, 10 ** (4 * (RATES - wall)), 0)


def test_curve_is_read_where_it_was_made():
    fall, end = _read(RATES, valley())
    assert abs(RATES[fall] + 3.0) < 0.1
    assert 0.0 <= RATES[end] < 0.3


def test_curve_is_read_the_same_at_any_offset_and_scale():
    """Likelihoods may be negative."""
    assert _read(RATES, 7.0 * valley() - 20.0) == _read(RATES, valley())


def test_an_explosion_does_not_blur_the_descent():
    curve = valley(wall=-1.5)
    huge = np.where(RATES > -1.4, 1e30, curve)
    assert _read(RATES, huge)[0] == _read(RATES, np.where(RATES > -1.4, np.inf, curve))[0]
    assert abs(RATES[_read(RATES, huge)[0]] + 3.0) < 0.1


def test_falling_back_after_an_explosion_is_no_descent():
    """Saturated units bring the loss back to that of chance, often more steeply than it was learned."""
    curve = np.where((RATES > 0.0) & (RATES < 0.5), 4.0, np.where(RATES >= 0.5, 2.3, valley()))
    fall, end = _read(RATES, curve)
    assert abs(RATES[fall] + 3.0) < 0.1
    assert abs(RATES[end]) < 0.15


def test_noise_is_no_descent():
    noise = np.random.default_rng(0).normal(2.3, 0.1, len(RATES))
    assert _read(RATES, noise) == (None, None)


def test_nan_is_divergence():
    curve = np.where(RATES > -2.0, np.nan, valley())
    assert _read(RATES, curve)[1] == np.flatnonzero(RATES > -2.0)[0]
    assert _read(RATES, np.full(len(RATES), np.nan)) == (None, 0)


# Real networks


class MLP(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(nn.relu(nn.Dense(16)(x)))


RNG = np.random.default_rng(0)
X = RNG.normal(size=(256, 4)).astype(np.float32)
Y = np.argmax(X[:, :3] + 0.3 * X[:, 1:], axis=1).astype(np.int32)


def momentum(hp):
    return optax.chain(optax.add_decayed_weights(hp["weight_decay"]), optax.sgd(hp["lr"], momentum=0.9))


MLP_TASK = jt.supervised(
    MLP(),
    optimizer=momentum,
    loss=optax.softmax_cross_entropy_with_integer_labels,
    train=(X, Y),
    validation=(X, Y),
    batch_size=32,
)
DECAY = {"weight_decay": jt.LogUniform(1e-5, 1e-2)}


@pytest.fixture(scope="module")
def of_network():
    return range_test(MLP_TASK, DECAY, low=1e-6, high=100.0, trials=4)


def test_network_trains_well_inside_the_suggestion(of_network):
    """At its geometric middle; below and above it the same training gets much less far."""
    low, high = of_network.suggestion.low, of_network.suggestion.high
    rates = [low / 30, np.sqrt(low * high), 30 * high]
    space = {"weight_decay": 1e-4, "lr": jt.Choice(tuple(map(float, rates)))}
    result = jt.tune(
        MLP_TASK, space, scheduler=jt.FullBudget(3, 200), sampler=jt.Grid(3), progress=False, placement=ONE
    )
    losses = {trial.hparams["lr"]: trial.metrics["loss"] for trial in result.trials}
    below, inside, above = (np.nan_to_num(losses[rate], nan=np.inf) for rate in rates)
    assert inside < 0.3
    assert below > 3 * inside
    assert above > 3 * inside


def test_second_call_compiles_nothing(of_network, compiled):
    range_test(MLP_TASK, DECAY, low=1e-6, high=100.0, trials=4)
    compiled.clear()
    again = range_test(MLP_TASK, DECAY, low=1e-6, high=100.0, trials=4, seed=1)
    assert not compiled
    assert not np.array_equal(again.losses, of_network.losses)


def test_plot_shows_range_and_lines(of_network):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    ax = of_network.plot()
    texts = {text.get_text() for text in ax.get_legend().get_texts()}
    assert {"suggested range", "median over lanes"} <= texts
    assert any(text.startswith("diverges") for text in texts)
    assert ax.get_xscale() == "log"
    assert ax.get_ylim()[1] < 10  # the explosion is left out
    matplotlib.pyplot.close("all")


def test_repr_says_what_to_search(of_network):
    text = repr(of_network)
    assert "4 lanes" in text
    assert f"search LogUniform({of_network.suggestion.low:.3g}, {of_network.suggestion.high:.3g})" in text


# Bad input


def no_loss(key, x, batch, hp):
    return x * hp["lr"], {}


def no_rate(key, x, batch, hp):
    return x, {"loss": jnp.sum(x)}


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"task": "no"}, TypeError, "task must be a jaxtune Task, as .* makes one, got 'no'"),
        ({"low": 0.0}, ValueError, "sweeps from low to high: LogUniform needs 0 < low < high, got low=0.0"),
        ({"low": 1.0, "high": 0.1}, ValueError, "needs 0 < low < high, got low=1.0, high=0.1"),
        ({"low": "a"}, TypeError, "sweeps from low to high: LogUniform needs a number for low, got the string 'a'"),
        ({"name": 3}, TypeError, "name must be the name of the learning rate in hp, got 3"),
        ({"name": "rate"}, KeyError, "The task reads hp['lr'], which the space lacks"),
        ({"steps": 10}, ValueError, "steps must be a whole number >= 20, got 10"),
        ({"trials": 0}, ValueError, "trials must be a whole number >= 1, got 0"),
        ({"replicates": 0}, ValueError, "replicates must be a whole number >= 1, got 0"),
        ({"seed": -1}, ValueError, "seed must be a whole number >= 0"),
        ({"placement": 3}, TypeError, "placement must be a jt.Placement"),
        ({"space": 3}, TypeError, "A space is a dict"),
        ({"task": QUADRATIC.replace(step=no_loss)}, ValueError, 'step must return it as info["loss"]'),
        ({"task": QUADRATIC.replace(step=no_rate)}, ValueError, "'lr', which no function of the task reads"),
    ],
    ids=lambda value: None if isinstance(value, dict | type) else "case",
)
def test_bad_input(changes, error, message):
    with pytest.raises(error, match=message.replace("(", r"\(").replace("[", r"\[")):
        range_test(**{"space": {"noise": 0.1}, **changes})
