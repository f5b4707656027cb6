"""The progress view on a terminal, in a log, and switched off."""

import contextlib
import doctest
import io
import logging
import os
import sys
import threading
import time
import warnings

import numpy as np
import pytest
from rich.console import Console
from toys import DESCENT, DESCENT_SPACE, NET, ONE

import jaxtune as jt
import jaxtune.monitoring.progress
from jaxtune.monitoring.progress import Progress, part_of


def terminal(width=160):
    return Console(file=io.StringIO(), force_terminal=True, force_jupyter=False, width=width, color_system=None)


@pytest.fixture
def alone(monkeypatch):
    """No variable says what is a terminal, and what a thread dies of is an error."""
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    died = []
    monkeypatch.setattr(threading, "excepthook", died.append)
    yield monkeypatch
    assert not died


class Screen:
    """A terminal, or a pipe; `stream` writes to it."""

    def __init__(self, kind="terminal", **options):
        self.reader, self.writer = pytest.importorskip("pty").openpty() if kind == "terminal" else os.pipe()
        self.stream = os.fdopen(self.writer, "w", buffering=1, **options)

    def read(self):
        """All that has been written."""
        os.write(self.writer, b"<end>")  # terminals take their time
        seen = b""
        while not seen.endswith(b"<end>"):
            seen += os.read(self.reader, 65536)
        return seen.decode().removesuffix("<end>")

    def hang_up(self):
        os.close(self.reader)


@contextlib.contextmanager
def reported(*words):
    """One warning, with one of these words, says that the display failed."""
    with warnings.catch_warnings(record=True) as reports:
        warnings.simplefilter("always")
        yield
    (message,) = (str(report.message) for report in reports if report.category is UserWarning)
    assert message.startswith("The progress display failed and is off")
    assert any(word in message for word in words)


def wait_for(condition):
    """What another thread does soon."""
    for _ in range(500):
        if condition():
            return
        time.sleep(0.02)
    pytest.fail("It did not happen.")


def stop_early(error, console):
    with Progress(10, 10, console=console) as progress:
        progress.update(5, 5, "rung 5", 2, 0.1, "loss")
        raise error


def test_log_has_one_line_per_rung(capsys):
    with Progress(1000, 200) as progress:
        progress.update(0, 0, "rung 1/2", 512, None, "accuracy")
        progress.update(200, 50, "rung 1/2", 512, 0.5, "accuracy")
        progress.update(300, 60, "rung 2/2", 128, 0.75, "accuracy")
        progress.update(1000, 200, "rung 2/2", 128, 0.98765, "accuracy")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "rung 1/2, 512 trials, step 50 of 200, best accuracy 0.5, 200 of 1,000 lane-steps",
        "rung 2/2, 128 trials, step 200 of 200, best accuracy 0.9877, 1,000 of 1,000 lane-steps",
    ]


def test_log_messages_keep_the_order(capsys):
    with Progress(10, 10) as progress:
        progress.message("plan")
        progress.update(5, 5, "rung 5", 2, None, "loss")
        progress.message("[bold]done[/bold]")
    rung = "rung 5, 2 trials, step 5 of 10, 5 of 10 lane-steps"
    assert capsys.readouterr().err.splitlines() == ["plan", rung, "[bold]done[/bold]"]


def test_disabled_shows_nothing(capsys):
    with Progress(10, 10, enabled=False, console=terminal()) as progress:
        progress.update(5, 5, "rung 5", 2, 0.1, "loss")
        progress.message("hello")
    assert capsys.readouterr() == ("", "")
    assert progress._console.file.getvalue() == ""


def test_terminal_shows_a_bar():
    console = terminal()
    with part_of("split 2 of 5"), Progress(83_200, 3200, console=console) as progress:
        progress.update(25_600, 200, "rung 2/4", 128, 0.98765, "accu[bold]racy")
        progress.message("[red]above[/red]")
    shown = console.file.getvalue()
    for text in (
        "split 2 of 5",
        "25,600/83,200 lane-steps",
        "rung 2/4",
        "128 trials, step 200 of 3,200",
        "accu[bold]racy 0.9877",
        "[red]above[/red]",
    ):
        assert text in shown


def test_bar_fits_one_line_of_a_narrow_terminal():
    console = terminal(width=104)
    title = "stage 3 of 4 (weight_decay, dropout, label_smoothing)"
    with part_of(title), Progress(83_200, 3200, console=console) as progress:
        progress.update(25_600, 200, "rung 3/4", 128, 0.98765, "accuracy")
    last = console.file.getvalue().splitlines()[-2]  # the last one shows the cursor again
    for text in ("stage 3 of 4", "rung 3/4", "128 trials, step 200 of 3,200", "accuracy 0.9877", "0:00:00"):
        assert text in last


def test_bar_says_compiling_as_long_as_compilers_are_waited_for():
    console, compiling = terminal(), True
    with Progress(10, 10, console=console, compiling=lambda: compiling) as progress:
        wait_for(lambda: "compiling" in console.file.getvalue())
        progress.update(0, 0, "rung 1/2", 2, None, "loss")
        assert "rung" not in console.file.getvalue()
        compiling = False
        wait_for(lambda: "rung 1/2" in console.file.getvalue())
        already = len(console.file.getvalue())
        compiling = True  # a smaller population has programs of its own
        wait_for(lambda: "compiling" in console.file.getvalue()[already:])


def test_a_part_without_a_metric_of_its_own(capsys):
    with part_of("sweep of 'lr'", has_best=False), Progress(10, 10) as progress:
        progress.update(5, 5, "rung 1/1", 2, 0.0, "loss")
    with Progress(10, 10) as progress:
        progress.update(5, 5, "rung 1/1", 2, 0.5, "loss")
    assert capsys.readouterr().err.splitlines() == [
        "sweep of 'lr', rung 1/1, 2 trials, step 5 of 10, 5 of 10 lane-steps",
        "rung 1/1, 2 trials, step 5 of 10, best loss 0.5, 5 of 10 lane-steps",
    ]


# In searches


def lines(capsys, search, *args, **options):
    """What a search writes into a log, and what it returns."""
    found = search(*args, placement=ONE, progress=True, **options)
    return capsys.readouterr().err.splitlines(), found


@pytest.mark.parametrize("options", [{}, {"keep": "best", "patience": 1, "evaluate_every": 5}])
def test_the_last_line_is_the_result(capsys, options):
    scheduler = jt.SuccessiveHalving(trials=6, min_steps=10, max_steps=40, eta=2)
    shown, result = lines(capsys, jt.tune, DESCENT, DESCENT_SPACE, scheduler=scheduler, **options)
    assert len(shown) == 3
    assert shown[0].startswith("rung 1/3, 6 trials, step 10 of 40, best loss ")
    assert f"step 40 of 40, best loss {result.best.metrics['loss']:.4g}," in shown[-1]


def test_splits_say_which_they_are(capsys):
    task = DESCENT.replace(train=np.ones(9, np.float32), step=lambda key, x, batch, hp: DESCENT.step(key, x, None, hp))
    shown, _ = lines(capsys, jt.nested, task, DESCENT_SPACE, splits=3, scheduler=jt.FullBudget(2, 10))
    assert [line.partition(", ")[0] for line in shown] == [f"split {n} of 3" for n in (1, 2, 3)]


def test_stages_say_which_they_are(capsys):
    space = {**DESCENT_SPACE, "dropout": jt.Uniform(0.0, 0.5)}
    shown, _ = lines(capsys, jt.staged, NET, space, scheduler=jt.FullBudget(2, 16))
    assert [line.partition(", ")[0] for line in shown] == ["stage 1 of 2 (lr)", "stage 2 of 2 (dropout)"]


def test_a_range_test_shows_no_loss_that_is_none(capsys):
    (line,), found = lines(capsys, jt.lr_range_test, DESCENT, {}, low=1e-4, high=10.0, steps=20, trials=2)
    assert line == "sweep of 'lr', rung 1/1, 1 trial, step 20 of 20, 20 of 20 lane-steps"
    assert found.result.metric == "train_loss"
    assert "loss" not in found.result.history.metrics


# The end of a display


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_bar_is_closed_by_an_exception(error):
    console = terminal()
    with pytest.raises(error):
        stop_early(error, console)
    assert console.file.getvalue().rstrip("\n").endswith("\x1b[?25h")  # the cursor is visible again
    # A live bar left behind would refuse a second one on the same console.
    with Progress(10, 10, console=console) as again:
        again.update(1, 5, "rung 5", 2, 0.1, "loss")


def test_log_keeps_its_last_line_on_an_exception(capsys):
    with pytest.raises(KeyboardInterrupt):
        stop_early(KeyboardInterrupt, console=None)
    assert capsys.readouterr().err == "rung 5, 2 trials, step 5 of 10, best loss 0.1, 5 of 10 lane-steps\n"


CELL = """
import time
from jaxtune.monitoring.progress import Progress
with Progress(10, 10) as progress:
    progress.update(5, 5, "rung 1/2", 2, 0.1, "loss")
    time.sleep(0.5)
    progress.message("hello")
    progress.update(10, 10, "rung 2/2", 2, 0.05, "loss")
"""


def test_a_notebook_has_a_bar_without_widgets():
    nbformat = pytest.importorskip("nbformat")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    client = pytest.importorskip("nbclient").NotebookClient(notebook)
    drawn = []
    process = client.process_message
    client.process_message = lambda msg, *rest: drawn.append(msg["header"]["msg_type"]) or process(msg, *rest)
    client.execute()
    bar, message = notebook.cells[0].outputs
    assert drawn.count("update_display_data") >= 3  # a thread draws, and what comes last
    assert "rung 2/2 2 trials, step 10 of 10 loss 0.05" in bar["data"]["text/plain"]
    assert bar["data"]["text/html"].startswith("<pre")
    assert message["text"] == "hello\n"


# Displays that fail


@pytest.mark.parametrize("kind", ["terminal", "pipe", "log"])
def test_a_search_goes_on_when_its_display_is_gone(alone, kind):
    screen = Screen("terminal" if kind == "terminal" else "pipe")
    if kind == "pipe":
        alone.setenv("TTY_COMPATIBLE", "1")
    alone.setattr(sys, "stderr", screen.stream)
    stdout, file = sys.stdout, os.fstat(sys.stdout.fileno())
    with reported("OSError(5,", "BrokenPipe"), Progress(10, 10) as progress:
        progress.update(1, 5, "rung 5", 2, 0.1, "loss")
        screen.hang_up()
        progress.message("hello")
        progress.update(2, 5, "rung 6", 2, 0.1, "loss")
        progress.message("hello")
    assert (sys.stdout, sys.stderr) == (stdout, screen.stream)
    assert os.path.samestat(os.fstat(stdout.fileno()), file)  # rich points it to /dev/null
    later = Screen()
    alone.setattr(sys, "stderr", later.stream)
    with Progress(10, 10) as progress:
        progress.update(1, 5, "rung 5", 2, 0.1, "loss")
    assert "rung 5" in later.read()


def test_a_terminal_that_is_gone_before_the_search(alone):
    screen = Screen()
    alone.setattr(sys, "stderr", screen.stream)
    screen.hang_up()
    with reported("OSError(5,"), Progress(10, 10) as progress:
        progress.update(1, 5, "rung 5", 2, 0.1, "loss")
    assert sys.stderr is screen.stream


def test_a_pipe_that_is_closed_between_updates(alone):
    screen = Screen("pipe")
    alone.setenv("TTY_COMPATIBLE", "1")
    alone.setattr(sys, "stderr", screen.stream)
    with reported("BrokenPipe"), Progress(10, 10):
        screen.hang_up()
        wait_for(lambda: sys.stderr is screen.stream)  # seen by the thread that draws the bar


@pytest.mark.parametrize("closed", [True, False])
def test_there_may_be_no_stderr(alone, capsys, closed):
    stream = io.StringIO()
    stream.close()
    alone.setattr(sys, "stderr", stream if closed else None)
    with reported("closed file") if closed else contextlib.nullcontext(), Progress(10, 10) as progress:
        progress.message("hello")
        progress.update(5, 5, "rung 5", 2, 0.1, "loss")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", ["__init__", "start", "refresh", "update", "stop"])
def test_any_exception_of_the_display_is_caught(alone, name):
    def fail(self, *args, **options):
        raise RuntimeError("a bug")

    alone.setattr(jaxtune.monitoring.progress.rich.Progress, name, fail)
    with reported("a bug"), Progress(10, 10, console=terminal()) as progress:
        progress.update(5, 5, "rung 5", 2, 0.1, "loss")
        wait_for(lambda: name != "refresh" or not progress._enabled)


def test_a_report_that_fails_is_no_error(alone):
    screen = Screen()
    alone.setattr(sys, "stderr", screen.stream)
    screen.hang_up()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with Progress(10, 10) as progress:
            progress.update(5, 5, "rung 5", 2, 0.1, "loss")


def test_a_console_that_lacks_a_character(alone):
    screen = Screen(encoding="ascii", errors="strict")
    alone.setattr(sys, "stderr", screen.stream)
    alone.setattr(sys, "stdout", screen.stream)
    with reported("UnicodeEncodeError"), Progress(10, 10) as progress:
        progress.update(5, 5, "rung 5", 2, 0.1, "Präzision")
        print("from the callback")
    shown = screen.read()
    assert shown.count("from the callback") == 1
    assert shown.rfind("\x1b[?25h") > shown.rfind("\x1b[?25l")  # the cursor is visible again


def test_interrupts_pass(alone):
    class Interrupted(io.StringIO):
        def write(self, text):
            if "rung 5" in text:
                raise KeyboardInterrupt
            return super().write(text)

    with pytest.raises(KeyboardInterrupt), Progress(10, 10, console=Console(file=Interrupted())) as progress:
        progress.update(5, 5, "rung 5", 2, 0.1, "loss")


# What others print


@pytest.mark.parametrize("stderr", ["terminal", "pipe"])
def test_what_is_printed_elsewhere_is_left_alone(alone, stderr):
    screen, log = Screen(stderr), Screen("pipe")
    alone.setattr(sys, "stderr", screen.stream)
    alone.setattr(sys, "stdout", log.stream)
    with Progress(10, 10) as progress:
        progress.update(5, 5, "rung 5", 2, 0.1, "loss")
        print("to stdout")
        print("to stderr", file=sys.stderr)
    shown = screen.read()
    assert log.read() == "to stdout\n"
    assert "rung 5" in shown
    assert "to stderr" in shown
    assert "to stdout" not in shown


def test_a_bar_on_another_stream_leaves_both_alone(alone):
    stdout, stderr = sys.stdout, sys.stderr
    with Progress(10, 10, console=terminal()):
        assert (sys.stdout, sys.stderr) == (stdout, stderr)


def test_lines_appear_above_the_bar_of_the_same_terminal(alone):
    screen = Screen()
    again = os.fdopen(os.dup(screen.writer), "w", buffering=1)
    alone.setattr(sys, "stderr", screen.stream)
    alone.setattr(sys, "stdout", again)
    handler = logging.StreamHandler(sys.stderr)
    with Progress(10, 10) as progress:
        kept = sys.stdout
        progress.update(5, 5, "rung 5", 2, 0.1, "loss")
        print("[bold]one[/bold] :smile:", "x" * 200)
        sys.stderr.writelines(["two\n", "thr"])
        print("ee", file=sys.stderr)
        handler.emit(logging.makeLogRecord({"msg": "four"}))
        for percent in range(0, 101, 20):  # as tqdm draws
            print(f"\r{percent} %", end="", flush=True)
        print()
        print("five", end="", flush=True)
        assert sys.stdout.encoding == again.encoding
        assert sys.stdout.isatty()
    assert (sys.stdout, sys.stderr) == (again, screen.stream)
    print(", six")
    kept.write("seven\n")  # as a log handler does that was made in a callback
    shown = screen.read()
    assert f"[bold]one[/bold] :smile: {'x' * 200}\r\n" in shown
    assert "two\r\n" in shown
    assert "three\r\n" in shown
    assert "100 %\r\n" in shown
    assert "80 %" not in shown
    assert "five, six\r\nseven\r\n" in shown
    assert shown.index("three") < shown.rindex("rung 5") < shown.index("five, six")


def test_a_stream_that_was_put_there_meanwhile_stays(alone):
    screen = Screen()
    alone.setattr(sys, "stderr", screen.stream)
    alone.setattr(sys, "stdout", screen.stream)
    mine = io.StringIO()
    with Progress(10, 10):
        sys.stdout = mine
    assert sys.stdout is mine
    assert sys.stderr is screen.stream


def test_a_search_in_a_callback_leaves_lines_above_the_bar(alone):
    screen = Screen()
    alone.setattr(sys, "stderr", screen.stream)
    with Progress(10, 10) as outer:
        outer.update(5, 5, "rung 5", 2, 0.1, "loss")
        with Progress(20, 10) as inner:
            inner.update(10, 5, "rung 7", 3, 0.2, "loss")
    assert "rung 7, 3 trials, step 5 of 10, best loss 0.2, 10 of 20 lane-steps\r\n" in screen.read()
    assert sys.stderr is screen.stream


def test_docstring_examples():
    assert doctest.testmod(jaxtune.monitoring.progress).failed == 0
