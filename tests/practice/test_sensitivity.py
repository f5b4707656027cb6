"""Sensitivity on functions whose effects are known, and its intervals against scipy."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import stats
from toys import ONE

import jaxtune as jt
from jaxtune.practice.sensitivity import paired, possible

SHIFT = {"relu": 0.0, "tanh": 0.3, "gelu": 0.6}


def init(key, hp):
    return {"noise": 0.1 * jax.random.normal(key)}


def step(key, state, batch, hp):
    return state, {}


def evaluate(key, state, data, hp):
    """A sum of known effects; noise differs between replicates, and p scales it."""
    loss = 4 * (hp["p"] - 0.25) ** 2 + jnp.abs(jnp.log10(hp["lr"]) + 2) + SHIFT[hp["activation"]] + 0.05 * hp["depth"]
    noisy = loss + state["noise"] * (1 + hp["p"]) + 0 * hp["nothing"]
    return {"loss": jnp.where(hp["lr"] > 0.5, jnp.nan, noisy), "score": -noisy}


KNOWN = jt.Task(init=init, step=step, evaluate=evaluate)
SPACE = {
    "lr": jt.LogUniform(1e-4, 1.0),
    "p": jt.Uniform(0.0, 1.0),
    "activation": jt.Choice(("relu", "tanh", "gelu")),
    "depth": jt.Integer(1, 4),
    "nothing": jt.Uniform(0.0, 1.0),
}
BASELINE = {"lr": 0.01, "p": 0.3, "activation": "tanh", "depth": 2, "nothing": 0.5}


def sensitivity(task=KNOWN, baseline=BASELINE, space=SPACE, **changes):
    arguments = {"steps": 5, "progress": False, "placement": ONE, **changes}
    return jt.sensitivity(task, baseline, space, **arguments)


@pytest.fixture(scope="module")
def known():
    return sensitivity(replicates=6)


def test_effects_are_those_of_the_function(known):
    noise = known.result.trials[0].replicates["loss"] - (4 * 0.05**2 + 0.3 + 0.1)
    noise = noise / 1.3
    np.testing.assert_allclose(known["p"].size, 4 * (0.75**2) + noise.mean() * 0.75, rtol=1e-4)
    np.testing.assert_allclose(known["lr"].size, 2.0, rtol=1e-5)
    np.testing.assert_allclose(known["activation"].size, 0.6, rtol=1e-5)
    np.testing.assert_allclose(known["depth"].size, 0.15, rtol=1e-5)
    assert known["nothing"].size == 0.0


def test_largest_effect_comes_first(known):
    assert [row["hyperparameter"] for row in known.table()] == ["p", "lr", "activation", "depth", "nothing"]


def test_best_values(known):
    best = {effect.name: effect.best for effect in known.effects}
    assert best == {"p": 0.25, "lr": 0.01, "activation": "relu", "depth": 1, "nothing": 0.5}


def test_points_are_even_in_the_domain_with_the_baseline(known):
    values = {effect.name: [point.value for point in effect.points] for effect in known.effects}
    assert values["p"] == [0.0, 0.25, 0.3, 0.5, 0.75, 1.0]
    np.testing.assert_allclose(values["lr"], [1e-4, 1e-3, 1e-2, 1e-1, 1.0], rtol=1e-5)
    assert values["activation"] == ["relu", "tanh", "gelu"]
    assert values["depth"] == [1, 2, 3, 4]


def test_one_hyperparameter_changes_at_a_time(known):
    changed = [
        [name for name in BASELINE if trial.hparams[name] != known.baseline[name]] for trial in known.result.trials
    ]
    assert changed[0] == []
    assert all(len(names) == 1 for names in changed[1:])
    assert len(known.result.trials) == 1 + 5 + 4 + 2 + 3 + 4  # the baseline once


def test_intervals_of_points_are_those_of_a_paired_t_test(known):
    base = known.result.trials[0].replicates["loss"]
    for point in known["p"].points:
        if point.trial.id == 0:
            assert (point.difference, point.low, point.high) == (0.0, 0.0, 0.0)
            continue
        values = point.trial.replicates["loss"]
        interval = stats.ttest_rel(values, base).confidence_interval(0.95)
        np.testing.assert_allclose([point.low, point.high], interval, rtol=1e-9)
        assert point.difference == np.mean(values - base)


def test_interval_of_the_effect_holds_for_all_pairs(known):
    points = sorted(known["p"].points, key=lambda point: point.mean)
    values = points[-1].trial.replicates["loss"], points[0].trial.replicates["loss"]
    interval = stats.ttest_rel(*values).confidence_interval(1 - 0.05 / 15)  # 6 points
    np.testing.assert_allclose([known["p"].low, known["p"].high], interval, rtol=1e-9)


def test_coverage_of_a_size_without_any_effect():
    """Uncorrected, 18 % of the intervals of a best-against-worst difference would miss 0."""
    rng = np.random.default_rng(0)
    missed = 0
    for _ in range(400):
        values = rng.normal(size=(5, 4))
        order = np.argsort(values.mean(axis=1))
        missed += paired(values[order[-1]] - values[order[0]], 1 - 0.05 / 10, -np.inf, np.inf).low > 0
    assert missed <= 0.06 * 400


def test_intervals_of_an_accuracy_are_possible_ones():
    def accuracy(key, state, data, hp):
        return {"accuracy": jnp.clip(0.5 + (0.3 + 3 * state["noise"]) * hp["p"], 0.0, 1.0)}

    task = KNOWN.replace(evaluate=accuracy)
    options = {"metric": "accuracy", "mode": "max", "replicates": 2, "confidence": 0.999}
    found = sensitivity(task, {"p": 0.5}, {"p": SPACE["p"]}, **options)
    assert 0 < found["p"].size < found["p"].high == 1.0
    assert all(-1.0 <= point.low <= point.high <= 1.0 for point in found["p"].points)
    assert "intervals end at 1, which accuracy can't exceed: more replicates shorten them" in repr(found)
    low, high = found._ends(found["p"])
    assert min(low) >= 0.0
    assert max(high) <= 1.0


def test_ranges_of_metrics():
    def supervised(**metrics):
        x = np.zeros((4, 2), np.float32), np.zeros(4, np.int32)
        options = {"optimizer": optax.sgd(0.1), "loss": optax.softmax_cross_entropy_with_integer_labels}
        return jt.supervised(nn.Dense(2), **options, metrics=metrics, train=x, batch_size=2)

    anything = (-np.inf, np.inf)
    assert possible(supervised(hits=jt.metrics.accuracy), "hits", [0.5]) == (0, 1)
    assert possible(KNOWN, "top_accuracy", [0.0, np.nan, 1.0]) == (0, 1)
    assert possible(KNOWN, "accuracy", [55.0]) == anything  # percent
    assert possible(KNOWN, "loss", [0.5]) == anything


def test_diverged_points_are_reported(known):
    assert known["lr"].diverged == (1.0,)
    (row,) = [row for row in known.records() if row["hyperparameter"] == "lr" and row["value"] == 1.0]
    assert row["status"].startswith("diverged")
    assert np.isnan(row["difference"])
    assert "diverged at 1" in repr(known)
    assert [row["diverged"] for row in known.table()] == [0, 1, 0, 0, 0]


def test_mode_max_turns_the_best_around():
    found = sensitivity(metric="score", mode="max", space={"p": SPACE["p"], "depth": SPACE["depth"]})
    assert (found["p"].best, found["depth"].best) == (0.25, 1)
    assert found["depth"].points[-1].difference < 0 < found["depth"].size


def test_names_of_the_baseline_alone_are_constants():
    found = sensitivity(space={"p": SPACE["p"]}, points=3)
    assert [effect.name for effect in found.effects] == ["p"]
    assert all(trial.hparams == {**BASELINE, "p": trial.hparams["p"]} for trial in found.result.trials)


def test_integers_get_so_many_points():
    found = sensitivity(space={**SPACE, "depth": jt.Integer(1, 101)}, points=3)
    assert [point.value for point in found["depth"].points] == [1, 2, 51, 101]


def test_constraints_leave_points_out():
    space = jt.constrain({"p": SPACE["p"]}, lambda hp: hp["p"] < 0.6)
    assert [point.value for point in sensitivity(space=space)["p"].points] == [0.0, 0.25, 0.3, 0.5]


def test_another_branch_brings_its_hyperparameters():
    """In the middle of their domains; those of the baseline's branch are perturbed, the others don't exist."""
    task = jt.Task(
        init=lambda key, hp: jnp.zeros(()),
        step=lambda key, x, batch, hp: (x, {}),
        evaluate=lambda key, x, data, hp: {"loss": 1.0 + hp["lr"] + hp.get("momentum", 0.0)},
    )
    optimizer = {
        "sgd": {"lr": jt.Uniform(0.0, 1.0), "momentum": jt.Uniform(0.0, 0.8)},
        "adam": {"lr": jt.Uniform(2, 4)},
    }
    baseline = {"optimizer": "sgd", "lr": 0.5, "momentum": 0.0}
    found = sensitivity(task, baseline, {"optimizer": jt.Choice(optimizer)}, points=2)
    (adam,) = [point.trial for point in found["optimizer"].points if point.value == "adam"]
    assert adam.hparams == {"optimizer": "adam", "lr": 3.0}
    assert {effect.name for effect in found.effects} == {"optimizer", "lr", "momentum"}
    assert [point.value for point in found["lr"].points] == [0.0, 0.5, 1.0]
    np.testing.assert_allclose(found["optimizer"].size, 2.5, rtol=1e-6)


def test_baseline_that_diverged_is_refused():
    with pytest.raises(ValueError, match=r"The baseline diverged at step 4, so nothing can be compared"):
        sensitivity(baseline={**BASELINE, "lr": 1.0})


def test_unknown_effect():
    with pytest.raises(KeyError, match="No effect of 'x' was measured, only of p"):
        sensitivity(space={"p": SPACE["p"]}, points=2)["x"]


def test_plot_has_a_panel_per_hyperparameter(known):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    axes = known.plot()
    assert [ax.get_xlabel() for ax in axes] == ["p", "lr", "activation", "depth", "nothing"]
    assert [ax.get_xscale() for ax in axes[:2]] == ["linear", "log"]
    assert [text.get_text() for text in axes[2].get_xticklabels()] == ["relu", "tanh", "gelu"]
    assert axes[0].get_title().startswith("effect 2.")
    legend = {text.get_text() for text in axes[0].figure.legends[0].get_texts()}
    assert legend == {"baseline", "diverged (1)"}
    matplotlib.pyplot.close("all")


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"task": None}, TypeError, "task must be a jaxtune Task, as .* makes one, got None"),
        ({"baseline": [1]}, TypeError, r"baseline must be a dict from names to values, got \[1\]"),
        ({"baseline": {**BASELINE, "p": 2.0}}, ValueError, r"baseline: 'p': Uniform.* does not contain 2\.0"),
        ({"baseline": {"p": 0.5}}, ValueError, "baseline: The hyperparameters lack 'lr'"),
        ({"baseline": {**BASELINE, "x": SPACE["p"]}}, TypeError, "baseline must hold values, but 'x' is Uniform"),
        ({"space": {"p": 0.3}}, ValueError, "at least one domain: there is nothing to change"),
        ({"space": 1}, TypeError, "A space is a dict"),
        ({"replicates": 1}, ValueError, "replicates must be a whole number >= 2, got 1"),
        ({"points": 1}, ValueError, "points must be a whole number >= 2, got 1"),
        ({"confidence": 95}, ValueError, r"confidence must be a number between 0 and 1, such as 0\.95, got 95"),
        ({"steps": 0}, ValueError, "steps to be a whole number >= 1, got steps=0"),
        ({"metric": "auc"}, ValueError, "metric='auc' is unknown"),
        ({"mode": "low"}, ValueError, "mode must be 'min' or 'max', got 'low'"),
        ({"seed": 1.5}, TypeError, r"seed must be a whole number, got 1\.5"),
        ({"placement": 1}, TypeError, "placement must be a jt.Placement"),
    ],
)
def test_bad_input(changes, error, message):
    with pytest.raises(error, match=message):
        sensitivity(**changes)
