"""The cores of a CPU as devices of JAX, which sees a single one unless it is told otherwise before it starts."""

import functools
import os
from collections.abc import Sequence
from typing import Any

import jax

from jaxtune.interface.counts import check_whole
from jaxtune.interface.warning import warn

VARIABLE = "JAXTUNE_HOST_DEVICES"


def set_host_device_count(count: int | None = None) -> None:
    """Makes JAX treat the cores of a CPU as devices. Has to be called before JAX starts.

    The environment variable JAXTUNE_HOST_DEVICES (a number, or "all") does the same, without a line in the program: the
    first call of `tune`, `plan` and so on reads it, unless this function was called.

    Args:
        count: Number of devices; the cores this process may use if None.

    Raises:
        RuntimeError: JAX has already started.
        ValueError: It is no whole number of at least 1.

    Example:
        >>> import jaxtune as jt
        >>> jt.set_host_device_count(4)  # doctest: +SKIP
    """
    count = num_cores() if count is None else check_whole("count", count)
    try:
        jax.config.update("jax_num_cpu_devices", count)
    except RuntimeError:
        raise RuntimeError(
            "set_host_device_count must be called before JAX starts: put it at the top of the program."
        ) from None


def num_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def read_environment() -> None:
    """Does what the environment variable says, once, if JAX has not started and nobody has set their number.

    Raises:
        ValueError: It is neither a number nor "all".
    """
    text = os.environ.get(VARIABLE, "").strip()
    if not text or jax.config.values["jax_num_cpu_devices"] != -1:
        return
    if text != "all" and not (text.isdecimal() and int(text)):
        raise ValueError(f'{VARIABLE} must be a number of devices, at least 1, or "all", got {text!r}.')
    count = num_cores() if text == "all" else int(text)
    try:
        set_host_device_count(count)
    except RuntimeError:
        if jax.default_backend() == "cpu" and jax.device_count() != count:
            warn(
                f"{VARIABLE}={text} comes too late: JAX had started before the first call of jaxtune. Call "
                "jt.set_host_device_count() at the top of the program instead."
            )


def hint(devices: Sequence[Any]) -> str:
    """What there is to say of a long search on these devices; nothing, unless other cores have no device."""
    cores = num_cores()
    if len(devices) > 1 or devices[0].platform != "cpu" or jax.device_count("cpu") > 1 or cores == 1:
        return ""
    return (
        f"Hint: this search has one CPU device, and there are {cores} cores. jt.set_host_device_count() at the top of "
        f"the program makes each of them a device, as does {VARIABLE}=all in the environment."
    )
