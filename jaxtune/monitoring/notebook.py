"""A progress bar in a notebook: one output that is drawn anew in its place, which needs no widgets."""

from __future__ import annotations

import io
from typing import Any

from rich import progress as rich
from rich.console import Console

_WIDTH = 110  # characters
_FORMAT = '<pre style="white-space:pre;overflow-x:auto;line-height:normal">{code}</pre>'


class NotebookBar(rich.Progress):
    """A bar of rich's that IPython displays: rich itself draws in notebooks with ipywidgets only.

    Args:
        columns: of the bar.
    """

    def __init__(self, *columns: rich.ProgressColumn) -> None:
        super().__init__(*columns, console=_page(), auto_refresh=False)
        self._display: Any = None

    def start(self) -> None:
        """Shows the bar below what the cell has printed so far."""
        from IPython.display import display

        self._display = display(self._drawn(), raw=True, display_id=True)

    def refresh(self) -> None:
        """Draws the bar anew, in its place."""
        if self._display is not None:
            self._display.update(self._drawn(), raw=True)

    def stop(self) -> None:
        """Leaves the bar as it is now."""
        self.refresh()
        self._display = None

    def _drawn(self) -> dict[str, str]:
        page = _page()
        page.print(self.get_renderable())
        return {
            "text/plain": page.export_text(clear=False).rstrip("\n"),
            "text/html": page.export_html(inline_styles=True, code_format=_FORMAT),
        }


def _page() -> Console:
    return Console(file=io.StringIO(), record=True, width=_WIDTH, force_terminal=True, force_jupyter=False)
