"""What happens when memory runs out: the search goes on with fewer lanes at once.

Programs consume the population that they change, so that one that fails may take it along. A population is then made
anew: equal trials with equal keys learn the same again, and what was decided in the meantime is known.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np

from jaxtune.engine.group import Group

T = TypeVar("T")

_WORDS = "RESOURCE_EXHAUSTED", "Out of memory"  # on a CPU an "INTERNAL" error may hold the second ones


class OutOfMemory(MemoryError):
    """There is not even memory for a single lane at once; user code never raises this one."""


class Stage(NamedTuple):
    """What happened up to an evaluation, and after it; T trials."""

    stop: int  # step count
    hp: Mapping[str, Any]  # key -> [T], in force on the way there
    source: np.ndarray  # [T]: from whose weights each trial went on
    training: np.ndarray  # [T] bool: who is still in training now
    kept: np.ndarray  # [T] bool: whose checkpoint was made here


def ran_out_of_memory(error: Exception) -> bool:
    """Whether that is what an error says."""
    return isinstance(error, MemoryError) or any(words in str(error) for words in _WORDS)


def safely(work: Callable[[], T], group: Group, again: Callable[[], None], tell: Callable[[Group], None]) -> T:
    """Does some work on a group; if memory runs out, with half as many lanes at once, and so on.

    Args:
        work: What to do.
        group: On what.
        again: Makes the group's population anew: programs that fail may take it along, change it in part, or leave
            arrays that raise when they are looked at.
        tell: Called with the group, once it is narrower.

    Raises:
        OutOfMemory: Memory runs out for single lanes too.
    """
    failed = False
    while True:
        try:
            if failed:
                again()
            return work()
        except (MemoryError, jax.errors.JaxRuntimeError) as error:
            if not ran_out_of_memory(error):
                raise
            failed = True
            if not group.narrow():
                raise OutOfMemory(f"Memory ran out even for a single lane at once on each device: {error}") from error
            tell(group)


def replay(group: Group, course: Sequence[Stage], hp: Mapping[str, Any], reached: int, metric: str, mode: str) -> None:
    """Makes the population of a group anew, with the trials that are still in training.

    Args:
        group: The group.
        course: What has happened.
        hp: Key -> [T], in force since.
        reached: Step count to get to.
        metric: Of the search.
        mode: Of the search.
    """
    group.restart()
    group.spawn(course[0].hp if course else hp)
    start = 0
    for stage in course:
        _train(group, stage.hp, start, stage.stop)
        group.evaluate(stage.hp, stage.stop, metric, mode)  # states may observe their values
        if group.layout.keeps_best:
            group.keep(stage.kept)
        group.decide(stage.training, stage.source)
        start = stage.stop
    _train(group, hp, start, reached)


def _train(group: Group, hp: Mapping[str, Any], start: int, stop: int) -> None:
    for _ in group.train(hp, start, stop):
        pass
