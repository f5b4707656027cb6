"""Searches that were never run, of any size, for the tests of reports."""

import numpy as np
from histories import make_history

from jaxtune.results.result import Result
from jaxtune.spaces.domains import Choice, Integer, LogUniform, Uniform
from jaxtune.spaces.space import Space
from jaxtune.spaces.written import space_written


def draw(num_trials, num_hparams=6, seed=0):
    """A space, and that many configurations of it: the learning rate, a category, a whole number, and numbers."""
    rng = np.random.default_rng(seed)
    more = [f"x{i}" for i in range(num_hparams - 3)]
    space = {
        "lr": LogUniform(1e-5, 1.0),
        "act": Choice(("relu", "tanh", "gelu")),
        "layers": Integer(1, 8),
        **{name: Uniform(0.0, 1.0) for name in more},
    }
    rows = tuple(
        {
            "lr": float(10 ** rng.uniform(-5, 0)),
            "act": ("relu", "tanh", "gelu")[rng.integers(3)],
            "layers": int(rng.integers(1, 9)),
            **{name: float(rng.uniform()) for name in more},
            "width": 64,
        }
        for _ in range(num_trials)
    )
    return space, rows


def halving(num_trials=64, num_hparams=6, evaluations=4, lost=3, **changes):
    """Half of the trials go on after each evaluation; trial 0 is the best, the last ones diverge at once."""
    space, rows = draw(num_trials, num_hparams)
    rng = np.random.default_rng(1)
    quality = np.arange(num_trials) / num_trials + 0.1
    step = 50 * 2 ** np.arange(evaluations)
    stays = [max(2, num_trials >> e) for e in range(evaluations)]
    values = quality * (1 + 1 / (1 + np.arange(evaluations))[:, None]) + 0.001 * rng.random((evaluations, num_trials))
    active = np.arange(num_trials) < np.array(stays)[:, None]
    pruned = np.full(num_trials, -1)
    for e in range(evaluations - 1):
        pruned[stays[e + 1] : stays[e]] = step[e]
    diverged = np.where(np.arange(num_trials) >= num_trials - lost, 7, -1)
    history = make_history(
        np.where(active & (diverged < 0), values, np.nan),
        step,
        active=active,
        pruned=pruned,
        diverged=diverged,
        hparams=rows,
        metric="loss",
        **changes,
    )
    written = space_written(Space.of(space))
    return Result(history, metric="loss", mode="min", seed=0, ended=True, space=written, timing={"total": 12.5})


def pbt(num_trials=8, evaluations=5):
    """The worst two copy the best two after each evaluation, and their learning rates change."""
    space, rows = draw(num_trials, 3)
    rng = np.random.default_rng(2)
    values = rng.random((evaluations, num_trials)) + 0.1
    source, rates = np.tile(np.arange(num_trials), (evaluations, 1)), np.zeros((evaluations, num_trials), np.float32)
    rates[0] = [row["lr"] for row in rows]
    for e in range(evaluations - 1):
        order = np.argsort(values[e])
        source[e, order[-2:]] = order[:2]
        rates[e + 1] = rates[e, source[e]]
        rates[e + 1, order[-2:]] *= 0.8
    step = 10 * np.arange(1, evaluations + 1)
    history = make_history(values, step, hparams=rows, metric="loss", source=source, schedule={"lr": rates})
    written = space_written(Space.of(space))
    return Result(history, metric="loss", mode="min", seed=0, ended=True, space=written, timing={"total": 3.0})
