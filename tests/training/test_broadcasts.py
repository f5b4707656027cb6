"""Accidents of broadcasting are refused; what means all pairs, or happens to broadcast something else, is not."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import lax

from jaxtune.training.broadcasts import check_not_broadcast

N = 6
SCALE = np.linspace(1, 2, 3).astype(np.float32)


def floats(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def integers(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.int32)


COLUMN, FLAT = floats(N, 1), floats(N)


def gaussian(o, t):
    mu, sigma = o[:, :1], jax.nn.softplus(o[:, 1:])
    return jnp.mean(jnp.log(sigma) + (t - mu) ** 2 / sigma**2)


def gaussian_of_columns(o, t):
    mu, log_sigma = jnp.split(o, 2, axis=-1)
    return -jnp.mean(jax.scipy.stats.norm.logpdf(t, mu, jnp.exp(log_sigma)))


def linear(o, t):
    return jnp.mean((o @ jnp.ones((3, 1)) + 1 - t) ** 2)


def in_branch(o, t):
    return lax.cond(jnp.sum(t) > 0, lambda o, t: jnp.mean((o - t) ** 2), lambda o, t: 0.0, o, t)


@jax.custom_jvp
def custom(o, t):
    return o - t


@jax.custom_vjp
def custom_backwards(o, t):
    return o - t


custom.defjvp(lambda primals, tangents: (custom(*primals), tangents[0]))
custom_backwards.defvjp(lambda o, t: (o - t, None), lambda _, g: (g[:, :1], g[0]))


def mse(o, t):
    return jnp.mean((o - t) ** 2)


ACCIDENTS = {
    "mse": mse,
    "mae": lambda o, t: jnp.mean(jnp.abs(t - o)),
    "per example": lambda o, t: o - t,
    "huber": lambda o, t: optax.huber_loss(o, t).mean(),
    "accuracy": lambda o, t: jnp.mean((o > 0) == t),
    "astype": lambda o, t: jnp.mean((o > 0).astype(jnp.int32) == t.astype(jnp.int32)),
    "where": lambda o, t: jnp.mean(jnp.where(t > 0, o, -o)),
    "where of targets": lambda o, t: jnp.mean(jnp.where(o > 0, t, 0.0)),
    "masked sum": lambda o, t: jnp.sum((o - 1) ** 2, where=t > 0),
    "sigmoid": lambda o, t: jnp.mean((jax.nn.sigmoid(o) - t) ** 2),
    "binary cross entropy": lambda o, t: optax.sigmoid_binary_cross_entropy(o, t).mean(),
    "softmax": lambda o, t: jnp.mean(jax.nn.log_softmax(o) * t),
    "hypot": lambda o, t: jnp.hypot(o, t).sum(),
    "logaddexp": lambda o, t: jnp.logaddexp(o, t).sum(),
    "maximum": lambda o, t: jnp.maximum(0, 1 - o * t).mean(),
    "clip": lambda o, t: jnp.clip(o, 0, t).mean(),
    "isclose": lambda o, t: jnp.mean(jnp.isclose(o, t)),
    "constant factor": lambda o, t: jnp.mean(jnp.array(2.0) * o - jnp.ones(1) * t),
    "centered": lambda o, t: jnp.mean((o - o.mean(0) - t) ** 2),
    "sorted": lambda o, t: jnp.mean(jnp.abs(jnp.sort(o, axis=0) - jnp.sort(t))),
    "cumulated": lambda o, t: jnp.mean((jnp.cumsum(o, axis=0) - jnp.cumsum(t)) ** 2),
    "differences": lambda o, t: jnp.mean((o[1:] - t[1:]) ** 2),
    "added to a right term": lambda o, t: jnp.mean((o[:, 0] - t) ** 2) + 0.1 * jnp.mean(jnp.abs(o - t)),
    "beside wanted pairs": lambda o, t: jnp.mean((o - o.T) * (t[:, None] - t)) + mse(o, t),
    "residual as weight": lambda o, t: jnp.mean(lax.stop_gradient(o[:, 0] - t) * o),
    "jit": jax.jit(mse),
    "jit of jit": jax.jit(lambda o, t: 2 * jax.jit(mse)(o, t)),
    "checkpoint": jax.checkpoint(mse),
    "cond": in_branch,
    "custom_jvp": lambda o, t: jnp.mean(custom(o, t) ** 2),
    "custom_vjp": lambda o, t: jnp.mean(custom_backwards(o, t) ** 2),
    "gradient": lambda o, t: jnp.sum(jax.grad(mse)(o, t) ** 2),
    "vmap over levels": lambda o, t: jnp.mean(jax.vmap(lambda q: jnp.maximum(q * (t - o), (q - 1) * (t - o)))(SCALE)),
}
OTHER_ACCIDENTS = {
    "targets with an axis more": (mse, FLAT, COLUMN),
    "weights": (lambda o, t: jnp.mean(t[1] * (o - t[0][:, None]) ** 2), COLUMN, (FLAT, FLAT)),
    "mask of rank two": (lambda o, t: jnp.sum(t[1] * (o[:, 0] - t[0]) ** 2), COLUMN, (FLAT, COLUMN)),
    "where of a mask": (lambda o, t: jnp.sum(jnp.where(t["mask"], o[:, 0], 0)), COLUMN, {"mask": COLUMN}),
    "dict of outputs": (lambda o, t: mse(o["value"], t), {"value": COLUMN, "policy": floats(N, 3)}, FLAT),
    "outputs with a number": (lambda o, t: mse(o[0], t) + o[1], (COLUMN, floats()), FLAT),
    "gaussian": (gaussian, floats(N, 2), FLAT),
    "gaussian of split columns": (gaussian_of_columns, floats(N, 2), FLAT),
    "classes against labels": (lambda o, t: jnp.mean(jnp.argmax(o, -1) == t), floats(N, 3), integers(N, 1)),
    "column against flat targets": (lambda o, t: mse(o, t.ravel()), COLUMN, COLUMN),
    "mean of outputs": (lambda o, t: mse(o.mean(1), t), floats(N, 3), COLUMN),
    "pixels": (mse, floats(N, 1, 3), floats(N, 3)),
    "two axes more": (mse, floats(N, 1, 1), FLAT),
    "product": (linear, floats(N, 3), FLAT),
    "integer outputs": (lambda o, t: jnp.mean(o == t), integers(N, 1), integers(N)),
}
OTHER_ACCIDENTS |= {name: (function, COLUMN, FLAT) for name, function in ACCIDENTS.items()}


@pytest.mark.parametrize("name", OTHER_ACCIDENTS)
def test_an_accident_is_refused(name):
    function, outputs, targets = OTHER_ACCIDENTS[name]
    jax.eval_shape(lambda *args: function(*args), outputs, targets)
    with pytest.raises(TypeError, match="loss combines .* every example with every other"):
        check_not_broadcast("loss", function, outputs, targets)


def contrastive(o, labels):
    """Supervised: all pairs of one label attract."""
    similar = (labels[:, None] == labels) & ~jnp.eye(len(labels), dtype=bool)
    o = o / jnp.linalg.norm(o, axis=1, keepdims=True)
    return -jnp.mean(similar * jax.nn.log_softmax(o @ o.T / 0.1))


def info_nce(o, t):
    logits = o @ t.T
    return optax.softmax_cross_entropy_with_integer_labels(logits, jnp.arange(len(o))).mean()


def clip(o, t):
    image, text = (x / jnp.linalg.norm(x, axis=-1, keepdims=True) for x in (o, t))
    logits = jnp.exp(0.1) * image @ text.T
    labels = jnp.eye(len(logits))
    return jnp.mean(optax.softmax_cross_entropy(logits, labels) + optax.softmax_cross_entropy(logits.T, labels))


def squared_distances(o, t):
    """As everybody writes it: [N, 1] + [N] - [N, N]."""
    return jnp.mean(jnp.sum(o**2, 1, keepdims=True) + jnp.sum(t**2, 1) - 2 * o @ t.T)


def energy_distance(o, t):
    def mean(x, y):
        return jnp.mean(jnp.linalg.norm(x[:, None, :] - y[None, :, :], axis=-1))

    return 2 * mean(o, t) - mean(o, o) - mean(t, t)


def crps(o, t):
    """Of an ensemble, o [N, M]."""
    return jnp.mean(jnp.abs(o - t[:, None])) - 0.5 * jnp.mean(jnp.abs(o[:, :, None] - o[:, None, :]))


def pinball(o, t):
    return jnp.mean(jnp.maximum(SCALE * (t - o), (SCALE - 1) * (t - o)))


def masked_words(o, t):
    losses = optax.softmax_cross_entropy_with_integer_labels(o, t["labels"])
    return jnp.sum(losses * t["mask"]) / jnp.sum(t["mask"])


def scanned(o, t):
    total, _ = lax.scan(lambda total, pair: (total + (pair[0][0] - pair[1]) ** 2, None), 0.0, (o, t))
    return total / len(t)


def class_weights(o, t):
    return jnp.mean(SCALE * optax.sigmoid_binary_cross_entropy(o, t))


def standardised(o, t):
    return jnp.mean(((o - SCALE) / SCALE - (t - SCALE) / SCALE) ** 2)


def correlation(o, t):
    o, t = o - o.mean(0), t - t.mean(0)
    return jnp.mean(jnp.sum(o * t, 0) / jnp.sqrt(jnp.sum(o**2, 0) * jnp.sum(t**2, 0)))


def cox(o, t):
    """Partial likelihood: the risk set of each death are those who live longer."""
    at_risk = t["time"] >= t["time"][:, None]
    risk = jax.nn.logsumexp(jnp.where(at_risk, o[:, 0], -jnp.inf), axis=1)
    return -jnp.mean(t["event"] * (o[:, 0] - risk))


def pairs_by_two_vmaps(o, t):
    return jax.vmap(lambda one: jax.vmap(lambda other: (one - other) ** 2)(t))(o)


def weighted_pairs(o, t):
    """A matrix of all pairs, the columns weighted by implicit promotion."""
    return jnp.mean((o - t[0][None, :]) ** 2 * t[1])


def kernel(o, t):
    matrix = jax.vmap(lambda x: lax.map(lambda y: jnp.exp(-((x - y) ** 2)), t))(t)
    return jnp.sum(matrix * o * t)


def printing(o, t):
    jax.debug.print("{}", o)
    return mse(o[:, 0], t)


WIDE = floats(N, 3)
FINE = {
    "column of outputs": (lambda o, t: mse(o[:, 0], t), COLUMN, FLAT),
    "squeezed": (lambda o, t: mse(o.squeeze(-1), t), COLUMN, FLAT),
    "column of targets": (lambda o, t: mse(o, t[:, None]), COLUMN, FLAT),
    "reshaped targets": (lambda o, t: mse(o, t.reshape(-1, 1)), COLUMN, FLAT),
    "both columns": (mse, COLUMN, COLUMN),
    "both flat": (mse, FLAT, FLAT),
    "class weights": (class_weights, WIDE, WIDE),
    "contrastive": (contrastive, WIDE, integers(N)),
    "contrastive of one number": (contrastive, COLUMN, integers(N)),
    "info_nce": (info_nce, WIDE, WIDE),
    "clip": (clip, WIDE, WIDE),
    "ranking": (lambda o, t: jnp.mean(jax.nn.softplus(-(o - o.T) * jnp.sign(t[:, None] - t))), COLUMN, FLAT),
    "pairs": (lambda o, t: o[:, 0][:, None] - t[None, :], COLUMN, FLAT),
    "pairs by None in front": (lambda o, t: o - t[None, :], COLUMN, FLAT),
    "pairs by None behind": (lambda o, t: o[:, 0][:, None] - t, COLUMN, FLAT),
    "pairs of flat ones": (lambda o, t: o[:, None] - t, FLAT, FLAT),
    "pairs by expand_dims": (lambda o, t: o - jnp.expand_dims(t, 0), COLUMN, FLAT),
    "pairs by atleast_2d": (lambda o, t: o - jnp.atleast_2d(t), COLUMN, FLAT),
    "pairs by reshape": (lambda o, t: o - t.reshape(1, -1), COLUMN, FLAT),
    "pairs by reshape behind": (lambda o, t: o.reshape(-1, 1) - t, FLAT, FLAT),
    "pairs by reshape of a column": (lambda o, t: o - t.reshape(1, -1), COLUMN, COLUMN),
    "pairs by T": (lambda o, t: o - t.T, COLUMN, COLUMN),
    "pairs by outer": (lambda o, t: jnp.subtract.outer(o[:, 0], t), COLUMN, FLAT),
    "pairs by broadcast_to": (lambda o, t: o - jnp.broadcast_to(t, (N, N)), COLUMN, FLAT),
    "pairs in where": (lambda o, t: jnp.mean(jnp.where(t[None, :] > 0, o, -o)), COLUMN, FLAT),
    "pairs by vmap": (lambda o, t: jnp.mean(jax.vmap(lambda one: jnp.abs(one - t))(o)), COLUMN, FLAT),
    "pairs by two vmaps": (pairs_by_two_vmaps, COLUMN, FLAT),
    "pairs by meshgrid": (lambda o, t: jnp.subtract(*jnp.meshgrid(o[:, 0], t)), COLUMN, FLAT),
    "weighted pairs": (weighted_pairs, COLUMN, (FLAT, FLAT)),
    "quadratic form": (lambda o, t: jnp.sum((1 - jnp.eye(N)) * o * t), COLUMN, FLAT),
    "rows of pairs": (lambda o, t: jnp.sum((t[:, None] == t) * o), COLUMN, FLAT),
    "kernel": (kernel, COLUMN, FLAT),
    "squared distances": (squared_distances, WIDE, WIDE),
    "energy distance": (energy_distance, WIDE, WIDE),
    "crps": (crps, WIDE, FLAT),
    "quantiles": (lambda o, t: pinball(o, t[:, None]), WIDE, FLAT),
    "quantiles of columns": (pinball, WIDE, COLUMN),
    "integer labels": (lambda o, t: optax.softmax_cross_entropy_with_integer_labels(o, t).mean(), WIDE, integers(N)),
    "words": (masked_words, floats(N, 4, 7), {"labels": integers(N, 4), "mask": floats(N, 4)}),
    "accuracy": (lambda o, t: jnp.mean(jnp.argmax(o, -1) == t), WIDE, integers(N)),
    "centered outputs": (lambda o, t: mse(o - o.mean(0), t - t.mean(0)), WIDE, WIDE),
    "correlation": (correlation, WIDE, WIDE),
    "standardised": (standardised, WIDE, WIDE),
    "first example": (lambda o, t: jnp.mean(o[:1] - t) + jnp.mean(o[0] - t), COLUMN, FLAT),
    "cox": (cox, COLUMN, {"time": FLAT, "event": FLAT}),
    "scan": (scanned, COLUMN, FLAT),
    "per example by vmap": (lambda o, t: jax.vmap(lambda o, t: jnp.mean((o - t) ** 2))(o, t), COLUMN, FLAT),
    "no targets": (lambda o, t: jnp.mean(o**2), COLUMN, None),
    "mean of all outputs": (lambda o, t: jnp.mean(o - t.mean()) + jnp.mean(o.mean(0) - t), COLUMN, FLAT),
    "printing": (printing, COLUMN, FLAT),
    "targets only": (lambda o, t: jnp.mean(o * (t[0] * t[1]).mean(1)), FLAT, (COLUMN, FLAT)),
    "codes": (lambda o, t: jnp.min(jnp.abs(o["codes"] - t), 0), {"codes": floats(4, 1), "value": COLUMN}, FLAT),
    "indexed": (lambda o, t: jnp.mean(o[t] - t), COLUMN, integers(N)),
    "outputs only": (lambda o, t: jnp.mean(o - o[:, 0]), COLUMN, FLAT),
}


@pytest.mark.parametrize("name", FINE)
def test_anything_else_passes(name):
    function, outputs, targets = FINE[name]
    jax.eval_shape(lambda *args: function(*args), outputs, targets)
    check_not_broadcast("loss", function, outputs, targets)


@pytest.mark.parametrize("name", sorted(FINE.keys() - {"pairs by vmap"}))
def test_it_passes_beside_implicit_promotion_of_something_else(name):
    """That JAX can forbid promotion proves nothing here."""
    function, outputs, targets = FINE[name]
    check_not_broadcast("loss", lambda o, t: (function(o, t), jnp.ones((2, 3)) * jnp.ones(3)), outputs, targets)


@pytest.mark.parametrize("name", ["pairs", "pairs by None in front", "pairs by None behind", "contrastive", "ranking"])
def test_pairs_pass_whatever_jax_calls_its_functions(name, monkeypatch):
    monkeypatch.setattr("jaxtune.training.broadcasts._ADDS_AXES", set())
    check_not_broadcast("loss", *FINE[name])


def test_the_sentence():
    with pytest.raises(TypeError) as error:
        check_not_broadcast("metric 'mse'", mse, COLUMN, FLAT)
    assert str(error.value) == (
        "metric 'mse' combines outputs [N, 1] with targets [N] into [N, N], every example with every other; give both "
        "the same shape (`outputs[:, 0]` or `targets[:, None]`), or, if every output is meant to meet every target, "
        "say so by `targets[None, :]`."
    )


@pytest.mark.parametrize(
    ("case", "sentence"),
    [
        ((mse, FLAT, COLUMN), r"outputs \[N\] with targets \[N, 1\] .*`targets\[:, 0\]` or `outputs\[:, None\]`"),
        ((mse, floats(N, 1, 3), WIDE), r"outputs \[N, 1, 3\] with targets \[N, 3\] into \[N, N, 3\]"),
        ((mse, floats(N, 3, 1), FLAT), r"into \[N, 3, N\].*\(`targets\[:, None, None\]`\).*`targets\[None, None, :\]`"),
        (OTHER_ACCIDENTS["gaussian"], r"f\(outputs\) \[N, 1\] with targets \[N\]"),
        (OTHER_ACCIDENTS["where"], r"outputs \[N, 1\] with targets \[N\] into \[N, N\]"),
        (OTHER_ACCIDENTS["weights"], r"outputs \[N, 1\] with targets\[1\] \[N\]"),
        (OTHER_ACCIDENTS["dict of outputs"], r"outputs\['value'\] \[N, 1\] with targets \[N\]"),
    ],
)
def test_the_sentence_names_what_met(case, sentence):
    with pytest.raises(TypeError, match=sentence):
        check_not_broadcast("loss", *case)


def test_what_is_advised_passes():
    for advised in (lambda o, t: mse(o[:, 0], t), lambda o, t: mse(o, t[:, None]), lambda o, t: mse(o, t[None, :])):
        check_not_broadcast("loss", advised, COLUMN, FLAT)


def test_values_of_an_outer_trace():
    """The same function twice: nothing is remembered of the first trace."""

    @jax.jit
    def outer(weight, o, t):
        def right(o, t):
            return jnp.mean(weight * (o[:, 0] - t) ** 2)

        check_not_broadcast("loss", right, o, t)
        with pytest.raises(TypeError, match="loss combines"):
            check_not_broadcast("loss", lambda o, t: weight * mse(o, t), o, t)
        return right(o, t) + jax.vmap(lambda w: jnp.sum(w * (right(o, t))))(jnp.ones(2))[0]

    assert outer(2.0, jnp.ones((N, 1)), jnp.zeros(N)) == 4
    assert outer(jnp.float16(1), jnp.ones((N, 1)), jnp.zeros(N)) == 2


def test_arrays_will_do():
    with pytest.raises(TypeError, match="loss combines"):
        check_not_broadcast("loss", mse, np.zeros((8, 1)), jnp.zeros(8))
    check_not_broadcast("loss", mse, np.zeros((8, 1)), jnp.zeros((8, 1)))


def test_refused_every_time():
    """JAX remembers what it traced of inner functions."""
    inner = jax.jit(lambda o, t: jnp.mean(jnp.where(t > 0, o - t, 0)))
    for _ in range(3):
        with pytest.raises(TypeError, match="loss combines"):
            check_not_broadcast("loss", lambda o, t: inner(o, t), COLUMN, FLAT)


def test_a_function_that_changes():
    """JAX remembers what it traced of the same function."""
    columns = [0]

    def loss(o, t):
        return mse(o[:, *columns], t)

    check_not_broadcast("loss", loss, COLUMN, FLAT)
    columns.clear()
    with pytest.raises(TypeError, match="loss combines"):
        check_not_broadcast("loss", loss, COLUMN, FLAT)


@pytest.mark.parametrize("function", [lambda o, t: o @ t @ o, lambda o, t: 1 / 0, lambda o, t: float(o[0, 0])])
def test_a_function_that_fails_is_left_to_its_caller(function):
    check_not_broadcast("loss", function, COLUMN, FLAT)


def test_the_setting_is_left_alone():
    before = jax.config.jax_numpy_rank_promotion
    with pytest.raises(TypeError, match="loss combines"):
        check_not_broadcast("loss", mse, COLUMN, FLAT)
    assert jax.config.jax_numpy_rank_promotion == before
