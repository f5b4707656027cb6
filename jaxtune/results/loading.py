"""`load`: a run in a folder as a result, in any process."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxtune.interface.entry import entry
from jaxtune.results import journal
from jaxtune.results.confirming.keeping import load_confirmation
from jaxtune.results.history import History, joined
from jaxtune.results.journal import Journal
from jaxtune.results.manifest import rules
from jaxtune.results.result import Result
from jaxtune.results.shelving import unstored
from jaxtune.spaces.space import Space
from jaxtune.spaces.values import Named
from jaxtune.spaces.written import Names, space_read, value_read
from jaxtune.storage import arrays, files, log
from jaxtune.storage.contents import array, check_digests, inside
from jaxtune.storage.directory import Directory
from jaxtune.tasks.task import Task


@entry
def load(directory: Any, task: Task | None = None, space: Space | Mapping[str, Any] | None = None) -> Result:
    """The result of a run that was kept in a folder, by `tune(directory=)` or `Result.save`.

    Without its task it has tables, curves, pictures and the winner's `variables`; with the task also `predict`, `test`,
    `gap` and `refit`. A run that is not over gives what is known so far, without weights and marked `interrupted`; one
    that another process is writing can be looked at as well. Where seeds of `tune(confirm=)` are missing, `best` is
    what the search saw, with its weights, and the result is marked, too.

    Args:
        directory: The folder.
        task: The task of the search, with equal data and functions.
        space: Its space; needed only where options are functions or classes, which a folder has but the names of.

    Raises:
        FileNotFoundError: There is no run.
        ValueError: A file of it is damaged, or of a later format; or task or space are not those of the search.

    Example:
        >>> import tempfile, flax.linen as nn, numpy as np, optax
        >>> import jaxtune as jt
        >>> x = np.linspace(-1, 1, 64, dtype=np.float32)[:, None]
        >>> task = jt.supervised(
        ...     nn.Dense(1), optimizer=lambda hp: optax.sgd(hp["lr"]), loss=optax.squared_error,
        ...     train=(x, 3 * x), validation=(x, 3 * x), batch_size=16,
        ... )
        >>> folder, space = tempfile.mkdtemp(), {"lr": jt.LogUniform(1e-4, 0.5)}
        >>> found = jt.tune(task, space, scheduler=jt.FullBudget(8, 50), directory=folder, progress=False)
        >>> again = jt.load(folder, task)
        >>> again.best.hparams == found.best.hparams, again.best.predict(x[:2]).shape
        (True, (2, 1))
    """
    folder = Directory(directory)
    if not folder.has_results:
        found = load_unfinished(folder)
        if found is None:
            raise ValueError(f"{folder.path} holds a search that has evaluated nothing yet.")
        if task is not None:
            raise ValueError(f"{directory} holds a search that is not over, without weights: load it without its task.")
        return found
    content = _content(folder)
    given = Space.of(space) if space is not None else None if task is None else _space(content)
    found = _result(folder, content, given)
    found.interrupted |= folder.is_confirming
    return found if task is None else found.with_task(task, given)


def load_results(folder: Directory, space: Space | None = None) -> Result:
    """The result of a search that is over; with the space, functions among its options are themselves again."""
    return _result(folder, _content(folder), space)


def events_of_results(folder: Directory) -> list[dict[str, Any]]:
    """What the log told when the search was over; more generations may have begun since."""
    size = files.read_json(folder.path / "results.json").get("log_bytes")
    return journal.valid(log.read(folder.log_path, size=size).events)


def _content(folder: Directory) -> dict[str, Any]:
    """What `results.json` says, once all files are found to be as they were written."""
    content: dict[str, Any] = files.read_json(folder.path / "results.json")
    folder.check_format(content)
    grown = {"log.jsonl": content["log_bytes"]} if "log_bytes" in content else {}
    check_digests(folder.path, "results.json", content["sha256"], grown)
    return content


def _result(folder: Directory, content: Mapping[str, Any], space: Space | None) -> Result:
    path = folder.path
    weights = {
        int(trial): unstored(arrays.load(inside(path, one["file"])), one) for trial, one in content["weights"].items()
    }
    history, confirmed = _history(path, content, Names(space).values), load_confirmation(folder)
    found = Result(history, weights=weights, confirmed=confirmed, space=content["space"], **content["result"])
    found._count_in(path)
    return found


def _history(path: Path, content: Mapping[str, Any], known: Mapping[Named, Any]) -> History:
    def read(value: Any) -> Any:
        if isinstance(value, str):
            return array(path, value)
        return {name: array(path, file) for name, file in value.items()} if isinstance(value, dict) else tuple(value)

    rows = tuple({name: value_read(value, known) for name, value in row.items()} for row in content["configurations"])
    found = {name: read(value) for name, value in content["history"].items()}
    unknown = {"generation": np.zeros(len(rows), int), "seconds": np.full(len(found["step"]), np.nan)}  # in old runs
    return History(hparams=rows, **unknown | found)


def _space(content: Mapping[str, Any]) -> Space:
    if content["space"] is None:
        raise ValueError("This result was saved without its space: load(directory, task, space).")
    space = space_read(content["space"])
    options = [o for _, domain in space.domains for o in getattr(domain, "options", ())]
    if any(isinstance(value, Named) for value in (*options, *(value for _, value in space.constants))):
        raise ValueError(
            "Options or constants of the space are functions or classes, of which a folder has but the names: "
            "load(directory, task, space)."
        )
    return space


def load_unfinished(folder: Directory) -> Result | None:
    """What is known of a run that is not over; None before its first evaluation."""
    search = folder.search()
    try:
        events = journal.valid(log.read(folder.log_path).events)
    except FileNotFoundError:
        events = []
    parts = [Journal(one, rules(search)) for one in journal.generations(events)]
    known = [one.history(one.rows, search["log_names"], search["steps"]) for one in parts if one.record.step]
    if not known:
        return None
    earlier = load_results(folder.previous) if folder.previous.has_results else None
    found = Result(
        functools.reduce(joined, known if earlier is None else [earlier.history, *known]),
        metric=search["search"]["metric"],
        mode=search["search"]["mode"],
        seed=search["search"]["seed"],
        interrupted=True,
        num_tests=0 if earlier is None else earlier.num_tests,
        num_folds=search["num_folds"],
        conditions={**search["conditions"], "traces": search["traces"]},
        space=search["space"],
    )
    found._count_in(folder.path)
    return found
