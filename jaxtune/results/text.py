"""Values as people read them: in tables, sentences and CSV cells."""

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from jaxtune.interface.counts import plain
from jaxtune.spaces.values import is_number, typed


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
    # Quotes in front don't count, or the text with one would read like the text that gets one.
    return f"'{text}" if text.lstrip("'").startswith(("=", "+", "-", "@", "\t", "\r")) else text


def labels(values: Sequence[Any], longest: int | None = None) -> list[str]:
    """Short texts for the values of a column or an axis, alike for equal values of equal types only.

    Floats have three digits, or as many as tell them apart; see `told_apart` for the rest. Where `longest` is given,
    longer texts are cut in their middle.
    """
    rounded = _rounded({value for value in values if isinstance(value, float)})
    texts = [rounded[value] if isinstance(value, float) else _text(value) for value in values]
    return told_apart(values, texts if longest is None else [cut(text, longest) for text in texts])


def cut(text: str, longest: int) -> str:
    """A text on one line, without its middle if it is too long: names are told apart by their ends."""
    text = " ".join(text.split())
    half = longest // 2
    return text if len(text) <= longest else f"{text[:half]}…{text[-half:]}"


def told_apart(values: Sequence[Any], texts: Sequence[str]) -> list[str]:
    """Texts of values, changed where values that differ would read alike.

    A string is quoted then, as is a blank one, a float written out, and anything else numbered in the order in which
    it comes, as are functions of the same name.
    """
    keys = [typed(plain(value)) for value in values]
    said = dict(zip(keys, texts, strict=True))
    for _ in range(2):  # a float written out may read like a string
        uses = Counter(said.values())
        said = {key: _exact(key, text, alone=uses[text] == 1) for key, text in said.items()}
    uses = Counter(said.values())
    numbers: defaultdict[str, Iterator[int]] = defaultdict(lambda: itertools.count(1))
    for key, text in said.items():
        if uses[text] > 1:
            said[key] = next(new for n in numbers[text] if (new := f"{text} #{n}") not in uses)
    return [said[key] for key in keys]


def _exact(key: Any, text: str, alone: bool) -> str:
    kind, value = key
    if kind is str:
        mistakable = not alone and text == value  # else it was cut, and quotes wouldn't tell what
        return repr(value) if mistakable or not value.strip() else text
    return repr(value) if kind is float and not alone else text


def _rounded(values: Iterable[float], digits: int = 3) -> dict[float, str]:
    """Floats with so many digits or, where they would read alike, with more."""
    groups = defaultdict(list)
    for value in values:
        groups[short(value, digits)].append(value)
    texts: dict[float, str] = {}
    for text, group in groups.items():
        alike = len(group) > 1 and digits < 17  # which are enough for any two
        texts |= _rounded(group, digits + 1) if alike else dict.fromkeys(group, text)
    return texts


def _text(value: Any) -> str:
    """A function's name, anything else as Python prints it."""
    return getattr(value, "__name__", None) or str(value)
