"""One update by an Optax optimizer: where gradients are taken, what the optimizer is told, and what it changes."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import jax
import optax

from jaxtune.interface.settings import relaxed

_OFFERED = "value", "grad", "value_fn", "obj_fn", "grad_fn"


class Ahead(NamedTuple):
    """The state of an optimizer that looks ahead from the parameters, which are the slow ones (Zhang et al., 2019)."""

    fast: Any  # parameters
    state: Any  # with an optax.LookaheadState in it


def init(optimizer: optax.GradientTransformation, params: Any) -> Any:
    """The state of an optimizer for these parameters."""
    with relaxed():  # not all of Optax is as strict as a user may be
        if not _looks_ahead(optimizer, params):
            return optimizer.init(params)
        return Ahead(params, optimizer.init(optax.LookaheadParams.init_synced(params)))


def trained(params: Any, state: Any) -> Any:
    """The parameters that gradients are taken of."""
    return state.fast if isinstance(state, Ahead) else params


def update(
    optimizer: optax.GradientTransformationExtraArgs, grads: Any, state: Any, params: Any, offered: Mapping[str, Any]
) -> tuple[Any, Any]:
    """Parameters and state after an update.

    Args:
        optimizer: What makes it.
        grads: Gradients of `trained(params, state)`.
        state: The optimizer's.
        params: Before.
        offered: name -> what the optimizer may ask for besides.

    Raises:
        TypeError: It asks for something else.
    """
    with relaxed():
        if not isinstance(state, Ahead):
            changes, state = _changes(optimizer, grads, state, params, offered)
            return optax.apply_updates(params, changes), state
        both = optax.LookaheadParams(fast=state.fast, slow=params)
        changes, inner = _changes(optimizer, grads, state.state, both, offered)
        fast, slow = optax.apply_updates(both, changes)
        return slow, Ahead(fast, inner)


def _looks_ahead(optimizer: optax.GradientTransformation, params: Any) -> bool:
    with suppress(Exception):  # a mask, say, that knows no such parameters
        state = jax.eval_shape(optimizer.init, optax.LookaheadParams(params, params))
        parts = jax.tree.leaves(state, is_leaf=lambda part: isinstance(part, optax.LookaheadState))
        return any(isinstance(part, optax.LookaheadState) for part in parts)
    return False


def _changes(
    optimizer: optax.GradientTransformationExtraArgs, grads: Any, state: Any, params: Any, offered: Mapping[str, Any]
) -> tuple[Any, Any]:
    """What the optimizer's update returns; inside of a chain no signature tells what is asked for."""
    try:
        return optimizer.update(grads, state, params, **offered)
    except TypeError as error:
        fewer = {name: x for name, x in offered.items() if f"unexpected keyword argument '{name}'" not in str(error)}
        if len(fewer) < len(offered):
            return _changes(optimizer, grads, state, params, fewer)
        if "required keyword-only argument" in str(error):
            raise TypeError(
                f"The optimizer asks for what jaxtune doesn't have ({error}); its update may ask for "
                f"{', '.join(_OFFERED)} by name."
            ) from error
        raise


def offer(objective: Callable[[Any], Any], value: Any, grads: Any) -> dict[str, Any]:
    """What an optimizer may ask for besides its gradients: the loss, and functions of the parameters on this batch.

    Args:
        objective: From parameters to the loss.
        value: Its value.
        grads: Its gradient.
    """

    def gradient(params: Any, number: Any = None) -> Any:  # SAM's steps are numbered
        del number
        return gradient_of(objective, params)[1]

    def value_of(params: Any, grad_fn: Any = None, obj_fn: Any = None) -> Any:  # line searches hand on all the rest
        del grad_fn, obj_fn
        return objective(params)

    return dict(zip(_OFFERED, (value, grads, value_of, value_of, gradient), strict=True))


def gradient_of(objective: Callable[[Any], Any], params: Any, has_aux: bool = False) -> tuple[Any, Any]:
    """Value and steepest ascent; of complex parameters JAX's gradient is the conjugate of that."""
    value, grads = jax.value_and_grad(objective, has_aux=has_aux)(params)
    return value, jax.tree.map(jax.numpy.conj, grads)
