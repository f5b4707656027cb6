"""Warnings that point at the user's line, however deep in jaxtune they come from."""

import contextlib
import functools
import sys
import warnings
from pathlib import Path

OWN = f"{Path(__file__).parents[1]}/"
_BETWEEN = (OWN, contextlib.__file__, functools.__file__, "<string>")  # the last one of dataclasses


def warn(message: str) -> None:
    """A `UserWarning` at the first line outside of jaxtune."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_BETWEEN):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, stacklevel=level)
