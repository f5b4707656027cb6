"""Class labels beyond the outputs of a model: a mistake, unless the loss gives them no weight."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_EXAMPLES = 32  # that a loss is tried on, half of them with such labels


def check_range(name: str, targets: Any, shape: tuple[int, ...], loss: Callable[[Any, Any], Any]) -> None:
    """Raises ValueError if labels lie outside 0 ... C - 1 and the loss doesn't leave them out.

    A loss that masks some labels, -100 as a rule, is finite where they occur, and no gradient comes from there.

    Args:
        name: Of the split.
        targets: Whole numbers, [N, ...].
        shape: Of the outputs for one example, [..., C]; targets of another shape are no labels.
        loss: From outputs and targets to a scalar.
    """
    *examples, classes = shape or (1,)
    low, high = int(targets.min()), int(targets.max())
    if tuple(examples) != targets.shape[1:] or classes < 2 or (low >= 0 and high < classes):
        return
    counted_from_one = low == 1 and high == classes
    if counted_from_one or not _are_left_out(np.asarray(targets), shape, loss):
        raise ValueError(
            f"The targets of {name} lie in {low} ... {high}, but the model has {classes} outputs: "
            f"labels must lie in 0 ... {classes - 1}; make them float if they are quantities, or give them no weight "
            "in the loss if they mark what it should ignore."
        )


def _are_left_out(targets: np.ndarray, shape: tuple[int, ...], loss: Callable[[Any, Any], Any]) -> bool:
    """Whether random outputs matter nowhere where a label is out of range."""
    outside = (targets < 0) | (targets >= shape[-1])
    per_example = outside.reshape(len(targets), -1).any(axis=1)
    rows = np.concatenate([np.flatnonzero(per_example == kind)[: _EXAMPLES // 2] for kind in (True, False)])
    outputs = np.random.default_rng(0).normal(size=(len(rows), *shape)).astype(np.float32)
    try:
        with jax.ensure_compile_time_eval():  # `search` is called under jit
            value, slopes = jax.jit(jax.value_and_grad(loss))(jnp.asarray(outputs), jnp.asarray(targets[rows]))
            return bool(jnp.isfinite(value) & jnp.isfinite(slopes).all() & (slopes[outside[rows]] == 0).all())
    except Exception:  # of a loss that takes batches of its own size only
        return False
