"""Finding out, before anything compiles, whether a task and a space fit together.

One abstract evaluation of the task tells most; only when that fails are hyperparameters tried one at a time, to say
which of them is at fault and what to do about it.
"""

import difflib
import traceback
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.interpreters.partial_eval import dce_jaxpr

from jaxtune import checks
from jaxtune.functions import Functions, Inputs, call, inputs_of, trace, trace_anew
from jaxtune.space import Space
from jaxtune.task import Task


class Problem(NamedTuple):
    """A task and a space that fit together, and what is optimised."""

    task: Task
    space: Space  # every domain pinned to static or traced
    metric: str
    mode: str

    def functions(self, indices: Mapping[str, int]) -> Functions:
        """The traced functions of the group with these options of the static hyperparameters."""
        return trace(self.task, static_values(self.space, indices), self.space.order, self.inputs)

    @property
    def inputs(self) -> Inputs:
        """Shapes and dtypes that the task's functions are called with."""
        return inputs_of(self.task, _traced_structs(self.space))


def static_values(space: Space, indices: Mapping[str, int]) -> dict[str, Any]:
    """What is a Python value in one group: constants, and the options of static hyperparameters."""
    return {
        **dict(space.constants),
        **{name: space.static_value(name, indices[name]) for name in space.static},
    }


def resolve(task: Task, space: Space, metric: str, mode: str | None) -> Problem:
    """Checks a task, a space and a metric, and pins each hyperparameter to traced or static.

    Raises:
        TypeError: Something has the wrong type, or a traced number is used where Python needs a value.
        ValueError: Something has a wrong value.
        KeyError: The task reads a hyperparameter that the space lacks.
    """
    if not isinstance(task, Task):
        raise TypeError(f"task must be a jaxtune Task, got {type(task).__name__}.")
    checks.check_task_data(task)
    mode = _check_mode(metric, mode)
    if getattr(task.evaluate, "loss_takes_hp", False) and metric == "loss":
        raise ValueError(
            "The loss takes hp, so its validation value differs between trials for reasons other than the model: "
            "name a metric."
        )
    if task.validation is None and task.train is not None:
        raise ValueError("Selection needs validation data: pass validation=.")
    space, functions = _pin(task, space)
    if metric not in functions.metrics:
        raise ValueError(f"metric={metric!r} is unknown; the task reports {', '.join(functions.metrics)}.")
    _check_all_read(task, space, functions)
    if hasattr(task.evaluate, "check_data"):
        first = {name: 0 for name in space.static}
        task.evaluate.check_data(task, functions.state, {**_examples(space), **static_values(space, first)})
    return Problem(task, space, metric, mode)


def _check_mode(metric: str, mode: str | None) -> str:
    if mode in ("min", "max"):
        return mode
    if mode is not None:
        raise ValueError(f"mode must be 'min' or 'max', got {mode!r}.")
    if metric != "loss":
        raise ValueError(
            f"metric={metric!r} needs mode='min' or mode='max'; only the loss has a known direction."
        )
    return "min"


def _traced_structs(space: Space) -> dict[str, jax.ShapeDtypeStruct]:
    shapes = jax.eval_shape(space.decode, jax.ShapeDtypeStruct((space.num_dims,), jnp.float32))
    return {name: shapes[name] for name in space.traced}


def _examples(space: Space) -> dict[str, Any]:
    """A Python value of each traced hyperparameter."""
    with jax.ensure_compile_time_eval():  # `search` is called under jit
        middle = space.row(space.decode(jnp.full((1, space.num_dims), 0.5)), 0)
    return {name: middle[name] for name in space.traced}


def _pin(task: Task, space: Space) -> tuple[Space, Functions]:
    """Traces whatever can be traced; the undecided that can't become static."""
    try:
        pinned = space.pin(dict.fromkeys(space.undecided, False))
        return pinned, _first_trace(task, pinned)
    except Exception:
        _check_concrete(task, space)
        pinned = _probe_each(task, space)
        return pinned, _first_trace(task, pinned)


def _first_trace(task: Task, space: Space) -> Functions:
    inputs = inputs_of(task, _traced_structs(space))
    return trace(task, static_values(space, dict.fromkeys(space.static, 0)), space.order, inputs)


def _trace_only(task: Task, space: Space, traced: tuple[str, ...]) -> Functions:
    """Traces with some hyperparameters as arrays and all others as plain Python values."""
    static = {**static_values(space, dict.fromkeys(space.static, 0)), **_examples(space)}
    structs = {name: struct for name, struct in _traced_structs(space).items() if name in traced}
    kept = {name: value for name, value in static.items() if name not in traced}
    return trace_anew(task, kept, space.order, inputs_of(task, structs))


class _Reads(dict):
    """Hyperparameters that report a name they lack; only for finding the cause of a KeyError."""

    def __missing__(self, name: str) -> Any:
        close = difflib.get_close_matches(str(name), list(self), n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise _Misspelt(
            f"The task reads hp[{name!r}], but the space has: {', '.join(self) or 'nothing'}.{hint}"
        )


class _Misspelt(KeyError):
    def __str__(self) -> str:
        return str(self.args[0])


def _check_concrete(task: Task, space: Space) -> None:
    """Raises the user's own exception if the task fails with plain Python values too."""
    try:
        _trace_only(task, space, ())
    except KeyError as error:
        static = {**static_values(space, dict.fromkeys(space.static, 0)), **_examples(space)}
        if error.args and error.args[0] not in static:
            _find_misspelt(task, _Reads({name: static[name] for name in space.order}))
        raise


def _find_misspelt(task: Task, hp: _Reads) -> None:
    try:
        trace_anew(_with_hparams(task, hp), {}, (), inputs_of(task, {}))
    except _Misspelt as error:
        raise KeyError(str(error)) from None
    except Exception:
        return  # the caller raises the first error


def _with_hparams(task: Task, hp: dict) -> Task:
    """The task with this very dict in place of the one that the engine would make."""

    def bind(role: str) -> Any:
        def function(*args: Any, step: Any, total_steps: Any, stats: Any) -> Any:
            return call(
                role, getattr(task, role), *args[:-1], hp, step=step, total_steps=total_steps, stats=stats
            )

        return function

    return task.replace(**{role: bind(role) for role in ("init", "step", "evaluate")})


def _probe_each(task: Task, space: Space) -> Space:
    """Traces one hyperparameter at a time: the undecided that fail become static, others are reported."""
    static = {}
    for name in space.traced:
        try:
            _trace_only(task, space, (name,))
        except Exception as error:
            if name not in space.undecided:
                raise _explain(name, error) from error
            static[name] = True
        else:
            if name in space.undecided:
                static[name] = False
    return space.pin(static)


def _explain(name: str, error: Exception) -> TypeError:
    """What to do about a traced hyperparameter that some code needs as a Python value; told by where it failed."""
    frames = [
        (frame.filename.replace("\\", "/"), frame.name) for frame in traceback.extract_tb(error.__traceback__)
    ]
    schedules = [name for path, name in frames if "/optax/" in path and name in dir(optax.schedules)]
    dropout = any("/flax/" in path and ("stochastic" in path or "attention" in path) for path, _ in frames)
    where, advice = (
        "the task",
        f"declare it static, as in jt.Choice([...], static=True), or keep hp[{name!r}] out of it",
    )
    if schedules:
        where, advice = (
            f"optax.{schedules[0]}",
            f"use jt.schedules.{schedules[0]}, which accepts traced arguments",
        )
    elif dropout:
        where, advice = "a Flax dropout layer", f"use jt.rate(hp[{name!r}])"
    message = str(error).strip().splitlines()
    cause = message[0] if message else type(error).__name__
    return TypeError(
        f"{name!r} is a traced number, but {where} needs a Python value: {advice}. (The error was: {cause})"
    )


def _check_all_read(task: Task, space: Space, functions: Functions) -> None:
    """Refuses hyperparameters that no function reads: a search over them would only add noise to its report."""
    read = _inputs_read(functions, sorted(space.traced))
    for name in space.static:
        if _changes_program(task, space, name, functions):
            read.add(name)
    for name in space.names:
        if name not in read:
            raise ValueError(f"The space has {name!r}, which no function of the task reads.")


def _inputs_read(functions: Functions, names: list[str]) -> set[str]:
    """Traced hyperparameters that the results of init, step or evaluate depend on."""
    read = set()
    for traced in (functions.init, functions.step, functions.evaluate):
        _, used = dce_jaxpr(traced.jaxpr, [True] * len(traced.jaxpr.outvars))
        read |= {name for name, is_used in zip(names, used[traced.hp], strict=True) if is_used}
    return read


def _changes_program(task: Task, space: Space, name: str, functions: Functions) -> bool:
    """Whether some option of a static hyperparameter gives another program than the first."""
    first = _programs_text(functions)
    inputs = inputs_of(task, _traced_structs(space))
    for index in range(1, space.domain(name).num_options or 1):
        indices = {**dict.fromkeys(space.static, 0), name: index}
        if _programs_text(trace(task, static_values(space, indices), space.order, inputs)) != first:
            return True
    return (space.domain(name).num_options or 1) == 1


def _programs_text(functions: Functions) -> tuple[Any, ...]:
    parts = (functions.init, functions.step, functions.evaluate)
    return tuple((str(part.jaxpr), part.out_tree) for part in parts)
