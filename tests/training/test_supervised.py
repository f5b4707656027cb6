"""Supervised tasks: what a step, an evaluation and a whole search compute, against plain Flax and Optax."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import sklearn.metrics
from flax import nnx
from jax.extend.core import jaxprs_in_params
from toys import Listed, tune

import jaxtune as jt
from jaxtune.engine import population as engine
from jaxtune.engine.batches import batch_indices, empty_window
from jaxtune.engine.data import task_data
from jaxtune.engine.keys import INIT, ORDER, STEP, TRAIN, replicate_key, search_key
from jaxtune.engine.population import Layout, Shared
from jaxtune.spaces.space import Space
from jaxtune.tasks.functions import Extras
from jaxtune.tasks.problem import resolve
from jaxtune.training.plateau import reduce_on_plateau

NUM_TRAIN, NUM_VALIDATION, NUM_TEST, BATCH = (
    29,
    53,
    5,
    8,
)  # batches divide nothing, and one is larger than test
RNG = np.random.default_rng(0)


def split(size, num_features=4):
    x = RNG.normal(1.0, 2.0, (size, num_features)).astype(np.float32)
    y = (x[:, 0] + x[:, 1] * x[:, 2] > 2).astype(np.int32) + (x[:, 3] > 1)
    return x, y.astype(np.int32)


TRAIN_SPLIT, VALIDATION, TEST = split(NUM_TRAIN), split(NUM_VALIDATION), split(NUM_TEST)
CROSS_ENTROPY = optax.softmax_cross_entropy_with_integer_labels


def sgd(hp, total_steps):
    return optax.sgd(jt.schedules.cosine_decay_schedule(hp["lr"], total_steps), momentum=0.9)


supervised = partial(
    jt.supervised,
    optimizer=sgd,
    loss=CROSS_ENTROPY,
    train=TRAIN_SPLIT,
    validation=VALIDATION,
    batch_size=BATCH,
)
LR = {"lr": jt.LogUniform(1e-3, 1e-1)}


# One trial equals a plain loop. The models keep statistics, drop activations and draw from a stream of their own.


class Linen(nn.Module):
    rate: float

    @nn.compact
    def __call__(self, x, train):
        x = nn.BatchNorm(use_running_average=not train, momentum=0.8)(nn.Dense(8)(x))
        x = nn.Dropout(self.rate, deterministic=not train)(nn.relu(x))
        if train:
            x = x + 0.1 * jax.random.normal(self.make_rng("latent"), x.shape)
        return nn.Dense(3)(x)


class Nnx(nnx.Module):
    def __init__(self, hp, rngs):
        self.hidden = nnx.Linear(4, 8, rngs=rngs)
        self.norm = nnx.BatchNorm(8, momentum=0.8, rngs=rngs)
        self.dropout = nnx.Dropout(jt.rate(hp["rate"]), rngs=rngs)
        self.out = nnx.Linear(8, 3, rngs=rngs)
        self.rngs = rngs

    def __call__(self, x, train):
        x = self.dropout(nnx.relu(self.norm(self.hidden(x))))
        if train:
            x = x + 0.1 * jax.random.normal(self.rngs.latent(), x.shape)
        return self.out(x)


def keys(purpose, seed=0):
    return replicate_key(search_key(jax.random.key(seed), TRAIN), 0, purpose)


def plain_batches(num_steps):
    """Indices [num_steps, BATCH] of the examples of every step, as the engine derives them."""
    window = empty_window(NUM_TRAIN, NUM_TRAIN, BATCH, num_steps)
    return batch_indices(window, keys(ORDER), jnp.int32(0), jnp.int32(NUM_TRAIN), BATCH, num_steps)[0]


def plain_steps(num_steps):
    """The key and the examples of every step, as the engine derives them."""
    for count, batch in enumerate(plain_batches(num_steps)):
        model_key, _ = jax.random.split(jax.random.fold_in(keys(STEP), count))
        yield model_key, TRAIN_SPLIT[0][batch], TRAIN_SPLIT[1][batch]


def linen_loop(hp, num_steps, fade=False):
    """Trains with Flax and Optax alone; returns the variables and a function that predicts."""
    optimizer = optax.sgd(optax.cosine_decay_schedule(hp["lr"], num_steps), momentum=0.9)
    module = Linen(hp["rate"])
    variables = module.init(keys(INIT), TRAIN_SPLIT[0][:1], train=False)
    opt_state = optimizer.init(variables["params"])

    @jax.jit
    def step(variables, opt_state, count, key, x, y):
        module = Linen(jt.rate(hp["rate"] * (1 - count / num_steps))) if fade else Linen(hp["rate"])

        def loss(params):
            variables_now = {"params": params, "batch_stats": variables["batch_stats"]}
            outputs, changed = module.apply(variables_now, x, train=True, rngs={"params": key}, mutable=["batch_stats"])
            return CROSS_ENTROPY(outputs, y).mean(), changed

        grads, changed = jax.grad(loss, has_aux=True)(variables["params"])
        updates, opt_state = optimizer.update(grads, opt_state)
        return {"params": optax.apply_updates(variables["params"], updates), **changed}, opt_state

    for count, batch in enumerate(plain_steps(num_steps)):
        variables, opt_state = step(variables, opt_state, count, *batch)
    return variables, lambda x: module.apply(variables, x, train=False)


def nnx_loop(hp, num_steps):
    """The same for nnx; a module built from a step's key has that step's random streams."""
    optimizer = optax.sgd(optax.cosine_decay_schedule(hp["lr"], num_steps), momentum=0.9)
    module = Nnx(hp, nnx.Rngs(keys(INIT)))
    params, stats = nnx.state(module, nnx.Param), nnx.state(module, nnx.BatchStat)
    opt_state = optimizer.init(params)

    @jax.jit
    def step(params, stats, opt_state, key, x, y):
        module = Nnx(hp, nnx.Rngs(key))
        nnx.update(module, params, stats)
        module.train()
        grads = nnx.grad(lambda module: CROSS_ENTROPY(module(x, train=True), y).mean())(module)
        updates, opt_state = optimizer.update(grads, opt_state)
        return optax.apply_updates(params, updates), nnx.state(module, nnx.BatchStat), opt_state

    for batch in plain_steps(num_steps):
        params, stats, opt_state = step(params, stats, opt_state, *batch)
    nnx.update(module, params, stats)
    module.eval()
    both = {"params": nnx.to_pure_dict(params), "other": nnx.to_pure_dict(stats)}
    return both, lambda x: module(x, train=False)


LINEN = supervised(lambda hp: Linen(jt.rate(hp["rate"])))
NNX = supervised(Nnx)
RATE = LR | {"rate": jt.Uniform(0.0, 0.6)}


@pytest.mark.parametrize(("task", "loop"), [(LINEN, linen_loop), (NNX, nnx_loop)], ids=["linen", "nnx"])
def test_every_trial_equals_a_plain_optax_loop(task, loop):
    result = tune(task, RATE, scheduler=jt.FullBudget(trials=2, steps=30))
    losses = []
    for trial in result.trials:
        variables, predict = loop(trial.hparams, 30)
        losses.append(float(CROSS_ENTROPY(predict(VALIDATION[0]), VALIDATION[1]).mean()))
        np.testing.assert_allclose(trial.metrics["loss"], losses[-1], rtol=1e-5)
        if trial is result.best:
            close = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)
            jax.tree.map(close, trial.variables, variables)
    assert max(losses) > 1.01 * min(losses)  # the two could be confused


# Linen and nnx.


class LinenTwin(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        x = nn.BatchNorm(use_running_average=not train, momentum=0.9, name="norm")(nn.Dense(8, name="a")(x))
        return nn.Dense(3, name="b")(nn.relu(x))


class NnxTwin(nnx.Module):
    def __init__(self, hp, rngs):
        self.a, self.b = nnx.Linear(4, 8, rngs=rngs), nnx.Linear(8, 3, rngs=rngs)
        self.norm = nnx.BatchNorm(8, momentum=0.9, rngs=rngs)

    def __call__(self, x):
        return self.b(nnx.relu(self.norm(self.a(x))))


WEIGHTS = {
    "a": {"kernel": RNG.normal(size=(4, 8)).astype(np.float32), "bias": np.ones(8, np.float32)},
    "norm": {"scale": np.full(8, 1.5, np.float32), "bias": np.zeros(8, np.float32)},
    "b": {"kernel": RNG.normal(size=(8, 3)).astype(np.float32), "bias": np.zeros(3, np.float32)},
}
STATS = {"norm": {"mean": np.zeros(8, np.float32), "var": np.ones(8, np.float32)}}


def transplanted(task, other):
    """The task with weights from outside: linen and nnx derive their keys differently."""

    def init(key, hp, total_steps):
        return {"params": WEIGHTS, "other": other, "optimizer": sgd(hp, total_steps).init(WEIGHTS)}

    return task.replace(init=init)


def test_linen_and_nnx_give_the_same_numbers_from_the_same_weights():
    scheduler = jt.FullBudget(trials=3, steps=20)
    linen, flax = (
        tune(transplanted(task, other), LR, scheduler=scheduler)
        for task, other in (
            (supervised(LinenTwin()), {"batch_stats": STATS}),
            (supervised(NnxTwin), STATS),
        )
    )
    losses = [[trial.metrics["loss"] for trial in result.trials] for result in (linen, flax)]
    np.testing.assert_allclose(*losses, rtol=1e-5)
    assert linen.best.id == flax.best.id
    close = partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6)
    jax.tree.map(close, linen.best.variables["params"], flax.best.variables["params"])
    jax.tree.map(close, linen.best.variables["batch_stats"], flax.best.variables["other"])
    assert not np.allclose(linen.best.variables["batch_stats"]["norm"]["mean"], 0)


# Layers with traced attributes. A lane of two equals a run with Python floats.


def train_lanes(task, space, hp, num_steps=3):
    """Trains lanes with these traced hyperparameters, name -> [W], by the task's functions alone.

    Returns the losses of all steps and the metrics, [..., W].
    """
    functions = resolve(task, Space.of(space), "loss", "min").first.functions
    width = len(next(iter(hp.values()))) if hp else 1
    batches = plain_batches(num_steps)

    def lanes(function, *args):
        in_axes = (None, None, 0, None, 0, None) if len(args) == 5 else (None, None, 0, None)
        return jax.vmap(function, in_axes=in_axes, axis_size=width)(function.consts, *args)

    @partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})  # compiles faster
    def train(hp):
        def step(state, x):
            count, batch = x[0], jax.tree.map(lambda leaf: jnp.asarray(leaf)[x[1]], task.train)
            key, given = jax.random.fold_in(keys(STEP), count), Extras(count, jnp.int32(num_steps), None)
            state, info, _ = lanes(functions.step, key, state, batch, hp, given)
            return state, info["loss"]

        given = Extras(jnp.int32(0), jnp.int32(num_steps), None)
        state = lanes(functions.init, keys(INIT), hp, given)
        state, losses = jax.lax.scan(step, state, (jnp.arange(num_steps), batches))
        metrics = lanes(functions.evaluate, keys(STEP), state, task.validation, hp, given)
        return jnp.stack([*losses, *metrics.values()])

    return train({name: jnp.asarray(values, jnp.float32) for name, values in hp.items()})


# Four features as two tokens of two.
SEQUENCES = [(x.reshape(-1, 2, 2), y) for x, y in (TRAIN_SPLIT, VALIDATION)]


class Attention(nn.Module):
    rate: float

    @nn.compact
    def __call__(self, x, deterministic):
        x = nn.MultiHeadAttention(2, qkv_features=8, dropout_rate=self.rate)(x, deterministic=deterministic)
        return nn.Dense(3)(x.reshape(x.shape[0], -1))


class NnxAttention(nnx.Module):
    def __init__(self, hp, rngs):
        self.attention = nnx.MultiHeadAttention(
            2, 2, qkv_features=8, dropout_rate=jt.rate(hp["value"]), decode=False, rngs=rngs
        )
        self.out = nnx.Linear(4, 3, rngs=rngs)

    def __call__(self, x):
        return self.out(self.attention(x).reshape(x.shape[0], -1))


class Recurrent(nn.Module):
    scale: float

    @nn.compact
    def __call__(self, x):
        cell = nn.OptimizedLSTMCell(6, kernel_init=nn.initializers.variance_scaling(self.scale, "fan_in", "normal"))
        return nn.Dense(3)(nn.RNN(cell)(x)[:, -1])


class Normalised(nn.Module):
    momentum: float
    epsilon: float

    @nn.compact
    def __call__(self, x, train):
        norm = partial(nn.BatchNorm, momentum=self.momentum, epsilon=self.epsilon)
        x = norm(use_running_average=not train)(nn.Dense(8)(x))
        return nn.Dense(3)(nn.LayerNorm(epsilon=self.epsilon)(nn.leaky_relu(x, self.epsilon)))


class NnxNormalised(nnx.Module):
    def __init__(self, hp, rngs):
        self.norm = nnx.BatchNorm(4, momentum=hp["value"], epsilon=hp["value"], rngs=rngs)
        self.out = nnx.Linear(4, 3, rngs=rngs)

    def __call__(self, x):
        return self.out(self.norm(x))


LAYERS = {
    "linen attention": (lambda hp: Attention(jt.rate(hp["value"])), True),
    "nnx attention": (NnxAttention, True),
    "lstm": (lambda hp: Recurrent(hp["value"]), True),
    "linen norms": (lambda hp: Normalised(hp["value"], hp["value"]), False),
    "nnx norm": (NnxNormalised, False),
}


@pytest.mark.parametrize("name", LAYERS)
def test_traced_attributes_equal_python_floats(name):
    model, sequences = LAYERS[name]
    train, validation = SEQUENCES if sequences else (TRAIN_SPLIT, VALIDATION)
    task = supervised(model, train=train, validation=validation)
    constants = {"lr": 0.1}
    traced = train_lanes(task, constants | {"value": jt.Uniform(0.0, 1.0)}, {"value": [0.2, 0.6]})
    plain = train_lanes(task, constants | {"value": 0.6}, {})
    np.testing.assert_allclose(traced[:, 1], plain[:, 0], rtol=2e-5)
    assert not np.allclose(traced[:, 0], traced[:, 1], rtol=1e-3)


# Draws wherever they may stand. The engine takes those that lanes share out of the step; results don't change.


class Block(nn.Module):
    rate: float
    train: bool

    @nn.compact
    def __call__(self, x, _=None):
        return nn.Dropout(self.rate, deterministic=not self.train)(nn.relu(nn.Dense(4)(x))), None


class DrawsEverywhere(nn.Module):
    rate: float

    @nn.compact
    def __call__(self, x, train):
        scanned = nn.scan(Block, variable_axes={"params": 0}, split_rngs={"params": True, "dropout": True}, length=2)
        x, _ = scanned(jt.rate(self.rate), train)(x, None)
        x, _ = nn.remat(Block)(jt.rate(self.rate), train)(x)
        return nn.Dense(3)(self.noisy(x) if train else x)

    def noisy(self, x):
        key = self.make_rng("noise")
        flip = jax.random.bernoulli(self.make_rng("flip"), self.rate)  # drawn for all, decided by each
        x = jax.lax.cond(flip, lambda x: x + jax.random.normal(key, x.shape), lambda x: x * 0.5, x)
        x = x + jax.lax.fori_loop(0, 3, lambda i, sum: sum + jax.random.uniform(jax.random.fold_in(key, i)), 0.0)
        x = 0.5 * (x + x[jax.random.permutation(key, x.shape[0])])
        return x + 0.1 * jax.random.gamma(self.make_rng("gamma"), 1.0 + self.rate, x.shape)  # rejects by lane


def test_the_engine_trains_as_the_functions_of_the_task_say():
    task = supervised(lambda hp: DrawsEverywhere(hp["rate"]))
    result = tune(task, RATE, scheduler=jt.FullBudget(trials=3, steps=20))
    hp = {name: [trial.hparams[name] for trial in result.trials] for name in RATE}
    expected = train_lanes(task, RATE, hp, num_steps=20)
    losses = [trial.metrics["loss"] for trial in result.trials]
    np.testing.assert_allclose(losses, expected[-1], rtol=1e-5)
    np.testing.assert_allclose(result.curves("train_loss")["train_loss"][:, 0], expected[:-1].mean(0), rtol=1e-5)


# No random draw has an axis over lanes.

NUM_LANES = 31
DRAWS = {"random_bits", "threefry2x32", "random_split", "random_fold_in", "rng_bit_generator"}


def drawn_shapes(jaxpr):
    """Shapes of all random numbers and keys that a jaxpr makes, in inner functions too."""
    for equation in jaxpr.eqns:
        if equation.primitive.name in DRAWS:
            yield from (v.aval.shape for v in equation.outvars)
        for inner in jaxprs_in_params(equation.params):
            yield from drawn_shapes(inner)


def noisy(key, batch, hp):
    x, y = batch
    return x + hp["noise"] * jax.random.normal(key, x.shape), y


DRAWING = {
    "linen": (LINEN, RATE),
    "nnx": (NNX, RATE),
    "linen attention": (
        supervised(lambda hp: Attention(jt.rate(hp["rate"])), train=SEQUENCES[0], validation=SEQUENCES[1]),
        RATE,
    ),
    "nnx attention": (
        supervised(
            lambda hp, rngs: NnxAttention({"value": hp["rate"]}, rngs),
            train=SEQUENCES[0],
            validation=SEQUENCES[1],
        ),
        RATE,
    ),
    "augment": (supervised(nn.Dense(3), augment=noisy), LR | {"noise": jt.Uniform(0.0, 1.0)}),
    "mixup": (
        supervised(nn.Dense(3), augment=lambda key, batch, hp: jt.augment.mixup(key, batch, hp["mixup"])),
        LR | {"mixup": jt.Uniform(0.0, 1.0)},
    ),
}


def traced_engine(task, space):
    """Jaxprs of starting and of training lanes, as the engine compiles them."""
    functions = resolve(task, Space.of(space), "loss", "min").first.functions
    mesh = jt.Placement(devices=jax.devices()[:1]).mesh()
    layout = Layout(mesh, NUM_LANES, NUM_LANES, 1, 5, task.batch_size, task.num_examples, keeps_best=False)
    hp = {name: jnp.ones(NUM_LANES) for name in space}
    run = jnp.zeros(1, jnp.int32)
    shared = Shared(jax.random.key(0), functions.consts, task_data(task), run, run, jnp.int32(10))
    spawn = partial(engine.spawn, functions, layout)
    lanes = jax.eval_shape(spawn, hp, shared)
    advance = partial(engine.advance, functions, layout)
    counts = jnp.int32(NUM_LANES), jnp.int32(0), jnp.int32(2)
    return [jax.make_jaxpr(spawn)(hp, shared), jax.make_jaxpr(advance)(lanes, hp, shared, *counts)]


@pytest.mark.parametrize("name", DRAWING)
def test_no_random_draw_has_a_lane_axis(name):
    spawned, advanced = (list(drawn_shapes(closed.jaxpr)) for closed in traced_engine(*DRAWING[name]))
    assert spawned
    assert len(advanced) > 3
    assert not [shape for shape in spawned + advanced if NUM_LANES in shape]


def test_a_draw_with_a_lane_axis_would_be_seen():
    def own(key, batch, hp):
        return noisy(jax.random.fold_in(key, (1000 * hp["noise"]).astype(int)), batch, hp)

    task = supervised(nn.Dense(3), augment=own)
    _, advanced = traced_engine(task, LR | {"noise": jt.Uniform(0.0, 1.0)})
    assert [shape for shape in drawn_shapes(advanced.jaxpr) if NUM_LANES in shape]


# Metrics.


def classified(num_classes):
    """The splits with so many classes."""
    return {
        name: (x, np.minimum(y, num_classes - 1))
        for name, (x, y) in (("train", TRAIN_SPLIT), ("validation", VALIDATION), ("test", TEST))
    }


@pytest.fixture(scope="module")
def three_classes():
    metrics = {"f1": jt.metrics.f1, "accuracy": jt.metrics.accuracy, "perplexity": jt.metrics.perplexity}
    task = supervised(nn.Dense(3), metrics=metrics, **classified(3))
    return tune(task, LR, scheduler=jt.FullBudget(3, 30), metric="f1", mode="max")


def test_classification_metrics_equal_those_of_scikit_learn(three_classes):
    best = three_classes.best
    for (x, y), values in ((VALIDATION, best.metrics), (TEST, three_classes.test())):
        logits = np.asarray(best.model.apply(best.variables, x), np.float64)
        chosen = logits.argmax(1)
        assert len(set(chosen)) > 1
        log_loss = sklearn.metrics.log_loss(y, jax.nn.softmax(logits), labels=[0, 1, 2])
        expected = {
            "f1": sklearn.metrics.f1_score(y, chosen, average="macro"),
            "accuracy": sklearn.metrics.accuracy_score(y, chosen),
            "loss": log_loss,
            "perplexity": np.exp(log_loss),
        }
        for name, value in expected.items():
            np.testing.assert_allclose(values[name], value, rtol=1e-5, err_msg=name)


def test_the_metric_ranks_the_trials(three_classes):
    values = [trial.metrics["f1"] for trial in three_classes.ranking]
    assert values == sorted(values, reverse=True)
    assert len(set(values)) > 1


def test_auc_equals_that_of_scikit_learn():
    task = supervised(NnxTwoLogits, metrics={"auc": jt.metrics.auc}, **classified(2))
    result = tune(task, LR, scheduler=jt.FullBudget(2, 20), metric="auc", mode="max")
    x, y = classified(2)["validation"]
    scores = result.best.model(x)  # an nnx module holds its trained weights
    expected = sklearn.metrics.roc_auc_score(y, scores[:, 1] - scores[:, 0])
    np.testing.assert_allclose(result.best.metrics["auc"], expected, rtol=1e-6)
    assert 0.5 < expected < 1


class NnxTwoLogits(nnx.Module):
    def __init__(self, hp, rngs):
        self.dense = nnx.Linear(4, 2, rngs=rngs)

    def __call__(self, x):
        return self.dense(x)


def test_regression_metrics_equal_those_of_scikit_learn():
    def target(x):
        return x[:, :2] * np.float32(2) - x[:, 2:]

    task = supervised(
        nn.Dense(2),
        loss=optax.squared_error,
        metrics={"rmse": jt.metrics.rmse, "r2": jt.metrics.r2, "mae": jt.metrics.mae},
        **{name: (x, target(x)) for name, (x, _) in classified(3).items()},
    )
    result = tune(task, LR, scheduler=jt.FullBudget(2, 20), metric="rmse", mode="min")
    x, outputs = VALIDATION[0], result.best.model.apply(result.best.variables, VALIDATION[0])
    for name, function in (
        ("rmse", sklearn.metrics.root_mean_squared_error),
        ("r2", sklearn.metrics.r2_score),
        ("mae", sklearn.metrics.mean_absolute_error),
        ("loss", sklearn.metrics.mean_squared_error),
    ):
        np.testing.assert_allclose(result.best.metrics[name], function(target(x), outputs), rtol=1e-5, err_msg=name)


# One evaluation, run as it is.

KEY = jax.random.key(3)
AT = {"step": 3, "total_steps": 12}


def started(task, hp=None):
    return task.init(KEY, {"lr": 0.1, **(hp or {})}, **AT)


def evaluated(task, state, data, hp=None):
    values = task.evaluate(KEY, state, data, {"lr": 0.1, **(hp or {})}, **AT)
    return {name: float(value) for name, value in values.items()}


@pytest.mark.parametrize("size", [1, 8, 13])
def test_means_are_exact_whatever_the_size_of_the_last_batch(size):
    metrics = {"accuracy": jt.metrics.accuracy, "f1": jt.metrics.f1, "first": lambda o, t: o[:, 0] * 2}
    task = supervised(nn.Dense(3), metrics=metrics)
    state = started(task)
    x, y = (part[:size] for part in VALIDATION)
    outputs = nn.Dense(3).apply({"params": state["params"]}, x)
    values = evaluated(task, state, (x, y))
    np.testing.assert_allclose(values["loss"], CROSS_ENTROPY(outputs, y).mean(), rtol=1e-6)
    np.testing.assert_allclose(values["accuracy"], (outputs.argmax(1) == y).mean(), rtol=1e-6)
    np.testing.assert_allclose(values["first"], 2 * outputs[:, 0].mean(), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(values["f1"], jt.metrics.f1(outputs, y), rtol=1e-6)


def test_a_metric_of_several_values_per_example_is_averaged_over_all():
    task = supervised(nn.Dense(3), metrics={"outputs": lambda o, t: o, "hit": lambda o, t: o.argmax(1) == t})
    state = started(task)
    outputs = nn.Dense(3).apply({"params": state["params"]}, VALIDATION[0])
    values = evaluated(task, state, VALIDATION)
    np.testing.assert_allclose(values["outputs"], outputs.mean(), rtol=1e-5)
    np.testing.assert_allclose(values["hit"], (outputs.argmax(1) == VALIDATION[1]).mean(), rtol=1e-6)


def stepped(task, hp=None, state=None):
    batch = jax.tree.map(lambda x: x[:BATCH], task.train)
    hp = {"lr": 0.1, **(hp or {})}
    return task.step(KEY, started(task, hp) if state is None else state, batch, hp, **AT)


def test_a_loss_may_be_per_example_or_a_mean():
    losses = [
        CROSS_ENTROPY,
        lambda o, t: CROSS_ENTROPY(o, t).mean(),
        lambda o, t: CROSS_ENTROPY(o, t)[:, None],
    ]
    tasks = [supervised(nn.Dense(3), loss=loss) for loss in losses]
    first, *others = [stepped(task) for task in tasks]
    for after in others:
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-6), first, after)
    values = [evaluated(task, first[0], VALIDATION)["loss"] for task in tasks]
    np.testing.assert_allclose(values, values[0], rtol=1e-6)


class One(nn.Module):
    """A single weight that is its own output."""

    @nn.compact
    def __call__(self, x):
        return self.param("w", nn.initializers.zeros, ()) + 0 * x[:, 0]


def test_a_loss_may_ask_for_hp_step_and_total_steps():
    def loss(outputs, targets, hp, total_steps, step):
        return 0 * outputs + 1000 * hp["beta"] + 10 * step + total_steps

    task = supervised(One(), loss=loss, metrics={"zero": lambda o, t: o})
    assert stepped(task, {"beta": 2.0})[1]["loss"] == 2042
    assert evaluated(task, started(task), VALIDATION, {"beta": 2.0}) == {"loss": 2042, "zero": 0}
    assert task.evaluate.loss_takes_hp
    assert not supervised(One()).evaluate.loss_takes_hp


def test_augment_changes_training_batches_only():
    def augment(key, batch, hp, step, total_steps):
        x, y = batch
        return x * 0, y * 0 + jnp.float32(hp["shift"] + step / total_steps)

    x, y = VALIDATION[0], VALIDATION[1].astype(np.float32)
    task = supervised(One(), loss=lambda o, t: (o - t) ** 2, augment=augment, train=(x, y), validation=(x, y))
    assert stepped(task, {"shift": 2.0})[1]["loss"] == 2.25**2
    np.testing.assert_allclose(evaluated(task, started(task), (x, y))["loss"], np.mean(y**2), rtol=1e-6)


def test_augment_draws_other_numbers_than_the_model():
    keys_of = []

    def augment(key, batch, hp):
        keys_of.append(jax.random.key_data(key))
        return batch

    class Drawing(nn.Module):
        @nn.compact
        def __call__(self, x):
            if not self.is_initializing():
                keys_of.append(jax.random.key_data(self.scope.rngs["params"].rng))
            return nn.Dense(3)(x)

    stepped(supervised(Drawing(), augment=augment))
    used = {tuple(key.tolist()) for key in keys_of if not isinstance(key, jax.core.Tracer)}
    assert len(used) == len(keys_of) == 2
    assert tuple(jax.random.key_data(KEY).tolist()) not in used


def test_an_optimizer_may_ask_for_hp_step_and_total_steps():
    task = supervised(
        One(),
        loss=lambda o, t: -o,
        optimizer=lambda hp, step, total_steps: optax.sgd(hp["lr"] * (1 - step / total_steps)),
    )
    state, _ = stepped(task)
    np.testing.assert_allclose(state["params"]["w"], 0.1 * (1 - 3 / 12), rtol=1e-6)


class Scaled(nn.Module):
    """A weight of 1 times what the factory says."""

    scale: float

    @nn.compact
    def __call__(self, x):
        return self.scale * self.param("w", nn.initializers.constant(self.scale), ()) + 0 * x[:, 0]


def test_a_model_may_ask_for_step_and_total_steps():
    """The start sees step 0, an evaluation its own, and the model of a result the end."""
    task = supervised(
        lambda hp, step, total_steps: Scaled(hp["scale"] * (2 + step / total_steps)),
        loss=lambda o, t: o,
        optimizer=optax.sgd(0.0),
    )
    hp = {"scale": 10.0}
    state = task.init(KEY, hp, step=0, total_steps=12)
    assert state["params"]["w"] == 20
    _, info = task.step(KEY, state, TRAIN_SPLIT, hp, **AT)
    assert info["loss"] == 20 * 22.5
    assert task.evaluate(KEY, state, VALIDATION, hp, **AT)["loss"] == 20 * 22.5
    assert task.evaluate.model_of(state, hp) == Scaled(30.0)


def test_a_model_that_fades_trains_as_in_a_plain_loop():
    def faded(hp, step, total_steps):
        return Linen(jt.rate(jt.schedules.linear_schedule(hp["rate"], 0.0, total_steps)(step)))

    result = tune(supervised(faded), RATE, scheduler=jt.FullBudget(trials=2, steps=10))
    for trial in result.trials:
        _, predict = linen_loop(trial.hparams, 10, fade=True)
        expected = CROSS_ENTROPY(predict(VALIDATION[0]), VALIDATION[1]).mean()
        np.testing.assert_allclose(trial.metrics["loss"], expected, rtol=1e-5)
    assert float(result.best.model.rate) == 0


# Every strength can fade: a step is then one at the strength of that moment.


def fading(strength):
    """Tasks whose strength is `strength(hp, step, total_steps)`, name -> parts."""

    class NnxDropped(nnx.Module):
        def __init__(self, hp, rngs, step, total_steps):
            self.a, self.b = nnx.Linear(4, 8, rngs=rngs), nnx.Linear(8, 3, rngs=rngs)
            self.dropout = nnx.Dropout(jt.rate(strength(hp, step, total_steps)), rngs=rngs)

        def __call__(self, x):
            return self.b(self.dropout(nnx.relu(self.a(x))))

    def decay(hp, total_steps):
        decayed = optax.add_decayed_weights(lambda count: strength(hp, count, total_steps))
        return optax.chain(decayed, optax.sgd(0.1))

    def clipped(hp, step, total_steps):
        return optax.chain(optax.clip_by_global_norm(strength(hp, step, total_steps)), optax.sgd(0.1))

    def penalty(params, hp, step, total_steps):
        return strength(hp, step, total_steps) * jt.penalties.l2(params)

    def noise(key, batch, hp, step, total_steps):
        return jt.augment.noise(key, batch, strength(hp, step, total_steps))

    def mixup(key, batch, hp, step, total_steps):
        return jt.augment.mixup(key, batch, strength(hp, step, total_steps))

    def smoothed(outputs, targets, hp, step, total_steps):
        return jt.losses.cross_entropy(outputs, targets, strength(hp, step, total_steps))

    return {
        "weight decay": {"optimizer": decay},
        "clipping": {"optimizer": clipped},
        "penalty": {"penalty": penalty},
        "label smoothing": {"loss": smoothed},
        "dropout": {"model": lambda hp, step, total_steps: Attention(jt.rate(strength(hp, step, total_steps)))},
        "nnx dropout": {"model": NnxDropped},
        "noise": {"augment": noise},
        "mixup": {"augment": mixup},
    }


FADED = fading(lambda hp, step, total_steps: jt.schedules.linear_schedule(hp["strength"], 0.0, total_steps)(step))
CONSTANT = fading(lambda hp, step, total_steps: hp["strength"])


@pytest.mark.parametrize("name", FADED)
def test_every_strength_can_fade(name):
    train, total = SEQUENCES[0] if name == "dropout" else TRAIN_SPLIT, 3

    def task_of(parts):
        return supervised(**{"model": nn.Dense(3), "optimizer": optax.sgd(0.1), "train": train, **parts})

    faded, constant = task_of(FADED[name]), task_of(CONSTANT[name])
    lanes = jnp.array([0.2, 0.6])

    @jax.jit
    def step(key, states, count, strengths):
        def one(state, strength):
            return faded.step(key, state, train, {"strength": strength}, step=count, total_steps=jnp.int32(total))

        return jax.vmap(one)(states, strengths)

    def start(strength):
        return faded.init(KEY, {"strength": strength}, step=0, total_steps=total)

    states, plain = jax.vmap(start)(lanes), start(0.6)
    for count in range(total):
        key, hp = jax.random.fold_in(KEY, count), {"strength": 0.6 * (1 - count / total)}
        states, info = step(key, states, jnp.int32(count), lanes)
        unfaded = constant.step(key, plain, train, {"strength": 0.6}, step=count, total_steps=total)
        plain, expected = constant.step(key, plain, train, hp, step=count, total_steps=total)
        np.testing.assert_allclose(info["loss"][1], expected["loss"], rtol=1e-5)
        alone = jax.tree.map(lambda x: x[1], states["params"])
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6), alone, plain["params"])
        gap = optax.tree.norm(optax.tree.sub(unfaded[0]["params"], plain["params"]))
        assert (gap > 1e-5) == (count > 0)


def test_an_optimizer_needs_no_hyperparameters():
    task = supervised(One(), loss=lambda o, t: -o, optimizer=optax.sgd(0.5))
    assert stepped(task)[0]["params"]["w"] == 0.5


def test_update_gets_the_loss():
    def update(updates, state, params, *, value, **extra):
        return jax.tree.map(lambda u: value, updates), state

    keeps_value = optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)
    task = supervised(One(), loss=lambda o, t: o + 7, optimizer=keeps_value)
    assert stepped(task)[0]["params"]["w"] == 7


def test_the_score_of_the_search_reaches_the_optimizer():
    optimizer = optax.chain(optax.sgd(1.0), reduce_on_plateau(factor=0.5, patience=1))
    task = supervised(One(), loss=lambda o, t: -o, optimizer=optimizer)
    state = started(task)
    for score in (0.3, 0.3):
        state = task.observe(state, score, {})
    assert stepped(task, state=state)[0]["params"]["w"] == 0.5


# Inputs and targets may be any pytree.


class Both(nn.Module):
    @nn.compact
    def __call__(self, inputs):
        x, tokens = inputs["x"], inputs["more"][0]
        hidden = nn.relu(nn.Dense(8)(x) + nn.Embed(3, 8)(tokens))
        return {"logits": nn.Dense(3)(hidden), "value": nn.Dense(1)(hidden)[:, 0]}


def pytree_split(data):
    x, y = data
    return {"x": x, "more": (y[::-1].copy(),)}, (y, x[:, 0] * 2)


def joint_loss(outputs, targets):
    labels, values = targets
    return CROSS_ENTROPY(outputs["logits"], labels) + optax.squared_error(outputs["value"], values)


def test_inputs_outputs_and_targets_may_be_pytrees():
    metrics = {
        "accuracy": lambda o, t: jt.metrics.accuracy(o["logits"], t[0]),
        "rmse": lambda o, t: jt.metrics.rmse(o["value"], t[1]),
    }
    train, validation, test = map(pytree_split, (TRAIN_SPLIT, VALIDATION, TEST))
    task = supervised(Both(), loss=joint_loss, metrics=metrics, train=train, validation=validation, test=test)
    result = tune(task, LR, scheduler=jt.FullBudget(2, 20))
    for (inputs, targets), values in ((validation, result.best.metrics), (test, result.test())):
        outputs = result.best.model.apply(result.best.variables, inputs)
        expected = {"loss": joint_loss(outputs, targets).mean()}
        expected["accuracy"] = (outputs["logits"].argmax(1) == targets[0]).mean()
        expected["rmse"] = sklearn.metrics.root_mean_squared_error(targets[1], outputs["value"])
        for name, value in expected.items():
            np.testing.assert_allclose(values[name], value, rtol=1e-5, err_msg=name)


def test_splits_may_be_lists():
    assert supervised(nn.Dense(3), train=list(TRAIN_SPLIT)) == supervised(nn.Dense(3))


# Optimizers on bfloat16 parameters behave as with Python floats. Each option of a static hyperparameter reads other
# traced ones.

OPTIMIZERS = {
    "adam": lambda hp: optax.adam(hp["lr"], b1=hp["b1"], b2=hp["b2"]),
    "sgd": lambda hp: optax.sgd(hp["lr"], momentum=hp["b1"]),
    "lion": lambda hp: optax.lion(hp["lr"], b1=hp["b1"], b2=hp["b2"]),
    "adamw": lambda hp: optax.adamw(hp["lr"], b1=hp["b1"], weight_decay=hp["decay"]),
}
BFLOAT16 = nn.Dense(3, dtype=jnp.bfloat16, param_dtype=jnp.bfloat16)


def bfloat16_loop(hp, num_steps):
    optimizer = OPTIMIZERS[hp["optimizer"]](hp)
    params = BFLOAT16.init(keys(INIT), TRAIN_SPLIT[0][:1])
    state = optimizer.init(params)

    @jax.jit
    def step(params, state, x, y):
        grads = jax.grad(lambda p: CROSS_ENTROPY(BFLOAT16.apply(p, x), y).mean())(params)
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    for _, x, y in plain_steps(num_steps):
        params, state = step(params, state, x, y)
    return params, state


def test_optimizers_on_bfloat16_parameters():
    space = {"optimizer": jt.Choice(tuple(OPTIMIZERS)), "lr": 0.03}
    space |= {"b1": jt.Uniform(0.5, 0.95), "b2": jt.Uniform(0.9, 0.999), "decay": jt.LogUniform(1e-3, 1.0)}
    given = {"b1": 0.7, "b2": 0.95, "decay": 0.1}
    sampler = Listed.of(*({"optimizer": name, **given} for name in OPTIMIZERS))
    task = supervised(BFLOAT16, optimizer=lambda hp: OPTIMIZERS[hp["optimizer"]](hp))
    result = tune(task, space, scheduler=jt.FullBudget(4, 20), sampler=sampler)
    states = []
    for trial in result.trials:
        params, state = bfloat16_loop(trial.hparams, 20)
        states.append(state)
        loss = float(CROSS_ENTROPY(BFLOAT16.apply(params, VALIDATION[0]), VALIDATION[1]).mean())
        np.testing.assert_allclose(trial.metrics["loss"], loss, rtol=0.02, err_msg=trial.hparams["optimizer"])
    best = result.best
    assert {str(x.dtype) for x in jax.tree.leaves(best.variables)} == {"bfloat16"}
    dtypes = [[x.dtype for x in jax.tree.leaves(s)] for s in (best.state["optimizer"], states[best.id])]
    assert dtypes[0] == dtypes[1]
    losses = [trial.metrics["loss"] for trial in result.trials]
    assert np.ptp(losses) > 0.02 * max(losses)  # confusing two would be seen


# Equal tasks.


def augment(key, batch, hp):
    return batch


def same():
    return supervised(nn.Dense(3), metrics={"accuracy": jt.metrics.accuracy}, augment=augment)


def test_equal_functions_make_equal_tasks():
    assert same() == same()
    assert hash(same()) == hash(same())
    assert (
        same().functions
        == supervised(
            nn.Dense(3),
            metrics={"accuracy": jt.metrics.accuracy},
            augment=augment,
            train=tuple(part[:20] for part in TRAIN_SPLIT),
        ).functions
    )


@pytest.mark.parametrize(
    "change",
    [
        {"model": nn.Dense(4)},
        {"optimizer": lambda hp: optax.sgd(hp["lr"])},
        {"loss": lambda o, t: CROSS_ENTROPY(o, t)},
        {"metrics": {"hits": jt.metrics.accuracy}},
        {"augment": None},
        {"penalty": lambda params, hp: 0.0},
        {"preprocess": jt.standardize()},
        {"variables": {"params": {"bias": np.ones(3, np.float32)}}},
        {"batch_size": 4},
        {"train": (TRAIN_SPLIT[0][:, :2], TRAIN_SPLIT[1])},
    ],
    ids=lambda change: next(iter(change)),
)
def test_other_parts_make_other_tasks(change):
    parts = {"model": nn.Dense(3), "metrics": {"accuracy": jt.metrics.accuracy}, "augment": augment}
    parts = {**parts, **change}
    assert supervised(parts.pop("model"), **parts).functions != same().functions


def test_calling_supervised_again_compiles_nothing(compiled):
    space, scheduler = LR | {"unused": 3}, jt.FullBudget(2, 5)
    tune(supervised(lambda hp: nn.Dense(3)), space, scheduler=scheduler)
    assert compiled
    compiled.clear()
    other = tuple(part[::-1].copy() for part in TRAIN_SPLIT)
    tune(supervised(lambda hp: nn.Dense(3), train=other), space, scheduler=scheduler, seed=1)
    assert not compiled
