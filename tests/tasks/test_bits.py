import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax.extend.core import jaxpr_as_fun
from scipy import stats

from jaxtune.tasks.cpu.bits import RULES, _random_bits, _threefry
from jaxtune.tasks.cpu.rewriting import rewritten as _rewritten

KEY = jax.random.key(7)
STEPS = 32
SIZE = 2**14
LIMIT = 6.5  # standard deviations; the inputs are fixed, so a test passes always or never


def written_out(closed):
    return _rewritten(closed, RULES)


def rewritten(function, *args):
    """A function with its draws written out."""
    return jax.jit(jaxpr_as_fun(written_out(jax.make_jaxpr(function)(*args))))


def _dropout_gradient(key):
    layer = nn.Dropout(0.5, deterministic=False)
    return jax.grad(lambda x: (layer.apply({}, x, rngs={"dropout": key}) ** 2).sum())(jnp.ones((4, 8)))


def _loop(key):
    return jax.lax.fori_loop(0, 3, lambda i, x: x + jax.random.normal(jax.random.fold_in(key, i), (3,)), jnp.zeros(3))


DRAWS = {
    "uint8": lambda key: jax.random.bits(key, (5, 7), jnp.uint8),
    "uint16": lambda key: jax.random.bits(key, (5, 7), jnp.uint16),
    "scalar": lambda key: jax.random.bits(key),
    "empty": lambda key: jax.random.bits(key, (3, 0)),
    "uniform": lambda key: jax.random.uniform(key, (64, 128)),
    "bfloat16": lambda key: jax.random.normal(key, (9,), jnp.bfloat16),
    "permutation": lambda key: jax.random.permutation(key, 100),
    "categorical": lambda key: jax.random.categorical(key, jnp.zeros((4, 5))),
    "randint": lambda key: jax.random.randint(key, (9,), 0, 100),
    "poisson": lambda key: jax.random.poisson(key, 3.0, (4,)),
    "many keys": lambda key: jax.vmap(lambda k: jax.random.normal(k, (3,)))(jax.random.split(key, 4)),
    "loop": _loop,
    "cond": lambda key: jax.lax.cond(key_bit(key), lambda: jnp.zeros(3), lambda: jax.random.normal(key, (3,))),
    "remat": lambda key: jax.grad(jax.checkpoint(lambda x: (jax.random.normal(key, (9,)) * x**2).sum()))(jnp.ones(9)),
    "linen gradient": _dropout_gradient,
    "legacy key": lambda key: jax.random.normal(jax.random.key_data(key), (3,)),
    "mixed keys": lambda key: jax.random.uniform(jnp.where(key_bit(key), key, jax.random.key(0))),
}


def key_bit(key):
    """Something that the trace can't know."""
    return jax.random.key_data(key)[1] % 2 == 0


@pytest.mark.parametrize("name", DRAWS)
def test_same_bits_as_jax(name):
    """Bits are equal, and so are numbers up to how XLA fuses their arithmetic."""
    (ours,) = rewritten(DRAWS[name], KEY)(KEY)
    expected = jax.jit(DRAWS[name])(KEY)
    assert ours.dtype == expected.dtype
    exact = jnp.issubdtype(ours.dtype, jnp.integer)
    np.testing.assert_allclose(ours.astype(float), expected.astype(float), rtol=0 if exact else 1e-6, atol=1e-7)
    assert "key<fryu>" in str(written_out(jax.make_jaxpr(DRAWS[name])(KEY)))


def test_64_bits():
    with jax.enable_x64(True):
        draw = lambda key: jax.random.bits(key, (9,), jnp.uint64)  # noqa: E731
        np.testing.assert_array_equal(rewritten(draw, KEY)(KEY)[0], draw(KEY))


def test_the_older_order_of_bits_is_followed_too():
    with jax.threefry_partitionable(False):
        draw = lambda key: jax.random.bits(key, (9,))  # noqa: E731
        np.testing.assert_array_equal(rewritten(draw, KEY)(KEY)[0], draw(KEY))
        older = draw(KEY)
    assert (older != jax.random.bits(KEY, (9,))).any()


@pytest.mark.parametrize("impl", ["rbg", "philox2x32"])
def test_other_generators_stay(impl):
    key = jax.random.key(0, impl=impl)
    traced = jax.make_jaxpr(lambda key: jax.random.normal(key, (3,)))(key)
    assert str(written_out(traced)) == str(traced)


def test_keys_stay_those_of_jax():
    traced = written_out(jax.make_jaxpr(lambda key: (jax.random.split(key), jax.random.normal(key)))(KEY))
    assert traced.out_avals[0].dtype == KEY.dtype


def test_too_many_numbers_are_refused():
    with pytest.raises(ValueError, match=r"up to 2\*\*32 numbers"):
        jax.eval_shape(lambda data: _random_bits(data, 32, (2**17, 2**16)), jax.random.key_data(KEY))


def step_draws():
    """uint32[STEPS, SIZE]: the draws of consecutive steps."""
    keys = [jax.random.key_data(jax.random.fold_in(KEY, step)) for step in range(STEPS)]
    return np.stack([np.asarray(_random_bits(key, 32, (SIZE,))) for key in keys])


def seed_draws():
    """The same of consecutive seeds, whose keys differ in their last bits only."""
    keys = [jnp.array([0, seed], jnp.uint32) for seed in range(STEPS)]
    return np.stack([np.asarray(_random_bits(key, 32, (SIZE,))) for key in keys])


def weak_draws():
    """What a weak generator makes of them."""
    return (np.arange(SIZE, dtype=np.uint32) * np.uint32(0x9E3779B9)) ^ np.arange(STEPS, dtype=np.uint32)[:, None]


def chi_square(values, cells):
    """Standard deviations by which the counts of equally likely cells miss what is expected."""
    counts = np.bincount(values.ravel(), minlength=cells)
    p = stats.chisquare(counts).pvalue
    return abs(stats.norm.ppf(np.clip(p, 1e-300, 1 - 1e-16)))


def bytes_uniform(bits):
    return max(chi_square((bits >> shift) & 255, 256) for shift in range(0, 32, 8))


def neighbours_equidistributed(bits):
    triples = (bits[:, : SIZE // 3 * 3] >> 28).reshape(-1, 3) @ np.array([256, 16, 1], np.uint32)
    return chi_square(triples.astype(np.int64), 4096)


def correlation(x, y):
    x, y = x / 2.0**32 - 0.5, y / 2.0**32 - 0.5
    return abs(12 * np.mean(x * y) * np.sqrt(x.size))


def neighbours_uncorrelated(bits):
    return max(correlation(bits[:, :-lag], bits[:, lag:]) for lag in (1, 2, 3, 64))


def keys_uncorrelated(bits):
    return correlation(bits[:-1], bits[1:])


def masks_uncorrelated(bits):
    """Dropout masks of consecutive keys, at a rate of 1/2."""
    agree = (bits[:-1] ^ bits[1:]) >> 31
    return abs(np.mean(agree) - 0.5) * 2 * np.sqrt(agree.size)


def bits_balanced_between_keys(bits):
    """Each bit differs between the same numbers of consecutive keys half of the time."""
    differ = bits[:-1] ^ bits[1:]
    return max(abs(np.mean((differ >> bit) & 1) - 0.5) * 2 * np.sqrt(differ.size) for bit in range(32))


def gaps_geometric(bits):
    """Distances between numbers in the first quarter of the range."""
    gaps = np.diff(np.flatnonzero((bits >> 30).ravel() == 0))
    counts = np.bincount(np.minimum(gaps, 16), minlength=17)[1:]
    expected = len(gaps) * np.append(0.25 * 0.75 ** np.arange(15), 0.75**15)
    p = stats.chisquare(counts, expected).pvalue
    return abs(stats.norm.ppf(np.clip(p, 1e-300, 1 - 1e-16)))


QUALITIES = [
    bytes_uniform,
    neighbours_equidistributed,
    neighbours_uncorrelated,
    keys_uncorrelated,
    masks_uncorrelated,
    bits_balanced_between_keys,
    gaps_geometric,
]


@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize("draws", [step_draws, seed_draws])
def test_quality(quality, draws):
    assert quality(draws()) < LIMIT


@pytest.mark.parametrize("quality", QUALITIES)
def test_a_weak_generator_fails(quality):
    assert quality(weak_draws()) > LIMIT


def test_avalanche():
    """Each bit of the key and of the position flips each bit of the number half of the time."""
    rng = np.random.default_rng(0)
    words = rng.integers(0, 2**32, (3, SIZE), dtype=np.uint32)

    def number(words):
        first, second, low = jnp.asarray(words)
        high, low = _threefry((first, second), jnp.zeros_like(low), low)
        return np.asarray(high ^ low)

    before = number(words)
    for word in range(3):
        for bit in range(32):
            changed = words.copy()
            changed[word] ^= np.uint32(1 << bit)
            flips = ((before ^ number(changed))[:, None] >> np.arange(32, dtype=np.uint32)) & 1
            assert np.abs(flips.mean(0) - 0.5).max() * 2 * np.sqrt(SIZE) < LIMIT


def test_normal_numbers_are_normal():
    (ours,) = rewritten(lambda key: jax.random.normal(key, (2**16,)), KEY)(KEY)
    assert stats.kstest(np.asarray(ours), "norm").pvalue > 1e-6
