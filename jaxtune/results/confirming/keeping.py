"""A confirmation as files beside those of its search: what became of the best trials, and the confirmed winner."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from jaxtune.results.confirming.confirm import Confirm
from jaxtune.results.confirming.rounds import Confirmed
from jaxtune.results.saving import space_of, write_winner
from jaxtune.results.shelving import stored, unstored
from jaxtune.spaces.written import Names
from jaxtune.storage import arrays, files
from jaxtune.storage.contents import Files, array, check_digests, inside
from jaxtune.storage.directory import CONFIRMATION, FORMAT, Directory

_HEAD, _FOLDER = CONFIRMATION


def save_confirmation(result: Any, confirmed: Confirmed, path: Path) -> None:
    """Writes a confirmation into the folder of its search; the head comes last: what is not whole doesn't count.

    Args:
        result: A `Result`, whose winner is the confirmed one.
        confirmed: What became of its best trials.
        path: The folder, which has the result.

    Raises:
        OSError: The disk takes no more, or fails.
    """
    for name in CONFIRMATION:
        if (path / name).exists():
            files.remove(path / name)
    (path / _FOLDER / "winner").mkdir(parents=True)
    written = Files(path / _FOLDER)
    content: dict[str, Any] = {
        "format": FORMAT,
        "confirm": {"top": confirmed.confirm.top, "replicates": confirmed.confirm.replicates},
        "trials": confirmed.trials.tolist(),
        "seeds": confirmed.seeds.tolist(),
        "lost": confirmed.lost.tolist(),
        "budget": confirmed.budget,
        "steps": confirmed.steps,
        "step": confirmed.step,
        "interrupted": confirmed.interrupted,
        "metrics": {
            name: written.add_array(f"metrics-{number}.npy", values)
            for number, (name, values) in enumerate(confirmed.metrics.items())
        },
        "weights": None,
    }
    if confirmed.winner is not None:
        values, about = stored(confirmed.winner)
        content["weights"] = {"file": written.add_arrays("weights.safetensors", values), **about}
        write_winner(written, result, Names(space_of(result)))
    files.write_json(path / _HEAD, content | {"sha256": written.digests})


def load_confirmation(folder: Directory) -> Confirmed | None:
    """The confirmation in the folder of a search; None where there is none.

    Raises:
        DamagedFile: A file of it is not as it was written.
        ValueError: A later version of jaxtune wrote it.
    """
    head, path = folder.path / _HEAD, folder.path / _FOLDER
    if not head.exists():
        return None
    content = files.read_json(head)
    folder.check_format(content)
    check_digests(path, _HEAD, content["sha256"])
    weights = content["weights"]
    return Confirmed(
        trials=np.array(content["trials"], int),
        metrics={name: array(path, file) for name, file in content["metrics"].items()},
        lost=np.array(content["lost"], bool),
        seeds=np.array(content["seeds"], int),
        confirm=Confirm(**content["confirm"]),
        budget=content["budget"],
        steps=content["steps"],
        step=content["step"],
        winner=None if weights is None else unstored(arrays.load(inside(path, weights["file"])), weights),
        interrupted=content["interrupted"],
    )
