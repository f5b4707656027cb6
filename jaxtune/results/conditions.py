"""What has to be equal for the values of two searches to be comparable, as plain values that a pickle can hold."""

import re
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

import jax
import numpy as np

from jaxtune.engine.search import Search
from jaxtune.tasks.case import Case
from jaxtune.tasks.fingerprints import array_digest, digest, fingerprint
from jaxtune.tasks.functions import structs

_MAX_CASES = 64  # whose traces are compared


def conditions(search: Search) -> dict[str, Any]:
    """What a search measures, and on which data: name -> a number or a text."""
    problem, task, folds, functions = search.problem, search.task, search.folds, search.problem.first.functions
    validation: Any = task.validation if folds is None else (task.train, [np.asarray(f.validation) for f in folds])
    dealt = None if folds is None else array_digest([np.asarray(part) for fold in folds for part in fold])
    return {
        "metric": problem.metric,
        "mode": problem.mode,
        "reports": sorted([*functions.metrics, *functions.means.values()]),
        "replicates": search.replicates,
        "folds": None if folds is None else f"{len(folds)} with the digest {dealt}",  # other seeds deal other folds
        "batch_size": task.batch_size,
        "validation data": None if validation is None else f"with the digest {array_digest(validation)}",
    }


def check_conditions(owner: str, before: Mapping[str, Any], search: Search) -> None:
    """Raises ValueError unless an earlier search measured the same on the same data, with functions that trace alike.

    Args:
        owner: What the earlier search is called in the sentence.
        before: Its conditions.
        search: This search.
    """
    for what, value in conditions(search).items():
        if value != before[what]:
            raise ValueError(
                f"{owner} has {what} {before[what]!r}, this search {value!r}: both must agree, or their values can't "
                "be compared."
            )
    for case, here in traces(islice(search.problem.cases(), _MAX_CASES)).items():
        known = before["traces"].get(case, here)
        if not any(digests in known for digests in here):  # functions of one name may be several
            other = next(name for name in here[0] if here[0][name] != known[0].get(name))
            raise ValueError(
                f"{owner} was made with another {other} function, by what it computes: the values of the two can't be "
                "compared."
            )


def traces(cases: Iterable[Case]) -> dict[str, list[dict[str, str]]]:
    """Digests of the task's functions by their names, for all that was traced for equal texts of static values."""
    found: dict[str, list[dict[str, str]]] = {}
    for case in cases:
        found.setdefault(_text(case), []).append(_digests(case))
    return found


def _text(case: Case) -> str:
    """What functions were traced for: the static values, the names of traced ones, and the version of JAX."""
    static = sorted((name, re.sub(r" at 0x\w+", "", repr(value))) for name, value in case.variant.static.items())
    return repr((static, sorted(case.structs), case.task.batch_size, jax.__version__))


def _digests(case: Case) -> dict[str, str]:
    named = case.functions.named
    found = {name: digest((part.fingerprint, array_digest(list(part.consts)))) for name, part in named.items()}
    prepare = case.task.prepare
    if prepare is None:
        return found
    closed = jax.make_jaxpr(lambda train: prepare(train))(structs(case.task.train))
    return found | {"prepare": digest((fingerprint(closed.jaxpr), array_digest(list(closed.consts))))}


def of_winner(search: Search, case: Case) -> tuple[Any, ...]:
    """What a winner's weights hang on: all data for training, static values, functions."""
    return array_digest(search.task.train), _text(case), _digests(case)
