"""Where trials stand: what evaluations, rungs and patience make of it, with numpy and inside a program."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxtune.engine.standing import Decision, at_start, decided, evaluated, scores, without_patience

NAN = np.nan
POINTS = np.zeros((3, 1), np.float32)
BRACKET = np.zeros(3, np.int32)
HEALTHY = np.full((2, 3), -1, np.int32)


@pytest.fixture(params=[np, jnp], ids=["numpy", "jax"])
def xp(request):
    return request.param


def start(xp, runs=2):
    return at_start(xp, xp.asarray(POINTS), xp.asarray(BRACKET), runs, np.float32)


def after(xp, standing, values, stop, diverged=HEALTHY, mode="min", keeps_best=False):
    args = xp.asarray(values, np.float32), xp.asarray(diverged), stop
    if xp is np:
        return evaluated(xp, standing, *args, mode, keeps_best)
    return jax.jit(lambda s, *args: evaluated(xp, s, *args, mode, keeps_best))(standing, *args)


def test_the_last_evaluation_counts(xp):
    standing, _ = after(xp, start(xp), [[1, 2, 3], [1, 2, 3]], 10)
    standing, counts = after(xp, standing, [[2, 1, 3], [2, 1, 3]], 20)
    assert standing.values[0].tolist() == [2, 1, 3]
    assert standing.step.tolist() == [20, 20, 20]
    assert standing.best.tolist() == [1, 1, 3]
    assert standing.waiting.tolist() == [1, 0, 1]
    assert counts.tolist() == [True] * 3


def test_the_best_evaluation_counts_where_that_is_kept(xp):
    standing, _ = after(xp, start(xp), [[1, 2, 3], [1, 2, 3]], 10, mode="max", keeps_best=True)
    standing, counts = after(xp, standing, [[2, 1, NAN], [2, 1, 9]], 20, mode="max", keeps_best=True)
    assert standing.values[0].tolist() == [2, 2, 3]
    assert standing.step.tolist() == [20, 10, 10]
    assert counts.tolist() == [True, False, False]


def test_one_run_that_diverges_loses_the_trial_until_it_is_healthy_again(xp):
    bad = HEALTHY.copy()
    bad[1, 2] = 7
    standing, _ = after(xp, start(xp), [[1, 2, 0], [1, 2, 0]], 10, bad)
    assert scores(xp, standing.values, standing.lost, "min").tolist() == [1, 2, np.inf]
    assert standing.diverged[:, 2].tolist() == [-1, 7]
    standing, _ = after(xp, standing, [[1, 2, 0], [1, 2, 0]], 20)  # another one's weights took its place
    assert not standing.lost.any()


def test_a_rung_prunes_and_says_when(xp):
    standing, _ = after(xp, start(xp), [[1, 2, 3], [1, 2, 3]], 10)
    goes_on, source = xp.asarray([True, False, True]), xp.asarray([0, 1, 0], np.int32)
    standing = decided(xp, standing, Decision(goes_on, source, standing.points + 1), 10)
    assert standing.training.tolist() == standing.competing.tolist() == [True, False, True]
    assert standing.pruned.tolist() == [-1, 10, -1]
    assert standing.source.tolist() == [0, 1, 0]
    assert standing.points[0].tolist() == [1]
    standing, _ = after(xp, standing, [[0, 0, 0], [0, 0, 0]], 20)
    assert standing.step.tolist() == [20, 10, 20]  # the pruned one keeps what it had
    assert standing.source.tolist() == [0, 1, 2]


def test_patience_ends_training_but_not_the_competition(xp):
    standing, _ = after(xp, start(xp), [[1, 1, 1], [1, 1, 1]], 10)
    standing, _ = after(xp, standing, [[2, 0, 2], [2, 0, 2]], 20)
    standing, out = without_patience(xp, standing, 1, 20)
    assert out.tolist() == [True, False, True]
    assert standing.training.tolist() == [False, True, False]
    assert standing.competing.tolist() == [True] * 3
    assert standing.stopped.tolist() == [20, -1, 20]
