"""The end of a search whose winner is to be confirmed, in a folder or not."""

from __future__ import annotations

import time
from dataclasses import replace

from jaxtune.engine.host import Host
from jaxtune.interface.warning import warn
from jaxtune.results.confirming.confirm import Confirm
from jaxtune.results.confirming.confirming import train_again
from jaxtune.results.confirming.keeping import save_confirmation
from jaxtune.results.result import Result
from jaxtune.storage import files
from jaxtune.storage.directory import Writer
from jaxtune.tasks.fingerprints import digest


def with_confirmation(
    result: Result, confirm: Confirm | None, host: Host, progress: bool, folder: Writer | None = None
) -> Result:
    """The result, confirmed where that is asked for and was not done before.

    A search that was interrupted, or has no winner with weights, is not confirmed.

    Args:
        result: Of the search.
        confirm: What was asked for.
        host: Tells when to end.
        progress: Whether to show a progress bar.
        folder: Of the run; seeds that are done are kept there until all are.
    """
    if confirm is None or result.interrupted or host.interrupted or _is_done(result, confirm):
        return result
    winner = result.weights.get(result.ranking[0].id)
    if winner is None:
        return result
    unconfirmed = replace(result, confirmed=None)
    kept = None if folder is None else folder.path / "confirming"
    parts = None if kept is None else kept / digest((confirm, unconfirmed.ranking[0].hparams))[:16]
    begin = time.monotonic()
    found = train_again(unconfirmed, winner.search, confirm, host, progress, parts)
    seconds = time.monotonic() - begin
    timing = {**result.timing, "confirm": seconds, "total": result.timing["total"] + seconds}
    result = replace(unconfirmed, confirmed=found, timing=timing)
    if folder is not None and kept is not None and not found.interrupted:
        try:
            save_confirmation(result, found, folder.path)
            if kept.exists():
                files.remove(kept)
        except OSError as error:
            warn(f"The confirmed winner in {folder.path} can't be written ({error.strerror}).")
    return result


def _is_done(result: Result, confirm: Confirm) -> bool:
    made = result.confirmed
    return made is not None and not made.interrupted and made.confirm == confirm
