"""What all pictures of a report share: frames, scales, what is told under the pointer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

FAINT = 0.08  # opacity of what is not selected
INK = "#787d86"  # stands out from white and from black alike: in the dark, and on paper
BEST, GREY, RED = "#e66100", "#8a8f98", "#c53030"


def bokeh() -> Any:
    """Bokeh, an optional extra.

    Raises:
        ImportError: It is not installed.
    """
    try:
        import bokeh.plotting
    except ImportError as error:
        raise ImportError(
            'A report page needs Bokeh: pip install "jaxtune[report]". Without it, result.report().contents has the '
            "same as plain values, and report.json in the folder of a run."
        ) from error
    return bokeh


class Scale(NamedTuple):
    """An axis of values: what it spans, and how."""

    low: float
    high: float
    log: bool

    def place(self, values: Any) -> np.ndarray:
        """Where values lie, 0 to 1; beyond the ends at them; NaN stays."""
        values = np.asarray([math.nan if v is None else v for v in values], float)
        if self.high == self.low:
            return np.where(np.isnan(values), np.nan, 0.5)
        with np.errstate(divide="ignore", invalid="ignore"):
            along = (np.log(values) - math.log(self.low)) / math.log(self.high / self.low) if self.log else None
            found = (values - self.low) / (self.high - self.low) if along is None else along
        return np.clip(found, 0.0, 1.0)

    def inside(self, values: Any) -> np.ndarray:
        """Values, those beyond the ends at them."""
        return np.clip(np.asarray([math.nan if v is None else v for v in values], float), self.low, self.high)

    def worst(self, mode: str) -> float:
        """The end at which the worst values lie, and those that diverged."""
        return self.high if mode == "min" else self.low


def value_scale(values: Sequence[float | None], mode: str, whole: bool = False) -> Scale:
    """All of some values but for those that lie far out on the worse side.

    Far out is what Tukey's box plots take for it, by the distance from the best to the worst quarter; on a logarithmic
    scale where values are positive and span more than a factor of ten.

    Args:
        values: Numbers, None among them.
        mode: "min" or "max", which way they are better.
        whole: Whether those far out are shown too.

    Example:
        >>> value_scale([1.0, 2.0, 3.0, 4.0, 1e9, None], "min").high < 10
        True
    """
    finite = np.array([v for v in values if v is not None and math.isfinite(v)])
    if not len(finite):
        return Scale(0.0, 1.0, False)
    log = bool(finite.min() > 0 and finite.max() > 10 * finite.min())
    placed = np.log(finite) if log else finite
    low, high = float(placed.min()), float(placed.max())
    if not whole:
        low, high = _without_far_out(placed, mode)
    margin = 0.06 * ((high - low) or (0.1 if log else 0.1 * abs(high)) or 1.0)
    low, high = low - margin, high + margin
    return Scale(math.exp(low), math.exp(high), True) if log else Scale(low, high, False)


def _without_far_out(placed: np.ndarray, mode: str) -> tuple[float, float]:
    if mode == "max":
        low, high = _without_far_out(-placed, "min")
        return -high, -low
    low, worse = float(placed.min()), float(np.percentile(placed, 75))
    return low, float(placed[placed <= worse + 1.5 * (worse - low)].max())


def padded(low: float, high: float, log: bool) -> tuple[float, float]:
    """A range with a margin, for an axis that stays as it is when trials are filtered."""
    if log:
        margin = (high / low) ** 0.03 if high > low else 2.0
        return low / margin, high * margin
    margin = 0.03 * (high - low) or 1.0
    return low - margin, high + margin


SELECTING = "box_select,tap,box_zoom,reset,save"


def frame(name: str, height: int = 320, tools: str = SELECTING, **options: Any) -> Any:
    """An empty picture as wide as the page, in which a dragged box selects.

    Args:
        name: By which the page's script finds it.
        height: In pixels.
        tools: What can be done in it.
        options: Of Bokeh's figure.
    """
    plotting = bokeh().plotting
    made = plotting.figure(
        name=name,
        height=height,
        sizing_mode="stretch_width",
        tools=tools,
        active_drag="box_select" if tools == SELECTING else None,
        toolbar_location="above",
        background_fill_color=None,
        border_fill_color=None,
        outline_line_color=None,
        min_border_right=12,
        **options,
    )
    made.toolbar.logo = None
    made.toolbar.autohide = False
    for axis in made.axis:
        axis.major_label_text_color = axis.axis_label_text_color = INK
        axis.axis_line_color = axis.major_tick_line_color = axis.minor_tick_line_color = GREY
    made.grid.grid_line_color, made.grid.grid_line_alpha = GREY, 0.2
    return made


def no_box_hits(figure: Any) -> Any:
    """Lets the page's script answer boxes: Bokeh finds no lines in them."""
    from bokeh.models import BoxSelectTool

    figure.select_one(BoxSelectTool).renderers = []
    return figure


def hover(figure: Any, renderers: Sequence[Any], tips: Sequence[tuple[str, str]], **options: Any) -> None:
    """Tells about what is under the pointer."""
    from bokeh.models import HoverTool

    figure.add_tools(HoverTool(renderers=list(renderers), tooltips=[(plain(a), b) for a, b in tips], **options))


def plain(text: str) -> str:
    """A text in which nothing is mathematics, whatever dollars and brackets it has."""
    for mark in ("$$", "\\[", "\\(", "\\begin"):
        text = text.replace(mark, f"{mark[0]}\u200b{mark[1:]}")
    return text


def cut(text: str, longest: int = 24) -> str:
    """A text that an axis has room for."""
    return plain(text if len(text) <= longest else f"{text[: longest - 9]}…{text[-8:]}")


def name_axes(figure: Any, x: str, y: str, scale: Scale | None = None, counts: bool = False) -> None:
    """Says what the axes show; values get ticks that can be read, also where they span less than a power of ten.

    Args:
        figure: The picture.
        x: Name of the x axis.
        y: Of the y axis.
        scale: Of the values along y.
        counts: Whether along x there are whole numbers.
    """
    from bokeh.models import NumeralTickFormatter

    figure.xaxis.axis_label, figure.yaxis.axis_label = cut(x, 40), cut(y, 40)
    if scale is not None and scale.log:
        marks = ticks(scale.low, scale.high, True)
        label_places(figure.yaxis, dict(zip(marks, texts(marks), strict=True)))
    if counts:
        figure.xaxis.formatter = NumeralTickFormatter(format="0,0")


def label_places(axis: Any, places: Mapping[float, str]) -> None:
    """Names some places on an axis, which is linear."""
    from bokeh.models import FixedTicker

    axis.ticker = FixedTicker(ticks=list(places))
    axis.major_label_overrides = {place: cut(text) for place, text in places.items()}


def ticks(low: float, high: float, log: bool, most: int = 5) -> list[float]:
    """Round numbers in a range, at least two of which one can read off a scale."""
    if log and high / low >= 100:
        first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
        every = max(1, math.ceil((last - first + 1) / most))
        return [10.0**e for e in range(first, last + 1, every)]
    if log:
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        marks = [m * 10.0**e for e in powers for m in (1, 2, 5)]
        return [m for m in marks if low * (1 - 1e-9) <= m <= high * (1 + 1e-9)] or [low, high]
    if high == low:
        return [low]
    raw = (high - low) / most
    base = 10.0 ** math.floor(math.log10(raw))
    step = base * min((m for m in (1, 2, 5, 10) if m * base >= raw), default=10)
    return [round(step * k, 12) for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def texts(values: Sequence[float]) -> list[str]:
    """Numbers as ticks have them."""
    return [f"{value:.4g}".replace("e-0", "e-").replace("e+0", "e").replace("e+", "e") for value in values]
