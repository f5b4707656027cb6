"""How much each hyperparameter matters, as bars with intervals."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxtune.results.analysis.importance import Importance
from jaxtune.results.plots.style import BLUE, GREY, single
from jaxtune.results.text import cut


def plot_importance(importance: Importance, ax: Any = None) -> Any:
    """Draw a bar per hyperparameter, the most important on top; grey ones can't be told from chance.

    Args:
        importance: What `jt.importance` returned.
        ax: matplotlib Axes to draw into; None makes a figure.

    Returns:
        The Axes.
    """
    rows = list(importance)
    share = np.array([row.share for row in rows])
    low, high = np.array([row.low for row in rows]), np.array([row.high for row in rows])
    place = np.arange(len(rows))
    with single(ax, "plot_importance") as drawn:
        if ax is None:
            drawn.figure.set_size_inches(7.2, 1.3 + 0.34 * len(rows))
        told = np.isnan(low) | (low > 0)
        drawn.barh(place, share, height=0.62, color=np.where(told, BLUE, GREY), zorder=2)
        whiskers = {"color": "#1A202C", "linewidth": 1.2, "zorder": 3}
        drawn.hlines(place, low, high, **whiskers)
        drawn.plot(np.stack([low, high]), np.stack([place, place]), "|", color="#1A202C", markersize=7, zorder=3)
        drawn.set_yticks(place, labels=[cut(row.name, 40) for row in rows], parse_math=False)
        drawn.set(ylim=(len(rows) - 0.4, -0.6), xlim=(0.0, 1.02))
        drawn.grid(False, axis="y")
        drawn.xaxis.set_major_formatter("{x:.0%}")
        drawn.set_xlabel(_label(importance), parse_math=False)
    return drawn


def _label(importance: Importance) -> str:
    when = "" if importance.step is None else f" at step {importance.step:,}"
    if importance.method == "fanova":
        return f"share of what explains the rank by {importance.metric}{when} (functional ANOVA)"
    best = f"best {importance.num_top:,} of {importance.num_trials:,} trials"
    return f"share of what tells the {best} by {importance.metric}{when}"
