"""What a running search shows: a bar on a terminal, one line per rung in a log, nothing if disabled."""

from __future__ import annotations

import importlib.util
import sys
from types import TracebackType
from typing import Any

from rich import progress as rich
from rich.console import Console
from rich.table import Column
from rich.text import Text


class Progress:
    """Context manager that shows how far a search is; leaving it, by whatever way, closes the bar.

    On a terminal, and in a notebook that has ipywidgets, it is a live bar. Elsewhere (a log file, a pipe)
    each rung leaves one line on stderr, written when the rung is over.

    >>> with Progress(total=1000, enabled=False) as progress:
    ...     progress.update(done=250, rung="1/3", survivors=8, best=0.91, metric="accuracy")
    """

    def __init__(self, total: int, enabled: bool = True, *, console: Console | None = None):
        """Nothing is shown before the `with` block is entered.

        Args:
            total: lane-steps the search will spend.
            enabled: False shows nothing at all.
            console: rich Console to draw on; None for stderr.
        """
        self._total = total
        self._enabled = enabled
        self._console = console
        self._bar: rich.Progress | None = None
        self._task = rich.TaskID(0)
        self._rung: str | None = None
        self._line: str | None = None  # of the current rung, not written yet

    def __enter__(self) -> Progress:
        if not self._enabled:
            return self
        console = self._console or Console(stderr=True)
        if console.is_terminal or (console.is_jupyter and importlib.util.find_spec("ipywidgets")):
            self._bar = _bar(console)
            blank: dict[str, Any] = {"rung": "compiling", "survivors": "", "best": "", "note": ""}
            self._task = self._bar.add_task("search", total=self._total, **blank)
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        self._flush()

    def update(self, done: int, rung: str, survivors: int, best: float | None, metric: str, note: str = "") -> None:
        """Show where the search is.

        Args:
            done: lane-steps spent so far.
            rung: name of the rung being trained towards, such as "200"; another name starts a new line in a
                log.
            survivors: trials in training.
            best: best value so far, None if there is none yet.
            metric: what `best` is a value of.
            note: a few more words, such as "compiling".
        """
        if not self._enabled:
            return
        shown = "" if best is None else f"{metric} {best:.4g}"
        if self._bar is not None:
            texts: dict[str, Any] = {"rung": f"rung {rung}", "survivors": f"{survivors:,} training"}
            texts |= {"best": shown, "note": note}
            self._bar.update(self._task, completed=done, **texts)
            return
        if rung != self._rung:
            self._flush()
        parts = (
            f"rung {rung}",
            f"{done:,}/{self._total:,} lane-steps",
            f"{survivors:,} in training",
            shown and f"best {shown}",
            note,
        )
        self._rung = rung
        self._line = ", ".join(part for part in parts if part)

    def message(self, text: str) -> None:
        """Print a line above the bar; a line of its own in a log."""
        if not self._enabled:
            return
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            self._flush()
            self._write(text)

    def _flush(self) -> None:
        if self._line is not None:
            self._write(self._line)
            self._line = None

    def _write(self, text: str) -> None:
        # Found anew each time: a notebook or a test may have replaced it since.
        stream = sys.stderr if self._console is None else self._console.file
        print(text, file=stream, flush=True)


class _Rate(rich.ProgressColumn):
    """Lane-steps per second over the last half minute."""

    def __init__(self, unit: str):
        super().__init__(_one_line())
        self._unit = unit

    def render(self, task: rich.Task) -> Text:
        """The cell of one task."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}{self._unit}", style="cyan")


def _one_line() -> Column:
    return Column(no_wrap=True)


def _text(name: str, style: str = "none") -> rich.TextColumn:
    # No markup: a metric's name is the user's and may hold brackets.
    return rich.TextColumn(f"{{task.fields[{name}]}}", style=style, markup=False, table_column=_one_line())


def _bar(console: Console) -> rich.Progress:
    """A bar in lane-steps that fits one line of the terminal."""
    wide = console.width >= 130
    return rich.Progress(
        rich.BarColumn(bar_width=24 if wide else 8),
        rich.TextColumn("{task.completed:,.0f}/{task.total:,.0f}", table_column=_one_line()),
        _Rate(" lane-steps/s" if wide else "/s"),
        rich.TimeElapsedColumn(_one_line()),
        rich.TimeRemainingColumn(compact=True, table_column=_one_line()),
        _text("rung", "bold"),
        _text("survivors"),
        _text("best", "bold green"),
        *([_text("note", "dim")] if wide else []),
        console=console,
        refresh_per_second=5,
    )
