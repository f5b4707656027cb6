"""`Diagnosis`: what stands out in a search, as text and as a list; and the `Rule` that a finding is from."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, overload

from jaxtune.interface.entry import given_back
from jaxtune.results.diagnosis.facts import Facts

_WIDTH = 110  # of a line of text


@given_back
@dataclass(frozen=True)
class Finding:
    """Something that stands out in a search.

    Attributes:
        rule: Which rule found it, a short name such as "edge".
        sentence: What was found, with its numbers.
        advice: What to do next.
        source: Where the rule is from: author, title, year.
        trials: Ids of the trials that it is about.
        hyperparameter: Name of the one that it is about, or None.
    """

    rule: str
    sentence: str
    advice: str
    source: str
    trials: tuple[int, ...] = ()
    hyperparameter: str | None = None

    def __str__(self) -> str:
        return f"{self.sentence} {self.advice}"


class Seen(NamedTuple):
    """What a rule saw: a finding before it has the name and the source of the rule."""

    sentence: str
    advice: str
    trials: tuple[int, ...] = ()
    hyperparameter: str | None = None


@dataclass(frozen=True)
class Rule:
    """A row of the table of rules.

    Attributes:
        name: Short and fixed.
        when: When it speaks.
        then: What it advises.
        source: Author, title, year.
        look: From the facts to what is seen, in most searches nothing.
        needs: From the facts to why it can't look at all there is to see, or None; one per fact that it may lack.
    """

    name: str
    when: str
    then: str
    source: str
    look: Callable[[Facts], Iterable[Seen]]
    needs: tuple[Callable[[Facts], str | None], ...] = ()

    def findings(self, facts: Facts) -> list[Finding]:
        """What it finds."""
        return [
            Finding(self.name, seen.sentence, seen.advice, self.source, seen.trials, seen.hyperparameter)
            for seen in self.look(facts)
        ]


@given_back
class Diagnosis(Sequence[Finding]):
    """What stands out in a search: a sequence of findings, the most important first, which prints as text.

    Attributes:
        unchecked: A sentence that names the rules that lack facts and are silent for that, or None.
    """

    def __init__(self, findings: Iterable[Finding], unfinished: bool = False, unchecked: str | None = None) -> None:
        self._findings, self._unfinished, self.unchecked = tuple(findings), unfinished, unchecked

    def __len__(self) -> int:
        return len(self._findings)

    @overload
    def __getitem__(self, index: int) -> Finding: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Finding]: ...
    def __getitem__(self, index: int | slice) -> Finding | Sequence[Finding]:
        return self._findings[index]

    def __repr__(self) -> str:
        lines = _wrapped(self._head(), "", "  ")
        for number, one in enumerate(self, start=1):
            lines += _wrapped(f"{number}. {one.rule}: {one.sentence}", "  ", "     ")
            lines += _wrapped(f"-> {one.advice}", "     ", "        ")
        return "\n".join([*lines, *_wrapped(self.unchecked or "", "  ", "  ")])

    def _repr_html_(self) -> str:
        """A list, for notebooks."""
        items = "".join(
            f"<li><b>{html.escape(one.rule)}</b>: {html.escape(one.sentence)}<br><i>{html.escape(one.advice)}</i> "
            f"<small>({html.escape(one.source)})</small></li>"
            for one in self
        )
        note = f"<p>{html.escape(self.unchecked)}</p>" if self.unchecked else ""
        return f"<div><p>{html.escape(self._head())}</p><ol>{items}</ol>{note}</div>"

    def _head(self) -> str:
        so_far = " so far, for the search did not come to its end" if self._unfinished else ""
        if not self:
            return (
                f"Nothing stands out{so_far}: no rule found anything to change in ranges, curves, budget or ranking. "
                "Rules that lack their facts are silent."
            )
        number = f"{len(self)} finding{'s' * (len(self) != 1)}"
        return f"Diagnosis{so_far}: {number}{', most important first' * (len(self) > 1)}"


def _wrapped(text: str, first: str, later: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=first, subsequent_indent=later, break_long_words=False)
