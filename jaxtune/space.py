"""Search spaces: names with domains, and the map between the unit cube and hyperparameters.

Samplers and PBT work in the unit cube, networks work with hyperparameters; a `Space` converts between the two
and knows which hyperparameters are traced and which are static.

Shapes: T trials, D domains of a space. `unit` is a float32 array in [0, 1].
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.domains import Domain
from jaxtune.options import did_you_mean, hashable_hint, is_hashable, plain, typed


@dataclass(frozen=True)
class Space:
    """The hyperparameters of a study: names with domains, to be searched, and names with constants.

    Made by `Space.of` from the user's plain dict. Frozen and hashable, so it can be a static argument of
    `jax.jit`; the order of the dict is part of it, because dimension i of the unit cube is the i-th domain.

    Attributes:
        domains: (name, domain) pairs in the order of the dict; D of them.
        constants: (name, value) pairs in the order of the dict, values as the user wrote them.
        order: all names in the order of the dict.

    Example:
        >>> from jaxtune.domains import Choice, LogUniform
        >>> from jaxtune.space import Space
        >>> width = Choice((64, 128), static=True)
        >>> space = Space.of({"lr": LogUniform(1e-4, 1.0), "width": width, "layers": 2})
        >>> space.names, space.num_dims, space.static
        (('lr', 'width'), 2, ('width',))
        >>> decoded = space.decode(space.encode({"lr": 0.01, "width": 128})[None])
        >>> space.row(decoded, 0)
        {'lr': 0.01, 'width': 128, 'layers': 2}
    """

    domains: tuple[tuple[str, Domain], ...]
    constants: tuple[tuple[str, Any], ...] = field(compare=False)
    order: tuple[str, ...]
    _typed_constants: tuple = field(init=False, repr=False)  # 1, 1.0 and True are different constants

    def __post_init__(self):
        pairs = tuple((name, typed(value)) for name, value in self.constants)
        object.__setattr__(self, "_typed_constants", pairs)

    @classmethod
    def of(cls, space: Space | Mapping[str, Any]) -> Space:
        """Makes a Space from a dict of names to domains or constants; a Space passes through.

        Args:
            space: the user's dict; a value that is not a domain is a constant.

        Raises:
            TypeError: if `space` is not a dict, a name not a string, or a constant an array or not hashable.

        Example:
            >>> from jaxtune.domains import Uniform
            >>> from jaxtune.space import Space
            >>> Space.of({"dropout": Uniform(0.0, 0.7), "depth": 3}).constants
            (('depth', 3),)
        """
        if isinstance(space, Space):
            return space
        if not isinstance(space, Mapping):
            raise TypeError(f"A space is a dict from names to domains or constants, got {space!r}.")
        for name, value in space.items():
            _check_entry(name, value)
        return cls(
            domains=tuple((name, value) for name, value in space.items() if isinstance(value, Domain)),
            constants=tuple((name, plain(value)) for name, value in space.items() if not isinstance(value, Domain)),
            order=tuple(space),
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the D domains, in the order of the unit cube's dimensions."""
        return tuple(name for name, _ in self.domains)

    @property
    def num_dims(self) -> int:
        """D, the number of domains; 0 for a space of constants."""
        return len(self.domains)

    @property
    def static(self) -> tuple[str, ...]:
        """Names of the domains that decode to option indices."""
        return tuple(name for name, domain in self.domains if domain.static)

    @property
    def traced(self) -> tuple[str, ...]:
        """Names of the domains that decode to values, those not yet decided among them."""
        return tuple(name for name, domain in self.domains if not domain.static)

    @property
    def undecided(self) -> tuple[str, ...]:
        """Names of the domains whose `static` is None: to be found out and pinned."""
        return tuple(name for name, domain in self.domains if domain.static is None)

    def domain(self, name: str) -> Domain:
        """Returns the domain of a name.

        Raises:
            KeyError: if no domain has this name.
        """
        return dict(self.domains)[name]

    def pin(self, static: Mapping[str, bool]) -> Space:
        """Returns a Space in which the named domains are pinned to static (True) or traced (False).

        Args:
            static: a bool for each name to pin.

        Raises:
            ValueError: if a name has no domain, or its domain can't be what is asked.

        Example:
            >>> from jaxtune.domains import Integer
            >>> from jaxtune.space import Space
            >>> Space.of({"width": Integer(1, 9)}).pin({"width": True}).static
            ('width',)
        """
        _check_names(static, self.names)
        return dataclasses.replace(
            self,
            domains=tuple(
                (name, _pinned(name, domain, static[name]) if name in static else domain)
                for name, domain in self.domains
            ),
        )

    def decode(self, unit: jax.Array) -> dict[str, jax.Array]:
        """Maps points of the unit cube to hyperparameters.

        Args:
            unit: [T, D] (or any leading shape), in [0, 1].

        Returns:
            A [T] array per domain: int32 option indices of static ones, values of traced ones. No constants.
        """
        if np.shape(unit)[-1:] != (self.num_dims,):
            raise ValueError(f"The space has {self.num_dims} dimensions {self.names}, got the shape {np.shape(unit)}.")
        unit = jnp.asarray(unit)
        return {
            name: (domain.decode_index if domain.static else domain.decode)(unit[..., i])
            for i, (name, domain) in enumerate(self.domains)
        }

    def encode(self, hparams: Mapping[str, Any]) -> np.ndarray:
        """Maps one trial's hyperparameters to a point of the unit cube.

        Args:
            hparams: Python values of all domains; constants may be there with the value they have.

        Returns:
            A float32 array [D] in [0, 1].

        Raises:
            ValueError: if a name is unknown or missing, or a value outside its domain.
        """
        _check_names(hparams, self.order)
        missing = [name for name in self.names if name not in hparams]
        if missing:
            raise ValueError(f"The hyperparameters lack {', '.join(map(repr, missing))}.")
        for name, constant in self.constants:
            if name in hparams and not _equal_constants(hparams[name], constant):
                raise ValueError(f"{name!r} is the constant {constant!r} in this space, got {hparams[name]!r}.")
        units = [_encode_named(name, domain, hparams[name]) for name, domain in self.domains]
        return np.asarray(units, np.float32)

    def static_value(self, name: str, index: int) -> Any:
        """Returns the Python value behind an option index of a static hyperparameter."""
        return self.domain(name).option(index)

    def assemble(self, traced: Mapping[str, Any], indices: Mapping[str, int]) -> dict[str, Any]:
        """Puts together the `hp` dict of user functions, in the order of the user's own dict.

        Args:
            traced: values of the traced names, as they are to be handed on.
            indices: option index of each static name, turned here into its Python value.

        Returns:
            All hyperparameters, constants included.

        Example:
            >>> from jaxtune.domains import Choice, Uniform
            >>> from jaxtune.space import Space
            >>> space = Space.of({"act": Choice(("relu", "tanh")), "depth": 3, "rate": Uniform(0.0, 1.0)})
            >>> space.assemble({"rate": 0.5}, {"act": 1})
            {'act': 'tanh', 'depth': 3, 'rate': 0.5}
        """
        values = dict(self.constants)
        values |= {name: traced[name] for name in self.traced}
        values |= {name: self.static_value(name, int(indices[name])) for name in self.static}
        return {name: values[name] for name in self.order}

    def row(self, decoded: Mapping[str, Any], index: int) -> dict[str, Any]:
        """Returns one trial's hyperparameters as plain Python values, constants included.

        Args:
            decoded: what `decode` returned, best as numpy arrays: [T] per domain.
            index: which of the T trials.

        Returns:
            Floats as float (the shortest decimal of the float32), ints as int, options as they were written;
            in the order of the user's own dict. `encode` accepts it.
        """
        entries = {name: np.asarray(decoded[name])[index] for name in self.names}
        traced = {name: self.domain(name).to_python(entries[name]) for name in self.traced}
        return self.assemble(traced, entries)


def _check_entry(name: Any, value: Any) -> None:
    if not isinstance(name, str):
        raise TypeError(f"A space needs strings as names, got {name!r}.")
    if isinstance(value, Domain):
        return
    if isinstance(value, type) and issubclass(value, Domain):
        raise TypeError(f"{name!r} is the class {value.__name__} itself: write {value.__name__}(...).")
    if isinstance(value, np.ndarray | jax.Array):
        raise TypeError(
            f"The constant {name!r} is an array of shape {value.shape}: write a number or a tuple, "
            "or keep the array in the task's data or in a closure."
        )
    if not is_hashable(value):
        raise TypeError(
            f"The constant {name!r} must be hashable: {hashable_hint(value)}; to search over "
            "several values write Choice((...))."
        )


def _equal_constants(a: Any, b: Any) -> bool:
    return is_hashable(a) and bool(plain(a) == b)


def _pinned(name: str, domain: Domain, static: bool) -> Domain:
    if domain.static is static:
        return domain
    if domain.num_options is None:
        raise ValueError(f"{name!r} can't be static: {domain} is continuous, one program per value has no end.")
    try:
        return dataclasses.replace(domain, static=static)  # type: ignore[type-var]
    except ValueError as error:
        raise ValueError(f"{name!r} can't be traced: {error}") from None


def _encode_named(name: str, domain: Domain, value: Any) -> float:
    try:
        return domain.encode(value)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name!r}: {error}") from None


def _check_names(given: Iterable[str], known: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            raise ValueError(
                f"The space has no hyperparameter {name!r}{did_you_mean(name, known)}; it has {', '.join(known)}."
            )
