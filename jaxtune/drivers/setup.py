"""From the arguments of `tune`, `plan` and `search` to the search that they ask for."""

from typing import Any

from jaxtune.drivers import arguments
from jaxtune.engine.data import smallest_fold
from jaxtune.engine.search import Search
from jaxtune.interface.settings import warn_of_disabled_jit
from jaxtune.samplers.sampler import Sampler
from jaxtune.schedulers.plan import Scheduler
from jaxtune.spaces.space import Space
from jaxtune.tasks import checks
from jaxtune.tasks.folds import make_folds
from jaxtune.tasks.problem import resolve


def set_up(
    task: Any,
    space: Any,
    scheduler: Scheduler,
    sampler: Sampler,
    metric: Any,
    mode: Any,
    replicates: Any,
    seed: Any,
    placement: Any,
    folds: Any = None,
    evaluate_every: Any = None,
    keep: Any = "last",
    keep_weights: Any = 1,
    patience: Any = None,
    generations: Any = 1,
) -> Search:
    """Checks the arguments, in the order in which a user reads them, and puts them together.

    Args are those of `tune`; `seed` may be a key, and without a metric nothing but a forecast can be made.

    Raises:
        TypeError: An argument, or a result of a user function, has the wrong type.
        ValueError: An argument has a wrong value.
        KeyError: The task reads a hyperparameter that the space lacks.
    """
    warn_of_disabled_jit()
    replicates = arguments.check_search(scheduler, sampler, replicates)
    seed, evaluate_every = arguments.check_host(seed, evaluate_every, placement)
    keep_weights, patience = arguments.check_keeping(keep, keep_weights, patience, scheduler)
    generations = arguments.check_generations(generations, scheduler)
    checks.check_task(task)
    made = None if folds is None else make_folds(task, folds, seed)
    one = task if made is None else smallest_fold(task, made)
    problem = resolve(one, Space.of(space), metric, mode, whole=task)
    plan = scheduler.plan().with_curve(evaluate_every)
    common = task, problem, plan, sampler, seed, placement, replicates, made, keep, keep_weights, patience
    return Search(*common, generations=generations, scheduler=scheduler)
