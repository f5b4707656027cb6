"""Weights that come from elsewhere: given values, and frozen parameters, which all lanes share."""

import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.core import FrozenDict
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxtune.interface.habits import did_you_mean

Flat = dict[tuple[Any, ...], Any]  # path of names -> array


@dataclass(frozen=True)
class Weights:
    """Variables that replace fresh ones, and which parameters are trained.

    What is frozen is not part of a state: a model's variables are the given ones, with those of the state in their
    places. A program closes over the given arrays, so that there is one copy for all lanes. Compared by value:
    the same weights given again compile nothing.

    Attributes:
        contents: path, shape, dtype and digest of each given array.
        trainable: `(path, value) -> bool`, where `value` has shape and dtype; None trains everything.
        moving: Whether other variables of frozen layers, such as averages of BatchNorm, go on changing.
        params: Given parameters.
        other: Other given variables.
    """

    contents: tuple[tuple[Any, ...], ...] = ()
    trainable: Callable[..., Any] | None = None
    moving: bool = False
    params: Flat = field(default_factory=dict, compare=False, repr=False)
    other: Flat = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(cls, params: Any, other: Any, trainable: Callable | None, moving: bool = False) -> "Weights":
        """From nested dicts.

        Raises:
            TypeError: A leaf is no array of numbers.
            ValueError: There is something to freeze, but nothing is given.
        """
        if not isinstance(params, dict | FrozenDict):
            raise TypeError(f"variables has parameters of type {type(params).__name__}; they must be a nested dict.")
        if trainable is not None and not flatten_dict(params):
            raise ValueError("trainable needs variables: frozen parameters have the values that are given there.")
        given = [{path: _kept(path, x) for path, x in flatten_dict(t).items()} for t in (params, other)]
        contents = tuple(
            (section, path, x.shape, str(x.dtype), _digest(x))
            for section, flat in zip(("params", "other"), given, strict=True)
            for path, x in sorted(flat.items(), key=lambda item: _name(item[0]))
        )
        return cls(contents, trainable, moving, *given)

    @functools.cached_property
    def _arrays(self) -> tuple[Flat, Flat]:
        """The given variables on the device: the same objects in every trace."""
        with jax.ensure_compile_time_eval():
            return jax.tree.map(jnp.asarray, (self.params, self.other))

    def replace(self, params: Any, other: Any) -> tuple[Any, Any]:
        """Fresh variables with the given ones in their places.

        Raises:
            ValueError: The model has no variable of a given name, or one of another shape or dtype.
        """
        if not self.contents:
            return params, other
        fresh = flatten_dict(params), flatten_dict(other)
        for flat, given in zip(fresh, self._arrays, strict=True):
            for path, value in given.items():
                _check_fits(path, value, flat, fresh[0])
        first, second = (unflatten_dict({**flat, **given}) for flat, given in zip(fresh, self._arrays, strict=True))
        return first, second

    def trained(self, params: Any) -> Any:
        """The parameters that are trained.

        Raises:
            TypeError: `trainable` did not return a bool.
            ValueError: It leaves nothing to train, or a frozen parameter has no given value.
        """
        if self.trainable is None:
            return params
        kept = {path: x for path, x in flatten_dict(params).items() if self._is_trained(path, x)}
        if not kept:
            raise ValueError("trainable freezes every parameter of the model, so that there is nothing to train.")
        return unflatten_dict(kept)

    def _is_trained(self, path: tuple[Any, ...], x: Any) -> bool:
        answer = self.trainable(path, jax.ShapeDtypeStruct(x.shape, x.dtype))  # type: ignore[misc]  # asked only where it is given
        if not isinstance(answer, (bool, np.bool_)):
            raise TypeError(f"trainable must return True or False, got {answer!r} for {_name(path)!r}.")
        if not answer and path not in self.params:
            raise ValueError(
                f"trainable freezes {_name(path)!r}, but variables has no value for it: give one or train it."
            )
        return bool(answer)

    def changing(self, params: Any, other: Any, after: Callable[[Any], Any]) -> Any:
        """Those other variables that a state needs: none of frozen layers, and no given ones that a step leaves alone.

        What belongs to a frozen layer is shared by all lanes like its parameters; else every lane would compute the
        layer for itself.

        Args:
            params: All parameters.
            other: All other variables.
            after: From these to their values after a training step.

        Raises:
            ValueError: A variable of a frozen layer has no given value.
        """
        if self.trainable is None:
            return other
        untouched: set[Any] = set()

        def step(other: Any) -> None:
            before, changed = flatten_dict(other), flatten_dict(after(other))
            untouched.update(path for path in before if changed.get(path) is before[path])

        jax.eval_shape(step, other)
        frozen = set() if self.moving else self._frozen(params, other)
        for path in frozen - untouched - self.other.keys():
            raise ValueError(
                f"trainable freezes the layer of {_name(path)!r}, but variables has no value for it: give one, or let "
                "it follow the training data by moving_statistics=True."
            )
        fixed = (frozen | untouched) & self.other.keys()
        return unflatten_dict({path: x for path, x in flatten_dict(other).items() if path not in fixed})

    def _frozen(self, params: Any, other: Any) -> set[Any]:
        """Paths of the other variables of frozen layers: all parameters of the innermost module that has some are."""
        is_trained = {path: self._is_trained(path, x) for path, x in flatten_dict(params).items()}
        return {path for path in flatten_dict(other) if not any(_of_module(path, is_trained))}

    def merge(self, params: Any, other: Any) -> tuple[Any, Any]:
        """All variables of the model, of those in a state."""
        if self.trainable is None:
            return params, other
        first, second = self._arrays
        return unflatten_dict({**first, **flatten_dict(params)}), unflatten_dict({**second, **flatten_dict(other)})

    def select(self, other: Any, like: Any) -> Any:
        """The part of all other variables that is in a state."""
        if self.trainable is None:
            return other
        values = flatten_dict(other)
        return unflatten_dict({path: values[path] for path in flatten_dict(like)})


def _of_module(path: tuple[Any, ...], is_trained: dict[tuple[Any, ...], bool]) -> list[bool]:
    """For the parameters of a variable's module, or of the innermost one around it that has any, if they are trained.

    A variable of linen lies below the name of its collection, one of nnx does not.
    """
    for length in range(len(path) - 1, 0, -1):
        for module in (path[1:length], path[:length]):
            found = [trained for param, trained in is_trained.items() if param[: len(module)] == module and module]
            if found:
                return found
    return list(is_trained.values())


def _name(path: tuple[Any, ...]) -> str:
    return "/".join(map(str, path))


def _kept(path: tuple[Any, ...], x: Any) -> Any:
    """An array that nobody can change afterwards."""
    numeric = hasattr(x, "dtype") and any(jnp.issubdtype(x.dtype, kind) for kind in (np.number, np.bool_))
    if not isinstance(x, (jax.Array, np.ndarray, np.generic)) or not numeric:
        raise TypeError(f"variables[{_name(path)!r}] must be an array of numbers, got {type(x).__name__}.")
    return x if isinstance(x, jax.Array) else np.array(x)


def _digest(x: Any) -> Any:
    if isinstance(x, jax.core.Tracer):
        return id(x)
    return hashlib.blake2b(np.asarray(x).tobytes(), digest_size=16).digest()


def _check_fits(path: tuple[Any, ...], value: Any, known: Flat, params: Flat) -> None:
    if path not in known:
        hint = did_you_mean(_name(path), map(_name, known))
        advice = "; parameters go under 'params', as in {'params': {...}}" if path in params else ""
        raise ValueError(f"variables has {_name(path)!r}, which the model lacks{advice or hint}.")
    for what in ("shape", "dtype"):
        given, needed = getattr(value, what), getattr(known[path], what)
        if given != needed:
            raise ValueError(f"variables[{_name(path)!r}] has {what} {given}, the model's {needed}.")
