"""Domains as Optuna's distributions, and their values as its parameters, which are named by the keys of a space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxtune.spaces.assignment import assigned
from jaxtune.spaces.domains import Choice, Domain, Integer
from jaxtune.spaces.space import Space

_PLAIN = (type(None), bool, int, float, str)  # what Optuna keeps as an option


def import_optuna(who: str) -> Any:
    """The package, which is an extra.

    Raises:
        ImportError: It is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise ImportError(f'{who} needs Optuna: pip install "jaxtune[optuna]".') from error
    return optuna


def distribution(domain: Domain) -> Any:
    """An Optuna distribution over the values of a domain; `Normal` and `LogNormal` lose all but their bounds.

    Options that Optuna can't keep, such as functions, become texts.
    """
    distributions = import_optuna("distribution()").distributions
    if isinstance(domain, Choice):
        return distributions.CategoricalDistribution(_options(domain))
    step = getattr(domain, "step", None)
    if isinstance(domain, Integer):  # Optuna has no steps on a log scale
        return distributions.IntDistribution(domain.low, domain.high, domain.log, 1 if domain.log else step)
    return distributions.FloatDistribution(domain.low, domain.high, domain.log, step)  # type: ignore[attr-defined]


def parameters(space: Space, hparams: Mapping[str, Any]) -> dict[str, Any]:
    """Optuna's parameters of one trial, by the keys of the domains that exist."""
    return {
        entry.key: _parameter(entry.value, hparams[entry.name])
        for entry in assigned(space.entries, hparams)
        if entry.is_domain
    }


def unit(domain: Domain, parameter: Any) -> float:
    """Where a parameter of `distribution` lies in [0, 1]."""
    if isinstance(domain, Choice):
        return domain.encode(domain.option(_options(domain).index(parameter)))
    if isinstance(domain, Integer) and domain.log:
        parameter = domain.option(round((parameter - domain.low) / domain.step))
    return domain.encode(parameter)


def _parameter(domain: Any, value: Any) -> Any:
    if isinstance(domain, Choice):
        return _options(domain)[domain.index(value)]
    return min(max(value, domain.low), domain.high)  # a float32 may lie a last bit outside


def _options(domain: Choice) -> tuple[Any, ...]:
    """The options, or texts of them where Optuna would not keep them or takes two for equal, as 1 and True."""
    options = domain.options
    plain = all(isinstance(option, _PLAIN) for option in options) and len(set(options)) == len(options)
    return options if plain else tuple(map(repr, options))
