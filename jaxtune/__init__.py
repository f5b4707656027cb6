"""Tunes the hyperparameters of Flax models by training many configurations as one compiled program.

`tune = task x space x sampler x scheduler`; see `jaxtune.tune` for the whole of it.
"""

from jaxtune import metrics, schedules
from jaxtune.domains import Choice, Integer, LogUniform, Uniform
from jaxtune.placement import Placement, set_host_device_count
from jaxtune.rate import rate
from jaxtune.result import Result
from jaxtune.samplers import Grid, Random, Sobol
from jaxtune.schedulers import FullBudget, Hyperband, PopulationBasedTraining, SuccessiveHalving
from jaxtune.search import Outcome, search
from jaxtune.supervised import supervised
from jaxtune.task import Task
from jaxtune.trial import Trial
from jaxtune.tuning import tune

__version__ = "0.1.0"

__all__ = [  # noqa: RUF022 - grouped by what they are for
    # searching
    "tune",
    "search",
    "Result",
    "Trial",
    "Outcome",
    # tasks
    "Task",
    "supervised",
    "metrics",
    "schedules",
    "rate",
    # spaces
    "Uniform",
    "LogUniform",
    "Integer",
    "Choice",
    # samplers
    "Sobol",
    "Random",
    "Grid",
    # schedulers
    "SuccessiveHalving",
    "Hyperband",
    "PopulationBasedTraining",
    "FullBudget",
    # where it runs
    "Placement",
    "set_host_device_count",
]
