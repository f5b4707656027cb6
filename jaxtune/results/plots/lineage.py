"""Who copied whom in population-based training, and how the hyperparameters changed on the way.

Shapes: E evaluations, T trials.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxtune.results.analysis.lineage import Lineage
from jaxtune.results.plots.colours import rank_bar, sequential
from jaxtune.results.plots.style import BEST, GREY, STYLE, faint, pyplot
from jaxtune.results.text import cut


def plot_lineage(
    lineage: Lineage,
    order: Sequence[int],
    quality: np.ndarray,
    schedules: Mapping[str, np.ndarray],
    *,
    name: str,
    trial: int,
    log_names: tuple[str, ...] = (),
) -> Any:
    """Draw the intervals of all slots, the copies between them, and the way of one trial's weights through them.

    Args:
        lineage: Of that trial.
        order: Ids of all trials, best first: their slots from the top downwards.
        quality: Float [E, T] in [0, 1], how good each trial was at each evaluation among those in training.
        schedules: Explored hyperparameter -> float [E, T], its value during the interval before an evaluation.
        name: Of the metric that ranks.
        trial: Its id.
        log_names: Hyperparameters to show on a logarithmic axis.

    Returns:
        Array of the Axes: the lineage, and one below it per schedule.
    """
    plt = pyplot("plot_lineage")
    rows = _rows(lineage, order)
    num = len(schedules)
    top = float(np.clip(0.13 * rows.max(), 2.6, 7.0))
    size = {"figsize": (8.4, top + 1.25 * num + 0.6), "height_ratios": [top] + [1.25] * num}
    with plt.rc_context(STYLE):
        figure, grid = plt.subplots(1 + num, 1, sharex=True, squeeze=False, layout="constrained", **size)
        shown = grid.ravel()
        image = _draw_slots(shown[0], lineage, rows, quality)
        _draw_copies(shown[0], lineage, rows)
        _draw_path(shown[0], lineage, rows, trial)
        shown[0].set(ylim=(rows.max() + 0.8, -0.8), yticks=[])
        shown[0].set_ylabel("slots, the best at the end on top")
        shown[0].grid(False)
        shown[0].legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2)
        rank_bar(figure, shown[0], image, f"rank by {name}")
        for ax, (hparam, table) in zip(shown[1:], schedules.items(), strict=True):
            _draw_schedule(ax, lineage, rows, table)
            ax.set_ylabel(cut(hparam, 20), parse_math=False)
            if hparam in log_names:
                ax.set_yscale("log")
        shown[-1].set_xlabel("steps")
        shown[-1].xaxis.set_major_formatter("{x:,.0f}")
    return shown


def _rows(lineage: Lineage, order: Sequence[int]) -> np.ndarray:
    """Int [T]: the height of each slot, from the top; -1 for those of other searches than the trial's."""
    beside = set(np.flatnonzero(lineage.trained[lineage.path >= 0].any(axis=0)).tolist())
    shown = [t for t in order if t in beside]
    rows = np.full(len(order), -1)
    rows[shown] = np.arange(len(shown))
    return rows


def _draw_slots(ax: Any, lineage: Lineage, rows: np.ndarray, quality: np.ndarray) -> Any:
    """A segment per slot and interval, coloured by how good it was at its end."""
    from matplotlib.collections import LineCollection

    e, t = np.nonzero(lineage.trained & (rows >= 0) & (lineage.path >= 0)[:, None])
    segments = [((lineage.start[i], rows[j]), (lineage.stop[i], rows[j])) for i, j in zip(e, t, strict=True)]
    width = float(np.clip(300 / (rows.max() + 1), 0.4, 2.4))  # thousands leave each other visible
    lines = LineCollection(
        segments, cmap=sequential(), array=quality[e, t], linewidths=width, capstyle="butt", zorder=2
    )
    lines.set_clim(0.0, 1.0)
    ax.add_collection(lines)
    return lines


def _draw_copies(ax: Any, lineage: Lineage, rows: np.ndarray) -> None:
    """A thin line from the slot that was copied to the one that went on from it, with a dot there."""
    shown = lineage.path[lineage.copies[:, 0]] >= 0
    evaluation, origin, target = lineage.copies[shown].T
    x, alpha = lineage.stop[evaluation], float(np.clip(7 / np.sqrt(max(len(evaluation), 1)), 0.1, 0.7))
    ax.vlines(x, rows[origin], rows[target], colors=GREY, linewidth=0.7, alpha=alpha, zorder=3)
    ax.scatter(x, rows[target], s=9, color=GREY, alpha=alpha, linewidths=0, zorder=4, label=f"copies ({len(x):,})")


def _draw_path(ax: Any, lineage: Lineage, rows: np.ndarray, trial: int) -> None:
    own = lineage.path >= 0
    x = np.stack([lineage.start[own], lineage.stop[own]], axis=1).ravel()
    y = rows[lineage.path[own]].repeat(2)
    ax.plot(x, y, color="white", linewidth=4.6, zorder=5)
    ax.plot(x, y, color=BEST, linewidth=2.4, zorder=6, label=f"weights of trial {trial}")


def _draw_schedule(ax: Any, lineage: Lineage, rows: np.ndarray, table: np.ndarray) -> None:
    own = lineage.path >= 0
    x = np.stack([lineage.start[own], lineage.stop[own]], axis=1).ravel()
    others = np.where(lineage.trained, table, np.nan)[own][:, rows >= 0].T
    faint(ax, x, others.repeat(2, axis=1))
    e = np.flatnonzero(own)
    ax.plot(x, table[e, lineage.path[e]].repeat(2), color=BEST, linewidth=2.0, zorder=4)
