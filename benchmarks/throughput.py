"""Lane-steps per second of jaxtune's `advance` against what a JAX user would write by hand.

(a) `jit(scan)` of one trial, called once per trial; (b) `jit(vmap(scan))` over all lanes with shared batches. MLPs of
width 16, 64 and 256 on 64 inputs and 10 classes, AdamW, batches of 64. All four candidates take turns in one process.

    python benchmarks/throughput.py [--widths 16 64 256] [--lanes 64 512] [--rounds 7] [--quick]
"""

import argparse
import statistics

import jaxtune as jt

jt.set_host_device_count()

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import optax  # noqa: E402
from architectures import MLP  # noqa: E402
from lanes import Lanes  # noqa: E402
from side_by_side import machine, seconds, spread  # noqa: E402

EXAMPLES, BATCH, BURST = 1437, 64, 50
LANE_STEPS = 20_000  # of a timed call, where the lanes are few and narrow
SPACE = {"lr": jt.LogUniform(1e-4, 1e-2), "weight_decay": jt.LogUniform(1e-4, 1e-2)}


def optimizer(hp):
    """AdamW."""
    return optax.adamw(hp["lr"], weight_decay=hp["weight_decay"])


def loss(outputs, targets):
    """Cross-entropy."""
    return optax.softmax_cross_entropy_with_integer_labels(outputs, targets)


def data():
    """Random data: only their shapes matter here."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(EXAMPLES, 64)).astype(np.float32), rng.integers(0, 10, EXAMPLES)


def engine(width, lanes, devices, bursts):
    """jaxtune: trains all lanes for `bursts` bursts, again and again."""
    x, y = data()
    task = jt.supervised(
        MLP(width),
        optimizer=optimizer,
        loss=loss,
        train=(x, y),
        validation=(x[:64], y[:64]),
        batch_size=BATCH,
    )
    population = Lanes.of(task, SPACE, lanes, jt.Placement(devices=jax.devices()[:devices]), BURST)
    return lambda: population.train(bursts), population.group.layout


def by_hand(width, lanes, steps):
    """(a) one trial as `jit(scan)`, and (b) all lanes as `jit(vmap(scan))`; both read the same batches."""
    x, y = (jnp.asarray(a) for a in data())
    model = MLP(width)
    params = model.init(jax.random.key(0), x[:1])
    indices = jax.random.randint(jax.random.key(1), (steps, BATCH), 0, EXAMPLES)

    def train(hp, params, state):
        tx = optimizer(hp)

        def step(carry, index):
            params, state = carry
            grads = jax.grad(lambda p: loss(model.apply(p, x[index]), y[index]).mean())(params)
            updates, state = tx.update(grads, state, params)
            return (optax.apply_updates(params, updates), state), None

        return jax.lax.scan(step, (params, state), indices)[0]

    state = optimizer({"lr": 1e-3, "weight_decay": 1e-3}).init(params)
    one = jax.jit(train)
    many = jax.jit(jax.vmap(train))
    hps = {name: jnp.geomspace(1e-4, 1e-2, lanes) for name in SPACE}
    stacked = jax.tree.map(lambda a: jnp.repeat(a[None], lanes, 0), (params, state))
    single = {name: values[0] for name, values in hps.items()}
    return lambda: one(single, params, state), lambda: many(hps, *stacked)


def main():
    """Prints a table row per width and number of lanes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--widths", type=int, nargs="+", default=[16, 64, 256])
    parser.add_argument("--lanes", type=int, nargs="+", default=[64, 512])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="few lanes and steps: shows that it works")
    options = parser.parse_args()
    if options.quick:
        options.widths, options.lanes, options.rounds = [16], [4], 2
    print(machine())
    print("lane-steps per second: median (range); ratios are medians of ratios within a round\n")
    cores = len(jax.devices())
    header = ["width", "lanes", "(a) scan", "(b) vmap", "jaxtune 1", "chunk", f"jaxtune {cores}", "chunk"]
    print("| " + " | ".join([*header, "1 device / best of a, b", f"{cores} devices / b"]) + " |")
    print("|" + "---|" * (len(header) + 2))
    for width in options.widths:
        for lanes in options.lanes:
            print(row(width, lanes, options.rounds, cores, 1_000 if options.quick else LANE_STEPS), flush=True)


def row(width, lanes, rounds, cores, lane_steps):
    """One comparison."""
    bursts = max(1, lane_steps // (lanes * BURST) // max(1, width // 64) ** 2)
    steps = bursts * BURST
    one, many = by_hand(width, lanes, steps)
    single, layout_single = engine(width, lanes, 1, bursts)
    multi, layout_multi = engine(width, lanes, cores, bursts)
    times = seconds({"a": one, "b": many, "1": single, "n": multi}, rounds)
    work = {"a": steps, "b": steps * lanes, "1": steps * lanes, "n": steps * lanes}
    rates = {name: [work[name] / t for t in values] for name, values in times.items()}
    best = [max(a, b) for a, b in zip(rates["a"], rates["b"], strict=True)]
    against_best = statistics.median(x / y for x, y in zip(rates["1"], best, strict=True))
    against_b = statistics.median(x / y for x, y in zip(rates["n"], rates["b"], strict=True))
    cells = [width, lanes, spread(rates["a"]), spread(rates["b"]), spread(rates["1"]), layout_single.width]
    cells += [spread(rates["n"]), layout_multi.width, f"{against_best:.2f}", f"{against_b:.2f}"]
    return "| " + " | ".join(map(str, cells)) + " |"


if __name__ == "__main__":
    main()
