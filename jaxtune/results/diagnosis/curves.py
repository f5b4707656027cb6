"""Rules about curves: still falling, flat, and hardly begun.

A curve is looked at by itself: changes along it are told as shares of what the trial improved in all. Values are never
set against those at other step counts or of other generations.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from jaxtune.results.diagnosis.facts import Curve, Facts
from jaxtune.results.diagnosis.finding import Rule, Seen
from jaxtune.results.diagnosis.split import advised, best_splits, told
from jaxtune.results.diagnosis.words import ids, of_best, percent

_PLAYBOOK = "Godbole, Dahl, Gilmer, Shallue, Nado: Deep Learning Tuning Playbook, 2023"
_FALLING = 0.02  # of all improvement, in the last quarter: a straight line has 0.25, one that levels off like 1/t 0.03
_EXACT = 0.001  # of all improvement: less than this is no change
_NOISY = 0.01  # of all improvement: a curve that wiggles by more can't be called flat
_RISING = 0.1  # of all improvement, lost again since the best: more than a curve's wiggles, which a median takes away
_UNMOVED = 0.1  # of the improvement of the best: who has made less of it has not begun to learn
_MANY = 0.5  # of trials have to be slow: fewer are what a wide range costs
_MIN_TRIALS = 16  # of a generation, below which shares say little


def smooth(costs: np.ndarray) -> np.ndarray:
    """Running median of three, so that one odd evaluation is no trend; as long as the curve but for its ends."""
    return np.median(np.stack([costs[:-2], costs[1:-1], costs[2:]]), axis=0)


def lost_again(curve: Curve, span: float) -> tuple[float, int]:
    """How much worse than at its best a curve ends, as a share of its improvement, and the step of the best."""
    costs = smooth(curve.costs)
    best = int(np.argmin(costs))
    return float(costs[-1] - costs[best]) / span, int(curve.steps[1 + best])


def rises(facts: Facts, trial: int) -> bool:
    """Whether the validation metric of a trial got worse again after its best."""
    curve, span = facts.curve(trial), facts.span(trial)
    return curve.is_readable and span > 0 and lost_again(curve, span)[0] >= _RISING


def _late_gain(facts: Facts, trial: int) -> float:
    """What the last quarter of training gained on the quarter before it, as a share; NaN where it can't be told."""
    curve, span = facts.curve(trial), facts.span(trial)
    if not curve.is_readable or not span > 0:
        return np.nan
    quarter = np.ceil(4 * curve.steps / curve.steps[-1])
    before, last = curve.costs[quarter == 3], curve.costs[quarter == 4]
    return float(np.mean(before) - np.mean(last)) / span if len(before) and len(last) else np.nan


def _still_falling(facts: Facts) -> Iterator[Seen]:
    gains = {trial: _late_gain(facts, trial) for trial in facts.finalists}
    # A noisy curve may have gained in the last quarter, and lost at the end what it had won at its best.
    falling = [trial for trial, gain in gains.items() if gain >= _FALLING and not rises(facts, trial)]
    if not falling or falling[0] != facts.winner or 2 * len(falling) < len(gains):
        return
    steps = int(facts.history.total_steps[falling[0]])
    yield Seen(
        f"Curves were still improving when training ended: in the last quarter of its {steps} steps trial "
        f"{falling[0]} made {percent(gains[falling[0]])} of all its improvement of {facts.metric}"
        f"{of_best(len(falling), len(gains))}.",
        f"Train longer: about {2 * steps} steps (max_steps= or steps= of the scheduler).",
        ids(falling),
    )


def _arrival(facts: Facts, trial: int) -> int | None:
    """The step at which a trial was as good as it ever became but for wiggles, if that was in the first half.

    None also where it got worse afterwards, or where that can't be told.
    """
    curve, span = facts.curve(trial), facts.span(trial)
    if not curve.is_readable or not span > 0 or rises(facts, trial):
        return None
    half = curve.steps[-1] / 2
    wiggle = float(np.median(np.abs(np.diff(curve.costs[curve.steps > half]))))
    near = max(_EXACT * span, min(wiggle, _NOISY * span))
    arrived = int(curve.steps[np.argmax(curve.costs <= smooth(curve.costs).min() + near)])
    return arrived if arrived <= half else None


def _plateau(facts: Facts) -> Iterator[Seen]:
    arrivals = {trial: _arrival(facts, trial) for trial in facts.finalists}
    flat = {trial: step for trial, step in arrivals.items() if step is not None}
    if facts.winner not in flat or 2 * len(flat) < len(arrivals):
        return
    steps, needed = int(facts.history.total_steps[facts.winner]), max(flat.values())
    others = f", {len(flat)} of the best {len(arrivals)} trials by step {needed}" if len(arrivals) > 1 else ""
    yield Seen(
        f"Training went on after it stopped helping: trial {facts.winner} was as good by step {flat[facts.winner]} of "
        f"{steps} as it ever became, but for wiggles of {facts.metric}{others}.",
        f"Train for about {needed} steps (max_steps= or steps= of the scheduler) and spend the rest on more trials.",
        ids(flat),
    )


def slow(facts: Facts) -> Iterator[Seen]:
    """Many trials that hardly began to learn, and where."""
    if facts.explored:
        return  # the first rung is gone where trials are overwritten
    known, still, step = _unmoved(facts)
    if known.sum() < _MIN_TRIALS or still[known].mean() <= _MANY:
        return
    trials = ids(np.flatnonzero(still))
    what = (
        f"{percent(still[known].mean())} of {known.sum()} trials had learned next to nothing by step {step}: less than "
        f"{percent(_UNMOVED)} of what the best one had improved {facts.metric} by then."
    )
    splits = best_splits(facts.numbers, still, known, facts.winner)
    if not splits:
        rates = "Search higher learning rates, or let" if facts.has_learning_rate else "Let"
        yield Seen(what, f"{rates} the first rung come later (min_steps=).", trials)
        return
    yield Seen(
        f"{what} {told(splits)}",
        f"Search {advised(splits)} only; where slow trials may yet win, let the first rung come later (min_steps=).",
        trials,
        splits[0].dimension.name,
    )


def _unmoved(facts: Facts) -> tuple[np.ndarray, np.ndarray, int]:
    """Bool [T] twice, trials known at their first evaluation and at the first rung and who of them is slow; its step.

    All trials of a generation share their initial weights, so that those that have not moved are alike. That tells
    them from those that had arrived, each somewhere else, by the first evaluation.
    """
    history, costs = facts.history, facts.costs()
    known, slow, step = np.zeros(history.num_trials, bool), np.zeros(history.num_trials, bool), 0
    for generation in np.unique(history.generation):
        own = history.generation == generation
        begin, rung = int(history.first[own].min()), facts.first_rung(own)
        fine = own & np.isfinite(costs[:, begin]) & np.isfinite(costs[:, rung])
        if begin == rung or not fine.any():
            continue
        start, end = costs[fine, begin], costs[fine, rung]
        moved = np.median(start) - end.min()
        still = (np.abs(start - end) < _UNMOVED * moved) & (end > end.min() + (1 - _UNMOVED) * moved)
        alike = still.any() and np.ptp(np.quantile(end[still], (0.1, 0.9))) <= _UNMOVED * moved
        known |= fine
        slow[fine] = still & alike
        step = max(step, int(history.step[rung]))
    return known, slow, step


RULES = (
    Rule(
        "slow",
        "More than half of the trials have made less than 10 % of the best one's improvement by the first rung.",
        "Raise the lower end of the learning rate, above the value that is named where one parts them; or later rungs.",
        f"{_PLAYBOOK}; Bengio: Practical recommendations for gradient-based training of deep architectures, 2012, §3.1",
        slow,
    ),
    Rule(
        "still falling",
        "The winner and half of the best five made 2 % or more of their improvement in the last quarter of training, "
        "and did not get worse again after their best.",
        "Train longer.",
        f"{_PLAYBOOK}, Determining the number of steps for each training run",
        _still_falling,
        needs=(Facts.lacks_curves,),
    ),
    Rule(
        "plateau",
        "The winner and half of the best five were as good as they ever became, but for wiggles, in the first half of "
        "training, and did not get worse.",
        "Train for fewer steps, and more trials.",
        f"{_PLAYBOOK}, Determining the number of steps; Prechelt: Early stopping, but when?, 1998",
        _plateau,
        needs=(Facts.lacks_curves,),
    ),
)
