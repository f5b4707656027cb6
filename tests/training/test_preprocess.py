"""Preprocessing: what is fitted, where it is applied, and that metrics keep the unit of the data."""

import re
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import sklearn.metrics
from flax import nnx
from plain import CROSS_ENTROPY, TRAIN, VALIDATION, descend, sgd, wave
from sklearn.preprocessing import StandardScaler
from toys import Listed, tune

import jaxtune as jt

RNG = np.random.default_rng(0)
close = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)


# standardize


def fitted(inputs, targets=None):
    targets = np.zeros(len(jax.tree.leaves(inputs)[0]), np.float32) if targets is None else targets
    preprocess = jt.standardize(targets=True)
    stats = jax.jit(preprocess.fit)((inputs, targets))
    return preprocess, stats, preprocess.apply(stats, (inputs, targets))


TABLE = (RNG.normal(size=(50, 3)) * [0.1, 1.0, 100.0] + [100.0, 0.0, -5.0]).astype(np.float32)


def test_columns_of_a_table_equal_scikit_learn():
    _, _, (x, y) = fitted(TABLE, TABLE[:, :2])
    close(x, StandardScaler().fit_transform(TABLE.astype(np.float64)), atol=1e-3)
    close(y, x[:, :2])
    assert x.dtype == jnp.float32


def test_a_single_column_without_an_axis():
    _, stats, (x, y) = fitted(TABLE[:, 1], TABLE[:, 2])
    assert [x.shape for x in jax.tree.leaves(stats["targets"])] == [(), ()]
    close(y, (TABLE[:, 2] - TABLE[:, 2].mean()) / TABLE[:, 2].std())
    close([x.mean(), x.std()], [0, 1])


@pytest.mark.parametrize("shape", [(40, 5, 6, 3), (40, 7, 2), (40, 9)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float16, jnp.bfloat16])
def test_each_feature_of_the_last_axis_has_its_own_statistics(shape, dtype):
    raw = RNG.integers(0, 256, shape) // (1 + np.arange(shape[-1]))
    _, _, (x, _) = fitted(raw.astype(dtype))
    flat = np.asarray(x, np.float64).reshape(-1, shape[-1])
    precise = dtype in (np.uint8, np.float32)
    expected = StandardScaler().fit_transform(raw.astype(dtype).astype(np.float64).reshape(-1, shape[-1]))
    close(flat, expected, atol=1e-4 if precise else 2e-2)
    assert x.dtype == (np.float32 if dtype == np.uint8 else dtype)
    assert x.shape == shape


def test_a_constant_feature_is_only_centred():
    """0.1 is no float32: its mean over many examples is off by rounding, and so would be its deviation from 0."""
    constant = np.full((1000, 2), 0.1, np.float32)
    _, stats, (x, _) = fitted(constant)
    assert stats["inputs"].std.tolist() == [1.0, 1.0]
    close(x, np.zeros((1000, 2)))


def test_inputs_may_be_a_pytree():
    _, _, (x, _) = fitted({"mean": TABLE, "std": (TABLE[:, :1],)})
    close(x["std"][0], x["mean"][:, :1])
    close(x["mean"], fitted(TABLE)[2][0])


def test_invert_undoes_apply():
    for targets in (TABLE, TABLE[:, 0], {"a": TABLE, "b": (TABLE[:, 2],)}):
        preprocess, stats, (_, y) = fitted(TABLE, targets)
        jax.tree.map(partial(close, rtol=1e-4, atol=1e-4), preprocess.invert(stats, y), targets)


def test_only_what_is_asked_for_changes():
    pair = (TABLE, TABLE[:, 0])
    for preprocess, changed in ((jt.standardize(), 0), (jt.standardize(inputs=False, targets=True), 1)):
        stats = preprocess.fit(pair)
        after = preprocess.apply(stats, pair)
        assert after[1 - changed] is pair[1 - changed]
        assert not np.allclose(after[changed], pair[changed])
    assert jt.standardize().invert(jt.standardize().fit(pair), TABLE) is TABLE


def test_equal_arguments_make_equal_preprocesses():
    assert jt.standardize() == jt.standardize(inputs=True)
    assert hash(jt.standardize()) == hash(jt.standardize())
    assert len({jt.standardize(), jt.standardize(targets=True), jt.standardize(inputs=False, targets=True)}) == 3


@pytest.mark.parametrize("dtype", [np.int32, np.int8, bool])
def test_tokens_and_classes_are_refused(dtype):
    with pytest.raises(TypeError, match=r"the inputs\['tokens'\] of train have dtype " + np.dtype(dtype).name):
        fitted({"tokens": np.ones((4, 2), dtype)})
    with pytest.raises(TypeError, match="the targets of train have dtype"):
        fitted(TABLE[:4], np.ones(4, dtype))


@pytest.mark.parametrize("ids", [np.arange(50, dtype=np.int32), np.arange(50) % 2 == 0, np.ones((50, 4), np.int8)])
def test_whole_numbers_beside_floats_stay(ids):
    _, stats, (x, y) = fitted({"numbers": TABLE, "id": ids}, (TABLE[:, 0], ids))
    close(x["numbers"], fitted(TABLE)[2][0])
    assert x["id"] is ids
    assert y[1] is ids
    logits = np.ones((50, 3), np.float32)  # of classes
    inverted = jt.standardize(targets=True).invert(stats, (y[0], logits))
    close(inverted[0], TABLE[:, 0], atol=1e-3)
    assert inverted[1] is logits


class OfTable(nn.Module):
    """Numbers beside a category."""

    @nn.compact
    def __call__(self, x):
        return nn.Dense(1)(jnp.concatenate([x["numbers"], nn.Embed(5, 2)(x["id"])], axis=1))


def test_a_search_on_numbers_and_categories():
    inputs = {"numbers": TABLE, "id": np.arange(50) % 5}
    task = jt.supervised(
        OfTable(), optimizer=sgd, loss=optax.squared_error, preprocess=jt.standardize(targets=True), batch_size=16,
        train=(inputs, TABLE[:, :1]), validation=(inputs, TABLE[:, :1]), metrics={"mae": jt.metrics.mae},
    )  # fmt: skip
    result = tune(task, {"lr": jt.LogUniform(0.01, 0.1)}, scheduler=jt.FullBudget(2, 50), metric="mae")
    assert result.best.metrics["mae"] < 0.5 * TABLE[:, 0].std()
    assert np.abs(result.best.predict(inputs) - TABLE[:, :1]).mean() < 0.5 * TABLE[:, 0].std()


@pytest.mark.parametrize(
    ("targets", "outputs"),
    [
        (TABLE[:, 0], np.ones((4, 2))),  # a mean and a variance, say
        (TABLE, np.ones((4, 2))),
        (TABLE[:, 0], (np.ones(4), np.ones(4))),
    ],
)
def test_outputs_unlike_the_targets_cannot_be_inverted(targets, outputs):
    preprocess, stats, _ = fitted(TABLE, targets)
    with pytest.raises(TypeError, match="needs outputs like the targets"):
        preprocess.invert(stats, outputs)


def test_outputs_may_have_one_column_for_targets_without_axis():
    preprocess, stats, (_, y) = fitted(TABLE, TABLE[:, 0])
    close(preprocess.invert(stats, y[:, None])[:, 0], TABLE[:, 0])


# In a search: statistics of the training split, losses in their unit, metrics in the data's own.

X = RNG.uniform(-2, 3, (60, 2)).astype(np.float32) * np.float32([10, 0.1])
Y = 50 + 3 * X[:, :1] - 200 * X[:, 1:] + X[:, :1] ** 2
PARTS = {"train": (X[:24], Y[:24]), "validation": (X[24:45], Y[24:45]), "test": (X[45:], Y[45:])}
LR = {"lr": jt.LogUniform(0.01, 0.3)}


class Line(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(1, kernel_init=wave)(x)


class NnxLine(nnx.Module):
    def __init__(self, hp, rngs):
        self.dense = nnx.Linear(2, 1, kernel_init=wave, rngs=rngs)

    def __call__(self, x):
        return self.dense(x)


METRICS = {"rmse": jt.metrics.rmse, "error": lambda outputs, targets: jnp.abs(outputs - targets)}


def regression(model=None, **changes):
    parts = {"optimizer": sgd, "loss": optax.squared_error, "metrics": METRICS, "batch_size": 24, **PARTS}
    parts |= {"preprocess": jt.standardize(targets=True), **changes}
    return jt.supervised(Line() if model is None else model, **parts)


@pytest.mark.parametrize("model", [Line(), NnxLine], ids=["linen", "nnx"])
def test_losses_are_in_transformed_and_metrics_in_original_units(model):
    result = tune(regression(model), LR, scheduler=jt.FullBudget(2, 30))
    best = result.best
    scale_x, scale_y = StandardScaler().fit(X[:24]), StandardScaler().fit(Y[:24])
    scaled = {n: (scale_x.transform(x), scale_y.transform(y)) for n, (x, y) in PARTS.items()}

    def objective(params, step):
        return jnp.mean((Line().apply(params, scaled["train"][0]) - scaled["train"][1]) ** 2)

    start = Line().init(jax.random.key(0), X[:1])
    params = descend(objective, start, sgd(best.hparams), 30)
    for name, values in (("validation", best.metrics), ("test", result.test())):
        outputs = np.asarray(Line().apply(params, scaled[name][0]))
        np.testing.assert_allclose(values["loss"], np.mean((outputs - scaled[name][1]) ** 2), rtol=1e-3)
        original = scale_y.inverse_transform(outputs)
        expected = sklearn.metrics.root_mean_squared_error(PARTS[name][1], original)
        np.testing.assert_allclose(values["rmse"], expected, rtol=1e-3)
        np.testing.assert_allclose(values["error"], np.abs(PARTS[name][1] - original).mean(), rtol=1e-3)
    assert best.metrics["rmse"] > 2 * best.metrics["loss"]  # the two units could be confused

    # As the docstring of Preprocess says: apply and invert around the model of a result.
    preprocess = jt.standardize(targets=True)
    stats = preprocess.fit(PARTS["train"])
    inputs, _ = preprocess.apply(stats, PARTS["validation"])
    outputs = best.model(inputs) if model is NnxLine else best.model.apply(best.variables, inputs)
    rmse = jt.metrics.rmse(preprocess.invert(stats, outputs), PARTS["validation"][1])
    np.testing.assert_allclose(best.metrics["rmse"], rmse, rtol=1e-5)


def test_a_batch_is_preprocessed_before_it_is_augmented():
    seen = []

    def augment(key, batch, hp):
        seen.append(batch)
        return batch

    task = regression(augment=augment)
    stats = task.prepare(PARTS["train"])
    state = task.init(jax.random.key(0), {"lr": 0.1}, step=0, total_steps=1)
    task.step(jax.random.key(0), state, PARTS["train"], {"lr": 0.1}, step=0, total_steps=1, stats=stats)
    close(seen[-1][0].mean(0), [0, 0], atol=1e-5)
    close(seen[-1][1].std(0), [1])


class Pixels(nn.Module):
    """A module whose weights depend on dtype and shape of what it gets."""

    @nn.compact
    def __call__(self, x):
        assert x.dtype == jnp.float32
        return nn.Dense(3)(x.reshape(x.shape[0], -1))


def _flipped(stats, pair):
    return jnp.concatenate([pair[0][:, :, ::2]] * 2, axis=-1) / stats, 2 - pair[1]


HALVED = jt.Preprocess(fit=lambda train: jnp.max(train[0]) + 0.0, apply=_flipped)


def images(size):
    return RNG.integers(0, 256, (size, 4, 6, 1)).astype(np.uint8), RNG.integers(0, 3, size).astype(np.int32)


def test_a_model_starts_from_the_shapes_and_dtypes_that_it_will_see():
    train, validation = images(16), images(9)
    parts = {"optimizer": sgd, "loss": CROSS_ENTROPY, "train": train, "validation": validation, "batch_size": 8}
    for preprocess, size in ((jt.standardize(), 24), (HALVED, 24)):
        task = jt.supervised(Pixels(), preprocess=preprocess, **parts)
        result = tune(task, LR, scheduler=jt.FullBudget(2, 4))
        assert result.best.variables["params"]["Dense_0"]["kernel"].shape == (size, 3)
        inputs, targets = preprocess.apply(preprocess.fit(train), validation)
        outputs = result.best.model.apply(result.best.variables, inputs)
        np.testing.assert_allclose(result.best.metrics["loss"], CROSS_ENTROPY(outputs, targets).mean(), rtol=1e-5)


def test_labels_are_checked_where_preprocessing_leaves_them_alone():
    x, y = TRAIN
    parts = {"optimizer": sgd, "loss": CROSS_ENTROPY, "batch_size": 8}
    lower = jt.Preprocess(fit=lambda train: None, apply=lambda stats, pair: (pair[0], pair[1] - 5))
    task = jt.supervised(nn.Dense(3), preprocess=lower, train=(x, y + 5), validation=(x, y + 5), **parts)
    assert np.isfinite(tune(task, LR, scheduler=jt.FullBudget(1, 2)).best.metrics["loss"])
    task = jt.supervised(nn.Dense(3), preprocess=jt.standardize(), train=(x, y), validation=(x, y + 5), **parts)
    with pytest.raises(ValueError, match="The targets of validation lie in 5 ... 7"):
        tune(task, LR, scheduler=jt.FullBudget(1, 2))


TRACES = []


def counted(hp):
    TRACES.append(hp)
    return Line()


def test_equal_preprocesses_compile_nothing_again(compiled):
    sampler = Listed.of({"lr": 0.1}, {"lr": 0.2})
    first = tune(regression(counted), LR, scheduler=jt.FullBudget(2, 5), sampler=sampler)
    assert TRACES
    compiled.clear()
    other = {name: (x, 2 * y) for name, (x, y) in PARTS.items()}
    second = tune(regression(counted, **other), LR, scheduler=jt.FullBudget(2, 5), sampler=sampler)
    assert not compiled
    for a, b in zip(first.trials, second.trials, strict=True):  # twice the targets: the same standardized problem
        np.testing.assert_allclose(
            [2 * a.metrics["rmse"], a.metrics["loss"]], [b.metrics["rmse"], b.metrics["loss"]], rtol=1e-4
        )


def test_other_preprocesses_make_other_tasks():
    own = jt.Preprocess(fit=lambda train: None, apply=lambda stats, pair: pair)
    tasks = {regression(preprocess=p).functions for p in (None, jt.standardize(), jt.standardize(targets=True), own)}
    assert len(tasks) == 4
    assert regression().functions == regression().functions


@pytest.mark.parametrize(("features", "wrong"), [(1, (37, 1)), (3, (37, 3))])
def test_validation_inputs_with_other_features_are_refused(features, wrong):
    """A single one would be broadcast against the statistics of four."""
    stats = jt.standardize().fit(TRAIN)
    with pytest.raises(ValueError, match=f"fitted on 4 features, got an array of shape {re.escape(str(wrong))}"):
        jt.standardize().apply(stats, (VALIDATION[0][:, :features], VALIDATION[1]))
