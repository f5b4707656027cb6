"""Sentences about the arguments of a search, but for its task and its space."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.engine.search import Search
from jaxtune.interface.counts import check_seed, check_whole, whole_or_none
from jaxtune.results.conditions import check_conditions
from jaxtune.results.result import Result
from jaxtune.schedulers.plan import Scheduler
from jaxtune.tasks import checks


def check_search(scheduler: Any, sampler: Any, replicates: Any) -> int:
    """Checks scheduler and sampler; gives replicates as an int."""
    if isinstance(scheduler, type) or not hasattr(scheduler, "plan"):
        raise TypeError(
            f"scheduler must be a scheduler such as jt.SuccessiveHalving(...), got {checks.kind(scheduler)}."
        )
    if isinstance(sampler, type) or not callable(sampler):
        hint = (
            f": write jt.FromOptuna({type(sampler).__name__})" if type(sampler).__module__.startswith("optuna.") else ""
        )
        raise TypeError(f"sampler must be a sampler such as jt.Sobol(), got {checks.kind(sampler)}{hint}.")
    checks.check_function("sampler", sampler, ("key", "space", "history", "num_points"))
    return check_whole("replicates", replicates)


def check_metric(metric: Any) -> None:
    """Raises TypeError unless this is a name."""
    if not isinstance(metric, str):
        raise TypeError(f"metric must be the name of a metric, got {checks.kind(metric)}.")


def check_host(seed: Any, evaluate_every: Any, placement: Any) -> tuple[Any, int | None]:
    """Checks where and when a search runs; gives seed, if it is no key, and `evaluate_every` as ints."""
    if isinstance(placement, type) or not hasattr(placement, "mesh"):
        raise TypeError(f"placement must be a jt.Placement(...), got {checks.kind(placement)}.")
    seed = seed if isinstance(seed, jax.Array) else check_seed(seed)
    return seed, whole_or_none("evaluate_every", evaluate_every)


def check_callback(callback: Any) -> None:
    """Raises TypeError unless this is None or a function of a result."""
    if callback is None:
        return
    if not callable(callback):
        raise TypeError(f"callback must be a function of a result, got {checks.kind(callback)}.")
    checks.check_takes("callback", callback, ("result",), no_more=True)


def check_previous(previous: Any, search: Search) -> None:
    """Raises unless an earlier result can be continued by this search: its values have to be comparable."""
    if previous is None:
        return
    if not isinstance(previous, Result):
        raise TypeError(f"previous must be a Result of tune(), got {type(previous).__name__}.")
    check_conditions("previous", previous.conditions, search)


def check_keeping(keep: Any, keep_weights: Any, patience: Any, scheduler: Any) -> tuple[int, int | None]:
    """Checks what `tune` is told about checkpoints and early stopping; gives `keep_weights` and patience as ints."""
    if keep not in ("last", "best"):
        raise ValueError(f"keep must be 'last' or 'best', got {keep!r}.")
    keep_weights, patience = check_whole("keep_weights", keep_weights), whole_or_none("patience", patience)
    if scheduler.plan().exploit is not None and (keep == "best" or patience is not None):
        given = "keep='best'" if keep == "best" else f"patience={patience}"
        raise ValueError(
            f"{type(scheduler).__name__} replaces the weights of trials that fall behind by those of better ones, "
            f"so it takes no {given}."
        )
    return keep_weights, patience


def check_generations(generations: Any, scheduler: Scheduler) -> int:
    """How many there are, as an int: one of population-based training, whose trials learn from one another."""
    generations = check_whole("generations", generations)
    if generations > 1 and scheduler.plan().exploit is not None:
        raise ValueError(
            f"{type(scheduler).__name__} explores while it trains, so it takes one generation, got {generations}: "
            "give it more steps or trials."
        )
    return generations


def as_key(key: Any) -> jax.Array:
    """A typed key, from one or from the older `uint32[2]`.

    Raises:
        TypeError: It is no key.
        ValueError: They are several keys.
    """
    dtype = getattr(key, "dtype", None)
    if dtype is not None and jnp.issubdtype(dtype, np.unsignedinteger):
        key = jax.random.wrap_key_data(key)
    elif dtype is None or not jnp.issubdtype(dtype, jax.dtypes.prng_key):
        raise TypeError(f"key must be a JAX key such as jax.random.key(0), got {checks.kind(key)}.")
    if key.shape != ():
        raise ValueError(f"search takes one key, got keys of shape {key.shape}: use jax.vmap over them.")
    return key
