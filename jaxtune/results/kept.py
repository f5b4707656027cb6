"""What was trained after a search, kept in a folder: the same call again finds it."""

from collections.abc import Callable
from typing import Any

import jax

from jaxtune.storage import arrays, files
from jaxtune.storage.directory import FORMAT, Writer


def kept_arrays(
    directory: Any, name: str, what: dict[str, Any], make: Callable[[], dict[str, Any] | None]
) -> dict[str, Any] | None:
    """Makes named arrays, or finds those that were made before.

    Args:
        directory: A folder, which may be new.
        name: Of the file that says what is there.
        what: What they are, as JSON.
        make: Gives them, or None where there is nothing to keep.

    Raises:
        ValueError: The folder holds something else.
    """
    with Writer(directory) as folder:
        path, weights = folder.path / f"{name}.json", folder.path / "weights" / f"{name}.safetensors"
        if not path.exists():
            folder.check_new()
            made = make()
            if made is not None:
                weights.parent.mkdir(exist_ok=True)
                files.write_json(path, {"format": FORMAT, "what": what, "sha256": arrays.save(weights, made)})
            return made
        content = files.read_json(path)
        folder.check_format(content)
        if content["what"] != what:
            raise ValueError(f"{folder.path} holds another training: name another directory.")
        return arrays.load(weights, content["sha256"])


def kept_training(directory: Any, what: dict[str, Any], tree: Any, train: Callable[[], tuple[Any, int]]) -> Any:
    """Trains, or finds what was trained before; what was not trained to its end is not kept.

    Args:
        directory: A folder, which may be new.
        what: What is trained, as JSON.
        tree: Structure of the states.
        train: Gives states and the step count that they reached.

    Raises:
        ValueError: The folder holds something else.
    """
    cut: list[tuple[Any, int]] = []

    def make() -> dict[str, Any] | None:
        states, reached = train()
        if reached == what["steps"]:
            return {f"{n:05d}": leaf for n, leaf in enumerate(jax.tree.leaves(states))}
        cut.append((states, reached))
        return None

    found = kept_arrays(directory, "refit", what, make)
    if found is None:
        return cut[0]
    return jax.tree.unflatten(tree, [found[name] for name in sorted(found)]), what["steps"]
