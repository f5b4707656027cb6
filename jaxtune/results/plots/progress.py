"""What a search found for what it spent, and what fewer trials would have found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxtune.results.analysis.tuning import ExpectedBest
from jaxtune.results.plots import axes
from jaxtune.results.plots.style import BEST, BLUE, DOTTED, STYLE, pyplot


def plot_progress(
    spent: np.ndarray,
    best: np.ndarray,
    *,
    name: str,
    mode: str,
    begins: Sequence[int] | np.ndarray = (),
    expected: tuple[int, ExpectedBest] | None = None,
) -> Any:
    """Draw the best value so far over the lane-steps spent and, beside it, the expected best of n trials.

    Args:
        spent: Int [E], lane-steps at each evaluation.
        best: Float [E], the best value by then; NaN while there was none.
        name: Of the metric.
        mode: "min" or "max", which way it is better.
        begins: Lane-steps at which another generation begins.
        expected: For the second panel, a step and the best of n trials there; None leaves it out.

    Returns:
        Array of the Axes, one or two.
    """
    plt = pyplot("plot_progress")
    num = 1 if expected is None else 2
    with plt.rc_context(STYLE):
        size = (6.4 if expected is None else 11.2, 3.8)
        grid = plt.subplots(1, num, figsize=size, squeeze=False, layout="constrained")[1]
        shown = grid.ravel()
        _draw_best(shown[0], spent, best, mode, begins)
        if expected is not None:
            _draw_expected(shown[1], expected[1], mode)
            shown[1].set_ylabel(f"best {name} among them", parse_math=False)
            shown[1].set_xlabel(f"trials, of those at step {expected[0]:,}")
        shown[0].set_ylabel(f"best {name} so far", parse_math=False)
    return shown


def _draw_best(ax: Any, spent: np.ndarray, best: np.ndarray, mode: str, begins: Sequence[int] | np.ndarray) -> None:
    axes.scale_values(ax.yaxis, best, mode, always=best)
    for place in begins:
        ax.axvline(place, color="#A0AEC0", **DOTTED)
    ax.step(spent, best, where="post", color=BEST, linewidth=2.2, zorder=3)
    finite = np.flatnonzero(np.isfinite(best))
    if len(finite):
        ax.plot(spent[finite[-1]], best[finite[-1]], "o", color=BEST, markersize=5.5, zorder=4)
    ax.set_xlim(left=0)
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.set_xlabel("lane-steps spent" + (" (dotted: a generation begins)" if len(begins) else ""))


def _draw_expected(ax: Any, expected: ExpectedBest, mode: str) -> None:
    axes.scale_values(ax.yaxis, np.append(expected.mean, expected.low), mode, always=expected.mean)
    ax.fill_between(
        expected.num, expected.low, expected.high, color=BLUE, alpha=0.18, linewidth=0, label="95 % of draws"
    )
    ax.plot(expected.num, expected.mean, color=BLUE, linewidth=2.0, label="expected best")
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.legend(loc="upper right" if mode == "min" else "lower right")
