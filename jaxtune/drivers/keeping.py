"""Keeps a running search in its folder: listens to its events, writes the log, and saves checkpoints now and then."""

import shutil
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxtune.interface.warning import warn
from jaxtune.monitoring.events import Decided, Evaluated, Event, Finished, Narrowed, Reached, Stopped
from jaxtune.results import journal
from jaxtune.results.journal import Journal, Rules
from jaxtune.results.saving import save_result
from jaxtune.results.shelving import unstored
from jaxtune.results.winner import ShelvedWinner
from jaxtune.storage import files
from jaxtune.storage.checkpoints import Checkpoint
from jaxtune.storage.directory import Writer
from jaxtune.storage.log import Log

_SHARE = 0.03  # of the time that may go into checkpoints
_RATE = 2e8  # bytes per second, until it is known
_RETRIES = 3


class Cut(NamedTuple):
    """Where an earlier run of a generation was cut off."""

    journal: Journal
    checkpoint: Checkpoint | None  # none: all its trials start again
    widths: dict[int, int]  # group -> lanes at once, where memory had run out


class Saved(NamedTuple):
    """Where an earlier run of a search stood."""

    past: list[Journal]  # of the generations that were over
    cut: Cut | None  # the one that was not
    events: int  # how many of those in the log count
    weights: dict[int, ShelvedWinner]  # of trials of generations that were over

    @classmethod
    def of(cls, folder: Writer, rules: Rules) -> "Saved | None":
        """What a folder has, from its last checkpoint that is whole; None where no trials were chosen yet."""
        log = folder.open_log()
        events = journal.valid(log.events)
        if not events:
            return None
        found = next((one for one in folder.checkpoints.usable() if _fits(one, log.sums, len(events))), None)
        position: dict[str, Any] = {"events": 1} if found is None else found.position
        *past, last = journal.generations(events[: position["events"]])
        widths: dict[int, int] = {}
        for event in log.events:
            if event["event"] == "narrowed" and event.get("generation", 0) == len(past):
                widths[event["group"]] = event["width"]
        weights = {
            int(trial): unstored(found.parts[f"weights-{trial}"], about)
            for trial, about in position.get("weights", {}).items()
            if found is not None
        }
        cut = Cut(Journal(last, rules), found, widths)
        return cls([Journal(one, rules) for one in past], cut, position["events"], weights)

    @classmethod
    def after(cls, events: list[dict[str, Any]], rules: Rules, weights: dict[int, ShelvedWinner]) -> "Saved":
        """What a search that is over has, for more generations."""
        past = [Journal(one, rules) for one in journal.generations(events)]
        return cls(past, None, len(events), weights)

    @property
    def points(self) -> np.ndarray:
        """Of the trials of the first generation."""
        journals = self.past or ([] if self.cut is None else [self.cut.journal])
        return journals[0].points


def _fits(checkpoint: Checkpoint, sums: list[int], num_events: int) -> bool:
    """Whether a checkpoint was made in the course that a log tells."""
    position = checkpoint.position
    written = position["written"]
    return position["events"] <= num_events and written <= len(sums) and sums[written - 1] == position["crc32"]


class Keeper:
    """A listener that keeps a search.

    Args:
        folder: Of the run.
        every: Seconds between checkpoints; None for as often as costs at most 3 % of the time.
    """

    def __init__(self, folder: Writer, every: float | None) -> None:
        self._folder, self._every = folder, every
        self._begin = self._last = time.monotonic()
        self._spent, self._rate = 0.0, _RATE
        self._thread: threading.Thread | None = None
        self._error: OSError | None = None
        self._due = self._over = False

    def __call__(self, event: Event) -> None:
        """Writes down what happened."""
        if self._over and not isinstance(event, Finished):
            return
        if isinstance(event, Reached):
            self._reached(event)
        elif isinstance(event, Evaluated):
            self.write(journal.evaluated(**vars(event)))
        elif isinstance(event, Decided):
            self.write(journal.decided(**vars(event)))
        elif isinstance(event, Stopped):
            self.write(journal.stopped(**vars(event)))
        elif isinstance(event, Narrowed):
            self.write(journal.narrowed(event.generation, event.group, event.width))
            self._due = True
        elif isinstance(event, Finished):
            self._finish(event)

    def write(self, event: Mapping[str, Any]) -> None:
        """Adds an event to the log."""
        self._safely("the log", lambda: self._log.append(event))

    @property
    def _log(self) -> Log:
        log = self._folder.log
        assert log is not None, "a search is begun or resumed before anything is told of it"
        return log

    def begin(self, proposed: Mapping[str, Any]) -> None:
        """A generation begins."""
        self.write(proposed)
        self._due = True  # what the generations before have found is saved with its first checkpoint

    def close(self) -> None:
        """Waits until nothing is written any more."""
        if self._thread is not None:
            self._thread.join()

    def _safely(self, what: str, write: Callable[[], Any]) -> None:
        """Writes something without which the rest is of no use; if the disk won't take it, the search goes on alone."""
        for attempt in range(_RETRIES):
            try:
                write()
                return
            except OSError as error:
                files.sweep(self._folder.path)
                if attempt == _RETRIES - 1:
                    self._over = True
                    self._complain(what, error, "The search goes on, but is not saved any more")
                time.sleep(0.05)

    def _complain(self, what: str, error: OSError, so: str) -> None:
        free = shutil.disk_usage(self._folder.path).free
        warn(f"{so}: {what} in {self._folder.path} can't be written ({error.strerror}, {free / 1e6:,.0f} MB free).")

    def _reached(self, event: Reached) -> None:
        if event.last:
            self._wait()
        if (event.last or self._is_due(event)) and not self._is_busy:
            begin = time.monotonic()
            position, parts = event.fetch()
            log = self._log
            events = len(journal.valid(log.events))
            position |= {"events": events, "written": len(log.events), "crc32": log.sums[-1]}

            def write() -> None:
                try:
                    self._folder.checkpoints.save(event.step, events, position, parts)
                    self._folder.forget_results()
                except OSError as error:
                    self._error = error
                took = time.monotonic() - begin
                self._spent += took
                self._rate = event.size / max(took, 1e-3)

            self._last, self._due = begin, False
            self._thread = threading.Thread(target=write, name="jaxtune-checkpoint")
            self._thread.start()
        if event.last:
            self._wait()
            self._over = True

    def _is_due(self, event: Reached) -> bool:
        now = time.monotonic()
        if self._every is not None:
            return self._due or event.rung or now - self._last >= self._every
        return self._due or self._spent + event.size / self._rate <= _SHARE * (now - self._begin)

    @property
    def _is_busy(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _wait(self) -> None:
        if self._thread is not None:
            self._thread.join()
        if self._error is not None:
            self._complain("a checkpoint", self._error, "The search is saved up to the checkpoint before")
            self._error = None

    def _finish(self, event: Finished) -> None:
        self._wait()
        if event.result.interrupted or self._over:
            return

        def write() -> None:
            save_result(event.result, self._folder.path)
            self._folder.end()

        self._safely("the result", write)
