"""Where jaxtune keeps what later processes may use again."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """The user's cache folder for jaxtune, which need not exist.

    Raises:
        RuntimeError: The user has no home.
    """
    chosen = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (chosen if chosen.is_absolute() else Path.home() / ".cache") / "jaxtune"  # relative ones are to be ignored
