"""One trial as users see it, made from the arrays of a `History` (shapes T, R, E as there)."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.interface.entry import given_back
from jaxtune.interface.habits import Answering
from jaxtune.results.history import History, standard_error
from jaxtune.results.text import listing
from jaxtune.results.weighted import Weighted
from jaxtune.spaces.values import is_number


@dataclass(frozen=True)
class PiecewiseConstant:
    """A hyperparameter's value over the steps of a trial, as an Optax-compatible schedule.

    `values[i]` holds from step `boundaries[i - 1]` up to but not including `boundaries[i]`. Equal by value
    and hashable, so that an optimizer built from it a second time compiles nothing.

    >>> lr = PiecewiseConstant(boundaries=(100, 200), values=(0.1, 0.03, 0.05))
    >>> [round(float(lr(count)), 3) for count in (0, 99, 100, 250)]
    [0.1, 0.1, 0.03, 0.05]
    """

    boundaries: tuple[int, ...]
    values: tuple[float, ...]  # one more than boundaries

    def __call__(self, count: Any) -> jax.Array:
        """The value at step `count` (from 0): a Python, numpy or traced integer, or an array of them."""
        # A chain of `where` on Python numbers stays weakly typed, as hyperparameters are inside user code;
        # indexing an array would give strong float32, which changes the dtype of a bfloat16 optimizer state.
        value = jnp.broadcast_to(self.values[0], jnp.shape(count))
        for boundary, following in zip(self.boundaries, self.values[1:], strict=True):
            value = jnp.where(count >= boundary, following, value)
        return value

    def at(self, step: int) -> float:
        """The value at a step, as a Python number."""
        return self.values[sum(boundary <= step for boundary in self.boundaries)]


class Status(str):
    """How a trial stands: a text that can be read, compared and stored as such.

    Attributes:
        kind: "finished", "pruned", "stopped early", "diverged", "interrupted" or "in training".
        step: When that happened; None at the end of a search.

    Example:
        >>> from jaxtune.results.trial import Status
        >>> Status("pruned", 200), Status("pruned", 200).kind
        ('pruned at step 200', 'pruned')
    """

    __slots__ = ("kind", "step")
    kind: str
    step: int | None

    def __new__(cls, kind: str, step: int | None = None) -> Status:
        """The text of both."""
        self = super().__new__(cls, kind if step is None else f"{kind} at step {step}")
        self.kind, self.step = kind, step
        return self

    def __getnewargs__(self) -> tuple[str, int | None]:  # type: ignore[override]  # what a pickle gives to __new__
        return self.kind, self.step


@given_back
@dataclass(frozen=True, eq=False)
class Trial(Weighted, Answering):
    """One configuration and what became of it.

    Attributes:
        id: position in `Result.trials`.
        hparams: hyperparameters by name; after PBT those that were last in force.
        metrics: name -> value at the trial's last evaluation (at its best with `keep="best"`), mean over replicates
            and folds; NaN once it has diverged.
        steps: steps trained; for a diverged trial, those before the bad one.
        status: a text, "finished", "pruned at step 200", "stopped early at step 400", "diverged at step 37" or
            "interrupted", whose parts are `status.kind` and `status.step`.
        best_step: step count of the evaluation that `metrics` and the weights are from.
        bracket: the set of trials it was ranked among.
        generation: how many times the plan had run before it was chosen (see `tune`); metrics of trials of one
            generation are paired, with equal initial weights and batches, those of several are not.
        replicates: name -> float [R], the values that `metrics` averages; [R, F] with F folds.
        standard_error: name -> standard error of that mean; NaN for a single value.
        lineage: (first step, trial id) pairs, oldest first: where the weights were trained. `((0, id),)`
            unless PBT copied them from elsewhere.
        states: of trials that keep their weights (see `tune`), their state with a leading replicate axis; else None.
    """

    id: int
    hparams: dict[str, Any]
    metrics: dict[str, float]
    steps: int
    status: Status
    bracket: int
    generation: int
    best_step: int
    replicates: dict[str, np.ndarray] = field(repr=False)
    standard_error: dict[str, float] = field(repr=False)
    lineage: tuple[tuple[int, int], ...] = field(repr=False)
    states: Any = field(default=None, repr=False)
    _explored: dict[str, PiecewiseConstant] = field(default_factory=dict, repr=False)
    _trained: Any = field(default=None, repr=False)  # a Trained, or what a pickle left of it

    def _no_weights(self) -> ValueError:
        return ValueError(
            f"predict() needs trained weights, and trial {self.id} ({self.status}) has none here: the best trial "
            "of a search that ended keeps them, or the best k with tune(keep_weights=k) from its first call on; pruned "
            "ones never do."
        )

    def course(self, steps: int) -> list[tuple[int, dict[str, Any]]]:
        """The hyperparameters over so many steps of training: (stop, hparams) pairs; one pair unless PBT explored."""
        changes = {b for explored in self._explored.values() for b in explored.boundaries if b < steps}
        return [
            (stop, self.hparams | {name: explored.at(start) for name, explored in self._explored.items()})
            for start, stop in itertools.pairwise([0, *sorted(changes), steps])
        ]

    def schedule(self, name: str) -> PiecewiseConstant:
        """How one hyperparameter changed while these weights were trained, as an Optax-compatible schedule.

        After PBT it follows the lineage, so training once with it replays the trial:
        `optax.sgd(best.schedule("lr"))`. A hyperparameter that was never explored gives a constant.

        Args:
            name: a numeric hyperparameter.

        Returns:
            A function of the step count (from 0; may be traced).

        Raises:
            KeyError: the trial has no such hyperparameter, or it is not a number.
        """
        if name in self._explored:
            return self._explored[name]
        if name not in self.hparams:
            raise KeyError(f"schedule({name!r}): trial {self.id} has {listing(self.hparams)}.")
        if not is_number(self.hparams[name]):
            raise KeyError(f"schedule({name!r}): {name} is {self.hparams[name]!r}, only numbers have a schedule.")
        return PiecewiseConstant((), (self.hparams[name],))


@given_back
class Trials(Sequence):
    """Trials in some order, each made when it is first asked for: few ever are.

    Args:
        make: from an id to the trial; the same one each time.
        ids: in the order wanted.
    """

    def __init__(self, make: Callable[[int], Trial], ids: Sequence[int]) -> None:
        self._make, self._ids = make, ids

    def __len__(self) -> int:
        return len(self._ids)

    @overload
    def __getitem__(self, index: int) -> Trial: ...
    @overload
    def __getitem__(self, index: slice) -> list[Trial]: ...
    def __getitem__(self, index: int | slice) -> Trial | list[Trial]:
        ids = self._ids[index]
        return self._make(ids) if isinstance(ids, int) else list(map(self._make, ids))

    def __repr__(self) -> str:
        return repr(self[:])

    def ordered(self, ids: Sequence[int]) -> Trials:
        """The same trials in another order."""
        return Trials(self._make, ids)


# From arrays to trials


def statuses(history: History, interrupted: bool) -> list[Status]:
    """The status of each trial; `interrupted` if the search has come to an end, before its last rung or there."""
    unfinished = "interrupted" if interrupted else "in training"  # a callback sees searches that go on
    at_end = np.where(history.reach == history.total_steps, "finished", unfinished)
    columns = (history.diverged, history.pruned, history.stopped, at_end)
    return list(map(_status, *(column.tolist() for column in columns)))


@functools.lru_cache(maxsize=4096)  # a search of 100,000 trials has few different ones
def _status(diverged: int, pruned: int, stopped: int, at_end: str) -> Status:
    # A diverged trial is dropped at the next rung as well; that it diverged is the reason.
    for kind, step in (("diverged", diverged), ("pruned", pruned), ("stopped early", stopped)):
        if step >= 0:
            return Status(kind, step)
    return Status(at_end)


def make_trials(history: History, interrupted: bool, weights: dict[int, Any], num_folds: int | None = None) -> Trials:
    """All trials of a search, by id.

    Args:
        history: the record.
        num_folds: F of a cross-validation.
        interrupted: the search was stopped early.
        weights: id -> a Trained, or what a pickle left of it.
    """
    kept = {name: history.at_kept(name) for name in history.metrics}  # [T, R]
    with np.errstate(invalid="ignore"):
        mean = {name: values.mean(axis=1) for name, values in kept.items()}
        error = {name: standard_error(values, num_folds) for name, values in kept.items()}
    shape = (-1,) if num_folds is None else (-1, num_folds)
    status = statuses(history, interrupted)

    @functools.cache
    def make(t: int) -> Trial:
        explored = _explored(history, t)
        return Trial(
            id=t,
            hparams=history.hparams[t] | {name: course.values[-1] for name, course in explored.items()},
            metrics={name: float(values[t]) for name, values in mean.items()},
            steps=int(history.steps[t]),
            status=status[t],
            bracket=int(history.bracket[t]),
            generation=int(history.generation[t]),
            best_step=int(history.step[history.kept[t]]),
            replicates={name: values[t].reshape(shape) for name, values in kept.items()},
            standard_error={name: float(values[t]) for name, values in error.items()},
            lineage=_lineage(history, t) if history.moved[t] else ((0, t),),
            _explored=explored,
            states=weights[t].states if t in weights else None,
            _trained=weights.get(t),
        )

    return Trials(make, range(history.num_trials))


def _intervals(history: History, trial: int) -> tuple[np.ndarray, np.ndarray]:
    """First step and slot, both int [e], of each interval the trial's weights went through."""
    first, end = history.first[trial], history.last[trial] + 1
    starts = np.append(0, history.step[first : end - 1])
    return starts, history.slots[first:end, trial]


def _changes(values: np.ndarray) -> np.ndarray:
    """Indices at which a new run of equal values starts."""
    return np.flatnonzero(np.append(True, values[1:] != values[:-1]))


def _lineage(history: History, trial: int) -> tuple[tuple[int, int], ...]:
    starts, slots = _intervals(history, trial)
    return tuple((int(starts[i]), int(slots[i])) for i in _changes(slots))


def _explored(history: History, trial: int) -> dict[str, PiecewiseConstant]:
    """The course of each explored hyperparameter along the trial's lineage."""
    if not history.schedule:
        return {}
    starts, slots = _intervals(history, trial)
    courses = {}
    for name, table in history.schedule.items():
        if name not in history.hparams[trial]:
            continue
        values = table[history.first[trial] + np.arange(len(slots)), slots]
        at = _changes(values)
        initial = [history.hparams[slots[i]][name] for i in at]
        courses[name] = PiecewiseConstant(
            boundaries=tuple(starts[at[1:]].tolist()),
            values=tuple(_like(old, value) for old, value in zip(initial, values[at], strict=True)),
        )
    return courses


def _like(initial: Any, value: Any) -> Any:
    """A value of the table as a Python number; an unchanged one is returned as the user wrote it."""
    if np.float32(initial) == np.float32(value):
        return initial
    return int(value) if np.issubdtype(np.asarray(value).dtype, np.integer) else float(str(np.float32(value)))
