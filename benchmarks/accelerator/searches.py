"""Whole searches: halving against training everything by hand, and Hyperband's brackets together or in sequence."""

import time

import jax
import jax.numpy as jnp
import numpy as np

import jaxtune as jt
from accelerator.models import SPACE, data, loss, optimizer, task, trainer
from jaxtune.drivers.proposing import sample
from jaxtune.spaces.space import Space
from jaxtune.tasks.decoding import decode

TRAINING, VALIDATION = 1437, 360  # examples
ROUNDS = 3  # warm ones, after a cold one
SHORT = 1.0  # seconds of a round that is run even where time is short


def halving(model, dtype, scheduler, deadline):
    """A search by jaxtune against a program by hand that trains all configurations to the end."""
    train, validation = splits(model)
    problem = task(model, dtype, train, validation)
    hand = train_all(model, dtype, scheduler, train, validation)
    sides = {"by hand, all to the end": hand, "jaxtune, halving": lambda seed: best(problem, scheduler, seed)}
    steps = [scheduler.trials * scheduler.max_steps, scheduler.plan().trial_steps]
    return {"reference": "by hand, all to the end", **compare(sides, steps, scheduler, deadline)}


def hyperband(model, dtype, scheduler, deadline):
    """All brackets in one population against a search for each bracket, one after another.

    The latter run second, so that any program they share with the population is in their favour.
    """
    problem = task(model, dtype, *splits(model))
    alone = brackets(scheduler)
    sides = {
        "side by side": lambda seed: best(problem, scheduler, seed),
        "one after another": lambda seed: min(best(problem, b, 100 * seed + i) for i, b in enumerate(alone)),
    }
    steps = [scheduler.plan().trial_steps, sum(bracket.plan().trial_steps for bracket in alone)]
    return {"reference": "one after another", **compare(sides, steps, scheduler, deadline)}


def brackets(scheduler):
    """Hyperband's brackets as searches of their own: the later the first rung, the fewer the trials."""
    sizes = scheduler.plan().brackets
    first = [round(scheduler.max_steps / scheduler.eta**s) for s in reversed(range(len(sizes)))]
    return [
        jt.SuccessiveHalving(trials, steps, scheduler.max_steps, scheduler.eta)
        for trials, steps in zip(sizes, first, strict=True)
    ]


def compare(sides, lane_steps, scheduler, deadline):
    """Wall times of both sides in turn, another seed each round; the first round compiles."""
    records = {side: {"lane_steps": n, "wall": [], "loss": []} for side, n in zip(sides, lane_steps, strict=True)}
    for seed in range(1 + ROUNDS):
        for side, run in sides.items():
            begin = time.perf_counter()
            records[side]["loss"].append(run(seed))
            records[side]["wall"].append(time.perf_counter() - begin)
        late = time.monotonic() > deadline and sum(r["wall"][-1] for r in records.values()) > SHORT
        if seed and late:
            break
    return {"scheduler": str(scheduler), "sides": records}


def splits(model):
    """Training and validation data."""
    x, y = data(model, TRAINING + VALIDATION)
    return (x[:TRAINING], y[:TRAINING]), (x[TRAINING:], y[TRAINING:])


def best(problem, scheduler, seed):
    """The validation loss of the winner of a search by jaxtune."""
    placement = jt.Placement(devices=jax.devices()[:1])
    result = jt.tune(problem, SPACE, scheduler=scheduler, seed=seed, progress=False, placement=placement)
    return float(result.best.metrics["loss"])


def train_all(model, dtype, scheduler, train, validation):
    """A function from a seed to the lowest validation loss, all configurations trained to the end as lanes."""
    network = model.network(dtype)
    train, validation = jax.tree.map(jnp.asarray, (train, validation))
    one = trainer(network)

    @jax.jit
    def losses(hps, params, indices, train, validation):
        def final(hp):
            trained, _ = one(hp, params, optimizer(hp).init(params), indices, *train)
            return loss(network.apply(trained, validation[0]), validation[1]).mean()

        return jax.vmap(final)(hps)

    def run(seed):
        params = network.init(jax.random.key(seed), train[0][:1])
        shape = (scheduler.max_steps, model.batch)
        indices = np.random.default_rng(seed).integers(0, TRAINING, shape, dtype=np.int32)
        hps = configurations(seed, scheduler.trials)
        return float(jnp.nanmin(losses(hps, params, indices, train, validation)))

    return run


def configurations(seed, trials):
    """Name -> [trials], the configurations that `tune(seed=seed)` tries."""
    space = Space.of(SPACE)
    return decode(sample(jax.random.key(seed), sampler=jt.Sobol(), space=space, num_points=trials), space=space)
