"""Stock Flax layers take a traced dropout rate, and do with it what they do with a float."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxtune.tasks.weak import weaken
from jaxtune.training.rate import rate

pytestmark = pytest.mark.filterwarnings("ignore:SelfAttention:DeprecationWarning")

# Compiles many times faster than threefry, and these tests compile a lot; the layers can't tell.
KEY = jax.random.key(0, impl="unsafe_rbg")
X = jax.random.normal(jax.random.key(1), (5, 7, 8))
RATES = [0.1, 0.9]


def kernel(key, shape, dtype, **_):
    """Weights without a random draw, again for the compile time."""
    return jnp.sin(jnp.arange(np.prod(shape), dtype=dtype)).reshape(shape)


def linen_dropout(r, x=X, key=KEY):
    return nn.Dropout(r, deterministic=False).apply({}, x, rngs={"dropout": key})


def remat_dropout(r, x=X, key=KEY):
    return nn.remat(nn.Dropout)(r, deterministic=False).apply({}, x, rngs={"dropout": key})


def linen_attention(r, x=X, key=KEY, kind=nn.MultiHeadDotProductAttention, **settings):
    layer = kind(num_heads=2, dropout_rate=r, deterministic=False, kernel_init=kernel, **settings)
    variables = kind(num_heads=2, kernel_init=kernel).init(KEY, x)
    return layer.apply(variables, x, rngs={"dropout": key})


def linen_unshared_attention(r, x=X, key=KEY):
    return linen_attention(r, x, key, broadcast_dropout=False)


def linen_self_attention(r, x=X, key=KEY):
    return linen_attention(r, x, key, kind=nn.SelfAttention)


def nnx_dropout(r, x=X, key=KEY):
    return nnx.Dropout(r, deterministic=False, rngs=nnx.Rngs(dropout=key))(x)


def nnx_attention(r, x=X, key=KEY):
    settings = {"deterministic": False, "decode": False, "kernel_init": kernel, "rngs": nnx.Rngs(key)}
    return nnx.MultiHeadAttention(2, 8, dropout_rate=r, **settings)(x)


LAYERS = [
    linen_dropout,
    remat_dropout,
    linen_attention,
    linen_unshared_attention,
    linen_self_attention,
    nnx_dropout,
    nnx_attention,
]
every_layer = pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.__name__)


@every_layer
def test_results_have_the_bits_of_a_float_rate(layer):
    traced = jax.jit(lambda r: layer(rate(r)))
    lanes = jax.jit(jax.vmap(lambda r: layer(rate(r))))(jnp.array(RATES))
    for value, lane in zip(RATES, lanes, strict=True):
        value = float(np.float32(value))  # the float that the array holds; 0.1 itself has no float32
        want = jax.jit(layer, static_argnums=0)(value)
        got = traced(value)
        assert got.dtype == want.dtype
        np.testing.assert_array_equal(got, want)
        np.testing.assert_allclose(lane, want, rtol=1e-5, atol=1e-6)  # a batched matmul rounds differently
        assert not np.array_equal(want, layer(0.0)), "dropout is not active in this layer"


@every_layer
def test_rate_zero_keeps_everything(layer):
    got = jax.jit(lambda r: layer(rate(r)))(jnp.float32(0))
    np.testing.assert_allclose(got, layer(0.0), rtol=1e-6, atol=1e-6)  # nnx takes another kernel at rate 0.0


@every_layer
def test_values_and_gradients_are_finite_from_zero_to_one(layer):
    @jax.jit
    @jax.value_and_grad
    def loss(arguments):
        r, x = arguments
        return jnp.sum(layer(rate(r), x) ** 2)

    for r in (0.0, 0.5, 0.999999, 1.0):
        value, gradients = loss((jnp.float32(r), X))
        assert np.isfinite(value)
        assert all(np.isfinite(gradient).all() for gradient in gradients)


def random_draws(jaxpr):
    """The output shapes of every draw of random bits, in nested programs too."""
    for equation in jaxpr.eqns:
        if "random_bits" in equation.primitive.name or "threefry" in equation.primitive.name:
            yield from (variable.aval.shape for variable in equation.outvars)
        for inner in jax.tree.leaves(equation.params, is_leaf=lambda p: hasattr(p, "eqns")):
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns"):
                yield from random_draws(inner)


@every_layer
def test_lanes_share_one_draw(layer):
    num_lanes = 11  # occurs in no other shape
    together = jax.make_jaxpr(jax.vmap(lambda r: layer(rate(r))))(jnp.linspace(0.1, 0.9, num_lanes))
    one = jax.make_jaxpr(lambda r: layer(rate(r)))(jnp.float32(0.5))
    assert list(random_draws(together.jaxpr)) == list(random_draws(one.jaxpr))
    assert any(np.prod(shape) > 1 for shape in random_draws(one.jaxpr))


def test_draws_per_lane_would_be_noticed():
    lanes = jax.make_jaxpr(jax.vmap(lambda r, key: linen_dropout(rate(r), key=key)))
    jaxpr = lanes(jnp.linspace(0.1, 0.9, 11), jax.random.split(KEY, 11))
    assert any(11 in shape for shape in random_draws(jaxpr.jaxpr))


@pytest.mark.parametrize("weak", [True, False])
@pytest.mark.parametrize("layer", [linen_dropout, nnx_dropout])
def test_bfloat16_activations_stay_bfloat16(layer, weak):
    x = X.astype(jnp.bfloat16)
    out = jax.jit(lambda r: layer(rate(weaken(r) if weak else r), x))(jnp.float32(0.5))
    assert out.dtype == jnp.bfloat16


class Linen(nn.Module):
    dropout: float = 0.0

    @nn.compact
    def __call__(self, x, train):
        x = nn.Dense(8)(x)
        x = nn.remat(nn.Dropout)(self.dropout, deterministic=not train)(x)
        return nn.MultiHeadDotProductAttention(2, dropout_rate=self.dropout, deterministic=not train)(x)


class Nnx(nnx.Module):
    def __init__(self, dropout, rngs):
        self.linear = nnx.Linear(8, 8, rngs=rngs)
        self.dropout = nnx.Dropout(dropout, rngs=rngs)

    def __call__(self, x):
        return self.dropout(self.linear(x))


def test_a_linen_module_carries_the_rate_as_an_attribute():
    variables = Linen().init(KEY, X, train=False)

    def loss(variables, r):
        return jnp.sum(Linen(rate(r)).apply(variables, X, train=True, rngs={"dropout": KEY}) ** 2)

    gradients = jax.jit(jax.vmap(jax.grad(loss), in_axes=(None, 0)))(variables, jnp.array(RATES))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))

    def evaluate(r):
        module = Linen(rate(r))
        assert module == module.clone()
        assert "rate(" in repr(module)
        return module.apply(module.init(KEY, X, train=False), X, train=False)

    np.testing.assert_allclose(
        jax.jit(evaluate)(jnp.float32(0.5)), Linen().apply(variables, X, train=False), rtol=1e-5, atol=1e-6
    )


def test_an_nnx_module_keeps_the_rate_out_of_its_state():
    def loss(r):
        model = Nnx(rate(r), nnx.Rngs(0))
        graph, state = nnx.split(model)
        assert {leaf.dtype.name for leaf in jax.tree.leaves(state)} <= {"float32", "uint32", "key<fry>"}
        assert not any("rate" in map(str, path) for path, _ in nnx.to_flat_state(state))
        model = nnx.merge(graph, state)
        _, gradients = nnx.value_and_grad(lambda model: jnp.sum(model(X) ** 2))(model)
        return nnx.to_pure_dict(gradients)

    gradients = jax.jit(jax.vmap(loss))(jnp.array(RATES))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))


def test_known_numbers_pass_unchanged():
    for number in (0, 1, 0.0, 0.3, 1.0, np.float32(0.3), np.float64(0.3)):
        assert rate(number) is number


def test_branches_are_answered_as_a_number_between_zero_and_one():
    def check(x):
        r = rate(x)
        assert rate(r) is r
        answers = [
            r > 0.0,
            r >= 0,
            r < 1,
            r <= 1.0,
            r != 0.0,
            r != 1.0,
            0.0 < r < 1.0,
        ]
        assert all(answer is True for answer in answers)
        assert r
        assert hash(r) == hash(r)
        assert r == r
        assert r != rate(x * 1)
        assert isinstance(r > 0.5, jax.Array)
        return r > 0.5, r <= 0.25

    assert [bool(answer) for answer in jax.jit(check)(jnp.float32(0.25))] == [False, True]


def test_arithmetic_gives_weak_arrays():
    def compute(x):
        r = rate(x)
        values = [1.0 - r, 1 - r, r - 1, 2 * r, r * 2, r + r, 1 / r, r / 2, r**2, 2**r, -r, abs(r)]
        values += [np.float32(1) - r, jnp.asarray(r), jnp.log1p(-jnp.asarray(r))]
        assert all(isinstance(value, jax.Array) for value in values)
        assert (1.0 - r).weak_type
        return values

    got = jax.jit(compute)(jnp.float32(0.25))
    want = [
        0.75,
        0.75,
        -0.75,
        0.5,
        0.5,
        0.5,
        4,
        0.125,
        0.0625,
        2**0.25,
        -0.25,
        0.25,
        0.75,
        0.25,
        np.log(0.75),
    ]
    np.testing.assert_allclose(got, want, rtol=1e-6)


def test_bad_rates_are_refused_with_a_sentence():
    for number in (-0.1, 1.5, float("nan")):
        with pytest.raises(ValueError, match=r"rate needs a value in \[0, 1\], got"):
            rate(number)
    with pytest.raises(ValueError, match=r"rate needs a scalar, got shape \(3,\)"):
        rate(jnp.ones(3))


def test_a_number_is_asked_for_in_vain():
    with pytest.raises(jax.errors.ConcretizationTypeError):
        jax.jit(lambda x: float(rate(x)))(jnp.float32(0.5))
    assert float(rate(jnp.float32(0.5))) == 0.5
