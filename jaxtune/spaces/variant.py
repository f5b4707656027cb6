"""What trials with equal static hyperparameters have in common."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any


@dataclass(frozen=True)
class Variant:
    """One choice of all static hyperparameters, and hence which others exist; made by a space, see `Space.variant`.

    Attributes:
        indices: key -> option index of the static hyperparameters.
        keys: name -> key of all hyperparameters that exist, constants too, in the order in which `hp` has them.
        static: name -> Python value of constants and static hyperparameters.
    """

    indices: Mapping[str, int]
    keys: Mapping[str, str]
    static: Mapping[str, Any]

    @cached_property
    def traced(self) -> dict[str, str]:
        """Name -> key of the traced hyperparameters."""
        return {name: key for name, key in self.keys.items() if name not in self.static}

    def hp(self, traced: Mapping[str, Any]) -> dict[str, Any]:
        """All hyperparameters, given the values of the traced ones by name; what else is given is left out.

        Example:
            >>> import jaxtune as jt
            >>> space = jt.Space.of({"act": jt.Choice(("relu", "tanh")), "depth": 3, "rate": jt.Uniform(0.0, 1.0)})
            >>> space.variant({"act": 1}).hp({"rate": 0.5})
            {'act': 'tanh', 'depth': 3, 'rate': 0.5}
        """
        return {name: self.static[name] if name in self.static else traced[name] for name in self.keys}
