"""Search spaces: names with domains, and the map between the unit cube and hyperparameters.

Samplers and PBT work in the unit cube, networks work with hyperparameters; a `Space` converts between the two
and knows which hyperparameters are traced, which are static, and which exist for which options of conditional
choices.

Shapes: T trials, D domains of a space. `unit` is a float32 array in [0, 1].
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.interface.habits import hinted
from jaxtune.spaces.assignment import assigned, check_known, encode_value
from jaxtune.spaces.domains import Domain
from jaxtune.spaces.hyperparameters import (
    Entry,
    active_entries,
    check_distinct,
    pinned,
    read_entries,
    static_combinations,
)
from jaxtune.spaces.values import is_hashable
from jaxtune.spaces.variant import Variant


@dataclass(frozen=True)
class Space:
    """The hyperparameters of a study: names with domains, to be searched, and names with constants.

    Made by `Space.of` from the user's plain dict. Frozen and hashable, so it can be a static argument of
    `jax.jit`; the order of the dict is part of it, because dimension i of the unit cube is the i-th domain.
    The entries of a conditional choice's branches are dimensions like all others; where another option is chosen,
    they are *inactive* and their values mean nothing.

    Attributes:
        entries: the hyperparameters in the order of the dict, those of branches right after their choice.
        constraints: predicates that a configuration must fulfil, see `constrain`.

    Example:
        >>> import jaxtune as jt
        >>> width = jt.Choice((64, 128), static=True)
        >>> space = jt.Space.of({"lr": jt.LogUniform(1e-4, 1.0), "width": width, "layers": 2})
        >>> space.names, space.num_dims, space.static
        (('lr', 'width'), 2, ('width',))
        >>> decoded = space.decode(space.encode({"lr": 0.01, "width": 128})[None])
        >>> space.row(decoded, 0)
        {'lr': 0.01, 'width': 128, 'layers': 2}

        >>> optimizer = jt.Choice({"sgd": {"lr": jt.Uniform(0.0, 1.0), "momentum": 0.9}, "none": {}})
        >>> space = jt.Space.of({"optimizer": optimizer})
        >>> space.names
        ('optimizer', 'optimizer=sgd.lr')
        >>> space.row(space.decode(space.encode({"optimizer": "sgd", "lr": 0.25})[None]), 0)
        {'optimizer': 'sgd', 'lr': 0.25, 'momentum': 0.9}
        >>> space.row(space.decode(space.encode({"optimizer": "none"})[None]), 0)
        {'optimizer': 'none'}
    """

    entries: tuple[Entry, ...]
    constraints: tuple[Callable[[dict[str, Any]], bool], ...] = ()

    def __post_init__(self) -> None:
        check_distinct(self.entries)

    @classmethod
    def of(cls, space: Space | Mapping[str, Any]) -> Space:
        """Makes a Space from a dict of names to domains or constants; a Space passes through.

        Args:
            space: the user's dict; a value that is not a domain is a constant.

        Raises:
            TypeError: if `space` is not a dict, a name not a string, or a constant an array or not hashable.
            ValueError: if a name could exist twice at the same time.

        Example:
            >>> import jaxtune as jt
            >>> jt.Space.of({"dropout": jt.Uniform(0.0, 0.7), "depth": 3}).constants
            (('depth', 3),)
        """
        return space if isinstance(space, Space) else cls(read_entries(space))

    @functools.cached_property
    def _by_key(self) -> dict[str, Entry]:
        return {entry.key: entry for entry in self.entries}

    @functools.cached_property
    def _domains(self) -> dict[str, Domain]:
        return dict(self.domains)

    @functools.cached_property
    def domains(self) -> tuple[tuple[str, Domain], ...]:
        """(key, domain) pairs in the order of the unit cube's dimensions; D of them."""
        return tuple((entry.key, entry.value) for entry in self.entries if entry.is_domain)

    @functools.cached_property
    def constants(self) -> tuple[tuple[str, Any], ...]:
        """(key, value) pairs of the constants."""
        return tuple((entry.key, entry.value) for entry in self.entries if not entry.is_domain)

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """Keys of the D domains, in the order of the unit cube's dimensions; without conditions simply names."""
        return tuple(key for key, _ in self.domains)

    @functools.cached_property
    def hp_names(self) -> tuple[str, ...]:
        """All names that `hp` can have, constants included, in the order of the dict."""
        return tuple(dict.fromkeys(entry.name for entry in self.entries))

    @property
    def log_names(self) -> tuple[str, ...]:
        """Names in `hp` whose domains, some of them at least, are logarithmic."""
        return tuple(dict.fromkeys(self.hp_name(key) for key, domain in self.domains if domain.log))

    @property
    def num_dims(self) -> int:
        """D, the number of domains; 0 for a space of constants."""
        return len(self.domains)

    @functools.cached_property
    def static(self) -> tuple[str, ...]:
        """Keys of the domains that decode to option indices."""
        return tuple(key for key, domain in self.domains if domain.static)

    @functools.cached_property
    def traced(self) -> tuple[str, ...]:
        """Keys of the domains that decode to values, those not yet decided among them."""
        return tuple(key for key, domain in self.domains if not domain.static)

    @property
    def undecided(self) -> tuple[str, ...]:
        """Keys of the domains whose `static` is None: to be found out and pinned."""
        return tuple(key for key, domain in self.domains if domain.static is None)

    def domain(self, key: str) -> Domain:
        """Returns the domain of a key.

        Raises:
            KeyError: if no domain has this key.
        """
        return self._domains[key]

    def hp_name(self, key: str) -> str:
        """Returns the name in `hp` of a domain or constant."""
        return self._by_key[key].name

    def pin(self, static: Mapping[str, bool]) -> Space:
        """Returns a Space in which some domains are pinned to static (True) or traced (False).

        Args:
            static: a bool for each key to pin.

        Raises:
            ValueError: if a key has no domain, or its domain can't be what is asked.

        Example:
            >>> import jaxtune as jt
            >>> jt.Space.of({"width": jt.Integer(1, 9)}).pin({"width": True}).static
            ('width',)
        """
        check_known(static, self.names)
        entries = (pinned(entry, static[entry.key]) if entry.key in static else entry for entry in self.entries)
        return dataclasses.replace(self, entries=tuple(entries))

    def decode(self, unit: jax.Array | np.ndarray) -> dict[str, jax.Array]:
        """Maps points of the unit cube to hyperparameters.

        Args:
            unit: [T, D] (or any leading shape), in [0, 1].

        Returns:
            A [T] array per domain, by key: int32 option indices of static ones, values of traced ones; inactive
            ones too. No constants.
        """
        if np.shape(unit)[-1:] != (self.num_dims,):
            raise ValueError(f"The space has {self.num_dims} dimensions {self.names}, got the shape {np.shape(unit)}.")
        unit = jnp.asarray(unit)
        return {
            key: (domain.decode_index if domain.static else domain.decode)(unit[..., i])
            for i, (key, domain) in enumerate(self.domains)
        }

    def encode(self, hparams: Mapping[str, Any]) -> np.ndarray:
        """Maps one trial's hyperparameters to a point of the unit cube.

        Args:
            hparams: name -> Python value of all that exist for the options chosen; constants may be there with
                the value they have.

        Returns:
            A float32 array [D] in [0, 1]; 0.5 in inactive dimensions.

        Raises:
            ValueError: if a name is unknown, missing or inactive, or a value outside its domain.
        """
        given = {entry.key: hparams.get(entry.name) for entry in assigned(self.entries, hparams)}
        units = [
            encode_value(self.hp_name(key), domain, given[key]) if key in given else 0.5 for key, domain in self.domains
        ]
        return np.asarray(units, np.float32)

    def complete(self, hparams: Mapping[str, Any]) -> dict[str, Any]:
        """Returns one trial's hyperparameters with the constants, in the order of the dict.

        Args:
            hparams: as `encode` takes them.

        Raises:
            ValueError: if a name is unknown, missing or inactive, or a constant has another value.

        Example:
            >>> import jaxtune as jt
            >>> jt.Space.of({"depth": 3, "rate": jt.Uniform(0.0, 1.0)}).complete({"rate": 0.5})
            {'depth': 3, 'rate': 0.5}
        """
        return {e.name: hparams[e.name] if e.is_domain else e.value for e in assigned(self.entries, hparams)}

    def variant(self, indices: Mapping[str, int]) -> Variant:
        """Which hyperparameters exist for some options of the static ones, and what is known of them.

        Args:
            indices: option index by key of the static hyperparameters that exist; more may be there.

        Example:
            >>> import jaxtune as jt
            >>> optimizer = jt.Choice({"sgd": {"lr": jt.Uniform(0.0, 1.0)}, "adam": {"lr": 1e-3}})
            >>> variant = jt.Space.of({"optimizer": optimizer}).variant({"optimizer": 0})
            >>> variant.static, variant.traced
            ({'optimizer': 'sgd'}, {'lr': 'optimizer=sgd.lr'})
        """
        entries = list(active_entries(self.entries, lambda entry: int(indices[entry.key])))
        chosen = {e.key: int(indices[e.key]) for e in entries if e.is_domain and e.value.static}
        static = {
            e.name: e.value.option(chosen[e.key]) if e.is_domain else e.value
            for e in entries
            if e.key in chosen or not e.is_domain
        }
        return Variant(chosen, {e.name: e.key for e in entries}, static)

    def variants(self) -> Iterator[Variant]:
        """All choices of static hyperparameters, made one by one.

        The first options come first, then what differs from them in one option, then all others.
        """
        return map(self.variant, static_combinations([self._by_key[key] for key in self.static]))

    def row(self, decoded: Mapping[str, Any], index: int) -> dict[str, Any]:
        """Returns one trial's hyperparameters as plain Python values: those that exist, constants included.

        Args:
            decoded: what `decode` returned, best as numpy arrays: [T] per domain.
            index: which of the T trials.

        Returns:
            Floats as float (the shortest decimal of the float32), ints as int, options as they were written;
            in the order of the user's own dict. `encode` accepts it.
        """
        at = {key: np.asarray(values)[index] for key, values in decoded.items()}
        variant = self.variant(at)
        return variant.hp({name: self.domain(key).to_python(at[key]) for name, key in variant.traced.items()})

    def exists(self, decoded: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Which hyperparameters exist in which trials.

        Args:
            decoded: what `decode` returned: [T] per domain.

        Returns:
            bool [T] by key of each domain.

        Example:
            >>> import jaxtune as jt
            >>> space = jt.Space.of({"optimizer": jt.Choice({"sgd": {"momentum": jt.Uniform(0.0, 1.0)}, "adam": {}})})
            >>> space.exists(space.decode([[0.2, 0.5], [0.7, 0.5]]))["optimizer=sgd.momentum"].tolist()
            [True, False]
        """
        found: dict[str, np.ndarray] = {}
        for key in self.names:
            condition, values = self._by_key[key].condition, np.asarray(decoded[key])
            found[key] = np.ones(len(values), bool)
            if condition is not None:  # its choice comes first
                found[key] = found[condition.key] & (np.asarray(decoded[condition.key]) == condition.index)
        return found

    def groups(self, decoded: Mapping[str, np.ndarray]) -> tuple[list[Variant], np.ndarray]:
        """Groups trials that share the options of all static hyperparameters that exist for them.

        Args:
            decoded: what `decode` returned: [T] per domain.

        Returns:
            The variant of each group, and the number of each trial's group, [T] int. One trial if the space has no
            domains.
        """
        num_trials = len(next(iter(decoded.values()), [0]))
        exists = self.exists(decoded)
        columns = [np.where(exists[key], np.asarray(decoded[key]), -1) for key in self.static]
        table = np.stack([*columns, np.zeros(num_trials, int)], axis=1)
        options, number = np.unique(table, axis=0, return_inverse=True)
        return [self.variant(dict(zip(self.static, row, strict=False))) for row in options], number.reshape(-1)

    def allows(self, hparams: Mapping[str, Any]) -> bool:
        """Whether one trial's hyperparameters, as `row` returns them, fulfil the constraints.

        Raises:
            TypeError: if a constraint returns something else than a bool.
            ValueError: if a constraint raises an exception.
        """
        return all(_fulfils(constraint, hparams) for constraint in self.constraints)


def _fulfils(constraint: Callable, hparams: Mapping[str, Any]) -> bool:
    name = getattr(constraint, "__name__", repr(constraint))
    try:
        answer = constraint(dict(hparams))
    except Exception as error:
        raise ValueError(
            f"The constraint {name} raised {type(error).__name__}: {error}, for {dict(hparams)}. "
            "Hyperparameters of branches exist in some configurations only: hp.get(name) is None elsewhere."
        ) from error
    if not isinstance(answer, bool | np.bool_):
        raise TypeError(f"The constraint {name} must return True or False, got {answer!r} for {dict(hparams)}.")
    return bool(answer)


@hinted
def constrain(space: Space | Mapping[str, Any], predicate: Callable[[dict[str, Any]], bool]) -> Space:
    """Restricts a space to the configurations that fulfil a condition.

    Samplers propose configurations until enough of them fulfil it, so it should hold for a fair share of the space;
    where it holds for almost none, say it with domains instead. Several constraints: constrain again.

    Args:
        space: dict name -> domain or constant, or what `constrain` returned.
        predicate: from `hp`, a dict name -> plain Python value of everything that exists in a configuration, to a
            bool: True allows it. Hashable, as functions are.

    Returns:
        A space that `tune` accepts in place of a dict.

    Raises:
        TypeError: if `predicate` is not callable or not hashable, or `space` no space.

    Example:
        >>> import jaxtune as jt
        >>> space = {"heads": jt.Choice((1, 2, 4, 8)), "width": jt.Choice((8, 12, 16))}
        >>> space = jt.constrain(space, lambda hp: hp["width"] % hp["heads"] == 0)
        >>> space.allows({"heads": 8, "width": 12}), space.allows({"heads": 4, "width": 12})
        (False, True)
    """
    space = Space.of(space)
    if not callable(predicate) or not is_hashable(predicate):
        raise TypeError(f"A constraint is a (hashable) function of hp that returns a bool, got {predicate!r}.")
    return dataclasses.replace(space, constraints=(*space.constraints, predicate))
