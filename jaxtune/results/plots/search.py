"""Pictures of a search, drawn from plain arrays. matplotlib is an optional extra, imported when needed.

Shapes: T trials, E evaluations.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxtune.results.plots import axes
from jaxtune.results.plots.colours import step_bar, step_colours
from jaxtune.results.plots.style import BEST, COLOURS, crosses, key, legend, panels, single


def plot_curves(
    steps: np.ndarray,
    curves: np.ndarray,
    kinds: Sequence[str],
    *,
    name: str,
    best: int | None = None,
    mode: str | None = None,
    stops: np.ndarray | None = None,
    rungs: Sequence[int] | np.ndarray = (),
    ax: Any = None,
) -> Any:
    """Draw one curve per trial: pruned ones faded, diverged ones ended by a cross, the best on top.

    The x axis is logarithmic where the steps span more than a factor of 10; so is the y axis for a positive
    metric that is minimised. Limits follow the bulk of the trials, so that one which blows up doesn't flatten
    the rest.

    Args:
        steps: int [E], step count of each evaluation.
        curves: float [T, E], NaN where a trial was not in training.
        kinds: how each trial stands, see `Status.kind`.
        name: what the curves show, for the y axis.
        best: index of the trial to highlight.
        mode: "min" or "max", which way is better; None if unknown.
        stops: int [T], steps each trial was trained for; places the cross of a trial that never was
            evaluated.
        rungs: step counts to mark with a vertical line.
        ax: matplotlib Axes to draw into; None makes a figure.

    Returns:
        The Axes.

    Raises:
        ImportError: matplotlib is not installed.
    """
    of_kind = np.array(kinds, dtype=object)
    curves = np.where(np.isfinite(curves), curves, np.nan)  # [T, E]
    with single(ax, "plot_curves") as ax:
        axes.scale_steps(ax, steps, rungs)
        kept = None if best is None else curves[best]
        limits = axes.scale_values(ax.yaxis, curves, mode, always=kept)
        for rung in rungs:
            ax.axvline(rung, color="#A0AEC0", linewidth=0.8, linestyle=(0, (2, 3)), zorder=1)
        for zorder, kind in enumerate(COLOURS, start=2):
            if (of_kind == kind).any():
                _draw_lines(ax, steps, curves[of_kind == kind], kind, zorder)
        broken = of_kind == "diverged"
        if broken.any():
            stopped, worst = None if stops is None else stops[broken], _worse_edge(limits, mode)
            _draw_crosses(ax, steps, curves[broken], stopped, limits, worst)
        if best is not None:
            _draw_best(ax, steps, curves[best], best)
        ax.set_xlabel("steps")
        ax.set_ylabel(name, parse_math=False)
        for handle in legend(ax).legend_handles:
            handle.set_alpha(1.0)  # a single faded line can't be seen
    return ax


def plot_space(
    values: Mapping[str, Sequence[Any]],
    scores: np.ndarray,
    steps: np.ndarray,
    *,
    name: str,
    best: int | None = None,
    mode: str | None = None,
    log_names: Sequence[str] = (),
) -> Any:
    """Draw one panel per hyperparameter: its value against the last metric, coloured by steps trained.

    Trials without a finite metric are crosses at the edge on which the worst ones lie.

    Args:
        values: hyperparameter -> T values; `axes.MISSING` where a trial doesn't have it, which leaves the trial out
            of that panel. Values that aren't all finite numbers make a categorical axis.
        scores: float [T], each trial's last metric.
        steps: int [T], steps each trial was trained for.
        name: what the scores are, for the y axis.
        best: index of the trial to highlight.
        mode: "min" or "max", which way is better; None if unknown.
        log_names: hyperparameters to show on a logarithmic axis.

    Returns:
        Array of the panels' Axes.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: there is no hyperparameter to show.
    """
    if not values:
        raise ValueError("plot_space() needs at least one hyperparameter, got none.")
    scores = np.where(np.isfinite(scores), scores, np.nan)
    with panels(len(values), 3.1, 3.2, name, "plot_space") as (figure, shown):
        limits = axes.scale_values(shown[0].yaxis, scores, mode, always=None if best is None else scores[best])
        inside = np.clip(scores, *limits)  # outliers sit on the edge instead of vanishing
        colours = step_colours(steps[np.isfinite(scores)])
        for ax, (label, column) in zip(shown, values.items(), strict=True):
            x = axes.scale_hparam(ax, column, log=label in log_names)
            _draw_points(ax, x, inside, steps, colours, _worse_edge(limits, mode), best)
            ax.set_xlabel(label, parse_math=False)
        ring = {"mfc": "none", "mec": BEST, "mew": 2.0, "ms": 9}
        key(figure, int(np.isnan(scores).sum()), "" if best is None else "best", **ring)
        if colours is not None:
            step_bar(figure, shown, colours, steps)
    return shown


# Curves


def _ends(curves: np.ndarray) -> np.ndarray:
    """Int [T]: index of each curve's last finite value, -1 if it has none."""
    finite = np.isfinite(curves)
    if curves.shape[1] == 0:
        return np.full(len(curves), -1)
    return np.where(finite.any(axis=1), curves.shape[1] - 1 - np.argmax(finite[:, ::-1], axis=1), -1)


def _draw_lines(ax: Any, steps: np.ndarray, curves: np.ndarray, kind: str, zorder: int) -> None:
    """All curves of one kind as a single artist, with a dot where a pruned one ends."""
    from matplotlib.collections import LineCollection

    # Hundreds of curves must leave each other visible; a handful should be strong. Pruned ones stay behind
    # always.
    alpha = float(np.clip(5.0 / math.sqrt(len(curves)), 0.3, 0.9)) * (0.5 if kind == "pruned" else 1.0)
    segments = [np.column_stack((steps, curve))[np.isfinite(curve)] for curve in curves]
    colour = COLOURS[kind]
    lines = LineCollection(segments, colors=colour, alpha=alpha, linewidths=0.9, zorder=zorder)
    lines.set_label(f"{kind} ({len(curves):,})" if kind != "diverged" else "_diverged")
    ax.add_collection(lines, autolim=False)
    ends = _ends(curves)
    # A curve of one point has no line, so its end is all there is to see of it.
    short = (kind in ("pruned", "stopped early")) | (np.isfinite(curves).sum(axis=1) == 1)
    dotted = (ends >= 0) & short & (kind != "diverged")
    x, y = steps[ends[dotted]], curves[dotted, ends[dotted]]
    ax.scatter(x, y, s=7, color=colour, alpha=alpha, linewidths=0, zorder=zorder)


def _draw_crosses(
    ax: Any, steps: np.ndarray, curves: np.ndarray, stops: np.ndarray | None, limits: tuple[float, float], worst: float
) -> None:
    """A cross where each diverged curve ends; at the worse edge for a trial that was never evaluated."""
    ends = _ends(curves)
    known = ends >= 0
    x = np.where(known, np.append(steps, 0)[ends], 0 if stops is None else stops).astype(float)
    y = np.where(known, np.column_stack((curves, np.zeros(len(curves))))[np.arange(len(curves)), ends], worst)
    if len(steps):
        x = np.maximum(x, steps.min())  # a log axis has no room for step 0
    crosses(ax, x, np.clip(y, *limits), f"diverged ({len(curves):,})", zorder=7)


def _draw_best(ax: Any, steps: np.ndarray, curve: np.ndarray, best: int) -> None:
    shown = np.isfinite(curve)
    x, y = steps[shown], curve[shown]
    ax.plot(x, y, color="white", linewidth=4.2, zorder=8)  # a halo lifts it off the bundle
    marker = {"marker": "o", "markersize": 5.5, "markevery": [-1]} if len(x) else {}
    ax.plot(x, y, color=BEST, linewidth=2.2, zorder=9, label=f"best (trial {best})", **marker)


def _worse_edge(limits: tuple[float, float], mode: str | None) -> float:
    return limits[0] if mode == "max" else limits[1]


# Points


def _draw_points(
    ax: Any, x: np.ndarray, scores: np.ndarray, steps: np.ndarray, colours: Any, worst: float, best: int | None
) -> None:
    """One panel: dots (the longest trained on top), crosses for failures, a ring around the best."""
    order = np.argsort(steps, kind="stable")
    order = order[np.isfinite(scores[order])]
    colour = COLOURS["finished"] if colours is None else colours.to_rgba(steps[order])
    ax.scatter(x[order], scores[order], s=17, c=colour, alpha=0.8, linewidths=0, zorder=3)
    failed = np.isnan(scores)
    if failed.any():
        crosses(ax, x[failed], np.full(failed.sum(), worst))
    if best is not None:
        ring = {"facecolors": "none", "edgecolors": BEST, "linewidths": 2.0}
        ax.scatter(x[[best]], scores[[best]], s=95, zorder=6, clip_on=False, **ring)
