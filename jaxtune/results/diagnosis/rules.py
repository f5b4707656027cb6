"""The table of rules, and what they say of a result."""

from __future__ import annotations

from typing import Any

from jaxtune.results.diagnosis import (
    budget,
    certainty,
    confirmation,
    curves,
    fit,
    irrelevant,
    narrow,
    ranges,
    rungs,
    undefined,
)
from jaxtune.results.diagnosis.facts import Facts
from jaxtune.results.diagnosis.finding import Diagnosis, Rule
from jaxtune.results.trial import statuses

_ORDER = (  # what would change the result most comes first, what would only save time last
    *("undefined", "confirmation", "edge", "diverged", "slow", "narrow", "underfitting", "overfitting", "too long"),
    *("still falling", "rungs", "tie", "more trials", "plateau", "fewer trials", "irrelevant"),
)
_THEMES = undefined, confirmation, ranges, irrelevant, curves, narrow, fit, rungs, budget, certainty
_ALL = {rule.name: rule for theme in _THEMES for rule in theme.RULES}

RULES: tuple[Rule, ...] = tuple(_ALL[name] for name in _ORDER)
"""All rules, the most important first."""


def diagnose(result: Any) -> Diagnosis:
    """What all rules find in a `Result`."""
    facts = Facts(result)
    unfinished = any(status.kind == "interrupted" for status in statuses(result.history, True))
    found = [finding for rule in RULES for finding in rule.findings(facts)]
    return Diagnosis(found, result.interrupted or unfinished, _unchecked(facts, {one.rule for one in found}))


def _unchecked(facts: Facts, spoke: set[str]) -> str | None:
    """The rules that said nothing and lack a fact, by what they lack."""
    groups: dict[str, list[str]] = {}
    for rule in RULES:
        for why in (need(facts) for need in rule.needs if rule.name not in spoke):
            if why is not None:
                groups.setdefault(why, []).append(rule.name)
    told = "; ".join(f"{', '.join(names)} ({why})" for why, names in groups.items())
    return f"Not fully checked: {told}." if told else None
