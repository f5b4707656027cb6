"""An ensemble that is kept in a folder: who is in it, what it scores, and the weights of its trials."""

from collections.abc import Callable, Mapping
from typing import Any

from jaxtune.results.shelving import stored
from jaxtune.storage import arrays, files
from jaxtune.storage.directory import FORMAT, Writer
from jaxtune.storage.log import numbers


def kept_ensemble(
    directory: Any, what: dict[str, Any], kept: Mapping[int, Any], select: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """Selects, or finds what was selected before.

    Args:
        directory: A folder, which may be new.
        what: What is selected from and how, as JSON.
        kept: Id -> a `Winner`.
        select: Gives `members`, pairs of ids and weights, `metrics`, and the id and metrics of the `best` single one.

    Raises:
        ValueError: The folder holds something else, or is damaged.
    """
    with Writer(directory) as folder:
        path = folder.path / "ensemble.json"
        if path.exists():
            content = files.read_json(path)
            folder.check_format(content)
            if content["what"] != what:
                raise ValueError(f"{folder.path} holds another ensemble: name another directory.")
            for name, known in content["sha256"].items():
                if files.digest(folder.path / name) != known:
                    raise files.DamagedFile(f"{folder.path / name} is damaged: it is not what was written.")
            return _read(content["ensemble"])
        folder.check_new()
        found, digests = select(), {}
        (folder.path / "weights").mkdir(exist_ok=True)
        for trial, _ in found["members"]:
            name = f"weights/{trial:06d}.safetensors"
            digests[name] = arrays.save(folder.path / name, stored(kept[trial])[0])
        files.write_json(path, {"format": FORMAT, "what": what, "ensemble": _written(found), "sha256": digests})
        return found


def _written(found: dict[str, Any]) -> dict[str, Any]:
    """As JSON, which has no NaN."""
    metrics = {name: dict(zip(found[name], numbers(list(found[name].values())), strict=True)) for name in _METRICS}
    return {**found, "members": [list(pair) for pair in found["members"]], **metrics}


def _read(content: dict[str, Any]) -> dict[str, Any]:
    metrics = {name: {key: float(value) for key, value in content[name].items()} for name in _METRICS}
    return {**content, "members": [(int(trial), float(weight)) for trial, weight in content["members"]], **metrics}


_METRICS = "metrics", "best_metrics"
