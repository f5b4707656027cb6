"""Tunes the hyperparameters of Flax models by training many configurations as one compiled program.

`tune = task x space x sampler x scheduler`; see `jaxtune.tune` for the whole of it.
"""

from jaxtune import augment, losses, metrics, penalties, scaling, schedules
from jaxtune.domains import Choice, Integer, LogNormal, LogUniform, Normal, Uniform
from jaxtune.nested import Nested, nested
from jaxtune.optimizers import OptimizerChoice, accumulate, kernels_only
from jaxtune.placement import Placement, set_host_device_count
from jaxtune.planning import SearchPlan, plan
from jaxtune.plateau import reduce_on_plateau
from jaxtune.practice import lr_range_test, overfit_check, sensitivity, staged
from jaxtune.preprocess import Preprocess, standardize
from jaxtune.rate import rate
from jaxtune.result import Result
from jaxtune.samplers import Grid, Points, Random, Sobol
from jaxtune.schedulers import FullBudget, Hyperband, PopulationBasedTraining, SuccessiveHalving
from jaxtune.search import Outcome, search
from jaxtune.space import Space, constrain
from jaxtune.supervised import supervised
from jaxtune.task import Task
from jaxtune.trial import Trial
from jaxtune.tuning import tune

__version__ = "0.1.0"

__all__ = [  # noqa: RUF022 - grouped by what they are for
    # searching
    "tune",
    "nested",
    "plan",
    "search",
    "Result",
    "Trial",
    "Outcome",
    "Nested",
    "SearchPlan",
    # practice
    "lr_range_test",
    "overfit_check",
    "sensitivity",
    "staged",
    # tasks
    "Task",
    "supervised",
    "standardize",
    "Preprocess",
    "losses",
    "penalties",
    "augment",
    "metrics",
    "schedules",
    "reduce_on_plateau",
    "OptimizerChoice",
    "accumulate",
    "kernels_only",
    "scaling",
    "rate",
    # spaces
    "Uniform",
    "LogUniform",
    "Normal",
    "LogNormal",
    "Integer",
    "Choice",
    "constrain",
    "Space",
    # samplers
    "Sobol",
    "Random",
    "Grid",
    "Points",
    # schedulers
    "SuccessiveHalving",
    "Hyperband",
    "PopulationBasedTraining",
    "FullBudget",
    # where it runs
    "Placement",
    "set_host_device_count",
]
