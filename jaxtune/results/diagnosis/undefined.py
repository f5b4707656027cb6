"""The rule about a metric without a single finite value, though trainings went well."""

from __future__ import annotations

from collections.abc import Iterator

from jaxtune.results.diagnosis.facts import Facts
from jaxtune.results.diagnosis.finding import Rule, Seen
from jaxtune.results.diagnosis.words import ids


def _undefined(facts: Facts) -> Iterator[Seen]:
    if facts.winner is not None or facts.history.failed.all():
        return
    try:
        facts.result.best  # noqa: B018, it says why there is none
    except ValueError as why:
        yield Seen(
            str(why),
            "Look at what the metric needs of the validation data, such as examples of all classes, in each fold too; "
            "or rank by another one (metric=).",
            ids((~facts.history.failed).nonzero()[0]),
        )


RULES = (
    Rule(
        "undefined",
        "No trial has a finite value of the metric that ranks, though not all diverged.",
        "Look at the metric and at the validation data, or rank by another one.",
        "Fawcett: An introduction to ROC analysis, 2006 (curves need examples of both classes)",
        _undefined,
    ),
)
