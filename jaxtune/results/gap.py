"""The difference between what selection saw and what the test split says, with what chance explains of it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from jaxtune.interface.entry import given_back
from jaxtune.results.text import short

_DRAWS = 10_000
_CONFIDENCE = 0.95


@given_back
@dataclass(frozen=True)
class Gap:
    """Validation against test, of the best trial.

    Attributes:
        metric: Name of the metric that selected the trial.
        validation: Its mean over runs on the validation data.
        test: Its mean over runs on the test data.
        gap: How much worse the test is, in units of the metric; negative if it is better.
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
    validation: float
    test: float
    gap: float
    standard_error: float
    max_optimism: float
    num_candidates: int

    @classmethod
    def of(
        cls,
        metric: str,
        mode: str,
        *,
        validation: np.ndarray,
        test: np.ndarray,
        errors: Mapping[str, float],
        candidates: np.ndarray,
        num_folds: int = 1,
    ) -> "Gap":
        """From values [R] of both splits, their sampling errors, and the values of all candidates."""
        sign = 1.0 if mode == "min" else -1.0
        differences = sign * (np.asarray(test, float) - np.asarray(validation, float))
        differences = differences.reshape(-1, num_folds).mean(axis=1)  # what folds differ in is sampling error
        num = len(differences)
        seeds = float(np.var(differences, ddof=1) / num) if num > 1 else 0.0
        variance = errors["validation"] ** 2 + errors["test"] ** 2 + seeds
        return cls(
            metric=metric,
            validation=float(np.mean(validation)),
            test=float(np.mean(test)),
            gap=float(np.mean(differences)),
            standard_error=float(np.sqrt(variance)),
            max_optimism=max_optimism(sign * np.asarray(candidates, float), errors["validation"]),
            num_candidates=len(candidates),
        )

    def __str__(self) -> str:
        return (
            f"{self.metric}: validation {short(self.validation)}, test {short(self.test)}; gap {short(self.gap)} "
            f"± {short(self.standard_error)} (of which having picked the best of {self.num_candidates} explains 0 to "
            f"{short(self.max_optimism)})"
        )


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
