"""The report in the folder of a run: `report.json` now and then while it runs, that and the page at its end."""

from __future__ import annotations

import time
from importlib.util import find_spec
from pathlib import Path

from jaxtune.interface.warning import warn
from jaxtune.monitoring.events import Decided, Evaluated, Event
from jaxtune.results.loading import load_unfinished
from jaxtune.results.result import Result
from jaxtune.storage.directory import Directory

_SECONDS = 60.0  # between two reports of a running search
_SHARE = 0.02  # of the time that may go into them


class Reporting:
    """A listener that reports what the log of a run tells by now.

    Args:
        path: The folder of the run.
    """

    def __init__(self, path: Path) -> None:
        self._folder = Directory(path)
        self._due = time.monotonic() + _SECONDS

    def __call__(self, event: Event) -> None:
        """Writes `report.json` if it is time to."""
        begin = time.monotonic()
        if not isinstance(event, (Evaluated, Decided)) or begin < self._due:
            return
        result = load_unfinished(self._folder)
        if result is not None:
            result.report().write_json(self._folder.path / "report.json")
        took = time.monotonic() - begin
        self._due = begin + max(_SECONDS, took / _SHARE)


def report_end(result: Result, path: Path) -> None:
    """Writes `report.json` and, with Bokeh, `report.html`; a search is not lost because these can't be written."""
    try:
        report = result.report()
        report.write_json(path / "report.json")
        if find_spec("bokeh") is not None:
            report.write(path / "report.html")
    except Exception as error:
        warn(f"The report in {path} can't be written: {error!r}. The result is there.")
