import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxtune.samplers import axes, gaussian_process as gp
from jaxtune.samplers.matrices import factor, inverse
from jaxtune.spaces.domains import Choice, Uniform
from jaxtune.spaces.space import Space

SPACE = Space.of({"x": Uniform(0, 1), "y": Uniform(0, 1), "act": Choice(("a", "b", "c"))})
RANDOM = np.random.default_rng(0)
POINTS = np.asarray(axes.canonical(SPACE, RANDOM.random((30, 3))))
SCALES = gp.Scales(*(np.log(np.asarray(x, np.float32)) for x in ([0.3, 0.6, 1.5], 2.0, 1.2, 0.2)))


def rows(values, *, padding=0, variances=None, log_steps=None):
    number = len(values)
    fields = (POINTS[:number], np.log([1.0, 3, 9])[np.arange(number) % 3] if log_steps is None else log_steps, values)
    variances = np.zeros(number) if variances is None else variances
    junk = np.full(padding, 0.7)
    points = np.concatenate([fields[0], np.full((padding, 3), 0.7)])
    others = [np.concatenate([field, junk]) for field in (*fields[1:], variances)]
    return gp.Rows(*(jnp.asarray(a, jnp.float32) for a in (points, *others)), jnp.arange(number + padding) < number)


def by_numpy(observed, points, log_step):
    """The textbook formulas in float64."""
    lengths, rung, amplitude, noise = (np.exp(np.asarray(scale, np.float64)) for scale in SCALES)

    def covariance(a, b, gap):
        squares = (a[:, None, :2] - b[None, :, :2]) ** 2
        squares = np.concatenate([squares, (a[:, None, 2:] != b[None, :, 2:]) * 1.0], axis=2)
        r = np.sqrt(5 * (squares / lengths**2).sum(axis=2))
        return amplitude**2 * (1 + r + r**2 / 3) * np.exp(-r) * np.exp(-gap / rung)

    x, s, y, v, _ = (np.asarray(field, np.float64) for field in observed)
    gaps = np.abs(s[:, None] - s)
    known = covariance(x, x, gaps) + (gaps == 0) + np.diag(noise**2 + v + 1e-3)
    across = covariance(points, x, np.abs(log_step - s))
    mean = across @ np.linalg.solve(known, y)
    return mean, covariance(points, points, 0.0) - across @ np.linalg.solve(known, across.T)


def test_the_posterior_is_the_textbooks():
    values, new = RANDOM.normal(size=20), np.asarray(axes.canonical(SPACE, RANDOM.random((7, 3))), np.float64)
    observed = rows(values, variances=RANDOM.random(20))
    mean, covariance = by_numpy(observed, new, np.log(9.0))
    found = jax.jit(lambda rows, points: gp.posterior(SPACE, SCALES, rows, points, jnp.log(9.0)))
    known = found(observed, jnp.asarray(new, jnp.float32))
    np.testing.assert_allclose(known.mean, mean, atol=2e-3)
    np.testing.assert_allclose(known.covariance, covariance, atol=2e-3)


def test_padding_changes_nothing():
    values = RANDOM.normal(size=10)

    @jax.jit
    def both(rows):
        scales = gp.fit(SPACE, rows)
        return scales, gp.posterior(SPACE, scales, rows, jnp.asarray(POINTS[20:]), jnp.log(9.0))

    for one, other in zip(*(jax.tree.leaves(both(rows(values, padding=n))) for n in (0, 9)), strict=True):
        np.testing.assert_allclose(one, other, atol=5e-3)


def loss(scales, observed):
    """The negative logarithm of likelihood and priors, by numpy."""
    covariance = gp._of_values(
        scales, observed, gp._squares(SPACE, observed.points, observed.points), gp._gaps(*[observed.log_steps] * 2)
    )
    covariance, y = np.asarray(covariance, np.float64), np.asarray(observed.values, np.float64)
    mean, deviation = gp.typical(3)
    prior = sum(np.sum(0.5 * ((x - m) / d) ** 2) for x, m, d in zip(scales, mean, deviation, strict=True))
    return 0.5 * (np.linalg.slogdet(covariance)[1] + y @ np.linalg.solve(covariance, y)) + prior


def test_fitted_scales_are_near_the_best_ones():
    x = POINTS
    values = np.sin(7 * x[:, 0]) + 0.05 * RANDOM.normal(size=30)
    observed = rows(values)
    scales = jax.jit(lambda rows: gp.fit(SPACE, rows))(observed)
    best, start = loss(scales, observed), loss(gp.typical(3)[0], observed)
    assert best < start - 5
    for _ in range(30):  # no neighbour is clearly better
        near = gp.Scales(
            *(np.asarray(scale + 0.2 * RANDOM.normal(size=np.shape(scale)), np.float32) for scale in scales)
        )
        assert loss(near, observed) > best - 0.3
    assert scales.lengths[0] < scales.lengths[1] - 0.5  # only x matters


@pytest.mark.parametrize("case", ["constant", "huge", "equal points", "one row"])
def test_degenerate_rows_give_numbers(case):
    observed = rows({"constant": np.zeros(12), "huge": 1e3 * np.ones(12)}.get(case, RANDOM.normal(size=12)))
    if case == "equal points":
        observed = observed._replace(points=jnp.broadcast_to(observed.points[:1], (12, 3)))
    if case == "one row":
        observed = observed._replace(there=jnp.arange(12) < 1)

    @jax.jit
    def both(observed):
        scales = gp.fit(SPACE, observed)
        return scales, gp.posterior(SPACE, scales, observed, jnp.asarray(POINTS), jnp.log(9.0))

    for leaf in jax.tree.leaves(both(observed)):
        assert np.isfinite(leaf).all()


def test_noise_of_replicates_counts():
    """Where the values of some rows are known to be vague, the others are believed."""
    values = np.where(np.arange(20) < 10, 2.0, -2.0)
    variances = np.where(np.arange(20) < 10, 100.0, 0.0)
    mean = jax.jit(lambda rows: gp.posterior(SPACE, SCALES, rows, jnp.asarray(POINTS[:10]), 0.0).mean.mean())
    assert mean(rows(values, variances=variances)) < mean(rows(values)) - 0.5


@pytest.mark.parametrize("size", [1, 5, 32, 100])
def test_inverses_and_factors(size):
    a = RANDOM.normal(size=(size, size))
    a = a @ a.T / size + 0.1 * np.eye(size)
    np.testing.assert_allclose(inverse(jnp.asarray(a, jnp.float32)), np.linalg.inv(a), atol=1e-3)
    np.testing.assert_allclose(factor(jnp.asarray(a, jnp.float32)), np.linalg.cholesky(a), atol=1e-4)
