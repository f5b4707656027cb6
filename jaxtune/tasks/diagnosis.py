"""Which hyperparameter is at fault where a task can't be traced, and what its user is told."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax

from jaxtune.interface.entry import OF_TASK
from jaxtune.interface.habits import did_you_mean
from jaxtune.spaces.values import is_number
from jaxtune.spaces.variant import Variant
from jaxtune.tasks.advice import explain
from jaxtune.tasks.functions import call, inputs_of, trace_anew
from jaxtune.tasks.task import Task


class Suspect(NamedTuple):
    """A task that can't be traced with some hyperparameters as arrays."""

    task: Task
    values: Mapping[str, Any]  # a Python value of every hyperparameter, in the order of `hp`
    structs: Mapping[str, Any]  # shapes and dtypes of those that are traced

    def explained(self, error: Exception, num_options: Mapping[str, int | None]) -> Exception:
        """What to raise instead of an error: a sentence, or the user's own.

        Args:
            error: What comes of tracing.
            num_options: Of the domain of each traced hyperparameter; None for a continuous one.
        """
        if isinstance(error, jax.errors.UnexpectedTracerError):
            found = TypeError(
                "step or evaluate uses a traced value that init left somewhere else than in the arrays of the state. "
                "Static parts of a state, such as tx of Flax's TrainState, can't hold hyperparameters: make the "
                "optimizer in step."
            )
            found.__cause__ = error
            return found
        self.check_concrete()
        for name, cause in self.faulty(tuple(self.structs)).items():
            found = explain(name, f"hp[{name!r}]", num_options[name], cause)
            found.__cause__ = cause
            return found
        return error

    def faulty(self, names: tuple[str, ...]) -> dict[str, Exception]:
        """Those of some hyperparameters that can't be arrays, each with what comes of it.

        Few ever are, so they are looked for by halves: one trace tells that a whole half is innocent.
        """
        cause = failure_of(self._trace, names) if names else None
        if cause is None or len(names) == 1:
            return {} if cause is None else {names[0]: cause}
        half = len(names) // 2
        return self.faulty(names[:half]) | self.faulty(names[half:])

    def check_concrete(self) -> None:
        """Raises if the task fails with plain Python values too: a user's own exception passes through."""
        error = failure_of(self._trace, ())
        if error is None:
            return
        if isinstance(error, KeyError):
            self._check_misspelt()
        self._check_ranges(error)
        for counters in ({"total_steps": 100}, {"step": 0}, {"total_steps": 100, "step": 0}):
            if failure_of(self._trace, (), counters) is None:
                name = next(iter(counters))
                raise explain(name, name, None, error) from error
        error.add_note(f"{OF_TASK}with the hyperparameters {dict(self.values)}.")
        raise error

    def _trace(self, traced: tuple[str, ...], counters: Mapping[str, int] | None = None) -> None:
        """Traces with some hyperparameters as arrays, all others and these counters as plain Python values."""
        static = {name: value for name, value in self.values.items() if name not in traced}
        task = _with_values(self.task, counters) if counters else self.task
        structs = {name: self.structs[name] for name in traced}
        trace_anew(task, _fixed(self.values, static), inputs_of(task, structs))

    def _check_misspelt(self) -> None:
        task = _with_values(self.task, {}, _Reads(self.values))
        error = failure_of(trace_anew, task, _fixed({}, {}), inputs_of(task, {}))
        if isinstance(error, _Misspelt):
            raise KeyError(str(error)).with_traceback(error.__traceback__) from None

    def _check_ranges(self, error: Exception) -> None:
        """Raises TypeError if a tuple of numbers is a constant where the task needs one of them: a range was meant."""
        tuples = {name: x for name, x in self.values.items() if isinstance(x, tuple) and x and all(map(is_number, x))}
        for names in (*((name,) for name in tuples), tuple(tuples)):
            changed = {**self.values, **{name: tuples[name][0] for name in names}}
            inputs = inputs_of(self.task, {})
            if names and failure_of(trace_anew, self.task, _fixed(self.values, changed), inputs) is None:
                raise TypeError(_range_meant(names[0], tuples[names[0]])) from error


def _fixed(names: Iterable[str], values: Mapping[str, Any]) -> Variant:
    """Hyperparameters of which some are Python values."""
    return Variant({}, dict.fromkeys(names, ""), values)


def failure_of(function: Callable, *args: Any) -> Exception | None:
    """What a call raises; None if it works."""
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
