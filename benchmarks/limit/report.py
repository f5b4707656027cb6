"""Tables and verdicts of `limits.py`, as Markdown."""

from collections.abc import Iterable, Sequence
from typing import Any


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table."""
    return "\n".join(map(row, [header, ["---"] * len(header), *rows])) + "\n"


def row(cells: Sequence[Any]) -> str:
    """A line of a table."""
    return "| " + " | ".join(map(str, cells)) + " |"


def verdict(what: str, missed: Sequence[str]) -> str:
    """A sentence that says whether a target is met, and by what it is missed."""
    return f"Target: {what}: " + (f"MISSED by {', '.join(missed)}.\n" if missed else "met.\n")
