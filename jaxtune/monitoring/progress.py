"""What a running search shows: a bar on a terminal or in a notebook, one line per rung in a log, or nothing."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

from rich import progress as rich
from rich.console import Console
from rich.control import Control
from rich.table import Column
from rich.text import Text

from jaxtune.interface.warning import warn
from jaxtune.monitoring.events import Event, Interrupted, Narrowed, Progressed
from jaxtune.monitoring.notebook import NotebookBar

LONG = 60.0  # seconds after which a search could do with a hint
_GIVEN: set[str] = set()  # hints, in this process
# The part of something larger that a search is, and whether its metric means anything there; see `part_of`.
_PART: ContextVar[tuple[str, bool]] = ContextVar("part", default=("", True))


@contextmanager
def part_of(title: str, has_best: bool = True) -> Iterator[None]:
    """Searches in here say which part of something larger they are.

    Args:
        title: such as "split 2 of 5".
        has_best: whether the metric of the search means anything to who waits for the whole.
    """
    token = _PART.set((title, has_best))
    try:
        yield
    finally:
        _PART.reset(token)


class Progress:
    """Context manager that shows how far a search is; leaving it, by whatever way, closes the bar.

    On a terminal and in a notebook it is a live bar. Elsewhere (a log file, a pipe) each rung leaves one line on
    stderr, written when the rung is over. What is printed meanwhile appears above the bar if it goes to the same
    terminal, and is left alone otherwise.

    A display that fails, because the terminal is gone or the pipe closed, is switched off with a warning.

    >>> with Progress(total=1000, steps=200, enabled=False) as progress:
    ...     progress.update(done=250, step=50, phase="rung 1/3", survivors=8, best=0.91, metric="accuracy")
    """

    def __init__(
        self,
        total: int,
        steps: int,
        enabled: bool = True,
        *,
        console: Console | None = None,
        compiling: Callable[[], bool] = bool,
        hint: str = "",
    ):
        """Nothing is shown before the `with` block is entered.

        Args:
            total: lane-steps the search will spend.
            steps: of a full training.
            enabled: False shows nothing at all.
            console: rich Console to draw on; None for stderr.
            compiling: whether compilers are what the search is waiting for just now; asked whenever the bar is drawn.
            hint: said after a minute, once in a process.
        """
        self._total, self._steps, self._enabled = total, steps, enabled
        self._console, self._compiling = console, compiling
        self._hint, self._begin = hint, time.monotonic()
        self._title, self._has_best = _PART.get()
        self._bar: rich.Progress | None = None
        self._task = rich.TaskID(0)
        self._phase: str | None = None
        self._line: str | None = None  # of the current phase, not written yet
        self._lock = threading.RLock()  # the bar is drawn by a thread of its own too
        self._above: dict[str, _Above] = {}  # stdout, stderr, where they stand in for these

    def __enter__(self) -> Progress:
        with self._guarded():
            if self._enabled:
                self._start()
        return self

    def __exit__(self, *error: object) -> None:
        with self._guarded():
            self._stop()
            self._flush()

    def __call__(self, event: Event) -> None:
        """Shows what happens in the search."""
        match event:
            case Progressed():
                self.update(event.lane_steps, event.step, event.phase, event.training, event.best, event.metric)
            case Narrowed():
                width = f"{event.width} on each device"
                self.message(f"Memory ran out: the search goes on with fewer lanes at once, {width}.")
            case Interrupted(step=None):
                self.message(event.reason)
            case Interrupted():
                where = f"{event.reason} at step {event.step} of {self._steps}"
                self.message(f"{where}: the result holds what is known by then.")

    def update(self, done: int, step: int, phase: str, survivors: int, best: float | None, metric: str) -> None:
        """Show where the search is.

        Args:
            done: lane-steps spent so far.
            step: step count of the population.
            phase: what is trained towards, such as "rung 2/5"; another one starts a new line in a log.
            survivors: trials in training.
            best: best value so far, None if there is none yet.
            metric: what `best` is a value of.
        """
        known = best is not None and self._has_best
        with self._guarded():
            if self._enabled:
                where = f"{survivors:,} trial{'s' * (survivors != 1)}, step {step:,} of {self._steps:,}"
                self._show(done, phase, where, f"{metric} {best:.4g}" if known else "")
                self._give_hint()

    def message(self, text: str) -> None:
        """Print a line above the bar; a line of its own in a log and in notebooks."""
        with self._guarded():
            if self._enabled:
                self._flush()
                self._say(text)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """What fails in here switches the display off; the search goes on."""
        failure = None
        with self._lock:
            try:
                yield
            except Exception as error:
                failure = error
                self._enabled, self._line = False, None
                with suppress(Exception):
                    self._stop()
        if failure is not None:  # reported without the lock: a warning may be an entry of somebody's log
            with suppress(Exception):  # where warnings are errors, or stderr is what has failed
                warn(f"The progress display failed and is off from here on: {failure!r}.")

    def _start(self) -> None:
        # A bar within a bar, of a search in a callback, leaves its lines above the other one.
        if self._console is None and (sys.stderr is None or isinstance(sys.stderr, _Above)):
            return
        console = self._console or Console(file=sys.stderr)
        console.on_broken_pipe = _reraise  # type: ignore[method-assign]  # rich's closes stdout and exits
        if console.is_terminal or console.is_jupyter:
            self._bar = _bar(console, self._compiling)
            blank: dict[str, Any] = {"part": self._title, "phase": "", "where": "", "best": ""}
            self._task = self._bar.add_task("search", total=self._total, **blank)
            self._bar.start()
            self._redirect(console)
            threading.Thread(target=self._refresh, args=[self._bar], daemon=True).start()

    def _refresh(self, bar: rich.Progress) -> None:
        while self._bar is bar:
            time.sleep(0.2)
            with self._guarded():
                if self._bar is bar:
                    bar.refresh()

    def _stop(self) -> None:
        bar, self._bar = self._bar, None
        try:
            if bar is not None:
                _close(bar)
        finally:
            self._restore()

    def _redirect(self, console: Console) -> None:
        """Lets what is printed to the bar's terminal appear above it, and nothing else."""
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if console.is_terminal and _same_file(stream, console.file):
                self._above[name] = _Above(stream, self._print_above)
                setattr(sys, name, self._above[name])

    def _restore(self) -> None:
        for name, above in self._above.items():
            if getattr(sys, name) is above:  # somebody may have put another stream there
                setattr(sys, name, above.stream)
        for above in self._above.values():
            above.release()

    def _print_above(self, lines: str) -> bool:
        with self._guarded():
            if self._bar is not None:
                # Rich drops carriage returns: of a bar that a callback draws its last state remains.
                shown = (line.rstrip("\r").rpartition("\r")[2] for line in lines.split("\n"))
                self._bar.console.out("\n".join(shown), highlight=False)
                return True
        return False

    def _show(self, done: int, phase: str, where: str, best: str) -> None:
        if self._bar is not None:
            texts: dict[str, Any] = {"phase": phase, "where": where, "best": best}
            self._bar.update(self._task, completed=done, **texts)
            return
        if phase != self._phase:
            self._flush()
        spent = f"{done:,} of {self._total:,} lane-steps"
        parts = (self._title, phase, where, best and f"best {best}", spent)
        self._phase = phase
        self._line = ", ".join(part for part in parts if part)

    def _give_hint(self) -> None:
        if time.monotonic() - self._begin > LONG and self._hint and self._hint not in _GIVEN:
            _GIVEN.add(self._hint)
            self._say(self._hint)

    def _say(self, text: str) -> None:
        if self._bar is not None and not isinstance(self._bar, NotebookBar):
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            self._write(text)

    def _flush(self) -> None:
        if self._line is not None:
            self._write(self._line)
            self._line = None

    def _write(self, text: str) -> None:
        # Found anew each time: a notebook or a test may have replaced it since.
        stream = sys.stderr if self._console is None else self._console.file
        if stream is not None:  # `print` would take stdout
            print(text, file=stream, flush=True)


class _Above:
    """Stands in for a stream on the bar's terminal, so that whole lines are written above the bar.

    Args:
        stream: what it stands in for.
        show: writes lines above the bar; returns False if there is none any more.
    """

    def __init__(self, stream: Any, show: Callable[[str], bool]) -> None:
        self.stream = stream
        self._show = show
        self._rest: str | None = ""  # of a line that hasn't ended; None once the bar is gone
        self._lock = threading.Lock()  # of the rest only: nothing is written under it

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """Writes text as streams do."""
        with self._lock:
            rest = self._rest
            if rest is not None:
                lines, newline, self._rest = (rest + text).rpartition("\n")
        if rest is None:
            return self.stream.write(text)
        if newline and not self._show(lines):
            self.stream.write(lines + newline)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Writes texts as streams do."""
        for line in lines:
            self.write(line)

    def release(self) -> None:
        """Lets everything through from now on, first what is left."""
        with self._lock:
            rest, self._rest = self._rest, None
        if rest:
            self.stream.write(rest)


def _same_file(one: Any, other: Any) -> bool:
    """Whether two streams write to the same open file; in notebooks and tests some have none."""
    with suppress(AttributeError, OSError, ValueError):
        return one is other or os.path.sameopenfile(one.fileno(), other.fileno())
    return False


def _reraise() -> None:
    raise  # the error that is being handled


class _Rate(rich.ProgressColumn):
    """Lane-steps per second over the last half minute."""

    def render(self, task: rich.Task) -> Text:
        """The cell of one task."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}/s", style="cyan")


class _Doing(rich.ProgressColumn):
    """What is trained towards; before the first call, and whenever the search waits for them, compilers."""

    def __init__(self, compiling: Callable[[], bool]) -> None:
        super().__init__(_one_line())
        self._compiling = compiling

    def render(self, task: rich.Task) -> Text:
        """The cell of one task."""
        phase = task.fields["phase"]
        return Text("compiling" if self._compiling() or not phase else phase, style="bold")


def _one_line(longest: int | None = None) -> Column:
    return Column(no_wrap=True, max_width=longest)


def _text(name: str, style: str = "none", longest: int | None = None) -> rich.TextColumn:
    # No markup: a metric's name is the user's and may hold brackets.
    return rich.TextColumn(f"{{task.fields[{name}]}}", style=style, markup=False, table_column=_one_line(longest))


def _close(bar: rich.Progress) -> None:
    try:
        bar.stop()
    except Exception:
        # The console keeps what it could not write in front of all that follows, so the cursor is shown past it.
        if bar.console.is_terminal:
            print(Control.show_cursor(True), end="", file=bar.console.file, flush=True)
        raise


def _bar(console: Console, compiling: Callable[[], bool]) -> rich.Progress:
    """A bar in lane-steps that fits one line of the terminal."""
    wide = console.width >= 130
    spent = (rich.TextColumn("{task.completed:,.0f}/{task.total:,.0f} lane-steps", table_column=_one_line()),)
    columns = (
        _text("part", "bold", longest=None if wide else 16),
        rich.BarColumn(bar_width=12 if wide else 8),
        _Doing(compiling),
        _text("where"),
        _text("best", "bold green"),
        rich.TimeElapsedColumn(_one_line()),
        rich.TimeRemainingColumn(compact=True, table_column=_one_line()),
        *((*spent, _Rate(_one_line())) if wide else ()),
    )
    if not console.is_terminal:
        return NotebookBar(*columns)
    return rich.Progress(
        *columns,
        console=console,
        auto_refresh=False,  # rich's thread would print a traceback where the terminal is gone
        redirect_stdout=False,
        redirect_stderr=False,
    )
