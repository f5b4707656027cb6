"""Optuna as most people write it: model and optimizer are made from Python numbers, and a jitted step closes over them.

So every trial compiles its own step, and Python calls it for every batch.
"""

import jax
import numpy as np
import optax
import optuna
from flax import linen as nn
from flax.training.train_state import TrainState

from searches import work as w
from searches.training import safe

optuna.logging.set_verbosity(optuna.logging.ERROR)
TRIALS = 3  # the rest is extrapolated


class MLP(nn.Module):
    """The demo's network, with a dropout rate that is a number."""

    dropout: float

    @nn.compact
    def __call__(self, x, train):
        """[N, 64] pixels to [N, 10] logits."""
        for _ in range(2):
            x = nn.relu(nn.Dense(64)(x))
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return nn.Dense(10)(x)


def searcher(work):
    """One trial after another."""
    data = work.splits()
    (x, y), (x_val, y_val) = data["train"], data["validation"]

    def search(seed):
        trials = min(TRIALS, work.trials)
        found, rows = w.Found(share=trials / work.trials), w.rows(work, seed)

        def objective(trial):
            model = MLP(trial.suggest_float("dropout", 0.0, 0.7))
            schedule = optax.warmup_cosine_decay_schedule(
                0.0,
                trial.suggest_float("lr", 1e-5, 1e-1, log=True),
                warmup_steps=int(0.02 * work.max_steps) or 1,
                decay_steps=work.max_steps,
            )
            tx = optax.adamw(schedule, weight_decay=trial.suggest_float("weight_decay", 1e-4, 1.0, log=True))
            key = jax.random.key(seed)
            state = TrainState.create(apply_fn=model.apply, params=model.init(key, x[:1], train=False), tx=tx)

            @jax.jit
            def step(state, x, y, key):
                def loss(params):
                    logits = state.apply_fn(params, x, train=True, rngs={"dropout": key})
                    return w.loss(logits, y).mean()

                return state.apply_gradients(grads=jax.grad(loss)(state.params))

            for number in range(work.max_steps):
                batch = rows[number]
                state = step(state, x[batch], y[batch], jax.random.fold_in(key, number))
            loss = safe(w.loss(model.apply(state.params, x_val, train=False), np.asarray(y_val)).mean())
            found.saw(loss)
            return loss

        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
        study.optimize(objective, n_trials=trials)
        found.best = study.best_value
        return found.done()

    return search
