"""`jaxtune list`, `show`, `watch` and `report`: runs that are kept in folders."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

import jaxtune as jt
from jaxtune.cli.tables import best_trials, confirmed_trials
from jaxtune.results.runs import run_records
from jaxtune.results.text import short
from jaxtune.storage.directory import Writer

_SECONDS = 1.0  # between two looks at a running search
_COLUMNS = ["run", "state", "best", "metric", "trials", "step", "steps", "started"]


def show_list(directory: Path) -> None:
    """Prints a row per run of a folder."""
    console = Console(highlight=False)
    records = run_records(directory)
    if not records:
        console.print(f"There are no runs in {directory}.", soft_wrap=True, markup=False)
        return
    table = Table(box=box.SIMPLE, pad_edge=False)
    for name in _COLUMNS:
        table.add_column(name, justify="left" if name in ("run", "state", "metric", "started") else "right")
    for record in records:
        table.add_row(*(_cell(record, name) for name in _COLUMNS))
    console.print(table)


def _cell(record: Mapping[str, Any], name: str) -> Text:
    value = record[name]
    if name == "started" and value is not None:
        value = value[:16].replace("T", " ")
    return Text("" if value is None else value if isinstance(value, str) else short(value))


def show_run(directory: Path, repairs: bool) -> None:
    """Prints what a run has found, and where it stands; mends its log first if asked to."""
    console = Console(highlight=False)
    if repairs:
        with Writer(directory) as folder:
            cut = folder.repair()
        console.print(f"Cut {cut:,} bytes off the logs; they are kept as *.torn.", soft_wrap=True, markup=False)
    record = _record(directory)
    console.print(_summary(record))
    if record["step"]:
        result = jt.load(directory)
        console.print(Text(repr(result)), soft_wrap=True)
        console.print(best_trials(result))
        if result.confirmation is not None:
            console.print(confirmed_trials(result.confirmation))


def watch_run(directory: Path) -> None:
    """Follows a run until it is over, or until Ctrl-C."""
    begin, first = time.monotonic(), None
    with Live(console=Console(highlight=False), refresh_per_second=4) as live:
        while True:
            record = _record(directory)
            first = first or record
            parts: list[Any] = [_summary(record), Text(_speed(first, record, time.monotonic() - begin))]
            if record.get("step"):
                parts.append(best_trials(jt.load(directory)))
            live.update(Group(*parts))
            if record["state"] != "running":
                return
            time.sleep(_SECONDS)


def write_report(directory: Path, output: Path | None) -> None:
    """Writes the page of a run, which may be running, and says where it is."""
    report = jt.load(directory).report(output or directory / "report.html")
    Console(highlight=False).print(f"Wrote {report.path}", soft_wrap=True, markup=False)


def _record(directory: Path) -> dict[str, Any]:
    for record in run_records(directory):
        if record["run"] == ".":
            return record
    raise ValueError(f"{directory} holds no run.")


def _summary(record: Mapping[str, Any]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in record.items():
        if name != "run" and value is not None:
            table.add_row(Text(name.replace("_", "-"), style="dim"), _cell(record, name))
    return table


def _speed(first: Mapping[str, Any], now: Mapping[str, Any], seconds: float) -> str:
    """What is spent, how fast, and how long the rest will take at that speed."""
    spent, budget = now.get("lane_steps") or 0, now.get("budget") or 0
    rate = (spent - (first.get("lane_steps") or 0)) / max(seconds, 1e-9)
    share = f"{spent:,} of {budget:,} lane-steps"
    return f"{share}, {rate:,.0f} a second, about {(budget - spent) / rate:,.0f} s left" if rate > 0 else share
