"""The seam where hyperparameters become weak; every Optax factory on bfloat16 parameters with traced ones."""

import functools
import inspect
import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib as contrib
import pytest

from jaxtune.tasks.weak import weaken

NUM_LANES, NUM_STEPS = 3, 3

# "name variant" -> (hp -> optimizer, {hyperparameter: one value per lane}). An argument that is no key of hp
# is either left at its default or can't be traced; the reason then stands beside it.
LR = {"lr": [1e-1, 1e-2, 3e-3]}
B1 = {"b1": [0.5, 0.9, 0.95]}
B2 = {"b2": [0.9, 0.99, 0.999]}
EPS = {"eps": [1e-8, 1e-6, 1e-3]}
DECAY = {"decay": [0.0, 1e-3, 1e-1]}
MOMENTUM = {"momentum": [0.0, 0.5, 0.9]}


def named(factory, *names, **static):
    """A factory that takes `names` from hp: Optax's own names, and a few short ones."""
    short = {"lr": "learning_rate", "decay": "weight_decay", "rms_decay": "decay"}
    return lambda hp: factory(**{short.get(name, name): hp[name] for name in names}, **static)


FACTORIES = {
    "sgd": (named(optax.sgd, "lr"), LR),
    # nesterov is a Python bool in all factories: it picks one of two formulas while tracing.
    "sgd momentum": (named(optax.sgd, "lr", "momentum"), LR | MOMENTUM),
    "sgd nesterov": (named(optax.sgd, "lr", "momentum", nesterov=True), LR | MOMENTUM),
    "sign_sgd": (named(optax.sign_sgd, "lr"), LR),
    "signum": (named(optax.signum, "lr", "beta"), LR | {"beta": [0.5, 0.9, 0.95]}),
    # seed and key are static: they are the optimizer's own source of noise.
    "noisy_sgd": (
        named(optax.noisy_sgd, "lr", "eta", "gamma", key=0),
        LR | {"eta": [0.01, 0.1, 0.3], "gamma": [0.5, 0.55, 0.6]},
    ),
    "adam": (named(optax.adam, "lr", "b1", "b2", "eps"), LR | B1 | B2 | EPS),
    "nadam": (named(optax.nadam, "lr", "b1", "b2", "eps"), LR | B1 | B2 | EPS),
    "adamw": (named(optax.adamw, "lr", "b1", "b2", "eps", "decay"), LR | B1 | B2 | EPS | DECAY),
    "nadamw": (named(optax.nadamw, "lr", "b1", "b2", "eps", "decay"), LR | B1 | B2 | EPS | DECAY),
    "adamax": (named(optax.adamax, "lr", "b1", "b2", "eps"), LR | B1 | B2 | EPS),
    "adamaxw": (named(optax.adamaxw, "lr", "b1", "b2", "decay"), LR | B1 | B2 | DECAY),
    "amsgrad": (named(optax.amsgrad, "lr", "b1", "b2", "eps"), LR | B1 | B2 | EPS),
    "adabelief": (named(optax.adabelief, "lr", "b1", "b2", "eps"), LR | B1 | B2 | EPS),
    "radam": (
        named(optax.radam, "lr", "b1", "b2", "threshold"),
        LR | B1 | B2 | {"threshold": [4.5, 5.0, 6.0]},
    ),
    "yogi": (named(optax.yogi, "lr", "b1", "b2", "eps"), LR | B1 | B2 | EPS),
    "adan": (
        named(optax.adan, "lr", "b1", "b2", "b3", "decay"),
        LR | B1 | B2 | DECAY | {"b3": [0.9, 0.95, 0.99]},
    ),
    "lion": (named(optax.lion, "lr", "b1", "b2", "decay"), LR | B1 | B2 | DECAY),
    "lamb": (named(optax.lamb, "lr", "b1", "b2", "decay"), LR | B1 | B2 | DECAY),
    "lars": (
        named(optax.lars, "lr", "momentum", "decay", "trust_coefficient"),
        LR | MOMENTUM | DECAY | {"trust_coefficient": [0.5, 1.0, 2.0]},
    ),
    "fromage": (named(optax.fromage, "lr", "min_norm"), LR | {"min_norm": [1e-6, 1e-3, 1e-1]}),
    "novograd": (named(optax.novograd, "lr", "b1", "b2", "decay"), LR | B1 | B2 | DECAY),
    "adagrad": (
        named(optax.adagrad, "lr", "initial_accumulator_value", "eps"),
        LR | EPS | {"initial_accumulator_value": [0.1, 0.01, 1.0]},
    ),
    "adadelta": (
        named(optax.adadelta, "lr", "rho", "eps", "decay"),
        LR | DECAY | {"rho": [0.5, 0.9, 0.95], "eps": [1e-6, 1e-4, 1e-3]},
    ),
    # centered and bias_correction are Python bools, and momentum=None is another program than a number.
    "rmsprop": (
        named(optax.rmsprop, "lr", "rms_decay", "eps"),
        LR | EPS | {"rms_decay": [0.5, 0.9, 0.99]},
    ),
    "rmsprop centered": (
        named(optax.rmsprop, "lr", "rms_decay", "momentum", eps=0.1, centered=True, bias_correction=True),
        LR | MOMENTUM | {"rms_decay": [0.5, 0.9, 0.99]},
    ),
    # min_dim_size_to_factor decides shapes; decay_offset counts steps. weight_decay_rate=0 in a lane is fine.
    "adafactor": (
        named(optax.adafactor, "lr", "decay_rate", "weight_decay_rate", "clipping_threshold"),
        LR
        | {
            "decay_rate": [0.7, 0.8, 0.9],
            "weight_decay_rate": [0.0, 1e-3, 1e-1],
            "clipping_threshold": [0.5, 1.0, 2.0],
        },
    ),
    "sm3": (named(optax.sm3, "lr", "momentum"), LR | MOMENTUM),
    "rprop": (
        named(optax.rprop, "lr", "eta_minus", "eta_plus", "min_step_size", "max_step_size"),
        LR
        | {
            "eta_minus": [0.3, 0.5, 0.7],
            "eta_plus": [1.1, 1.2, 1.5],
            "min_step_size": [1e-6, 1e-4, 1e-3],
            "max_step_size": [0.1, 1.0, 50.0],
        },
    ),
    # variant is a string.
    "polyak_sgd": (
        named(optax.polyak_sgd, "max_learning_rate", "scaling", "f_min", "eps"),
        {
            "max_learning_rate": [1e-1, 1e-2, 1.0],
            "scaling": [0.5, 1.0, 2.0],
            "f_min": [0.0, 0.1, 0.2],
            "eps": [0.0, 1e-3, 1e-1],
        },
    ),
    "optimistic_gradient_descent": (
        named(optax.optimistic_gradient_descent, "lr", "alpha", "beta"),
        LR | {"alpha": [0.5, 1.0, 2.0], "beta": [0.5, 1.0, 2.0]},
    ),
    "optimistic_adam_v2": (
        named(optax.optimistic_adam_v2, "lr", "b1", "b2", "alpha"),
        LR | B1 | B2 | {"alpha": [0.5, 1.0, 2.0]},
    ),
    # ns_steps and ns_coeffs shape the Newton-Schulz loop.
    "muon": (
        named(contrib.muon, "lr", "beta", "decay", "adam_b1"),
        LR | DECAY | {"beta": [0.5, 0.9, 0.95], "adam_b1": [0.5, 0.9, 0.95]},
    ),
    "acprop": (named(contrib.acprop, "lr", "b1", "b2"), LR | B1 | B2),
    "ademamix": (
        named(contrib.ademamix, "lr", "b1", "b2", "alpha"),
        LR | B1 | B2 | {"alpha": [1.0, 2.0, 5.0]},
    ),
    "simplified_ademamix": (
        named(contrib.simplified_ademamix, "lr", "b1", "b2", "alpha", eps=0.1),
        LR | B1 | B2 | {"alpha": [0.0, 0.5, 1.0]},
    ),
    "adopt": (named(contrib.adopt, "lr", "b1", "b2"), LR | B1 | B2),
    "cocob": (
        named(contrib.cocob, "lr", "alpha", "decay"),
        LR | DECAY | {"alpha": [50.0, 100.0, 200.0]},
    ),
    "dadapt_adamw": (named(contrib.dadapt_adamw, "lr", "decay", estim_lr0=0.1), LR | DECAY),
    "dog": (named(contrib.dog, "lr", init_step=("heuristic", 0.1)), LR),
    "dowg": (named(contrib.dowg, "lr", init_estim_sq_dist=0.1), LR),
    "madgrad": (named(contrib.madgrad, "lr", "momentum", "decay"), LR | MOMENTUM | DECAY),
    "momo": (named(contrib.momo, "lr", "beta"), LR | {"beta": [0.5, 0.9, 0.95]}),
    "momo_adam": (named(contrib.momo_adam, "lr", "b1", "b2"), LR | B1 | B2),
    "prodigy": (named(contrib.prodigy, "lr", "decay", estim_lr0=0.1), LR | DECAY),
    "schedule_free_sgd": (named(contrib.schedule_free_sgd, "lr", "b1"), LR | B1),
    "schedule_free_adamw": (
        named(contrib.schedule_free_adamw, "lr", "b1", "b2", "eps", "decay"),
        LR | B1 | B2 | DECAY | EPS,
    ),
}

EXCLUDED = {
    "lbfgs": "needs the loss function itself: see test_updating",
    "sophia": "likewise",
    "dpsgd": "wants one gradient per example",
    "galore": "rank and update_proj_gap are shapes and counts; its base optimizer takes the hyperparameters",
    "optimistic_adam": "deprecated by Optax for optimistic_adam_v2",
    "schedule_free": "a wrapper; schedule_free_sgd and schedule_free_adamw stand for it",
}


def parameters():
    w = np.linspace(-1, 1, 12).reshape(4, 3)
    return {"w": jnp.asarray(w, jnp.bfloat16), "b": jnp.asarray([0.5, -0.25, 1.0], jnp.bfloat16)}


def loss(params):
    x = jnp.asarray(np.linspace(0.5, 1.5, 8).reshape(2, 4), jnp.bfloat16)
    return jnp.mean((x @ params["w"] + params["b"] - 0.3).astype(jnp.float32) ** 2)


def weak(hp):
    return {name: weaken(value) for name, value in hp.items()}


def arrays(hps):
    return {name: jnp.array(values, jnp.float32) for name, values in hps.items()}


def floats(hps, lane):
    """What the arrays hold, as Python floats."""
    return {name: float(np.float32(values[lane])) for name, values in hps.items()}


def start(factory, hp):
    optimizer = optax.with_extra_args_support(factory(hp))
    params = parameters()
    return optimizer, (params, optimizer.init(params))


def one_step(optimizer, carry):
    params, state = carry
    value, grads = jax.value_and_grad(loss)(params)
    updates, state = optimizer.update(grads, state, params, value=value)
    return optax.apply_updates(params, updates), state


def train(factory, hp):
    """A few steps as a scan, which refuses a carry that changes its dtype."""
    optimizer, carry = start(factory, hp)
    return jax.lax.scan(lambda c, _: (one_step(optimizer, c), None), carry, length=NUM_STEPS)[0]


def train_step_by_step(factory, hp):
    """The same outside jit, where nothing is fused and every operation rounds to bfloat16."""
    optimizer, carry = start(factory, hp)
    for _ in range(NUM_STEPS):
        carry = one_step(optimizer, carry)
    return carry


def numbers(tree):
    """The tree with its typed random keys (noisy_sgd keeps one) as plain integers."""
    is_key = lambda x: jnp.issubdtype(x.dtype, jax.dtypes.prng_key)  # noqa: E731
    return jax.tree.map(lambda x: jax.random.key_data(x) if is_key(x) else x, tree)


def error(a, b):
    """Largest difference of two leaves, in units of the last bfloat16 bit of the largest value in `b`."""
    a, b = (np.asarray(x, np.float64) for x in (a, b))
    return np.max(np.abs(a - b), initial=0) / (np.max(np.abs(b), initial=1e-30) * 2.0**-8)


def dtypes(tree):
    return jax.tree.map(lambda x: x.dtype, tree)


@pytest.mark.parametrize("name", FACTORIES)
def test_every_optax_factory_takes_traced_hyperparameters_on_bfloat16_parameters(name):
    factory, hps = FACTORIES[name]
    want = [train_step_by_step(factory, floats(hps, lane)) for lane in range(NUM_LANES)]

    # Under the same rounding weak scalars give the bits of Python floats.
    got_lane = train_step_by_step(factory, weak({key: values[1] for key, values in arrays(hps).items()}))
    jax.tree.map(np.testing.assert_array_equal, numbers(got_lane), numbers(want[1]))

    # A compiled program fuses operations and rounds elsewhere, which the state of some optimizers amplifies.
    got = jax.jit(jax.vmap(lambda hp: train(factory, weak(hp))))(arrays(hps))
    want = jax.tree.map(lambda *lanes: jnp.stack(lanes), *want)
    assert dtypes(got) == dtypes(want)
    params, state = jax.tree.map(error, numbers(got), numbers(want))
    assert max(jax.tree.leaves(params)) < 3
    assert max(jax.tree.leaves(state), default=0) < 8
    assert (got[0]["w"] != parameters()["w"]).any(), "this row trains nothing, so it compares nothing"


def test_the_table_has_every_optax_factory():
    public = {name: f for module in (optax, contrib) for name, f in vars(module).items() if is_factory(name, f)}
    assert set(public) - set(EXCLUDED) == {name.split()[0] for name in FACTORIES}


def is_factory(name, value):
    if name.startswith(("_", "scale_by")) or not isinstance(value, types.FunctionType | functools.partial):
        return False
    return bool({"learning_rate", "max_learning_rate"} & set(inspect.signature(value).parameters))


@pytest.mark.parametrize("name", ["sgd momentum", "adam", "adamw", "lion", "rmsprop", "lamb"])
def test_strong_hyperparameters_would_change_the_state_to_float32(name):
    factory, hps = FACTORIES[name]
    lane = {key: values[1] for key, values in arrays(hps).items()}
    with pytest.raises(TypeError, match="carry"):
        jax.eval_shape(lambda hp: train(factory, hp), lane)
    jax.eval_shape(lambda hp: train(factory, weak(hp)), lane)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.int32, jnp.uint8])
def test_weak_scalars_promote_like_python_numbers_of_their_kind(dtype):
    python = float if jnp.issubdtype(dtype, jnp.floating) else int
    # Indexing gives what the engine has: a strong scalar. jnp.asarray(3.0) would be weak already.
    strong = jnp.array([3, 4], dtype)[0]
    for transform in (lambda f: f, jax.jit, lambda f: lambda x: jax.eval_shape(f, x)):
        out = transform(weaken)(strong)
        assert out.weak_type
        assert out.dtype == jnp.result_type(python)
    assert weaken(strong) == 3
    for other in (jnp.bfloat16, jnp.float16, jnp.int8):
        operand = jnp.ones((), other)
        assert (operand * weaken(strong)).dtype == (operand * python(3)).dtype


def test_weaken_works_under_vmap_grad_and_make_jaxpr():
    out = jax.vmap(lambda x: weaken(x) * jnp.ones((), jnp.bfloat16))(jnp.arange(3, dtype=jnp.float32))
    assert out.dtype == jnp.bfloat16
    assert out.tolist() == [0.0, 1.0, 2.0]
    assert jax.grad(lambda x: weaken(x) ** 2)(jnp.float32(3)) == 6
    assert jax.grad(lambda x: weaken(x) ** 2)(jnp.float32(3)).dtype == jnp.float32
    assert jax.make_jaxpr(weaken)(jnp.float32(1)).out_avals[0].weak_type


def test_weak_scalars_survive_arithmetic_between_themselves():
    a, b = weaken(jnp.float32(0.1)), weaken(jnp.int32(7))
    assert (a * b).weak_type
    assert (1 - a).weak_type


def test_numbers_booleans_and_other_inputs():
    assert weaken(0.5).weak_type
    assert weaken(np.float64(0.5)).weak_type
    assert weaken(True).dtype == jnp.bool_
    with pytest.raises(ValueError, match=r"scalar, got shape \(2,\)"):
        weaken(jnp.ones(2))
    with pytest.raises(TypeError, match="complex64"):
        weaken(jnp.complex64(1))


def test_double_precision_is_kept():
    with jax.enable_x64(True):
        assert weaken(jnp.float64(0.1)) == 0.1
        assert weaken(jnp.float32(0.5)).dtype == jnp.float64
