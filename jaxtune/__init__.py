"""Tunes the hyperparameters of Flax models by training many configurations as one compiled program.

A search is `jt.tune(task, space, sampler=..., scheduler=...)`, with `import jaxtune as jt`; each name has a help of its
own, with an example.

Search:
    tune                      trains all configurations side by side and gives back a Result
    plan                      says beforehand what a search will take: programs, memory, time
    nested                    one search per outer split of the data, for published tables
    search                    the whole search as a pure function, to be jitted and vmapped

Tasks, what one trial is:
    supervised                from a Flax module, an Optax optimizer, a loss and arrays
    Task                      from three functions of your own
    standardize, Preprocess   preprocessing that is fitted on the training part
    metrics, losses, penalties, augment, schedules, scaling, rate, reduce_on_plateau, accumulate, kernels_only
                              building blocks whose arguments may be hyperparameters

Spaces, dicts from names to domains or constants:
    Uniform, LogUniform       numbers, evenly or in their logarithm
    Normal, LogNormal         numbers around a guess
    Integer                   whole numbers
    Choice                    one of several values, or of several sub-spaces
    OptimizerChoice           one of several optimizers
    constrain                 a space with a condition

Schedulers, who is trained for how long:
    SuccessiveHalving         many start, the best of each rung go on
    Hyperband                 several halvings with different first rungs
    PopulationBasedTraining   the worst copy the best and explore, so that hyperparameters become schedules
    FullBudget                everybody to the end

Samplers, which configurations:
    Sobol                     evenly spread, the default
    Random                    drawn independently
    Grid                      all combinations of levels
    Points                    those that you know

Practice:
    lr_range_test             which learning rates?
    overfit_check             can the model learn at all?
    sensitivity               what matters around a configuration?
    staged                    a few hyperparameters at a time

Where it runs:
    set_host_device_count     makes every core of a CPU a device
    Placement                 devices, and lanes trained at once
"""

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what editors and type checkers see
    from jaxtune import (
        augment as augment,
        losses as losses,
        metrics as metrics,
        penalties as penalties,
        scaling as scaling,
        schedules as schedules,
    )
    from jaxtune.cores import set_host_device_count as set_host_device_count
    from jaxtune.domains import (
        Choice as Choice,
        Integer as Integer,
        LogNormal as LogNormal,
        LogUniform as LogUniform,
        Normal as Normal,
        Uniform as Uniform,
    )
    from jaxtune.nesting import Nested as Nested, nested as nested
    from jaxtune.optimizers import (
        OptimizerChoice as OptimizerChoice,
        accumulate as accumulate,
        kernels_only as kernels_only,
    )
    from jaxtune.placement import Placement as Placement
    from jaxtune.planning import SearchPlan as SearchPlan, plan as plan
    from jaxtune.plateau import reduce_on_plateau as reduce_on_plateau
    from jaxtune.practice import lr_range_test as lr_range_test, overfit_check as overfit_check
    from jaxtune.practice.sensitivity import sensitivity as sensitivity
    from jaxtune.practice.staged import staged as staged
    from jaxtune.preprocess import Preprocess as Preprocess, standardize as standardize
    from jaxtune.rates import rate as rate
    from jaxtune.result import Result as Result
    from jaxtune.samplers import Grid as Grid, Points as Points, Random as Random, Sobol as Sobol
    from jaxtune.schedulers import (
        FullBudget as FullBudget,
        Hyperband as Hyperband,
        PopulationBasedTraining as PopulationBasedTraining,
        SuccessiveHalving as SuccessiveHalving,
    )
    from jaxtune.searching import Outcome as Outcome, search as search
    from jaxtune.space import Space as Space, constrain as constrain
    from jaxtune.supervision import supervised as supervised
    from jaxtune.task import Task as Task
    from jaxtune.trial import Trial as Trial
    from jaxtune.tuning import tune as tune

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
    "set_host_device_count": "cores",
}

__all__ = [*_HOMES]


if not TYPE_CHECKING:  # type checkers would take any name for one of ours

    def __getattr__(name: str) -> Any:
        """Imports a public name when it is first asked for: `import jaxtune` alone waits for neither Flax nor Optax."""
        if name not in _HOMES:
            from jaxtune.habits import public

            raise AttributeError(f"module 'jaxtune' has no attribute {name!r}{public(name, _HOMES)}")
        home = importlib.import_module(f"jaxtune.{_HOMES[name]}")
        value = home if _HOMES[name] == name else getattr(home, name)
        modules = (sys.modules.get(f"jaxtune.{name}") for name, home in _HOMES.items() if name == home)
        for shown in (value, *modules):  # which others may have imported
            importlib.import_module("jaxtune.signatures").make_readable(shown)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
