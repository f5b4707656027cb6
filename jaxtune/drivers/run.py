"""A search in a folder: a new one, one to go on with, or one that is over."""

from typing import Any

from jaxtune.drivers import finish
from jaxtune.drivers.keeping import Keeper, Saved
from jaxtune.drivers.study import Study
from jaxtune.engine.search import Search
from jaxtune.results import journal
from jaxtune.results.loading import events_of_results, load_results
from jaxtune.results.manifest import check_same, rules, traced
from jaxtune.results.result import Result
from jaxtune.results.saving import save_record
from jaxtune.spaces.written import Names
from jaxtune.storage import looks
from jaxtune.storage.directory import Writer


class Run:
    """What a folder says of a search, once it is found to be of this one.

    Args:
        folder: The folder.
        what: The manifest of the search.
        search: The search.
        previous: The result of an earlier one that it goes on from, or None.
        every: Seconds between checkpoints, or None.
        strict: Whether other versions are refused.

    Attributes:
        folder: The folder.
        saved: Where an earlier run stood, if it was not over.
        is_over: Whether there is a result.
        keeper: The listener that keeps the search.

    Raises:
        ValueError: The folder holds another search.
    """

    def __init__(
        self,
        folder: Writer,
        what: dict[str, Any],
        search: Search,
        previous: Result | None,
        every: float | None,
        strict: bool,
    ) -> None:
        self.folder, self._what, self._search, self._previous = folder, what, search, previous
        self.saved: Saved | None = None
        self.is_over = False
        self.keeper = Keeper(folder, every)
        looks.count(folder.path)  # finds what is damaged
        if not folder.is_new:
            self._compare(strict)

    def _compare(self, strict: bool) -> None:
        folder, what = self.folder, self._what
        if not folder.has_search:
            folder.check_new()  # a result that was saved
        written = folder.search()
        check_same(written, what, folder.path, strict)
        known = rules(written)
        if folder.has_results:
            self._result = load_results(folder, self._search.problem.space)  # finds what is damaged
            self.saved = Saved.after(events_of_results(folder), known, self._result.weights)
        else:
            self.saved = Saved.of(folder, known)
        if self.saved is None:
            return
        done, asked = len(self.saved.past), self._search.generations
        if done + (self.saved.cut is not None) > asked:
            raise ValueError(f"{folder.path} holds more than {asked} generations: ask for as many, or name another.")
        self.is_over = folder.has_results and done == asked
        what["traces"] = traced(self._search, self.saved.points)
        check_same(written, what, folder.path, strict)

    def begin(self, study: Study) -> None:
        """Writes down what is searched, unless this is known, and what each generation proposes."""
        space, first = self._search.problem.space, study.search.generation == 0
        saved, self.saved = self.saved, None
        if saved is None and first:
            self.folder.begin(self._what | {"traces": study.conditions["traces"]})
            if self._previous is not None:
                save_record(self._previous, self.folder.previous.path)
        elif saved is not None:
            self.folder.open_log()
            self.keeper.write(journal.resumed(saved.events))
            if saved.cut is not None:
                return
        layouts = [group.layouts for group in study.groups.groups]
        self.keeper.begin(journal.proposed(study.standing, study.rows, Names(space), layouts))

    def counted(self, result: Result) -> Result:
        """A result of the search, with the looks at the test data that count in the folder."""
        result._count_in(self.folder.path)
        return result

    def result(self) -> Result:
        """What the search found."""
        result = finish.bound(self._search, self._result, self._previous)
        finish.warn_of_gaps(self._search, result)
        return result
