"""Known configurations first: a baseline, the settings of a paper, the best of an earlier study."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.interface.counts import plain
from jaxtune.interface.habits import hinted
from jaxtune.samplers.sampler import Observed
from jaxtune.samplers.sobol import Sobol
from jaxtune.spaces.space import Space
from jaxtune.spaces.values import hashable_hint, is_hashable, typed


@hinted
@dataclass(frozen=True)
class Points:
    """Tries given configurations, in their order, then those of another sampler.

    A continuous value is trained as float32 sees it after a way through the unit cube: to a relative error of about
    1e-6.

    Args:
        hparams: dicts name -> value of everything that is searched; of conditional choices the names of the chosen
            branch. Constants may be left out. (Kept as sorted pairs, to be hashable.)
        then: the sampler of all further points.

    Raises:
        TypeError: if `hparams` is not a sequence of dicts with hashable values, or `then` no sampler.

    Example:
        >>> import jax
        >>> import jaxtune as jt
        >>> space = jt.Space.of({"rate": jt.Uniform(0.0, 1.0), "act": jt.Choice(("relu", "tanh"))})
        >>> points = jt.Points([{"rate": 0.5, "act": "tanh"}])(jax.random.key(0), space, None, 4)
        >>> points.shape, points[0].tolist()
        ((4, 2), [0.5, 0.75])
    """

    hparams: tuple = field(compare=False)
    then: Any = Sobol()  # noqa: RUF009 - a frozen value
    _typed: tuple = field(init=False, repr=False)  # 1, 1.0 and True are different values

    def __post_init__(self) -> None:
        if isinstance(self.hparams, Mapping | str) or not isinstance(self.hparams, Iterable):
            raise TypeError(f"Points needs a sequence of dicts, got {self.hparams!r}: write [{self.hparams!r}].")
        if isinstance(self.then, type) or not callable(self.then):
            raise TypeError(f"Points needs a sampler such as Sobol() for then, got {self.then!r}.")
        pairs = tuple(_as_pairs(index, hparams) for index, hparams in enumerate(self.hparams))
        first: dict[Any, int] = {}
        for index, point in enumerate(pairs):
            same = first.setdefault(typed(point), index)
            if same != index:  # it would be trained once, and ids would shift
                raise ValueError(
                    f"Points has the same configuration at {same} and {index}, {dict(point)}: each is trained once, so "
                    "list it once."
                )
        object.__setattr__(self, "hparams", pairs)
        object.__setattr__(self, "_typed", typed(pairs))

    @property
    def exhaustive(self) -> bool:
        """Whether there are no more points than those of the first call."""
        return getattr(self.then, "exhaustive", False)

    @property
    def on_host(self) -> bool:
        """Whether the other sampler can't be compiled."""
        return getattr(self.then, "on_host", False)

    def __call__(self, key: jax.Array, space: Space, history: Observed | None, num_points: int) -> jax.Array:
        """Returns the given points and draws the rest.

        Args:
            key: typed key for the other sampler, may be traced.
            space: the space, D domains.
            history: for the other sampler.
            num_points: how many points.

        Returns:
            [num_points, D] float32 in [0, 1].

        Raises:
            ValueError: if there are more given points than that, or one lies outside the space or violates its
                constraints.
        """
        given, num_more = len(self.hparams), num_points - len(self.hparams)
        if num_more < 0:
            raise ValueError(f"Points has {given} configurations for {num_points} trials: set trials={given} or more.")
        points = [_encode(index, dict(pairs), space) for index, pairs in enumerate(self.hparams)]
        first = jnp.asarray(np.reshape(points, (given, space.num_dims)), jnp.float32)
        if num_more == 0:
            return first
        return jnp.concatenate([first, jnp.asarray(self.then(key, space, history, num_more), jnp.float32)])


def _as_pairs(index: int, hparams: Any) -> tuple[tuple[str, Any], ...]:
    if isinstance(hparams, tuple):  # as `dataclasses.replace` hands them on
        hparams = dict(hparams)
    if not isinstance(hparams, Mapping):
        raise TypeError(f"Points needs dicts from names to values, got {hparams!r} as number {index}.")
    for name, value in hparams.items():
        if not isinstance(name, str):
            raise TypeError(f"Points needs strings as names, got {name!r} in number {index}.")
        if not is_hashable(value):
            raise TypeError(f"Points needs hashable values, {name!r} of number {index} is not: {hashable_hint(value)}.")
    return tuple(sorted(((name, plain(value)) for name, value in hparams.items()), key=lambda pair: pair[0]))


def _encode(index: int, hparams: dict[str, Any], space: Space) -> np.ndarray:
    try:
        point = space.encode(hparams)
        allowed = space.allows(space.complete(hparams))
    except (TypeError, ValueError) as error:
        raise type(error)(f"Points number {index}: {error}") from None
    if not allowed:
        raise ValueError(f"Points number {index} violates a constraint of the space: {hparams}.")
    return point
