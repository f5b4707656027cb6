"""What `jaxtune demo` says about a search, and the files it leaves."""

import os
import time
from pathlib import Path
from typing import Any

import jax
import psutil
from rich.console import Console

import jaxtune as jt
from jaxtune.cli.tables import best_trials, confirmed_trials


def announce(console: Console, task: jt.Task, scheduler: Any, model: str) -> None:
    """Says what is about to run."""
    plan = scheduler.plan()
    network = {"mlp": "an MLP", "cnn": "a CNN"}[model]
    console.print(
        f"Tuning {network} on {task.num_examples:,} handwritten digits: {plan.trials:,} configurations on {_devices()}"
    )
    console.print(f"{scheduler}", style="dim", soft_wrap=True)
    console.print(f"{plan.trial_steps:,} lane-steps: training steps, summed over configurations", style="dim")


def show(console: Console, result: jt.Result) -> None:
    """Prints the ten best trials, and what the test split says about the winner."""
    console.print(best_trials(result))
    if result.confirmation is not None:
        console.print(confirmed_trials(result.confirmation))
    test = result.test()
    console.print(
        f"[bold]Test accuracy of the winner: {test['accuracy']:.4f}[/] (loss {test['loss']:.4f}), "
        "on digits held back till now"
    )


def write(result: jt.Result, folder: Path) -> list[str]:
    """Writes pictures, a table of all trials and the report into a folder; returns the names of the files."""
    import matplotlib

    matplotlib.use("Agg")  # needs no display
    import matplotlib.pyplot as plt

    curves = result.plot_curves()
    curves.set_title(f"Validation {result.metric} of {len(result.trials):,} configurations")
    pictures = {"curves.png": curves.figure, "space.png": result.plot_space()[0].figure}
    for name, figure in pictures.items():
        figure.savefig(folder / name, dpi=160)
        plt.close(figure)
    result.to_csv(folder / "trials.csv")
    result.report(folder / "report.html")
    return [*pictures, "trials.csv", "report.html"]


def show_time(console: Console, result: jt.Result, imported: float) -> None:
    """Prints where the time went since the process was started.

    Args:
        console: Where to.
        result: What the search found.
        imported: `process_age()` when the search began.
    """
    seconds = {"import": imported} | {part: s for part, s in result.timing.items() if part != "total"}
    total = process_age()
    if sum(seconds.values()) > total:
        console.print(f"Time: {total:.1f} s, for the search was over: it had taken {result.timing['total']:.1f} s")
        return
    seconds["test and files"] = total - sum(seconds.values())
    parts = ", ".join(f"{name} {value:.1f} s" for name, value in seconds.items())
    lane_steps = int(result.history.lane_steps[-1])
    console.print(f"Time: {total:.1f} s ({parts})")
    console.print(
        f"Speed: {lane_steps / seconds['run']:,.0f} lane-steps per second on {_devices()} ({lane_steps:,} lane-steps)"
    )


def process_age() -> float:
    """Seconds since this process was started."""
    try:  # psutil counts from the time of booting, which Linux tells in whole seconds
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, ValueError, IndexError):
        return time.time() - psutil.Process().create_time()


def _devices() -> str:
    devices = jax.devices()
    kind = "CPU core" if devices[0].platform == "cpu" else devices[0].device_kind
    return f"{len(devices)} {kind}{'s' if len(devices) > 1 else ''}"
