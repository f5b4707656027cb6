"""Tunes the hyperparameters of Flax models by training many configurations as one compiled program."""

from jaxtune import metrics, schedules
from jaxtune.placement import Placement, set_host_device_count
from jaxtune.rate import rate
from jaxtune.result import Result, Trial
from jaxtune.samplers import Grid, Random, Sobol
from jaxtune.schedulers import FullBudget, Hyperband, PopulationBasedTraining, SuccessiveHalving
from jaxtune.search import Outcome, search
from jaxtune.space import Choice, Integer, LogUniform, Uniform
from jaxtune.supervised import supervised
from jaxtune.task import Task
from jaxtune.tuning import tune
