"""What linen and nnx modules have in common."""

import inspect
import sys
from collections.abc import Mapping
from typing import Any, TypeAlias

from jaxtune.interface.warning import warn

# A model factory may ask for these extras by name; all methods of a model below pass them on.
EXTRAS = ("step", "total_steps")
Flags: TypeAlias = tuple[tuple[str, Any, Any], ...]  # name, value in training, value in evaluation
_ON = "train", "training", "is_training", "is_train", "train_mode"
_OFF = "deterministic", "inference", "use_running_average", "eval", "eval_mode", "is_eval"
KNOWN_FLAGS: Flags = (*((name, True, False) for name in _ON), *((name, False, True) for name in _OFF))
_NAMES = tuple(name for name, *_ in KNOWN_FLAGS)


def checked_flags(flags: Any) -> Flags:
    """What a user says about the flags of a model: name -> value in training, or (in training, in evaluation)."""
    if not isinstance(flags, Mapping):
        raise TypeError(f"flags must be a dict such as {{'train': True}}, got {flags!r}.")
    made = []
    for name, values in flags.items():
        values = (values, not values) if isinstance(values, bool) else values
        if not (isinstance(name, str) and isinstance(values, tuple) and len(values) == 2):
            raise TypeError(
                "flags must map names to True, False, or a pair of values in training and in evaluation, "
                f"got {name!r}: {values!r}."
            )
        made.append((name, *values))
    return tuple(made)


def train_flags(module: Any, train: bool, flags: Flags | None = None) -> dict[str, Any]:
    """The arguments that tell a module's `__call__` whether it is training: those given, or found by their names."""
    if flags is not None:
        return {name: on if train else off for name, on, off in flags}
    _, *others = inspect.signature(module.__call__).parameters.values() or (None,)
    for p in others:
        if p.name not in _NAMES and p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            raise TypeError(
                f"{type(module).__name__}.__call__ has a required parameter {p.name!r} that jaxtune does not "
                f"know; it passes the inputs and, by name, {', '.join(_NAMES)}, or what jt.supervised(flags=...) names."
            )
    # Flax's idiom: a flag that is given to the constructor must not be given to the call as well.
    names = {p.name for p in others if p.default is p.empty or not isinstance(getattr(module, p.name, None), bool)}
    return {name: on if train else off for name, on, off in KNOWN_FLAGS if name in names}


def check_awake(asleep: list[str]) -> None:
    """Warns of a model whose layers that act in training only are all switched off there."""
    if asleep:
        warn(
            f"The model is trained in evaluation mode: {' and '.join(sorted(set(asleep)))} are switched off in "
            f"training as well. jaxtune tells a model by parameters named {', '.join(_NAMES)}; name another one, "
            "with its value in training, by jt.supervised(flags={'name': True}), or pass flags={} if this is meant."
        )


def never_drops(layer: Any, default: float | None) -> bool:
    """Whether a layer has a dropout rate of 0; one without a rate has the default."""
    rate = getattr(layer, "rate", getattr(layer, "dropout_rate", default))
    return isinstance(rate, (int, float)) and rate == 0


def is_nnx(value: Any) -> bool:
    """Whether a value is an nnx module, found out without importing nnx: who has one has imported it."""
    nnx = sys.modules.get("flax.nnx")
    return nnx is not None and isinstance(value, nnx.Module)
