"""Values as people read them: in tables, sentences and CSV cells."""

import math
from collections.abc import Iterable
from typing import Any

from jaxtune.options import is_number


def listing(names: Iterable[str]) -> str:
    """Names in a sentence."""
    return ", ".join(names) or "none"


def short(value: Any, digits: int = 3) -> str:
    """A hyperparameter or metric in a table: floats rounded, functions by name."""
    return f"{value:.{digits}g}" if isinstance(value, float) else _text(value)


def with_error(value: float, error: float) -> str:
    """A mean and, unless it is NaN, its standard error."""
    text = short(value, digits=4)
    return text if math.isnan(error) else f"{text} ± {short(error, digits=2)}"


def csv_cell(value: Any) -> Any:
    """A value for `csv.writer`; text that a spreadsheet would take for a formula gets a leading quote."""
    if value is None or is_number(value):
        return value
    text = _text(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _text(value: Any) -> str:
    """A function's name, anything else as Python prints it."""
    return getattr(value, "__name__", None) or str(value)
