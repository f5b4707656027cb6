"""What linen and nnx modules have in common."""

import inspect
import sys
from typing import Any

# A model factory may ask for these extras by name; all methods of a model below pass them on.
EXTRAS = ("step", "total_steps")
_FLAGS = {"train": True, "training": True, "is_training": True, "deterministic": False}  # value in training


def train_flags(module: Any, train: bool) -> dict[str, Any]:
    """The arguments by which a module's `__call__` is told whether it is training, found by their names."""
    _, *others = inspect.signature(module.__call__).parameters.values() or (None,)
    for p in others:
        if p.name not in _FLAGS and p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            raise TypeError(
                f"{type(module).__name__}.__call__ has a required parameter {p.name!r} that jaxtune does not "
                f"know; it passes the inputs and, by name, {', '.join(_FLAGS)}."
            )
    # Flax's idiom: a flag that is given to the constructor must not be given to the call as well.
    names = {p.name for p in others if p.default is p.empty or not isinstance(getattr(module, p.name, None), bool)}
    return {name: value if train else not value for name, value in _FLAGS.items() if name in names}


def is_nnx(value: Any) -> bool:
    """Whether a value is an nnx module, found out without importing nnx: who has one has imported it."""
    nnx = sys.modules.get("flax.nnx")
    return nnx is not None and isinstance(value, nnx.Module)


def named(value: Any) -> str:
    """A value in an error message: the class, or what it is an instance of."""
    return f"the class {value.__name__}" if isinstance(value, type) else f"a value of type {type(value).__name__}"
