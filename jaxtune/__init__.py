"""Tunes the hyperparameters of Flax models by training many configurations as one compiled program.

A search is `jt.tune(task, space, sampler=..., scheduler=...)`, with `import jaxtune as jt`; each name has a help of its
own, with an example.

Search:
    tune                      trains all configurations side by side and gives back a Result
    plan                      says beforehand what a search will take: programs, memory, time
    Confirm                   that the best trials are trained again, on fresh seeds, before one of them wins
    nested                    one search per outer split of the data, for published tables
    search                    the whole search as a pure function, to be jitted and vmapped

Runs that are kept in folders, by `tune(directory=...)`:
    load                      the Result of a run, in any process
    list_runs                 all runs of a folder as a data frame

What a search says about its hyperparameters:
    importance                how much each of them matters

For other programs:
    to_optuna                 a Result as a study of Optuna, for its pictures and dashboard

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
    TPE                       where good trials are dense, learnt from earlier ones
    Bayesian                  where a Gaussian process of earlier ones expects the best
    FromOptuna                where any sampler of Optuna wants them

Practice:
    lr_range_test             which learning rates?
    overfit_check             can the model learn at all?
    sensitivity               what matters around a configuration?
    staged                    a few hyperparameters at a time

Where it runs:
    set_host_device_count     makes every core of a CPU a device
    Placement                 devices, and lanes trained at once
"""

import ast
import importlib
from pathlib import Path
from typing import Any

__version__ = "0.1.0"


def _homes() -> dict[str, str]:
    """Public name -> the file or folder that has it, or that it is; as the stub has them for editors."""
    stub = ast.parse(Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: str(node.module) for node in imports for alias in node.names}


_HOMES = _homes()
__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first asked for: `import jaxtune` alone waits for neither Flax nor Optax."""
    if name not in _HOMES:
        from jaxtune.interface.habits import public

        raise AttributeError(f"module 'jaxtune' has no attribute {name!r}{public(name, _HOMES)}")
    home = importlib.import_module(_HOMES[name])
    value = getattr(home, name) if hasattr(home, name) else importlib.import_module(f"{_HOMES[name]}.{name}")
    importlib.import_module("jaxtune.interface.signatures").make_readable(value)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
