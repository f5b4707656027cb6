"""Pictures of a search, drawn from plain arrays. matplotlib is an optional extra, imported when needed.

Shapes: T trials, E evaluations.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxtune.results.plots import axes

# Grey for what was given up, blue for what ran to its end, orange for the one that won, red for what broke:
# the four stay apart in greyscale and for colour-blind readers.
# Later kinds are drawn on top of earlier ones.
_COLOURS = {
    "pruned": "#7F8FA3",
    "interrupted": "#2B6CB0",
    "in training": "#2B6CB0",
    "stopped": "#6B46C1",
    "finished": "#2B6CB0",
    "diverged": "#C53030",
}
_BEST = "#DD6B20"
_STYLE = {
    "font.size": 10,
    "axes.labelsize": 10.5,
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#4A5568",
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E2E8F0",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "xtick.color": "#4A5568",
    "ytick.color": "#4A5568",
    "figure.dpi": 110,
    "savefig.dpi": 160,
}


def plot_curves(
    steps: np.ndarray,
    curves: np.ndarray,
    status: Sequence[str],
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
        status: one text per trial: "in training", or one that starts with finished, stopped, pruned, diverged or
            interrupted.
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
    plt = _pyplot("plot_curves")
    kinds = np.array([text if text in _COLOURS else text.split()[0] for text in status], dtype=object)
    curves = np.where(np.isfinite(curves), curves, np.nan)  # [T, E]
    with plt.rc_context(_STYLE):
        if ax is None:
            _, ax = plt.subplots(figsize=(7.2, 4.4), layout="constrained")
        axes.scale_steps(ax, steps, rungs)
        kept = None if best is None else curves[best]
        limits = axes.scale_values(ax.yaxis, curves, mode, always=kept)
        for rung in rungs:
            ax.axvline(rung, color="#A0AEC0", linewidth=0.8, linestyle=(0, (2, 3)), zorder=1)
        for zorder, kind in enumerate(_COLOURS, start=2):
            if (kinds == kind).any():
                _draw_lines(ax, steps, curves[kinds == kind], kind, zorder)
        broken = kinds == "diverged"
        if broken.any():
            _draw_crosses(ax, steps, curves[broken], None if stops is None else stops[broken], limits, mode)
        if best is not None:
            _draw_best(ax, steps, curves[best], best)
        ax.set(xlabel="steps", ylabel=name)
        legend = ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0)
        for handle in legend.legend_handles:
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
    plt = _pyplot("plot_space")
    if not values:
        raise ValueError("plot_space() needs at least one hyperparameter, got none.")
    scores = np.where(np.isfinite(scores), scores, np.nan)
    rows = math.ceil(len(values) / 4)
    columns = math.ceil(len(values) / rows)
    with plt.rc_context(_STYLE):
        size = (2.9 * columns + 1.0, 3.1 * rows + 0.3)
        figure, grid = plt.subplots(rows, columns, figsize=size, sharey=True, squeeze=False, layout="constrained")
        panels = grid.ravel()[: len(values)]
        for unused in grid.ravel()[len(values) :]:
            unused.remove()
        limits = axes.scale_values(panels[0].yaxis, scores, mode, always=None if best is None else scores[best])
        colours = _step_colours(steps[np.isfinite(scores)])
        for ax, (label, column) in zip(panels, values.items(), strict=True):
            x = axes.scale_hparam(ax, column, log=label in log_names)
            _draw_points(ax, x, scores, steps, colours, limits, mode, best)
            ax.set_xlabel(label)
        for ax in grid[:, 0]:
            ax.set_ylabel(name)
        _draw_key(figure, panels, colours, steps, has_best=best is not None, failed=np.isnan(scores).sum())
    return panels


def _pyplot(caller: str) -> Any:
    try:
        import matplotlib
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(f'result.{caller}() needs matplotlib: pip install "jaxtune[plots]".') from error
    # A notebook's backend turns interactive mode on when it is loaded; inside an rc_context that would be undone.
    if not plt.get_fignums():
        plt.switch_backend(matplotlib.get_backend())
    return plt


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
    colour = _COLOURS[kind]
    lines = LineCollection(segments, colors=colour, alpha=alpha, linewidths=0.9, zorder=zorder)
    lines.set_label(f"{kind} ({len(curves):,})" if kind != "diverged" else "_diverged")
    ax.add_collection(lines, autolim=False)
    ends = _ends(curves)
    # A curve of one point has no line, so its end is all there is to see of it.
    short = (kind in ("pruned", "stopped")) | (np.isfinite(curves).sum(axis=1) == 1)
    dotted = (ends >= 0) & short & (kind != "diverged")
    x, y = steps[ends[dotted]], curves[dotted, ends[dotted]]
    ax.scatter(x, y, s=7, color=colour, alpha=alpha, linewidths=0, zorder=zorder)


def _draw_crosses(
    ax: Any,
    steps: np.ndarray,
    curves: np.ndarray,
    stops: np.ndarray | None,
    limits: tuple[float, float],
    mode: str | None,
) -> None:
    """A cross where each diverged curve ends; at the worse edge for a trial that was never evaluated."""
    ends = _ends(curves)
    known = ends >= 0
    x = np.where(known, np.append(steps, 0)[ends], 0 if stops is None else stops).astype(float)
    y = np.where(known, np.column_stack((curves, np.zeros(len(curves))))[np.arange(len(curves)), ends], np.nan)
    y = np.clip(np.where(known, y, _worse_edge(limits, mode)), *limits)
    if len(steps):
        x = np.maximum(x, steps.min())  # a log axis has no room for step 0
    label = f"diverged ({len(curves):,})"
    ax.scatter(
        x,
        y,
        s=26,
        marker="x",
        color=_COLOURS["diverged"],
        linewidths=1.1,
        zorder=7,
        clip_on=False,
        label=label,
    )


def _draw_best(ax: Any, steps: np.ndarray, curve: np.ndarray, best: int) -> None:
    shown = np.isfinite(curve)
    x, y = steps[shown], curve[shown]
    ax.plot(x, y, color="white", linewidth=4.2, zorder=8)  # a halo lifts it off the bundle
    marker = {"marker": "o", "markersize": 5.5, "markevery": [-1]} if len(x) else {}
    ax.plot(x, y, color=_BEST, linewidth=2.2, zorder=9, label=f"best (trial {best})", **marker)


def _worse_edge(limits: tuple[float, float], mode: str | None) -> float:
    return limits[0] if mode == "max" else limits[1]


# Points


def _step_colours(steps: np.ndarray) -> Any:
    """Colour scale over steps trained; None where all trials were trained alike."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, LogNorm, Normalize

    if len(steps) == 0 or steps.min() == steps.max():
        return None
    import matplotlib

    # Without viridis' pale end, which disappears on white.
    colours = ListedColormap(matplotlib.colormaps["viridis_r"](np.linspace(0.12, 1.0, 256)))
    low, high = max(int(steps.min()), 1), int(steps.max())
    return ScalarMappable(LogNorm(low, high) if high > 10 * low else Normalize(low, high), colours)


def _draw_points(
    ax: Any,
    x: np.ndarray,
    scores: np.ndarray,
    steps: np.ndarray,
    colours: Any,
    limits: tuple[float, float],
    mode: str | None,
    best: int | None,
) -> None:
    """One panel: dots (the longest trained on top), crosses for failures, a ring around the best."""
    order = np.argsort(steps, kind="stable")
    order = order[np.isfinite(scores[order])]
    colour = _COLOURS["finished"] if colours is None else colours.to_rgba(steps[order])
    inside = np.clip(scores[order], *limits)  # outliers sit on the edge instead of vanishing
    ax.scatter(x[order], inside, s=17, c=colour, alpha=0.8, linewidths=0, zorder=3)
    failed = np.isnan(scores)
    if failed.any():
        edge = np.full(failed.sum(), _worse_edge(limits, mode))
        ax.scatter(
            x[failed],
            edge,
            s=24,
            marker="x",
            color=_COLOURS["diverged"],
            linewidths=1.0,
            zorder=4,
            clip_on=False,
        )
    if best is not None:
        ring = {"facecolors": "none", "edgecolors": _BEST, "linewidths": 2.0}
        ax.scatter(x[[best]], scores[[best]], s=95, zorder=6, clip_on=False, **ring)


def _draw_key(figure: Any, panels: np.ndarray, colours: Any, steps: np.ndarray, has_best: bool, failed: int) -> None:
    """The colour bar, and a legend for the marks that are drawn."""
    from matplotlib.lines import Line2D

    marks = []
    if has_best:
        marks.append(Line2D([], [], linestyle="", marker="o", mfc="none", mec=_BEST, mew=2.0, ms=9, label="best"))
    if failed:
        red = _COLOURS["diverged"]
        marks.append(Line2D([], [], linestyle="", marker="x", color=red, ms=5, label=f"diverged ({failed:,})"))
    if marks:
        figure.legend(handles=marks, loc="outside upper right", ncols=len(marks))
    if colours is None:
        return
    bar = figure.colorbar(colours, ax=list(panels), label="steps trained", pad=0.01, fraction=0.05)
    bar.outline.set_visible(False)
    rungs = np.unique(steps[(steps >= colours.norm.vmin) & (steps <= colours.norm.vmax)])
    if len(rungs) <= 8:
        bar.set_ticks(rungs, labels=[f"{rung:,}" for rung in rungs])
        bar.minorticks_off()
