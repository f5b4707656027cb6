"""The command line: `jaxtune demo`.

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
time went. Writes curves.png (all learning curves), space.png (the loss over each
hyperparameter) and trials.csv (one row per configuration)."""

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


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        argv: Arguments without the program's name; those of the process if None.

    Returns:
        The exit status: 0, or 1 where something is missing or fails, 2 for a bad option, 130 after Ctrl-C.

    Raises:
        SystemExit: Status 0 after `--help` and `--version`, 2 for arguments that can't be parsed.

    Example:
        >>> from jaxtune.cli.main import main
        >>> main(["demo", "--trials", "0"])  # doctest: +SKIP
        2
    """
    options = _parser().parse_args(argv)
    try:
        return _demo(options)
    except KeyboardInterrupt:
        return _fail("jaxtune demo: interrupted.", _INTERRUPTED)


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
    files = "folder for the files, which are overwritten (default: ./jaxtune-demo)"
    add("--output", type=Path, default=Path("jaxtune-demo"), metavar="DIR", help=files)
    return parser


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**32:  # JAX ignores the bits beyond
        raise argparse.ArgumentTypeError(f"a seed is a whole number in 0 ... 2**32 - 1, got {text!r}.")
    return int(text)


def _demo(options: argparse.Namespace) -> int:
    for module, name in (("sklearn", "scikit-learn"), ("matplotlib", "matplotlib")):
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
    try:
        options.output.mkdir(parents=True, exist_ok=True)  # fails before the search rather than after it
        if not os.access(options.output, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        return _fail(f"jaxtune demo: can't write to {options.output}: {error.strerror}.", 1)
    try:
        return _search(options, scheduler)
    except MemoryError as error:
        return _fail(f"jaxtune demo: {error}", 1)


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


def _search(options: argparse.Namespace, scheduler: Any) -> int:
    from rich.console import Console

    from jaxtune.cli.demo import digits, report

    console = Console(highlight=False)
    task = digits.task(options.model)
    report.announce(console, task, scheduler, options.model)
    imported = report.process_age()
    result = digits.search(task, scheduler, digits.interval(options.max_steps), options.seed)
    report.show(console, result)
    files = report.write(result, options.output)
    report.show_time(console, result, imported)
    console.print(f"Wrote {', '.join(files)} to {options.output}", soft_wrap=True, markup=False)
    return _INTERRUPTED if result.interrupted else 0


def _fail(message: str, status: int) -> int:
    print(message, file=sys.stderr)
    return status
