"""Rules about rungs: early ones that mislead, and training that only makes it worse."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from jaxtune.results.diagnosis.facts import Facts
from jaxtune.results.diagnosis.finding import Rule, Seen
from jaxtune.results.diagnosis.trained_on import Stretch, TrainedOn
from jaxtune.results.diagnosis.words import ids
from jaxtune.results.text import short

_LOW = 0.5  # rank correlation between rungs, below which the order at the first says little about that at the second
_MIN_PAIRS = 5  # trials trained from one rung to the next, of a bracket, below which it has no rank correlation
_QUANTILE = 1.645  # of a normal distribution: 95 % on one side


def _too_long(facts: Facts) -> Iterator[Seen]:
    found = TrainedOn(facts).worsening
    if not found or facts.winner is None or facts.curve(facts.winner).is_readable:
        return  # a whole curve tells more, see overfitting
    parts = [_how_many(one, facts.sign(facts.metric)) for one in found]
    yield Seen(
        f"{facts.metric} got worse with more training: of the {len(found[0].trials)} trials trained on {parts[0]}"
        f"{''.join(f'; of the {len(one.trials)} {part}' for one, part in zip(found[1:], parts[1:], strict=True))}.",
        f"Stop at about step {found[0].early} (max_steps=), or take each trial at its best "
        f'(keep="best" with evaluate_every=), or regularise more.',
        ids(np.unique(np.concatenate([one.trials[one.worse] for one in found]))),
    )


def _how_many(one: Stretch, sign: float) -> str:
    early, late = (short(sign * float(cost)) for cost in one.costs.mean(axis=0))
    worse = "all" if one.worse.all() else one.worse.sum()
    return f"from step {one.early} to {one.late}, {worse} did (on average {early}, then {late})"


def _rungs(facts: Facts) -> Iterator[Seen]:
    trained_on = TrainedOn(facts)
    end = min((one.early for one in trained_on.worsening), default=np.inf)  # to train longer would be bad advice
    told: list[str] = []
    trials: list[np.ndarray] = []
    for (early, late), brackets in trained_on.by_steps.items():
        enough = [one for one in brackets if len(one.trials) >= _MIN_PAIRS]
        if not enough or late >= end:
            continue
        correlation, highest = _pooled(enough)
        if highest < _LOW:
            num = sum(len(one.trials) for one in enough)
            told.append(f"{correlation:.2f} from step {early} to {late} ({num}{'' if told else ' trials'})")
            trials += [one.trials for one in enough]
            last = early, late
    if told:
        yield Seen(
            "Early values said little about later ones: among trials that were trained on, the rank correlation is "
            f"{', '.join(told)}, where 1 is the same order. Good trials may have been cut.",
            f"{_later(*last, int(facts.history.total_steps.max()))}, or cut fewer each time: a smaller eta=.",
            ids(np.unique(np.concatenate(trials))),
        )


def _later(early: int, late: int, end: int) -> str:
    """Where the first rung should come, after the last that misled; one at the end of training would be none."""
    return (
        f"Let the first rung come at step {late}: min_steps={late}"
        if late < end
        else (f"Let the first rung come later than step {early}: a larger min_steps=")
    )


def _rank_correlation(pairs: np.ndarray) -> float:
    """Spearman's, of pairs [n, 2]."""
    from scipy.stats import rankdata  # here, because it doubles the time to import jaxtune

    ranks = rankdata(pairs, axis=0)
    return float(np.corrcoef(ranks.T)[0, 1]) if (np.ptp(ranks, axis=0) > 0).all() else 1.0


def _pooled(brackets: Sequence[Stretch]) -> tuple[float, float]:
    """The correlation of several brackets together and its upper limit, by Fisher's transformation."""
    weights = np.array([len(one.trials) - 3 for one in brackets])
    turned = np.arctanh(np.clip([_rank_correlation(one.costs) for one in brackets], -0.99, 0.99))
    mean = float(weights @ turned / weights.sum())
    return float(np.tanh(mean)), float(np.tanh(mean + _QUANTILE / np.sqrt(weights.sum())))


RULES = (
    Rule(
        "too long",
        "Three quarters of the trials that were trained on from a rung to the next (four at least, the winner among "
        "them) got worse: by 5 % of their improvement, and worse than a typical trial was at the first rung; up to the "
        "end of training. Where the winner's curve has evaluations enough, *overfitting* looks at that instead.",
        'Stop there: `max_steps=`; `keep="best"`; regularise.',
        "Prechelt: Early stopping, but when?, 1998",
        _too_long,
    ),
    Rule(
        "rungs",
        "Among trials trained on from a rung to the next, the rank correlation (Spearman's) is below 0.5 with 95 % "
        "confidence; brackets are looked at one by one, and pooled.",
        "Cut later or fewer: `min_steps=`, `eta=`.",
        "Jamieson, Talwalkar: Non-stochastic best arm identification and hyperparameter optimization, 2016; Li et al.: "
        "Hyperband, 2018",
        _rungs,
    ),
)
