"""Importances by functional ANOVA (Hutter, Hoos and Leyton-Brown, ICML 2014), as Optuna computes it.

Shapes: n trials, D dimensions.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxtune.spaces.distributions import import_optuna

_TREES = 16  # Optuna's 64 take minutes for thousands of trials


def fanova(places: np.ndarray, options: np.ndarray) -> np.ndarray:
    """Share of the variance of trials' ranks that each dimension explains by itself, in a random forest's eyes.

    Ranks, since values at different step counts, and those of trials that diverged, have no common scale. Numbers that
    a trial doesn't have stand in the middle of their range, categories have an option of their own for that.

    Args:
        places: Float [n, D] in [0, 1], trials in rows from the best to the worst; NaN where one has no such dimension.
        options: Int [D], number of options of a category; 0 for numbers.

    Returns:
        Float [D], of the sum; all 0 where nothing explains anything.

    Raises:
        ImportError: Optuna or scikit-learn is not installed.
    """
    optuna = import_optuna('importance(method="fanova")')
    try:
        import sklearn  # noqa: F401  # Optuna's forest
    except ImportError as error:
        raise ImportError(
            'importance(method="fanova") needs scikit-learn beside Optuna: pip install "jaxtune[optuna,demo]".'
        ) from error
    known = _distributions(optuna.distributions, options)
    trials = [
        optuna.trial.create_trial(params=params, distributions=known, value=float(rank))
        for rank, params in enumerate(_parameters(places, options))
    ]
    study = optuna.create_study()
    study.add_trials(trials)
    evaluator = optuna.importance.FanovaImportanceEvaluator(n_trees=_TREES, seed=0)
    found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return np.array([found[str(d)] for d in range(len(options))])


def _distributions(distributions: Any, options: np.ndarray) -> dict[str, Any]:
    """By the number of the dimension."""
    return {
        str(d): distributions.CategoricalDistribution(range(num + 1)) if num else distributions.FloatDistribution(0, 1)
        for d, num in enumerate(options.tolist())
    }


def _parameters(places: np.ndarray, options: np.ndarray) -> list[dict[str, Any]]:
    option = np.where(np.isnan(places), options, np.floor(places * options))
    number = np.where(np.isnan(places), 0.5, places)
    return [
        {str(d): int(o) if num else float(x) for d, (o, x, num) in enumerate(zip(*row, options, strict=True))}
        for row in zip(option, number, strict=True)
    ]
