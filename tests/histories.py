"""Hand-written histories of searches, for the tests of what is made from them."""

import math

import numpy as np

from jaxtune.results.history import History

NAN = math.nan


def make_history(values, step, *, active=None, decided=None, hparams=None, metric="accuracy", **changes):
    """A History of one metric; `values` is [E, T] or [E, R, T]; NaN marks what was not in training."""
    values = np.asarray(values, dtype=np.float32)
    values = values[:, None, :] if values.ndim == 2 else values
    E, _, T = values.shape
    fields = {
        "hparams": hparams or tuple({"lr": 0.1 * (t + 1)} for t in range(T)),
        "log_names": ("lr",),
        "bracket": np.zeros(T, int),
        "step": np.array(step),
        "metrics": {metric: values},
        "active": ~np.isnan(values).any(axis=1) if active is None else np.array(active),
        "decided": np.ones(E, bool) if decided is None else np.array(decided),
        "pruned": np.full(T, -1),
        "diverged": np.full(T, -1),
        "source": np.tile(np.arange(T), (E, 1)),
        "schedule": {},
        "lane_steps": np.cumsum(np.diff(step, prepend=0) * T),
        "seconds": 0.5 * np.arange(1, E + 1),
        "total_steps": np.full(T, step[-1]),
        "generation": np.zeros(T, int),
    }
    fields |= changes
    last = E - 1 - np.argmax(fields["active"][::-1], axis=0)
    pruned = fields["pruned"]
    ends = {
        "stopped": np.full(T, -1),
        "kept": last,
        "reach": np.where(pruned >= 0, pruned, fields["step"][last]),
    }
    return History(**(ends | fields))


def halving():
    """Four trials, two survive step 10, one of them finishes first; trial 3 blows up at step 4."""
    return make_history(
        [[0.5, 0.6, 0.7, NAN], [NAN, 0.9, 0.8, NAN]],
        [10, 40],
        active=[[True] * 4, [False, True, True, False]],
        pruned=np.array([10, -1, -1, 10]),
        diverged=np.array([-1, -1, -1, 4]),
        hparams=(
            {"lr": 0.1, "act": "relu"},
            {"lr": 0.01, "act": "=1+1"},
            {"lr": 1e-3, "act": "tanh"},
            {"lr": 9.0, "act": "<b>"},
        ),
    )


def pbt():
    """Three generations: 1 copies 0 at step 10, 2 copies 1 at step 20."""
    return make_history(
        [[0.3, 0.1, 0.2], [0.4, 0.5, 0.2], [0.5, 0.6, 0.7]],
        [10, 20, 30],
        hparams=tuple({"lr": lr, "k": 4, "act": "relu", "wd": 0.5} for lr in (0.1, 0.2, 0.3)),
        source=np.array([[0, 0, 2], [0, 1, 1], [0, 1, 2]]),
        schedule={
            "lr": np.array([[0.1, 0.2, 0.3], [0.1, 0.12, 0.3], [0.1, 0.12, 0.15]], np.float32),
            "k": np.array([[4, 4, 4], [4, 6, 4], [4, 6, 9]], np.int32),
        },
    )
