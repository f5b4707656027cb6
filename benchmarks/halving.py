"""The demo's search by jaxtune against what a JAX user would write today: all configurations trained to the end.

Both try the same 512 configurations (the demo's network, optimizer and data; a Sobol sequence of learning rate, weight
decay and dropout). jaxtune prunes them by successive halving at 50, 200 and 800 of 3,200 steps. The program by hand is
one `jit(vmap(scan))`: batches and dropout bits shared by all lanes, validation loss at the end, no pruning, JAX as it
comes (one CPU device with all threads). It does 20 times the work, and training to the end is what it is good at, so
the test accuracies of both winners are told too. A first run is timed in a fresh process, compile included and imports
not, a second one in the same process with another seed. jaxtune's process runs before and after the other one, so that
a change of load shows.

    python benchmarks/halving.py [--quick]

Takes about six minutes on 4 cores. With `--quick` the program by hand trains fewer steps, and its times are
extrapolated: no measurement.
"""

import argparse
import json
import statistics
import time

import jax
import numpy as np
import optax
from fresh import fresh
from side_by_side import machine, spread

import jaxtune as jt
from jaxtune.cli.demo import digits
from jaxtune.drivers.proposing import sample
from jaxtune.spaces.space import Space
from jaxtune.tasks.decoding import decode

BATCH = 64
FULL = jt.SuccessiveHalving(512, 50, 3200, eta=4)
QUICK, QUICK_STEPS = jt.SuccessiveHalving(32, 20, 40, eta=2), 10  # steps of the program by hand
SEEDS = (0, 1)


def by_jaxtune(scheduler):
    """Seconds and test accuracy of each search."""
    jax.devices()  # starts JAX
    task = digits.task("mlp")
    records = []
    for seed in SEEDS:
        begin = time.perf_counter()
        result = jt.tune(
            task, digits.SPACE, scheduler=scheduler, evaluate_every=scheduler.min_steps, seed=seed, progress=False
        )
        records.append({"seconds": time.perf_counter() - begin, "accuracy": result.test()["accuracy"]})
    return records


def by_hand(scheduler, steps):
    """Seconds and test accuracy of each search; stops after some steps of a schedule made for all."""
    data = digits.splits()
    many = jax.jit(jax.vmap(trainer(data, steps, scheduler.max_steps), in_axes=(0, None)))
    records = []
    for seed in SEEDS:
        key, hp = jax.random.key(seed), configurations(seed, scheduler.trials)
        begin = time.perf_counter()
        params, losses = jax.block_until_ready(many(hp, key))
        spent = time.perf_counter() - begin
        best = int(np.nanargmin(losses))
        x, y = data["test"]
        logits = digits.MLP().apply(jax.tree.map(lambda p, best=best: p[best], params), x, train=False)
        records.append({"seconds": spent, "accuracy": float(np.mean(np.argmax(logits, 1) == y))})
    return records


def configurations(seed, trials):
    """Name -> [trials], the configurations that `tune(seed=seed)` tries."""
    space = Space.of(digits.SPACE)
    return decode(sample(jax.random.key(seed), sampler=jt.Sobol(), space=space, num_points=trials), space=space)


def trainer(data, steps, total_steps):
    """The training of one configuration from its hyperparameters and a key to parameters and validation loss."""
    (x, y), (x_val, y_val) = jax.tree.map(jax.numpy.asarray, (data["train"], data["validation"]))
    loss = optax.softmax_cross_entropy_with_integer_labels

    def train(hp, key):
        model, tx = digits.mlp(hp), digits.optimizer(hp, total_steps)
        init_key, order_key, dropout_key = jax.random.split(key, 3)
        params = model.init(init_key, x[:1], train=False)

        def step(carry, now):
            params, state = carry
            number, index = now
            rngs = {"dropout": jax.random.fold_in(dropout_key, number)}
            grads = jax.grad(lambda p: loss(model.apply(p, x[index], train=True, rngs=rngs), y[index]).mean())(params)
            updates, state = tx.update(grads, state, params)
            return (optax.apply_updates(params, updates), state), None

        order = jax.numpy.arange(steps), batches(order_key, steps, len(x))
        (params, _), _ = jax.lax.scan(step, (params, tx.init(params)), order)
        return params, loss(model.apply(params, x_val, train=False), y_val).mean()

    return train


def batches(key, steps, num_examples):
    """Indices [steps, BATCH]: epochs in random order, their ragged ends dropped."""
    per_epoch = num_examples // BATCH
    keys = jax.random.split(key, -(-steps // per_epoch))
    orders = jax.vmap(lambda k: jax.random.permutation(k, num_examples))(keys)
    return orders[:, : per_epoch * BATCH].reshape(-1, BATCH)[:steps]


def main():
    """Prints a row for each side and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few trials and steps: shows that it works")
    parser.add_argument("--part", choices=("jaxtune", "hand"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    scheduler, steps = (QUICK, QUICK_STEPS) if options.quick else (FULL, FULL.max_steps)
    if options.part != "hand":
        jt.set_host_device_count()
    if options.part:
        records = by_jaxtune(scheduler) if options.part == "jaxtune" else by_hand(scheduler, steps)
        print(json.dumps(records))
        return
    print(machine() + "\n", flush=True)
    parts = {"jaxtune": [], "hand": []}
    quick = ["--quick"] if options.quick else []
    for part in ("jaxtune", "hand", "jaxtune")[: 2 if options.quick else 3]:
        parts[part].append(fresh(__file__, "--part", part, *quick))
    hand = parts["hand"][0]
    if steps < scheduler.max_steps:
        hand = extrapolated(hand, scheduler.max_steps / steps)
        print(f"By hand: only {steps} of {scheduler.max_steps} steps were run. Its times are EXTRAPOLATED,")
        print("its accuracies those of unfinished trainings.\n")
    report(parts["jaxtune"], hand, scheduler)


def extrapolated(records, factor):
    """The times of a longer training; a first run also compiles, which takes as long as before."""
    first, second = (r["seconds"] for r in records)
    longer = [first + (factor - 1) * second, factor * second]
    return [r | {"seconds": s} for r, s in zip(records, longer, strict=True)]


def report(ours, hand, scheduler):
    """Prints the table."""
    work = {"ours": scheduler.plan().trial_steps, "hand": scheduler.trials * scheduler.max_steps}
    times = [[process[run]["seconds"] for process in ours] for run in range(len(SEEDS))]
    first, second = (statistics.median(values) for values in times)
    hand_first, hand_second = (record["seconds"] for record in hand)
    rates = {"ours": work["ours"] / second, "hand": work["hand"] / hand_second}
    print_row("", "lane-steps", "first run, s", "second run, s", "lane-steps/s, second", "test accuracy of the winners")
    print("|" + "---|" * 6)
    name = "jaxtune, halving"
    print_row(name, f"{work['ours']:,}", *map(spread, times), f"{rates['ours']:,.0f}", accuracies(ours[0]))
    name = "jit(vmap(scan)) by hand"
    cells = f"{hand_first:,.3g}", f"{hand_second:,.3g}", f"{rates['hand']:,.0f}"
    print_row(name, f"{work['hand']:,}", *cells, accuracies(hand))
    ratios = work["hand"] / work["ours"], hand_first / first, hand_second / second, rates["hand"] / rates["ours"]
    print_row("by hand / jaxtune", *(f"{ratio:.2f}" for ratio in ratios), "")
    print(f"\nAfterwards: {machine()}")


def print_row(*cells):
    """Prints a line of a table."""
    print("| " + " | ".join(cells) + " |")


def accuracies(records):
    """Test accuracy for each seed."""
    return ", ".join(f"{r['accuracy']:.3f} (seed {seed})" for seed, r in zip(SEEDS, records, strict=True))


if __name__ == "__main__":
    main()
