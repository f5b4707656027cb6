"""A last training that is kept in a folder: the same call again finds its weights."""

from collections.abc import Callable
from typing import Any

import jax

from jaxtune.storage import arrays, files
from jaxtune.storage.directory import FORMAT, Writer


def kept_training(directory: Any, what: dict[str, Any], tree: Any, train: Callable[[], tuple[Any, int]]) -> Any:
    """Trains, or finds what was trained before.

    Args:
        directory: A folder, which may be new.
        what: What is trained, as JSON.
        tree: Structure of the states.
        train: Gives states and the step count that they reached.

    Raises:
        ValueError: The folder holds something else.
    """
    with Writer(directory) as folder:
        path = folder.path / "refit.json"
        if not path.exists():
            folder.check_new()
            states, reached = train()
            if reached == what["steps"]:
                leaves = {f"{n:05d}": leaf for n, leaf in enumerate(jax.tree.leaves(states))}
                (folder.path / "weights").mkdir(exist_ok=True)
                digest = arrays.save(folder.path / "weights" / "refit.safetensors", leaves)
                files.write_json(path, {"format": FORMAT, "what": what, "sha256": digest})
            return states, reached
        content = files.read_json(path)
        folder.check_format(content)
        if content["what"] != what:
            raise ValueError(f"{folder.path} holds another training: name another directory.")
        found = arrays.load(folder.path / "weights" / "refit.safetensors", content["sha256"])
        return jax.tree.unflatten(tree, [found[name] for name in sorted(found)]), what["steps"]
