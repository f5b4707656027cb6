"""How good places of two hyperparameters are, as a map."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxtune.results.analysis.dimensions import Dimension
from jaxtune.results.analysis.surface import Surface
from jaxtune.results.plots.colours import rank_bar, sequential
from jaxtune.results.plots.style import BEST, crosses, key, single
from jaxtune.results.plots.ticks import label_axis


def plot_contour(
    first: Dimension,
    second: Dimension,
    surface: Surface,
    sound: np.ndarray,
    *,
    name: str,
    best: int | None = None,
    ax: Any = None,
) -> Any:
    """Draw the estimate over two hyperparameters, the trials on it, and a ring around the best.

    Args:
        first: Along x.
        second: Along y.
        surface: The estimate.
        sound: Bool [T]; the others diverged, and are crosses.
        name: Of the metric that ranks.
        best: Index of the trial to highlight.
        ax: matplotlib Axes to draw into; None makes a figure.

    Returns:
        The Axes.
    """
    x, y = (_spread(one, turn) for one, turn in ((first, 0.618034), (second, 0.7548777)))
    with single(ax, "plot_contour") as drawn:
        image = drawn.pcolormesh(
            _edges(surface.x, first), _edges(surface.y, second), surface.quality, cmap=sequential(), vmin=0, vmax=1
        )
        if not first.options and not second.options and np.isfinite(surface.quality).any():
            drawn.contour(
                surface.x, surface.y, surface.quality, np.arange(0.1, 1.0, 0.1), colors="white", linewidths=0.5
            )
        dots = {"s": 9, "color": "white", "edgecolors": "#1A202C", "linewidths": 0.5, "alpha": 0.7}
        drawn.scatter(x[sound], y[sound], zorder=3, **dots)
        crosses(drawn, x[~sound], y[~sound])
        ring = {"mfc": "none", "mec": BEST, "mew": 2.4, "ms": 10}
        if best is not None:
            drawn.plot(x[best], y[best], "o", zorder=6, clip_on=False, **ring)
        drawn.grid(False)
        drawn.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        label_axis(drawn.xaxis, first)
        label_axis(drawn.yaxis, second)
        rank_bar(drawn.figure, drawn, image, f"mean rank by {name} nearby")
        if ax is None:
            key(drawn.figure, int((~sound).sum()), "" if best is None else "best", **ring)
    return drawn


def _edges(places: np.ndarray, dimension: Dimension) -> np.ndarray:
    """Where the cells around places end."""
    half = 0.5 / len(dimension.options) if dimension.options else 0.5 * (places[1] - places[0])
    return np.append(places - half, places[-1] + half)


def _spread(dimension: Dimension, turn: float) -> np.ndarray:
    """Places of trials; those of one option are spread over it."""
    if not dimension.options:
        return dimension.places
    offset = (np.arange(len(dimension.places)) * turn) % 1.0 - 0.5
    return dimension.places + 0.7 * offset / len(dimension.options)
