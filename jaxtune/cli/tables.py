"""The leading trials of a result as tables that fit into 80 columns."""

from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

import jaxtune as jt
from jaxtune.results.confirming.confirmation import Confirmation

_NOT_SHOWN = ("rank", "steps")  # order and status say the same, and the rest fits


def best_trials(result: jt.Result, num: int = 10) -> Table:
    """The best ones, the winner green."""
    rows = [{name: cell for name, cell in row.items() if name not in _NOT_SHOWN} for row in result.table(num)]
    winner = rows[0]["trial"] if result.confirmation is None else str(result.best.id)
    so_far = " so far" if result.interrupted else ""
    return _table(f"The best {len(rows)} of {len(result.trials):,} configurations{so_far}", rows, winner)


def confirmed_trials(confirmation: Confirmation) -> Group:
    """How the best ones did on fresh seeds, the winner green, and what that is worth in words."""
    rows = [{name: cell for name, cell in row.items() if not name.startswith("hp ")} for row in confirmation.table()]
    return Group(
        _table("The best of them on fresh seeds", rows, rows[0]["trial"]), Text(confirmation.verdict), Text("")
    )


def _table(title: str, rows: Sequence[Mapping[str, str]], winner: str) -> Table:
    table = Table(title=title, box=box.SIMPLE, padding=(0, 1, 0, 0), pad_edge=False)
    for name in rows[0]:
        table.add_column(Text(name), justify="left" if name == "status" else "right", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row.values()), style="bold green" if row["trial"] == winner else None)
    return table
