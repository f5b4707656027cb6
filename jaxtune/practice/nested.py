"""Given splits and nested cross-validation: one search per outer split, all with the same programs."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxtune.drivers.tune import tune
from jaxtune.engine.host import deadline, seconds_left
from jaxtune.interface.counts import check_seed, is_whole, whole_or_none
from jaxtune.interface.entry import entry, given_back
from jaxtune.monitoring.progress import part_of
from jaxtune.results import tables
from jaxtune.results.averaging.averages import names_of_averages
from jaxtune.results.confirming.confirm import Confirm
from jaxtune.results.history import standard_error
from jaxtune.results.result import Result
from jaxtune.results.text import short, with_error
from jaxtune.results.trial import Trial
from jaxtune.results.weighted import Refit
from jaxtune.spaces.space import Space
from jaxtune.spaces.values import is_number
from jaxtune.storage.directory import part_folder
from jaxtune.tasks import checks
from jaxtune.tasks.folds import Fold, checked_indices, make_folds
from jaxtune.tasks.task import Task

_DEFAULT_SHARE = 0.2


@given_back
@dataclass(frozen=True, eq=False)
class Nested:
    r"""What `nested` returns: a table of test metrics, as in papers.

    `str` is one line for the text of a paper, `to_latex()` its table (`\usepackage{booktabs}`), `to_dataframe()` has
    the winner of each split and its test metrics.

    Attributes:
        scores: name -> float [S], test metrics of each split's winner (of its refits, where these were asked for). Of
            several refits the mean of a metric over them and, under `<name>_of_average`, the metric of their averaged
            outputs, see `Refit.test`.
        mean: name -> mean over the splits.
        standard_error: name -> standard error of that mean; NaN for one split.
        results: one Result per split.
        winners: what was tested of each split: its best trial (the confirmed one where that was asked for), or the
            refit of that; both have `predict`.
        num_splits: how many splits there are: more than S if the searches were stopped early.
        interrupted: the result so far of the search that was stopped early (Ctrl-C or a callback), or whose
            confirmation or refit was; it counts in no score. Else None.
    """

    scores: dict[str, np.ndarray]
    mean: dict[str, float] = field(init=False)
    standard_error: dict[str, float] = field(init=False)
    results: list[Result] = field(repr=False)
    winners: list[Trial | Refit] = field(repr=False)
    num_splits: int
    interrupted: Result | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", {name: float(np.mean(x)) for name, x in self.scores.items()})
        errors = {name: float(standard_error(x)) for name, x in self.scores.items()}
        object.__setattr__(self, "standard_error", errors)

    def records(self) -> list[dict[str, Any]]:
        """One plain dict per split: its number (from 1), the winner's hyperparameters, and the test metrics."""
        return tables.splits([winner.hparams for winner in self.winners], self.scores)

    def to_dataframe(self) -> Any:
        """The `records` as a pandas DataFrame.

        Raises:
            ImportError: pandas is not installed.
        """
        return tables.dataframe(self.records(), "Nested.to_dataframe()", "Nested.records() gives plain dicts")

    def to_latex(self) -> str:
        r"""The test metrics of each split, and mean ± standard error below, as a LaTeX `tabular` in booktabs' style."""
        rows = [[str(n + 1), *(short(float(x[n]), 4) for x in self.scores.values())] for n in range(len(self.winners))]
        means = [with_error(self.mean[name], self.standard_error[name]) for name in self.scores]
        return tables.tabular(["split", *self.scores], rows, ["mean", *means])

    def __str__(self) -> str:
        each = ", ".join(f"{name} {with_error(self.mean[name], self.standard_error[name])}" for name in self.mean)
        count = len(self.results)
        if count == self.num_splits:
            return f"Nested: {count} splits, test {each}"
        theirs = f"; theirs: test {each}" if count else ""
        return f"Nested: interrupted after {count} of {self.num_splits} splits{theirs}"


@entry
def nested(
    task: Task,
    space: Space | Mapping[str, Any],
    *,
    splits: Any,
    validation: float | None = None,
    refit: int | None = None,
    confirm: Confirm | None = None,
    time_limit: float | None = None,
    directory: str | os.PathLike[str] | None = None,
    seed: int = 0,
    **search: Any,
) -> Nested:
    """Runs one search per split of the data into training and test part, as published tables and nested CV need.

    The test part of a split is touched once, after its search. As all splits have the same shapes, later ones compile
    nothing.

    Args:
        task: With all data in `train`, and neither validation nor test data.
        space: See `tune`.
        splits: The outer loop: a number of folds (stratified where targets are labels), or pairs (train, test) of
            example numbers or masks.
        validation: Share of each training part, in (0, 1), that its search selects on (its last examples after
            shuffling); None means a fifth or, with `folds=`, an inner cross-validation instead.
        refit: Train the winner again on the whole training part with so many seeds, and test these; None tests the
            weights that the search ended with. With several seeds the scores have each metric's mean over seeds
            beside the metric of the average of their outputs.
        confirm: A `Confirm`: each search trains its best few trials again on fresh seeds, as `tune(confirm=)` does, and
            what is tested or refitted is the winner of that, still without a look at the test part.
        time_limit: Seconds for all, after which the searches stop as by Ctrl-C.
        directory: A folder in which each split's search is kept, as by `tune(directory=)`: the same call again goes on
            with the split that was not whole.
        seed: Of the division into splits and of all searches.
        search: Further arguments of `tune`: scheduler, metric, mode, folds, keep and so on.

    Returns:
        The test metrics of all splits, and the searches. After Ctrl-C, or when time or a callback ended a search,
        those of the splits that were whole by then, see `Nested.interrupted`.

    Raises:
        ValueError: The splits don't fit the data or each other, or an argument has a wrong value.
        TypeError: `splits` is neither a number nor pairs.
        KeyboardInterrupt: Ctrl-C before the first evaluation of the first split, or pressed twice there.

    Example:
        >>> import flax.linen as nn, numpy as np, optax
        >>> import jaxtune as jt
        >>> x = np.linspace(-1, 1, 60, dtype=np.float32)[:, None]
        >>> task = jt.supervised(
        ...     nn.Dense(1), optimizer=lambda hp: optax.sgd(hp["lr"]), loss=optax.squared_error,
        ...     train=(x, 3 * x), batch_size=8,
        ... )
        >>> outer = jt.nested(task, {"lr": jt.LogUniform(1e-4, 0.5)}, splits=3,
        ...                   scheduler=jt.FullBudget(8, 50), progress=False)
        >>> outer.scores["loss"].shape
        (3,)
    """
    checks.check_task(task)
    if task.validation is not None or task.test is not None:
        raise ValueError("nested makes validation and test data itself: give the task all examples as train.")
    if search.get("folds") is None:
        validation = _DEFAULT_SHARE if validation is None else validation
    elif validation is not None:
        raise ValueError(f"nested takes either validation={validation!r} or folds=, not both.")
    refit, seed = whole_or_none("refit", refit), check_seed(seed)
    outer = _outer(task, splits, seed)
    if validation is not None:
        _check_share(validation, len(outer[0].train))
    end = deadline(time_limit)
    whole, cut = list[tuple[Result, Trial | Refit, dict[str, float]]](), None
    try:
        for number, fold in enumerate(outer):
            if whole and seconds_left(end) == 0 and directory is None:  # in a folder each call comes further
                break
            part, limit = _task_of(task, fold, validation, seed + number), seconds_left(end)
            with part_of(f"split {number + 1} of {len(outer)}"):
                folder = part_folder(directory, "split", number)
                cut = tune(part, space, confirm=confirm, seed=seed, time_limit=limit, directory=folder, **search)
            tested = None if cut.interrupted else _tested(cut, refit, end, folder)
            if tested is None:
                break
            whole.append(tested)
            cut = None
    except KeyboardInterrupt:
        if not whole and cut is None:
            raise
    results, winners, tests = map(list, zip(*whole, strict=True)) if whole else ([], [], [])
    names = _scored(tests[0], results[0].history.metrics) if whole else []
    scores = {name: np.array([test[name] for test in tests]) for name in names}
    return Nested(scores, results, winners, num_splits=len(outer), interrupted=cut)


def _tested(
    result: Result, refit: int | None, end: float, folder: Path | None
) -> tuple[Result, Trial | Refit, dict[str, float]] | None:
    """A split's search, its winner, and the winner's test metrics; None where its refit was cut short."""
    if refit is None:
        return result, result.best, result.test()
    kept = None if folder is None else folder / "refit"
    again = result.refit(replicates=refit, time_limit=seconds_left(end), directory=kept)
    return None if again.interrupted else (result, again, again.test())


def _scored(tested: Mapping[str, float], recorded: Mapping[str, Any]) -> list[str]:
    """Names of what `test` told but for standard errors: metrics, each with that of the average beside it."""
    metrics = [name for name in tested if name in recorded]
    averages = names_of_averages(metrics)
    return [name for metric in metrics for name in (metric, averages[metric]) if name in tested]


def _outer(task: Task, splits: Any, seed: int) -> Sequence[Fold]:
    if is_whole(splits):
        made: Sequence[Fold] = make_folds(task.replace(batch_size=None), splits, seed)
    else:
        made = _pairs(splits, task.num_examples or 0)
    sizes = {(len(fold.train), len(fold.validation)) for fold in made}
    if len(sizes) > 1:
        raise ValueError(f"All splits share their programs, so they need equal sizes; got {sorted(sizes)}.")
    return made


def _pairs(splits: Any, num_examples: int) -> list[Fold]:
    if isinstance(splits, str) or not isinstance(splits, Sequence) or not splits:
        raise TypeError(f"splits must be a number or a list of pairs (train, test) of example numbers, got {splits!r}.")
    made = []
    for number, pair in enumerate(splits):
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise TypeError(f"splits[{number}] must be a pair (train, test) of example numbers, got {pair!r}.")
        train, test = (checked_indices(f"split {number}", part, num_examples) for part in pair)
        both = np.intersect1d(train, test)
        if len(both):
            raise ValueError(f"split {number} has {len(both)} examples in both parts, example {both[0]} among them.")
        made.append(Fold(train, test))
    return made


def _check_share(validation: Any, num_examples: int) -> None:
    if not is_number(validation) or not 0 < validation < 1:
        raise ValueError(f"validation must be a share between 0 and 1, got {validation!r}.")
    if not 1 <= round(validation * num_examples) < num_examples:
        raise ValueError(f"validation={validation} of {num_examples} examples leaves one part empty.")


def _task_of(task: Task, fold: Fold, validation: float | None, seed: int) -> Task:
    """The task of one split, its training part shuffled so that any share of it is a fair one."""
    order = np.random.default_rng(seed).permutation(fold.train)
    held = 0 if validation is None else round(validation * len(order))
    parts = {"train": order[: len(order) - held], "test": fold.validation}
    if held:
        parts["validation"] = order[len(order) - held :]
    return task.replace(**{name: jax.tree.map(lambda x, r=rows: x[r], task.train) for name, rows in parts.items()})
