"""Linen and nnx modules behind one view."""

import copy

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import jaxtune as jt
from jaxtune.training.models import flax_model
from jaxtune.training.models.common import train_flags
from jaxtune.training.models.linen import LinenModel
from jaxtune.training.models.nnx import NnxModel

X = np.random.default_rng(0).normal(3.0, 2.0, (16, 5)).astype(np.float32)
KEY, OTHER_KEY = jax.random.key(0), jax.random.key(1)


class LinenStreams(nn.Module):
    """Draws from streams of names that nobody has heard of."""

    @nn.compact
    def __call__(self, x):
        return jnp.stack([jax.random.normal(self.make_rng(name)) for name in ("noise", "noise", "zoneout")])


class NnxStreams(nnx.Module):
    def __init__(self, hp, rngs):
        self.rngs, self.own = rngs, rngs.zoneout

    def __call__(self, x):
        return jnp.stack([jax.random.normal(key) for key in (self.rngs.noise(), self.rngs.noise(), self.own())])


@pytest.mark.parametrize("module", [LinenStreams(), NnxStreams])
def test_random_streams_of_any_name(module):
    model = flax_model(module)
    params, other = model.init(KEY, {}, X)
    first, _ = model.train(KEY, {}, params, other, X)
    again, _ = model.train(KEY, {}, params, other, X)
    later, _ = model.train(OTHER_KEY, {}, params, other, X)
    assert len({*first.tolist(), *later.tolist()}) == 6
    np.testing.assert_array_equal(first, again)
    assert model.predict(KEY, {}, params, other, X).shape == (3,)


# The flag that tells a module whether it is training.


def linen_with(flag):
    """A linen module whose `__call__` has this parameter, and which returns what it gets for it."""
    namespace = {}
    exec(f"def __call__(self, x, {flag}): return {flag}", namespace)
    return type("Flagged", (nn.Module,), {"__call__": namespace["__call__"]})()


@pytest.mark.parametrize(
    ("flag", "value"),
    [("train", True), ("training", True), ("is_training", True), ("deterministic", False)],
)
def test_the_train_flag_is_found_by_its_name(flag, value):
    model = LinenModel(linen_with(flag))
    assert model.train(KEY, {}, {}, {}, X)[0] is value
    assert model.predict(KEY, {}, {}, {}, X) is not value


def test_all_flags_of_a_module_are_set():
    class Two(nn.Module):
        def __call__(self, x, train, *, deterministic=None):
            return train, deterministic

    assert train_flags(Two(), True) == {"train": True, "deterministic": False}
    assert LinenModel(Two()).predict(KEY, {}, {}, {}, X) == (False, True)


def test_a_module_without_a_flag_gets_none():
    assert train_flags(nn.Dense(1), True) == {}
    assert train_flags(nn.Sequential([nn.Dense(1)]), True) == {}


def test_the_first_parameter_is_the_inputs_whatever_its_name():
    class Odd(nn.Module):
        def __call__(self, train):
            return train

    assert train_flags(Odd(), True) == {}


def test_a_flag_that_was_given_to_the_constructor_is_left_alone():
    assert train_flags(nn.Dropout(0.5, deterministic=False), False) == {}
    assert train_flags(nn.Dropout(0.5), False) == {"deterministic": True}

    class Required(nn.Module):
        training: bool = True

        def __call__(self, x, training):
            return training

    assert train_flags(Required(), False) == {"training": False}


# Linen.


class Net(nn.Module):
    """Everything that linen keeps or draws."""

    rate: float = 0.5

    @nn.compact
    def __call__(self, x, train):
        x = nn.BatchNorm(use_running_average=not train, momentum=0.5)(x)
        x = nn.Dropout(self.rate, deterministic=not train)(x)
        calls = self.variable("counts", "calls", lambda: jnp.zeros((), jnp.int32))
        if not self.is_initializing() and train:
            calls.value += 1
        self.sow("intermediates", "x", x)
        if train:
            x = x + jax.random.normal(self.make_rng("latent"), x.shape)
        return nn.Dense(2)(x)


def test_linen_variables_are_parameters_and_others():
    params, other = LinenModel(Net()).init(KEY, {}, X)
    assert sorted(params) == ["BatchNorm_0", "Dense_0"]
    assert sorted(other) == ["batch_stats", "counts"]  # what is sown is not kept


def test_linen_init_equals_the_modules_own():
    variables = Net().init(KEY, X, train=False)
    params, other = LinenModel(Net()).init(KEY, {}, X)
    jax.tree.map(np.testing.assert_array_equal, params, variables["params"])
    jax.tree.map(np.testing.assert_array_equal, other["batch_stats"], variables["batch_stats"])


def test_linen_training_draws_and_updates():
    model = LinenModel(Net())
    params, other = model.init(KEY, {}, X)
    outputs, after = model.train(KEY, {}, params, other, X)
    variables = {"params": params, **other}
    expected, changed = Net().apply(variables, X, train=True, rngs={"params": KEY}, mutable=["batch_stats", "counts"])
    np.testing.assert_array_equal(outputs, expected)
    jax.tree.map(np.testing.assert_array_equal, after, changed)
    assert after["counts"]["calls"] == 1
    np.testing.assert_allclose(after["batch_stats"]["BatchNorm_0"]["mean"], X.mean(0) / 2, rtol=1e-5)
    assert not np.array_equal(outputs, model.train(OTHER_KEY, {}, params, other, X)[0])


def test_linen_prediction_uses_the_statistics_and_draws_nothing():
    model = LinenModel(Net())
    params, other = model.init(KEY, {}, X)
    _, other = model.train(KEY, {}, params, other, X)
    outputs = model.predict(KEY, {}, params, other, X)
    np.testing.assert_array_equal(outputs, model.predict(OTHER_KEY, {}, params, other, X))
    np.testing.assert_array_equal(outputs, Net().apply(model.variables(params, other), X, train=False))
    fresh = model.init(KEY, {}, X)[1]
    assert not np.allclose(outputs, model.predict(KEY, {}, params, fresh, X))


def test_a_linen_factory_gets_the_hyperparameters():
    model = LinenModel(lambda hp: nn.Dense(hp["width"]))
    assert model.init(KEY, {"width": 7}, X)[0]["kernel"].shape == (5, 7)
    assert model.model({"width": 7}, {}, {}) == nn.Dense(7)


# nnx.


class NnxNet(nnx.Module):
    """The same for nnx."""

    def __init__(self, hp, rngs):
        self.norm = nnx.BatchNorm(5, momentum=0.5, rngs=rngs)
        self.dropout = nnx.Dropout(hp["rate"], rngs=rngs)
        self.dense = nnx.Linear(5, 2, rngs=rngs)
        self.calls = nnx.Variable(jnp.zeros((), jnp.int32))
        self.rngs = rngs

    def __call__(self, x):
        x = self.dropout(self.norm(x))
        if not self.norm.use_running_average:
            self.calls.set_value(self.calls.get_value() + 1)
            x = x + jax.random.normal(self.rngs.latent(), x.shape)
        return self.dense(x)


HP = {"rate": 0.5}


def test_nnx_variables_are_parameters_and_others_without_random_streams():
    params, other = NnxModel(NnxNet).init(KEY, HP, X)
    assert sorted(params) == ["dense", "norm"]
    assert sorted(other) == ["calls", "norm"]
    assert sorted(other["norm"]) == ["mean", "var"]


def test_nnx_init_equals_the_modules_own():
    params, _ = NnxModel(NnxNet).init(KEY, HP, X)
    module = NnxNet(HP, nnx.Rngs(KEY))
    np.testing.assert_array_equal(params["dense"]["kernel"], module.dense.kernel.get_value())


def test_nnx_training_draws_and_updates():
    model = NnxModel(NnxNet)
    params, other = model.init(KEY, HP, X)
    outputs, after = model.train(KEY, HP, params, other, X)
    module = NnxNet(HP, nnx.Rngs(KEY))
    module.train()
    np.testing.assert_array_equal(outputs, module(X))
    assert after["calls"] == 1
    np.testing.assert_allclose(after["norm"]["mean"], X.mean(0) / 2, rtol=1e-5)
    assert jax.tree.structure(after) == jax.tree.structure(other)
    assert not np.array_equal(outputs, model.train(OTHER_KEY, HP, params, other, X)[0])


def test_nnx_prediction_uses_the_statistics_and_draws_nothing():
    model = NnxModel(NnxNet)
    params, other = model.init(KEY, HP, X)
    _, other = model.train(KEY, HP, params, other, X)
    outputs = model.predict(KEY, HP, params, other, X)
    np.testing.assert_array_equal(outputs, model.predict(OTHER_KEY, HP, params, other, X))
    np.testing.assert_array_equal(outputs, model.model(HP, params, other)(X))  # already in evaluation mode
    assert not np.allclose(outputs, model.predict(KEY, HP, params, model.init(KEY, HP, X)[1], X))


def test_nnx_weights_are_those_that_are_given_not_those_of_the_key():
    model = NnxModel(NnxNet)
    params, other = model.init(KEY, HP, X)
    doubled = jax.tree.map(lambda x: 2 * x, params)
    trained = model.model(HP, doubled, other)
    np.testing.assert_array_equal(trained.dense.kernel.get_value(), doubled["dense"]["kernel"])
    assert model.variables(doubled, other) == {"params": doubled, "other": other}


def test_an_nnx_module_with_a_train_flag():
    class Flagged(nnx.Module):
        def __init__(self, hp, rngs):
            pass

        def __call__(self, x, *, deterministic):
            return deterministic

    model = NnxModel(Flagged)
    assert model.train(KEY, {}, {}, {}, X)[0] is False
    assert model.predict(KEY, {}, {}, {}, X) is True


def test_an_nnx_module_is_built_anew_in_every_trace():
    """A graph kept from another trace would hold that trace's rate, a leaked tracer."""
    model = NnxModel(lambda hp, rngs: nnx.Dropout(jt.rate(hp["rate"]), rngs=rngs))

    def dropped(rate):
        return jnp.mean(model.train(KEY, {"rate": rate}, {}, {}, jnp.ones(4000))[0] == 0)

    rates = jnp.array([0.2, 0.7])
    np.testing.assert_allclose(jax.jit(jax.vmap(dropped))(rates), rates, atol=0.05)
    np.testing.assert_allclose(jax.jit(dropped)(0.4), 0.4, atol=0.05)
    np.testing.assert_allclose(dropped(0.4), 0.4, atol=0.05)


# Step counts: a module whose strengths fade.


class Faded(nnx.Module):
    def __init__(self, rate, rngs):
        self.rate = rate

    def __call__(self, x):
        return x * self.rate


@pytest.mark.parametrize(
    "factory",
    [
        lambda hp, rngs, step, total_steps: Faded(hp["rate"] * (1 - step / total_steps), rngs),
        lambda hp, *, total_steps, step, rngs: Faded(hp["rate"] * (1 - step / total_steps), rngs),
    ],
    ids=["positional", "by name"],
)
def test_an_nnx_factory_may_ask_for_step_counts(factory):
    model, counts = flax_model(factory), {"step": 3, "total_steps": 12}
    assert model.init(KEY, HP, X, **counts) == ({}, {})
    for outputs in (model.train(KEY, HP, {}, {}, X, **counts)[0], model.predict(KEY, HP, {}, {}, X, **counts)):
        np.testing.assert_allclose(outputs, X * 0.5 * 0.75)
    assert model.model(HP, {}, {}, step=1, total_steps=1).rate == 0


def test_a_linen_factory_may_ask_for_step_counts():
    class Scaled(nn.Module):
        scale: float

        def __call__(self, x):
            return self.scale * x

    model = flax_model(lambda hp, total_steps, step: Scaled(hp["rate"] * (1 - step / total_steps)))
    counts = {"step": 3, "total_steps": 12}
    assert model.init(KEY, HP, X, **counts) == ({}, {})
    for outputs in (model.train(KEY, HP, {}, {}, X, **counts)[0], model.predict(KEY, HP, {}, {}, X, **counts)):
        np.testing.assert_allclose(outputs, X * 0.5 * 0.75)
    assert model.model(HP, {}, {}, step=1, total_steps=1) == Scaled(0.0)


def test_a_factory_may_ask_for_one_of_them_or_for_none():
    counts = {"step": 3, "total_steps": 12}
    assert flax_model(lambda hp, step: nn.Dense(step)).build(HP, **counts) == nn.Dense(3)
    assert flax_model(lambda hp: nn.Dense(7)).build(HP, **counts) == nn.Dense(7)
    assert flax_model(nn.Dense(7)).build(HP, **counts) == nn.Dense(7)
    with pytest.raises(TypeError, match="required parameter 'epoch' that jaxtune does not know"):
        flax_model(lambda hp, epoch: nn.Dense(7)).build(HP, **counts)
    with pytest.raises(TypeError, match=r"model is called with \(hp, rngs\), but <lambda> takes \(hp, rngs, epoch\)"):
        flax_model(lambda hp, rngs, epoch: Faded(0.0, rngs))


# Variables in the form that users have them.


def test_linen_variables_are_split_into_parameters_and_others():
    variables = Net().init(KEY, X, train=False)
    params, other = LinenModel(Net()).split(variables)
    assert params is variables["params"]
    assert sorted(other) == ["batch_stats", "counts"]
    assert LinenModel(Net()).split({"batch_stats": {}}) == ({}, {"batch_stats": {}})


def test_nnx_variables_are_split_into_parameters_and_others():
    model, module = NnxModel(NnxNet), NnxNet(HP, nnx.Rngs(KEY))
    params, other = NnxModel(NnxNet).init(KEY, HP, X)
    for variables in (nnx.state(module), model.variables(params, other)):
        split = model.split(variables)
        assert jax.tree.structure(split) == jax.tree.structure((params, other))
        jax.tree.map(np.testing.assert_array_equal, split, (params, other))
    for variables in (nnx.state(module, nnx.Param), params):
        alone = model.split(variables)
        assert alone[1] == {}
        jax.tree.map(np.testing.assert_array_equal, alone[0], params)


# What kind of model it is.


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        (nn.Dense(1), LinenModel),
        (lambda hp: nn.Dense(1), LinenModel),
        (lambda hp, width=3: nn.Dense(width), LinenModel),
        (NnxNet, NnxModel),
        (lambda hp, rngs: NnxNet(hp, rngs), NnxModel),
        (lambda hp, *, rngs: NnxNet(hp, rngs), NnxModel),
        (lambda *args, rngs: NnxNet(*args, rngs), NnxModel),
    ],
)
def test_models_are_told_apart(model, kind):
    assert type(flax_model(model)) is kind


def test_models_with_lists_can_be_compared_and_hashed():
    """nn.Sequential holds a list, which has no hash."""
    first, second = (LinenModel(nn.Sequential([nn.Dense(2), nn.relu])) for _ in range(2))
    assert first == second
    assert hash(first) == hash(second)
    assert first != LinenModel(nn.Sequential([nn.Dense(3), nn.relu]))


class Scaled(nn.Module):
    """With an array among its attributes, or arrays in a dict."""

    scale: object

    @nn.compact
    def __call__(self, x):
        return nn.Dense(1)(x * jax.tree.leaves(self.scale)[0])


def searched(model):
    task = jt.supervised(
        model,
        optimizer=lambda hp: optax.sgd(hp["lr"]),
        loss=optax.squared_error,
        train=(X, X[:, :1]),
        validation=(X, X[:, :1]),
        batch_size=8,
    )
    return jt.tune(task, {"lr": jt.LogUniform(1e-3, 1e-2)}, scheduler=jt.FullBudget(2, 4), progress=False)


@pytest.mark.parametrize("kind", [np.asarray, jnp.asarray, lambda x: {"by": np.asarray(x)}, lambda x: [np.asarray(x)]])
def test_modules_with_arrays_among_their_attributes_train_each_as_itself(kind):
    first, second, again = (
        searched(Scaled(kind(np.full(5, factor, np.float32)))).best.metrics["loss"] for factor in (1.0, 0.1, 1.0)
    )
    assert first == again != second


# What a module sows is no state.


class Sowing(nn.Module):
    """Keeps a count, and sows into collections of its own."""

    @nn.compact
    def __call__(self, x):
        count = self.variable("counts", "calls", lambda: jnp.int32(0))
        if not self.is_initializing() and self.is_mutable_collection("counts"):
            count.value += 1
        hidden = nn.Dense(3)(x)
        self.sow("mine", "hidden", hidden)
        self.sow("losses", "size", jnp.mean(hidden), reduce_fn=jnp.add, init_fn=lambda: jnp.float32(0))
        return nn.Dense(1)(hidden)


def test_what_linen_modules_sow_is_left_behind():
    model = LinenModel(Sowing())
    params, other = model.init(KEY, {}, X)
    assert set(other) == {"counts", "losses"}  # a sum over steps, as in a plain loop that carries all variables
    outputs, after = model.train(OTHER_KEY, {}, params, other, X)
    assert after["counts"] == {"calls": 1}
    assert outputs.shape == model.predict(KEY, {}, params, after, X).shape == (16, 1)


class Centred(nn.Module):
    """Reads a collection only where there is one; sows into it, too."""

    @nn.compact
    def __call__(self, x, train):
        if self.is_initializing():
            self.put_variable("data", "mean", jnp.mean(x, 0))
        self.sow("data", "seen", x[0])
        if self.has_variable("data", "mean") and not train:
            x = x - self.get_variable("data", "mean")
        return nn.Dense(1)(x)


def test_collections_that_a_module_may_do_without_stay():
    model = LinenModel(Centred())
    params, other = model.init(KEY, {}, X)
    np.testing.assert_allclose(other["data"]["mean"], X.mean(0), rtol=1e-5)
    _, after = model.train(OTHER_KEY, {}, params, other, X)
    assert jax.tree.structure(after) == jax.tree.structure(other)
    kernel, bias = params["Dense_0"]["kernel"], params["Dense_0"]["bias"]
    expected = (X - X.mean(0)) @ kernel + bias
    np.testing.assert_allclose(model.predict(KEY, {}, params, after, X), expected, rtol=1e-4, atol=1e-5)


def test_searches_with_sowing_models_of_both_kinds():
    class NnxSowing(nnx.Module):
        def __init__(self, rngs):
            self.first, self.last = nnx.Linear(5, 3, rngs=rngs), nnx.Linear(3, 1, rngs=rngs)

        def __call__(self, x):
            hidden = self.first(x)
            self.sow(nnx.Intermediate, "hidden", hidden)
            return self.last(hidden)

    for model in (Sowing(), lambda hp, rngs: NnxSowing(rngs)):
        best = searched(model).best
        assert np.isfinite(best.metrics["loss"])
        assert "mine" not in best.variables
        assert best.predict(X).shape == (16, 1)


# Mistakes that get a sentence.


@pytest.mark.parametrize("kind", ["linen", "nnx"])
def test_an_axis_of_devices_is_refused(kind):
    class Nnx(nnx.Module):
        def __init__(self, rngs):
            self.norm, self.last = nnx.BatchNorm(5, axis_name="batch", rngs=rngs), nnx.Linear(5, 1, rngs=rngs)

        def __call__(self, x):
            return self.last(self.norm(x))

    class Linen(nn.Module):
        @nn.compact
        def __call__(self, x, train):
            return nn.Dense(1)(nn.BatchNorm(use_running_average=not train, axis_name="batch")(x))

    with pytest.raises(ValueError, match="unbound axis name: batch.* trained on one device: leave out axis_name="):
        searched(Linen() if kind == "linen" else lambda hp, rngs: Nnx(rngs))


@pytest.mark.parametrize(
    ("factory", "error", "message"),
    [
        (lambda hp: nn.Dense(1, use_bias=hp.pop("lr") > 0), TypeError, "^hp can't be changed.*change a copy, dict"),
        (lambda hp: hp.update(lr=1) or nn.Dense(1), TypeError, "^hp can't be changed"),
        (lambda hp: nn.Dense(hp.lr), AttributeError, r"^hp has no attribute 'lr'; .* write hp\['lr'\]"),
        (
            lambda hp: nn.Dense(hp.width),
            AttributeError,
            "^hp has no attribute 'width'; .* domains go into the space",
        ),
    ],
)
def test_hyperparameters_are_read_as_items(factory, error, message):
    with pytest.raises(error, match=message):
        searched(factory)


def test_hyperparameters_are_a_dict_for_jax_and_for_copies():
    seen = []

    def factory(hp):
        doubled = jax.tree.map(lambda x: x * 2, hp)
        seen.append((type(doubled["lr"]), dict(hp), {**hp, "b": 1}["b"], copy.deepcopy(hp).pop("lr")))
        return nn.Dense(1)

    searched(factory)
    assert seen[0][2] == 1


def test_nnx_models_that_users_keep_may_write_into_their_variables():
    class Counting(nnx.Module):
        def __init__(self, rngs):
            self.seen, self.last = nnx.BatchStat(jnp.zeros(2)), nnx.Linear(5, 1, rngs=rngs)

        def __call__(self, x):
            self.seen[0] = self.seen[0] + 1.0
            return self.last(x)

    best = searched(lambda hp, rngs: Counting(rngs)).best
    np.testing.assert_allclose(best.model(X), best.predict(X), rtol=1e-5)
