"""scikit-learn: successive halving over its own MLP, one worker per core.

It can't express the task whole: no dropout, no schedule, an L2 penalty for decoupled weight decay. Budgets are epochs,
and a survivor starts again from scratch. A fresh process imports JAX too, for the data: about 2 s of its time.
"""

import os
import warnings

import numpy as np
from scipy.stats import loguniform
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_halving_search_cv  # noqa: F401 - makes the next import possible
from sklearn.model_selection import HalvingRandomSearchCV, PredefinedSplit
from sklearn.neural_network import MLPClassifier

from searches import work as w

os.environ["PYTHONWARNINGS"] = "ignore"  # of the workers, about trainings that end before they converge
warnings.filterwarnings("ignore", category=ConvergenceWarning)


def searcher(work):
    """Ranks by the loss of all others, on the validation data."""
    (x, y), (x_val, y_val) = (work.splits()[name] for name in ("train", "validation"))
    split = PredefinedSplit(np.repeat([-1, 0], [len(y), len(y_val)]))
    data = np.concatenate([x, x_val]), np.concatenate([y, y_val])
    most = max(2, round(work.max_steps * work.batch / len(y)))  # epochs
    fewest = max(1, most * work.min_steps // work.max_steps)
    space = {
        "learning_rate_init": loguniform(w.SPACE["lr"].low, w.SPACE["lr"].high),
        "alpha": loguniform(w.SPACE["weight_decay"].low, w.SPACE["weight_decay"].high),
    }

    def score(model, x, y):  # in here, so that workers need not import JAX
        logs = np.log(np.maximum(model.predict_proba(x), 1e-10))
        return np.mean(0.98 * logs[np.arange(len(y)), y] + 0.002 * logs.sum(axis=1))

    def search(seed):
        found = w.Found()
        model = MLPClassifier((64, 64), batch_size=work.batch, random_state=seed, n_iter_no_change=10**6)
        halving = HalvingRandomSearchCV(
            model,
            space,
            n_candidates=work.trials,
            factor=work.eta,
            resource="max_iter",
            min_resources=fewest,
            max_resources=most,
            scoring=score,
            cv=split,
            refit=False,
            n_jobs=-1,
            random_state=seed,
        )
        halving.fit(*data)
        found.best = -halving.best_score_
        found.saw(found.best)
        return found.done()

    return search
