"""A result as files: arrays and tables for any program, the winner's weights for plain Flax, and digests of it all."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxtune.results.card import model_card
from jaxtune.results.history import History
from jaxtune.results.winner import ShelvedWinner, Winner
from jaxtune.spaces.written import Names, space_written, value_written
from jaxtune.storage import arrays, files
from jaxtune.storage.directory import FORMAT
from jaxtune.storage.log import numbers

_RESULT = ("metric", "mode", "seed", "interrupted", "timing", "num_folds", "ended", "num_tests", "conditions")


def save_result(result: Any, path: Path) -> None:
    """Writes a result into a folder; `results.json` comes last, so that what is not whole doesn't count.

    Args:
        result: A `Result`.
        path: The folder, which is there.

    Raises:
        OSError: The disk takes no more, or fails.
    """
    for name in ("results.json", "history", "weights", "winner"):
        if (path / name).exists():  # of a process that was killed, or of fewer generations
            files.remove(path / name)
        if "." not in name:
            (path / name).mkdir()
    written = Files(path)
    space = space_of(result)
    names = Names(space)
    content = {
        "format": FORMAT,
        "result": {name: getattr(result, name) for name in _RESULT},
        "history": _history(written, result.history),
        "configurations": [{k: value_written(v, names) for k, v in row.items()} for row in result.history.hparams],
        "space": None if space is None else space_written(space),
        "weights": {str(trial): _weights(written, trial, kept) for trial, kept in result.weights.items()},
    }
    written.add("trials.csv", result.to_csv)
    _winner(written, result, names)
    for name in ("search.json", "log.jsonl"):  # of a search that was kept, and is over
        if (path / name).exists():
            written.digests[name] = files.digest(path / name)
    if (path / "log.jsonl").exists():
        content["log_bytes"] = (path / "log.jsonl").stat().st_size  # more generations may follow
    files.write_json(path / "results.json", content | {"sha256": written.digests})


class Files:
    """Files of a result, and their digests.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.digests: dict[str, str] = {}

    def add(self, name: str, save: Any) -> str:
        """Writes a file by a function of its path."""
        self.digests[name] = files.write(self.path / name, save)
        return name

    def add_array(self, name: str, array: np.ndarray) -> str:
        """Writes an array for NumPy."""

        def save(part: Path) -> None:
            with part.open("wb") as file:
                np.save(file, array, allow_pickle=False)

        return self.add(name, save)

    def add_arrays(self, name: str, values: Mapping[str, Any], about: Mapping[str, str] | None = None) -> str:
        """Writes named arrays."""
        self.digests[name] = arrays.save(self.path / name, values, about)
        return name

    def add_text(self, name: str, text: str) -> str:
        """Writes a text."""
        return self.add(name, lambda part: part.write_bytes(text.encode()))


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


def shelved(kept: Any) -> ShelvedWinner:
    """A winner as plain values and arrays."""
    return ShelvedWinner(*kept.__reduce__()[1]) if isinstance(kept, Winner) else kept


def _weights(written: Files, trial: int, kept: Any) -> dict[str, Any]:
    values, about = stored(kept)
    return {"file": written.add_arrays(f"weights/{trial:06d}.safetensors", values), **about}


def stored(kept: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """A winner as named arrays and plain values, of which `loading.winner` makes a `ShelvedWinner`."""
    one = shelved(kept)
    states, variables = (
        one.trained.__reduce__()[1] if isinstance(kept, Winner) else (one.trained.states, one.trained.variables)
    )
    plan, folds = one.search["plan"], one.search["folds"]
    values: dict[str, Any] = {f"state/{n:05d}": leaf for n, leaf in enumerate(jax.tree.leaves(states))}
    values |= {f"hp/{name}": np.asarray(value) for name, value in one.hp.items()}
    values |= {f"variables/{name}": leaf for name, leaf in flat(variables).items()}
    for number, fold in enumerate(folds or ()):
        values |= {f"folds/{number:05d}/train": fold.train, f"folds/{number:05d}/validation": fold.validation}
    return values, {
        "plan": {
            "brackets": list(plan.brackets),
            "rows": [[row.stop, None if row.keep is None else list(row.keep)] for row in plan.rows],
            "exploit": None if plan.exploit is None else dataclasses.asdict(plan.exploit),
            "multiple": plan.multiple,
        },
        **{name: one.search[name] for name in ("seed", "generation", "replicates", "keep")},
        "folds": None if folds is None else len(folds),
        "limits": list(one.limits),
        "indices": {key: int(index) for key, index in one.indices.items()},
        "step": one.step,
        "layouts": [list(layout) for layout in one.layouts],
        "identity": list(one.identity),
        "variables": kind_of(variables),
    }


def kind_of(variables: Any) -> str | None:
    """What module has such `Trial.variables`: "linen", "nnx" or None."""
    is_nnx = isinstance(variables, dict) and set(variables) == {"params", "other"}
    return None if variables is None else "nnx" if is_nnx else "linen"


def flat(variables: Any) -> dict[str, Any]:
    """Name with slashes -> array; slashes of the names themselves are written as in addresses, %2F."""
    leaves = jax.tree_util.tree_leaves_with_path(variables)
    return {"/".join(_quoted(part) for part in _parts(path)): leaf for path, leaf in leaves}


def _quoted(part: str) -> str:
    return part.replace("%", "%25").replace("/", "%2F")


def _parts(path: Sequence[Any]) -> list[str]:
    parts = [str(next(getattr(key, a) for a in ("key", "name", "idx") if hasattr(key, a))) for key in path]
    return parts[:-1] if parts and parts[-1] == "value" and hasattr(path[-1], "name") else parts


def space_of(result: Any) -> Any:
    """The space of a search, None where its task is not at hand."""
    return next((one.search.problem.space for one in result.weights.values() if isinstance(one, Winner)), None)


def _winner(written: Files, result: Any, names: Names) -> None:
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
