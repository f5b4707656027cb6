"""Going on from an earlier search: what makes two searches comparable, and what samplers see of the first."""

from typing import Any

from jaxtune.engine.search import Search
from jaxtune.results.conditions import check_conditions
from jaxtune.results.result import Result


def check_previous(previous: Any, search: Search) -> None:
    """Raises unless an earlier result can be continued by this search: its values have to be comparable."""
    if previous is None:
        return
    if not isinstance(previous, Result):
        raise TypeError(f"previous must be a Result of tune(), got {type(previous).__name__}.")
    check_conditions("previous", previous.conditions, search)
