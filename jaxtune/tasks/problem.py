"""Finding out, before anything compiles, whether a task and a space fit together.

One abstract evaluation of the task tells most; only when that fails are hyperparameters tried one at a time,
to say which of them is at fault and what to do about it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.interface.habits import did_you_mean
from jaxtune.interface.warning import warn
from jaxtune.spaces.space import Space
from jaxtune.spaces.variant import Variant
from jaxtune.tasks import checks
from jaxtune.tasks.case import Case, Traces
from jaxtune.tasks.functions import Functions
from jaxtune.tasks.task import Task

BATCH_SIZE = "batch_size"  # the hyperparameter that takes the place of the task's batch size
_MAX_VARIANTS = 1024  # that are looked through for those with one change
_MAX_CASES = 64  # that are looked at for one that reads a hyperparameter


@dataclass(frozen=True, eq=False)
class Problem:
    """A task and a space that fit together, and what is optimised.

    Attributes:
        task: The task; of a cross-validation with the data of the smallest fold.
        space: The space, every domain pinned to static or traced.
        metric: Name of what is optimised; empty in a problem for planning only.
        mode: "min" or "max".
    """

    task: Task
    space: Space
    metric: str
    mode: str
    _traces: Traces = field(default_factory=dict, repr=False)

    def case(self, variant: Variant) -> Case:
        """What trials with these static hyperparameters train.

        Raises:
            ValueError: Their batch size is none.
        """
        task = self.task
        if task.batch_size is not None and BATCH_SIZE in variant.static:
            task = task.replace(batch_size=variant.static[BATCH_SIZE])
            checks.check_batch_size(task.batch_size, task.num_examples or 0)
        return Case(task, self.space, variant, self._traces)

    def cases(self) -> Iterator[Case]:
        """Those of all variants, the first options first."""
        return map(self.case, self.space.variants())

    @cached_property
    def first(self) -> Case:
        """The case with the first option of every static hyperparameter."""
        return next(self.cases())


def resolve(task: Task, space: Space, metric: str | None, mode: str | None, whole: Task | None = None) -> Problem:
    """Checks whether a task, a space and a metric fit together, and pins each hyperparameter to traced or static.

    The task by itself has been checked, see `checks.check_task`. Without a metric the problem is good for planning
    only. `whole` has all data where `task` has one fold of them.

    Raises:
        TypeError: Something has the wrong type, or a traced number is used where Python needs a value.
        ValueError: Something has a wrong value.
        KeyError: The task reads a hyperparameter that the space lacks.
    """
    if task.evaluation.loss_takes_hp and metric == "loss":
        raise ValueError(
            "The loss takes hp, so its validation value differs between trials for reasons other than the "
            "model: name a metric."
        )
    if task.validation is None and task.train is not None:
        raise ValueError("Selection needs validation data: pass validation= or folds=.")
    problem = _pinned(Problem(task, space, metric or "", ""))
    _check_names(problem.first.functions, metric)
    problem = replace(problem, mode=_known_mode(task, metric, mode))
    _check_all_read(problem)
    task.evaluation.check_data(whole or task, problem.first.values)
    if BATCH_SIZE in space.hp_names:
        for _ in islice(problem.cases(), _MAX_VARIANTS):
            pass  # each checks its own size
    return problem


def _check_names(functions: Functions, metric: str | None) -> None:
    """Raises ValueError if a task doesn't report a metric, or two things under one name."""
    if metric is not None and metric not in functions.metrics:
        hint = did_you_mean(metric, functions.metrics)
        known = ", ".join(functions.metrics) or "nothing"
        raise ValueError(f"metric={metric!r} is unknown{hint}; the task reports {known}.")
    for name, mean in functions.means.items():
        if mean in functions.metrics:
            raise ValueError(
                f"The task reports a metric {mean!r}, which is the name of the mean of what step logs as "
                f"{name!r}; choose another name."
            )


def _known_mode(task: Task, metric: str | None, mode: str | None) -> str:
    if mode not in ("min", "max", None):
        raise ValueError(f"mode must be 'min' or 'max', got {mode!r}.")
    known = None if metric is None else task.evaluation.mode_of(metric)
    if mode is not None:
        if known not in (mode, None):
            warn(f"mode={mode!r} looks for the worst {metric!r}, which is better the other way.")
        return mode
    if known is None:
        raise ValueError(
            f"metric={metric!r} needs mode='min' or mode='max'; only the loss and jt.metrics have a known direction."
        )
    return known


# Traced or static.


def _pinned(problem: Problem) -> Problem:
    """Traces whatever can be traced; the undecided that can't become static."""
    task, space = problem.task, problem.space
    sizes = [key for key in space.names if space.hp_name(key) == BATCH_SIZE] if task.batch_size is not None else []
    try:
        space = space.pin(dict.fromkeys(sizes, True))
    except ValueError as error:
        raise ValueError(
            f"batch_size sets the shape of a batch, so it needs a Choice or an Integer, one program per value: {error}"
        ) from None
    undecided, static = set(space.undecided), set[str]()
    while True:
        tried = replace(problem, space=space.pin({key: key in static for key in undecided}))
        found = _untraceable(tried, undecided - static)
        if not found:
            return tried
        static |= found


def _untraceable(problem: Problem, undecided: set[str]) -> set[str]:
    """Some of the undecided that a case needs as Python values; nothing if all cases looked at can be traced.

    Looks at the first options of static hyperparameters and at those with one change: a shape may matter in one
    branch only.
    """
    for case in islice(problem.cases(), _MAX_VARIANTS) if undecided else ():
        if sum(index > 0 for index in case.variant.indices.values()) > 1 or case.failure() is None:
            continue
        case.suspect.check_concrete()
        traced = {name: key for name, key in case.variant.traced.items() if key in undecided}
        found = {traced[name] for name in case.suspect.faulty(tuple(traced))}
        if found:
            return found
    return set()


# Hyperparameters that nothing reads: a search over them would only add noise to its report.


def _check_all_read(problem: Problem) -> None:
    """Raises ValueError if no function reads a hyperparameter.

    A traced one is read if some program depends on it, a static one if it makes a difference between two
    programs; be it for some options of the others only, as beta of Adam where the first option is SGD.
    """
    space = problem.space
    unread = {key for key in space.names if key in space.traced or space.domain(key).num_options != 1}
    seen: list[Case] = []
    for case in islice(problem.cases(), _MAX_CASES):
        unread -= _traced_read(case)
        unread -= {key for other in seen for key in _static_read(case, other)}
        if not unread:
            return
        seen.append(case)
    if len(seen) == _MAX_CASES:
        return  # the benefit of the doubt
    name = space.hp_name(next(key for key in space.names if key in unread))
    raise ValueError(f"The space has {name!r}, which no function of the task reads.")


def _traced_read(case: Case) -> set[str]:
    """Keys of the traced hyperparameters that the results of some function depend on."""
    keys = case.variant.traced
    return {keys[name] for part in case.functions.parts for name in part.reads(sorted(keys))}


def _static_read(a: Case, b: Case) -> set[str]:
    """The static hyperparameter in which two cases differ, if it is one only and the programs differ.

    What exists in one branch of a choice only differs together with that choice.
    """
    mine, theirs = a.variant.indices, b.variant.indices
    changed = {key for key, index in mine.items() if key in theirs and index != theirs[key]}
    return changed if len(changed) == 1 and not _are_same(a, b) else set()


def _are_same(a: Case, b: Case) -> bool:
    if [part.fingerprint for part in a.functions.parts] != [part.fingerprint for part in b.functions.parts]:
        return False
    return all(map(_same_array, *(jax.tree.leaves(case.functions.consts) for case in (a, b))))


def _same_array(a: Any, b: Any) -> bool:
    if a is b or isinstance(a, jax.core.Tracer) or isinstance(b, jax.core.Tracer):
        return a is b
    if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
        a, b = jax.random.key_data(a), jax.random.key_data(b)
    return np.array_equal(np.asarray(a), np.asarray(b))
