"""What a search of `quality.py` is about; all of them share one ladder of step counts."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jaxtune as jt

MIN_STEPS, MAX_STEPS, ETA = 10, 270, 3  # rungs at 10, 30 and 90 of 270 steps, a full training


@dataclass(frozen=True)
class Problem:
    """A task and a space.

    Attributes:
        name: Of the column in the tables.
        kind: "real", "function" or, left out of all means, "variant".
        space: name -> domain; all traced, so that one program trains every configuration.
        task: Seed of a search -> its task; equal but for the data, so that seeds share programs.
        metric: What is minimised.
        regret: hparams -> how much worse they are than the best, by the function itself; None for real data.
    """

    name: str
    kind: str
    space: dict[str, Any]
    task: Callable[[int], jt.Task]
    metric: str
    regret: Callable[[dict[str, Any]], float] | None = None
