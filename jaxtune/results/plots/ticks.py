"""Labels of a hyperparameter's values where an axis is laid out by places in [0, 1]."""

from __future__ import annotations

import math
from typing import Any

from jaxtune.results.analysis.dimensions import Dimension
from jaxtune.results.text import cut

_OPTIONS = 12  # that are named


def ticks(dimension: Dimension, most: int = 6) -> tuple[list[float], list[str]]:
    """Places in [0, 1] and what stands there: some `most` round numbers, or the options of a category."""
    if dimension.options:
        num = len(dimension.options)
        shown = range(0, num, math.ceil(num / _OPTIONS))
        return [(i + 0.5) / num for i in shown], [cut(dimension.options[i], 20) for i in shown]
    if dimension.low == dimension.high:  # a constant that only some trials have
        return [0.5], [f"{dimension.low:g}"]
    round_numbers = _locator(dimension, most).tick_values(dimension.low, dimension.high)
    values = [value for value in round_numbers if _is_inside(dimension, value)]
    if len(values) < 2:
        values = [dimension.low, dimension.high]
    return [place_of(dimension, value) for value in values], [f"{value:g}" for value in values]


def label_axis(axis: Any, dimension: Dimension, most: int = 6) -> None:
    """Scale an x or y axis by places, with the name and values of a hyperparameter."""
    places, texts = ticks(dimension, most)
    axis.set_ticks(places, labels=texts, parse_math=False)
    axis.set_label_text(cut(dimension.name, 28), parse_math=False)
    if dimension.options and axis.axis_name == "x" and max(map(len, texts)) * len(texts) > 24:
        for label in axis.get_ticklabels():
            label.set(rotation=30, ha="right", rotation_mode="anchor")


def place_of(dimension: Dimension, value: float) -> float:
    """Where a number lies in [0, 1]."""
    if dimension.kind == "log":
        return math.log(value / dimension.low) / math.log(dimension.high / dimension.low)
    return (value - dimension.low) / (dimension.high - dimension.low)


def _locator(dimension: Dimension, most: int) -> Any:
    import matplotlib.ticker

    if dimension.kind != "log":
        return matplotlib.ticker.MaxNLocator(nbins=most - 1, steps=[1, 2, 5, 10], integer=dimension.integer)
    decades = math.log10(dimension.high / dimension.low)
    return matplotlib.ticker.LogLocator(subs=(1.0, 2.0, 5.0) if decades < 1.5 else (1.0,), numticks=most)


def _is_inside(dimension: Dimension, value: float) -> bool:
    rounding = 1e-9 * max(abs(dimension.low), abs(dimension.high))
    low = dimension.low * (1 - 1e-9) if dimension.kind == "log" else dimension.low - rounding
    return low <= value <= dimension.high + rounding
