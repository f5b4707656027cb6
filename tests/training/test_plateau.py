"""Reduction on plateau: PyTorch's rules in plain Python, Optax's values, and states that keep their dtypes."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest
from toys import tune

import jaxtune as jt
from jaxtune.tasks.weak import weaken
from jaxtune.training.plateau import ReduceOnPlateauState, observe, reduce_on_plateau

SETTINGS = [
    {},
    {"factor": 0.5, "patience": 1},
    {"factor": 0.5, "patience": 3, "rtol": 0.1},
    {"factor": 0.5, "patience": 2, "rtol": 0.0, "atol": 0.05},
    {"factor": 0.3, "patience": 2, "cooldown": 3},
    {"factor": 0.3, "patience": 1, "cooldown": 1, "min_scale": 0.2},
    {"factor": 0.9, "patience": 4, "rtol": 0.0, "atol": 0.0},
]
DEFAULTS = {"factor": 0.1, "patience": 10, "rtol": 1e-4, "atol": 0.0, "cooldown": 0, "min_scale": 0.0}


def scores_of(kind):
    rng = np.random.default_rng(3)
    falling = 2.0 * np.exp(-np.arange(40) / 8) + 0.5
    return {
        "noisy": (falling + 0.1 * rng.normal(size=40)).astype(np.float32),
        "flat": np.full(40, 0.7, np.float32),
        "negative": (-1 / falling + 0.01 * rng.normal(size=40)).astype(np.float32),
        "not finite": np.where(rng.random(40) < 0.3, [math.nan, math.inf] * 20, falling).astype(np.float32),
        "minus infinity": np.where(np.arange(40) == 3, -math.inf, falling).astype(np.float32),
    }[kind]


KINDS = ["noisy", "flat", "negative", "not finite", "minus infinity"]


class Scheduler:
    """PyTorch's `ReduceLROnPlateau`, which waits for one evaluation more, and for scores of either sign."""

    def __init__(self, factor, patience, rtol, atol, cooldown, min_scale):
        self.factor, self.patience, self.rtol, self.atol = factor, patience - 1, rtol, atol
        self.cooldown, self.min_scale = cooldown, min_scale
        self.best, self.num_bad, self.left, self.scale = None, 0, 0, 1.0

    def is_better(self, score):
        if not math.isfinite(score):
            return False
        return self.best is None or score < self.best - self.rtol * abs(self.best) - self.atol

    def step(self, score):
        if self.is_better(score):
            self.best, self.num_bad = score, 0
        else:
            self.num_bad += 1
        if self.left > 0:
            self.left -= 1
            self.num_bad = 0
        if self.num_bad > self.patience:
            self.scale = max(self.scale * self.factor, self.min_scale)
            self.left, self.num_bad = self.cooldown, 0
        return self.scale


def scales(settings, scores):
    """The scale after each score."""

    def step(state, score):
        state = observe(state, score)
        return state, state.scale

    return jax.lax.scan(step, reduce_on_plateau(**settings).init(None), scores)[1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", range(len(SETTINGS)))
def test_scales_are_pytorch_s(kind, number):
    scheduler = Scheduler(**DEFAULTS | SETTINGS[number])
    want = [scheduler.step(float(score)) for score in scores_of(kind)]
    np.testing.assert_allclose(jax.jit(lambda s: scales(SETTINGS[number], s))(scores_of(kind)), want, rtol=1e-5)


def test_plateaus_are_reached():
    """The comparisons above see reductions, and kinds that differ."""
    counts = {kind: int(np.sum(np.diff(scales(SETTINGS[1], scores_of(kind))) < 0)) for kind in KINDS}
    assert all(counts.values())
    assert counts["flat"] == 39


@pytest.mark.parametrize("number", range(len(SETTINGS) - 1))  # Optax wants a tolerance
def test_scales_are_optax_s_for_positive_scores(number):
    optimizer = optax.contrib.reduce_on_plateau(**SETTINGS[number])
    state, want = optimizer.init(jnp.zeros(())), []
    for score in scores_of("noisy"):
        _, state = optimizer.update(jnp.zeros(()), state, value=score)
        want.append(state.scale)
    np.testing.assert_allclose(scales(SETTINGS[number], scores_of("noisy")), want, rtol=1e-5)


def test_a_constant_score_below_zero_is_a_plateau():
    """As an accuracy with its sign changed; `(1 - rtol) * best`, as in PyTorch and Optax, lies above `best`."""
    assert scales({"factor": 0.5, "patience": 2}, jnp.full(5, -0.9))[-1] == 0.25


def test_every_setting_may_be_traced():
    complete = [DEFAULTS | settings for settings in SETTINGS]
    stacked = {name: jnp.asarray([settings[name] for settings in complete]) for name in DEFAULTS}
    weakly = lambda settings, scores: scales({name: weaken(x) for name, x in settings.items()}, scores)  # noqa: E731
    got = jax.jit(jax.vmap(weakly, in_axes=(0, None)))(stacked, scores_of("noisy"))
    for row, settings in zip(got, complete, strict=True):
        np.testing.assert_allclose(row, scales(settings, scores_of("noisy")), rtol=1e-6)


def test_a_traced_patience_below_one_counts_as_one():
    run = jax.jit(lambda patience: scales({"factor": 0.5, "patience": patience}, jnp.array([1.0, 0.5, 0.5, 0.2])))
    assert run(0.3).tolist() == run(1).tolist() == [1.0, 1.0, 0.5, 0.5]


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_states_and_updates_keep_their_dtypes(dtype):
    """Under scan, chained after an optimizer, with traced settings, evaluations between steps."""
    params = {"kernel": jnp.ones((2, 3), dtype), "bias": jnp.ones(3, dtype), "none": None}

    def run(factor, patience):
        plateau = reduce_on_plateau(factor=weaken(factor), patience=weaken(patience))
        optimizer = optax.chain(optax.sgd(0.1, momentum=0.9), plateau)

        def step(state, score):
            updates, state = optimizer.update(params, state, params)
            assert jax.tree.map(lambda x: x.dtype, updates) == jax.tree.map(lambda x: x.dtype, params)
            return observe(state, score), updates["bias"]

        return jax.lax.scan(step, optimizer.init(params), jnp.ones(5))[1]

    updates = jax.jit(jax.vmap(run))(jnp.array([0.5, 0.25]), jnp.array([1, 2]))
    moved = -0.1 * (1 - 0.9 ** np.arange(1, 6)) / 0.1  # by momentum alone
    for lane, expected in enumerate([[1, 1, 0.5, 0.25, 0.125], [1, 1, 1, 0.25, 0.25]]):
        near = 1e-5 if dtype == jnp.float32 else 2e-2
        np.testing.assert_allclose(updates[lane, :, 0].astype(np.float32), moved * expected, rtol=near)


def test_observe_finds_states_anywhere():
    optimizer = optax.chain(
        optax.masked(optax.chain(optax.adam(0.1), reduce_on_plateau(0.5, 1)), {"a": True, "b": False}),
        optax.MultiSteps(reduce_on_plateau(0.25, 1), 2).gradient_transformation(),
    )
    tree = {"optimizer": optimizer.init({"a": jnp.ones(2), "b": jnp.ones(2)}), "other": [jnp.arange(3), None]}
    seen = observe(observe(tree, 1.0), 1.0)
    assert jax.tree.structure(seen) == jax.tree.structure(tree)
    is_state = lambda node: isinstance(node, ReduceOnPlateauState)  # noqa: E731
    found = [node.scale.item() for node in jax.tree.leaves(seen, is_leaf=is_state) if is_state(node)]
    assert found == [0.5, 0.25]


def test_a_tree_without_states_is_the_same():
    tree = {"optimizer": optax.adam(0.1).init(jnp.ones(3)), "params": [jnp.ones(3), None]}
    assert all(a is b for a, b in zip(jax.tree.leaves(observe(tree, 1.0)), jax.tree.leaves(tree), strict=True))
    assert not jax.make_jaxpr(observe)(tree, 1.0).jaxpr.eqns


def test_settings_follow_hyperparameters_that_change():
    """As population-based training changes them; what has been counted stays."""
    state = observe(reduce_on_plateau(0.5, 1).init(None), 1.0)
    _, state = reduce_on_plateau(0.25, 2).update(jnp.ones(()), state)
    state = observe(state, 1.0)
    assert state.scale == 1.0
    assert observe(state, 1.0).scale == 0.25


def test_tune_shows_scores_to_the_states():
    """The first score is the best; the scale falls after the second and the third, as the fourth evaluation sees."""
    task = jt.Task(
        init=lambda key, hp: {"plateau": reduce_on_plateau(hp["factor"], 1).init(None)},
        step=lambda key, state, batch, hp: (state, {"loss": jnp.float32(1.0)}),
        evaluate=lambda key, state, data, hp: {"loss": jnp.float32(1.0), "scale": state["plateau"].scale},
        observe=lambda state, score, hp: observe(state, score),
    )
    scheduler = jt.FullBudget(trials=3, steps=4)
    result = tune(task, {"factor": jt.Uniform(0.2, 0.8)}, scheduler=scheduler, evaluate_every=1)
    for trial in result.trials:
        np.testing.assert_allclose(trial.metrics["scale"], trial.hparams["factor"] ** 2, rtol=1e-5)


BAD = {
    "factor of 0": ({"factor": 0.0}, "needs 0 < factor < 1, got 0"),
    "factor of 1": ({"factor": 1.0}, "needs 0 < factor < 1, got 1"),
    "no patience": ({"patience": 0}, "needs a whole patience >= 1, got 0"),
    "half a patience": ({"patience": 1.5}, "needs a whole patience >= 1, got 1.5"),
    "rtol": ({"rtol": 2.0}, "needs 0 <= rtol <= 1, got 2"),
    "atol": ({"atol": math.nan}, "needs atol >= 0, got nan"),
    "cooldown": ({"cooldown": -1}, "needs a whole cooldown >= 0, got -1"),
    "min_scale": ({"min_scale": 1.5}, "needs 0 <= min_scale <= 1, got 1.5"),
}


@pytest.mark.parametrize("what", BAD)
def test_known_bad_settings_are_refused(what):
    settings, message = BAD[what]
    with pytest.raises(ValueError, match=message):
        reduce_on_plateau(**settings)
