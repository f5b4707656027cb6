"""Sensitivity: one hyperparameter at a time around a baseline, with replicates."""

import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxtune.drivers.tune import tune
from jaxtune.engine.placement import Placement
from jaxtune.interface.counts import check_whole
from jaxtune.interface.entry import entry
from jaxtune.practice.effects import Effect, Point, Sensitivity
from jaxtune.practice.fixing import fix, free_keys, joined, middle
from jaxtune.results.result import Result
from jaxtune.results.trial import Trial
from jaxtune.samplers import Points
from jaxtune.schedulers import FullBudget
from jaxtune.spaces.domains import Choice
from jaxtune.spaces.space import Space
from jaxtune.spaces.values import is_number, typed
from jaxtune.tasks import checks
from jaxtune.tasks.task import Task

_SHARES = {"acc", "accuracy", "auc", "auroc", "dice", "f1", "iou", "precision", "recall", "top1", "top5"}


@entry
def sensitivity(
    task: Task,
    baseline: Mapping[str, Any],
    space: Space | Mapping[str, Any],
    *,
    steps: int,
    replicates: int = 4,
    points: int = 5,
    metric: str = "loss",
    mode: str | None = None,
    confidence: float = 0.95,
    seed: int = 0,
    placement: Placement = Placement(),  # noqa: B008 - a frozen value
    progress: bool = True,
) -> Sensitivity:
    """Changes one hyperparameter at a time around a baseline, and says how much each of them matters there.

    All points and their replicates are lanes of one search. Trials of a replicate share initial weights, batches and
    dropout draws, so values are compared within replicates: intervals are those of Student's t for paired
    differences, much shorter than those of two means.

    The interval of a point's difference from the baseline holds for this point alone. The size of an effect is
    the range of the mean over its points: the difference between the best and the worst of them, chosen after looking,
    so its interval is widened to hold for all pairs at once (Bonferroni). Without any effect the size is still
    above 0, but the interval reaches down to it. Where the metric lies in [0, 1] (an accuracy), intervals are cut to
    the differences that this allows: few replicates would give longer ones. Interactions stay unseen: far from the
    baseline effects may differ.

    Args:
        task: What is trained.
        baseline: name -> value of every hyperparameter of the task, such as `result.best.hparams`.
        space: The hyperparameters to change, with the domains to change them in; the baseline lies in them. Names that
            only the baseline has are constants. For another option of a conditional choice the hyperparameters that
            it brings are in the middle of their domains.
        steps: Steps of each trial.
        replicates: Seeds per point, at least 2; the intervals need them.
        points: Values per hyperparameter, at least 2, even in the unit cube, both bounds included; besides the
            baseline's own. Of a `Choice` all options. Those that violate a constraint of the space are left out.
        metric: A name that the task reports.
        mode: "min" or "max"; may be left out for the loss and for metrics of `jt.metrics`.
        confidence: Level of the intervals, between 0 and 1.
        seed: Of everything random.
        placement: Devices, and lanes trained at once.
        progress: Whether to show a progress bar.

    Returns:
        Effects with intervals, largest first, as table and plot. Diverged points are part of it. See `Sensitivity`.
        After Ctrl-C, the effects on the training so far.

    Raises:
        TypeError: An argument has the wrong type; before anything compiles.
        ValueError: An argument has a wrong value; before anything compiles. Or the baseline diverged.
        KeyboardInterrupt: Ctrl-C before all points were trained equally long; `result` of the exception is the search.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> import jaxtune as jt
        >>> task = jt.Task(
        ...     init=lambda key, hp: jax.random.normal(key),
        ...     step=lambda key, x, batch, hp: (x - hp["lr"] * (x - hp["target"]), {}),
        ...     evaluate=lambda key, x, data, hp: {"loss": x**2},
        ... )
        >>> space = {"lr": jt.LogUniform(0.1, 1.0), "target": jt.Uniform(0.0, 2.0)}
        >>> found = jt.sensitivity(task, {"lr": 0.5, "target": 0.0}, space, steps=20, progress=False)
        >>> found.effects[0].name
        'target'
        >>> found["target"].best
        0.0
    """
    checks.check_task(task)
    _check_numbers(points, replicates, confidence)
    space, base = _with_baseline(space, baseline)
    wanted = _perturbed(space, base, points)
    configurations, trial_of = _distinct(space, [base, *(hp for values in wanted.values() for hp in values)])
    scheduler, sampler = FullBudget(len(configurations), steps), Points(tuple(configurations))
    rest: Any = dict(metric=metric, mode=mode, replicates=replicates, seed=seed, placement=placement, progress=progress)
    result = tune(task, space, scheduler=scheduler, sampler=sampler, **rest)
    _check_comparable(result)
    if not np.isfinite(result.trials[0].metrics[result.metric]):
        raise ValueError(f"The baseline {result.trials[0].status}, so nothing can be compared with it: take another.")
    numbers = iter(trial_of[1:])
    trials = {name: [result.trials[next(numbers)] for _ in values] for name, values in wanted.items()}
    bounds = possible(task, result.metric, [trial.replicates[result.metric] for trial in result.trials])
    span = bounds[1] - bounds[0]
    effects = [_effect(name, _sorted(space, name, own), result, confidence, span) for name, own in trials.items()]
    return Sensitivity(
        metric=result.metric,
        mode=result.mode,
        baseline=result.trials[0].hparams,
        value=result.trials[0].metrics[result.metric],
        confidence=confidence,
        effects=tuple(sorted(effects, key=lambda effect: -effect.size)),
        result=result,
        steps=result.trials[0].steps,
        _log_names=result.history.log_names,
        _bounds=bounds,
    )


def _check_comparable(result: Result) -> None:
    """Raises KeyboardInterrupt if a search was stopped while some trials had been trained for longer than others."""
    trained = result.history.steps[result.history.diverged < 0]
    if result.interrupted and len(set(trained.tolist())) > 1:
        error = KeyboardInterrupt("sensitivity was stopped before all points were trained equally long: see .result.")
        error.result = result  # type: ignore[attr-defined]
        raise error


def _check_numbers(points: Any, replicates: Any, confidence: Any) -> None:
    check_whole("points", points, low=2)
    check_whole("replicates", replicates, low=2)
    if not is_number(confidence) or not 0 < confidence < 1:
        raise ValueError(f"confidence must be a number between 0 and 1, such as 0.95, got {confidence!r}.")


# The configurations.


def _with_baseline(space: Any, baseline: Any) -> tuple[Space, dict[str, Any]]:
    """The space with the constants that only the baseline has, and the baseline with those of the space."""
    if not isinstance(baseline, Mapping):
        raise TypeError(f"baseline must be a dict from names to values, got {baseline!r}.")
    space = Space.of(space)
    constants = Space.of({name: value for name, value in baseline.items() if name not in space.hp_names})
    if constants.domains:
        raise TypeError(f"baseline must hold values, but {constants.names[0]!r} is {constants.domains[0][1]}.")
    space = joined(space, constants)
    if not space.num_dims:
        raise ValueError("sensitivity needs a space with at least one domain: there is nothing to change.")
    try:
        space.encode(baseline)
        return space, space.complete(baseline)
    except (TypeError, ValueError) as error:
        raise type(error)(f"baseline: {error}") from None


def _active(space: Space, hparams: Mapping[str, Any]) -> dict[str, str]:
    """Name -> key of what is searched and exists in a configuration."""
    fixed = {entry.key for entry in fix(space, hparams).entries}
    return {entry.name: entry.key for entry in space.entries if entry.key in fixed and entry.is_domain}


def _perturbed(space: Space, base: dict[str, Any], points: int) -> dict[str, list[dict[str, Any]]]:
    """For each hyperparameter the configurations with its values, that of the baseline among them."""
    active = _active(space, base)
    perturbed = {}
    for name, key in active.items():
        domain = space.domain(key)
        if domain.num_options == 1:
            continue
        units = domain.grid_units(None if isinstance(domain, Choice) else points)
        below = free_keys(space, {name})
        kept = {other: value for other, value in base.items() if active.get(other) not in below}
        values = [_value(domain, unit) for unit in units]
        changed = [middle(fix(space, kept | {name: value})) for value in values if typed(value) != typed(base[name])]
        perturbed[name] = [base, *(hparams for hparams in changed if space.allows(hparams))]
    return perturbed


def _value(domain: Any, unit: Any) -> Any:
    if domain.num_options is None:
        return domain.to_python(np.asarray(domain.decode(unit)))
    return domain.option(int(domain.decode_index(unit)))


def _distinct(space: Space, configurations: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[int]]:
    """Configurations as they will be trained, each once, and which of them each given one is."""
    decoded = space.decode(jnp.stack([space.encode(hp) for hp in configurations]))
    table = {key: np.asarray(values) for key, values in decoded.items()}
    rows = [space.row(table, index) for index in range(len(configurations))]
    keys = [tuple((name, typed(value)) for name, value in row.items()) for row in rows]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return list(dict(zip(keys, rows, strict=True)).values()), [numbers[key] for key in keys]


# The effects.


def _sorted(space: Space, name: str, trials: list[Trial]) -> list[Trial]:
    """In the order of the domain, each once: the baseline's value may have been among those of the grid."""
    domain = space.domain(_active(space, trials[0].hparams)[name])
    return sorted({trial.id: trial for trial in trials}.values(), key=lambda t: domain.encode(t.hparams[name]))


def _effect(name: str, trials: list[Trial], result: Result, confidence: float, span: float) -> Effect:
    values = [trial.replicates[result.metric] for trial in trials]  # [R] each
    base = result.trials[0].replicates[result.metric]
    intervals = [paired(value - base, confidence, -span, span) for value in values]  # a point, of the baseline itself
    points = [Point(t.hparams[name], t, t.metrics[result.metric], *i) for t, i in zip(trials, intervals, strict=True)]
    means = np.array([point.mean for point in points])
    fine = np.isfinite(means)
    low, high = (int(pick(np.where(fine, means, fill))) for pick, fill in ((np.argmin, np.inf), (np.argmax, -np.inf)))
    pairs = max(1, math.comb(fine.sum(), 2))
    sign = 1 if result.mode == "min" else -1
    size = paired(values[high] - values[low], 1 - (1 - confidence) / pairs, 0.0, span)
    best = min((p for p in points if not p.diverged), key=lambda p: (p.difference * sign, p.trial.id))  # ties: baseline
    return Effect(name, *size, best.value, tuple(points))


# Confidence intervals of paired differences, cut to what is possible.


class Interval(NamedTuple):
    """An estimate, and the ends of its confidence interval."""

    middle: float
    low: float
    high: float


def paired(differences: np.ndarray, confidence: float, lowest: float, highest: float) -> Interval:
    """The interval of a mean of differences [R] by Student's t, cut to the differences that there can be."""
    from scipy import stats

    num = len(differences)
    error = differences.std(ddof=1) / np.sqrt(num)
    half = float(stats.t.ppf(0.5 + 0.5 * confidence, num - 1) * error)
    middle = float(differences.mean())
    return Interval(middle, float(np.maximum(middle - half, lowest)), float(np.minimum(middle + half, highest)))


def possible(task: Task, metric: str, values: Any) -> tuple[float, float]:
    """The range in which a metric lies, whatever the model.

    That of shares is known: of jaxtune's own metrics, and of those that are named so and never left [0, 1].

    Args:
        task: What reports it.
        metric: Its name.
        values: All that were seen.
    """
    lowest, highest = task.evaluation.range_of(metric)
    named = _SHARES.intersection(re.split(r"[^a-z0-9]+", metric.lower()))
    seen = np.asarray(values)[np.isfinite(values)]
    return (0.0, 1.0) if named and np.all((seen >= 0) & (seen <= 1)) else (lowest, highest)
