"""Finding out, before anything compiles, whether a task and a space fit together.

One abstract evaluation of the task tells most; only when that fails are hyperparameters tried one at a time,
to say which of them is at fault and what to do about it.
"""

import functools
import warnings
from collections.abc import Callable, Hashable, Mapping
from itertools import islice
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxtune.interface.entry import OF_TASK
from jaxtune.interface.habits import did_you_mean
from jaxtune.spaces.space import Space
from jaxtune.spaces.values import is_number
from jaxtune.tasks import checks
from jaxtune.tasks.advice import explain
from jaxtune.tasks.executables import Jitted
from jaxtune.tasks.functions import Functions, call, inputs_of, trace, trace_anew
from jaxtune.tasks.task import Task
from jaxtune.tasks.unread import check_all_read

_ROLES = {
    "init": ("key", "hp"),
    "step": ("key", "state", "batch", "hp"),
    "evaluate": ("key", "state", "data", "hp"),
    "prepare": ("train",),
    "observe": ("state", "score", "hp"),
    "healthy": ("state",),
}
_MAX_COMBINATIONS = 1024  # of static options that are looked through for those with one change
_OPTIONAL = ("prepare", "observe", "healthy")
BATCH_SIZE = "batch_size"  # the hyperparameter that takes the place of the task's batch size


Traces = dict[Hashable, Functions]  # of one search, see `functions.trace`


class Problem(NamedTuple):
    """A task and a space that fit together, and what is optimised."""

    task: Task
    space: Space  # every domain pinned to static or traced
    metric: str
    mode: str
    traces: Traces

    def functions(self, indices: Mapping[str, int]) -> Functions:
        """The traced functions of the group with these options of the static hyperparameters."""
        return _traced(self.traces, self.task, self.space, indices)

    def example_hp(self) -> dict[str, Any]:
        """Python values of hyperparameters: the middle of the space, and the first of static options."""
        return _values(self.space, _first(self.space))

    def task_of(self, indices: Mapping[str, int]) -> Task:
        """The task of a group: with the batch size that the space gives, where it gives one."""
        return _task_of(self.task, self.space, indices)

    def traced_structs(self, indices: Mapping[str, int]) -> dict[str, jax.ShapeDtypeStruct]:
        """Shapes and dtypes of a group's traced hyperparameters."""
        return _traced_structs(self.space, indices)


def decode(unit: ArrayLike, *, space: Space) -> dict[str, jax.Array]:
    """Hyperparameters, key -> [T], of points [T, D] of the unit cube; option indices of the static ones."""
    return _decoding(space)(unit)


@functools.lru_cache(maxsize=32)
def _decoding(space: Space) -> Jitted:
    return Jitted(space.decode)


def static_values(space: Space, indices: Mapping[str, int]) -> dict[str, Any]:
    """What is a Python value in one group: constants, and the options of static hyperparameters."""
    traced = _traced_names(space, indices)
    values = space.assemble(dict.fromkeys(traced), indices)
    return {name: value for name, value in values.items() if name not in traced}


def _traced_names(space: Space, indices: Mapping[str, int]) -> dict[str, str]:
    """Name -> key of the traced hyperparameters of a group."""
    return {name: key for name, key in space.active(indices).items() if key in space.traced}


def _task_of(task: Task, space: Space, indices: Mapping[str, int]) -> Task:
    if task.batch_size is None or BATCH_SIZE not in space.hp_names:
        return task
    values = static_values(space, indices)
    if BATCH_SIZE not in values:
        return task
    checks.check_batch_size(values[BATCH_SIZE], task.num_examples or 0)
    return task.replace(batch_size=values[BATCH_SIZE])


def resolve(task: Task, space: Space, metric: str | None, mode: str | None, whole: Task | None = None) -> Problem:
    """Checks a task, a space and a metric, and pins each hyperparameter to traced or static.

    Without a metric the problem is good for planning only. `whole` has all data where `task` has one fold of them.

    Raises:
        TypeError: Something has the wrong type, or a traced number is used where Python needs a value.
        ValueError: Something has a wrong value.
        KeyError: The task reads a hyperparameter that the space lacks.
    """
    checks.check_task(task)
    for role, arguments in _ROLES.items():
        if role not in _OPTIONAL or getattr(task, role) is not None:
            checks.check_function(role, getattr(task, role), arguments)
    checks.check_task_data(task)
    if task.evaluation.loss_takes_hp and metric == "loss":
        raise ValueError(
            "The loss takes hp, so its validation value differs between trials for reasons other than the "
            "model: name a metric."
        )
    if task.validation is None and task.train is not None:
        raise ValueError("Selection needs validation data: pass validation= or folds=.")
    traces: Traces = {}
    space, functions = _pin(traces, task, space)
    if metric is not None and metric not in functions.metrics:
        hint = did_you_mean(metric, functions.metrics)
        known = ", ".join(functions.metrics) or "nothing"
        raise ValueError(f"metric={metric!r} is unknown{hint}; the task reports {known}.")
    mode = _check_mode(task, metric, mode)
    for name, mean in functions.means.items():
        if mean in functions.metrics:
            raise ValueError(
                f"The task reports a metric {mean!r}, which is the name of the mean of what step logs as "
                f"{name!r}; choose another name."
            )
    check_all_read(space, lambda indices: _traced(traces, task, space, indices))
    task.evaluation.check_data(whole or task, _values(space, _first(space)))
    if BATCH_SIZE in space.hp_names:
        for indices in islice(space.static_combinations(), _MAX_COMBINATIONS):
            _task_of(task, space, indices)
    return Problem(task, space, metric or "", mode, traces)


def _check_mode(task: Task, metric: str | None, mode: str | None) -> str:
    if mode not in ("min", "max", None):
        raise ValueError(f"mode must be 'min' or 'max', got {mode!r}.")
    known = None if metric is None else task.evaluation.mode_of(metric)
    if mode is not None:
        if known not in (mode, None):
            warnings.warn(f"mode={mode!r} looks for the worst {metric!r}, which is better the other way.", stacklevel=5)
        return mode
    if known is None:
        raise ValueError(
            f"metric={metric!r} needs mode='min' or mode='max'; only the loss and jt.metrics have a known direction."
        )
    return known


def _traced_structs(space: Space, indices: Mapping[str, int]) -> dict[str, jax.ShapeDtypeStruct]:
    shapes = jax.eval_shape(space.decode, jax.ShapeDtypeStruct((space.num_dims,), jnp.float32))
    return {name: shapes[key] for name, key in _traced_names(space, indices).items()}


def _values(space: Space, indices: Mapping[str, int]) -> dict[str, Any]:
    """A Python value of every hyperparameter of a group, in the order of the user's own dict."""
    with jax.ensure_compile_time_eval():  # `search` is called under jit
        middle = decode(np.full((1, space.num_dims), 0.5, np.float32), space=space)
        traced = {
            name: space.domain(key).to_python(np.asarray(middle[key])[0])
            for name, key in _traced_names(space, indices).items()
        }
    return space.assemble(traced, indices)


def _first(space: Space) -> dict[str, int]:
    """The first option of every static hyperparameter."""
    return next(iter(space.static_combinations()))


# Traced or static.


def _pin(traces: Traces, task: Task, space: Space) -> tuple[Space, Functions]:
    """Traces whatever can be traced; the undecided that can't become static."""
    sizes = [key for key in space.names if space.hp_name(key) == BATCH_SIZE] if task.batch_size is not None else []
    try:
        space = space.pin(dict.fromkeys(sizes, True))
    except ValueError as error:
        raise ValueError(
            f"batch_size sets the shape of a batch, so it needs a Choice or an Integer, one program per value: {error}"
        ) from None
    undecided, static = set(space.undecided), set[str]()
    while True:
        pinned = space.pin({key: key in static for key in undecided})
        found = _untraceable(traces, task, pinned, undecided - static)
        if not found:
            return pinned, _traced(traces, task, pinned, _first(pinned))
        static |= found


def _untraceable(traces: Traces, task: Task, space: Space, undecided: set[str]) -> set[str]:
    """Some of the undecided that a group needs as Python values; nothing if all groups looked at can be traced.

    Looks at the first options of static hyperparameters and at those with one change: a shape may matter in one
    branch only.
    """
    for indices in islice(space.static_combinations(), _MAX_COMBINATIONS) if undecided else ():
        if sum(index > 0 for index in indices.values()) > 1 or _failure(_trace, traces, task, space, indices) is None:
            continue
        _check_concrete(task, space, indices)
        active = {name: key for name, key in _traced_names(space, indices).items() if key in undecided}
        found = {active[name] for name in _faulty(task, space, indices, tuple(active))}
        if found:
            return found
    return set()


def _trace(traces: Traces, task: Task, space: Space, indices: Mapping[str, int]) -> Functions:
    task = _task_of(task, space, indices)
    inputs = inputs_of(task, _traced_structs(space, indices))
    return trace(traces, task, static_values(space, indices), tuple(space.active(indices)), inputs)


def _traced(traces: Traces, task: Task, space: Space, indices: Mapping[str, int]) -> Functions:
    """The functions of one group, or a report of what hinders them."""
    try:
        return _trace(traces, task, space, indices)
    except jax.errors.UnexpectedTracerError as error:
        raise TypeError(
            "step or evaluate uses a traced value that init left somewhere else than in the arrays of the state. "
            "Static parts of a state, such as tx of Flax's TrainState, can't hold hyperparameters: make the "
            "optimizer in step."
        ) from error
    except Exception as error:
        failure = error
    _check_concrete(task, space, indices)
    names = _traced_names(space, indices)
    for name, cause in _faulty(task, space, indices, tuple(names)).items():
        raise explain(name, f"hp[{name!r}]", space.domain(names[name]).num_options, cause) from cause
    raise failure


def _faulty(task: Task, space: Space, indices: Mapping[str, int], names: tuple[str, ...]) -> dict[str, Exception]:
    """Those of some hyperparameters that can't be arrays, each with what comes of it.

    Few ever are, so they are looked for by halves: one trace tells that a whole half is innocent.
    """
    cause = _failure(_trace_only, task, space, indices, names) if names else None
    if cause is None or len(names) == 1:
        return {} if cause is None else {names[0]: cause}
    half = len(names) // 2
    return {k: v for part in (names[:half], names[half:]) for k, v in _faulty(task, space, indices, part).items()}


def _trace_only(
    task: Task,
    space: Space,
    indices: Mapping[str, int],
    traced: tuple[str, ...],
    counters: Mapping[str, int] | None = None,
) -> None:
    """Traces with some hyperparameters as arrays, all others and these counters as plain Python values."""
    values = _values(space, indices)
    structs = {name: struct for name, struct in _traced_structs(space, indices).items() if name in traced}
    static = {name: value for name, value in values.items() if name not in traced}
    task = _task_of(task, space, indices)
    if counters:
        task = _with_values(task, counters)
    trace_anew(task, static, tuple(values), inputs_of(task, structs))


def _failure(function: Callable, *args: Any) -> Exception | None:
    try:
        function(*args)
    except Exception as error:
        return error
    return None


def _with_values(task: Task, extras: Mapping[str, Any], hp: dict | None = None) -> Task:
    """The task with these values in place of those that the engine would pass."""

    def bind(role: str) -> Callable:
        def function(*args: Any, step: Any, total_steps: Any, stats: Any) -> Any:
            *fixed, given = args
            known = {"step": step, "total_steps": total_steps, "stats": stats, **extras}
            return call(role, getattr(task, role), *fixed, given if hp is None else hp, **known)

        return function

    roles = [role for role in ("init", "step", "evaluate", "observe") if getattr(task, role) is not None]
    return task.replace(**{role: bind(role) for role in roles})


# Saying what is wrong.


def _check_concrete(task: Task, space: Space, indices: Mapping[str, int]) -> None:
    """Raises if the task fails with plain Python values too: a user's own exception passes through."""
    error = _failure(_trace_only, task, space, indices, ())
    if error is None:
        return
    values = _values(space, indices)
    if isinstance(error, KeyError):
        _check_misspelt(task, values)
    _check_ranges(task, space, indices, error)
    for counters in ({"total_steps": 100}, {"step": 0}, {"total_steps": 100, "step": 0}):
        if _failure(_trace_only, task, space, indices, (), counters) is None:
            name = next(iter(counters))
            raise explain(name, name, None, error) from error
    error.add_note(f"{OF_TASK}with the hyperparameters {values}.")
    raise error


def _check_ranges(task: Task, space: Space, indices: Mapping[str, int], error: Exception) -> None:
    """Raises TypeError if a tuple of numbers is a constant where the task needs one of them: a range was meant."""
    values = _values(space, indices)
    tuples = {name: x for name, x in values.items() if isinstance(x, tuple) and x and all(map(is_number, x))}
    for names in (*((name,) for name in tuples), tuple(tuples)):
        changed = values | {name: tuples[name][0] for name in names}
        if names and _failure(trace_anew, task, changed, tuple(values), inputs_of(task, {})) is None:
            raise TypeError(_range_meant(names[0], tuples[names[0]])) from error


def _range_meant(name: str, given: tuple) -> str:
    """What to write instead of a tuple of numbers."""
    ways = [f"jt.Choice({list(given)})"]
    if len(given) == 2 and given[0] < given[1]:
        floats = ("Uniform", "LogUniform") if given[0] > 0 else ("Uniform",)
        kinds = ("Integer",) if all(isinstance(x, int) for x in given) else floats
        ways = [*(f"jt.{kind}({given[0]}, {given[1]})" for kind in kinds), *ways]
    return (
        f"{name!r} is the tuple {given}, a constant, where the task needs a number: to search write "
        f"{' or '.join(ways)}."
    )


class _Reads(dict):
    """Hyperparameters that report a name they lack; only for finding the cause of a KeyError."""

    def __missing__(self, name: str) -> Any:
        raise _Misspelt(
            f"The task reads hp[{name!r}], which the space lacks{did_you_mean(name, self)}; "
            f"it has {', '.join(self) or 'nothing'}."
        )


class _Misspelt(KeyError):
    def __str__(self) -> str:
        return str(self.args[0])


def _check_misspelt(task: Task, hp: dict) -> None:
    error = _failure(_trace_values, task, _Reads(hp))
    if isinstance(error, _Misspelt):
        raise KeyError(str(error)).with_traceback(error.__traceback__) from None


def _trace_values(task: Task, hp: dict) -> None:
    trace_anew(_with_values(task, {}, hp), {}, (), inputs_of(task, {}))
