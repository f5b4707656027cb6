"""The progress view on a terminal, in a log, and switched off."""

import doctest
import io

import pytest
from rich.console import Console

import jaxtune.progress
from jaxtune.progress import Progress


def terminal(width=160):
    return Console(file=io.StringIO(), force_terminal=True, force_jupyter=False, width=width, color_system=None)


def stop_early(error, console):
    with Progress(total=10, console=console) as progress:
        progress.update(5, "5", 2, 0.1, "loss")
        raise error


def test_log_has_one_line_per_rung(capsys):
    with Progress(total=1000) as progress:
        progress.update(0, "50", 512, None, "accuracy", note="compiling")
        progress.update(200, "50", 512, 0.5, "accuracy")
        progress.update(300, "200", 128, 0.75, "accuracy")
        progress.update(1000, "200", 128, 0.98765, "accuracy")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "rung 50, 200/1,000 lane-steps, 512 in training, best accuracy 0.5",
        "rung 200, 1,000/1,000 lane-steps, 128 in training, best accuracy 0.9877",
    ]


def test_log_messages_keep_the_order(capsys):
    with Progress(total=10) as progress:
        progress.message("plan")
        progress.update(5, "5", 2, None, "loss", "note")
        progress.message("[bold]done[/bold]")
    rung = "rung 5, 5/10 lane-steps, 2 in training, note"
    assert capsys.readouterr().err.splitlines() == ["plan", rung, "[bold]done[/bold]"]


def test_disabled_shows_nothing(capsys):
    with Progress(total=10, enabled=False, console=terminal()) as progress:
        progress.update(5, "5", 2, 0.1, "loss")
        progress.message("hello")
    assert capsys.readouterr() == ("", "")
    assert progress._console.file.getvalue() == ""


def test_terminal_shows_a_bar():
    console = terminal()
    with Progress(total=83_200, console=console) as progress:
        progress.update(25_600, "200", 128, 0.98765, "accu[bold]racy", note="moving")
        progress.message("[red]above[/red]")
    shown = console.file.getvalue()
    for text in (
        "25,600/83,200",
        "rung 200",
        "128 training",
        "accu[bold]racy 0.9877",
        "moving",
        "[red]above[/red]",
    ):
        assert text in shown


def test_bar_fits_one_line_of_a_narrow_terminal():
    console = terminal(width=88)
    with Progress(total=83_200, console=console) as progress:
        progress.update(25_600, "3200", 128, 0.98765, "accuracy")
    last = console.file.getvalue().splitlines()[-2]  # the last one shows the cursor again
    for text in ("25,600/83,200", "rung 3200", "128 training", "accuracy 0.9877"):
        assert text in last


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_bar_is_closed_by_an_exception(error):
    console = terminal()
    with pytest.raises(error):
        stop_early(error, console)
    assert console.file.getvalue().rstrip("\n").endswith("\x1b[?25h")  # the cursor is visible again
    # A live bar left behind would refuse a second one on the same console.
    with Progress(total=10, console=console) as again:
        again.update(1, "5", 2, 0.1, "loss")


def test_log_keeps_its_last_line_on_an_exception(capsys):
    with pytest.raises(KeyboardInterrupt):
        stop_early(KeyboardInterrupt, console=None)
    assert capsys.readouterr().err == "rung 5, 5/10 lane-steps, 2 in training, best loss 0.1\n"


def test_notebook_without_widgets_falls_back_to_lines(monkeypatch, capsys):
    monkeypatch.setattr(jaxtune.progress.importlib.util, "find_spec", lambda name: None)
    console = Console(file=io.StringIO(), force_jupyter=True)
    console._force_terminal = False
    with Progress(total=10, console=console) as progress:
        progress.update(5, "5", 2, 0.1, "loss")
    assert console.file.getvalue() == "rung 5, 5/10 lane-steps, 2 in training, best loss 0.1\n"


def test_docstring_examples():
    assert doctest.testmod(jaxtune.progress).failed == 0
