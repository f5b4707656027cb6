"""Staged tuning: a few hyperparameters at a time, in the order in which practitioners take them."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jaxtune.drivers import arguments
from jaxtune.drivers.tune import tune
from jaxtune.engine.host import deadline, seconds_left
from jaxtune.engine.placement import Placement
from jaxtune.interface.entry import entry, given_back
from jaxtune.interface.habits import did_you_mean
from jaxtune.monitoring.progress import part_of
from jaxtune.practice.fixing import fix, free_keys, middle
from jaxtune.results.result import Result
from jaxtune.results.text import listing, short, with_error
from jaxtune.results.trial import Trial
from jaxtune.samplers import Points, Sobol
from jaxtune.samplers.sampler import Sampler
from jaxtune.schedulers.plan import Scheduler
from jaxtune.spaces.space import Space
from jaxtune.storage.directory import part_folder
from jaxtune.tasks import checks
from jaxtune.tasks.task import Task

# The default order. A name belongs to the first line of which it has a word, between underscores.
ORDER = {
    "learning rate": "lr learning_rate warmup schedule decay_steps",
    "batch size": "batch_size batch accumulation",
    "regularisation": "weight_decay wd l1 l2 dropout smoothing mixup cutmix noise augment augmentation clip penalty",
    "architecture": "width depth features units hidden layers filters channels heads kernel activation norm init",
}
REST = "the rest"


@given_back
@dataclass(frozen=True, eq=False)
class Staged:
    """What a staged search found.

    Attributes:
        stages: names searched in each stage.
        results: the search of each stage.
        start: hyperparameters before the first stage.
        num_stages: how many were planned: more than there are if Ctrl-C or the time limit stopped them.
    """

    stages: tuple[tuple[str, ...], ...]
    results: tuple[Result, ...] = field(repr=False)
    start: dict[str, Any]
    num_stages: int

    @property
    def best(self) -> Trial:
        """The best trial of the last stage, with its trained `state`, `variables` and `model`."""
        return self.results[-1].best

    @property
    def hparams(self) -> dict[str, Any]:
        """Hyperparameters of the best trial."""
        return self.best.hparams

    @property
    def lane_steps(self) -> tuple[int, ...]:
        """Lane-steps spent in each stage; their sum is the budget of the whole."""
        return tuple(int(result.history.lane_steps[-1]) for result in self.results)

    def table(self) -> list[dict[str, Any]]:
        """One dict per stage: what it searched and found, the metric then, and the lane-steps it took."""
        return [
            {
                "stage": number,
                "found": {name: value for name, value in result.best.hparams.items() if name in self._searched(number)},
                result.metric: result.best.metrics[result.metric],
                "se": result.best.standard_error[result.metric],
                "trials": len(result.trials),
                "lane_steps": spent,
            }
            for number, (result, spent) in enumerate(zip(self.results, self.lane_steps, strict=True), start=1)
        ]

    def _searched(self, number: int) -> set[str]:
        """Names of one stage and those that the branches of its choices bring: not known before."""
        before = self.start if number == 1 else self.results[number - 2].best.hparams
        return {*self.stages[number - 1], *(self.results[number - 1].best.hparams.keys() - before.keys())}

    def __repr__(self) -> str:
        metric, mode = self.results[-1].metric, self.results[-1].mode
        count = len(self.stages)
        cut = f" of {self.num_stages}" if count < self.num_stages else ""
        cut += f", interrupted in stage {count}" if self.results[-1].interrupted else ""
        lines = [f"Staged: {count} stages{cut}, {sum(self.lane_steps):,} lane-steps in all"]
        for row in self.table():
            found = ", ".join(f"{name}={short(value)}" for name, value in row["found"].items())
            value = with_error(row[metric], row["se"])
            lines.append(f"  {row['stage']}. {found}: {metric} {value}, {row['lane_steps']:,} lane-steps")
        best = ", ".join(f"{name}={short(value)}" for name, value in self.hparams.items())
        return "\n".join([*lines, f"  best ({mode}): {best}"])


@entry
def staged(
    task: Task,
    space: Space | Mapping[str, Any],
    stages: Sequence[str | Sequence[str]] | None = None,
    *,
    scheduler: Scheduler,
    sampler: Sampler = Sobol(),  # noqa: B008 - a frozen value
    metric: str = "loss",
    mode: str | None = None,
    replicates: int = 1,
    start: Mapping[str, Any] | None = None,
    time_limit: float | None = None,
    directory: str | os.PathLike[str] | None = None,
    seed: int = 0,
    placement: Placement = Placement(),  # noqa: B008 - a frozen value
    progress: bool = True,
) -> Staged:
    """Searches a few hyperparameters at a time, and goes on from the winner of each stage.

    A joint search finds more where hyperparameters interact; a staged one needs fewer trials where they hardly do, and
    shows what each stage gained. All others are fixed: at what the stages so far found best and, before their own
    stage, at `start` or in the middle of their domain. A hyperparameter may be searched again in a later stage, as the
    learning rate at the end.

    The first trial of every stage is the winner so far. All stages use the same seed, so it comes to the same value
    again, and a stage that ranks by the same number of steps never ends worse than it began. Fixed numbers stay traced:
    as long as static hyperparameters don't change, later stages compile nothing anew.

    Without `stages` the order is that of most practitioners, by words of common names (`peak_lr` has the word `lr`):

    | stage | names |
    |---|---|
    | learning rate | lr, learning_rate, warmup, schedule, decay_steps |
    | batch size | batch_size, batch, accumulation |
    | regularisation | weight_decay, wd, l1, l2, dropout, smoothing, mixup, cutmix, noise, augment, clip, penalty |
    | architecture | width, depth, features, units, hidden, layers, filters, channels, heads, kernel, activation, norm |
    | the rest | all others: momentum, b1, b2, optimizer |

    Args:
        task: What is trained.
        space: dict name -> domain or constant.
        stages: Names searched in each stage, in this order; a string is a stage of one. Every hyperparameter with a
            domain is in one of them. A conditional choice is searched together with all that its branches hold.
        scheduler: For every stage, or a list with one for each. A stage with fewer configurations than trials, as of
            a few options, trains some twice and warns: give it a scheduler of its own.
        sampler: How trials are chosen.
        metric: A name that the task reports.
        mode: "min" or "max"; may be left out for the loss and for metrics of `jt.metrics`.
        replicates: Seeds per trial.
        start: name -> value of hyperparameters before their stage.
        time_limit: Seconds for all stages, after which they stop as by Ctrl-C.
        directory: A folder in which each stage is kept, as by `tune(directory=)`: the same call again goes on with the
            stage that was not over.
        seed: Of everything random, the same in every stage.
        placement: Devices, and lanes trained at once.
        progress: Whether to show a progress bar per stage.

    Returns:
        The best trial, the result of every stage, and what each of them spent. See `Staged`.

    Raises:
        TypeError: An argument has the wrong type; before anything compiles.
        ValueError: An argument has a wrong value, such as an unknown name; before anything compiles. Or all trials of
            a stage diverged.

    Source: Smith, A disciplined approach to neural network hyper-parameters, https://arxiv.org/abs/1803.09820; Godbole
        et al., Deep Learning Tuning Playbook, https://github.com/google-research/tuning_playbook.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> import jaxtune as jt
        >>> task = jt.Task(
        ...     init=lambda key, hp: jnp.float32(1.0),
        ...     step=lambda key, x, batch, hp: (x - hp["lr"] * x, {}),
        ...     evaluate=lambda key, x, data, hp: {"loss": x**2 + (hp["dropout"] - 0.2) ** 2},
        ... )
        >>> space = {"dropout": jt.Uniform(0.0, 0.9), "lr": jt.LogUniform(1e-3, 1.0)}
        >>> found = jt.staged(task, space, scheduler=jt.FullBudget(trials=16, steps=5), progress=False)
        >>> found.stages
        (('lr',), ('dropout',))
        >>> abs(found.hparams["dropout"] - 0.2) < 0.1, found.lane_steps
        (True, (80, 80))
    """
    checks.check_task(task)
    space = Space.of(space)
    names = _default_stages(space) if stages is None else _checked_stages(space, stages)
    schedulers = _per_stage(scheduler, len(names))
    for one in schedulers:
        arguments.check_search(one, sampler, replicates)
    hparams = first = _start(space, {} if start is None else start)
    end, results = deadline(time_limit), list[Result]()
    rest: Any = dict(metric=metric, mode=mode, replicates=replicates, seed=seed, placement=placement, progress=progress)
    for number, (stage, one) in enumerate(zip(names, schedulers, strict=True), start=1):
        if results and seconds_left(end) == 0 and directory is None:  # in a folder each call comes further
            break
        searched = fix(space, hparams, free_keys(space, stage))
        try:
            with part_of(f"stage {number} of {len(names)} ({listing(stage)})"):
                points, limit = Points((hparams,), then=sampler), seconds_left(end)
                rest["directory"] = part_folder(directory, "stage", number - 1)
                result = tune(task, searched, scheduler=one, sampler=points, time_limit=limit, **rest)
        except KeyboardInterrupt:  # before its first evaluation
            if not results:
                raise
            break
        try:
            hparams = result.best.hparams
        except ValueError as error:
            raise ValueError(f"Stage {number} ({listing(stage)}) has no winner: {error}") from None
        results.append(result)
        if result.interrupted:
            break
    return Staged(stages=names[: len(results)], results=tuple(results), start=first, num_stages=len(names))


# Stages.


def _searchable(space: Space) -> list[str]:
    """Names of everything with a domain, in any branch, in the order of the space."""
    names = list(dict.fromkeys(entry.name for entry in space.entries if entry.is_domain))
    if not names:
        raise ValueError("staged needs a space with at least one domain: there is nothing to search.")
    return names


def _check_searched(space: Space, what: str, names: Iterable[Any]) -> None:
    known = _searchable(space)
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known)
            raise ValueError(f"{what} has {name!r}, which the space doesn't search{hint}; it has {listing(known)}.")


def _default_stages(space: Space) -> tuple[tuple[str, ...], ...]:
    names = _searchable(space)
    stages = (tuple(name for name in names if _kind(name) == kind) for kind in (*ORDER, REST))
    return tuple(filter(None, stages))


def _kind(name: str) -> str:
    padded = f"_{name.lower()}_"
    for kind, words in ORDER.items():
        if any(f"_{word}_" in padded for word in words.split()):
            return kind
    return REST


def _checked_stages(space: Space, stages: Any) -> tuple[tuple[str, ...], ...]:
    if isinstance(stages, str | Mapping) or not isinstance(stages, Iterable):
        raise TypeError(f'stages must be a list of lists of names, such as [["lr"], ["dropout"]], got {stages!r}.')
    names = tuple((stage,) if isinstance(stage, str) else _names(stage) for stage in stages)
    _check_searched(space, "stages", [name for stage in names for name in stage])
    free = free_keys(space, {name for stage in names for name in stage})
    missing = [entry.name for entry in space.entries if entry.is_domain and entry.key not in free]
    if missing:
        raise ValueError(
            f"No stage searches {missing[0]!r}: add it to one, or make it a constant of the space; stages are {names}."
        )
    return names


def _names(stage: Any) -> tuple[str, ...]:
    if not isinstance(stage, Iterable) or isinstance(stage, Mapping):
        raise TypeError(f"A stage must be a list of names, got {stage!r}.")
    stage = tuple(stage)
    if not stage:
        raise ValueError("A stage needs at least one name, got an empty one.")
    for name in stage:
        if not isinstance(name, str):
            raise TypeError(f"A stage must be a list of names, got {name!r} in {stage}.")
    if len(set(stage)) < len(stage):
        raise ValueError(f"A stage needs different names, got {stage}.")
    return stage


def _per_stage(scheduler: Any, num: int) -> tuple[Any, ...]:
    if not isinstance(scheduler, list | tuple):
        return (scheduler,) * num
    if len(scheduler) != num:
        raise ValueError(f"scheduler has {len(scheduler)} entries for {num} stages: give one for all or one for each.")
    return tuple(scheduler)


def _start(space: Space, start: Any) -> dict[str, Any]:
    """Hyperparameters before the first stage."""
    if not isinstance(start, Mapping):
        raise TypeError(f"start must be a dict from names to values, got {start!r}.")
    _check_searched(space, "start", start)
    try:
        hparams = middle(fix(space, start))
    except (TypeError, ValueError) as error:
        raise type(error)(f"start: {error}") from None
    if not space.allows(hparams):
        raise ValueError(f"The start {hparams} violates a constraint of the space: give start= values that don't.")
    return hparams
