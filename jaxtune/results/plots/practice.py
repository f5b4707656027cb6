"""Pictures of what the functions of this package found, drawn from plain arrays; see `jaxtune.results.plots.search`.

Shapes: T trials, E evaluations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxtune.results.plots import axes
from jaxtune.results.plots.style import BEST, BLUE, DOTTED, RED, crosses, faint, key, legend, panels as grid, single
from jaxtune.results.text import labels


def plot_range_test(
    learning_rates: np.ndarray,
    losses: np.ndarray,
    *,
    name: str,
    steepest: float,
    divergence: float | None,
    suggested: tuple[float, float],
    ax: Any = None,
) -> Any:
    """Draw the loss of every lane against the learning rate, and shade the range suggested.

    Limits leave out the explosion, so that the descent can be seen.

    Args:
        learning_rates: float [E], increasing.
        losses: float [T, E], NaN after divergence.
        name: of the learning rate, for the x axis.
        steepest: where the loss falls fastest.
        divergence: where it diverges; None if it does not.
        suggested: bounds of the range suggested.
        ax: matplotlib Axes to draw into; None makes a figure.

    Returns:
        The Axes.

    Raises:
        ImportError: matplotlib is not installed.
    """
    with single(ax) as ax:
        ax.set_xscale("log")
        ax.axvspan(*suggested, color=BLUE, alpha=0.10, linewidth=0, label="suggested range", zorder=0)
        faint(ax, learning_rates, losses)
        label = "median over lanes" if len(losses) > 1 else "training loss"
        ax.plot(learning_rates, _median(losses), color=BLUE, linewidth=2.2, label=label, zorder=4)
        ax.axvline(steepest, color=BEST, linewidth=1.8, label=f"falls fastest ({steepest:.2g})", zorder=3)
        if divergence is not None:
            label = f"diverges ({divergence:.2g})"
            ax.axvline(divergence, color=RED, linewidth=1.8, linestyle=(0, (4, 2)), label=label, zorder=3)
        ax.set_ylim(_range_limits(losses))
        ax.set_xlim(learning_rates[0], learning_rates[-1])
        ax.set(xlabel=name, ylabel="training loss")
        legend(ax)
    return ax


def _median(losses: np.ndarray) -> np.ndarray:
    """Median of the lanes [T, E] while at least half of them are finite; one that exploded counts as high."""
    median = np.quantile(np.where(np.isfinite(losses), losses, np.inf), 0.5, axis=0, method="higher")
    return np.where(np.isfinite(median), median, np.nan)


def _range_limits(losses: np.ndarray) -> tuple[float, float]:
    """From the lowest value to somewhat above the start of the highest lane."""
    finite = losses[np.isfinite(losses)]
    start = losses[:, 0][np.isfinite(losses[:, 0])]
    low, high = float(finite.min()), float(start.max() if len(start) else finite.max())
    margin = (high - low) or abs(high) or 1.0
    return low - 0.08 * margin, high + 0.5 * margin


def plot_overfit(
    steps: np.ndarray,
    curves: np.ndarray,
    best: np.ndarray,
    *,
    name: str,
    initial: float,
    threshold: float,
    verdict: str,
    ax: Any = None,
) -> Any:
    """Draw the loss of every trial on the few examples, and the level that has to be reached.

    Args:
        steps: int [E].
        curves: float [T, E], NaN after divergence.
        best: float [E], the best of them.
        name: what they show, for the y axis.
        initial: value at step 0, above 0.
        threshold: value at which the check passes, above 0.
        verdict: for the title.
        ax: matplotlib Axes to draw into; None makes a figure.

    Returns:
        The Axes.

    Raises:
        ImportError: matplotlib is not installed.
    """
    x = np.append(0, steps)
    curves = np.column_stack((np.full(len(curves), initial), curves))
    best = np.append(initial, best)
    floor = threshold * 1e-3  # below that it makes no difference
    with single(ax) as ax:
        ax.set_yscale("log")
        faint(ax, x, np.maximum(curves, floor))
        ax.plot(x, np.maximum(best, floor), color=BEST, linewidth=2.2, label="best trial", zorder=4)
        ax.axhline(initial, color="#4A5568", label="at step 0", **DOTTED)
        ax.axhline(threshold, color=BLUE, linewidth=1.4, linestyle=(0, (4, 2)), label="passes below", zorder=3)
        shown = np.maximum(curves[np.isfinite(curves)], floor)
        ax.set_ylim(0.5 * min(threshold, shown.min()), 5 * initial)
        ax.set_xlim(0, x[-1])
        ax.set(xlabel="steps", ylabel=f"{name} on the few examples", title=verdict)
        legend(ax)
    return ax


def plot_sensitivity(
    panels: Mapping[str, Mapping[str, Sequence[Any]]],
    *,
    name: str,
    baseline: float,
    titles: Sequence[str],
    mode: str,
    log_names: Sequence[str] = (),
) -> Any:
    """Draw one panel per hyperparameter: the metric over its values, all others at the baseline.

    Error bars are confidence intervals of the difference from the baseline, so they tell whether a value differs
    from the dotted line, not how exactly its mean is known. Diverged points are crosses.

    Args:
        panels: hyperparameter -> "value", "mean", "low", "high" and "baseline" (bool) of its points; NaN for those
            that diverged.
        name: of the metric, for the y axis.
        baseline: its mean at the baseline.
        titles: one per panel.
        mode: "min" or "max", which way is better.
        log_names: hyperparameters to show on a logarithmic axis.

    Returns:
        Array of the panels' Axes.

    Raises:
        ImportError: matplotlib is not installed.
    """
    with grid(len(panels), 2.9, 3.1, name) as (figure, shown):
        limits = _scale_metric(shown[0], panels, baseline)
        worst = limits[0] if mode == "max" else limits[1]
        for ax, (label, points), title in zip(shown, panels.items(), titles, strict=True):
            _draw_panel(ax, points, label in log_names, baseline, worst)
            ax.set(xlabel=label)
            ax.set_title(title, fontsize=9.5)
        failed = sum(int(np.isnan(points["mean"]).sum()) for points in panels.values())
        key(figure, failed, "baseline", color=BEST, ms=6)
    return shown


def _draw_panel(ax: Any, points: Mapping[str, Any], log: bool, baseline: float, worst: float) -> None:
    x = _positions(ax, points["value"], log)
    mean, low, high = (np.asarray(points[key], float) for key in ("mean", "low", "high"))
    fine, own = np.isfinite(mean), np.asarray(points["baseline"], bool)
    ax.axhline(baseline, color="#4A5568", **DOTTED)
    ax.plot(x[fine], mean[fine], color=BLUE, linewidth=1.2, alpha=0.5, zorder=2)
    for kind, colour, size in ((fine & ~own, BLUE, 4.5), (fine & own, BEST, 6.0)):
        bars = np.abs(np.stack((mean - low, high - mean)))[:, kind]
        ax.errorbar(x[kind], mean[kind], bars, fmt="o", color=colour, ms=size, elinewidth=1.2, capsize=2.5, zorder=3)
    crosses(ax, x[~fine], np.full((~fine).sum(), worst))


def _positions(ax: Any, values: Sequence[Any], log: bool) -> np.ndarray:
    """Scale the x axis of a panel; returns where its values lie."""
    if all(map(axes.has_place, values)):
        axes.scale_numbers(ax, values, log)
        return np.asarray(values, float)
    names = labels(values, longest=20)
    rotation = 30 if max(map(len, names)) * len(names) > 24 else 0
    ax.set_xticks(range(len(names)), labels=names, rotation=rotation, parse_math=False)
    ax.set_xlim(-0.5, len(names) - 0.5)
    ax.grid(False, axis="x")
    return np.arange(len(names), dtype=float)


def _scale_metric(ax: Any, panels: Mapping[str, Mapping[str, Any]], baseline: float) -> tuple[float, float]:
    """Scale the y axis: all means, and error bars as far as they are not much longer than the means lie apart."""
    means = np.concatenate([np.asarray(points["mean"], float) for points in panels.values()] + [[baseline]])
    low, high = float(np.nanmin(means)), float(np.nanmax(means))
    if low > 0 and high > 10 * low:
        ax.set_yscale("log")
        margin = (high / low) ** 0.08
        limits = low / margin, high * margin
    else:
        ends = np.concatenate([np.asarray(points[key], float) for points in panels.values() for key in ("low", "high")])
        spread = (high - low) or 0.1 * abs(high) or 1.0
        reached = np.append(np.clip(ends, low - 0.5 * spread, high + 0.5 * spread), [low, high])
        limits = float(np.nanmin(reached)) - 0.06 * spread, float(np.nanmax(reached)) + 0.06 * spread
    ax.set_ylim(limits)
    return limits
