"""Tunes the hyperparameters of Flax models by training many configurations as one compiled program.

`tune = task x space x sampler x scheduler`; see `jaxtune.tune` for the whole of it.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what editors and type checkers see
    from jaxtune import augment, losses, metrics, penalties, scaling, schedules
    from jaxtune.domains import Choice, Integer, LogNormal, LogUniform, Normal, Uniform
    from jaxtune.nesting import Nested, nested
    from jaxtune.optimizers import OptimizerChoice, accumulate, kernels_only
    from jaxtune.placement import Placement, set_host_device_count
    from jaxtune.planning import SearchPlan, plan
    from jaxtune.plateau import reduce_on_plateau
    from jaxtune.practice import lr_range_test, overfit_check
    from jaxtune.practice.sensitivity import sensitivity
    from jaxtune.practice.staged import staged
    from jaxtune.preprocess import Preprocess, standardize
    from jaxtune.rates import rate
    from jaxtune.result import Result
    from jaxtune.samplers import Grid, Points, Random, Sobol
    from jaxtune.schedulers import FullBudget, Hyperband, PopulationBasedTraining, SuccessiveHalving
    from jaxtune.searching import Outcome, search
    from jaxtune.space import Space, constrain
    from jaxtune.supervision import supervised
    from jaxtune.task import Task
    from jaxtune.trial import Trial
    from jaxtune.tuning import tune

__version__ = "0.1.0"

_HOMES = {  # public name -> the file or folder that has it, or that it is
    # searching
    "tune": "tuning",
    "nested": "nesting",
    "plan": "planning",
    "search": "searching",
    "Result": "result",
    "Trial": "trial",
    "Outcome": "searching",
    "Nested": "nesting",
    "SearchPlan": "planning",
    # practice
    "lr_range_test": "practice",
    "overfit_check": "practice",
    "sensitivity": "practice",
    "staged": "practice",
    # tasks
    "Task": "task",
    "supervised": "supervision",
    "standardize": "preprocess",
    "Preprocess": "preprocess",
    "losses": "losses",
    "penalties": "penalties",
    "augment": "augment",
    "metrics": "metrics",
    "schedules": "schedules",
    "reduce_on_plateau": "plateau",
    "OptimizerChoice": "optimizers",
    "accumulate": "optimizers",
    "kernels_only": "optimizers",
    "scaling": "scaling",
    "rate": "rates",
    # spaces
    "Uniform": "domains",
    "LogUniform": "domains",
    "Normal": "domains",
    "LogNormal": "domains",
    "Integer": "domains",
    "Choice": "domains",
    "constrain": "space",
    "Space": "space",
    # samplers
    "Sobol": "samplers",
    "Random": "samplers",
    "Grid": "samplers",
    "Points": "samplers",
    # schedulers
    "SuccessiveHalving": "schedulers",
    "Hyperband": "schedulers",
    "PopulationBasedTraining": "schedulers",
    "FullBudget": "schedulers",
    # where it runs
    "Placement": "placement",
    "set_host_device_count": "placement",
}

__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first asked for: `import jaxtune` alone waits for neither Flax nor Optax."""
    if name not in _HOMES:
        raise AttributeError(f"module 'jaxtune' has no attribute {name!r}")
    home = importlib.import_module(f"jaxtune.{_HOMES[name]}")
    value = home if _HOMES[name] == name else getattr(home, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
