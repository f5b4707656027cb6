"""Where lanes run."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
from jax.sharding import AxisType, Mesh

from jaxtune.engine.lanes import AXIS
from jaxtune.interface.counts import set_counts
from jaxtune.interface.habits import hinted
from jaxtune.spaces.space import Space
from jaxtune.spaces.variant import Variant


@hinted
@dataclass(frozen=True)
class Placement:
    """Which devices a search uses, and how many lanes they train at once.

    Args:
        devices: JAX devices; all of the default backend if None. On a CPU call `set_host_device_count` first, so that
            every core is a device.
        lanes: Lanes that a device trains at once, at least 1. Chosen from the cache (CPU) or the memory if None.
            Results at equal `lanes` and devices repeat bit for bit.
        max_programs: A search with more groups of static hyperparameters than this is refused.

    Raises:
        ValueError: A number is below 1, or the list of devices is empty or names one twice.
        TypeError: These are no JAX devices.

    Example:
        >>> import jaxtune as jt
        >>> jt.Placement(lanes=16).lanes
        16
    """

    devices: Sequence[Any] | None = None
    lanes: int | None = None
    max_programs: int = 16

    def __post_init__(self) -> None:
        if self.devices is not None:
            object.__setattr__(self, "devices", _checked_devices(self.devices))
        set_counts(self, *(["lanes"] if self.lanes is not None else []), "max_programs")

    def check_programs(self, variants: Sequence[Variant], space: Space) -> None:
        """Raises ValueError if a search has too many variants of its space, and names who is responsible."""
        if len(variants) <= self.max_programs:
            return
        keys = dict.fromkeys(key for variant in variants for key in variant.indices)
        values = {key: len({v.indices[key] for v in variants if key in v.indices}) for key in keys}
        worst = max(values, key=lambda key: values[key])
        raise ValueError(
            f"The space has {len(variants)} combinations of static hyperparameters, one program each, but "
            f"Placement(max_programs={self.max_programs}); {space.hp_name(worst)!r} alone has {values[worst]}."
        )

    def mesh(self) -> Mesh:
        """A mesh with one axis over the devices."""
        devices = jax.devices() if self.devices is None else list(self.devices)
        return jax.make_mesh((len(devices),), (AXIS,), axis_types=(AxisType.Auto,), devices=devices)


def _checked_devices(devices: Any) -> tuple[Any, ...]:
    if isinstance(devices, str) or not isinstance(devices, Iterable):
        raise TypeError(f"Placement needs a list of devices such as jax.devices()[:1], got {devices!r}.")
    devices = tuple(devices)
    if not devices:
        raise ValueError("Placement needs at least one device, got an empty list.")
    for device in devices:
        if not isinstance(device, jax.Device):
            raise TypeError(f"Placement needs JAX devices such as jax.devices()[0], got {device!r}.")
    if len(set(devices)) < len(devices):
        raise ValueError(f"Placement needs different devices, got {devices}.")
    return devices
