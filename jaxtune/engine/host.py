"""How the host waits for compilers and devices: in a way that Ctrl-C can interrupt.

A call of a compiled program returns when it likes: on a single CPU device when it is done, and one whose loop never
ends not at all. Python sees signals only between its own instructions. So calls are made in threads, while the host
waits.
"""

import atexit
import math
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import jax

from jaxtune.interface.counts import check_seconds
from jaxtune.interface.settings import in_threads

GRACE = 1.5  # seconds that compilers and devices have to end after Ctrl-C
_POLL = 0.05


class Busy(Exception):
    """Ctrl-C was pressed, and a compiler or a device is still at work.

    Attributes:
        device: whether it is a device, which has consumed the arguments of its call.
    """

    def __init__(self, device: bool) -> None:
        super().__init__("the device is still busy" if device else "programs are still compiling")
        self.device = device


@dataclass
class Host:
    """What a search's host does between its calls: it waits, and keeps the time.

    Attributes:
        deadline: when the search is to end, by `time.monotonic`: programs are waited for all the same, and something is
            done before, so that a search that goes on again and again comes to its end, however short the limit.
        waited: seconds spent waiting for compilers.
        later: what will be needed, and can be done while compilers or devices are at work.
        compiling: whether nothing can go on before compilers are done; true before the first call of a device.
        worked: whether a device was called.
    """

    deadline: float = math.inf
    waited: float = 0.0
    later: deque[Callable[[], Any]] = field(default_factory=deque)
    compiling: bool = True
    worked: bool = False
    _longest: float = 0.0  # seconds of a call
    _pressed: float | None = None  # when

    @property
    def pressed(self) -> bool:
        """Whether somebody wants the search to end, however little there is of it."""
        return self._pressed is not None

    @property
    def interrupted(self) -> bool:
        """Whether the search is to end."""
        return self.pressed or (self.worked and time.monotonic() >= self.deadline)

    @contextmanager
    def unlimited(self) -> Iterator[None]:
        """For as long as this holds, only Ctrl-C ends the search."""
        known, self.deadline = self.deadline, math.inf
        try:
            yield
        finally:
            self.deadline = known

    def interrupt(self) -> None:
        """Ends the search at the next opportunity."""
        if self._pressed is None:
            self._pressed = time.monotonic()

    def compiled_program(self, future: Future) -> Any:
        """Waits for a compiler.

        Raises:
            Busy: Ctrl-C was pressed some time ago, and it is not done.
        """
        self.settled(future)
        return future.result()

    def settled(self, future: Future) -> None:
        """Like `compiled_program`, but an error of the compiler is left for later."""
        begin = time.monotonic()
        self.compiling = self.compiling or not future.done()
        try:
            self._wait(future, device=False)
        finally:
            self.waited += time.monotonic() - begin

    def call(self, program: Callable[..., Any], *args: Any) -> Any:
        """Calls a compiled program and waits until its results are there.

        Args:
            program: It finds no settings of JAX that hold for the caller's thread alone.
            args: Arrays on the devices.

        Raises:
            Busy: Ctrl-C was pressed some time ago, and it has not returned.
        """
        done: Future = Future()

        def work() -> None:
            try:
                with in_threads():
                    done.set_result(jax.block_until_ready(program(*args)))
            except BaseException as error:
                done.set_exception(error)

        begin = time.monotonic()
        self.compiling = False
        threading.Thread(target=work, daemon=True, name="jaxtune-device").start()
        self._wait(done, device=True)
        self.worked = True
        self._longest = max(self._longest, time.monotonic() - begin)
        return done.result()

    def _wait(self, future: Future, device: bool) -> None:
        # What is known to take long may take as long again, and the last evaluation takes some calls.
        begin, grace = time.monotonic(), max(GRACE, 1.5 * self._longest) if device else GRACE
        while not self._is_done(future):
            now = time.monotonic()
            if self._pressed is not None and now > min(max(begin, self._pressed), self._pressed + 2 * GRACE) + grace:
                if device:
                    _leave_without(future)
                raise Busy(device)
            if self.later and self._pressed is None:
                with suppress(Exception):  # it will be raised again where its result is needed
                    self.later.popleft()()

    @staticmethod
    def _is_done(future: Future) -> bool:
        """Whether something has ended, in a moment at the latest."""
        with suppress(Exception):  # the future's own error, which is raised later, or that the moment is over
            future.result(timeout=_POLL)
        return future.done()


def deadline(time_limit: Any) -> float:
    """When so many seconds will be over, by `time.monotonic`; never without a limit.

    Raises:
        ValueError: It is neither None nor a number of seconds.
    """
    check_seconds("time_limit", time_limit)
    return math.inf if time_limit is None else time.monotonic() + float(time_limit)


def seconds_left(deadline: float) -> float | None:
    """What is left of a time limit; None without one."""
    return None if deadline == math.inf else max(deadline - time.monotonic(), 0.0)


@contextmanager
def interrupts(host: Host, terminated: bool = False) -> Iterator[None]:
    """Turns the first Ctrl-C into the host's wish to end the search; the second one raises as ever.

    Args:
        host: Of the search.
        terminated: The same for SIGTERM. Once the search has ended, the user's handler is called or, if there is none,
            the process ends with status 143.
    """
    wanted = [signal.SIGINT, signal.SIGTERM] if terminated else [signal.SIGINT]
    before = {number: signal.getsignal(number) for number in wanted}
    came: list[int] = []

    def restore() -> None:
        for number in before:
            signal.signal(number, before[number])

    def handler(number: int, frame: FrameType | None) -> None:
        host.interrupt()
        came.append(number)
        restore()

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: known for number, known in before.items() if known != signal.SIG_IGN}  # a job in the background
    for number in before:
        signal.signal(number, handler)
    try:
        yield
    finally:
        restore()
        if signal.SIGTERM in came:
            _end(before[signal.SIGTERM])


def _end(handler: Any) -> None:
    if not callable(handler):
        raise SystemExit(128 + signal.SIGTERM)
    handler(signal.SIGTERM, None)


def _leave_without(future: Future) -> None:
    """Lets the process end although a call never does: JAX would wait for it at the end, deaf to Ctrl-C."""

    def leave() -> None:
        if not future.done():
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(1 if hasattr(sys, "last_value") else 0)

    atexit.register(leave)
