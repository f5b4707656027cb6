"""A result as files: arrays and tables for any program, the winner's weights for plain Flax, and digests of it all."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxtune.results.card import model_card
from jaxtune.results.history import History
from jaxtune.results.shelving import flat, kind_of, stored
from jaxtune.results.winner import Winner
from jaxtune.spaces.written import Names, value_written
from jaxtune.storage import files
from jaxtune.storage.contents import Files
from jaxtune.storage.directory import CONFIRMATION, FORMAT
from jaxtune.storage.log import numbers

_RESULT = (
    *("metric", "mode", "seed", "interrupted", "timing", "num_folds", "ended", "num_tests", "conditions", "sizes"),
    "setting",
)


def save_result(result: Any, path: Path) -> None:
    """Writes a result into a folder; `results.json` comes last, so that what is not whole doesn't count.

    Args:
        result: A `Result`, as the search left it.
        path: The folder, which is there.

    Raises:
        OSError: The disk takes no more, or fails.
    """
    for name in (*CONFIRMATION, "results.json", "history", "weights", "winner"):
        if (path / name).exists():  # of a process that was killed, or of fewer generations
            files.remove(path / name)
    for name in ("history", "weights", "winner"):
        (path / name).mkdir()
    written = Files(path)
    names = Names(space_of(result))
    content = {
        "format": FORMAT,
        "result": {name: getattr(result, name) for name in _RESULT},
        "history": _history(written, result.history),
        "configurations": [{k: value_written(v, names) for k, v in row.items()} for row in result.history.hparams],
        "space": result.space,
        "weights": {str(trial): _weights(written, trial, kept) for trial, kept in result.weights.items()},
    }
    written.add("trials.csv", result.to_csv)
    write_winner(written, result, names)
    for name in ("search.json", "log.jsonl"):  # of a search that was kept, and is over
        if (path / name).exists():
            written.digests[name] = files.digest(path / name)
    if (path / "log.jsonl").exists():
        content["log_bytes"] = (path / "log.jsonl").stat().st_size  # more generations may follow
    files.write_json(path / "results.json", content | {"sha256": written.digests})


def save_record(result: Any, path: Path) -> None:
    """Writes what became of all trials of a result into a folder of its own, which may be new; no weights."""
    path.mkdir(exist_ok=True)
    save_result(dataclasses.replace(result, weights={}, confirmed=None), path)


def _history(written: Files, history: History) -> dict[str, Any]:
    """Field -> file, or name -> file."""

    def named(kind: str, table: Mapping[str, np.ndarray]) -> dict[str, str]:
        return {
            name: written.add_array(f"history/{kind}-{number}{_readable(name)}.npy", array)
            for number, (name, array) in enumerate(table.items())
        }

    found: dict[str, Any] = {"log_names": list(history.log_names)}
    for one in dataclasses.fields(history):
        value = getattr(history, one.name)
        if isinstance(value, np.ndarray):
            found[one.name] = written.add_array(f"history/{one.name}.npy", value)
        elif isinstance(value, dict):
            found[one.name] = named(one.name, value)
    return found


def _readable(name: str) -> str:
    """A metric's name as the end of a file's, as far as it goes."""
    plain = "".join(letter if (letter.isascii() and letter.isalnum()) or letter in "_-" else "_" for letter in name)
    return f"-{plain[:60]}" if plain else ""


def _weights(written: Files, trial: int, kept: Any) -> dict[str, Any]:
    values, about = stored(kept)
    return {"file": written.add_arrays(f"weights/{trial:06d}.safetensors", values), **about}


def space_of(result: Any) -> Any:
    """The space of a search, None where its task is not at hand."""
    return next((one.search.problem.space for one in result.weights.values() if isinstance(one, Winner)), None)


def write_winner(written: Files, result: Any, names: Names) -> None:
    """The best trial for other programs: weights, hyperparameters, metrics, and how to load them."""
    if result._best_id is None or result.winner is None:
        return
    best, kept = result.best, result.winner
    variables = best.variables
    config = {
        "trial": best.id,
        "hyperparameters": {name: value_written(value, names) for name, value in best.hparams.items()},
        "metrics": {
            name: {"mean": numbers(value), "standard_error": numbers(best.standard_error[name])}
            for name, value in best.metrics.items()
        },
        "steps": best.best_step,
        "seed": result.seed,
    }
    if isinstance(kept, Winner) and kept.task.prepare is not None:
        stats = kept.trained.stats_of(0)
        config["preprocessing"] = {name: numbers(np.asarray(x).tolist()) for name, x in flat(stats).items()}
    written.add_text("winner/config.json", json.dumps(config, indent=1, ensure_ascii=False) + "\n")
    if variables is not None:
        about = {"framework": "flax", "trial": str(best.id)}
        parts = variables.values() if kind_of(variables) == "nnx" else [variables]
        state = {name: leaf for part in parts for name, leaf in flat(part).items()}
        written.add_arrays("winner/model.safetensors", state, about)
    written.add_text("winner/README.md", model_card(result, config, kind_of(variables)))
