"""The dimensions of a search, with the hyperparameters that were in force when a trial was evaluated.

Schedulers that explore change hyperparameters on the way: how a trial ended is to be seen with what it ended with.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxtune.results.analysis.dimensions import Dimension, dimensions
from jaxtune.results.history import History


def dimensions_of(history: History, space: Any = None, evaluation: np.ndarray | None = None) -> list[Dimension]:
    """A dimension for each hyperparameter that differs between trials.

    Args:
        history: The record of a search.
        space: What was searched, see `space_written`; None if that is not known.
        evaluation: Int [T], when trials are looked at; None for their last evaluation.
    """
    hparams = in_force(history, history.last if evaluation is None else evaluation)
    return dimensions(hparams, history.log_names, space)


def in_force(history: History, evaluation: np.ndarray) -> Sequence[dict[str, Any]]:
    """The hyperparameters of each trial during the interval that ends with an evaluation, int [T]."""
    if not history.schedule:
        return history.hparams
    return [
        hparams | {name: _plain(table[e, t]) for name, table in history.schedule.items() if name in hparams}
        for t, (hparams, e) in enumerate(zip(history.hparams, evaluation.tolist(), strict=True))
    ]


def _plain(value: Any) -> int | float:
    """A number of the table as one would write it: 0.1, not the float32 next to it."""
    return int(value) if np.issubdtype(value.dtype, np.integer) else float(str(value))
