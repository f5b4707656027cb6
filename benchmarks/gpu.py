"""How training time grows with the number of lanes: t(lanes) = a + b * lanes per step, for three model sizes.

`a` is what a step costs however few lanes there are (on a GPU: launching its kernels), `b` what each lane adds; with
P* = a/b lanes the device does half of what it can, and far more lanes than that bring little. Fitted to jaxtune's
`advance` and to what a JAX user would write by hand, (b): `jit(vmap(scan))` over all lanes with shared batches. Both
train the same network with the same optimizer, on one device, in turn; only jaxtune shuffles the data. The fit is by
least squares of relative errors, since timings scatter in proportion. jaxtune trains a large population chunk by chunk
("at once"), so beyond one chunk its time is a staircase.

Needs no installation of jaxtune: copy `jaxtune/` and `benchmarks/` side by side to a machine with python3, jax, flax,
optax and numpy (what else jaxtune imports comes with these).

    python3 benchmarks/gpu.py [--output gpu.json] [--minutes 9] [--models small medium large] [--lanes N ...] [--quick]
"""

import argparse
import json
import math
import statistics
import sys
import time
from pathlib import Path
from typing import NamedTuple

sys.path.insert(1, str(Path(__file__).resolve().parent.parent))

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from lanes import Lanes
from side_by_side import machine, seconds

import jaxtune as jt

EXAMPLES = 2048
SPACE = {"lr": jt.LogUniform(1e-4, 1e-2), "weight_decay": jt.LogUniform(1e-4, 1e-2)}


class Model(NamedTuple):
    """A network with two hidden layers, and the lane counts to time."""

    inputs: int
    width: int
    batch: int
    lanes: tuple[int, ...]

    def __str__(self):
        return f"{self.inputs}-{self.width}-{self.width}-10, batch {self.batch}"


MODELS = {
    "small": Model(64, 32, 64, (1, 16, 64, 256, 1024, 4096)),
    "medium": Model(64, 128, 64, (1, 8, 32, 128, 512, 2048)),
    "large": Model(784, 512, 128, (1, 4, 16, 64, 256, 512)),
}


class Effort(NamedTuple):
    """How long to measure."""

    unit: int  # steps of the innermost loop
    rounds: int
    seconds: float  # of a timed call, at least
    minutes: float  # in all, about


FULL, QUICK = Effort(100, 5, 0.2, 9.0), Effort(5, 2, 0.02, 0.7)
QUICK_LANES = (1, 2, 4, 8, 16)
LEAST = 3  # lane counts that are timed however short the time is: a fit needs them


class MLP(nn.Module):
    """Two hidden layers."""

    width: int

    @nn.compact
    def __call__(self, x):
        """Logits."""
        for _ in range(2):
            x = nn.relu(nn.Dense(self.width)(x))
        return nn.Dense(10)(x)


def optimizer(hp):
    """AdamW."""
    return optax.adamw(hp["lr"], weight_decay=hp["weight_decay"])


def loss(outputs, targets):
    """Cross-entropy."""
    return optax.softmax_cross_entropy_with_integer_labels(outputs, targets)


def data(model):
    """Random data: only their shapes matter here."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(EXAMPLES, model.inputs)).astype(np.float32)
    return x, rng.integers(0, 10, EXAMPLES)


def by_jaxtune(model, lanes, unit):
    """A function that trains all lanes for some units, and how many lanes are trained at once."""
    x, y = data(model)
    task = jt.supervised(
        MLP(model.width),
        optimizer=optimizer,
        loss=loss,
        train=(x, y),
        validation=(x[:64], y[:64]),
        batch_size=model.batch,
    )
    population = Lanes.of(task, SPACE, lanes, jt.Placement(devices=jax.devices()[:1]), unit)
    return population.train, population.group.layout.width


def by_hand(model, lanes, unit):
    """A function that trains all lanes for some units; state goes from call to call and its memory is reused."""
    x, y = (jnp.asarray(a) for a in data(model))
    network = MLP(model.width)
    params = network.init(jax.random.key(0), x[:1])
    indices = jax.random.randint(jax.random.key(1), (unit, model.batch), 0, EXAMPLES)

    def train(hp, params, state):
        tx = optimizer(hp)

        def step(carry, index):
            params, state = carry
            grads = jax.grad(lambda p: loss(network.apply(p, x[index]), y[index]).mean())(params)
            updates, state = tx.update(grads, state, params)
            return (optax.apply_updates(params, updates), state), None

        return jax.lax.scan(step, (params, state), indices)[0]

    many = jax.jit(jax.vmap(train), donate_argnums=(1, 2))
    hps = {name: jnp.geomspace(1e-4, 1e-2, lanes) for name in SPACE}
    start = params, optimizer({"lr": 1e-3, "weight_decay": 1e-3}).init(params)
    carry = jax.tree.map(lambda a: jnp.repeat(a[None], lanes, 0), start)

    def run(units):
        nonlocal carry
        for _ in range(units):
            carry = many(hps, *carry)
        return carry

    return run


def point(model, lanes, effort):
    """Both sides at one number of lanes, as a plain record."""
    ours, width = by_jaxtune(model, lanes, effort.unit)
    runs = {"jaxtune": ours, "hand": by_hand(model, lanes, effort.unit)}
    units = {name: units_for(run, effort.seconds) for name, run in runs.items()}
    times = seconds({name: lambda name=name: runs[name](units[name]) for name in runs}, effort.rounds)
    steps = {name: [t / (units[name] * effort.unit) for t in values] for name, values in times.items()}
    ratio = statistics.median(h / o for h, o in zip(steps["hand"], steps["jaxtune"], strict=True))
    return {"lanes": lanes, "width": width, "seconds_per_step": steps, "hand_over_jaxtune": ratio}


def units_for(run, wanted):
    """How many units take about so many seconds."""
    jax.block_until_ready(run(1))  # compiles
    begin = time.perf_counter()
    jax.block_until_ready(run(1))
    return max(1, min(1000, math.ceil(wanted / (time.perf_counter() - begin))))


def points(model, counts, effort, deadline):
    """A record per number of lanes, as far as time and memory go."""
    records = []
    for lanes in counts:
        begin = time.monotonic()
        try:
            records.append(point(model, lanes, effort))
        except (MemoryError, jax.errors.JaxRuntimeError) as error:
            if isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" not in str(error):
                raise
            print(f"\n{lanes} lanes don't fit into memory: left out.", end="")
            break
        print(point_row(records[-1]), flush=True)
        now = time.monotonic()
        late = now + 1.5 * (now - begin) > deadline  # a larger population takes longer
        if late and len(records) >= LEAST and lanes != counts[-1]:
            print("\nTime is short: larger numbers of lanes are left out.", end="")
            break
    return records


def point_row(record):
    """A record as a row."""
    lanes, steps = record["lanes"], record["seconds_per_step"]
    medians = [statistics.median(steps[name]) for name in ("hand", "jaxtune")]
    cells = [f"{lanes:,}", f"{record['width']:,}", *(f"{1e6 * t:,.4g}" for t in medians)]
    cells += [*(f"{lanes / t:,.0f}" for t in medians), f"{record['hand_over_jaxtune']:.2f}"]
    return "| " + " | ".join(cells) + " |"


def fit(records, name):
    """Least squares of the relative errors of a + b * lanes: a, b, R squared of the same errors, and P* = a/b."""
    lanes = np.array([r["lanes"] for r in records], float)
    times = np.array([statistics.median(r["seconds_per_step"][name]) for r in records])
    design = np.stack([1 / times, lanes / times], axis=1)
    (a, b), *_ = np.linalg.lstsq(design, np.ones_like(times))
    mean = np.sum(1 / times) / np.sum(1 / times**2)  # the best constant
    r_squared = 1 - np.sum((design @ [a, b] - 1) ** 2) / np.sum((mean / times - 1) ** 2)
    return {"a": a, "b": b, "r_squared": r_squared, "p_star": a / b}


def fit_row(model, name, fitted):
    """A fit as a row."""
    cells = [str(model), name, f"{1e6 * fitted['a']:,.3g}", f"{1e6 * fitted['b']:,.3g}"]
    cells += [f"{fitted['r_squared']:.4f}", f"{fitted['p_star']:,.3g}", f"{1 / fitted['b']:,.3g}"]
    return "| " + " | ".join(cells) + " |"


def table_head(*header):
    """The first two lines of a table."""
    return "| " + " | ".join(header) + " |\n|" + "---|" * len(header)


def measure(models, effort):
    """Times every model; prints as it goes."""
    begin, results = time.monotonic(), []
    for number, model in enumerate(models, 1):
        print(f"\n{model}\n")
        sides = [f"{side}, {unit}" for unit in ("us per step", "lane-steps/s") for side in ("(b)", "jaxtune")]
        print(table_head("lanes", "at once", *sides, "jaxtune / (b)"))
        deadline = begin + 60 * effort.minutes * number / len(models)
        records = points(model, sorted(model.lanes), effort, deadline)
        fits = {name: fit(records, name) for name in ("hand", "jaxtune")} if len(records) >= LEAST else {}
        results.append({"model": str(model), "points": records, "fits": fits})
        print()
    return results


def main():
    """Prints tables and writes a JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("gpu.json"), help="default: gpu.json")
    parser.add_argument("--minutes", type=float, help="adds no more lanes when time is short (default: 9)")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--lanes", nargs="+", type=int, help="numbers of lanes (default: six, by the model's size)")
    parser.add_argument("--quick", action="store_true", help="few lanes and steps: shows that it works")
    options = parser.parse_args()
    effort = QUICK if options.quick else FULL
    if options.minutes is not None:
        effort = effort._replace(minutes=options.minutes)
    lanes = options.lanes or (QUICK_LANES if options.quick else None)
    models = [MODELS[name]._replace(lanes=lanes or MODELS[name].lanes) for name in options.models]
    precision = jax.config.jax_default_matmul_precision or "default"
    where = f"{machine()}; matmul precision {precision}"
    print(where)
    results = measure(models, effort)
    names = {"hand": "(b) jit(vmap(scan))", "jaxtune": "jaxtune"}
    print("\n" + table_head("model", "", "a, us", "b, us per lane", "R2", "P* = a/b", "most lane-steps/s, 1/b"))
    for model, result in zip(models, results, strict=True):
        for name, fitted in result["fits"].items():
            print(fit_row(model, names[name], fitted))
    options.output.write_text(json.dumps({"machine": where, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
