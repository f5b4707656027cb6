"""The overfitting check: can the model learn one small batch by heart?"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import numpy as np

from jaxtune.drivers.tune import tune
from jaxtune.engine.keys import EVALUATE, INIT, TRAIN, replicate_key, search_key
from jaxtune.engine.placement import Placement
from jaxtune.interface.counts import check_seed, check_whole
from jaxtune.interface.entry import entry, given_back
from jaxtune.practice.fixing import even_schedule, joined, num_trials, without
from jaxtune.results.plots.style import BEST, BLUE, DOTTED, faint, legend, single
from jaxtune.results.result import Result
from jaxtune.results.text import short
from jaxtune.spaces.space import Space
from jaxtune.tasks import checks
from jaxtune.tasks.executables import Jitted
from jaxtune.tasks.functions import call
from jaxtune.tasks.problem import BATCH_SIZE
from jaxtune.tasks.task import Task

PASSES = 0.01  # share of the initial loss that a model which can overfit gets below
FALLING = 0.95  # a loss which falls below this share of its value at half time has not come to rest
_MOVED = 1e-6  # change, relative to the initial loss, that is more than rounding
_POINTS = 50


@given_back
@dataclass(frozen=True, eq=False)
class OverfitCheck:
    """What an overfitting check found.

    Attributes:
        verdict: "passes", "too slow", "cannot" or "interrupted"; see `overfit_check`.
        reason: the verdict as a sentence, with what to do about it.
        metric: the loss that was watched.
        initial: its value at step 0, on the same examples.
        best: the least value of all trials.
        steps: int [E], when it was evaluated.
        curve: float [E], the course of the best trial; NaN after divergence.
        hparams: hyperparameters of the best trial; empty if all diverged.
        result: the search behind it.
    """

    verdict: str
    reason: str
    metric: str
    initial: float
    best: float
    steps: np.ndarray = field(repr=False)
    curve: np.ndarray = field(repr=False)
    hparams: dict[str, Any]
    result: Result = field(repr=False)

    @property
    def relative(self) -> float:
        """The least loss as a share of the initial one."""
        return self.best / self.initial

    def plot(self, ax: Any = None) -> Any:
        """Draws the loss of every trial over steps, the best one on top, with what would have to be reached.

        Args:
            ax: matplotlib Axes to draw into; None makes a figure.

        Returns:
            The Axes.

        Raises:
            ImportError: matplotlib is not installed.
        """
        curves, threshold = self.result.curves(self.metric)[self.metric], PASSES * self.initial
        x = np.append(0, self.steps)
        curves = np.column_stack((np.full(len(curves), self.initial), curves))
        best = np.append(self.initial, self.curve)
        floor = threshold * 1e-3  # below that it makes no difference
        with single(ax) as ax:
            ax.set_yscale("log")
            faint(ax, x, np.maximum(curves, floor))
            ax.plot(x, np.maximum(best, floor), color=BEST, linewidth=2.2, label="best trial", zorder=4)
            ax.axhline(self.initial, color="#4A5568", label="at step 0", **DOTTED)
            ax.axhline(threshold, color=BLUE, linewidth=1.4, linestyle=(0, (4, 2)), label="passes below", zorder=3)
            lowest = np.maximum(np.min(curves[np.isfinite(curves)]), floor)
            ax.set(xlim=(0, x[-1]), ylim=(0.5 * min(threshold, lowest), 5 * self.initial))
            ax.set(xlabel="steps", ylabel=f"{self.metric} on the few examples", title=self.verdict)
            legend(ax)
        return ax

    def __repr__(self) -> str:
        lines = [f"OverfitCheck: {self.verdict}", f"  {self.reason}"]
        if self.hparams:
            lines.append("  best: " + ", ".join(f"{name}={short(value)}" for name, value in self.hparams.items()))
        return "\n".join(lines)


@entry
def overfit_check(
    task: Task,
    space: Space | Mapping[str, Any],
    *,
    examples: int = 32,
    steps: int = 500,
    trials: int = 32,
    metric: str = "loss",
    seed: int = 0,
    placement: Placement = Placement(),  # noqa: B008 - a frozen value
    progress: bool = True,
) -> OverfitCheck:
    """Trains on a few examples alone: a model that can't learn them by heart has a fault no tuning mends.

    Wrong labels, a loss in the wrong units, gradients that don't flow, a model too small or a rate far off all show
    here, before any budget is spent. Training and evaluation get the same examples, drawn at random, for several
    configurations of the space side by side; the best one counts.

    | verdict | the least loss of all trials |
    |---|---|
    | passes | reaches 1 % of the loss at step 0 |
    | too slow | does not, but in the second half of the steps it still fell by 5 % or more |
    | cannot | does not, and has come to rest; or never moved; or all trials diverged |
    | interrupted | did not by the time of a Ctrl-C |

    The thresholds presume a loss whose least value is 0. Standardise the targets of a regression first: with a mean
    far from 0 the initial loss is so large that learning the mean alone would pass. Label smoothing, penalties
    and losses of a likelihood don't reach 0: leave them out of the task that is tested, or name a metric that does.
    Strong regularisation can prevent overfitting, which is what it is for.

    Args:
        task: What is trained; evaluated on its training examples, its own validation and test data are not used.
        space: Domains or constants; a dict of plain hyperparameters is a space of constants. What it has for
            `batch_size` is replaced by the batch size used here: that of the task, at most `examples`.
        examples: Number of training examples.
        steps: Length of the training, rounded up so that 50 intervals are equally long.
        trials: Configurations; one if the space has constants only.
        metric: What is watched: a name that the task reports, positive, and 0 for perfect outputs.
        seed: Of everything random.
        placement: Devices, and lanes trained at once.
        progress: Whether to show a progress bar.

    Returns:
        The verdict, its reason, and the curve. See `OverfitCheck`.

    Raises:
        TypeError: An argument has the wrong type; before anything compiles.
        ValueError: An argument has a wrong value, or the task has no training data; before anything compiles. Or the
            initial value of the metric is not positive.

    Source: Karpathy, A Recipe for Training Neural Networks, https://karpathy.github.io/2019/04/25/recipe/.

    Example:
        >>> import flax.linen as nn, numpy as np, optax
        >>> import jaxtune as jt
        >>> x = np.linspace(-1, 1, 64, dtype=np.float32)[:, None]
        >>> task = jt.supervised(
        ...     nn.Dense(1), optimizer=lambda hp: optax.sgd(hp["lr"]), loss=optax.squared_error,
        ...     train=(x, 3 * x), validation=(x, 3 * x), batch_size=16,
        ... )
        >>> space = {"lr": jt.LogUniform(1e-3, 1.0)}
        >>> jt.overfit_check(task, space, examples=8, steps=200, trials=4, progress=False).verdict
        'passes'
    """
    checks.check_task(task)
    steps = check_whole("steps", steps)
    few = _few(task, examples, seed)
    space = Space.of(space)
    if few.batch_size is not None and BATCH_SIZE in space.hp_names:
        space = joined(without(space, BATCH_SIZE), {BATCH_SIZE: few.batch_size})
    scheduler, every = even_schedule(num_trials(space, trials), steps, _POINTS)
    where: Any = {"seed": seed, "placement": placement, "progress": progress}
    result = tune(few, space, scheduler=scheduler, metric=metric, mode="min", evaluate_every=every, **where)
    return _judged(few, result)


def _few(task: Task, examples: Any, seed: int) -> Task:
    """The task with a few of its training examples for everything."""
    if task.train is None:
        raise ValueError("overfit_check needs a task with training data, and this one has none.")
    num = checks.num_examples(task.train, "train")
    examples = check_whole("examples", examples, high=num)
    seed = check_seed(seed)
    chosen = np.random.default_rng(seed).choice(num, examples, replace=False)
    data = jax.tree.map(lambda x: x[chosen], task.train)
    size = None if task.batch_size is None else min(task.batch_size, examples)
    return task.replace(train=data, validation=data, test=None, batch_size=size)


def _judged(task: Task, result: Result) -> OverfitCheck:
    curves = result.curves(result.metric)
    steps, values = curves["steps"], curves[result.metric]  # [E], [T, E]
    values = np.where(np.isfinite(values), values, np.nan)
    lowest = np.where(np.isnan(values), np.inf, values).min(axis=1)
    best = int(np.argmin(lowest))
    initial = _initial_value(task, result, best)
    if not initial > 0:
        raise ValueError(
            f"overfit_check needs a quantity that is above 0 at first and 0 for perfect outputs, but {result.metric!r} "
            f"is {initial:.4g} at step 0: name another metric."
        )
    verdict, reason = _verdict(values, best, initial, result.metric)
    if result.interrupted and verdict != "passes" and not np.isnan(values).all():
        verdict, reason = "interrupted", _cut(result, float(lowest[best]), initial)
    return OverfitCheck(
        verdict=verdict,
        reason=reason,
        metric=result.metric,
        initial=initial,
        best=float(lowest[best]),
        steps=steps,
        curve=values[best],
        hparams=result.history.hparams[best] if np.isfinite(lowest[best]) else {},
        result=result,
    )


def _cut(result: Result, lowest: float, initial: float) -> str:
    step, end = result.history.step[-1], np.max(result.history.total_steps)
    return (
        f"Stopped at step {step} of {end}, with a {result.metric} of {lowest:.4g}, {100 * lowest / initial:.2g} % of "
        "the initial one: too early for a verdict."
    )


def _verdict(values: np.ndarray, best: int, initial: float, name: str) -> tuple[str, str]:
    """From the curves [T, E] of all trials."""
    if np.isnan(values).all():
        return "cannot", "Every trial diverged: search lower learning rates, or clip the gradients."
    if np.nanmax(np.abs(values - initial)) <= _MOVED * initial:
        return "cannot", (
            f"The {name} never moved from its initial value, {initial:.4g}, in any trial: no gradient reaches the "
            "parameters. Look for stop_gradient, argmax, rounding or dead units between parameters and loss, and for "
            "an optimizer that freezes them."
        )
    lowest = np.fmin.accumulate(values[best])
    end, half = lowest[-1], lowest[(len(lowest) - 1) // 2]
    fell = f"The {name} fell from {initial:.4g} to {end:.4g}, {100 * end / initial:.2g} % of it"
    if end <= PASSES * initial:
        return "passes", f"{fell}: the model can learn these examples by heart."
    if end <= FALLING * half:
        return "too slow", f"{fell}, and was still falling: give more steps or higher learning rates."
    return "cannot", (
        f"{fell}, and has come to rest there: the model is too small for these examples, regularised too strongly, "
        "the labels contradict each other, or the learning rates are far off."
    )


def _initial_value(task: Task, result: Result, trial: int) -> float:
    """The metric of a trial before its first step: the same weights as in the search."""
    total_steps = np.int32(np.max(result.history.total_steps))
    evaluate = Jitted(partial(_evaluate_at_start, task, result.history.hparams[trial]))
    values = evaluate(jax.random.key(result.seed), task.train, total_steps)
    return float(values[result.metric])


def _evaluate_at_start(task: Task, values: dict, key: jax.Array, data: Any, total_steps: Any) -> dict[str, Any]:
    key = search_key(key, TRAIN)
    stats = None if task.prepare is None else task.prepare(data)
    extras = {"step": np.int32(0), "total_steps": total_steps, "stats": stats}
    state = call("init", task.init, replicate_key(key, 0, INIT), values, **extras)
    return call("evaluate", task.evaluate, replicate_key(key, 0, EVALUATE), state, data, values, **extras)
