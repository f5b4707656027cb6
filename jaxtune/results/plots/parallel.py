"""Parallel coordinates (Inselberg, The plane with parallel coordinates, The Visual Computer 1, 1985).

Shapes: T trials, D hyperparameters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxtune.results.analysis.dimensions import Dimension
from jaxtune.results.plots.colours import sequential
from jaxtune.results.plots.style import BEST, RED, single
from jaxtune.results.plots.ticks import ticks
from jaxtune.results.text import cut

_NOWHERE = -0.1  # where lines go by a hyperparameter that a trial doesn't have


def plot_parallel(
    dimensions: Sequence[Dimension],
    quality: np.ndarray,
    sound: np.ndarray,
    *,
    name: str,
    best: int | None = None,
    ax: Any = None,
) -> Any:
    """Draw a line per trial through its values of all hyperparameters, to its place in the ranking.

    Args:
        dimensions: The axes, D of them.
        quality: Float [T] in [0, 1], how good each trial is, see `percentiles`.
        sound: Bool [T]; the others diverged.
        name: Of the metric that ranks.
        best: Index of the trial to highlight.
        ax: matplotlib Axes to draw into; None makes a figure.

    Returns:
        The Axes.
    """
    lines = _lines(dimensions, quality)
    with single(ax, "plot_parallel") as drawn:
        if ax is None:
            drawn.figure.set_size_inches(min(max(7.2, 1.35 * lines.shape[1]), 40.0), 4.6)
        _draw_axes(drawn, dimensions, name, some_missing=bool((lines[:, :-1] == _NOWHERE).any()))
        _draw_lines(drawn, lines, quality, sound)
        if best is not None:
            x = np.arange(lines.shape[1])
            drawn.plot(x, lines[best], color="white", linewidth=4.4, zorder=8)
            drawn.plot(x, lines[best], color=BEST, linewidth=2.4, zorder=9, label=f"best (trial {best})")
        if drawn.get_legend_handles_labels()[0]:
            below = drawn.legend(loc="upper right", bbox_to_anchor=(1.0, -0.02), ncols=2, borderaxespad=0.0)
            for handle in below.legend_handles:
                handle.set_alpha(1.0)  # a single faint line can't be seen
    return drawn


def _lines(dimensions: Sequence[Dimension], quality: np.ndarray) -> np.ndarray:
    """Float [T, D + 1]: heights at each axis; the options of a category are spread a little."""
    spread = (np.arange(len(quality)) * 0.618034) % 1.0 - 0.5
    columns = [one.places + 0.4 * spread / len(one.options) if one.options else one.places for one in dimensions]
    return np.stack([*(np.where(np.isnan(c), _NOWHERE, c) for c in columns), quality], axis=1)


def _draw_axes(ax: Any, dimensions: Sequence[Dimension], name: str, some_missing: bool) -> None:
    num = len(dimensions)
    box = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.6}
    text_style = {"fontsize": 8, "va": "center", "color": "#1A202C", "bbox": box, "zorder": 10, "parse_math": False}
    for x, one in enumerate(dimensions):
        ax.axvline(x, ymin=0.0, color="#4A5568", linewidth=0.9, zorder=6)
        for place, text in zip(*ticks(one), strict=True):
            ax.text(x + 0.04, place, text, **text_style)
    ax.axvline(num, color="#4A5568", linewidth=0.9, zorder=6)
    for place, text in ((0.0, "worst"), (0.5, "median"), (1.0, "best")):
        ax.text(num + 0.04, place, text, **text_style)
    names = [cut(one.name, 24) for one in dimensions]
    crowded = max(map(len, names)) > 12
    style = {"rotation": 20, "ha": "left"} if crowded else {}
    ax.set_xticks(range(num + 1), labels=[*names, f"rank by {cut(name, 24)}"], parse_math=False, **style)
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    ax.set_yticks([_NOWHERE] if some_missing else [], labels=["none"] if some_missing else [])
    ax.set(xlim=(-0.1, num + 0.5), ylim=(_NOWHERE - 0.05 if some_missing else -0.04, 1.04))
    ax.grid(False)
    for spine in ax.spines.values():
        spine.set_visible(False)


def _draw_lines(ax: Any, lines: np.ndarray, quality: np.ndarray, sound: np.ndarray) -> None:
    """The worst first, so that the best stay on top; those that diverged are red and thin, behind all."""
    from matplotlib.collections import LineCollection

    x = np.arange(lines.shape[1])
    faint = float(np.clip(4.0 / math.sqrt(len(lines)), 0.08, 0.6))
    order = np.flatnonzero(sound)[np.argsort(quality[sound], kind="stable")]
    strength = quality[order] ** max(4.0, len(lines) / 50)  # some fifty lines stand out
    colours = sequential()(quality[order])
    colours[:, 3] = faint + (0.9 - faint) * strength
    segments = [np.column_stack((x, lines[t])) for t in order]
    ax.add_collection(LineCollection(segments, colors=colours, linewidths=0.6 + strength, zorder=4))
    broken = [np.column_stack((x, line)) for line in lines[~sound]]
    if broken:
        label = f"diverged ({len(broken):,})"
        ax.add_collection(LineCollection(broken, colors=RED, linewidths=0.5, alpha=faint, zorder=3, label=label))
