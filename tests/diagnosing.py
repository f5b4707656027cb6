"""Results made by hand from curves, and what single rules say of them."""

import numpy as np
from histories import make_history

from jaxtune.results.result import Result
from jaxtune.spaces.space import Space
from jaxtune.spaces.written import space_written


def make_result(curves, steps=None, *, train=None, metric="loss", mode="min", space=None, options=None, **changes):
    """A Result of one metric; `curves` is [T, E] or, with replicates, [T, E, R]; so is `train`, of `train_<metric>`."""

    def by_evaluation(values):
        values = np.asarray(values, float)
        return np.moveaxis(values if values.ndim == 3 else values[..., None], 0, -1)  # [E, R, T]

    values = by_evaluation(curves)
    steps = 100 * np.arange(1, len(values) + 1) if steps is None else steps
    history = make_history(values, steps, metric=metric, **changes)
    if train is not None:
        history.metrics[f"train_{metric}"] = by_evaluation(train).astype(np.float32)
    written = None if space is None else space_written(Space.of(space))
    return Result(history, metric=metric, mode=mode, seed=0, ended=True, space=written, **(options or {}))


def said(rule, result):
    """The findings of one rule."""
    return [finding for finding in result.diagnose() if finding.rule == rule]
