"""The difference between what selection saw and what the test split says, with what chance explains of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxtune.text import short

_DRAWS = 4000  # of the bootstrap; its own error is then about 1 % of a standard error


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
        optimism: What to expect of the gap because this was the best of several trials: a parametric bootstrap in
            which the value of each candidate gets independent noise of the validation split's standard error.
            Trials are evaluated on the same examples, so that their errors go together in part, and this errs on the
            high side.
        num_candidates: Values it was the best of: one per trial, those pruned earlier among them, and the other
            evaluations of the best trial where its best checkpoint was kept.
    """

    metric: str
    validation: float
    test: float
    gap: float
    standard_error: float
    optimism: float
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
    ) -> "Gap":
        """From values [R] of both splits, their sampling errors, and the values of all candidates."""
        sign = 1.0 if mode == "min" else -1.0
        differences = sign * (np.asarray(test, float) - np.asarray(validation, float))
        num = len(differences)
        seeds = float(np.var(differences, ddof=1) / num) if num > 1 else 0.0
        variance = errors["validation"] ** 2 + errors["test"] ** 2 + seeds
        return cls(
            metric=metric,
            validation=float(np.mean(validation)),
            test=float(np.mean(test)),
            gap=float(np.mean(differences)),
            standard_error=float(np.sqrt(variance)),
            optimism=expected_optimism(sign * np.asarray(candidates, float), errors["validation"]),
            num_candidates=len(candidates),
        )

    def __str__(self) -> str:
        return (
            f"{self.metric}: validation {short(self.validation)}, test {short(self.test)}; gap {short(self.gap)} "
            f"± {short(self.standard_error)} (expected from having picked the best of {self.num_candidates}: "
            f"about {short(self.optimism)})"
        )


def expected_optimism(scores: np.ndarray, error: float) -> float:
    """How much better than its true value the best of several noisy scores looks, on average.

    Args:
        scores: [n], lower is better; taken for the true values.
        error: Standard error of each.

    Returns:
        At least 0; for equal scores `error` times the expected maximum of n standard normal numbers.
    """
    if len(scores) < 2 or not np.isfinite(error):
        return 0.0 if len(scores) < 2 else float("nan")
    noise: Any = np.random.default_rng(0).normal(size=(_DRAWS, len(scores))) * error
    picked = np.argmin(scores + noise, axis=1)
    return max(0.0, float(-np.mean(noise[np.arange(_DRAWS), picked])))
