"""Rules about the fit to the data: training against validation values."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from jaxtune.results.diagnosis.curves import lost_again, rises
from jaxtune.results.diagnosis.facts import Facts
from jaxtune.results.diagnosis.finding import Rule, Seen
from jaxtune.results.diagnosis.words import ids, of_best, percent
from jaxtune.results.text import short

_GAP = 0.2  # of all improvement on validation data, missing against training: a fifth is worth regularising for
_LEFT = 2 / 3  # of the error at the start, still there at the end: a third is what a weak fit explains
_ALIKE = 0.2  # of the training error, by which validation may differ where a model underfits
_SLOWEST = 0.75  # quantile of the first training errors that stands for the start: most trials have learned by then
_SOURCE = "Goodfellow, Bengio, Courville: Deep Learning, 2016, §5.2"
_REGULARISE = "weight decay, dropout, label smoothing or augmentation, as hyperparameters"


def _overfitting(facts: Facts) -> Iterator[Seen]:
    yield from _gap(facts)
    yield from _rising(facts)


def _gap(facts: Facts) -> Iterator[Seen]:
    if facts.pair is None:
        return
    gaps = {trial: _missing(facts, trial) for trial in facts.finalists}
    wide = [trial for trial, gap in gaps.items() if gap >= _GAP]
    if facts.winner not in wide or 2 * len(wide) < len(gaps):
        return
    (name, train), (seen, trained) = facts.pair, _ends(facts, facts.winner)
    sign = facts.sign(name)
    yield Seen(
        f"The best trials overfit: trial {facts.winner} has {name} {short(seen * sign)} on validation data and "
        f"{train} {short(trained * sign)} on training data, a gap of {percent(gaps[facts.winner])} of all that {name} "
        f"improved{of_best(len(wide), len(gaps))}.",
        f"Regularise more: {_REGULARISE}; or get more data.",
        ids(wide),
    )


def _rising(facts: Facts) -> Iterator[Seen]:
    rising = [trial for trial in facts.finalists if rises(facts, trial)]
    if facts.winner not in rising or 2 * len(rising) < len(facts.finalists):
        return
    lost, step = lost_again(facts.curve(facts.winner), facts.span(facts.winner))
    kept = facts.history.kept[facts.winner] < facts.history.last[facts.winner]
    stop = "Its best checkpoint was kept; stop" if kept else 'Keep the best checkpoint (keep="best") or stop'
    yield Seen(
        f"{facts.metric} got worse again on validation data: trial {facts.winner} was best at step {step} of "
        f"{facts.history.total_steps[facts.winner]} and has lost {percent(lost)} of its improvement since"
        f"{of_best(len(rising), len(facts.finalists))}.",
        f"{stop} there (patience=), and regularise more: {_REGULARISE}.",
        ids(rising),
    )


def _ends(facts: Facts, trial: int) -> tuple[float, float]:
    """Costs on validation and on training data at the evaluation that counts."""
    at = trial, facts.history.kept[trial]
    name, train = facts.pair or ("", "")
    return float(facts.costs(name)[at]), float(facts.costs(train)[at])


def _missing(facts: Facts, trial: int) -> float:
    """How much worse the validation value is than that of training, as a share of its improvement."""
    seen, trained = _ends(facts, trial)
    span = facts.span(trial, facts.pair and facts.pair[0])
    return (seen - trained) / span if span > 0 else np.nan


def _underfitting(facts: Facts) -> Iterator[Seen]:
    start = _start(facts)
    if facts.pair is None or start is None:
        return
    poor = [trial for trial in facts.finalists if _is_poor(facts, trial, start)]
    if facts.winner not in poor or 2 * len(poor) < len(facts.finalists):
        return
    (name, train), (seen, trained) = facts.pair, _ends(facts, facts.winner)
    sign = facts.sign(name)
    begun = start if _is_loss(facts) else 1 - start
    yield Seen(
        f"Even the best trials hardly fit their training data: trial {facts.winner} ended with {train} "
        f"{short(trained * sign)}, where training began at about {short(begun, 3)}, and {name} {short(seen * sign)} "
        f"on validation data is no better{of_best(len(poor), len(facts.finalists))}.",
        "Use a larger model, less regularisation or better inputs; jt.overfit_check tells whether the task can be "
        "learned at all, or whether its targets are that noisy.",
        ids(poor),
    )


def _is_poor(facts: Facts, trial: int, start: float) -> bool:
    seen, trained = (_error(facts, cost) for cost in _ends(facts, trial))
    return trained >= _LEFT * start > 0 and abs(seen - trained) <= _ALIKE * trained


def _error(facts: Facts, cost: float) -> float:
    """Distance from perfect: of a loss it is the value, of an accuracy what it lacks of 1."""
    return cost if _is_loss(facts) else 1 + cost


def _is_loss(facts: Facts) -> bool:
    return facts.pair is not None and facts.sign(facts.pair[0]) > 0


def _start(facts: Facts) -> float | None:
    """The training error of a model that has learned little; None where the metric has no zero to measure it from."""
    if facts.pair is None or facts.winner is None:
        return None
    name, train = facts.pair
    all_costs = np.stack([facts.costs(name), facts.costs(train)])
    known = all_costs[np.isfinite(all_costs)]
    lowest, highest = (0.0, np.inf) if _is_loss(facts) else (-1.0, 0.0)
    if not len(known) or known.min() < lowest or known.max() > highest:
        return None
    peers = facts.history.generation == facts.history.generation[facts.winner]
    firsts = facts.costs(train)[peers, facts.history.first[peers]]
    firsts = firsts[np.isfinite(firsts)]
    return float(np.quantile([_error(facts, cost) for cost in firsts], _SLOWEST)) if len(firsts) else None


RULES = (
    Rule(
        "underfitting",
        "The winner and half of the best five kept two thirds of the training error that there was at the start, and "
        "validation is alike (losses of at least 0, or scores from 0 to 1).",
        "A larger model, less regularisation, better inputs; `jt.overfit_check`.",
        _SOURCE,
        _underfitting,
        needs=(Facts.lacks_training,),
    ),
    Rule(
        "overfitting",
        "Validation is worse than training by 20 % of all improvement or more, or it lost 10 % of it again after its "
        "best; for the winner and half of the best five.",
        'Regularise more, more data; `keep="best"`, `patience=`.',
        f"{_SOURCE}; Prechelt: Early stopping, but when?, 1998",
        _overfitting,
        needs=(Facts.lacks_curves, Facts.lacks_training),
    ),
)
