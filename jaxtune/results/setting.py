"""What a search was made of, as texts and numbers: to be shown, kept, and compared."""

import platform
import re
from typing import Any

import jax
import jaxlib

from jaxtune import __version__
from jaxtune.engine.search import Search
from jaxtune.spaces.written import space_written

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def setting(search: Search) -> dict[str, Any]:
    """The `space` of a result, and its `setting`: how the search was called, and where it ran."""
    call = {
        "scheduler": text(search.scheduler),
        "sampler": text(search.sampler),
        "generations": search.generations,
        "replicates": search.replicates,
        "folds": None if search.folds is None else search.num_folds,
        "patience": search.patience,
        "keep": search.keep,
        "batch_size": search.task.batch_size,
    }
    where = {"jaxtune": __version__, **versions(search), **machine(search)}
    return {"space": space_written(search.problem.space), "setting": {"call": call, "where": where}}


def versions(search: Search) -> dict[str, str]:
    """On which last bits hang."""
    device = search.mesh.devices.flat[0].device_kind
    return {"jax": jax.__version__, "jaxlib": jaxlib.version.__version__, "device": device}


def machine(search: Search) -> dict[str, Any]:
    """On which nothing hangs."""
    return {
        "python": platform.python_version(),
        "system": platform.platform(terse=True),
        "devices": search.mesh.devices.size,
    }


def text(value: Any) -> str:
    """What a value says of itself, without addresses: names of functions stay."""
    return _ADDRESS.sub("", repr(value))
