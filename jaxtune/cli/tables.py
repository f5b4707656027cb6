"""The leading trials of a result as a table that fits into 80 columns."""

from rich import box
from rich.table import Table
from rich.text import Text

import jaxtune as jt

_NOT_SHOWN = ("rank", "steps")  # order and status say the same, and the rest fits


def best_trials(result: jt.Result, num: int = 10) -> Table:
    """The best ones, the winner green."""
    rows = [{name: cell for name, cell in row.items() if name not in _NOT_SHOWN} for row in result.table(num)]
    so_far = " so far" if result.interrupted else ""
    table = Table(
        title=f"The best {len(rows)} of {len(result.trials):,} configurations{so_far}",
        box=box.SIMPLE,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    for name in rows[0]:
        table.add_column(Text(name), justify="left" if name == "status" else "right", no_wrap=True)
    for place, row in enumerate(rows):
        table.add_row(*map(Text, row.values()), style="bold green" if place == 0 else None)
    return table
