"""Scales of axes: what they span, where they are logarithmic, and how they are labelled.

Shapes: T trials, E evaluations. `ax` is a matplotlib Axes, `axis` one of its two.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxtune.interface.counts import plain
from jaxtune.results.text import labels
from jaxtune.spaces.values import is_number, typed

MISSING: Any = object()
"""Stands where a trial doesn't have a hyperparameter; None is a value like any other."""


def scale_steps(ax: Any, steps: np.ndarray, rungs: Sequence[int] | np.ndarray) -> None:
    """Scale the x axis, linearly where rungs are equally far apart; label it at the rungs if one can read them."""
    if len(steps) == 0:
        return
    low, high = steps.min(), steps.max()
    positive = steps[steps > 0]
    if len(positive) == 0 or high <= 10 * positive.min() or _are_even(rungs):
        margin = 0.04 * (high - low) or 0.05 * high or 1.0
        ax.set_xlim(low - margin, high + margin)
        ax.xaxis.set_major_formatter(_ticker().StrMethodFormatter("{x:,.0f}"))
        return
    margin = float(high / positive.min()) ** 0.04
    if low > 0:
        ax.set_xscale("log")
        ax.set_xlim(low / margin, high * margin)
    else:  # a search may be evaluated at step 0 too, which a plain log axis can't show
        ax.set_xscale("symlog", linthresh=positive.min())
        ax.set_xlim(low, high * margin)
    if 2 <= len(rungs) <= 8 and all(b > 1.4 * a for a, b in itertools.pairwise(rungs)):
        ax.set_xticks(rungs, labels=[f"{rung:,}" for rung in rungs])
        ax.xaxis.set_minor_locator(_ticker().NullLocator())
    elif low > 0:
        _label_log(ax.xaxis, high / low)


def _are_even(rungs: Sequence[int] | np.ndarray) -> bool:
    """Whether rungs are those of generations, equally long: on a log axis the later ones would lie on one another."""
    return len(rungs) > 2 and np.ptp(np.diff(np.unique(rungs), prepend=0)) == 0


def _label_log(axis: Any, span: float) -> None:
    """Plain numbers at 1, 2, 5 on a log axis of few decades, which powers of ten would leave nearly bare."""
    if span < 300:
        axis.set_major_locator(_ticker().LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(_ticker().FuncFormatter(lambda x, _: f"{x:,.0f}" if x >= 10 else f"{x:g}"))
        axis.set_minor_formatter(_ticker().NullFormatter())


def scale_values(axis: Any, values: np.ndarray, mode: str | None, always: Any = None) -> tuple[float, float]:
    """Scale the y axis to the bulk of the values; returns its limits.

    The better end is shown whole, the worse end up to a percentile; `always` holds values that must be
    inside.
    """
    finite = values[np.isfinite(values)]
    if len(finite) == 0:
        axis.axes.set_ylim(0.0, 1.0)
        return 0.0, 1.0
    low = finite.min() if mode == "min" else np.percentile(finite, 2)
    high = finite.max() if mode == "max" else np.percentile(finite, 95 if mode == "min" else 98)
    if always is not None and np.isfinite(always).any():
        low, high = min(low, np.nanmin(always)), max(high, np.nanmax(always))
    if mode == "min" and low > 0 and high > 10 * low:
        axis.axes.set_yscale("log")
        _label_log(axis, high / low)
        margin = (high / low) ** 0.06
        limits = (low / margin, high * margin)
    else:
        margin = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
        limits = (low - margin, high + margin)
    axis.axes.set_ylim(limits)
    return float(limits[0]), float(limits[1])


def scale_hparam(ax: Any, column: Sequence[Any], log: bool) -> np.ndarray:
    """Scale the x axis of one panel; returns float [T], NaN where the hyperparameter is `MISSING`."""
    present = [plain(value) for value in column if value is not MISSING]
    if all(map(has_place, present)):
        scale_numbers(ax, present, log)
        return np.array([np.nan if value is MISSING else float(value) for value in column])
    place = _scale_categories(ax, present)
    places = [np.nan if value is MISSING else place[typed(plain(value))] for value in column]
    spread = 0.5 * ((np.arange(len(column)) * 0.618034) % 1.0 - 0.5)  # an even spread keeps equal values visible
    return np.array(places) + spread


def has_place(value: Any) -> bool:
    """Whether a value lies somewhere on an axis of floats."""
    return is_number(value) and abs(value) <= sys.float_info.max


def scale_numbers(ax: Any, values: Sequence[float], log: bool) -> None:
    """Scale the x axis for numbers that all have a place on it."""
    if log and min(values, default=1) > 0:
        ax.set_xscale("log")
    elif log and any(values):  # branches may give a name other domains too, whose values a plain log axis can't show
        ax.set_xscale("symlog", linthresh=min(abs(value) for value in values if value))
    elif all(isinstance(value, int) for value in values):
        ax.xaxis.set_major_locator(_ticker().MaxNLocator(integer=True, nbins=6))
    else:
        ax.xaxis.set_major_locator(_ticker().MaxNLocator(nbins=5))


def _scale_categories(ax: Any, values: Sequence[Any]) -> dict[Any, int]:
    """A place for each value, by its key: numbers ascending, then the others by label."""
    names = dict(zip(map(typed, values), labels(values, longest=20), strict=True))
    numbers = sorted((key for key in names if is_number(key[1])), key=lambda key: key[1])
    others = sorted((key for key in names if not is_number(key[1])), key=lambda key: names[key])
    place = {key: i for i, key in enumerate(numbers + others)}
    # Options are all named; of the many values of a domain some are enough.
    told = (numbers if len(numbers) <= 12 else numbers[:: math.ceil(len(numbers) / 6)]) + others
    label_places(ax, [place[key] for key in told], [names[key] for key in told], len(place))
    return place


def label_places(ax: Any, places: Sequence[int], texts: Sequence[str], num: int) -> None:
    """Scale the x axis for so many values that are no numbers, of which some are named."""
    crowded = max(map(len, texts)) * len(texts) > 24
    style = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if crowded else {}
    # An option is no formula, whatever dollars it has.
    ax.set_xticks(places, labels=texts, parse_math=False, **style)
    ax.set_xlim(-0.6, num - 0.4)
    ax.grid(False, axis="x")


def _ticker() -> Any:
    import matplotlib.ticker

    return matplotlib.ticker
