"""Going on from an earlier search: what makes two searches comparable, and what samplers see of the first."""

from typing import Any

import jax
import numpy as np

from jaxtune.engine.search import Search
from jaxtune.results.conditions import check_conditions
from jaxtune.results.result import Result
from jaxtune.samplers.observed import Observed
from jaxtune.tasks.problem import Problem


def check_previous(previous: Any, search: Search) -> None:
    """Raises unless an earlier result can be continued by this search: its values have to be comparable."""
    if previous is None:
        return
    if not isinstance(previous, Result):
        raise TypeError(f"previous must be a Result of tune(), got {type(previous).__name__}.")
    check_conditions("previous", previous.conditions, search)


def observed(problem: Problem, previous: Result) -> Observed:
    """What samplers see of an earlier search: trials whose hyperparameters lie in the space of this one."""
    points, values = [], []
    for trial in previous.trials:
        try:
            points.append(problem.space.encode(trial.hparams))
        except (TypeError, ValueError):
            continue
        values.append(trial.metrics[problem.metric] * (1.0 if problem.mode == "min" else -1.0))
    shape = (len(points), problem.space.num_dims)
    return Observed(
        np.asarray(points, np.float32).reshape(shape), np.asarray(values, jax.dtypes.canonicalize_dtype(float))
    )
