"""The way into jaxtune, what every public function that runs user code does around it; and what comes back."""

import dis
import functools
import inspect
import types
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar

import flax
import jax
import optax

from jaxtune.interface.cores import read_environment
from jaxtune.interface.habits import hinted
from jaxtune.interface.settings import own_settings
from jaxtune.interface.warning import OWN

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T", bound=type)
_LIBRARIES = tuple(f"{Path(inspect.getfile(module)).parent}/" for module in (jax, flax, optax))
_HIDDEN = (OWN, *_LIBRARIES, inspect.getfile(AbstractContextManager), functools.__file__)
OF_TASK = "This happened "  # begins the notes of such errors
_RAISE = dis.opmap["RAISE_VARARGS"]


def entry(function: F) -> F:
    """Lets a function run in our settings of JAX, say what there is in place of unknown arguments, and fail in short.

    Tracebacks show the user's own frames. Others are hidden, unless JAX is told to show its own
    (`JAX_TRACEBACK_FILTERING=off`), or they are all there is to see of a failure inside of jaxtune.
    """
    asked = hinted(function)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True  # IPython knows it
        read_environment()
        try:
            with own_settings():
                return asked(*args, **kwargs)
        except Exception as error:
            raise _shortened(error)  # JAX_TRACEBACK_FILTERING=off shows all  # noqa: B904

    return call  # type: ignore[return-value]  # the same signature


def given_back(cls: T) -> T:
    """Marks a class whose objects come from jaxtune only: `help` starts with what it offers, not with a constructor."""
    cls.__signature__ = inspect.Signature()  # type: ignore[attr-defined]
    return cls


def _shortened(error: BaseException) -> BaseException:
    """An exception, and those that it came from, without the frames that no user wants to see."""
    if getattr(jax.config, "jax_traceback_filtering", None) != "off":
        for one in _chain(error):
            frames = list(_frames(one.__traceback__))
            mine = [frame for frame in frames if not _is_hidden(frame)]
            if mine or one is not error or (frames and (_is_sentence(frames[-1]) or _is_of_task(one))):
                one.__traceback__ = _linked(mine)
    return error


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen = set[int]()
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            yield one
            waiting += [one.__cause__, one.__context__]


def _frames(traceback: types.TracebackType | None) -> Iterator[types.TracebackType]:
    while traceback is not None:
        yield traceback
        traceback = traceback.tb_next


def _is_hidden(frame: types.TracebackType) -> bool:
    return frame.tb_frame.f_code.co_filename.startswith(_HIDDEN)


def _is_sentence(frame: types.TracebackType) -> bool:
    """Whether jaxtune raised an error that says what is wrong, in contrast to a failure that nobody thought of."""
    code = frame.tb_frame.f_code
    return code.co_filename.startswith(OWN) and code.co_code[frame.tb_lasti] == _RAISE


def _is_of_task(error: BaseException) -> bool:
    """Whether a user's function failed, if somewhere in a library."""
    return any(note.startswith(OF_TASK) for note in getattr(error, "__notes__", ()))


def _linked(frames: list[types.TracebackType]) -> types.TracebackType | None:
    after = None
    for frame in reversed(frames):
        after = types.TracebackType(after, frame.tb_frame, frame.tb_lasti, frame.tb_lineno)
    return after
