"""`Report`: a search on one page, to be shown in a notebook or written into a file."""

from __future__ import annotations

import html
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jaxtune.interface.entry import given_back
from jaxtune.interface.habits import Answering
from jaxtune.results.report.page import page
from jaxtune.storage import files


@given_back
@dataclass(frozen=True, eq=False, repr=False)
class Report(Answering):
    """A search on one page: headline, advice, table, linked pictures. It opens offline, anywhere.

    In a notebook the object itself shows the page.

    Attributes:
        contents: All that is on it, as plain values; docs/report.md describes them.
        path: Where it was written, if it was.
    """

    contents: Mapping[str, Any] = field(repr=False)
    path: Path | None = None

    @property
    def html(self) -> str:
        """The page.

        Raises:
            ImportError: Bokeh is not installed.
        """
        return page(self.contents)

    def write(self, path: str | os.PathLike[str]) -> Report:
        """Writes the page into a file, whole or not at all; returns this report with its path.

        Raises:
            ImportError: Bokeh is not installed.
            TypeError: It is no path.
            OSError: The file can't be written, because there is a folder of its name, or none that it could lie in.
        """
        if not isinstance(path, (str, os.PathLike)):
            raise TypeError(f"path must be that of a file, such as report.html, got {path!r}.")
        target = Path(path)
        if target.is_dir():
            raise IsADirectoryError(f"{str(path)!r} is a folder: name a file, such as report.html.")
        if not target.parent.is_dir():
            raise FileNotFoundError(f"There is no folder {target.parent} for {target.name}: make it first.")
        files.write_text(target, self.html)
        return Report(self.contents, target)

    def write_json(self, path: str | os.PathLike[str]) -> None:
        """Writes the contents into a file, for programs; this needs no Bokeh."""
        files.write_text(Path(path), json.dumps(self.contents, allow_nan=False, ensure_ascii=False))

    def __repr__(self) -> str:
        lines = [*self.contents["headline"]]
        for number, one in enumerate(self.contents["findings"], start=1):
            lines.append(f"{number}. {one['sentence']} {one['advice']}")
        if self.path is not None:
            lines.append(f"Written to {self.path}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """The page in a frame; once it is written, its text alone, so that notebooks stay small."""
        if self.path is not None:
            return f"<pre>{html.escape(repr(self))}</pre>"
        frame = "width: 100%; height: 800px; border: 1px solid #888"
        return f'<iframe title="report" style="{frame}" srcdoc="{html.escape(self.html)}"></iframe>'
