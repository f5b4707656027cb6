"""A result as a study of Optuna, for whatever reads those: its pictures, its dashboard, its samplers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from jaxtune.interface.entry import entry
from jaxtune.results.result import Result
from jaxtune.results.saving import space_of
from jaxtune.results.trial import Trial
from jaxtune.spaces.distributions import distribution, import_optuna, parameters
from jaxtune.spaces.space import Space
from jaxtune.spaces.values import is_number


@entry
def to_optuna(result: Result, space: Space | Mapping[str, Any] | None = None, storage: Any = None) -> Any:
    """A study of Optuna with all trials of a search. Needs the extra `optuna`.

    A trial has its hyperparameters as parameters, with the distributions of the space (those of branches by their
    key, `"optimizer=sgd.lr"`), and the mean of its metric at each evaluation as intermediate values. Trials that were
    trained to the end, or ran out of patience, are complete; trials that a scheduler pruned or that were interrupted
    are pruned; trials that diverged have failed. User attributes are its id, status, bracket, generation, steps, its
    other metrics, the standard error where there is one, and constants of the space.

    Args:
        result: What `tune` or `load` returned.
        space: Its space; needed only where no trial has weights, or a result was loaded without its task.
        storage: Where Optuna keeps the study, a URL or one of its storages; None for memory.

    Returns:
        An `optuna.Study`.

    Raises:
        ImportError: Optuna is not installed.
        TypeError: `result` is none.
        ValueError: The space is not at hand, or is none that the trials are from.

    Example:
        >>> import flax.linen as nn, numpy as np, optax
        >>> import jaxtune as jt
        >>> x = np.linspace(-1, 1, 64, dtype=np.float32)[:, None]
        >>> task = jt.supervised(
        ...     nn.Dense(1), optimizer=lambda hp: optax.sgd(hp["lr"]), loss=optax.squared_error,
        ...     train=(x, 3 * x), validation=(x, 3 * x), batch_size=16,
        ... )
        >>> scheduler = jt.SuccessiveHalving(9, min_steps=10, max_steps=90)
        >>> result = jt.tune(task, {"lr": jt.LogUniform(1e-4, 0.5)}, scheduler=scheduler, progress=False)
        >>> study = jt.to_optuna(result)
        >>> study.best_params == result.best.hparams, len(study.trials)
        (True, 9)
    """
    optuna = import_optuna("to_optuna()")
    if not isinstance(result, Result):
        raise TypeError(f"to_optuna needs a result, as tune and load return it, got a {type(result).__name__}.")
    known = space_of(result) if space is None else Space.of(space)
    if known is None:
        raise ValueError(
            "to_optuna needs the space of the search, which comes with the task of the winner, and there is none at "
            "hand: to_optuna(result, space)."
        )
    trials = list(_trials(optuna, result, known))  # before a study is made
    study = optuna.create_study(storage=storage, direction="minimize" if result.mode == "min" else "maximize")
    study.set_user_attr("metric", result.metric)
    study.set_user_attr("seed", result.seed if isinstance(result.seed, int) else str(result.seed))
    study.add_trials(trials)
    return study


def _trials(optuna: Any, result: Result, space: Space) -> Iterator[Any]:
    steps, values = result.history.step.tolist(), result.history.mean(result.metric)
    active, states = result.history.active, optuna.trial.TrialState
    distributions = {key: distribution(domain) for key, domain in space.domains}
    for trial in result.trials:
        params, value = parameters(space, trial.hparams), trial.metrics[result.metric]
        over = trial.status.kind in ("finished", "stopped early") and np.isfinite(value)
        lost = trial.status.kind == "diverged" or (not over and not np.isfinite(value))
        evaluated = np.flatnonzero(active[:, trial.id] & np.isfinite(values[:, trial.id]))
        yield optuna.trial.create_trial(
            state=states.COMPLETE if over else states.FAIL if lost else states.PRUNED,
            value=value if over else None,
            params=params,
            distributions={key: distributions[key] for key in params},
            intermediate_values={steps[e]: float(values[e, trial.id]) for e in evaluated},
            user_attrs=_attributes(trial, result.metric, space),
        )


def _attributes(trial: Trial, metric: str, space: Space) -> dict[str, Any]:
    error = trial.standard_error[metric]
    searched = {space.hp_name(key) for key in space.names}
    constants = {name: value for name, value in trial.hparams.items() if name not in searched}
    return {
        "id": trial.id,
        "status": str(trial.status),
        "bracket": trial.bracket,
        "generation": trial.generation,
        "steps": trial.steps,
        **{name: value for name, value in trial.metrics.items() if name != metric},
        **({f"{metric}_se": error} if np.isfinite(error) else {}),
        **{name: value if is_number(value) else str(value) for name, value in constants.items()},
    }
