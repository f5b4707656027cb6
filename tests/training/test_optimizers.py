"""The choice of an optimizer, gradient accumulation and the mask of weight decay, against plain Optax."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from toys import tune

import jaxtune as jt
from jaxtune import schedules
from jaxtune.spaces.domains import Choice, LogUniform, Uniform
from jaxtune.tasks.weak import weaken
from jaxtune.training.optimizers import KNOWN, OptimizerChoice, accumulate, kernels_only
from jaxtune.training.plateau import observe, reduce_on_plateau

RNG = np.random.default_rng(0)
X = RNG.normal(size=(24, 4)).astype(np.float32)
Y = np.sin(2 * X[:, :1]) + X[:, 1:2]
LR, MOMENTUM = LogUniform(1e-3, 1.0), Uniform(0.0, 0.99)
SGD = {"sgd": (optax.sgd, {"learning_rate": LR, "momentum": MOMENTUM})}


class MLP(nn.Module):
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x):
        x = nn.Dense(8, param_dtype=self.dtype, dtype=self.dtype)(x)
        x = nn.LayerNorm(param_dtype=self.dtype, dtype=self.dtype)(nn.tanh(x))
        return nn.Dense(1, param_dtype=self.dtype, dtype=self.dtype)(x)


def fit(optimizer, dtype=jnp.float32, steps=5, batch=None):
    """Parameters of a small network after some steps, in scan; all on the same data, or on batches of it."""
    model = MLP(dtype)
    params = model.init(jax.random.key(0), X)
    x, y = (jnp.asarray(data) for data in (X, Y))
    batch = len(X) if batch is None else batch

    def step(carry, number):
        params, state = carry
        rows = (number * batch + jnp.arange(batch)) % len(X)

        def loss(params):
            return jnp.mean((model.apply(params, x[rows]).astype(jnp.float32) - y[rows]) ** 2)

        value, grads = jax.value_and_grad(loss)(params)
        updates, state = optax.with_extra_args_support(optimizer).update(grads, state, params, value=value)
        return (optax.apply_updates(params, updates), state), None

    (params, _), _ = jax.lax.scan(step, (params, optimizer.init(params)), jnp.arange(steps))
    return params


def assert_close(got, want, rtol=1e-5, atol=1e-6):
    assert jax.tree.structure(got) == jax.tree.structure(want)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(np.asarray(a, np.float32), np.asarray(b, np.float32), rtol=rtol, atol=atol)


def lane(tree, number):
    return jax.tree.map(lambda x: x[number], tree)


# OptimizerChoice


def middle(arguments, unit):
    """Python numbers for all that is searched, and the constants."""
    numbers = {name: x.to_python(x.decode(unit)) for name, x in arguments.items() if hasattr(x, "decode")}
    return numbers, {name: x for name, x in arguments.items() if name not in numbers}


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("name", KNOWN)
def test_known_optimizers_equal_optax_s(name, dtype):
    """Two configurations as lanes of one program, all numbers traced, against Optax with Python floats."""
    factory, arguments = KNOWN[name]
    optimizer = OptimizerChoice(name)
    (first, constants), (second, _) = middle(arguments, 0.5), middle(arguments, 0.7)

    @jax.jit
    @jax.vmap
    def traced(numbers):
        numbers = {key: weaken(x) for key, x in numbers.items()}
        return fit(optimizer({"optimizer": name, "width": 3, **numbers, **constants}, 5), dtype)

    got = traced({key: jnp.float32([first[key], second[key]]) for key in first})
    for number, values in enumerate([first, second]):
        if dtype == jnp.bfloat16 and number == 0:
            continue  # that lanes keep apart is seen in float32
        want = jax.jit(lambda values=values: fit(factory(**values, **constants), dtype))()
        if dtype == jnp.float32:
            assert_close(lane(got, number), want, rtol=1e-4, atol=1e-5)
        else:  # rounding alone moves a weight by 0.4 %
            assert_close(lane(got, number), want, rtol=5e-2, atol=2e-2)
    moved = jax.tree.map(lambda x: np.any(np.asarray(x[0] != x[1])), got)
    assert any(jax.tree.leaves(moved))


def test_domain_is_a_conditional_choice():
    optimizer = OptimizerChoice("adamw", SGD)
    assert optimizer.domain == Choice({"adamw": KNOWN["adamw"][1], "sgd": {"learning_rate": LR, "momentum": MOMENTUM}})
    assert optimizer.domain.options == ("adamw", "sgd")


@pytest.mark.parametrize("name", KNOWN)
def test_known_optimizers_have_learning_rates(name):
    assert isinstance(KNOWN[name][1]["learning_rate"], LogUniform)


def test_equal_by_value():
    assert OptimizerChoice("adam", SGD) == OptimizerChoice("adam", SGD)
    assert hash(OptimizerChoice("adam", SGD)) == hash(OptimizerChoice("adam", SGD))
    schedule = schedules.cosine_decay_schedule
    others = [OptimizerChoice("adam"), OptimizerChoice(SGD, "adam"), OptimizerChoice("adam", SGD, name="o")]
    assert OptimizerChoice("adam", SGD) not in [*others, OptimizerChoice("adam", SGD, schedule=schedule)]
    with pytest.raises(AttributeError, match="name"):
        OptimizerChoice("adam").name = "other"


def test_learning_rate_goes_through_the_schedule():
    optimizer = OptimizerChoice(SGD, schedule=schedules.cosine_decay_schedule, name="rule")

    @jax.jit
    def traced(learning_rate, momentum, total_steps):
        return fit(optimizer({"rule": "sgd", "learning_rate": learning_rate, "momentum": momentum}, total_steps))

    want = jax.jit(lambda: fit(optax.sgd(optax.cosine_decay_schedule(0.1, 7), momentum=0.5)))()
    assert_close(traced(0.1, 0.5, 7), want)
    constant = jax.jit(lambda: fit(optax.sgd(0.1, momentum=0.5)))()
    with pytest.raises(AssertionError):
        assert_close(traced(0.1, 0.5, 7), constant)


def test_schedule_may_ask_for_hp():
    def schedule(learning_rate, total_steps, hp):
        return schedules.warmup_constant_schedule(0.0, learning_rate, hp["warmup"] * total_steps)

    optimizer = OptimizerChoice(SGD, schedule=schedule)
    hp = {"optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.0, "warmup": 0.5}
    want = jax.jit(lambda: fit(optax.sgd(optax.warmup_constant_schedule(0.0, 0.1, 4), momentum=0.0)))()
    assert_close(jax.jit(lambda: fit(optimizer(hp, 8)))(), want)


BAD = {
    "nothing": (lambda: OptimizerChoice(), ValueError, "needs at least one option, got none"),
    "unknown": (lambda: OptimizerChoice("adamm"), ValueError, "knows no optimizer 'adamm', did you mean 'adam'"),
    "twice": (lambda: OptimizerChoice("sgd", SGD), ValueError, "has 'sgd' more than once"),
    "a factory": (lambda: OptimizerChoice(optax.adam), TypeError, "needs names or dicts .name: .factory,"),
    "no pair": (lambda: OptimizerChoice({"a": optax.adam}), TypeError, "argument: domain}. for 'a', got <function"),
    "unknown argument": (
        lambda: OptimizerChoice({"a": (optax.adam, {"learning_rate": LR, "beta": MOMENTUM})}),
        ValueError,
        "The factory of 'a' can't be called with learning_rate, beta: got an unexpected keyword argument 'beta'",
    ),
    "missing argument": (
        lambda: OptimizerChoice({"a": (optax.adam, {})}),
        ValueError,
        "can't be called with nothing: missing a required argument: 'learning_rate'",
    ),
    "schedule": (lambda: OptimizerChoice("adam", schedule=0.1), TypeError, "schedule must be a function"),
    "schedule of nothing": (
        lambda: OptimizerChoice({"a": (optax.scale, {"step_size": LR})}, schedule=schedules.cosine_decay_schedule),
        ValueError,
        "has a schedule, but 'a' has no learning_rate",
    ),
    "no choice in the space": (
        lambda: OptimizerChoice("sgd")({"lr": 0.1}, 10),
        ValueError,
        "hp has no 'optimizer': the space of an OptimizerChoice needs {'optimizer': optimizer.domain}",
    ),
    "another choice in the space": (
        lambda: OptimizerChoice("sgd")({"optimizer": "adam"}, 10),
        ValueError,
        "hp.'optimizer'. is 'adam': the space of an OptimizerChoice needs",
    ),
    "constant missing": (
        lambda: OptimizerChoice("sgd")({"optimizer": "sgd", "learning_rate": 0.1}, 10),
        ValueError,
        "hp has no 'momentum', which 'sgd' needs",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_mistakes_are_told(what):
    call, error, message = BAD[what]
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("scheduled", [False, True], ids=["constant", "schedule"])
def test_tune_over_the_choice(scheduled):
    """Each trial ends where plain Optax does with its hyperparameters; weights start at 0, batches are all data."""
    schedule = schedules.cosine_decay_schedule if scheduled else None
    optimizer = OptimizerChoice("adamw", SGD, schedule=schedule)
    model = nn.Dense(1, kernel_init=nn.initializers.zeros)
    data = {"train": (X, Y), "validation": (X, Y), "batch_size": len(X)}
    task = jt.supervised(model, optimizer=optimizer, loss=optax.squared_error, **data)
    scheduler = jt.FullBudget(trials=6, steps=6)
    result = tune(task, {"optimizer": optimizer.domain}, scheduler=scheduler)
    assert {trial.hparams["optimizer"] for trial in result.trials} == {"adamw", "sgd"}
    for trial in result.trials:
        hparams = dict(trial.hparams)
        name = hparams.pop("optimizer")
        assert set(hparams) == {*(SGD if name == "sgd" else KNOWN)[name][1]}
        if scheduled:
            hparams["learning_rate"] = optax.cosine_decay_schedule(hparams["learning_rate"], 6)
        plain = {"sgd": optax.sgd, "adamw": optax.adamw}[name](**hparams)
        params = model.init(jax.random.key(0), X)
        loss = lambda params: jnp.mean((model.apply(params, X) - Y) ** 2)  # noqa: E731
        state = plain.init(params)
        for _ in range(6):
            updates, state = plain.update(jax.grad(loss)(params), state, params)
            params = optax.apply_updates(params, updates)
        np.testing.assert_allclose(trial.metrics["loss"], loss(params), rtol=1e-4)


# accumulate

INNER = {
    "sgd": lambda: optax.sgd(0.1, momentum=0.9),
    "adam with a schedule": lambda: optax.adam(optax.linear_schedule(0.1, 0.0, 5)),
}


@pytest.mark.parametrize(("inner", "dtype"), [*((name, jnp.float32) for name in INNER), ("sgd", jnp.bfloat16)])
def test_micro_batches_equal_one_big_batch(inner, dtype):
    """12 micro-batches of 4 in groups of 1 and 3, in one program with a traced number."""

    @jax.jit
    @jax.vmap
    def traced(every):
        return fit(accumulate(INNER[inner](), weaken(every)), dtype, steps=12, batch=4)

    every = jnp.array([1, 3])
    got = traced(every)
    near = {"rtol": 1e-3, "atol": 1e-5} if dtype == jnp.float32 else {"rtol": 5e-2, "atol": 5e-2}
    for number, count in enumerate(every.tolist()):
        big = jax.jit(lambda count=count: fit(INNER[inner](), dtype, steps=12 // count, batch=4 * count))()
        assert_close(lane(got, number), big, **near)


def test_a_float_number_of_micro_batches():
    """As a Choice of numbers or a Uniform gives; below 1 it counts as 1."""
    run = jax.jit(lambda every: fit(accumulate(optax.sgd(0.1), every), steps=6, batch=4))
    assert_close(run(2.9), run(2))
    assert_close(run(0.0), run(1))
    with pytest.raises(AssertionError):
        assert_close(run(2), run(1))


def test_accumulated_updates_may_be_scaled_on_a_plateau():
    optimizer = accumulate(optax.chain(optax.sgd(1.0), reduce_on_plateau(0.5, 1)), 2)
    state = observe(observe(optimizer.init(jnp.zeros(())), 1.0), 1.0)
    updates = []
    for _ in range(4):
        update, state = optimizer.update(jnp.ones(()), state, jnp.zeros(()), value=1.0)
        updates.append(update.item())
    assert updates == [0.0, -0.5, 0.0, -0.5]


@pytest.mark.parametrize("every", [0, -1, 1.5, np.inf, np.nan])
def test_no_part_of_a_micro_batch(every):
    with pytest.raises(ValueError, match="accumulate needs a whole number of micro-batches >= 1 as every, got "):
        accumulate(optax.sgd(0.1), every)


# kernels_only


class Linen(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.Conv(4, (3, 3))(x)
        x = nn.BatchNorm(use_running_average=False)(x).reshape(len(x), -1, 4)
        x = nn.MultiHeadDotProductAttention(2)(nn.LayerNorm()(x))
        return nn.Dense(2)(x)


class Nnx(nnx.Module):
    def __init__(self, rngs):
        self.conv = nnx.Conv(1, 4, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(4, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(2, 4, decode=False, rngs=rngs)
        self.layers = nnx.List([nnx.Linear(4, 4, rngs=rngs), nnx.LayerNorm(4, rngs=rngs)])


def linen_params():
    return Linen().init(jax.random.key(0), jnp.ones((2, 4, 4, 1)))["params"]


def nnx_params():
    return nnx.state(Nnx(nnx.Rngs(0)), nnx.Param)


@pytest.mark.parametrize("make", [linen_params, nnx_params])
def test_kernels_only_decays_kernels(make):
    params = make()
    mask = kernels_only(params)
    assert jax.tree.structure(mask) == jax.tree.structure(params)
    flat = {jax.tree_util.keystr(path): keep for path, keep in jax.tree_util.tree_leaves_with_path(mask)}
    assert flat == {path: "kernel" in path for path in flat}
    assert sum(flat.values()) == 6  # a filter, four matrices of attention, one of a dense layer


@pytest.mark.parametrize("make", [linen_params, nnx_params])
@pytest.mark.parametrize("scheduled", [False, True], ids=["constant", "schedule"])
def test_masked_decay_may_be_traced(make, scheduled):
    """Where gradients are zero AdamW only decays: kernels shrink by the product of lr * decay, the rest stays."""
    params = jax.tree.map(jnp.ones_like, make())

    def run(decay):
        decay = schedules.linear_schedule(decay, 0.0, 2) if scheduled else decay
        optimizer = optax.adamw(0.1, weight_decay=decay, mask=kernels_only)

        def step(carry, _):
            params, state = carry
            updates, state = optimizer.update(jax.tree.map(jnp.zeros_like, params), state, params)
            return (optax.apply_updates(params, updates), state), None

        return jax.lax.scan(step, (params, optimizer.init(params)), length=2)[0][0]

    after = jax.jit(jax.vmap(run))(jnp.array([0.5, 1.0]))
    for path, leaf in jax.tree_util.tree_leaves_with_path(after):
        for number, decay in enumerate([0.5, 1.0]):
            shrunk = (1 - 0.1 * decay) * (1 - 0.1 * decay / (2 if scheduled else 1))
            want = shrunk if "kernel" in jax.tree_util.keystr(path) else 1.0
            np.testing.assert_allclose(leaf[number], want, rtol=1e-6)
