"""What has to be equal for the values of two searches to be comparable, as plain values that a pickle can hold."""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import jax
import numpy as np

from jaxtune.tasks.fingerprints import array_digest, digest, fingerprint
from jaxtune.tasks.folds import Fold
from jaxtune.tasks.functions import structs
from jaxtune.tasks.problem import Problem, static_values
from jaxtune.tasks.task import Task

_MAX_COMBINATIONS = 64  # of static options whose traces are compared


def conditions(problem: Problem, task: Task, replicates: int, folds: Sequence[Fold] | None) -> dict[str, Any]:
    """What a search measures, and on which data: name -> a number or a text."""
    validation: Any = task.validation if folds is None else (task.train, [np.asarray(f.validation) for f in folds])
    dealt = None if folds is None else array_digest([np.asarray(part) for fold in folds for part in fold])
    return {
        "metric": problem.metric,
        "mode": problem.mode,
        "reports": _reports(problem),
        "replicates": replicates,
        "folds": None if folds is None else f"{len(folds)} with the digest {dealt}",  # other seeds deal other folds
        "batch_size": task.batch_size,
        "validation data": None if validation is None else f"with the digest {array_digest(validation)}",
    }


def check_conditions(
    owner: str,
    before: Mapping[str, Any],
    problem: Problem,
    task: Task,
    replicates: int,
    folds: Sequence[Fold] | None,
) -> None:
    """Raises ValueError unless an earlier search measured the same on the same data, with functions that trace alike.

    Args:
        owner: What the earlier search is called in the sentence.
        before: Its conditions.
        problem: Of this search.
        task: Of this search.
        replicates: Of this search.
        folds: Of this search.
    """
    for what, value in conditions(problem, task, replicates, folds).items():
        if value != before[what]:
            raise ValueError(
                f"{owner} has {what} {before[what]!r}, this search {value!r}: both must agree, or their values can't "
                "be compared."
            )
    for case, here in traces(problem, islice(problem.space.static_combinations(), _MAX_COMBINATIONS)).items():
        known = before["traces"].get(case, here)
        if not any(digests in known for digests in here):  # functions of one name may be several
            other = next(name for name in here[0] if here[0][name] != known[0].get(name))
            raise ValueError(
                f"{owner} was made with another {other} function, by what it computes: the values of the two can't be "
                "compared."
            )


def traces(problem: Problem, combinations: Iterable[Mapping[str, int]]) -> dict[str, list[dict[str, str]]]:
    """Digests of the task's functions by their names, for all that was traced for equal texts of static values.

    Args:
        problem: The problem.
        combinations: Option indices of static hyperparameters.
    """
    found: dict[str, list[dict[str, str]]] = {}
    for indices in combinations:
        found.setdefault(_case(problem, indices), []).append(_digests(problem, indices))
    return found


def _reports(problem: Problem) -> list[str]:
    functions = problem.functions(next(iter(problem.space.static_combinations())))
    return sorted([*functions.metrics, *functions.means.values()])


def _case(problem: Problem, indices: Mapping[str, int]) -> str:
    """What functions were traced for: the static values, the names of traced ones, and the version of JAX."""
    values = static_values(problem.space, indices)
    static = sorted((name, re.sub(r" at 0x\w+", "", repr(value))) for name, value in values.items())
    return repr((static, sorted(problem.traced_structs(indices)), problem.task_of(indices).batch_size, jax.__version__))


def _digests(problem: Problem, indices: Mapping[str, int]) -> dict[str, str]:
    named = problem.functions(indices).named
    found = {name: digest((part.fingerprint, array_digest(list(part.consts)))) for name, part in named.items()}
    prepare = problem.task.prepare
    if prepare is None:
        return found
    closed = jax.make_jaxpr(lambda train: prepare(train))(structs(problem.task.train))
    return found | {"prepare": digest((fingerprint(closed.jaxpr), array_digest(list(closed.consts))))}


def of_winner(problem: Problem, task: Task, indices: Mapping[str, int]) -> tuple[Any, ...]:
    """What a winner's weights hang on: all data for training, static values, functions."""
    return array_digest(task.train), _case(problem, indices), _digests(problem, indices)
