"""Ray Tune with ASHA: actors with one thread each, used again for one trial after another.

An actor compiles its training once; a cache on disk keeps what the actors of a first search compiled for those of a
second. What Ray writes and prints for each result is turned off where Ray lets one.
"""

import atexit
import logging
import os
import shutil
import tempfile

import numpy as np
import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler

from searches import work as w


class Trial(tune.Trainable):
    """A training that goes from rung to rung."""

    def setup(self, config, work, rows, seed):
        """Compiles, once per actor."""
        import jax

        from searches.training import trainer

        self.train_to, self.rungs = trainer(work), work.rungs
        self.key, self.rows = jax.random.key(seed), jax.device_put(rows)
        self.reset_config(config)

    def reset_config(self, config):
        """Begins another trial in the same actor."""
        from searches.training import arrays

        self.hp, self.state, self.rung = arrays(config), None, 0
        return True

    def step(self):
        """Trains to the next rung."""
        begin, end = [0, *self.rungs][self.rung : self.rung + 2]
        self.state, loss = self.train_to(self.state, self.hp, self.key, self.rows, begin, end)
        self.rung += 1
        return {"loss": float(np.nan_to_num(loss, nan=np.inf)), "steps": end, "done": end == self.rungs[-1]}

    def save_checkpoint(self, folder):
        """Nothing: nobody asks for one."""
        return {}

    def load_checkpoint(self, checkpoint):
        """Nothing."""


class Watch(tune.Callback):
    """Notes every result when it arrives."""

    def __init__(self, found, max_steps):
        self.found, self.max_steps = found, max_steps

    def on_trial_result(self, iteration, trials, trial, result, **info):
        """A trial reached a rung."""
        self.found.saw(result["loss"])
        if result["steps"] == self.max_steps:
            self.found.best = min(self.found.best, result["loss"])


def searcher(work, workers):
    """A `Tuner` per search."""
    scratch = tempfile.mkdtemp(prefix="ray-peer-")
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    os.environ.update(environment(scratch))
    ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # no files of results, so it warns that it finds none

    def search(seed):
        found = w.Found()
        space = {
            "lr": tune.loguniform(1e-5, 1e-1),
            "weight_decay": tune.loguniform(1e-4, 1.0),
            "dropout": tune.uniform(0.0, 0.7),
        }
        trainable = tune.with_parameters(Trial, work=work, rows=w.rows(work, seed), seed=seed)
        tuner = tune.Tuner(
            tune.with_resources(trainable, {"cpu": 1}),
            param_space=space,
            tune_config=tune.TuneConfig(
                metric="loss",
                mode="min",
                num_samples=work.trials,
                max_concurrent_trials=workers,
                reuse_actors=True,
                search_alg=tune.search.BasicVariantGenerator(random_state=seed, max_concurrent=workers),
                scheduler=ASHAScheduler(
                    time_attr="steps",
                    max_t=work.max_steps,
                    grace_period=work.min_steps,
                    reduction_factor=work.eta,
                ),
            ),
            run_config=tune.RunConfig(
                storage_path=scratch, name=f"seed{seed}", verbose=0, callbacks=[Watch(found, work.max_steps)]
            ),
        )
        tuner.fit()
        return found.done()

    return search


def environment(scratch):
    """Variables that Ray and its actors, which inherit them, read when they start."""
    paths = (os.path.dirname(os.path.dirname(__file__)), os.getenv("PYTHONPATH"))
    return {
        "NPROC": "1",  # threads of JAX in each actor; the process that drives them computes nothing
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": f"{scratch}/compiled",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "RAY_AIR_NEW_OUTPUT": "0",
        "RAY_CHDIR_TO_TRIAL_DIR": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
        "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    }
