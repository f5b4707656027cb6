"""Signatures as people read them, in `help` and in notebooks: types by name, and none of what users never call."""

import functools
import inspect
import re
from types import ModuleType
from typing import Any

_MODULES = re.compile(r"(?:[A-Za-z_]\w*\.)+(?=[A-Za-z_])")


@functools.cache
def make_readable(value: Any) -> None:
    """Gives a public function, a class with its methods, or a module's public functions signatures without modules."""
    if isinstance(value, ModuleType):
        for name in getattr(value, "__all__", ()):
            make_readable(getattr(value, name, None))
    elif inspect.isclass(value):
        # The class itself shows that of its `__init__`; one of its own would be its objects' as well.
        for cls in (cls for cls in value.__mro__ if cls.__module__.startswith("jaxtune.")):
            for method in vars(cls).values():
                _shorten(getattr(method, "__func__", method))
    else:
        _shorten(value)


class _Text:
    """An annotation that `inspect` shows as it is, without quotes."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def _shorten(function: Any) -> None:
    if not inspect.isfunction(function):
        return
    signature = inspect.signature(function)
    parameters = [p.replace(annotation=_short(p.annotation)) for p in signature.parameters.values()]
    function.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=parameters, return_annotation=_short(signature.return_annotation)
    )


def _short(annotation: Any) -> Any:
    if annotation is inspect.Signature.empty or isinstance(annotation, _Text):
        return annotation
    from jax.typing import ArrayLike  # a union of eight types, which says less

    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    union = repr(ArrayLike).replace("typing.", "")
    return _Text(_MODULES.sub("", text.replace("typing.", "").replace(union, "ArrayLike")))
