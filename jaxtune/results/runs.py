"""All runs of a folder at a glance: the log of experiments."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from jaxtune.interface.habits import hinted
from jaxtune.results import tables
from jaxtune.results.loading import load_results, load_unfinished
from jaxtune.results.result import Result
from jaxtune.storage.directory import Directory
from jaxtune.storage.files import DamagedFile
from jaxtune.storage.lock import is_held


@hinted
def list_runs(directory: Any = "runs") -> Any:
    """The runs in a folder and in folders of it, as a pandas DataFrame with a row per run.

    Columns: `run` (its path below the folder), `state` ("finished", "running", "stopped" or "damaged"), `best` (the
    metric of the best trial so far), `metric`, `trials`, `step` and `steps` (of the last evaluation, and of a full
    training), `lane_steps` (spent) and `budget`, `replicates`, `splits` (how trials were validated), `hardware`,
    `commit` (the user's, in git) and `started`. Trials and lane-steps of an earlier search (`previous=`) count.

    Args:
        directory: The folder.

    Raises:
        ImportError: pandas is not installed.
        FileNotFoundError: There is no such folder.

    Example:
        >>> import tempfile, jax.numpy as jnp
        >>> import jaxtune as jt
        >>> task = jt.Task(
        ...     init=lambda key, hp: jnp.float32(1.0),
        ...     step=lambda key, x, batch, hp: (x - hp["lr"] * x, {}),
        ...     evaluate=lambda key, x, data, hp: {"loss": x**2},
        ... )
        >>> space, runs = {"lr": jt.LogUniform(1e-3, 1.0)}, tempfile.mkdtemp()
        >>> for seed in (0, 1):
        ...     found = jt.tune(task, space, scheduler=jt.FullBudget(8, 10), seed=seed, directory=f"{runs}/{seed}",
        ...                     progress=False)
        >>> jt.list_runs(runs)[["run", "state", "trials"]].values.tolist()
        [['0', 'finished', 8], ['1', 'finished', 8]]
    """
    return tables.dataframe(run_records(directory), "list_runs()", "results.runs.run_records() gives plain dicts")


def run_records(directory: Any) -> list[dict[str, Any]]:
    """The rows of `list_runs` as plain dicts."""
    root = Directory(directory).path
    if not root.is_dir():
        raise FileNotFoundError(f"There is no folder {root}.")
    return [_record(root, path) for path in _runs(root)]


def _runs(root: Path) -> Iterator[Path]:
    for folder, names, inside in os.walk(root):  # follows no links
        names[:] = sorted(name for name in names if not name.startswith("."))
        if {"search.json", "results.json"} & set(inside):
            names.clear()
            yield Path(folder)


def _record(root: Path, path: Path) -> dict[str, Any]:
    columns = "run state best metric trials step steps lane_steps budget replicates splits hardware commit started"
    row: dict[str, Any] = dict.fromkeys(columns.split())
    row["run"] = path.relative_to(root).as_posix()
    folder = Directory(path)
    try:
        row |= _of_search(folder.search()) if folder.has_search else {}
        result = load_results(folder) if folder.has_results else load_unfinished(folder)
        is_over = folder.has_results and not folder.is_confirming
        state = "finished" if is_over else "running" if is_held(path) else "stopped"
        return row | {"state": state} | ({} if result is None else _of_result(result))
    except OSError:  # somebody is deleting it, or may not read it
        return row | {"state": "unreadable"}
    except (DamagedFile, ValueError) as error:
        return row | {"state": "damaged" if isinstance(error, DamagedFile) else str(error)}


def _of_search(search: dict[str, Any]) -> dict[str, Any]:
    what, machine = search["search"], search["machine"]
    return {
        "metric": what["metric"],
        "trials": search["trials"],
        "steps": search["steps"],
        "budget": search["lane_steps"],
        "replicates": what["replicates"],
        "splits": f"{search['num_folds']} folds" if search["num_folds"] else "validation data",
        "hardware": f"{machine['devices']} x {search['versions']['device']}",
        "commit": machine["commit"],
        "started": search["started"],
    }


def _of_result(result: Result) -> dict[str, Any]:
    first = result.ranking[0] if result.confirmation is None else result.best
    best = first.metrics[result.metric]
    return {
        "best": best if np.isfinite(best) else None,
        "metric": result.metric,
        "trials": len(result.trials),
        "step": int(result.history.step[-1]),
        "steps": int(result.history.total_steps.max()),
        "lane_steps": int(result.history.lane_steps[-1]),
    }
