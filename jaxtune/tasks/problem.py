"""Finding out, before anything compiles, whether a task and a space fit together.

One abstract evaluation of the task tells most; only when that fails are hyperparameters tried one at a time,
to say which of them is at fault and what to do about it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice

from jaxtune.interface.habits import did_you_mean
from jaxtune.interface.warning import warn
from jaxtune.spaces.space import Space
from jaxtune.spaces.variant import Variant
from jaxtune.tasks.case import BATCH_SIZE, Case, Traces
from jaxtune.tasks.functions import Functions
from jaxtune.tasks.task import Task
from jaxtune.tasks.unread import check_all_read

_MAX_VARIANTS = 1024  # that are looked through for those with one change


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
        """What trials with these static hyperparameters train."""
        return Case.of(self.task, self.space, variant, self._traces)

    def cases(self) -> Iterator[Case]:
        """Those of all variants, the first options first."""
        return map(self.case, self.space.variants())

    @property
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
    check_all_read(problem.space, problem.cases())
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
