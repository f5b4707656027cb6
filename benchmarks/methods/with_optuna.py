"""Optuna, one trial after another until the lane-steps are spent; what a pruned trial did not use, others do."""

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from problems.problem import ETA, MAX_STEPS, MIN_STEPS, Problem

import jaxtune as jt
from methods.found import Found
from methods.training import Trainer

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)

RUNGS = [MIN_STEPS * ETA**k for k in range(round(math.log(MAX_STEPS / MIN_STEPS, ETA)) + 1)]


@dataclass(frozen=True)
class Search:
    """One of Optuna's samplers, with its Hyperband or with full trainings."""

    sampler: str
    prune: bool

    def outcomes(self, problem: Problem, budget: int, seeds: Sequence[int]) -> Iterator[tuple[int, Found]]:
        """Searches one seed after another."""
        for seed in seeds:
            yield seed, self._search(problem, budget, seed)

    def _search(self, problem: Problem, budget: int, seed: int) -> Found:
        # A trial's bracket hangs on the name of the study, which is random by default.
        study = optuna.create_study(
            study_name=str(seed),
            sampler=getattr(optuna.samplers, self.sampler)(seed=seed),
            pruner=optuna.pruners.HyperbandPruner(MIN_STEPS, MAX_STEPS, ETA) if self.prune else None,
        )
        trainer, limit, best = Trainer(problem, seed), budget * MAX_STEPS, (math.inf, None, None)
        while (trial := self._trial(study, trainer, problem, limit)) is not None:
            best = min(best, trial, key=lambda found: found[0])
        value, hp, state = best
        worth = (math.inf, None) if hp is None else trainer.outcome(hp, state, value)
        return Found(*worth, trainer.steps / MAX_STEPS)

    def _trial(self, study: Any, trainer: Trainer, problem: Problem, limit: int) -> tuple | None:
        """Value, hyperparameters and state of one more trial, the value infinite if it was pruned; None at the end."""
        trial = study.ask()
        hp, state, begin = suggest(trial, problem.space), None, 0
        for end in RUNGS if self.prune else [MAX_STEPS]:
            if trainer.steps + end - begin > limit:
                return None
            state, value = trainer.train(hp, state, begin, end)
            begin = end
            trial.report(value, end)
            if end < MAX_STEPS and trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                return math.inf, None, None
        study.tell(trial, value)
        return value, hp, state


def suggest(trial: Any, space: dict[str, Any]) -> dict[str, Any]:
    """The space, in Optuna's words."""
    return {name: _suggested(trial, name, domain) for name, domain in space.items()}


def _suggested(trial: Any, name: str, domain: Any) -> Any:
    if isinstance(domain, jt.Choice):
        return trial.suggest_categorical(name, domain.options)
    return trial.suggest_float(name, domain.low, domain.high, log=isinstance(domain, jt.LogUniform))
