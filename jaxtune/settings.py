"""JAX's settings: those of the user hold in the user's functions, the engine has its own."""

import warnings
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any, TypeAlias

import jax
import numpy as np

Settings: TypeAlias = Mapping[
    str, tuple[Callable[[Any], AbstractContextManager], Any]
]  # name -> how to set it, to what
# What arithmetic may mix: the user's choice for the user's own code.
_PROMOTION: Settings = {
    "jax_numpy_rank_promotion": (jax.numpy_rank_promotion, "allow"),
    "jax_numpy_dtype_promotion": (jax.numpy_dtype_promotion, "standard"),
}
# What a search can't do without: it compiles, and it moves data to the devices.
_NEEDED: Settings = {
    "jax_disable_jit": (jax.disable_jit, False),
    "jax_transfer_guard": (jax.transfer_guard, "allow"),
}
_users: ContextVar[dict[str, str] | None] = ContextVar("users", default=None)


def settings() -> Hashable:
    """All settings of JAX that hold here and now; tracing and lowering may read any of them."""
    return tuple((name, _value(name)) for name in sorted(jax.config.values))


def _value(name: str) -> Any:
    return getattr(jax.config, name, None)


@contextmanager
def own_settings() -> Iterator[None]:
    """A context for the engine: whatever the user told JAX, a healthy search works in it."""
    if _value("jax_disable_jit"):
        warnings.warn(
            "jax_disable_jit is set, but a search compiles its programs all the same: to step through your functions, "
            "call task.init, task.step and task.evaluate yourself.",
            stacklevel=4,
        )
    token = _users.set(_users.get() or {name: _value(name) for name in _PROMOTION})
    try:
        with ExitStack() as stack:
            for change, value in (*_PROMOTION.values(), *_NEEDED.values()):
                stack.enter_context(change(value))
            yield
    finally:
        _users.reset(token)


@contextmanager
def relaxed() -> Iterator[None]:
    """A context in which arithmetic may mix ranks and dtypes: for code that is not the user's, also as a decorator."""
    with ExitStack() as stack:
        for change, value in _PROMOTION.values():
            stack.enter_context(change(value))
        yield


@contextmanager
def users_settings() -> Iterator[None]:
    """Inside of `own_settings`, a context in which arithmetic is as strict as the user wants it."""
    values = _users.get() or {}
    token = _users.set(None)
    try:
        with ExitStack() as stack:
            for name, value in values.items():
                stack.enter_context(_PROMOTION[name][0](value))
            yield
    finally:
        _users.reset(token)


@contextmanager
def own_devices() -> Iterator[None]:
    """`own_settings`, and no mesh of the user's: the engine has one of its own, and JAX refuses to mix them."""
    with jax.set_mesh(jax.sharding.Mesh(np.empty((), object), ())), own_settings():
        yield
