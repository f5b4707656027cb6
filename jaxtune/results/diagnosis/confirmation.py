"""The rule about a confirmation that all of its trials failed."""

from __future__ import annotations

from collections.abc import Iterator

from jaxtune.results.diagnosis.facts import Facts
from jaxtune.results.diagnosis.finding import Rule, Seen
from jaxtune.results.diagnosis.words import ids


def all_failed(facts: Facts) -> bool:
    """Whether there was a confirmation, and no trial came through it."""
    confirmation = facts.result.confirmation
    return confirmation is not None and all(row["failed"] for row in confirmation.records())


def _failed(facts: Facts) -> Iterator[Seen]:
    if not all_failed(facts):
        return
    confirmation = facts.result.confirmation
    rates = "search lower learning rates or clip" if facts.has_learning_rate else "clip"
    yield Seen(
        confirmation.verdict,
        f"Find out why before anything else: where training diverged, {rates} gradients "
        f"(optax.clip_by_global_norm(1.0)); where {facts.metric} was undefined, look at what it needs of the data.",
        ids(confirmation.ranking),
    )


RULES = (
    Rule(
        "confirmation",
        "All trials that were confirmed failed on a fresh seed: they diverged, or the metric was undefined.",
        "Find out why: lower learning rates or gradient clipping, or another metric.",
        "Bouthillier et al.: Accounting for variance in machine learning benchmarks, 2021; Pascanu, Mikolov, Bengio: "
        "On the difficulty of training recurrent neural networks, 2013",
        _failed,
    ),
)
