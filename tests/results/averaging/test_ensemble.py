"""Ensembles of trials that keep their weights, against selection and metrics in plain numpy."""

import json
import pickle

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from safetensors.numpy import load_file
from toys import DESCENT, DESCENT_SPACE, Listed, tune

import jaxtune as jt
from jaxtune.results.averaging.outputs import Outputs

RNG = np.random.default_rng(0)
X = RNG.normal(3, 2, size=(90, 4)).astype(np.float32)
SMALL = (X - 3) / 2
Y = (40 + 9 * np.sin(2 * SMALL[:, :1]) * SMALL[:, 1:2] + RNG.normal(size=(90, 1))).astype(np.float32)
LABELS = np.argmax(SMALL[:, :3] + RNG.normal(size=(90, 3)), axis=1).astype(np.int32)
PARTS = {"train": slice(40), "validation": slice(40, 65), "test": slice(65, 90)}
SPACE = {"lr": jt.LogUniform(3e-3, 0.1)}
SHORT = jt.FullBudget(6, 30)
PROBABILITIES = (jax.nn.softmax, jnp.log)


class Linen(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(1)(nn.tanh(nn.Dense(8)(x)))


class Classifier(nnx.Module):
    def __init__(self, hp, *, rngs):
        self.first, self.last = nnx.Linear(4, 8, rngs=rngs), nnx.Linear(8, 3, rngs=rngs)
        self.norm = nnx.BatchNorm(8, rngs=rngs)

    def __call__(self, x):
        return self.last(nnx.tanh(self.norm(self.first(x))))


class Two(nn.Module):
    @nn.compact
    def __call__(self, x):
        hidden = nn.tanh(nn.Dense(8)(x))
        return {"first": nn.Dense(1)(hidden), "second": nn.Dense(2)(hidden)}


def two_errors(outputs, targets):
    first, second = (outputs[name] - targets[name] for name in ("first", "second"))
    return first[:, 0] ** 2 + (second**2).sum(axis=1)


def rmse(outputs, targets):
    return np.sqrt(np.mean((outputs - targets) ** 2))


def cross_entropy(logits, labels):
    logits = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return -np.mean(logits[np.arange(len(labels)), labels])


def data_of(targets, parts=PARTS):
    return {name: jax.tree.map(lambda x, part=part: x[part], (X, targets)) for name, part in parts.items()}


def task_of(kind, **changes):
    model, loss, metrics, targets, preprocess = {
        "regression": (Linen(), optax.squared_error, {"rmse": jt.metrics.rmse}, Y, jt.standardize(targets=True)),
        "classes": (
            Classifier, optax.softmax_cross_entropy_with_integer_labels, {"accuracy": jt.metrics.accuracy}, LABELS,
            jt.standardize(),
        ),
        "two": (
            Two(), two_errors, {"sum": two_errors}, {"first": Y, "second": np.concatenate([-Y, Y], axis=1)},
            jt.standardize(targets=True),
        ),
    }[kind]  # fmt: skip
    given = {"metrics": metrics, "preprocess": preprocess, "batch_size": 16, **data_of(targets)} | changes
    return jt.supervised(model, optimizer=lambda hp: optax.adam(hp["lr"]), loss=loss, **given)


TASKS = {kind: task_of(kind) for kind in ("regression", "classes", "two")}
VALUES = {  # of the metric that selects, in numpy
    "regression": ("rmse", "min", rmse),
    "classes": ("loss", "min", cross_entropy),
    "two": ("sum", "min", lambda o, t: float(np.mean(two_errors(o, t)))),
}


def searched(kind, **options):
    metric, mode, _ = VALUES[kind]
    given = {"scheduler": SHORT, "keep_weights": 5, "metric": metric, "mode": mode} | options
    return tune(TASKS[kind], SPACE, **given)


@pytest.fixture(scope="module", params=TASKS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def result(kind):
    return searched(kind)


@pytest.fixture(scope="module")
def regression():
    return searched("regression")


def averaged(predictions, weights):
    return jax.tree.map(lambda *x: np.average(np.stack(x).astype(np.float64), axis=0, weights=weights), *predictions)


def selected(result, value, predictions, targets, size):
    """Members of the best beginning of the greedy course: trial -> weight."""
    course, scores = [], []
    for _ in range(size):
        tried = [
            value(averaged([predictions[k] for k in [*course, j]], None), targets) for j in range(len(predictions))
        ]
        course.append(int(np.argmin(tried)))
        scores.append(min(tried))
    course = course[: int(np.argmin(scores)) + 1]
    ids = [trial.id for trial in result.ranking[: len(predictions)]]
    return {ids[k]: course.count(k) / len(course) for k in set(course)}


def members_of(ensemble):
    return {trial.id: weight for trial, weight in ensemble.members}


# Who is in it, and what it is worth


def test_greedy_selection_by_validation_predictions(kind, result):
    name, _, value = VALUES[kind]
    inputs, targets = TASKS[kind].validation
    predictions = [trial.predict(inputs) for trial in result.ranking[:5]]
    ensemble = result.ensemble(size=4, bags=1)
    assert members_of(ensemble) == pytest.approx(selected(result, value, predictions, targets, 4))
    assert list(ensemble.weights) == sorted(ensemble.weights, reverse=True)
    assert ensemble.metrics[name] == pytest.approx(value(ensemble.predict(inputs), targets), rel=1e-4)
    assert ensemble.best.id == result.best.id
    for metric, expected in result.best.metrics.items():
        if not metric.startswith("train_"):
            assert ensemble.best_metrics[metric] == pytest.approx(expected, rel=1e-5)
    assert ensemble.beats_best == (ensemble.metrics[name] < ensemble.best_metrics[name])


def test_predictions_are_weighted_means(kind, result):
    ensemble = result.ensemble(size=3)
    assert ensemble.weights.sum() == pytest.approx(1)
    expected = averaged([trial.predict(X[:7]) for trial, _ in ensemble.members], ensemble.weights)
    got = ensemble.predict(X[:7])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), got, expected)


def test_the_test_split_is_looked_at_when_it_is_asked_for_and_counted(kind, result):
    name, _, value = VALUES[kind]
    before, ensemble = result.num_tests, result.ensemble(size=3)
    assert result.num_tests == before
    tested = ensemble.test()
    assert result.num_tests == before + 1
    assert tested.keys() == ensemble.metrics.keys()
    inputs, targets = TASKS[kind].test
    assert tested[name] == pytest.approx(value(ensemble.predict(inputs), targets), rel=1e-4)


def test_the_loss_is_in_the_unit_of_training(regression):
    ensemble = regression.ensemble(size=3, bags=1)
    inputs, targets = TASKS["regression"].validation
    expected = np.mean((ensemble.predict(inputs) - targets) ** 2) / Y[:40].var()
    assert ensemble.metrics["loss"] == pytest.approx(expected, rel=1e-4)


def test_mean_probabilities():
    result = searched("classes")
    ensemble = result.ensemble(size=4, bags=1, combine=PROBABILITIES)
    inputs, labels = TASKS["classes"].validation
    probabilities = [np.asarray(jax.nn.softmax(trial.predict(inputs))) for trial in result.ranking[:5]]

    def value(p, labels):
        return -np.mean(np.log(p[np.arange(len(labels)), labels]))

    assert members_of(ensemble) == pytest.approx(selected(result, value, probabilities, labels, 4))
    mean = ensemble.predict(inputs, combine=jax.nn.softmax)
    np.testing.assert_allclose(mean.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.exp(ensemble.predict(inputs)), mean, rtol=1e-4)  # what it was selected with
    assert ensemble.metrics["loss"] == pytest.approx(value(mean, labels), rel=1e-4)
    assert ensemble.metrics["accuracy"] == pytest.approx(np.mean(mean.argmax(axis=1) == labels))


def test_a_metric_that_is_good_where_it_is_high():
    result = tune(TASKS["classes"], SPACE, scheduler=SHORT, keep_weights=5, metric="accuracy")
    ensemble = result.ensemble(size=4, bags=1)
    inputs, labels = TASKS["classes"].validation
    best = max(np.mean(trial.predict(inputs).argmax(axis=1) == labels) for trial in result.ranking[:5])
    assert ensemble.best_metrics["accuracy"] == pytest.approx(best)
    assert ensemble.metrics["accuracy"] >= ensemble.best_metrics["accuracy"]
    assert ensemble.metrics["accuracy"] == pytest.approx(np.mean(ensemble.predict(inputs).argmax(axis=1) == labels))


def test_replicates_of_a_trial_are_averaged_first():
    result = searched("regression", replicates=2, keep_weights=4)
    inputs, targets = TASKS["regression"].validation
    predictions = [trial.predict(inputs) for trial in result.ranking[:4]]
    ensemble = result.ensemble(size=3, bags=1)
    assert members_of(ensemble) == pytest.approx(selected(result, rmse, predictions, targets, 3))
    alone = [rmse(one, targets) for one in predictions]
    assert ensemble.best.id == result.ranking[int(np.argmin(alone))].id
    assert ensemble.best_metrics["rmse"] == pytest.approx(min(alone), rel=1e-4)


def test_folds_are_predicted_by_models_that_have_not_seen_them():
    shifted = X + np.arange(90, dtype=np.float32)[:, None] / 10  # folds differ in their means
    task = task_of("regression", train=(shifted[:60], Y[:60]), validation=None, test=(shifted[60:], Y[60:]))
    folds = [(np.arange(20, 60), np.arange(20)), (np.arange(40), np.arange(40, 60))]
    result = tune(task, SPACE, scheduler=SHORT, folds=folds, keep_weights=4, metric="rmse", mode="min")
    ensemble = result.ensemble(size=3, bags=1)
    weights = members_of(ensemble)

    def of_fold(fold, rows):
        outputs = [result.trials[k]._trained._outputs(fold, shifted[rows]) for k in weights]
        return rmse(averaged(outputs, list(weights.values())), Y[rows])

    held_out = [of_fold(fold, rows) for fold, (_, rows) in enumerate(folds)]
    assert ensemble.metrics["rmse"] == pytest.approx(np.mean(held_out), rel=1e-4)
    for trial in result.ranking[:4]:
        assert ensemble.metrics["rmse"] <= trial.metrics["rmse"] * (1 + 1e-5)
    tested, each = ensemble.test(), [of_fold(fold, np.arange(60, 90)) for fold in (0, 1)]
    assert tested["rmse"] == pytest.approx(np.mean(each), rel=1e-4)
    assert tested["rmse_se"] == pytest.approx(np.std(each, ddof=1) / np.sqrt(2), rel=1e-2)


def test_static_hyperparameters_may_differ():
    task = jt.supervised(
        lambda hp: nn.Sequential([nn.Dense(hp["width"]), nn.tanh, nn.Dense(1)]), optimizer=lambda hp: optax.adam(0.05),
        loss=optax.squared_error, batch_size=16, **data_of(Y), preprocess=jt.standardize(targets=True),
    )  # fmt: skip
    result = tune(task, {"width": jt.Choice([4, 8])}, scheduler=jt.FullBudget(2, 30), keep_weights=2)
    weights = np.array([0.3, 0.7])
    values = Outputs.of({k: result.weights[k] for k in (0, 1)}, "test", None).metrics(weights)
    outputs = averaged([result.trials[k].predict(X[65:]) for k in (0, 1)], weights)
    assert values["loss"][0] == pytest.approx(np.mean((outputs - Y[65:]) ** 2) / Y[:40].var(), rel=1e-4)


class Masked(nn.Module):
    """A fourth class that is impossible."""

    @nn.compact
    def __call__(self, x):
        return jnp.where(jnp.arange(4) < 3, nn.Dense(4)(nn.tanh(nn.Dense(8)(x))), -jnp.inf)


def test_outputs_that_are_infinite():
    task = jt.supervised(
        Masked(), optimizer=lambda hp: optax.adam(hp["lr"]), batch_size=16, **data_of(LABELS),
        loss=optax.softmax_cross_entropy_with_integer_labels, preprocess=jt.standardize(),
    )  # fmt: skip
    result = tune(task, SPACE, scheduler=jt.FullBudget(3, 20), keep_weights=3)
    inputs, labels = task.validation
    first, second, third = (trial.predict(inputs)[:, :3] for trial in result.ranking[:3])
    outputs = Outputs.of({trial.id: result.weights[trial.id] for trial in result.ranking}, "validation", None)
    expected = [cross_entropy(averaged([second, second, one], None), labels) for one in (first, second, third)]
    np.testing.assert_allclose(outputs.costs_of("loss")(np.array([0, 2, 0])), expected, rtol=1e-5)
    for options in ({}, {"combine": PROBABILITIES}):
        ensemble = result.ensemble(bags=1, **options)
        assert ensemble.metrics["loss"] <= ensemble.best_metrics["loss"] < np.inf
        assert (ensemble.predict(inputs)[:, 3] == -np.inf).all()


# What it says


def test_it_says_when_it_is_no_better_than_the_best_trial():
    """The first trial is exact, and all that is averaged with it makes it worse."""
    task = jt.supervised(
        nn.Dense(1), optimizer=lambda hp: optax.sgd(hp["lr"]), loss=optax.squared_error, batch_size=16,
        preprocess=jt.standardize(targets=True), **data_of(SMALL[:, :1] + 3 * SMALL[:, 1:2]),
    )  # fmt: skip
    sampler = Listed.of({"lr": 0.2}, {"lr": 1e-6})
    scheduler = jt.FullBudget(2, 100)
    result = tune(task, {"lr": jt.LogUniform(1e-6, 0.2)}, scheduler=scheduler, keep_weights=2, sampler=sampler)
    ensemble = result.ensemble()
    assert members_of(ensemble) == {0: 1.0}
    assert ensemble.metrics == ensemble.best_metrics  # to the last digit
    assert not ensemble.beats_best
    assert "It does not beat the best single trial: trial 0 alone is as good, or better." in repr(ensemble)


def test_text_and_table(regression):
    ensemble = regression.ensemble(size=4, bags=1)
    text = repr(ensemble)
    assert text.startswith(
        f"Ensemble of {len(ensemble.members)} trials: validation rmse {ensemble.metrics['rmse']:.4g}"
    )
    assert f"the best single one (trial {regression.best.id}) {ensemble.best_metrics['rmse']:.4g} (min)" in text
    assert ("does not beat" in text) is not ensemble.beats_best
    assert f"<td>{ensemble.members[0][0].id}</td>" in ensemble._repr_html_()


# What is kept


def test_the_same_call_finds_it_again(regression, tmp_path, monkeypatch):
    folder = tmp_path / "ensemble"
    made = regression.ensemble(size=3, combine=(jnp.cbrt, lambda x: x**3), directory=folder)
    content = json.loads((folder / "ensemble.json").read_text())["content"]["ensemble"]
    assert dict(content["members"]) == members_of(made)
    for trial, _ in made.members:
        saved = load_file(folder / "weights" / f"{trial.id:06d}.safetensors")
        np.testing.assert_array_equal(
            saved["variables/params/Dense_0/kernel"], trial.variables["params"]["Dense_0"]["kernel"]
        )
    monkeypatch.setattr("jaxtune.results.averaging.ensembling._selected", None)  # nothing is selected again
    again = regression.ensemble(size=3, combine=(jnp.cbrt, lambda x: x**3), directory=folder)
    assert (members_of(again), again.metrics, again.best_metrics) == (members_of(made), made.metrics, made.best_metrics)
    assert again.best.id == made.best.id
    np.testing.assert_array_equal(again.predict(X), made.predict(X))
    for options in ({"size": 2}, {"bags": 3}, {"combine": None}, {"combine": (jnp.cbrt, lambda x: x * x * x * x)}):
        with pytest.raises(ValueError, match="holds another ensemble: name another directory"):
            regression.ensemble(**{"size": 3, "combine": (jnp.cbrt, lambda x: x**3), "directory": folder} | options)
    path = next((folder / "weights").iterdir())
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=f"{path.name} is damaged"):
        regression.ensemble(size=3, combine=(jnp.cbrt, lambda x: x**3), directory=folder)


def test_it_belongs_to_a_run_that_is_loaded(regression, tmp_path):
    regression.save(tmp_path / "run")
    made = regression.ensemble(directory=tmp_path / "run" / "ensemble")
    loaded = jt.load(tmp_path / "run", TASKS["regression"], SPACE)
    again = loaded.ensemble(directory=tmp_path / "run" / "ensemble")
    assert members_of(again) == members_of(made)
    np.testing.assert_array_equal(again.predict(X), made.predict(X))
    before = loaded.num_tests
    assert again.test() == made.test()
    assert loaded.num_tests == before + 1
    with pytest.raises(ValueError, match="holds a run already"):
        regression.ensemble(directory=tmp_path / "run")


def test_pickles(regression):
    made = regression.ensemble(size=3, combine=(lambda x: x, lambda x: x))
    thin = pickle.loads(pickle.dumps(made))
    assert repr(thin) == repr(made)
    for call in (thin.test, lambda: thin.predict(X)):
        with pytest.raises(ValueError, match="needs the task"):
            call()
    without = pickle.loads(pickle.dumps(regression))
    with pytest.raises(ValueError, match=r"ensemble\(\) needs the task"):
        without.ensemble()
    again = without.with_task(TASKS["regression"], SPACE).ensemble(size=3)
    np.testing.assert_array_equal(again.predict(X), regression.ensemble(size=3).predict(X))


# Bad input


class Rounding(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(1)(x).astype(jnp.int32)


class Growing(nn.Module):
    width: int

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.width)(x)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"size": 0}, ValueError, "size must be a whole number >= 1, got 0"),
        ({"size": 2.5}, ValueError, "size must be a whole number"),
        ({"bags": 0}, ValueError, "bags must be a whole number >= 1, got 0"),
        ({"combine": jax.nn.softmax}, TypeError, r"ensemble\(\) computes metrics.*give combine= a pair"),
        ({"combine": 3}, TypeError, "combine must be a function of outputs or a pair"),
        ({"combine": (lambda x: x > 0, jnp.log)}, TypeError, "combine must make floats"),
        ({"combine": (jnp.exp, lambda x: x[:, 0])}, TypeError, r"like the outputs, \[N, 1\], got \[N\]"),
    ],
    ids=["size", "fraction", "bags", "function", "number", "bools", "shape"],
)
def test_bad_arguments(regression, options, error, words):
    with pytest.raises(error, match=words):
        regression.ensemble(**options)


def test_what_has_no_average():
    with pytest.raises(ValueError, match=r"only one trial keeps its: search with tune\(keep_weights=20\)"):
        tune(TASKS["regression"], SPACE, scheduler=jt.FullBudget(2, 5)).ensemble()
    with pytest.raises(ValueError, match="this one has no outputs to average"):
        tune(DESCENT, DESCENT_SPACE, scheduler=jt.FullBudget(3, 5), keep_weights=2).ensemble()
    with pytest.raises(ValueError, match="no trial keeps its"):
        tune(DESCENT, {"lr": jt.Uniform(50.0, 60.0)}, scheduler=jt.FullBudget(3, 200), keep_weights=3).ensemble()


@pytest.mark.parametrize(
    ("model", "loss", "space", "error", "words"),
    [
        (
            Rounding(), lambda o, t: (o.astype(jnp.float32) - t) ** 2, {"lr": jt.Uniform(0.1, 0.2)}, TypeError,
            r"averages outputs, which needs floats: give it a combine=",
        ),
        (
            lambda hp: Growing(hp["width"]), lambda o, t: (o.sum(axis=1) - t[:, 0]) ** 2,
            {"width": jt.Choice([2, 3]), "lr": jt.Uniform(1e-4, 1e-3)}, ValueError,
            r"those of trial \d have the shapes \[N, \d\] and those of trial \d \[N, \d\]: no",
        ),
    ],
    ids=["whole numbers", "shapes"],
)  # fmt: skip
def test_outputs_that_do_not_go_together(model, loss, space, error, words):
    task = jt.supervised(model, optimizer=lambda hp: optax.sgd(hp["lr"]), loss=loss, batch_size=16, **data_of(Y))
    result = tune(task, space, scheduler=jt.FullBudget(2, 5), keep_weights=2)
    with pytest.raises(error, match=words):
        result.ensemble()


def test_without_test_data():
    ensemble = tune(task_of("regression", test=None), SPACE, scheduler=SHORT, keep_weights=3).ensemble()
    with pytest.raises(ValueError, match="needs test data: give the task test="):
        ensemble.test()
