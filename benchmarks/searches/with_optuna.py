"""Optuna around a training that is compiled once, with or without its pruner.

Hyperparameters are arguments, data stay on the device, the loop over steps runs inside the compiled program, the study
lives in memory. Quasi-random sampling, as in jaxtune, also because a sampler with a model would cost Optuna time. With
several jobs as many threads take trials, each on a JAX device of its own.
"""

import queue
import warnings

import jax
import optuna

import jaxtune as jt
from searches import work as w
from searches.training import arrays, safe, trainer

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


def searcher(work, jobs=1, prune=False, trials=None):
    """Runs `trials` of all trials (all by default); the rest is extrapolated."""
    if jobs > 1:
        jt.set_host_device_count(jobs)
    train = trainer(work)
    trials = work.trials if trials is None else min(trials, work.trials)
    rungs = work.rungs if prune else [work.max_steps]

    def search(seed):
        found = w.Found(share=trials / work.trials)
        key, rows = jax.random.key(seed), w.rows(work, seed)
        there = {device: jax.device_put((key, rows), device) for device in jax.devices()}
        free = queue.SimpleQueue()
        for device in jax.devices():
            free.put(device)

        def objective(trial):
            device = free.get()
            try:
                return trial_on(device, trial)
            finally:
                free.put(device)

        def trial_on(device, trial):
            hp, state, begin = jax.device_put(suggest(trial), device), None, 0
            for end in rungs:
                state, loss = train(state, hp, *there[device], begin, end)
                loss, begin = safe(loss), end
                found.saw(loss)
                if end < work.max_steps:
                    trial.report(loss, end)
                    if trial.should_prune():
                        raise optuna.TrialPruned
            return loss

        study = optuna.create_study(
            sampler=optuna.samplers.QMCSampler(seed=seed, scramble=True, warn_independent_sampling=False),
            pruner=optuna.pruners.SuccessiveHalvingPruner(work.min_steps, work.eta) if prune else None,
        )
        study.optimize(objective, n_trials=trials, n_jobs=jobs)
        found.best = study.best_value
        return found.done()

    return search


def suggest(trial):
    """The space, in Optuna's words."""
    lr, decay, dropout = (w.SPACE[name] for name in ("lr", "weight_decay", "dropout"))
    return arrays(
        {
            "lr": trial.suggest_float("lr", lr.low, lr.high, log=True),
            "weight_decay": trial.suggest_float("weight_decay", decay.low, decay.high, log=True),
            "dropout": trial.suggest_float("dropout", dropout.low, dropout.high),
        }
    )
