"""The best trial in each part of each hyperparameter's range.

Shapes: T trials.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxtune.results.analysis.dimensions import Dimension
from jaxtune.results.analysis.isolation import Bucket
from jaxtune.results.plots import axes
from jaxtune.results.plots.colours import step_bar, step_colours
from jaxtune.results.plots.style import BEST, BLUE, crosses, key, panels
from jaxtune.results.plots.ticks import label_axis


def plot_isolation(
    buckets: Sequence[tuple[Dimension, Sequence[Bucket]]],
    scores: np.ndarray,
    steps: np.ndarray,
    *,
    name: str,
    mode: str,
    best: int | None = None,
) -> Any:
    """Draw one panel per hyperparameter: the value of the best trial in each bucket, coloured by steps trained.

    A bar spans the bucket, a dot is where the trial lies; a cross where all trials of a bucket diverged.

    Args:
        buckets: Hyperparameters, each with its buckets, see `isolation`.
        scores: Float [T], the metric of each trial; NaN where it diverged.
        steps: Int [T], steps each trial was trained for.
        name: Of the metric.
        mode: "min" or "max", which way it is better.
        best: Index of the trial to highlight.

    Returns:
        Array of the panels' Axes.
    """
    scores = np.where(np.isfinite(scores), scores, np.nan)
    chosen = np.unique([bucket.trial for _, found in buckets for bucket in found])
    lost = int(np.isnan(scores[chosen]).sum())
    with panels(len(buckets), 3.1, 3.2, f"best {name}", "plot_isolation") as (figure, shown):
        limits = axes.scale_values(shown[0].yaxis, scores[chosen], mode, always=scores[chosen])
        colours = step_colours(steps[chosen][np.isfinite(scores[chosen])])
        for ax, (dimension, found) in zip(shown, buckets, strict=True):
            _draw_buckets(ax, dimension, found, scores, steps, colours, limits[0 if mode == "max" else 1])
            label_axis(ax.xaxis, dimension, most=4)
            ax.set_xlim(-0.03, 1.03)
            if best is not None and not np.isnan(dimension.places[best]):
                ring = {"facecolors": "none", "edgecolors": BEST, "linewidths": 2.0}
                ax.scatter(dimension.places[best], scores[best], s=95, zorder=6, clip_on=False, **ring)
        key(figure, lost, "" if best is None else "best", mfc="none", mec=BEST, mew=2.0, ms=9)
        if colours is not None:
            step_bar(figure, shown, colours, steps[chosen])
    return shown


def _draw_buckets(
    ax: Any,
    dimension: Dimension,
    found: Sequence[Bucket],
    scores: np.ndarray,
    steps: np.ndarray,
    colours: Any,
    worst: float,
) -> None:
    trials = np.array([bucket.trial for bucket in found])
    sound = np.isfinite(scores[trials])
    colour = np.full(len(trials), BLUE) if colours is None else colours.to_rgba(steps[trials])
    x, y = dimension.places[trials], scores[trials]
    low, high = (np.clip([getattr(bucket, end) for bucket in found], 0.0, 1.0) for end in ("low", "high"))
    margin = 0.006 if len(found) > 1 else 0.0
    ax.hlines(y[sound], low[sound] + margin, high[sound] - margin, colors=colour[sound], linewidth=3.0, zorder=3)
    ax.scatter(x[sound], y[sound], s=28, c=colour[sound], edgecolors="white", linewidths=0.7, zorder=4)
    if not sound.all():
        crosses(ax, x[~sound], np.full((~sound).sum(), worst))
