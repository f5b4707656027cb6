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
    from jaxtune.results.result import Result as Result
    from jaxtune.results.trial import Trial as Trial
    from jaxtune.samplers import Grid as Grid, Points as Points, Random as Random, Sobol as Sobol
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

__version__ = "0.1.0"

_HOMES = {  # public name -> the file or folder that has it, or that it is
    # searching
    "tune": "drivers.tune",
    "nested": "practice.nested",
    "plan": "drivers.forecast",
    "search": "drivers.search",
    "Result": "results.result",
    "Trial": "results.trial",
    "Outcome": "drivers.search",
    "Nested": "practice.nested",
    "SearchPlan": "drivers.forecast",
    # practice
    "lr_range_test": "practice.range_test",
    "overfit_check": "practice.overfit",
    "sensitivity": "practice.sensitivity",
    "staged": "practice.staged",
    # tasks
    "Task": "tasks.task",
    "supervised": "training.supervised",
    "standardize": "training.preprocess",
    "Preprocess": "training.preprocess",
    "losses": "training.losses",
    "penalties": "training.penalties",
    "augment": "training.augment",
    "metrics": "training.metrics",
    "schedules": "training.schedules",
    "reduce_on_plateau": "training.plateau",
    "OptimizerChoice": "training.optimizers",
    "accumulate": "training.optimizers",
    "kernels_only": "training.optimizers",
    "scaling": "training.scaling",
    "rate": "training.rate",
    # spaces
    "Uniform": "spaces.domains",
    "LogUniform": "spaces.domains",
    "Normal": "spaces.domains",
    "LogNormal": "spaces.domains",
    "Integer": "spaces.domains",
    "Choice": "spaces.domains",
    "constrain": "spaces.space",
    "Space": "spaces.space",
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
    "Placement": "engine.placement",
    "set_host_device_count": "interface.cores",
}

__all__ = [*_HOMES]


if not TYPE_CHECKING:  # type checkers would take any name for one of ours

    def __getattr__(name: str) -> Any:
        """Imports a public name when it is first asked for: `import jaxtune` alone waits for neither Flax nor Optax."""
        if name not in _HOMES:
            from jaxtune.interface.habits import public

            raise AttributeError(f"module 'jaxtune' has no attribute {name!r}{public(name, _HOMES)}")
        home = importlib.import_module(f"jaxtune.{_HOMES[name]}")
        value = getattr(home, name, home)
        ours = (home for name, home in _HOMES.items() if home == f"training.{name}")
        modules = (sys.modules.get(f"jaxtune.{home}") for home in ours)
        for shown in (value, *modules):  # which others may have imported
            importlib.import_module("jaxtune.interface.signatures").make_readable(shown)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
