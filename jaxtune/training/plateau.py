"""Smaller steps once the validation score has stopped improving."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from jaxtune.interface.habits import hinted
from jaxtune.training.schedules.phases import check

__all__ = ["ReduceOnPlateauState", "observe", "reduce_on_plateau"]


class ReduceOnPlateauState(NamedTuple):
    """What `observe` needs: where the search for a plateau stands, and its settings; all of shape `[]`."""

    scale: jax.Array  # float, by which updates are multiplied
    best: jax.Array  # float, the least score so far; inf before the first
    plateau_count: jax.Array  # int32, evaluations since then, or since the last reduction or cooldown
    cooldown_count: jax.Array  # int32, evaluations until counting starts again
    factor: jax.Array  # float
    patience: jax.Array  # int32
    rtol: jax.Array  # float
    atol: jax.Array  # float
    cooldown: jax.Array  # int32
    min_scale: jax.Array  # float


@hinted
def reduce_on_plateau(
    factor: ArrayLike = 0.1,
    patience: ArrayLike = 10,
    rtol: ArrayLike = 1e-4,
    atol: ArrayLike = 0.0,
    cooldown: ArrayLike = 0,
    min_scale: ArrayLike = 0.0,
) -> optax.GradientTransformation:
    """Multiplies updates by a scale that falls when the validation score has stopped improving.

    To be chained after an optimizer. Scores come from the evaluations of the search (`evaluate_every` and the
    rungs), not from the training loss: each is shown to the state by `observe`. An evaluation improves if its score
    is below `best - rtol * |best| - atol`; one that is not finite doesn't. All arguments may be traced.

    Args:
        factor: shape `[]`, in (0, 1), by which the scale is multiplied at a plateau.
        patience: shape `[]`, >= 1, after how many evaluations in a row without improvement that happens. As in
            Optax; PyTorch waits for one more. A traced value is cut to a whole number, and below 1 counts as 1.
        rtol: shape `[]`, in [0, 1], what counts as an improvement, as a share of the best score.
        atol: shape `[]`, >= 0, what counts as an improvement, as a number.
        cooldown: shape `[]`, >= 0, for how many evaluations after a reduction nothing is counted. A traced value is
            cut to a whole number.
        min_scale: shape `[]`, in [0, 1], below which the scale doesn't fall.

    Returns:
        A transformation with a `ReduceOnPlateauState`. Updates keep their dtypes.

    Raises:
        ValueError: an argument is known and out of its range.

    Source: `ReduceLROnPlateau` of PyTorch; `optax.contrib.reduce_on_plateau`, which is driven by the `value` of
        every update instead and, with scores below 0, takes some that are worse for better.

    Example:
        >>> import jax.numpy as jnp
        >>> import optax
        >>> import jaxtune as jt
        >>> from jaxtune.training.plateau import observe
        >>> optimizer = optax.chain(optax.sgd(1.0), jt.reduce_on_plateau(factor=0.5, patience=2))
        >>> state = optimizer.init(jnp.zeros(()))
        >>> for score in (0.9, 0.8, 0.8, 0.8):
        ...     state = observe(state, score)
        >>> update, _ = optimizer.update(jnp.ones(()), state)
        >>> float(update)
        -0.5
    """
    settings = _settings(factor=factor, patience=patience, rtol=rtol, atol=atol, cooldown=cooldown, min_scale=min_scale)

    def init(params: Any) -> ReduceOnPlateauState:
        del params
        scale, best, count = _strong(1.0, float), _strong(jnp.inf, float), _strong(0, int)
        return ReduceOnPlateauState(scale, best, plateau_count=count, cooldown_count=count, **settings)

    def update(updates: Any, state: ReduceOnPlateauState, params: Any = None) -> tuple[Any, ReduceOnPlateauState]:
        del params
        updates = jax.tree.map(lambda u: (state.scale * u).astype(u.dtype), updates)
        # Population-based training changes hyperparameters on the way: the settings are those of the last step.
        return updates, state._replace(**settings)

    return optax.GradientTransformation(init, update)


def observe(tree: Any, score: ArrayLike) -> Any:
    """Shows the score of an evaluation to every `ReduceOnPlateauState` in a tree.

    Args:
        tree: any pytree, such as the state of a trial; without such states it comes back as it is.
        score: shape `[]`, a float; lower is better.

    Returns:
        A tree of the same structure, shapes and dtypes.

    Example:
        >>> from jaxtune.training.plateau import observe, reduce_on_plateau
        >>> state = {"optimizer": reduce_on_plateau(factor=0.5, patience=1).init(None), "other": 3}
        >>> state = observe(observe(state, 1.0), 1.0)
        >>> float(state["optimizer"].scale), state["other"]
        (0.5, 3)
    """

    def seen(node: Any) -> Any:
        return _observed(node, score) if isinstance(node, ReduceOnPlateauState) else node

    return jax.tree.map(seen, tree, is_leaf=lambda node: isinstance(node, ReduceOnPlateauState))


def _observed(state: ReduceOnPlateauState, score: ArrayLike) -> ReduceOnPlateauState:
    score = _strong(score, float)
    first = state.best == jnp.inf
    best = jnp.where(first, 0.0, state.best)  # inf - inf would be NaN
    improved = jnp.isfinite(score) & (first | (score < best - state.rtol * jnp.abs(best) - state.atol))
    counting = state.cooldown_count == 0
    plateau_count = jnp.where(improved | ~counting, 0, state.plateau_count + 1)
    reduced = counting & ~improved & (plateau_count >= state.patience)
    return state._replace(
        scale=jnp.where(reduced, jnp.maximum(state.scale * state.factor, state.min_scale), state.scale),
        best=jnp.where(improved, score, state.best),
        plateau_count=jnp.where(reduced, 0, plateau_count),
        cooldown_count=jnp.where(reduced, state.cooldown, jnp.maximum(state.cooldown_count - 1, 0)),
    )


def _strong(x: ArrayLike, kind: type) -> jax.Array:
    """A strongly typed scalar, as states must look the same before and after a step."""
    return jnp.asarray(x).astype(jnp.int32 if kind is int else jnp.result_type(float))


_SETTINGS: dict[str, tuple[type, str, Callable[[float], bool]]] = {  # name -> kind, and what must hold
    "factor": (float, "0 < factor < 1", lambda x: 0 < x < 1),
    "patience": (int, "a whole patience >= 1", lambda x: x >= 1 and x.is_integer()),
    "rtol": (float, "0 <= rtol <= 1", lambda x: 0 <= x <= 1),
    "atol": (float, "atol >= 0", lambda x: x >= 0),
    "cooldown": (int, "a whole cooldown >= 0", lambda x: x >= 0 and x.is_integer()),
    "min_scale": (float, "0 <= min_scale <= 1", lambda x: 0 <= x <= 1),
}


def _settings(**given: ArrayLike) -> dict[str, jax.Array]:
    """Settings as a state has them; known ones out of their ranges are refused."""
    for name, value in given.items():
        check("reduce_on_plateau", value, *_SETTINGS[name][1:])
    return {name: _strong(value, _SETTINGS[name][0]) for name, value in given.items()}
