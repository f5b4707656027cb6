"""The command line: `jaxtune demo`, and `list`, `show`, `watch`, `report` for runs in folders.

This file imports the standard library only, and of jaxtune what imports nothing else: arguments are read before
anything that takes seconds is imported, so that help and mistakes don't wait for it.
"""

import argparse
import contextlib
import errno
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxtune import __version__

_INTERRUPTED = 130  # what a shell reports for a program that Ctrl-C ended: 128 + SIGINT

_DESCRIPTION = """\
Tunes learning rate, weight decay and dropout of a small Flax network on the
handwritten digits of scikit-learn, on all cores of the CPU or on the accelerator.
Shows the ten best configurations, the test accuracy of the winner and where the
time went. Writes report.html (all of it on one page, with advice), curves.png (all
learning curves), space.png (the loss over each hyperparameter) and trials.csv (one
row per configuration)."""

_SCHEDULERS = """\
schedulers and their defaults:
  halving    512 configurations; after 50, 200 and 800 steps the best quarter
             goes on, to 3200 steps
  hyperband  98 configurations in four halvings side by side, to 3200 steps;
             --max-steps fixes the number
  pbt        32 configurations for 3200 steps; every 200 steps the worst quarter
             copies the best and explores
  full       32 configurations for 3200 steps, whatever their loss

Another --max-steps is rounded to a multiple of the steps before the first decision,
which are about a quarter of it at most. --seed changes the search, not the split
of the data."""


_RUNS = {
    "list": "list the runs in a folder",
    "show": "show what a run has found, and where it stands",
    "watch": "follow a running search from another terminal",
    "report": "write the page of a run: what was found, what to do next, linked pictures",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        argv: Arguments without the program's name; those of the process if None.

    Returns:
        The exit status: 0, or 1 where something is missing or fails, 2 for a bad option, 130 after Ctrl-C (of `watch`
        0).

    Raises:
        SystemExit: Status 0 after `--help` and `--version`, 2 for arguments that can't be parsed.

    Example:
        >>> from jaxtune.cli.main import main
        >>> main(["demo", "--trials", "0"])  # doctest: +SKIP
        2
    """
    options = _parser().parse_args(argv)
    try:
        return _demo(options) if options.command == "demo" else _runs(options)
    except KeyboardInterrupt:
        return 0 if options.command == "watch" else _fail(f"jaxtune {options.command}: interrupted.", _INTERRUPTED)


def _parser() -> argparse.ArgumentParser:
    what = "Hyperparameter tuning of Flax models as one compiled program."
    parser = argparse.ArgumentParser(prog="jaxtune", description=what)
    parser.add_argument("--version", action="version", version=f"jaxtune {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command", dest="command")
    demo = commands.add_parser(
        "demo",
        help="tune a small network on handwritten digits",
        description=_DESCRIPTION,
        epilog=_SCHEDULERS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add, names = demo.add_argument, ("halving", "hyperband", "pbt", "full")
    add("--scheduler", choices=names, default="halving", help="who is trained for how long (default: halving)")
    add("--trials", type=int, metavar="N", help="number of configurations (not for hyperband)")
    add("--max-steps", type=int, default=3200, metavar="N", help="steps of a full training (default: 3200)")
    add("--seed", type=_seed, default=0, metavar="N", help="of the search (default: 0)")
    add("--model", choices=("mlp", "cnn"), default="mlp", help="the network to tune (default: mlp)")
    kept = "keep the search in a folder, with the files: the same command again goes on from there"
    add("--directory", "--output", type=Path, metavar="DIR", help=f"{kept} (default: files only, in ./jaxtune-demo)")
    add("--confirm", action="store_true", help="train the best 8 again, on 5 fresh seeds each, before one of them wins")
    add("--overwrite", action="store_true", help="delete the run that is in the folder")
    for name, what in _RUNS.items():
        command = commands.add_parser(name, help=what, description=f"{what[0].upper()}{what[1:]}.")
        command.add_argument("directory", type=Path, metavar="DIR", help="its folder, see tune(directory=)")
        if name == "report":
            command.add_argument("--output", type=Path, metavar="FILE", help="the page (default: DIR/report.html)")
        if name == "show":
            repair = "cut off what is damaged at the end of the log"
            command.add_argument("--repair", action="store_true", help=repair)
    return parser


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**32:  # JAX ignores the bits beyond
        raise argparse.ArgumentTypeError(f"a seed is a whole number in 0 ... 2**32 - 1, got {text!r}.")
    return int(text)


def _demo(options: argparse.Namespace) -> int:
    for module, name in (("sklearn", "scikit-learn"), ("matplotlib", "matplotlib"), ("bokeh", "bokeh")):
        if importlib.util.find_spec(module) is None:
            return _fail(f'jaxtune demo needs {name}: pip install "jaxtune[demo]"', 1)

    import jaxtune as jt  # from here on it takes seconds

    with contextlib.suppress(RuntimeError):  # main() was called by a program in which JAX runs already
        if "JAXTUNE_HOST_DEVICES" not in os.environ:
            jt.set_host_device_count()
        _keep_programs()

    from jaxtune.cli.demo import digits

    try:
        scheduler = digits.scheduler(options.scheduler, options.trials, options.max_steps)
    except ValueError as error:
        return _fail(f"jaxtune demo: {error}", 2)
    output = options.directory or Path("jaxtune-demo")
    try:
        output.mkdir(parents=True, exist_ok=True)  # fails before the search rather than after it
        if not os.access(output, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        return _fail(f"jaxtune demo: can't write to {output}: {error.strerror}.", 1)
    try:
        return _search(options, scheduler, output)
    except (MemoryError, RuntimeError, ValueError) as error:
        return _fail(f"jaxtune demo: {str(error).replace('overwrite=True', '--overwrite')}", 1)


def _runs(options: argparse.Namespace) -> int:
    from jaxtune.cli import runs  # from here on it takes seconds

    try:
        if options.command == "list":
            runs.show_list(options.directory)
        elif options.command == "show":
            runs.show_run(options.directory, options.repair)
        elif options.command == "report":
            runs.write_report(options.directory, options.output)
        else:
            runs.watch_run(options.directory)
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        return _fail(f"jaxtune {options.command}: {error}", 1)
    return 0


def _keep_programs() -> None:
    """Lets later processes find the compiled programs on disk, unless the user has chosen another place, or none."""
    import jax

    from jaxtune.interface.cache import cache_folder

    chosen = jax.config.values
    if chosen["jax_compilation_cache_dir"] is None and chosen["jax_enable_compilation_cache"]:
        jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "programs"))
        for name, every in (("min_compile_time_secs", 0), ("min_entry_size_bytes", -1)):
            if f"JAX_PERSISTENT_CACHE_{name.upper()}" not in os.environ:
                jax.config.update(f"jax_persistent_cache_{name}", every)


def _search(options: argparse.Namespace, scheduler: Any, output: Path) -> int:
    from rich.console import Console

    import jaxtune as jt
    from jaxtune.cli.demo import digits, report

    console = Console(highlight=False)
    task = digits.task(options.model)
    report.announce(console, task, scheduler, options.model)
    imported = report.process_age()
    confirm = jt.Confirm(top=min(8, scheduler.plan().trials)) if options.confirm else None
    kept: Any = {"directory": options.directory, "overwrite": options.overwrite, "confirm": confirm}
    result = digits.search(task, scheduler, digits.interval(options.max_steps), options.seed, **kept)
    report.show(console, result)
    files = report.write(result, output)
    report.show_time(console, result, imported)
    console.print(f"Wrote {', '.join(files)} to {output}", soft_wrap=True, markup=False)
    page = (output / "report.html").absolute()
    console.print(f"Open {page} in a browser", style="bold", soft_wrap=True, markup=False)
    return _INTERRUPTED if result.interrupted else 0


def _fail(message: str, status: int) -> int:
    print(message, file=sys.stderr)
    return status
