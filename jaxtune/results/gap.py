"""The difference between what selection saw and what the test split says, with what chance explains of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from jaxtune.interface.entry import given_back
from jaxtune.results.text import short

BLOCKS = 20  # of a split, left out one at a time to see how much its metrics depend on its examples
_DRAWS = 10_000
_CONFIDENCE = 0.95


@given_back
@dataclass(frozen=True)
class Gap:
    """Validation against test, of the best trial.

    Attributes:
        metric: Name of the metric that selected the trial.
        seen: Its value in the search.
        validation: Its mean over runs on the validation data: as seen, or on fresh seeds where the winner is confirmed.
        test: Its mean over runs on the test data.
        luck: How much better the search saw it than fresh seeds do, in units of the metric: the luck of its seed, of
            which the best of many trials have the most; 0 where nothing was confirmed.
        gap: How much worse the test is than the validation, in units of the metric; negative if it is better.
        low: Lower end of a 95 % interval of how much worse the trial is, on all data that there could be, than its
            validation value: for the choice of the test examples and, with several replicates, for the seeds.
        high: Its upper end.
        standard_error: Of the gap: from the choice of the examples in both splits (a jackknife over blocks of
            examples) and, with several replicates, from the seeds.
        max_optimism: How much of the gap may be because this was the best of several candidates: the expected maximum
            of independent errors of those that the validation examples can't tell from the best. Candidates are
            evaluated on the same examples, so that their errors go together in part, and many are truly worse:
            what selection really adds lies between 0 and this.
        num_candidates: Values it was the best of: one per trial, those pruned earlier among them, or every
            evaluation of every trial where the best checkpoints were kept.
    """

    metric: str
    seen: float
    validation: float
    test: float
    luck: float
    gap: float
    low: float
    high: float
    standard_error: float
    max_optimism: float
    num_candidates: int

    @classmethod
    def of(
        cls,
        metric: str,
        mode: str,
        *,
        seen: float,
        validation: np.ndarray,
        test: np.ndarray,
        errors: Mapping[str, float],
        candidates: np.ndarray,
        num_folds: int = 1,
    ) -> "Gap":
        """From the value seen, values [R] of both splits, their sampling errors, and the values of all candidates."""
        sign = 1.0 if mode == "min" else -1.0
        differences = sign * (np.asarray(test, float) - np.asarray(validation, float))
        differences = differences.reshape(-1, num_folds).mean(axis=1)  # what folds differ in is sampling error
        num = len(differences)
        seeds = float(np.var(differences, ddof=1) / num) if num > 1 else 0.0
        variance = errors["validation"] ** 2 + errors["test"] ** 2 + seeds
        gap, half = float(np.mean(differences)), _half_width([(errors["test"] ** 2, BLOCKS - 1), (seeds, num - 1)])
        return cls(
            metric=metric,
            seen=float(seen),
            luck=sign * (float(np.mean(validation)) - float(seen)),
            low=gap - half,
            high=gap + half,
            validation=float(np.mean(validation)),
            test=float(np.mean(test)),
            gap=gap,
            standard_error=float(np.sqrt(variance)),
            max_optimism=max_optimism(sign * np.asarray(candidates, float), errors["validation"]),
            num_candidates=len(candidates),
        )

    def __str__(self) -> str:
        luck = f"the search saw {short(self.seen)}, " if self.luck else ""
        kind = "fresh seeds" if self.luck else "validation"
        explained = f"of which having picked the best of {self.num_candidates} explains 0 to {short(self.max_optimism)}"
        return (
            f"{self.metric}: {luck}{kind} {short(self.validation)}, test {short(self.test)}; gap {short(self.gap)} "
            f"± {short(self.standard_error)} ({explained})"
        )


def _half_width(variances: Sequence[tuple[float, int]]) -> float:
    """Of an interval for a sum of estimates with these variances, each known with so many degrees of freedom."""
    from scipy.stats import t  # here, because it doubles the time to import jaxtune

    total = sum(variance for variance, _ in variances)
    if not total > 0:  # or NaN
        return 0.0 if total == 0 else float("nan")
    freedom = total**2 / sum(variance**2 / max(known, 1) for variance, known in variances)
    return float(t.ppf((1 + _CONFIDENCE) / 2, freedom) * np.sqrt(total))


def max_optimism(scores: np.ndarray, error: float) -> float:
    """How much better than its true value the best of several noisy scores looks on average, at most.

    Scores within the range that as many equal ones would show (with 95 % probability) can't be told from the best, and
    count as equal to it: the subset selection of Gupta, "On some multiple decision (selection and ranking) rules",
    Technometrics 1965.

    Args:
        scores: [n], lower is better.
        error: Standard error of each, taken for independent.

    Returns:
        At least 0; for equal scores `error` times the expected maximum of n standard normal numbers.
    """
    if len(scores) < 2 or not np.isfinite(error):
        return 0.0 if len(scores) < 2 else float("nan")
    count, before = len(scores), 0
    while count > 1 and count != before:
        before = count
        low, high = _extremes(count)
        count = int(np.sum(scores - scores.min() <= error * np.quantile(high - low, _CONFIDENCE)))
    return 0.0 if count < 2 else float(error * np.mean(high))


def _extremes(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Least and greatest of so many standard normal numbers, both [_DRAWS], without drawing all of them."""
    from scipy.stats import norm  # here, because it doubles the time to import jaxtune

    first, second = np.log(np.random.default_rng(0).uniform(size=(2, _DRAWS)))
    above = -np.expm1(first / count)  # probability of more than the greatest
    return norm.ppf((1 - above) * -np.expm1(second / (count - 1))), norm.isf(above)
