"""Given variables and frozen parameters: what trains, what is shared, and that nothing else changes."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from jax.extend.core import jaxprs_in_params
from plain import CROSS_ENTROPY, TRAIN, VALIDATION, Net, NnxNet, descend, sgd
from toys import Listed, tune

import jaxtune as jt

RNG = np.random.default_rng(3)
KEY = jax.random.key(0)
LR = {"lr": jt.LogUniform(0.01, 0.3)}
AT = {"step": 0, "total_steps": 10}
equal = partial(jax.tree.map, np.testing.assert_array_equal)


def pattern(shape):
    return RNG.normal(size=shape).astype(np.float32)


PARAMS = {
    "body": {"kernel": pattern((4, 8)), "bias": pattern(8)},
    "head": {"kernel": pattern((8, 3)), "bias": pattern(3)},
}


def only_head(path, value):
    return path[0] == "head"


def supervised(model, **changes):
    parts = {"optimizer": sgd, "loss": CROSS_ENTROPY, "train": TRAIN, "validation": VALIDATION, "test": VALIDATION}
    return jt.supervised(model, **{**parts, "batch_size": 24, **changes})


def started(task, hp=None):
    return task.init(KEY, {"lr": 0.1, **(hp or {})}, **AT)


def stepped(task, state):
    return task.step(KEY, state, task.train, {"lr": 0.1}, **AT)[0]


def body_of(params):
    return {"body": params["body"]}


MODELS = {"linen": (Net(), lambda params: {"params": params}), "nnx": (NnxNet, lambda params: params)}


@pytest.fixture(params=MODELS)
def kind(request):
    """A model, and how variables are written for it."""
    return MODELS[request.param]


# Given variables


def test_given_values_replace_fresh_ones(kind):
    model, written = kind
    state = started(supervised(model, variables=written(body_of(PARAMS))))
    fresh = started(supervised(model))
    equal(state["params"]["body"], PARAMS["body"])
    equal(state["params"]["head"], fresh["params"]["head"])
    assert not np.allclose(fresh["params"]["body"]["kernel"], PARAMS["body"]["kernel"])
    assert jax.tree.structure(state) == jax.tree.structure(fresh)


def test_given_values_are_trained_like_fresh_ones(kind):
    model, written = kind
    result = tune(supervised(model, variables=written(PARAMS)), LR, scheduler=jt.FullBudget(2, 20))
    for trial in result.trials:

        def objective(params, step):
            return CROSS_ENTROPY(Net().apply({"params": params}, TRAIN[0]), TRAIN[1]).mean()

        params = descend(objective, PARAMS, sgd(trial.hparams), 20)
        expected = CROSS_ENTROPY(Net().apply({"params": params}, VALIDATION[0]), VALIDATION[1]).mean()
        np.testing.assert_allclose(trial.metrics["loss"], expected, rtol=1e-4)


def test_nothing_given_is_as_without_variables(kind):
    model, written = kind
    for variables in ({}, written({}), {"params": {}}):
        assert supervised(model, variables=variables).functions == supervised(model).functions


@pytest.mark.parametrize("model", [Net(), NnxNet], ids=["linen", "nnx"])
def test_the_variables_of_a_trial_start_the_next_search(model):
    first = tune(supervised(model), LR, scheduler=jt.FullBudget(2, 10))
    task = supervised(model, variables=first.best.variables)
    equal(started(task)["params"], first.best.variables["params"])
    loss = task.evaluate(KEY, started(task), VALIDATION, {})["loss"]
    np.testing.assert_allclose(loss, first.best.metrics["loss"], rtol=1e-5)


class NnxNormed(nnx.Module):
    def __init__(self, hp, rngs):
        self.layers = nnx.List([nnx.Linear(4, 8, rngs=rngs), nnx.Linear(8, 3, rngs=rngs)])
        self.norm = nnx.BatchNorm(8, momentum=0.9, use_running_average=True, rngs=rngs)
        self.dropout = nnx.Dropout(0.1, rngs=rngs)

    def __call__(self, x):
        return self.layers[1](self.dropout(self.norm(self.layers[0](x))))


def test_a_state_of_nnx_brings_statistics_but_no_random_streams():
    module = NnxNormed({}, nnx.Rngs(5))
    module.norm.mean.set_value(jnp.arange(8.0))
    state = started(supervised(NnxNormed, variables=nnx.state(module)))
    np.testing.assert_array_equal(state["params"]["layers"][0]["kernel"], module.layers[0].kernel.get_value())
    np.testing.assert_array_equal(state["other"]["norm"]["mean"], np.arange(8.0))


def test_statistics_may_be_given_to_linen():
    class Normed(nn.Module):
        @nn.compact
        def __call__(self, x, train):
            return nn.Dense(3)(nn.BatchNorm(use_running_average=not train, name="norm")(x))

    task = supervised(Normed(), variables={"batch_stats": {"norm": {"mean": pattern(4)}}})
    stats = started(task)["other"]["batch_stats"]["norm"]
    assert not np.array_equal(stats["mean"], np.zeros(4))
    np.testing.assert_array_equal(stats["var"], np.ones(4))


def test_arrays_that_change_later_change_nothing():
    kernel = PARAMS["body"]["kernel"].copy()
    task = supervised(Net(), variables={"params": {"body": {"kernel": kernel}}})
    kernel[:] = 0
    np.testing.assert_array_equal(started(task)["params"]["body"]["kernel"], PARAMS["body"]["kernel"])


# Frozen parameters


def frozen(model, written, **changes):
    return supervised(model, variables=written(PARAMS), trainable=only_head, **changes)


def test_a_state_holds_what_is_trained_alone(kind):
    task = frozen(*kind, optimizer=lambda hp: optax.adam(hp["lr"]))
    shapes = jax.eval_shape(lambda: started(task))
    assert {name: sorted(layer) for name, layer in shapes["params"].items()} == {"head": ["bias", "kernel"]}
    moments = [x.shape for x in jax.tree.leaves(shapes["optimizer"]) if x.shape]
    assert sorted(moments) == [(3,), (3,), (8, 3), (8, 3)]


def test_training_equals_that_of_a_masked_optimizer(kind):
    """Weight decay too: it would move a frozen parameter whose gradient is zero."""
    model, written = kind

    def optimizer(hp):
        return optax.adamw(hp["lr"], weight_decay=0.1)

    result = tune(frozen(model, written, optimizer=optimizer), LR, scheduler=jt.FullBudget(2, 20))
    for trial in result.trials:
        labels = {"body": "frozen", "head": "trained"}
        masked = optax.multi_transform({"trained": optimizer(trial.hparams), "frozen": optax.set_to_zero()}, labels)

        def objective(params, step):
            return CROSS_ENTROPY(Net().apply({"params": params}, TRAIN[0]), TRAIN[1]).mean()

        params = descend(objective, PARAMS, masked, 20)
        expected = CROSS_ENTROPY(Net().apply({"params": params}, VALIDATION[0]), VALIDATION[1]).mean()
        np.testing.assert_allclose(trial.metrics["loss"], expected, rtol=1e-4)
    best = result.best
    equal(best.variables["params"]["body"], PARAMS["body"])
    assert not np.allclose(best.variables["params"]["head"]["kernel"], PARAMS["head"]["kernel"])
    outputs = best.model(VALIDATION[0]) if model is NnxNet else best.model.apply(best.variables, VALIDATION[0])
    loss = CROSS_ENTROPY(outputs, VALIDATION[1]).mean()
    np.testing.assert_allclose([best.metrics["loss"], result.test()["loss"]], loss, rtol=1e-5)


def test_frozen_parameters_need_no_gradient_and_a_penalty_sees_the_trained_ones(kind):
    seen = []

    def penalty(params, hp):
        seen.append(sorted(params))
        return jt.penalties.l2(params)

    task = frozen(*kind, penalty=penalty)
    stepped(task, started(task))
    assert seen[-1] == ["head"]


def products(jaxpr):
    """Shapes of all results of matrix products, in inner functions too."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            yield from (v.aval.shape for v in equation.outvars)
        for inner in jaxprs_in_params(equation.params):
            yield from products(inner)


def lanes_products(task, function):
    """The same for 31 lanes of a step or an evaluation."""
    state = jax.eval_shape(lambda: jax.vmap(lambda lr: started(task, {"lr": lr}))(jnp.ones(31)))
    lanes = jax.vmap(lambda s, lr: function(task)(KEY, s, TRAIN, {"lr": lr}, **AT))
    return list(products(jax.make_jaxpr(lanes)(state, jnp.ones(31)).jaxpr))


@pytest.mark.parametrize("function", [lambda task: task.step, lambda task: task.evaluate], ids=["step", "evaluate"])
def test_a_frozen_layer_is_computed_once_for_all_lanes(kind, function):
    model, written = kind
    shared = lanes_products(frozen(model, written), function)
    assert (24, 8) in shared
    assert not [shape for shape in shared if 31 in shape and 8 in shape and 24 in shape]
    own = lanes_products(supervised(model, variables=written(PARAMS)), function)
    assert [shape for shape in own if 31 in shape and 8 in shape and 24 in shape]


def test_frozen_values_are_arguments_of_a_program_not_constants_in_it(kind):
    task = frozen(*kind)
    for closed in (
        jax.make_jaxpr(lambda state: task.step(KEY, state, TRAIN, {"lr": 0.1}, **AT))(started(task)),
        jax.make_jaxpr(lambda state: task.evaluate(KEY, state, VALIDATION, {"lr": 0.1}))(started(task)),
    ):
        assert (4, 8) in {np.shape(const) for const in closed.consts}


# Statistics of frozen layers


class Backbone(nn.Module):
    """A frozen layer with statistics, which are updated or not."""

    updates: bool

    @nn.compact
    def __call__(self, x, train):
        x = nn.Dense(8, name="body")(x)
        x = nn.BatchNorm(use_running_average=not (self.updates and train), momentum=0.9, name="norm")(x)
        return nn.Dense(3, name="head")(x)


class NnxBackbone(nnx.Module):
    def __init__(self, updates, rngs):
        self.updates = updates
        self.body, self.head = nnx.Linear(4, 8, rngs=rngs), nnx.Linear(8, 3, rngs=rngs)
        self.norm = nnx.BatchNorm(8, momentum=0.9, rngs=rngs)

    def __call__(self, x, train):
        return self.head(self.norm(self.body(x), use_running_average=not (self.updates and train)))


NORM = {"scale": np.full(8, 1.5, np.float32), "bias": pattern(8)}
STATS = {"mean": pattern(8), "var": np.full(8, 2.0, np.float32)}


def linen_backbone(updates, **options):
    variables = {"params": {**PARAMS, "norm": NORM}, "batch_stats": {"norm": STATS}}
    return supervised(Backbone(updates), variables=variables, trainable=only_head, **options)


def nnx_backbone(updates, **options):
    variables = {"params": {**PARAMS, "norm": NORM}, "other": {"norm": STATS}}
    model = lambda hp, rngs: NnxBackbone(updates, rngs)  # noqa: E731 - one line
    return supervised(model, variables=variables, trainable=only_head, **options)


def stats_of(variables):
    return variables["batch_stats" if "batch_stats" in variables else "other"]["norm"]


@pytest.mark.parametrize("make", [linen_backbone, nnx_backbone])
def test_statistics_that_a_step_does_not_update_are_shared(make):
    task = make(updates=False)
    state = started(task)
    assert not jax.tree.leaves(state["other"])
    state = stepped(task, state)
    assert not jax.tree.leaves(state["other"])
    equal(stats_of(task.evaluate.variables_of(state)), STATS)
    for function in (lambda task: task.step, lambda task: task.evaluate):
        assert (24, 8) in lanes_products(task, function)
    hidden = TRAIN[0] @ PARAMS["body"]["kernel"] + PARAMS["body"]["bias"]
    hidden = (hidden - STATS["mean"]) / np.sqrt(STATS["var"] + 1e-5) * NORM["scale"] + NORM["bias"]
    outputs = hidden @ PARAMS["head"]["kernel"] + PARAMS["head"]["bias"]
    loss = task.evaluate(KEY, started(task), TRAIN, {})["loss"]
    np.testing.assert_allclose(loss, CROSS_ENTROPY(outputs, TRAIN[1]).mean(), rtol=1e-5)


@pytest.mark.parametrize("make", [linen_backbone, nnx_backbone])
def test_statistics_that_a_step_updates_are_each_lanes_own(make):
    task = make(updates=True, moving_statistics=True)
    state = started(task)
    assert len(jax.tree.leaves(state["other"])) == 2
    after = task.evaluate.variables_of(stepped(task, state))
    equal(after["params"]["norm"], NORM)
    hidden = TRAIN[0] @ PARAMS["body"]["kernel"] + PARAMS["body"]["bias"]
    np.testing.assert_allclose(
        stats_of(after)["mean"], 0.9 * STATS["mean"] + 0.1 * hidden.mean(0), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("make", [linen_backbone, nnx_backbone])
def test_statistics_of_frozen_layers_stay_though_a_step_would_update_them(make):
    task = make(updates=True)
    assert not jax.tree.leaves(started(task)["other"])
    equal(stats_of(task.evaluate.variables_of(stepped(task, started(task)))), STATS)


def test_statistics_that_are_not_given_stay_in_the_state():
    task = supervised(Backbone(False), variables={"params": {**PARAMS, "norm": NORM}}, trainable=only_head)
    assert len(jax.tree.leaves(started(task)["other"])) == 2


# Equal weights, equal tasks


@pytest.mark.parametrize("trainable", [None, only_head])
def test_the_same_weights_read_again_compile_nothing(trainable, compiled):
    def search():
        copied = jax.tree.map(np.copy, {"params": PARAMS})
        return tune(
            supervised(lambda hp: Net(), variables=copied, trainable=trainable), LR, scheduler=jt.FullBudget(2, 3)
        )

    first = search()
    assert compiled
    compiled.clear()
    assert search().best.metrics == first.best.metrics
    assert not compiled


def test_other_weights_make_other_tasks():
    scaled = jax.tree.map(lambda x: 2 * x, PARAMS)
    tasks = [
        supervised(Net(), variables={"params": params}, trainable=trainable)
        for params in (PARAMS, scaled, body_of(PARAMS))
        for trainable in (None, lambda path, value: path[0] == "head")
    ]
    assert len({task.functions for task in tasks}) == len(tasks)
    losses = {float(task.evaluate(KEY, started(task), VALIDATION, {})["loss"]) for task in tasks[:4]}
    assert len(losses) == 2
    jaxed = jax.tree.map(jnp.asarray, PARAMS)
    assert supervised(Net(), variables={"params": jaxed}).functions == tasks[0].functions


def test_other_frozen_weights_give_other_results():
    """Neither a trace nor an executable is taken for that of other weights."""
    losses = []
    for params in (PARAMS, jax.tree.map(lambda x: -x, PARAMS)):
        task = supervised(Net(), variables={"params": params}, trainable=only_head)
        result = tune(task, LR, scheduler=jt.FullBudget(1, 3), sampler=Listed.of({"lr": 0.1}))
        state = started(task)
        for _ in range(3):
            state = stepped(task, state)
        losses.append(result.best.metrics["loss"])
        np.testing.assert_allclose(losses[-1], task.evaluate(KEY, state, VALIDATION, {})["loss"], rtol=1e-4)
    assert abs(losses[0] - losses[1]) > 0.01


def test_what_trainable_gets():
    seen = {}

    def trainable(path, value):
        seen[path] = value
        return True

    started(supervised(Net(), variables={"params": PARAMS}, trainable=trainable))
    assert {path: (value.shape, value.ndim, value.dtype) for path, value in seen.items()} == {
        ("body", "kernel"): ((4, 8), 2, np.float32),
        ("body", "bias"): ((8,), 1, np.float32),
        ("head", "kernel"): ((8, 3), 2, np.float32),
        ("head", "bias"): ((3,), 1, np.float32),
    }
