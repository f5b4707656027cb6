"""Any sampler of Optuna, by ask and tell."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.interface.warning import warn
from jaxtune.samplers.sampler import Observed
from jaxtune.spaces.distributions import distribution, import_optuna, parameters, unit
from jaxtune.spaces.domains import LogNormal, Normal, Uniform
from jaxtune.spaces.enumeration import INACTIVE
from jaxtune.spaces.hyperparameters import Entry
from jaxtune.spaces.space import Space


@dataclass(frozen=True, init=False, repr=False)
class FromOptuna:
    """Proposes what a sampler of Optuna proposes, a batch for each generation. Needs the extra `optuna`.

    Optuna's study is made anew for each generation out of all trials before it, so that there is no state to save and
    a search goes on after a kill; the seed comes from that of the search. Trials that a scheduler stopped are pruned
    ones for Optuna, with a value for each evaluation; trials that diverged are pruned ones without any, which
    `TPESampler` ranks last. Parameters have the names and values of the space, those of branches the key
    (`"optimizer=sgd.lr"`); `Normal` and `LogNormal` are searched by their quantiles.

    It runs on the host, one trial after the other (64 take about a second), while the other samplers are compiled:
    `search` can't have it. Samplers that keep notes in their study, as `CmaEsSampler` and `NSGAIISampler` do, begin
    anew with each generation, with a warning.

    Args:
        sampler: A class of `optuna.samplers`.
        **arguments: Its arguments, except for the seed.

    Raises:
        ImportError: Optuna is not installed.
        TypeError: `sampler` is no such class, takes no seed, or doesn't take these arguments.

    Example:
        >>> import jax
        >>> import optuna
        >>> import jaxtune as jt
        >>> space = jt.Space.of({"lr": jt.LogUniform(1e-4, 1.0), "act": jt.Choice(("relu", "tanh"))})
        >>> sampler = jt.FromOptuna(optuna.samplers.TPESampler, multivariate=True, n_startup_trials=16)
        >>> sampler, sampler(jax.random.key(0), space, None, 3).shape
        (FromOptuna(TPESampler, multivariate=True, n_startup_trials=16), (3, 2))
    """

    sampler: type
    arguments: dict[str, Any] = field(compare=False)
    _written: str
    on_host = True

    def __init__(self, sampler: type, **arguments: Any) -> None:
        optuna = import_optuna("FromOptuna")
        if not (isinstance(sampler, type) and issubclass(sampler, optuna.samplers.BaseSampler)):
            raise TypeError(f"FromOptuna needs a class such as optuna.samplers.TPESampler, got {sampler!r}.")
        if "seed" not in inspect.signature(sampler).parameters:
            raise TypeError(f"FromOptuna needs a sampler that takes a seed, {sampler.__name__} takes none.")
        if "seed" in arguments:
            raise TypeError("FromOptuna takes no seed: that of the search is used.")
        sampler(seed=0, **arguments)  # what it refuses is known before anything is trained
        object.__setattr__(self, "sampler", sampler)
        object.__setattr__(self, "arguments", arguments)
        object.__setattr__(self, "_written", ", ".join(f"{name}={value!r}" for name, value in arguments.items()))

    def __repr__(self) -> str:
        return f"FromOptuna({', '.join(filter(None, (self.sampler.__name__, self._written)))})"

    def __call__(self, key: jax.Array, space: Space, history: Observed | None, num_points: int) -> jax.Array:
        """Asks Optuna for points.

        Args:
            key: Typed key, not traced.
            space: The space, D domains.
            history: Trials trained before.
            num_points: How many points; the first of many are those of few.

        Returns:
            [num_points, D] float32 in [0, 1].
        """
        optuna, count = import_optuna("FromOptuna"), 0 if history is None else int(history.count)
        axes = _even(space)
        seed = int(jax.random.bits(jax.random.fold_in(key, count), dtype=jnp.uint32))
        with _quiet(optuna):
            study = optuna.create_study(sampler=self.sampler(seed=seed, **self.arguments))
            if history is not None:
                study.add_trials(_seen(optuna, axes, history))
            points = [_ask(study.ask(), axes) for _ in range(num_points)]
        self._warn_of_notes(study.get_trials(deepcopy=False)[count:], count)
        return jnp.asarray(np.reshape(points, (num_points, space.num_dims)), jnp.float32)

    def _warn_of_notes(self, trials: list[Any], count: int) -> None:
        """Says that a sampler learns nothing where it needs what it wrote beside its trials."""
        notes = {name for trial in trials for name in trial.system_attrs if ":relative_params" not in name}
        if count and notes:
            warn(
                f"{self.sampler.__name__} keeps notes in its study ({', '.join(sorted(notes))}), which results don't "
                "hold: it begins anew with each generation."
            )


@contextmanager
def _quiet(optuna: Any) -> Iterator[None]:
    """Without a line in the log for each study."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def _even(space: Space) -> Space:
    """The space with quantiles in place of what is normally distributed, which Optuna does not know."""
    entries = tuple(
        replace(entry, value=Uniform(0.0, 1.0)) if isinstance(entry.value, Normal | LogNormal) else entry
        for entry in space.entries
    )
    return replace(space, entries=entries)


def _seen(optuna: Any, space: Space, history: Observed) -> Iterator[Any]:
    """The trials before as Optuna has them."""
    count, states = int(history.count), optuna.trial.TrialState
    points, steps = np.asarray(history.points)[:count], np.asarray(history.steps).tolist()
    values, failed = np.asarray(history.values, np.float64), np.asarray(history.failed)
    rows = {key: np.asarray(column) for key, column in space.decode(points).items()}
    distributions = {key: distribution(domain) for key, domain in space.domains}
    for t in range(count):
        found = parameters(space, space.row(rows, t))
        known = {} if failed[t] else {s: float(v) for s, v in zip(steps, values[t], strict=True) if np.isfinite(v)}
        over = steps[-1] in known
        yield optuna.trial.create_trial(
            state=states.COMPLETE if over else states.PRUNED,
            value=known[steps[-1]] if over else None,
            params=found,
            distributions={key: distributions[key] for key in found},
            intermediate_values=known,
        )


def _ask(trial: Any, space: Space) -> list[float]:
    """Where a new trial lies in the unit cube, [D]."""
    found: dict[str, float] = {}
    for entry in space.entries:
        if entry.is_domain and _exists(entry, space, found):
            found[entry.key] = _suggest(trial, entry.key, entry.value)
    return [found.get(key, INACTIVE) for key in space.names]


def _exists(entry: Entry, space: Space, found: dict[str, float]) -> bool:
    condition = entry.condition
    if condition is None:
        return True
    choice = space.domain(condition.key)
    return condition.key in found and int(choice.decode_index(jnp.float32(found[condition.key]))) == condition.index


def _suggest(trial: Any, key: str, domain: Any) -> float:
    axis = distribution(domain)
    if hasattr(axis, "choices"):
        return unit(domain, trial.suggest_categorical(key, axis.choices))
    suggest = trial.suggest_int if isinstance(axis.low, int) else trial.suggest_float
    return unit(domain, suggest(key, axis.low, axis.high, log=axis.log, step=axis.step))
