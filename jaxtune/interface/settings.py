"""JAX's settings: those of the user hold in the user's functions, the engine has its own."""

from collections.abc import Hashable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxtune.interface.warning import warn

# What arithmetic may mix: the user's choice for the user's own code.
_PROMOTION: Mapping[str, Any] = {"jax_numpy_rank_promotion": "allow", "jax_numpy_dtype_promotion": "standard"}
# What a search can't do without: it compiles, moves data to the devices, and takes NaN for a result.
_NEEDED = {"jax_disable_jit": False, "jax_transfer_guard": "allow", "jax_debug_nans": False, "jax_debug_infs": False}
_NO_MESH = jax.sharding.Mesh(np.empty((), object), ())


class _Users(NamedTuple):
    """What held where jaxtune was called."""

    values: Mapping[str, Any]
    mesh: Any


_users: ContextVar[_Users | None] = ContextVar("users", default=None)


def settings() -> Hashable:
    """All settings of JAX that hold here and now; tracing and lowering may read any of them."""
    return tuple((name, getattr(jax.config, name, None)) for name in sorted(jax.config.values))


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
    values = {name: getattr(jax.config, name) for name in (*_PROMOTION, *_NEEDED)}
    users = before or _Users(values, _NO_MESH if traced else jax.sharding.get_mesh())
    # JAX refuses to mix the user's mesh with the engine's.
    with _known(users), nullcontext() if traced else jax.set_mesh(_NO_MESH), _changed({**_PROMOTION, **_NEEDED}):
        yield


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
    with _known(None), _changed({name: users.values[name] for name in _PROMOTION} if users else {}):
        yield


@contextmanager
def users_settings() -> Iterator[None]:
    """Inside of `own_settings`, a context with all that held outside of it."""
    users = _users.get()
    if users is None:
        yield
        return
    with _known(None), jax.set_mesh(users.mesh), _changed(users.values):
        yield


@contextmanager
def _known(users: _Users | None) -> Iterator[None]:
    """A context in which this is known of the user's."""
    token = _users.set(users)
    try:
        yield
    finally:
        _users.reset(token)


@contextmanager
def _changed(values: Mapping[str, Any]) -> Iterator[None]:
    """A context with these settings: JAX has a function for each, such as `jax.disable_jit` for `jax_disable_jit`."""
    with ExitStack() as stack:
        for name, value in values.items():
            stack.enter_context(getattr(jax, name.removeprefix("jax_"))(value))
        yield


def _is_traced() -> bool:
    """Whether this runs while JAX traces a function around it, in which a mesh can't be set."""
    try:
        jax.sharding.get_mesh()
    except ValueError:
        return True
    return False
