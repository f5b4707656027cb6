"""Hyperoptax: random search, batches of trials trained to the end side by side; it has no pruning."""

import jax
import numpy as np
from hyperoptax.random import RandomSearch
from hyperoptax.spaces import LinearSpace, LogSpace

from searches import work as w
from searches.training import safe, training

PARALLEL = 64  # trials at once


def searcher(work, batches=1):
    """Runs some of the batches; the rest is extrapolated."""
    parallel = min(PARALLEL, work.trials)
    parts = training(work)
    space = {
        "lr": LogSpace(w.SPACE["lr"].low, w.SPACE["lr"].high),
        "weight_decay": LogSpace(w.SPACE["weight_decay"].low, w.SPACE["weight_decay"].high),
        "dropout": LinearSpace(w.SPACE["dropout"].low, w.SPACE["dropout"].high),
    }
    state, optimizer = RandomSearch.init(space, n_parallel=parallel)

    @jax.jit
    def train(hp, key, rows):
        start_key, step_key = jax.random.split(key)
        trained = parts.advance(parts.start(hp, start_key), hp, step_key, rows, 0, work.max_steps)
        return parts.validation_loss(trained)

    def search(seed):
        one = parallel / work.trials
        found = w.Found(share=min(1.0, batches * one), first_trials=one)
        key, rows = jax.random.key(seed), jax.device_put(w.rows(work, seed))

        def objective(_, hp):  # keys of its own would make batches and dropout bits of its own, and be slower
            return train(hp, key, rows)

        _, (_, losses) = optimizer.optimize(state, jax.random.key(seed), objective, n_iterations=batches)
        found.best = min(safe(loss) for loss in np.concatenate(losses))
        found.saw(found.best)
        return found.done()

    return search
