# The public names and where they live: editors and type checkers read this, and so does `__init__.py`.
from jaxtune.drivers.forecast import SearchPlan as SearchPlan, plan as plan
from jaxtune.drivers.search import Outcome as Outcome, search as search
from jaxtune.drivers.tune import tune as tune
from jaxtune.engine.placement import Placement as Placement
from jaxtune.interface.cores import set_host_device_count as set_host_device_count
from jaxtune.practice.nested import Nested as Nested, nested as nested
from jaxtune.practice.overfit import overfit_check as overfit_check
from jaxtune.practice.range_test import lr_range_test as lr_range_test
from jaxtune.practice.sensitivity import sensitivity as sensitivity
from jaxtune.practice.staged import staged as staged
from jaxtune.results.analysis.importance import importance as importance
from jaxtune.results.averaging.ensemble import Ensemble as Ensemble
from jaxtune.results.confirming.confirm import Confirm as Confirm
from jaxtune.results.loading import load as load
from jaxtune.results.optuna_study import to_optuna as to_optuna
from jaxtune.results.result import Result as Result
from jaxtune.results.runs import list_runs as list_runs
from jaxtune.results.trial import Trial as Trial
from jaxtune.samplers import (
    TPE as TPE,
    Bayesian as Bayesian,
    FromOptuna as FromOptuna,
    Grid as Grid,
    Points as Points,
    Random as Random,
    Sobol as Sobol,
)
from jaxtune.schedulers import (
    FullBudget as FullBudget,
    Hyperband as Hyperband,
    PopulationBasedTraining as PopulationBasedTraining,
    SuccessiveHalving as SuccessiveHalving,
)
from jaxtune.spaces.domains import (
    Choice as Choice,
    Integer as Integer,
    LogNormal as LogNormal,
    LogUniform as LogUniform,
    Normal as Normal,
    Uniform as Uniform,
)
from jaxtune.spaces.space import Space as Space, constrain as constrain
from jaxtune.tasks.task import Task as Task
from jaxtune.training import (
    augment as augment,
    losses as losses,
    metrics as metrics,
    penalties as penalties,
    scaling as scaling,
    schedules as schedules,
)
from jaxtune.training.optimizers import (
    OptimizerChoice as OptimizerChoice,
    accumulate as accumulate,
    kernels_only as kernels_only,
)
from jaxtune.training.plateau import reduce_on_plateau as reduce_on_plateau
from jaxtune.training.preprocess import Preprocess as Preprocess, standardize as standardize
from jaxtune.training.rate import rate as rate
from jaxtune.training.supervised import supervised as supervised

__version__: str
