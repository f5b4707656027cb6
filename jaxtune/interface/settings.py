"""JAX's settings: those of the user hold in the user's functions, the engine has its own."""

from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np

from jaxtune.interface.warning import warn

_Settings: TypeAlias = Mapping[str, tuple[Callable[[Any], AbstractContextManager], Any]]  # how to set what, and to what

# What arithmetic may mix: the user's choice for the user's own code.
_PROMOTION: _Settings = {
    "jax_numpy_rank_promotion": (jax.numpy_rank_promotion, "allow"),
    "jax_numpy_dtype_promotion": (jax.numpy_dtype_promotion, "standard"),
}
# What a search can't do without: it compiles, moves data to the devices, and takes NaN for a result.
_NEEDED: _Settings = {
    "jax_disable_jit": (jax.disable_jit, False),
    "jax_transfer_guard": (jax.transfer_guard, "allow"),
    "jax_debug_nans": (jax.debug_nans, False),
    "jax_debug_infs": (jax.debug_infs, False),
}
_NO_MESH = jax.sharding.Mesh(np.empty((), object), ())


class _Users(NamedTuple):
    """What held where jaxtune was called."""

    values: Mapping[str, Any]
    mesh: Any


_users: ContextVar[_Users | None] = ContextVar("users", default=None)


def settings() -> Hashable:
    """All settings of JAX that hold here and now; tracing and lowering may read any of them."""
    return tuple((name, _value(name)) for name in sorted(jax.config.values))


def _value(name: str) -> Any:
    return getattr(jax.config, name, None)


# The engine's


@contextmanager
def own_settings() -> Iterator[None]:
    """A context for the engine: whatever the user told JAX, a healthy search works in it.

    Raises:
        ValueError: It is traced under a mesh of the user's.
    """
    before, traced = _users.get(), _is_traced()
    if traced and before is None and not jax.sharding.get_abstract_mesh().empty:
        raise ValueError("jaxtune has a mesh of its own: it can't be traced under another one, set by jax.set_mesh.")
    values = {name: _value(name) for name in (*_PROMOTION, *_NEEDED)}
    token = _users.set(before or _Users(values, _NO_MESH if traced else jax.sharding.get_mesh()))
    try:
        with ExitStack() as stack:
            if not traced:
                stack.enter_context(jax.set_mesh(_NO_MESH))  # JAX refuses to mix the user's with the engine's
            stack.enter_context(_changed(_PROMOTION))
            stack.enter_context(_changed(_NEEDED))
            yield
    finally:
        _users.reset(token)


def in_threads() -> AbstractContextManager[None]:
    """A context for threads of the engine, in which there is only what the user told JAX for all threads."""
    return _changed(_NEEDED)


@contextmanager
def relaxed() -> Iterator[None]:
    """A context in which arithmetic may mix ranks and dtypes: for code that is not the user's, also as a decorator."""
    with _changed(_PROMOTION):
        yield


def warn_of_disabled_jit() -> None:
    """Says that a search compiles, to those who told JAX not to."""
    users = _users.get()
    if users is not None and users.values["jax_disable_jit"]:
        warn(
            "jax_disable_jit is set, but a search compiles its programs all the same: to step through your functions, "
            "call task.init, task.step and task.evaluate yourself."
        )


# The user's


@contextmanager
def users_promotion() -> Iterator[None]:
    """Inside of `own_settings`, a context in which arithmetic is as strict as the user wants it; once is enough."""
    users = _users.get()
    token = _users.set(None)
    try:
        with _changed(_PROMOTION, {} if users is None else users.values):
            yield
    finally:
        _users.reset(token)


@contextmanager
def users_settings() -> Iterator[None]:
    """Inside of `own_settings`, a context with all that held outside of it."""
    users = _users.get()
    if users is None:
        yield
        return
    token = _users.set(None)
    try:
        with jax.set_mesh(users.mesh), _changed(_PROMOTION, users.values), _changed(_NEEDED, users.values):
            yield
    finally:
        _users.reset(token)


@contextmanager
def _changed(table: _Settings, values: Mapping[str, Any] | None = None) -> Iterator[None]:
    """A context with the values of a table, or with those of another one that has them."""
    with ExitStack() as stack:
        for name, (change, value) in table.items():
            if values is None:
                stack.enter_context(change(value))
            elif name in values:
                stack.enter_context(change(values[name]))
        yield


def _is_traced() -> bool:
    """Whether this runs while JAX traces a function around it, in which a mesh can't be set."""
    try:
        jax.sharding.get_mesh()
    except ValueError:
        return True
    return False
