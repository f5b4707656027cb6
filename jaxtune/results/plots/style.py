"""What all pictures have in common: colours, frames, panels, marks. matplotlib is imported when it is needed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

# Grey for what was given up, blue for what ran to its end, orange for the one that won, red for what broke:
# the four stay apart in greyscale and for colour-blind readers.
# Later kinds are drawn on top of earlier ones.
COLOURS = {
    "pruned": "#7F8FA3",
    "interrupted": "#2B6CB0",
    "in training": "#2B6CB0",
    "stopped early": "#6B46C1",
    "finished": "#2B6CB0",
    "diverged": "#C53030",
}
STYLE = (
    {"font.size": 10, "axes.labelsize": 10.5, "axes.titlesize": 11, "legend.fontsize": 9}
    | {"axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False}
    | {"axes.edgecolor": "#4A5568", "axes.linewidth": 0.8, "xtick.color": "#4A5568", "ytick.color": "#4A5568"}
    | {"axes.grid": True, "axes.axisbelow": True, "grid.color": "#E2E8F0", "grid.linewidth": 0.6}
    | {"figure.dpi": 110, "savefig.dpi": 160}
)
GREY, BLUE, RED, BEST = COLOURS["pruned"], COLOURS["finished"], COLOURS["diverged"], "#DD6B20"
DOTTED: dict[str, Any] = {"linewidth": 1.0, "linestyle": (0, (2, 3)), "zorder": 1}


def pyplot(caller: str) -> Any:
    """Matplotlib's pyplot, for a method of a result."""
    try:
        import matplotlib
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(f'result.{caller}() needs matplotlib: pip install "jaxtune[plots]".') from error
    # A notebook's backend turns interactive mode on when it is loaded; inside an rc_context that would be undone.
    if not plt.get_fignums():
        plt.switch_backend(matplotlib.get_backend())
    return plt


@contextmanager
def single(ax: Any, caller: str = "plot") -> Iterator[Any]:
    """The axes to draw into, a user's or those of a new figure."""
    plt = pyplot(caller)
    with plt.rc_context(STYLE):
        yield plt.subplots(figsize=(7.2, 4.4), layout="constrained")[1] if ax is None else ax


@contextmanager
def panels(number: int, width: float, height: float, name: str, caller: str = "plot") -> Iterator[tuple[Any, Any]]:
    """A figure, and so many axes in rows of at most four; all show `name` on their y axis."""
    plt = pyplot(caller)
    rows = math.ceil(number / 4)
    columns = math.ceil(number / rows)
    size = (width * columns, height * rows)
    with plt.rc_context(STYLE):
        figure, grid = plt.subplots(rows, columns, figsize=size, sharey=True, squeeze=False, layout="constrained")
        for unused in grid.ravel()[number:]:
            unused.remove()
        for ax in grid[:, 0]:
            ax.set_ylabel(name, parse_math=False)
        yield figure, grid.ravel()[:number]


def legend(ax: Any) -> Any:
    """A legend to the right of the axes."""
    return ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0)


def crosses(ax: Any, x: Any, y: Any, label: str | None = None, zorder: float = 4) -> None:
    """Where trials diverged."""
    ax.scatter(x, y, s=26, marker="x", color=RED, linewidths=1.1, zorder=zorder, clip_on=False, label=label)


def key(figure: Any, failed: int, best: str, **style: Any) -> None:
    """A legend above the panels: of the best or the baseline, where there is one, and of crosses."""
    from matplotlib.lines import Line2D

    marks = [Line2D([], [], linestyle="", marker="o", label=best, **style)] if best else []
    if failed:
        marks.append(Line2D([], [], linestyle="", marker="x", color=RED, ms=5, label=f"diverged ({failed:,})"))
    if marks:
        figure.legend(handles=marks, loc="outside upper right", ncols=len(marks))


def faint(ax: Any, x: np.ndarray, curves: np.ndarray) -> None:
    """Many curves [T, E] behind what matters; a handful may be strong."""
    alpha = float(np.clip(3.0 / math.sqrt(len(curves)), 0.25, 0.9))
    ax.plot(x, curves.T, color=GREY, linewidth=0.9, alpha=alpha, zorder=2)
