"""What users get wrong: one readable sentence each, before anything compiles.

Bounds of domains are tested in test_domains.py, schedulers in tests/schedulers, memory in test_placement.py.
"""

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
from flax.training.train_state import TrainState
from toys import ONE

import jaxtune as jt

RNG = np.random.default_rng(0)
X = RNG.normal(size=(37, 3)).astype(np.float32)
Y = RNG.integers(0, 3, 37).astype(np.int32)
CROSS_ENTROPY = optax.softmax_cross_entropy_with_integer_labels
LR = {"lr": jt.LogUniform(1e-3, 1.0)}
UNIT = jt.Uniform(0.0, 1.0)
FEW = jt.FullBudget(trials=4, steps=5)


class MLP(nn.Module):
    width: int = 4
    rate: float = 0.0

    @nn.compact
    def __call__(self, x, train=False):
        x = nn.Dropout(self.rate, deterministic=not train)(nn.Dense(self.width)(x))
        return nn.Dense(3)(x)


class Linear(nnx.Module):
    def __init__(self, hp, rngs):
        self.dense = nnx.Linear(3, 3, rngs=rngs)

    def __call__(self, x):
        return self.dense(x)


def sgd(hp):
    return optax.sgd(hp["lr"])


def supervised(model=None, **changes):
    parts = {"optimizer": sgd, "loss": CROSS_ENTROPY, "train": (X, Y), "validation": (X, Y), "batch_size": 8}
    return jt.supervised(MLP() if model is None else model, **{**parts, **changes})


def init(key, hp):
    return {"w": jnp.ones(3)}


def step(key, state, batch, hp):
    return {"w": state["w"] * hp["lr"]}, {"loss": jnp.sum(state["w"])}


def evaluate(key, state, data, hp):
    return {"loss": jnp.sum(state["w"])}


def plain(**changes):
    return jt.Task(**{**{"init": init, "step": step, "evaluate": evaluate}, **changes})


def tune(task=None, space=LR, **changes):
    arguments = {"scheduler": FEW, "progress": False, "placement": ONE, **changes}
    return jt.tune(supervised() if task is None else task, space, **arguments)


def search(task=None, space=LR, key=None, **changes):
    key = jax.random.key(0) if key is None else key
    return jt.search(key, supervised() if task is None else task, space, **{"scheduler": FEW, **changes})


@pytest.fixture
def nothing_compiles(monkeypatch):
    """Fails a test that comes as far as compiling or, in `search`, as starting lanes."""

    def fail(*args, **kwargs):
        pytest.fail("a program was compiled")

    monkeypatch.setattr("jaxtune.engine.programs.Programs._start", fail)
    monkeypatch.setattr("jaxtune.engine.population.spawn", fail)


def refused(table):
    """A test of a table {what is wrong: (a call, the exception, what its message says)}."""

    @pytest.mark.usefixtures("nothing_compiles")
    @pytest.mark.parametrize("what", table)
    def test(what):
        call, error, *parts = table[what]
        with pytest.raises(error) as caught:
            call()
        for part in parts:
            assert part in str(caught.value)
        assert type(caught.value) is error  # no JAX exception that happens to derive from it
        assert "\n" not in str(caught.value)

    return test


# Traced hyperparameters used as Python values.


def branch(hp):
    return optax.sgd(hp["lr"] if hp["x"] > 0 else 1.0)


def loop(hp):
    return optax.sgd(sum(hp["lr"] for _ in range(hp["n"])))


def peak(schedule, *before):
    return lambda hp: optax.sgd(schedule(*before, hp["lr"], 10, 100))


def over_total_steps(hp, total_steps):
    return optax.sgd(optax.cosine_decay_schedule(hp["lr"], total_steps))


def attention(hp):
    attend = nn.MultiHeadAttention(1, dropout_rate=hp["rate"], deterministic=False)
    return nn.Sequential([lambda x: x[:, None], attend, lambda x: x[:, 0]])


def multi_steps(every):
    return optax.MultiSteps(optax.sgd(0.1), every).gradient_transformation()


RATE = LR | {"rate": UNIT}
FACTOR = {"factor": jt.Uniform(0.1, 0.9)}
STATIC = "declare it static"
test_traced_values_in_python = refused(
    {
        "if on a float": (
            lambda: tune(supervised(optimizer=branch), LR | {"x": UNIT}),
            TypeError,
            "'x' is a traced number, but the task needs a Python value",
            STATIC + ", as in jt.Choice([...], static=True)",
            "keep hp['x'] out of it",
        ),
        "if on an Integer that is declared traced": (
            lambda: tune(supervised(optimizer=branch), LR | {"x": jt.Integer(-1, 1, static=False)}),
            TypeError,
            "'x' is a traced number",
            STATIC + " (static=True in its domain)",
        ),
        "range": (
            lambda: tune(supervised(optimizer=loop), LR | {"n": jt.Integer(1, 3, static=False)}),
            TypeError,
            "'n' is a traced number",
            STATIC,
        ),
        "width of a layer": (
            lambda: tune(supervised(lambda hp: MLP(hp["width"])), LR | {"width": jt.Integer(1, 3, static=False)}),
            TypeError,
            "'width' is a traced number",
            STATIC,
        ),
        "float()": (
            lambda: tune(supervised(optimizer=lambda hp: optax.sgd(float(hp["lr"])))),
            TypeError,
            "'lr' is a traced number",
        ),
        "numpy": (
            lambda: tune(supervised(optimizer=lambda hp: optax.sgd(np.log(hp["lr"])))),
            TypeError,
            "'lr' is a traced number",
        ),
        "linen dropout": (
            lambda: tune(supervised(lambda hp: MLP(rate=hp["rate"])), RATE),
            TypeError,
            "'rate' is a traced number, but a Flax dropout layer needs a Python value",
            "use jt.rate(hp['rate'])",
        ),
        "if in a loss": (
            lambda: tune(
                supervised(loss=lambda o, t, hp: o if hp["x"] > 0 else -o, metrics={"m": jt.metrics.accuracy}),
                LR | {"x": UNIT},
                metric="m",
                mode="max",
            ),
            TypeError,
            "'x' is a traced number",
            "Attempted boolean conversion",
        ),
        "linen attention": (lambda: tune(supervised(attention), RATE), TypeError, "use jt.rate(hp['rate'])"),
        "nnx dropout": (
            lambda: tune(supervised(lambda hp, rngs: nnx.Dropout(hp["rate"], rngs=rngs)), RATE),
            TypeError,
            "use jt.rate(hp['rate'])",
        ),
        "warmup_cosine_decay_schedule": (
            lambda: tune(supervised(optimizer=peak(optax.warmup_cosine_decay_schedule, 0.0))),
            TypeError,
            "'lr' is a traced number, but optax.warmup_cosine_decay_schedule needs a Python value",
            "use jt.schedules.warmup_cosine_decay_schedule",
        ),
        "cosine_decay_schedule over total_steps": (
            lambda: tune(supervised(optimizer=over_total_steps)),
            TypeError,
            "'total_steps' is a traced number",
            "use jt.schedules.cosine_decay_schedule",
        ),
        "MultiSteps": (
            lambda: tune(supervised(optimizer=lambda hp: multi_steps(hp["k"])), {"k": jt.Integer(1, 4, static=False)}),
            TypeError,
            "'k' is a traced number, but optax.MultiSteps needs a Python value",
            "use jt.accumulate(optimizer, hp['k'])",
        ),
        "reduce_on_plateau": (
            lambda: tune(supervised(optimizer=lambda hp: optax.contrib.reduce_on_plateau(hp["factor"])), FACTOR),
            TypeError,
            "'factor' is a traced number, but optax.contrib.reduce_on_plateau needs a Python value",
            "chain jt.reduce_on_plateau after the optimizer",
        ),
        "in search": (
            lambda: search(supervised(lambda hp: MLP(rate=hp["rate"])), RATE),
            TypeError,
            "use jt.rate(hp['rate'])",
        ),
    }
)


@pytest.mark.usefixtures("nothing_compiles")
def test_no_schedule_is_named_that_does_not_exist(monkeypatch):
    monkeypatch.setattr("jaxtune.tasks.advice.OURS", "cosine_decay_schedule other_schedule")
    with pytest.raises(TypeError, match="optax.warmup_cosine_decay_schedule needs a Python value") as caught:
        tune(supervised(optimizer=peak(optax.warmup_cosine_decay_schedule, 0.0)))
    assert "take one of jt.schedules, which accepts traced numbers" in str(caught.value)


# Names.

test_names = refused(
    {
        "nothing reads a float": (
            lambda: tune(space=LR | {"z": UNIT}),
            ValueError,
            "The space has 'z', which no function of the task reads.",
        ),
        "nothing reads a choice": (
            lambda: tune(space=LR | {"z": jt.Choice(("a", "b"))}),
            ValueError,
            "The space has 'z', which no function of the task reads.",
        ),
        "misspelt": (
            lambda: tune(supervised(optimizer=lambda hp: optax.sgd(hp["lrr"]))),
            KeyError,
            "The task reads hp['lrr'], which the space lacks, did you mean 'lr'?; it has lr.",
        ),
        "missing": (
            lambda: tune(supervised(optimizer=lambda hp: optax.sgd(hp["momentum"])), LR | {"b": 1}),
            KeyError,
            "The task reads hp['momentum'], which the space lacks; it has lr, b.",
        ),
        "missing in search": (
            lambda: search(supervised(optimizer=lambda hp: optax.sgd(hp["momentum"]))),
            KeyError,
            "hp['momentum']",
        ),
    }
)


@pytest.mark.usefixtures("nothing_compiles")
@pytest.mark.parametrize("name", ["b", "lr", 3, ("a", "b")])
def test_a_key_error_of_the_users_own_passes_through(name):
    own = {"a": 1.0}
    with pytest.raises(KeyError) as caught:
        tune(supervised(optimizer=lambda hp: optax.sgd(own[name] * hp["lr"])))
    assert caught.value.args == (name,)


@pytest.mark.usefixtures("nothing_compiles")
@pytest.mark.parametrize(
    "make",
    [
        lambda fails: supervised(optimizer=fails),
        lambda fails: supervised(fails),
        lambda fails: supervised(loss=fails),
        lambda fails: supervised(metrics={"a": fails}),
        lambda fails: supervised(augment=fails),
        lambda fails: supervised(penalty=fails),
        lambda fails: supervised(variables=WHOLE, trainable=fails),
        lambda fails: plain(init=fails),
        lambda fails: plain(step=fails),
        lambda fails: plain(evaluate=fails),
        lambda fails: plain(train=X, validation=X, batch_size=4, prepare=fails),
    ],
    ids=[
        "optimizer",
        "model",
        "loss",
        "metric",
        "augment",
        "penalty",
        "trainable",
        "init",
        "step",
        "evaluate",
        "prepare",
    ],
)
@pytest.mark.parametrize("run", [tune, search])
def test_exceptions_of_user_functions_pass_through(make, run):
    error = RuntimeError("mine")

    def fails(*args):
        raise error

    with pytest.raises(RuntimeError) as caught:
        run(make(fails))
    assert caught.value is error


# Metrics and mode.


def with_metric(metric, mode="max"):
    return tune(supervised(metrics={"m": metric}), metric="m", mode=mode)


ACCURATE = {"accuracy": jt.metrics.accuracy}
test_metrics = refused(
    {
        "unknown": (
            lambda: tune(metric="accuracy", mode="max"),
            ValueError,
            "metric='accuracy' is unknown; the task reports loss.",
        ),
        "misspelt": (
            lambda: tune(supervised(metrics=ACCURATE), metric="acuracy"),
            ValueError,
            "metric='acuracy' is unknown, did you mean 'accuracy'?; the task reports accuracy, loss.",
        ),
        "none at all": (
            lambda: tune(plain(evaluate=lambda k, s, d, hp: {})),
            ValueError,
            "the task reports nothing.",
        ),
        "no name": (lambda: tune(metric=jt.metrics.accuracy), TypeError, "metric must be the name of a metric"),
        "neither per example nor for the split": (
            lambda: with_metric(lambda o, t: o.sum(0)),
            TypeError,
            "metric 'm' returned shape (3,) for 104 examples",
            "return one value per example or one value for the split.",
        ),
        "every example against every other": (
            lambda: with_metric(lambda o, t: o[:, :1] - t),
            TypeError,
            "metric 'm' combines f(outputs) [N, 1] with targets [N] into [N, N], every example with every other",
        ),
        "None": (lambda: with_metric(lambda o, t: None), TypeError, "metric 'm' must return an array", "None"),
        "a tuple": (lambda: with_metric(lambda o, t: (o, t)), TypeError, "metric 'm'", "got a tuple of 2"),
        "complex": (lambda: with_metric(lambda o, t: o * 1j), TypeError, "got an array of dtype complex64"),
        "scikit-learn": (
            lambda: with_metric(lambda o, t: sklearn.metrics.accuracy_score(t, o.argmax(1))),
            TypeError,
            "metric 'm' needs the values of its arguments, but it is compiled",
            "write it with jax.numpy",
        ),
        "float()": (lambda: with_metric(lambda o, t: float(o.sum())), TypeError, "metric 'm' needs the values"),
        "one argument": (
            lambda: with_metric(lambda o: o),
            TypeError,
            "metrics['m'] is called with (outputs, targets), but takes (o).",
        ),
        "not a function": (
            lambda: with_metric("accuracy"),
            TypeError,
            "metrics['m'] must be a function of (outputs, targets), got 'accuracy'.",
        ),
        "a list": (
            lambda: supervised(metrics=[jt.metrics.accuracy]),
            TypeError,
            "metrics must be a dict of name -> function, got list.",
        ),
        "the name of the loss": (
            lambda: supervised(metrics={"loss": jt.metrics.accuracy}),
            ValueError,
            "metrics has 'loss', which is the name of the loss itself",
        ),
        "missing mode": (
            lambda: tune(supervised(metrics={"m": lambda o, t: o}), metric="m"),
            ValueError,
            "metric='m' needs mode='min' or mode='max'; only the loss and jt.metrics have a known direction.",
        ),
        "misspelt mode": (
            lambda: tune(supervised(metrics=ACCURATE), metric="accuracy", mode="maximum"),
            ValueError,
            "mode must be 'min' or 'max', got 'maximum'.",
        ),
        "misspelt mode of the loss": (lambda: tune(mode="mim"), ValueError, "got 'mim'."),
        "a loss that takes hp": (
            lambda: tune(supervised(loss=lambda o, t, hp: hp["lr"] * CROSS_ENTROPY(o, t))),
            ValueError,
            "The loss takes hp",
            "name a metric.",
        ),
        "missing mode in search": (
            lambda: search(supervised(metrics={"m": lambda o, t: o}), metric="m"),
            ValueError,
            "needs mode=",
        ),
    }
)


@pytest.mark.usefixtures("nothing_compiles")
def test_a_loss_that_takes_hp_may_be_minimised_by_another_metric():
    task = supervised(loss=lambda o, t, hp: hp["lr"] * CROSS_ENTROPY(o, t), metrics=ACCURATE)
    with pytest.raises(pytest.fail.Exception, match="a program was compiled"):
        tune(task, metric="accuracy", mode="max")


# Data.


class Loader:
    """Like a PyTorch DataLoader: has a length, can be iterated over, holds no arrays."""

    batch_size = 8

    def __len__(self):
        return 5

    def __iter__(self):
        return iter([(X[:8], Y[:8])] * 5)


def with_one(value, at=3):
    changed = X.copy()
    changed[at, 1] = value
    return changed


COLLECT = "collect the examples of a loader or iterator with numpy.concatenate first"
test_data = refused(
    {
        "generator": (
            lambda: supervised(train=(pair for pair in zip(X, Y, strict=True))),
            TypeError,
            "train must be a pair (inputs, targets) of arrays, got a value of type generator",
            COLLECT,
        ),
        "pair of iterators": (
            lambda: supervised(train=(iter(X), iter(Y))),
            TypeError,
            "train[0] must be an array that fits the device, got a value of type iterator",
            COLLECT,
        ),
        "loader": (lambda: supervised(validation=Loader()), TypeError, "validation", "of type Loader", COLLECT),
        "generator in a Task": (
            lambda: tune(plain(train=(x for x in X), validation=X)),
            TypeError,
            "train must be an array that fits the device, got a value of type generator",
            COLLECT,
        ),
        "list of pairs": (
            lambda: supervised(train=list(zip(X, Y, strict=True))),
            TypeError,
            "train must be a pair (inputs, targets) of arrays, got a list of 37.",
        ),
        "inputs alone": (lambda: supervised(train=X), TypeError, "got an array of dtype float32."),
        "three arrays": (lambda: supervised(train=(X, Y, Y)), TypeError, "got a tuple of 3."),
        "no training data": (lambda: supervised(train=None), TypeError, "train must be a pair", "got None"),
        "lists of arrays": (
            lambda: supervised(train=(list(X), list(Y))),
            ValueError,
            "but train[0][0] has 3 and train[1] has 37; numpy.stack makes one array of a list.",
        ),
        "list of inputs": (
            lambda: supervised(train=(list(X), Y)),
            ValueError,
            "but train[0][0] has 3 and train[1] has 37; numpy.stack",
        ),
        "text": (
            lambda: supervised(train=(X, np.array(["a"] * 37))),
            TypeError,
            "train[1] has dtype <U1, which no device can hold; encode it as numbers first",
        ),
        "objects": (lambda: supervised(train=(X.astype(object), Y)), TypeError, "train[0] has dtype object"),
        "other lengths": (
            lambda: supervised(train=(X, Y[:-1])),
            ValueError,
            "All arrays of train need the same number of examples, but train[0] has 37 and train[1] has 36.",
        ),
        "other lengths in test": (lambda: supervised(test=(X[1:], Y)), ValueError, "of test", "has 36", "has 37"),
        "other lengths in a Task": (
            lambda: tune(plain(train={"x": X, "y": Y[:5]}, validation=X)),
            ValueError,
            "train['x'] has 37 and train['y'] has 5.",
        ),
        "empty": (lambda: supervised(train=(X[:0], Y[:0])), ValueError, "train is empty."),
        "empty validation": (lambda: supervised(validation=(X[:0], Y[:0])), ValueError, "validation is empty."),
        "no arrays": (lambda: tune(plain(train=(), validation=())), ValueError, "train holds no array."),
        "a scalar": (
            lambda: tune(plain(train=np.float32(1), validation=X)),
            ValueError,
            "train has no axis that counts examples.",
        ),
        "no validation": (
            lambda: tune(supervised(validation=None)),
            ValueError,
            "Selection needs validation data: pass validation= or folds=.",
        ),
        "no validation in a Task": (
            lambda: tune(plain(train=X)),
            ValueError,
            "Selection needs validation data",
        ),
        "batch larger than the data": (
            lambda: supervised(batch_size=64),
            ValueError,
            "batch_size=64 is larger than the training data, 37 examples.",
        ),
        "batch of none": (lambda: supervised(batch_size=0), ValueError, "batch_size must be", ">= 1, got 0."),
        "batch of a float": (lambda: supervised(batch_size=8.0), ValueError, "batch_size", "got 8.0."),
        "batch without data": (
            lambda: tune(plain(batch_size=4)),
            ValueError,
            "The task has batch_size but no training data: pass train=.",
        ),
        "prepare without data": (lambda: tune(plain(prepare=len)), ValueError, "has prepare but no training"),
        "NaN": (
            lambda: tune(supervised(train=(with_one(np.nan), Y))),
            ValueError,
            "train[0] holds 1 values that are NaN or infinite; clean the data first.",
        ),
        "infinity": (lambda: tune(supervised(validation=(with_one(np.inf), Y))), ValueError, "validation[0] holds 1"),
        "NaN in test": (lambda: tune(supervised(test=(with_one(np.nan), Y))), ValueError, "test[0] holds 1"),
        "NaN in bfloat16": (
            lambda: tune(supervised(train=(jnp.asarray(with_one(np.nan), jnp.bfloat16), Y))),
            ValueError,
            "train[0] holds 1",
        ),
        "label too high": (
            lambda: tune(supervised(train=(X, Y + 1))),
            ValueError,
            "The targets of train lie in 1 ... 3, but the model has 3 outputs: labels must lie in 0 ... 2",
        ),
        "negative label": (
            lambda: tune(supervised(validation=(X, jnp.asarray(Y) - 1))),
            ValueError,
            "The targets of validation lie in -1 ... 1",
        ),
        "label too high in test": (
            lambda: tune(supervised(test=(X, Y * 2))),
            ValueError,
            "targets of test lie in 0 ... 4",
        ),
        "other inputs in validation": (
            lambda: tune(supervised(validation=(X[:, :2], Y))),
            ValueError,
            "accepts the inputs of train, but not those of validation or test",
            "the shape of an example is (2,) there and (3,) in train.",
        ),
        "other inputs in test": (
            lambda: tune(supervised(test=({"x": X}, Y))),
            ValueError,
            "the shape of an example is {'x': (3,)} there and (3,) in train.",
        ),
    }
)


def squared(outputs, targets):
    return (outputs[:, 0] - targets) ** 2


def logistic(outputs, targets):
    return optax.sigmoid_binary_cross_entropy(outputs[:, 0], targets)


@pytest.mark.usefixtures("nothing_compiles")
@pytest.mark.parametrize(
    "make",
    [
        lambda: supervised(nn.Dense(1), loss=squared, train=(X, 50 + Y), validation=(X, 50 + Y)),
        lambda: supervised(nn.Dense(1), loss=logistic, train=(X, Y > 1), validation=(X, Y > 1)),
        lambda: supervised(loss=squared, train=(X, 50.0 + Y), validation=(X, 50.0 + Y)),
        lambda: supervised(batch_size=np.int64(8)),
        lambda: supervised(validation=(X.astype(np.float64), Y.astype(np.int64))),
    ],
    ids=["counts", "one logit", "float targets", "numpy batch size", "other dtypes"],
)
def test_data_that_only_look_wrong_are_accepted(make):
    with pytest.raises(pytest.fail.Exception, match="a program was compiled"):
        tune(make())


# Models.


class Mode(nn.Module):
    @nn.compact
    def __call__(self, x, mode):
        return nn.Dense(3)(x)


class NoHparams(nnx.Module):
    def __init__(self, rngs):
        pass


test_models = refused(
    {
        "linen class": (lambda: supervised(MLP), TypeError, "model is the class MLP; pass MLP(...) or a function"),
        "nnx instance": (
            lambda: supervised(Linear({}, nnx.Rngs(0))),
            TypeError,
            "model is an nnx instance; pass its class or a function (hp, rngs) -> module",
        ),
        "nnx module without rngs": (
            lambda: tune(supervised(lambda hp: Linear(hp, nnx.Rngs(0)))),
            TypeError,
            "model returned an nnx module; a function that makes one has to ask for rngs: (hp, rngs).",
        ),
        "linen module with rngs": (
            lambda: tune(supervised(lambda hp, rngs: MLP())),
            TypeError,
            "model returned a linen module; a function that makes one takes hp alone.",
        ),
        "nnx class without hp": (
            lambda: supervised(NoHparams),
            TypeError,
            "model is called with (hp, rngs), but NoHparams takes (rngs)",
            "as in lambda hp, rngs: NoHparams(...).",
        ),
        "nnx layer": (lambda: supervised(nnx.Linear), TypeError, "Linear takes (in_features, out_features, "),
        "number": (lambda: supervised(3), TypeError, "model must be a Flax module or a function", "got int."),
        "factory of numbers": (
            lambda: tune(supervised(lambda hp: 3)),
            TypeError,
            "model must return a Flax module, got 3.",
        ),
        "factory of classes": (lambda: tune(supervised(lambda hp: MLP)), TypeError, "got the class MLP."),
        "nnx factory of numbers": (
            lambda: tune(supervised(lambda hp, rngs: 3)),
            TypeError,
            "model must return an nnx module, got 3.",
        ),
        "factory without hp": (
            lambda: supervised(lambda: MLP()),
            TypeError,
            "model is called with (hp), but takes ().",
        ),
        "factory that asks for more": (
            lambda: tune(supervised(lambda hp, key: MLP())),
            TypeError,
            "model has a required parameter 'key' that jaxtune does not know",
        ),
        "module that asks for more": (
            lambda: tune(supervised(Mode())),
            TypeError,
            "Mode.__call__ has a required parameter 'mode' that jaxtune does not know",
            "or what jt.supervised(flags=...) names.",
        ),
    }
)


# Losses, optimizers, augmentation.

test_parts = refused(
    {
        "Optax function as optimizer": (
            lambda: supervised(optimizer=optax.adam),
            TypeError,
            "optimizer is Optax's function adam itself: call it, as in lambda hp: optax.adam(hp['lr']).",
        ),
        "optimizer by name": (
            lambda: supervised(optimizer="adam"),
            TypeError,
            "optimizer must be a function of (hp), such as lambda hp: optax.adam(hp['lr']), got 'adam'.",
        ),
        "no optimizer": (lambda: supervised(optimizer=None), TypeError, "got None."),
        "optimizer without hp": (
            lambda: supervised(optimizer=lambda: optax.sgd(0.1)),
            TypeError,
            "optimizer is called with (hp), but takes ().",
        ),
        "optimizer that asks for more": (
            lambda: tune(supervised(optimizer=lambda hp, epochs: optax.sgd(0.1))),
            TypeError,
            "optimizer has a required parameter 'epochs' that jaxtune does not know",
            "step, total_steps by name.",
        ),
        "optimizer that returns a number": (
            lambda: tune(supervised(optimizer=lambda hp: 0.1)),
            TypeError,
            "optimizer must return an Optax GradientTransformation, got float.",
        ),
        "loss of one argument": (
            lambda: supervised(loss=lambda o: o),
            TypeError,
            "loss is called with (outputs, targets), but takes (o).",
        ),
        "loss that asks for more": (
            lambda: tune(supervised(loss=lambda o, t, weights: o)),
            TypeError,
            "loss has a required parameter 'weights' that jaxtune does not know",
            "hp, step, total_steps by name.",
        ),
        "loss that returns nothing": (
            lambda: tune(supervised(loss=lambda o, t: None)),
            TypeError,
            "loss must return an array or a number, got None.",
        ),
        "loss that returns more": (
            lambda: tune(supervised(loss=lambda o, t: (CROSS_ENTROPY(o, t), {}))),
            TypeError,
            "loss must return an array or a number, got a tuple of 2.",
        ),
        "loss in numpy": (
            lambda: tune(supervised(loss=lambda o, t: np.square(np.asarray(o)))),
            TypeError,
            "loss needs the values of its arguments, but it is compiled: write it with jax.numpy",
        ),
        "loss of every output against every target": (
            lambda: tune(supervised(nn.Dense(1), loss=lambda o, t: (o - t) ** 2)),
            TypeError,
            "loss combines outputs [N, 1] with targets [N] into [N, N], every example with every other",
        ),
        "loss that can't be hashed": (
            lambda: supervised(loss=Unhashable()),
            TypeError,
            "loss must be hashable, since equal functions share a compiled program",
        ),
        "augment of other shapes": (
            lambda: tune(supervised(augment=lambda k, batch, hp: (batch[0][:2], batch[1]))),
            TypeError,
            "augment must keep structure, shapes and dtypes of a batch",
        ),
        "augment that returns nothing": (
            lambda: tune(supervised(augment=lambda k, batch, hp: None)),
            TypeError,
            "augment must keep structure",
        ),
        "augment of one argument": (
            lambda: supervised(augment=lambda batch: batch),
            TypeError,
            "augment is called with (key, batch, hp), but takes (batch).",
        ),
    }
)


class Unhashable:
    __hash__ = None

    def __call__(self, outputs, targets):
        return outputs


# What a task's functions take and return.


def stepping(result):
    return lambda: tune(plain(step=lambda key, s, batch, hp: result(s, hp["lr"])))


def flax_train_state(key, hp):
    return TrainState.create(apply_fn=None, params={"w": jnp.ones(3)}, tx=optax.adam(hp["lr"]))


def apply_gradients(key, state, batch, hp):
    return state.apply_gradients(grads=state.params), {}


ARRAYS = "the state must hold arrays only (Equinox: keep eqx.filter(model, eqx.is_array), combine inside step)."
SCALARS = "must be a dict of name -> scalar"
test_tasks = refused(
    {
        "no task": (
            lambda: jt.tune(None, LR, scheduler=FEW),
            TypeError,
            "makes one, got None.",
        ),
        "a module as task": (lambda: tune(MLP()), TypeError, "makes one, got a value of type MLP."),
        "init is missing": (
            lambda: tune(plain(init=None)),
            TypeError,
            "init must be a function of (key, hp), got None.",
        ),
        "prepare is no function": (
            lambda: tune(plain(train=X, validation=X, batch_size=4, prepare=3)),
            TypeError,
            "prepare must be a function of (train), got 3.",
        ),
        "init without hp": (
            lambda: tune(plain(init=lambda key: 0)),
            TypeError,
            "init is called with (key, hp), but takes (key).",
        ),
        "step without key": (
            lambda: tune(plain(step=lambda state, batch, hp: (state, {}))),
            TypeError,
            "step is called with (key, state, batch, hp), but takes (state, batch, hp).",
        ),
        "evaluate that asks for more": (
            lambda: tune(plain(evaluate=lambda key, s, d, hp, epoch: {})),
            TypeError,
            "evaluate has a required parameter 'epoch' that jaxtune does not know",
            "stats, step, total_steps by name.",
        ),
        "function in the state": (
            lambda: tune(plain(init=lambda key, hp: {"w": jnp.ones(3), "f": len})),
            TypeError,
            "init returned a function at state['f']",
            ARRAYS,
        ),
        "text in the state": (
            lambda: tune(plain(init=lambda key, hp: {"w": jnp.ones(3), "f": "relu"})),
            TypeError,
            "init returned 'relu' at state['f']",
        ),
        "array of text in the state": (
            lambda: tune(plain(init=lambda key, hp: {"w": jnp.ones(3), "f": np.array(["a"])})),
            TypeError,
            "init returned an array of dtype <U1 at state['f']",
        ),
        "function in the state after a step": (
            stepping(lambda s, lr: ({"w": s["w"] * lr, "f": len}, {})),
            TypeError,
            "step returned a function at state['f']",
            ARRAYS,
        ),
        "step changes a shape": (
            stepping(lambda s, lr: ({"w": s["w"][:2] * lr}, {})),
            TypeError,
            "step changed state['w'] from float32[3] to float32[2]; it must keep shape and dtype.",
        ),
        "step changes a dtype": (
            stepping(lambda s, lr: ({"w": (s["w"] * lr).astype(jnp.bfloat16)}, {})),
            TypeError,
            "step changed state['w'] from float32[3] to bfloat16[3]; it must keep shape and dtype.",
        ),
        "step changes the structure": (
            stepping(lambda s, lr: ({"w": s["w"] * lr, "b": lr}, {})),
            TypeError,
            "step changed the structure of the state from PyTreeDef({'w': *}) to PyTreeDef({'b': *, 'w': *})",
            "it must return the state it was given with new values.",
        ),
        "int that becomes a float": (
            lambda: tune(plain(init=lambda key, hp: {"w": 1}, step=lambda k, s, b, hp: ({"w": s["w"] * hp["lr"]}, {}))),
            TypeError,
            "step changed state['w'] from int32[] to float32[]",
        ),
        "hyperparameter in a static part of the state": (
            lambda: tune(
                plain(init=flax_train_state, step=apply_gradients, evaluate=lambda k, s, d, hp: {"loss": s.step})
            ),
            TypeError,
            "step or evaluate uses a traced value that init left somewhere else than in the arrays of the state.",
            "such as tx of Flax's TrainState",
            "make the optimizer in step.",
        ),
        "step returns the state alone": (
            stepping(lambda s, lr: s),
            TypeError,
            "step must return (state, info), got dict.",
        ),
        "step returns nothing": (stepping(lambda s, lr: None), TypeError, "got NoneType."),
        "info is an array": (
            stepping(lambda s, lr: (s, {"loss": s["w"] * lr})),
            TypeError,
            f"What step returns as info {SCALARS}, but 'loss' has shape (3,).",
        ),
        "info is a list": (stepping(lambda s, lr: (s, [lr])), TypeError, "info", SCALARS, "got a list of 1."),
        "info is nested": (
            stepping(lambda s, lr: (s, {"a": {"b": lr}})),
            TypeError,
            "but 'a' is a value of type dict.",
        ),
        "info is text": (stepping(lambda s, lr: (s, {"a": "b"})), TypeError, "but 'a' is 'b'."),
        "info has numbers as names": (stepping(lambda s, lr: (s, {3: lr})), TypeError, "got the name 3."),
        "metrics are arrays": (
            lambda: tune(plain(evaluate=lambda k, s, d, hp: {"loss": s["w"]})),
            TypeError,
            f"What evaluate returns {SCALARS}, but 'loss' has shape (3,).",
        ),
        "metrics are one number": (
            lambda: tune(plain(evaluate=lambda k, s, d, hp: s["w"].sum())),
            TypeError,
            f"What evaluate returns {SCALARS}, got an array of dtype float32.",
        ),
        "metrics are missing": (
            lambda: tune(plain(evaluate=lambda k, s, d, hp: {"loss": None})),
            TypeError,
            "but 'loss' is None.",
        ),
        "metric with the name of a log": (
            lambda: tune(plain(evaluate=lambda k, s, d, hp: {"loss": s["w"].sum(), "train_loss": 0.0})),
            ValueError,
            "a metric 'train_loss', which is the name of the mean of what step logs as 'loss'",
        ),
        "metrics are complex": (
            lambda: tune(plain(evaluate=lambda k, s, d, hp: {"loss": jnp.complex64(1)})),
            TypeError,
            "but 'loss' is an array of dtype complex64.",
        ),
    }
)


# Arguments that tune and search share, and those that only one of them has.


def both(error, *parts, **arguments):
    """Rows for `tune` and `search` with these arguments."""
    given = re.sub(
        " at 0x[0-9a-f]+", "", ", ".join(f"{k}={v}" for k, v in arguments.items())
    )  # the same in every process
    rows = {f"{run.__name__}({given}): {parts[-1]}": run for run in (tune, search)}
    return {name: (partial(run, **arguments), error, *parts) for name, run in rows.items()}


def sampling(points):
    return lambda key, space, history, num_points: points(num_points, space.num_dims)


def one_more(num_points, num_dims):
    return jnp.zeros((num_points, num_dims + 1))


POINTS = "sampler must return an array [4, 1] of numbers in [0, 1], got "
test_arguments = refused(
    {
        **both(ValueError, "replicates must be a whole number >= 1, got 0.", replicates=0),
        **both(ValueError, "replicates", "got 1.5.", replicates=1.5),
        **both(ValueError, "replicates", "got True.", replicates=True),
        **both(TypeError, "scheduler must be a scheduler such as jt.", "got None.", scheduler=None),
        **both(TypeError, "scheduler must be", "got the class FullBudget.", scheduler=jt.FullBudget),
        **both(TypeError, "scheduler must be", "got 100.", scheduler=100),
        **both(TypeError, "sampler must be a sampler such as jt.Sobol(), got None.", sampler=None),
        **both(TypeError, "got the class Sobol.", sampler=jt.Sobol),
        **both(TypeError, "got 'sobol'.", sampler="sobol"),
        **both(TypeError, "sampler is called with (key, space, history, num_points)", sampler=lambda key: 0),
        **both(ValueError, POINTS + "shape (4, 2).", sampler=sampling(one_more)),
        **both(ValueError, POINTS + "shape (5, 1).", sampler=sampling(lambda t, d: jnp.zeros((t + 1, d)))),
        **both(TypeError, POINTS + "None.", sampler=sampling(lambda t, d: None)),
        **both(ValueError, POINTS + "3.0.", sampler=sampling(lambda t, d: np.full((t, d), 3.0))),
        **both(ValueError, "Grid has 3 points", "4 trials", sampler=jt.Grid(3)),
        **both(TypeError, "metric must be the name of a metric, got 3.", metric=3),
        **both(TypeError, "A space is a dict from names to domains or constants", space=[("lr", 0.1)]),
        "points outside": (
            lambda: tune(sampler=sampling(lambda t, d: jnp.full((t, d), 3.0))),
            ValueError,
            POINTS + "3.0.",
        ),
        "points of NaN": (
            lambda: tune(sampler=sampling(lambda t, d: jnp.full((t, d), jnp.nan))),
            ValueError,
            POINTS + "nan.",
        ),
        "evaluate_every=0": (lambda: tune(evaluate_every=0), ValueError, "evaluate_every must be", "got 0."),
        "evaluate_every=2.5": (lambda: tune(evaluate_every=2.5), ValueError, "evaluate_every", "got 2.5."),
        "seed='a'": (lambda: tune(seed="a"), TypeError, "seed must be a whole number, got 'a'."),
        "seed=None": (lambda: tune(seed=None), TypeError, "seed must be a whole number, got None."),
        "seed=-1": (lambda: tune(seed=-1), ValueError, "seed must be a whole number >= 0", "got -1."),
        # JAX would take it for seed 0.
        "seed=2**32": (lambda: tune(seed=2**32), ValueError, "<= 4294967295, got 4294967296."),
        "callback=3": (lambda: tune(callback=3), TypeError, "callback must be a function of a result, got 3."),
        "placement=None": (lambda: tune(placement=None), TypeError, "placement must be a jt.Placement(...)"),
        "placement=Placement": (
            lambda: tune(placement=jt.Placement),
            TypeError,
            "placement must be a jt.Placement(...), got the class Placement.",
        ),
        "key=0": (lambda: search(key=0), TypeError, "key must be a JAX key such as jax.random.key(0), got 0."),
        "float key": (lambda: search(key=jnp.zeros(2)), TypeError, "got an array of dtype float32."),
        "several keys": (
            lambda: search(key=jax.random.split(jax.random.key(0), 3)),
            ValueError,
            "search takes one key, got keys of shape (3,): use jax.vmap over them.",
        ),
        "search over several groups": (
            lambda: search(supervised(lambda hp: MLP(hp["width"])), LR | {"width": jt.Integer(1, 3)}),
            ValueError,
            "search compiles one program, and 'width' is static: make it a constant, or use tune.",
        ),
        "too many groups": (
            lambda: tune(
                supervised(lambda hp: MLP(hp["width"])),
                LR | {"width": jt.Integer(1, 9)},
                placement=jt.Placement(devices=ONE.devices, max_programs=2),
            ),
            ValueError,
            "combinations of static hyperparameters, one program each, but Placement(max_programs=2)",
            "'width' alone has 4",
        ),
        "Placement(devices=2)": (lambda: jt.Placement(devices=2), TypeError, "needs a list of devices", "got 2."),
        "Placement(devices='cpu')": (lambda: jt.Placement(devices="cpu"), TypeError, "got 'cpu'."),
        "Placement(devices=['cpu:0'])": (
            lambda: jt.Placement(devices=["cpu:0"]),
            TypeError,
            "Placement needs JAX devices such as jax.devices()[0], got 'cpu:0'.",
        ),
        "Placement(devices=[])": (lambda: jt.Placement(devices=[]), ValueError, "at least one device"),
        "one device twice": (
            lambda: jt.Placement(devices=ONE.devices * 2),
            ValueError,
            "Placement needs different devices",
        ),
        "Placement(lanes=0)": (
            lambda: jt.Placement(lanes=0),
            ValueError,
            "lanes to be a whole number >= 1, got lanes=0.",
        ),
        "Placement(lanes=1.5)": (lambda: jt.Placement(lanes=1.5), ValueError, "got lanes=1.5."),
        "Placement(max_programs=0)": (lambda: jt.Placement(max_programs=0), ValueError, "got max_programs=0."),
        "Placement(max_programs=None)": (lambda: jt.Placement(max_programs=None), ValueError, "got max_programs=None."),
    }
)


@pytest.mark.usefixtures("nothing_compiles")
def test_search_refuses_bad_input_under_jit_as_well():
    run = jax.jit(lambda key, task: jt.search(key, task, LR | {"z": UNIT}, scheduler=FEW))
    with pytest.raises(ValueError, match="has 'z', which no function"):
        run(jax.random.key(0), supervised())


@pytest.mark.usefixtures("nothing_compiles")
def test_numpy_integers_will_do():
    with pytest.raises(pytest.fail.Exception, match="a program was compiled"):
        tune(seed=np.int64(3), replicates=np.int32(2), evaluate_every=np.int64(1))


# What looks odd, and works.


def test_a_space_of_constants_makes_one_trial():
    for space in ({"lr": 0.5}, {}):
        task = plain() if space else plain(step=lambda k, s, b, hp: ({"w": s["w"] * 0.5}, {}))
        result = tune(task, space, scheduler=jt.FullBudget(trials=1, steps=2))
        assert result.best.metrics["loss"] == 0.75
        assert result.best.hparams == space


def test_a_state_may_begin_as_python_numbers():
    task = plain(
        init=lambda key, hp: {"w": 1.0, "n": 2, "weak": jnp.asarray(1.0) * hp["lr"]},
        step=lambda k, s, b, hp: ({**s, "w": s["w"] * hp["lr"], "n": s["n"] + 1}, {}),
        evaluate=lambda k, s, d, hp: {"loss": s["w"] + s["n"]},
    )
    result = tune(task, {"lr": 0.5}, scheduler=jt.FullBudget(trials=1, steps=2))
    assert result.best.metrics["loss"] == 0.25 + 4
    assert {str(x.dtype) for x in jax.tree.leaves(result.best.state)} == {"float32", "int32"}


def test_if_every_trial_diverges_the_result_says_so():
    task = plain(step=lambda k, s, b, hp: ({"w": s["w"] * hp["lr"]}, {"loss": jnp.float32(jnp.nan)}))
    space = {"lr": jt.LogUniform(0.125, 0.5)}
    result = tune(task, space, sampler=jt.Grid(4))
    assert [trial.status for trial in result.trials] == ["diverged at step 0"] * 4
    assert "no trial has a finite loss" in repr(result)
    with pytest.raises(ValueError, match=re.escape("Every trial diverged")) as caught:
        _ = result.best
    assert re.search(r"lr.* 0\.125 .* 0\.5", str(caught.value))


# What supervised does to data, weights and objective.


def unchanged(stats, pair):
    return pair


def with_preprocess(**changes):
    parts = {"fit": lambda train: None, "apply": unchanged, **changes}
    return supervised(preprocess=jt.Preprocess(**parts))


def regression(**changes):
    parts = {"loss": optax.squared_error, "train": (X, X), "validation": (X, X), "metrics": {"mae": jt.metrics.mae}}
    return supervised(**{**parts, **changes})


test_preprocess = refused(
    {
        "the function itself": (
            lambda: supervised(preprocess=jt.standardize),
            TypeError,
            "preprocess must be jt.standardize() or a jt.Preprocess(...), got a value of type function.",
        ),
        "nothing to standardize": (
            lambda: jt.standardize(inputs=False),
            ValueError,
            "standardize needs inputs=True or targets=True, got neither.",
        ),
        "tokens": (
            lambda: supervised(train=(Y[:, None], Y), preprocess=jt.standardize()),
            TypeError,
            "standardize takes floats and uint8 images, but the inputs of train have dtype int32",
            "tokens or classes need no standardizing.",
        ),
        "classes": (
            lambda: supervised(preprocess=jt.standardize(targets=True)),
            TypeError,
            "the targets of train have dtype int32",
        ),
        "outputs unlike the targets": (
            lambda: tune(
                regression(
                    model=MLP(), train=(X, X[:, 0]), validation=(X, X[:, 0]), preprocess=jt.standardize(targets=True),
                    loss=lambda outputs, targets: outputs[:, 0] - targets,
                )
            ),
            TypeError,
            "standardize(targets=True) needs outputs like the targets, [N], got shape (",
        ),
        "fit is no function": (lambda: with_preprocess(fit=3), TypeError, "Preprocess needs a function as fit, got 3."),
        "fit of two arguments": (
            lambda: with_preprocess(fit=lambda: None),
            TypeError,
            "preprocess.fit is called with (train), but takes ().",
        ),
        "apply of one argument": (
            lambda: with_preprocess(apply=lambda pair: pair),
            TypeError,
            "preprocess.apply is called with (stats, pair), but takes (pair).",
        ),
        "fit that needs values": (
            lambda: with_preprocess(fit=lambda train: float(train[0].mean())),
            TypeError,
            "preprocess.fit needs the values of its arguments, but it is compiled: write it with jax.numpy",
        ),
        "apply that returns inputs alone": (
            lambda: with_preprocess(apply=lambda stats, pair: pair[0]),
            TypeError,
            "What preprocess.apply returns must be a pair (inputs, targets)",
        ),
        "apply that drops examples": (
            lambda: with_preprocess(apply=lambda stats, pair: (pair[0][:5], pair[1])),
            ValueError,
            "preprocess.apply must return as many examples as it gets: result[0] has shape (5, 3) for 37 examples.",
        ),
    }
)  # fmt: skip


HEAD = {"Dense_1": {"bias": np.zeros(5, np.float32)}}


def given(variables, **changes):
    return tune(supervised(variables=variables, **changes))


test_variables = refused(
    {
        "wrong shape": (
            lambda: given({"params": HEAD}),
            ValueError,
            "variables['Dense_1/bias'] has shape (5,), the model's (3,).",
        ),
        "wrong shape in nnx": (
            lambda: given({"dense": {"bias": np.zeros(5, np.float32)}}, model=Linear),
            ValueError,
            "variables['dense/bias'] has shape (5,), the model's (3,).",
        ),
        "wrong dtype": (
            lambda: given({"params": {"Dense_1": {"bias": np.zeros(3, np.int32)}}}),
            ValueError,
            "variables['Dense_1/bias'] has dtype int32, the model's float32.",
        ),
        "unknown name": (
            lambda: given({"params": {"Dense_l": {"bias": np.zeros(3, np.float32)}}}),
            ValueError,
            "variables has 'Dense_l/bias', which the model lacks, did you mean 'Dense_1/bias'?.",
        ),
        "unknown collection": (
            lambda: given({"params": {}, "batch_stats": {"mean": np.zeros(3)}}),
            ValueError,
            "variables has 'batch_stats/mean', which the model lacks.",
        ),
        "parameters at the top": (
            lambda: given({"Dense_1": {"bias": np.zeros(3, np.float32)}}),
            ValueError,
            "variables has 'Dense_1/bias', which the model lacks; parameters go under 'params'",
        ),
        "a list": (
            lambda: given([1.0]),
            TypeError,
            "variables must be a nested dict as module.init returns it",
            "list",
        ),
        "no dict of parameters": (lambda: given({"params": 1.0}), TypeError, "has parameters of type float"),
        "a leaf that is no array": (
            lambda: given({"params": {"Dense_1": {"bias": "zeros"}}}),
            TypeError,
            "variables['Dense_1/bias'] must be an array of numbers, got str.",
        ),
        "an nnx module": (
            lambda: given(Linear({}, nnx.Rngs(0)), model=Linear),
            TypeError,
            "variables must be an nnx.State or a nested dict, got a value of type Linear; pass nnx.state(module).",
        ),
    }
)


WHOLE = jax.tree.map(np.asarray, dict(MLP().init(jax.random.key(0), X)))
ONLY_HEAD = {"params": {"Dense_1": WHOLE["params"]["Dense_1"]}}


def frozen(trainable, variables=WHOLE):
    return tune(supervised(variables=variables, trainable=trainable))


test_trainable = refused(
    {
        "without variables": (
            lambda: frozen(lambda path, value: True, None),
            ValueError,
            "trainable needs variables",
        ),
        "a frozen parameter without a value": (
            lambda: frozen(lambda path, value: path[0] == "Dense_1", ONLY_HEAD),
            ValueError,
            "trainable freezes 'Dense_0/",
            "but variables has no value for it: give one or train it.",
        ),
        "nothing to train": (
            lambda: frozen(lambda path, value: False),
            ValueError,
            "trainable freezes every parameter of the model, so that there is nothing to train.",
        ),
        "no function": (lambda: frozen("Dense_1"), TypeError, "trainable must be a function of (path, value)"),
        "one argument": (
            lambda: frozen(lambda path: True),
            TypeError,
            "trainable is called with (path, value), but takes (path).",
        ),
        "no bool": (
            lambda: frozen(lambda path, value: path[0]),
            TypeError,
            "trainable must return True or False, got 'Dense_0' for 'Dense_0/",
        ),
    }
)  # fmt: skip


def augmented(function):
    return tune(supervised(augment=function))


test_objective = refused(
    {
        "penalty is a number": (
            lambda: supervised(penalty=0.1),
            TypeError,
            "penalty must be a function of (params, hp), got 0.1.",
        ),
        "penalty of one argument": (
            lambda: supervised(penalty=lambda params: 0.0),
            TypeError,
            "penalty is called with (params, hp), but takes (params).",
        ),
        "penalty per parameter": (
            lambda: tune(supervised(penalty=lambda params, hp: params["Dense_0"]["bias"])),
            TypeError,
            "penalty must return a scalar, got shape (4,); sum over the parameters.",
        ),
        "penalty of no number": (
            lambda: tune(supervised(penalty=lambda params, hp: params)),
            TypeError,
            "penalty must return an array or a number, got a value of type dict.",
        ),
        "penalty that asks for something else": (
            lambda: tune(supervised(penalty=lambda params, hp, epoch: 0.0)),
            TypeError,
            "penalty has a required parameter 'epoch' that jaxtune does not know",
        ),
        "mask of another structure": (
            lambda: tune(supervised(penalty=lambda params, hp: jt.penalties.l1(params, lambda p: {"a": True}))),
            ValueError,
            "mask must return bools in the structure of the parameters",
        ),
        "augment that drops examples": (
            lambda: augmented(lambda key, batch, hp: (batch[0][:4], batch[1][:4])),
            TypeError,
            "augment must keep structure, shapes and dtypes of a batch",
        ),
        "a mixture of other targets": (
            lambda: augmented(lambda key, batch, hp: jt.augment.Mixed(*batch, batch[1][:4], jnp.float32(0.5))),
            TypeError,
            "augment must keep structure, shapes and dtypes of a batch",
        ),
        "a weight for each example": (
            lambda: augmented(lambda key, batch, hp: jt.augment.Mixed(*batch, batch[1], jnp.ones(8))),
            TypeError,
            "augment returned a Mixed whose weight has shape (8,), not ().",
        ),
        "noise after mixup": (
            lambda: augmented(
                lambda key, batch, hp: jt.augment.noise(key, jt.augment.mixup(key, batch, 0.1), 0.1),
            ),
            TypeError,
            "noise got a mixed batch: mixup comes last.",
        ),
        "noise on tokens": (
            lambda: tune(
                supervised(nn.Sequential([nn.Embed(5, 2), lambda x: x[:, 0], nn.Dense(3)]), train=(Y[:, None], Y),
                           validation=(Y[:, None], Y), augment=lambda key, batch, hp: jt.augment.noise(key, batch, 0.1))
            ),
            TypeError,
            "noise needs float inputs, but inputs has dtype int32",
        ),
        "a negative strength": (
            lambda: augmented(lambda key, batch, hp: jt.augment.mixup(key, batch, -0.2)),
            ValueError,
            "mixup needs alpha >= 0, got -0.2.",
        ),
        "smoothing above 1": (
            lambda: tune(supervised(loss=lambda o, t: jt.losses.cross_entropy(o, t, 2.0))),
            ValueError,
            "cross_entropy needs label_smoothing in [0, 1], got 2.0.",
        ),
        "a width that depends on the step": (
            lambda: tune(supervised(lambda hp, step: MLP(4 * (step + 1)))),
            TypeError,
            "'step' is a traced number",
        ),
        "a model that asks for something else": (
            lambda: tune(supervised(lambda hp, epoch: MLP())),
            TypeError,
            "model has a required parameter 'epoch' that jaxtune does not know",
        ),
    }
)  # fmt: skip
