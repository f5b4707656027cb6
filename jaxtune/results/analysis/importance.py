"""Which hyperparameters matter, from the trials of a search."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from jaxtune.interface.entry import entry, given_back
from jaxtune.results.analysis.dimensions import Dimension
from jaxtune.results.analysis.fanova import fanova
from jaxtune.results.analysis.in_force import dimensions_of
from jaxtune.results.analysis.ped_anova import CELLS, shares
from jaxtune.results.history import History, rank_trials
from jaxtune.results.text import listing
from jaxtune.results.views import Views

_FEWEST = 10  # trials; fewer say nothing
_HANDFUL = 5  # trials, the least that the best are


@given_back
@dataclass(frozen=True)
class Share:
    """How much one hyperparameter matters.

    Attributes:
        name: Of the hyperparameter.
        share: In [0, 1], of all hyperparameters together.
        low: Lower end of a 95 % bootstrap interval; NaN where there is none.
        high: Its upper end.
    """

    name: str
    share: float
    low: float = math.nan
    high: float = math.nan


@given_back
@dataclass(frozen=True)
class Importance:
    """How much each hyperparameter matters, the most important first; see `jt.importance`.

    `importance["lr"]` is the share of one, a `Share`; a loop goes over all of them.

    Attributes:
        shares: One `Share` per hyperparameter that differs between trials.
        metric: Name of the metric that ranks the trials.
        method: "ped_anova" or "fanova".
        step: Step count at which trials were compared; None for the ranking at the end.
        num_trials: Trials that were compared.
        num_top: Those of them that count as the best.
    """

    shares: tuple[Share, ...]
    metric: str
    method: str
    step: int | None
    num_trials: int
    num_top: int

    def __getitem__(self, name: str) -> Share:
        found = next((one for one in self.shares if one.name == name), None)
        if found is None:
            raise KeyError(f"There is no hyperparameter {name!r}; there are {listing(self.names)}.")
        return found

    def __iter__(self) -> Iterator[Share]:
        return iter(self.shares)

    def __len__(self) -> int:
        return len(self.shares)

    @property
    def names(self) -> list[str]:
        """The hyperparameters, the most important first."""
        return [one.name for one in self.shares]

    def records(self) -> list[dict[str, Any]]:
        """One plain dict per hyperparameter: name, share, low, high."""
        return [asdict(one) for one in self.shares]

    def __repr__(self) -> str:
        when = "" if self.step is None else f" at step {self.step}"
        what = f"best {self.num_top} of {self.num_trials}" if self.method == "ped_anova" else f"{self.num_trials}"
        width = max(map(len, self.names))
        return "\n".join(
            [f"Importance for {self.metric}{when} ({self.method}, {what} trials)"]
            + [f"  {one.name:{width}s}  {one.share:4.0%}{_interval(one)}" for one in self.shares]
        )


def _interval(one: Share) -> str:
    return "" if math.isnan(one.low) else f"  [{one.low:.0%}, {one.high:.0%}]"


@entry
def importance(
    result: Any, *, step: int | None = None, top: float = 0.1, region: float = 1.0, method: str = "ped_anova"
) -> Importance:
    """How much each hyperparameter matters: what tells the best trials of a search from the others.

    PED-ANOVA compares the density of the best trials along a hyperparameter with the density of all: where they are
    alike, it doesn't matter. It needs no model of the metric, which is why trials that were pruned or diverged count
    too, as worse ones. A share is of the sum over hyperparameters: one that is high may mean that the range reaches
    into what is bad, and all depend on the ranges that were searched. `region=0.5` asks what matters among the better
    half, where gross mistakes are left behind.

    Densities are those of Optuna's PedAnovaImportanceEvaluator, but options of a choice are counted without
    smoothing, whole numbers have a cell each only on linear scales, and what as many trials chosen by chance would show
    is subtracted, so that the share of noise is near 0. The best are five trials at least. Where a scheduler
    explores, the hyperparameters are those that were in force last.

    Args:
        result: What `tune` or `load` returned.
        step: Compare trials by their value at this evaluation, those that were in training there; None for all trials
            in the order of `ranking`: how far they competed, then their value.
        top: Share of the trials that are the best.
        region: Share of the trials, the first in the ranking, that these are compared with.
        method: "ped_anova", or "fanova" for Optuna's functional ANOVA of the ranks of the region, where `top` has no
            meaning and shares have no intervals; it takes seconds for hundreds of trials, and minutes for thousands.

    Returns:
        An `Importance`: shares with 95 % bootstrap intervals, the most important hyperparameter first.

    Raises:
        ImportError: Optuna or scikit-learn, which "fanova" needs, is not installed.
        TypeError: `result` is none.
        ValueError: There are too few trials, all diverged, no hyperparameter differs, or an argument is out of range.

    Source: Watanabe, Bansal and Hutter, PED-ANOVA: efficiently quantifying hyperparameter importance in arbitrary
        subspaces, IJCAI 2023; Hutter, Hoos and Leyton-Brown, An efficient approach for assessing hyperparameter
        importance, ICML 2014.

    Example:
        >>> import flax.linen as nn, numpy as np, optax
        >>> import jaxtune as jt
        >>> x = np.linspace(-1, 1, 64, dtype=np.float32)[:, None]
        >>> task = jt.supervised(
        ...     nn.Dense(1), optimizer=lambda hp: optax.sgd(hp["lr"], momentum=hp["momentum"]),
        ...     loss=optax.squared_error, train=(x, 3 * x), validation=(x, 3 * x), batch_size=16,
        ... )
        >>> space = {"lr": jt.LogUniform(1e-4, 0.5), "momentum": jt.Uniform(0.0, 0.5)}
        >>> result = jt.tune(task, space, scheduler=jt.FullBudget(32, 50), progress=False)
        >>> found = jt.importance(result)
        >>> found.names, found["lr"].share > 0.5
        (['lr', 'momentum'], True)
    """
    if not isinstance(result, Views):
        raise TypeError(f"importance needs a result, as tune and load return it, got a {type(result).__name__}.")
    if method not in ("ped_anova", "fanova"):
        raise ValueError(f"method must be 'ped_anova' or 'fanova', got {method!r}.")
    if not 0 < top < region <= 1:
        raise ValueError(f"top and region are shares, 0 < top < region <= 1, got top={top!r} and region={region!r}.")
    history = result.history
    order, num_sound, evaluation = _ranked(history, result.metric, result.mode, step)
    found = dimensions_of(history, result.space, evaluation)
    _check(found, len(order), num_sound, result.metric)
    num_top, num_region = _sizes(len(order), num_sound, top, region)
    places = np.stack([one.places[order] for one in found], axis=1)  # [n, D]
    options = np.array([len(one.options) for one in found])
    if method == "fanova":
        share = fanova(places[:num_region], options)
        ends = [np.full(len(found), math.nan)] * 2
    else:
        share, *ends = shares(places, np.array(list(map(_cells, found))), options > 0, num_top, num_region)
    rows = [Share(one.name, *map(float, numbers)) for one, *numbers in zip(found, share, *ends, strict=True)]
    rows.sort(key=lambda row: -row.share)
    return Importance(tuple(rows), result.metric, method, step, num_region, num_top)


def _ranked(history: History, metric: str, mode: str, step: int | None) -> tuple[np.ndarray, int, np.ndarray | None]:
    """Ids of the trials to compare, best first; how many of them have a finite value; at which evaluation, [T]."""
    if step is None:
        sound = ~history.failed & np.isfinite(history.at_kept(metric).mean(axis=1))
        return np.array(rank_trials(history, metric, mode)), int(sound.sum()), None
    rows = np.flatnonzero(history.step == step)  # one for each generation
    if len(rows) == 0:
        known = listing(map(str, np.unique(history.step)))
        raise ValueError(f"step={step!r}: nothing was evaluated there; there were evaluations at {known}.")
    evaluation = rows[np.argmax(history.active[rows], axis=0)]
    values = history.mean(metric)[evaluation, np.arange(history.num_trials)]
    cost = np.where(np.isfinite(values), values if mode == "min" else -values, np.inf)
    ids = np.flatnonzero(history.active[rows].any(axis=0))
    order = ids[np.argsort(cost[ids], kind="stable")]
    return order, int(np.isfinite(cost[ids]).sum()), evaluation


def _check(found: list[Dimension], num_trials: int, num_sound: int, metric: str) -> None:
    if not found:
        raise ValueError("importance: no hyperparameter differs between the trials, so there is nothing to compare.")
    if num_sound == 0:
        raise ValueError(
            f"importance: none of the {num_trials} trials has a finite {metric!r} there, so that none is better than "
            "another. Search lower learning rates, or clip the gradients."
        )
    if num_trials < _FEWEST or num_sound < _HANDFUL:
        raise ValueError(
            f"importance needs {_FEWEST} trials, {_HANDFUL} of them with a finite {metric!r}; there are {num_trials}, "
            f"{num_sound} with one. Try more configurations, or an earlier step=."
        )


def _sizes(num_trials: int, num_sound: int, top: float, region: float) -> tuple[int, int]:
    """How many trials are the best, and how many they are compared with."""
    num_top, num_region = (math.ceil(round(share * num_trials, 6)) for share in (top, region))
    num_top = min(max(num_top, _HANDFUL), num_sound)
    if num_region > num_sound:
        num_region = num_trials  # nothing ranks trials that failed among themselves
    if num_region <= num_top:
        raise ValueError(
            f"region={region!r} of {num_trials} trials is {num_region}, and the {num_top} best are compared with them: "
            "take a larger region."
        )
    return num_top, num_region


def _cells(one: Dimension) -> int:
    """Into how many cells a dimension is divided."""
    if one.options:
        return len(one.options)
    return min(int(one.high - one.low) + 1, CELLS) if one.integer and one.kind == "linear" else CELLS
