"""The learning-rate range test: all lanes sweep the learning rate at once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.drivers.tune import tune
from jaxtune.engine.placement import Placement
from jaxtune.interface.counts import check_whole
from jaxtune.interface.entry import entry, given_back
from jaxtune.monitoring.progress import part_of
from jaxtune.practice.fixing import even_schedule, joined, num_trials, without
from jaxtune.results.plots.style import BEST, BLUE, RED, faint, legend, single
from jaxtune.results.result import Result
from jaxtune.results.text import short
from jaxtune.spaces.domains import LogUniform
from jaxtune.spaces.space import Space
from jaxtune.tasks import checks
from jaxtune.tasks.functions import call
from jaxtune.tasks.problem import resolve
from jaxtune.tasks.task import Task

_POINTS = 100  # intervals of the sweep whose mean loss is recorded
_SMOOTHING = 2.0  # standard deviation of the smoothing kernel, in intervals
_BELOW = 10**1.5  # how far below the steepest descent the suggestion begins
_ABOVE = 2.0  # how far below divergence it ends
_NOISE = 4.0  # a descent is this many times larger than the noise,
_SMALLEST = 1e-3  # and than this share of the initial loss


@given_back
@dataclass(frozen=True, eq=False)
class RangeTest:
    """What a learning-rate range test found.

    Attributes:
        name: the hyperparameter that was swept.
        learning_rates: float [E], increasing; the geometric middle of each interval.
        losses: float [T, E], mean training loss of each interval and over replicates; NaN after divergence.
        hparams: the other hyperparameters of each lane; length T.
        lane_steepest: float [T], where the loss of each lane fell fastest; NaN where it never fell.
        lane_divergence: float [T], where each lane diverged; the end of the sweep where it did not.
        diverged: bool [T], whether it did.
        steepest: median of `lane_steepest`.
        divergence: median of `lane_divergence`.
        suggestion: the domain to search.
        result: the search behind it, ranked by the training loss; without weights.
    """

    name: str
    learning_rates: np.ndarray = field(repr=False)
    losses: np.ndarray = field(repr=False)
    hparams: tuple[dict[str, Any], ...] = field(repr=False)
    lane_steepest: np.ndarray = field(repr=False)
    lane_divergence: np.ndarray = field(repr=False)
    diverged: np.ndarray = field(repr=False)
    steepest: float
    divergence: float
    suggestion: LogUniform
    result: Result = field(repr=False)

    @property
    def interrupted(self) -> bool:
        """Whether the sweep was stopped early (Ctrl-C): it ends with the last learning rate that all lanes reached."""
        return self.result.interrupted

    def plot(self, ax: Any = None) -> Any:
        """Draws the loss of every lane against the learning rate, with the range suggested.

        Limits leave out the explosion, so that the descent can be seen.

        Args:
            ax: matplotlib Axes to draw into; None makes a figure.

        Returns:
            The Axes.

        Raises:
            ImportError: matplotlib is not installed.
        """
        rates, losses = self.learning_rates, self.losses
        with single(ax) as ax:
            ax.set_xscale("log")
            shade = {"color": BLUE, "alpha": 0.10, "linewidth": 0, "label": "suggested range", "zorder": 0}
            ax.axvspan(self.suggestion.low, self.suggestion.high, **shade)
            faint(ax, rates, losses)
            label = "median over lanes" if len(losses) > 1 else "training loss"
            ax.plot(rates, _median(losses), color=BLUE, linewidth=2.2, label=label, zorder=4)
            label = f"falls fastest ({self.steepest:.2g})"
            ax.axvline(self.steepest, color=BEST, linewidth=1.8, label=label, zorder=3)
            if self.diverged.any():
                label = f"diverges ({self.divergence:.2g})"
                ax.axvline(self.divergence, color=RED, linewidth=1.8, linestyle=(0, (4, 2)), label=label, zorder=3)
            ax.set(xlabel=self.name, ylabel="training loss", xlim=rates[[0, -1]], ylim=_limits(losses))
            legend(ax)
        return ax

    def __repr__(self) -> str:
        count, total = int(self.diverged.sum()), len(self.diverged)
        low, high = (short(float(x)) for x in self.learning_rates[[0, -1]])
        if count:
            end = f"diverges at {short(self.divergence)} ({count} of {total} lanes did)"
        else:
            more = "the whole sweep" if self.interrupted else "a sweep with a larger high"
            end = f"no lane diverged up to {short(self.divergence)}: {more} would tell more"
        return (
            f"RangeTest of {self.name!r} from {low} to {high}, {total} lanes{', interrupted' * self.interrupted}\n"
            f"  falls fastest at {short(self.steepest)}, {end}\n"
            f"  search LogUniform({short(self.suggestion.low)}, {short(self.suggestion.high)})"
        )


@entry
def lr_range_test(
    task: Task,
    space: Space | Mapping[str, Any],
    *,
    name: str = "lr",
    low: float = 1e-7,
    high: float = 10.0,
    steps: int = 400,
    trials: int = 16,
    replicates: int = 1,
    seed: int = 0,
    placement: Placement = Placement(),  # noqa: B008 - a frozen value
    progress: bool = True,
) -> RangeTest:
    """Sweeps the learning rate from far too low to far too high, and suggests the range to search.

    Within one short training the learning rate grows exponentially: at first nothing happens, then the loss falls,
    faster and faster, until it explodes. All lanes sweep at once, over whatever else the space holds, so that the
    range fits weight decays, widths and batch sizes together.

    The loss of each lane is smoothed over about a fiftieth of the sweep. It *falls fastest* where its slope against
    the logarithm of the rate is lowest; it has *diverged* where it is not finite, or where it lost more than half
    of all it had gained. Both are aggregated by the median over lanes. The suggestion reaches from a decade and a
    half below the steepest descent, where trainings longer than the sweep find rates that are still useful, to half
    the rate of divergence, because the loss takes some steps to explode while the rate goes on growing, and a rate
    which survives a few steps needn't survive a training. Without divergence it ends with the sweep.

    The optimizer has to read `hp[name]` at every step, as tasks of `supervised` do. A schedule in it still acts:
    with warm-up the learning rates given here are peak values that the sweep didn't reach, so leave it out of the
    task that is tested.

    Args:
        task: What is trained; `info["loss"]` of its step is what is watched.
        space: The other hyperparameters, domains or constants. What it has for `name` is replaced by the sweep.
        name: Of the learning rate in `hp`.
        low: First learning rate, above 0.
        high: Last one.
        steps: Length of the sweep, at least 20; rounded up so that 100 intervals are equally long.
        trials: Lanes, each with a point of the space; one if the space has constants only.
        replicates: Seeds per lane; losses are their mean.
        seed: Of everything random.
        placement: Devices, and lanes trained at once.
        progress: Whether to show a progress bar.

    Returns:
        Learning rates, losses, the rates of steepest descent and divergence, and a `LogUniform`. See `RangeTest`.
        After Ctrl-C, what the sweep tells up to the learning rate that it reached.

    Raises:
        TypeError: An argument has the wrong type; before anything compiles.
        ValueError: An argument has a wrong value, nothing reads `hp[name]`, or the step logs no loss; before anything
            compiles. Or no lane's loss ever fell.

    Source: Smith, Cyclical Learning Rates for Training Neural Networks, https://arxiv.org/abs/1506.01186, section 3.3.

    Example:
        >>> import flax.linen as nn, numpy as np, optax
        >>> import jaxtune as jt
        >>> x = np.linspace(-1, 1, 64, dtype=np.float32)[:, None]
        >>> y = 3 * x + np.sin(99 * x)
        >>> task = jt.supervised(
        ...     nn.Dense(1), optimizer=lambda hp: optax.sgd(hp["lr"]), loss=optax.squared_error,
        ...     train=(x, y), validation=(x, y), batch_size=16,
        ... )
        >>> found = jt.lr_range_test(task, {}, low=1e-4, high=100.0, progress=False)
        >>> space = {"lr": found.suggestion}
        >>> 0.01 < found.steepest < found.divergence < 10.0
        True
    """
    checks.check_task(task)
    sweep = _sweep(name, low, high)
    steps = check_whole("steps", steps, low=20)
    space = without(Space.of(space), name)
    scheduler, every = even_schedule(num_trials(space, trials), steps, _POINTS)
    swept = _swept(task, space, name, sweep)
    where: Any = {"seed": seed, "placement": placement, "progress": progress}
    with part_of(f"sweep of {name!r}", has_best=False):
        result = tune(swept, space, scheduler=scheduler, replicates=replicates, evaluate_every=every, **where)
    result = _ranked_by_training(result)
    history = result.history
    reached = history.steps[history.diverged < 0].min(initial=history.step[-1]) if result.interrupted else steps
    seen = history.step <= max(reached, history.step[0])
    losses = result.curves("train_loss")["train_loss"][:, seen]  # [T, E]
    ends = history.step[seen]
    learning_rates = _rates(sweep, ends - 0.5 * (every + 1), scheduler.steps)
    if result.interrupted:
        sweep = LogUniform(sweep.low, float(_rates(sweep, ends[-1] - 1, scheduler.steps)))
    return _found(name, learning_rates, losses, result, sweep)


def _rates(sweep: LogUniform, steps: Any, total: int) -> Any:
    """Learning rates of a sweep at given steps, counted from 0."""
    return sweep.low * (sweep.high / sweep.low) ** (steps / (total - 1))


# The task whose learning rate grows.


def _swept(task: Task, space: Space, name: str, sweep: LogUniform) -> Task:
    # One example makes the engine's rule content that there be something to evaluate on.
    one = None if task.train is None else jax.tree.map(lambda x: x[:1], task.train)
    task = task.replace(evaluate=_nothing, observe=None, validation=one, test=None)
    problem = resolve(task, joined(space, {name: sweep}), "loss", None)  # does it read hp?
    if "loss" not in problem.first.functions.info:
        raise ValueError('lr_range_test watches the training loss: step must return it as info["loss"].')
    roles = {role: _Swept(role, getattr(task, role), name, sweep) for role in ("init", "step")}
    return task.replace(**roles)


def _sweep(name: Any, low: Any, high: Any) -> LogUniform:
    if not isinstance(name, str):
        raise TypeError(f"name must be the name of the learning rate in hp, got {name!r}.")
    try:
        return LogUniform(low, high)
    except (TypeError, ValueError) as error:
        raise type(error)(f"lr_range_test sweeps from low to high: {error}") from None


@dataclass(frozen=True)
class _Swept:
    """`init` or `step` of a task, given the learning rate of the sweep."""

    role: str
    function: Callable
    name: str
    sweep: LogUniform

    def __call__(self, *args: Any, step: Any, total_steps: Any, stats: Any) -> Any:
        *fixed, hp = args
        position = step / jnp.maximum(total_steps - 1, 1)
        rate = self.sweep.low * jnp.exp(position * np.log(self.sweep.high / self.sweep.low).item())
        hp = {**hp, self.name: rate}
        return call(self.role, self.function, *fixed, hp, step=step, total_steps=total_steps, stats=stats)


def _nothing(key: Any, state: Any, data: Any, hp: Any) -> dict[str, Any]:
    """Stands in for an evaluation: the sweep looks at the training loss alone."""
    return {"loss": jnp.zeros(())}


def _ranked_by_training(result: Result) -> Result:
    """The search without that stand-in: ranked by the training loss, which it has in its place."""
    metrics = {name: values for name, values in result.history.metrics.items() if name != "loss"}
    history = replace(result.history, metrics=metrics)
    return replace(result, history=history, metric="train_loss", mode="min", weights={})


# Reading the curves.


def _found(name: str, learning_rates: np.ndarray, losses: np.ndarray, result: Result, sweep: LogUniform) -> RangeTest:
    lanes = [_read(np.log10(learning_rates), loss) for loss in losses]
    steepest = np.array([np.nan if fall is None else learning_rates[fall] for fall, _ in lanes])
    diverged = np.array([end is not None for _, end in lanes])
    divergence = np.array([sweep.high if end is None else learning_rates[end] for _, end in lanes])
    if np.isnan(steepest).all():
        raise ValueError(_no_descent(diverged, divergence, sweep, result.interrupted))
    fall = float(np.nanmedian(steepest))
    end = float(np.median(divergence[~np.isnan(steepest)]))
    above = end / _ABOVE if end < sweep.high else sweep.high
    return RangeTest(
        name=name,
        learning_rates=learning_rates,
        losses=losses,
        hparams=tuple(result.history.hparams),
        lane_steepest=steepest,
        lane_divergence=divergence,
        diverged=diverged,
        steepest=fall,
        divergence=end,
        suggestion=LogUniform(max(sweep.low, fall / _BELOW), above),
        result=result,
    )


def _no_descent(diverged: np.ndarray, divergence: np.ndarray, sweep: LogUniform, interrupted: bool) -> str:
    if interrupted:
        return f"The sweep was interrupted at a learning rate of {short(sweep.high)}, before the loss fell in any lane."
    if diverged.mean() > 0.5:
        at = short(float(np.median(divergence[diverged])))
        return (
            f"The loss fell in no lane before it diverged, at a learning rate of about {at}; the sweep began at "
            f"{sweep.low}: take a lower low, more steps, or clip the gradients."
        )
    return (
        f"The loss fell in no lane between the learning rates {sweep.low} and {sweep.high}: take a larger high or more "
        "steps; jt.overfit_check tells whether the model learns at all."
    )


def _read(log_rates: np.ndarray, loss: np.ndarray) -> tuple[int | None, int | None]:
    """Where one curve [E] falls fastest, and where it has diverged; None where it does neither."""
    finite = np.isfinite(loss)
    count = len(loss) if finite.all() else int(np.argmin(finite))  # of values before the first that is none
    end = None if count == len(loss) else count
    if count < 3:
        return None, end
    loss = loss[:count]
    # An explosion must not spread to its neighbours: what lies above the start by more than was gained is cut off.
    gain = loss[0] - loss.min()
    smooth = _smooth(np.minimum(loss, loss[0] + max(gain, np.ptp(loss[:3]))))
    lowest = int(np.argmin(smooth))
    gain = smooth[0] - smooth[lowest]
    noise = np.median(np.abs(loss - smooth)[: lowest + 1])
    risen = np.flatnonzero(smooth[lowest:] > smooth[lowest] + max(0.5 * gain, _NOISE * noise))
    if len(risen):
        end = lowest + int(risen[0])
    if gain <= max(_NOISE * noise, _SMALLEST * abs(smooth[0])):
        return None, end
    slope = np.gradient(smooth, log_rates[:count])
    return int(np.argmin(slope[: lowest + 1])), end


def _smooth(values: np.ndarray) -> np.ndarray:
    """A Gaussian average over neighbours, [E]: symmetric, so that nothing is shifted to higher rates."""
    index = np.arange(len(values))
    weights = np.exp(-0.5 * ((index[:, None] - index) / _SMOOTHING) ** 2)
    return weights @ values / weights.sum(axis=1)


# The picture.


def _median(losses: np.ndarray) -> np.ndarray:
    """Median of the lanes [T, E] while at least half of them are finite; one that exploded counts as high."""
    median = np.quantile(np.where(np.isfinite(losses), losses, np.inf), 0.5, axis=0, method="higher")
    return np.where(np.isfinite(median), median, np.nan)


def _limits(losses: np.ndarray) -> tuple[float, float]:
    """From the lowest value to somewhat above the start of the highest lane."""
    finite = losses[np.isfinite(losses)]
    start = losses[:, 0][np.isfinite(losses[:, 0])]
    low, high = float(finite.min()), float(start.max() if len(start) else finite.max())
    margin = (high - low) or abs(high) or 1.0
    return low - 0.08 * margin, high + 0.5 * margin
