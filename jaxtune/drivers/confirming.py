"""The end of a search whose winner is to be confirmed, in a folder or not."""

from __future__ import annotations

import math
import time
from dataclasses import replace

from jaxtune.engine.host import Host
from jaxtune.engine.search import Search
from jaxtune.interface.warning import warn
from jaxtune.results.confirming.confirm import Confirm
from jaxtune.results.confirming.confirming import train_again
from jaxtune.results.confirming.keeping import save_confirmation
from jaxtune.results.result import Result
from jaxtune.storage import files
from jaxtune.storage.directory import Writer
from jaxtune.tasks.fingerprints import digest


def with_confirmation(
    result: Result, search: Search, confirm: Confirm | None, host: Host, progress: bool, folder: Writer | None = None
) -> Result:
    """The result, confirmed where that is asked for and was not done before.

    A search that was interrupted, or has no finite value, is not confirmed.

    Args:
        result: Of the search.
        search: The search.
        confirm: What was asked for.
        host: Tells when to end.
        progress: Whether to show a progress bar.
        folder: Of the run; seeds that are done are kept there until all are.
    """
    if confirm is None or result.interrupted or _is_done(result, confirm):
        return result
    if not math.isfinite(result.ranking[0].metrics[result.metric]):
        return result
    if host.interrupted:
        warn("There was no time left to confirm the winner: it is the one that the search saw.")
        return replace(result, interrupted=True)
    try:
        return _confirmed(replace(result, confirmed=None), search, confirm, host, progress, folder)
    except Exception as error:
        error.result = result  # type: ignore[attr-defined]
        error.add_note("The winner could not be confirmed: see error.result for what the search has found.")
        raise


def _is_done(result: Result, confirm: Confirm) -> bool:
    made = result.confirmed
    return made is not None and not made.interrupted and made.confirm == confirm


def _confirmed(
    result: Result, search: Search, confirm: Confirm, host: Host, progress: bool, folder: Writer | None
) -> Result:
    begin, kept = time.monotonic(), None if folder is None else folder.path / "confirming"
    what = confirm, [(trial.id, trial.hparams) for trial in result.ranking[: confirm.top]]
    found = train_again(result, search, confirm, host, progress, None if kept is None else kept / digest(what)[:16])
    seconds = time.monotonic() - begin
    timing = {**result.timing, "confirm": seconds, "total": result.timing["total"] + seconds}
    result = replace(result, confirmed=found, timing=timing, interrupted=found.interrupted)
    if folder is not None and kept is not None and not found.interrupted:
        try:
            save_confirmation(result, found, folder.path)
            if kept.exists():
                files.remove(kept)
        except OSError as error:
            warn(f"The confirmed winner in {folder.path} can't be written ({error.strerror}).")
    return result
