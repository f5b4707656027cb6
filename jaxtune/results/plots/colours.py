"""Colour scales, safe for colour-blind readers, and their bars; matplotlib is imported when it is needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def sequential() -> Any:
    """Viridis from yellow to dark blue, without its pale end, which disappears on white."""
    import matplotlib
    from matplotlib.colors import ListedColormap

    return ListedColormap(matplotlib.colormaps["viridis_r"](np.linspace(0.12, 1.0, 256)))


def step_colours(steps: np.ndarray) -> Any:
    """Colour scale over steps trained; None where all trials were trained alike."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm, Normalize

    if len(steps) == 0 or steps.min() == steps.max():
        return None
    low, high = max(int(steps.min()), 1), int(steps.max())
    return ScalarMappable(LogNorm(low, high) if high > 10 * low else Normalize(low, high), sequential())


def step_bar(figure: Any, axes: Sequence[Any], colours: Any, steps: np.ndarray) -> None:
    """The bar of `step_colours`, labelled at the rungs if one can read them."""
    bar = figure.colorbar(colours, ax=list(axes), label="steps trained", pad=0.01, fraction=0.05)
    bar.outline.set_visible(False)
    rungs = np.unique(steps[(steps >= colours.norm.vmin) & (steps <= colours.norm.vmax)])
    if len(rungs) <= 8:
        bar.set_ticks(rungs, labels=[f"{rung:,}" for rung in rungs])
        bar.minorticks_off()


def rank_bar(figure: Any, axes: Any, mappable: Any, label: str) -> None:
    """A bar of percentiles of the ranking, from 0 to 1."""
    bar = figure.colorbar(mappable, ax=axes, label=label, pad=0.02, fraction=0.05)
    bar.outline.set_visible(False)
    bar.set_ticks([0, 0.5, 1], labels=["worst", "median", "best"])
