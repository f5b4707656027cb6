"""A plain Flax CNN in jaxtune's training program: convolutions rewritten as slices and matrix products, or native.

Images of 14 x 14 x 8, two 3 x 3 convolutions of 16 features (the second with stride 2), BatchNorm, average pooling,
AdamW, batches of 32, one CPU device. All forms take turns in one process. Seconds to compile are those of the training
program. The losses after the same steps must agree, which is checked.

    python benchmarks/convolutions.py [--lanes 1 4 16] [--rounds 5] [--quick]
"""

import argparse
import statistics
import time
from unittest import mock

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.extend.core import jaxpr_as_fun
from lanes import Lanes
from side_by_side import machine, seconds, spread

import jaxtune as jt
from jaxtune.tasks import functions
from jaxtune.tasks.cpu.rewriting import rewritten
from jaxtune.tasks.cpu.slices import RULES
from jaxtune.tasks.executables import EXECUTABLES

BURST, BATCH = 10, 32
SPACE = {"lr": jt.LogUniform(1e-4, 1e-3)}


class CNN(nn.Module):
    """Two convolutions and a linear layer."""

    @nn.compact
    def __call__(self, x, train):
        """[N, 14, 14, 8] to logits."""
        x = nn.relu(nn.BatchNorm(use_running_average=not train)(nn.Conv(16, (3, 3))(x)))
        x = nn.relu(nn.Conv(16, (3, 3), strides=2)(x))
        return nn.Dense(10)(nn.avg_pool(x, (7, 7)).reshape(len(x), -1))


def lanes(num_lanes, native):
    """A population that trains all its lanes at once, and the seconds that its programs took to build."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(256, 14, 14, 8)).astype(np.float32), rng.integers(0, 10, 256)
    task = jt.supervised(
        CNN(),
        optimizer=lambda hp: optax.adamw(hp["lr"]),
        loss=optax.softmax_cross_entropy_with_integer_labels,
        train=(x, y),
        validation=(x[:64], y[:64]),
        batch_size=BATCH,
    )
    rules = {} if native else functions._FASTER
    placement = jt.Placement(devices=jax.devices()[:1], lanes=num_lanes)
    with mock.patch.object(functions, "_FASTER", rules):
        EXECUTABLES.clear()
        population = Lanes.of(task, SPACE, num_lanes, placement, BURST)
        begin = time.perf_counter()
        jax.block_until_ready(population.train(0))
    return population, time.perf_counter() - begin


def row(num_lanes, rounds, bursts):
    """One line of the table."""
    native, native_compile = lanes(num_lanes, native=True)
    ours, ours_compile = lanes(num_lanes, native=False)
    times = seconds({"native": lambda: native.train(bursts), "ours": lambda: ours.train(bursts)}, rounds)
    logs = [population.group.population.info_sum["loss"] for population in (native, ours)]
    np.testing.assert_allclose(*logs, rtol=0.05)
    steps = num_lanes * BURST * bursts
    rates = {name: [steps / t for t in values] for name, values in times.items()}
    ratio = statistics.median(a / b for a, b in zip(rates["ours"], rates["native"], strict=True))
    compiles = f"{native_compile:.1f}", f"{ours_compile:.1f}"
    cells = num_lanes, spread(rates["native"]), spread(rates["ours"]), f"{ratio:.2f}", *compiles
    return "| " + " | ".join(map(str, cells)) + " |"


LAYERS = {  # image size, channels, kernel, features, stride, groups
    "1 x 1, 32 to 32": (14, 32, 1, 32, 1, 1),
    "3 x 3, 1 to 16": (28, 1, 3, 16, 1, 1),
    "3 x 3, 16 to 16": (14, 16, 3, 16, 1, 1),
    "3 x 3, 64 to 64": (14, 64, 3, 64, 1, 1),
    "3 x 3, 16 to 32, stride 2": (14, 16, 3, 32, 2, 1),
    "3 x 3, depthwise, 32": (14, 32, 3, 32, 1, 32),
    "7 x 7, 3 to 16, stride 2": (28, 3, 7, 16, 2, 1),
}


def layer(sizes, lanes, rules):
    """Forward and backward pass of a layer of each of some lanes, ten times in a scan, the lanes one after another."""
    size, channels, kernel, features, stride, groups = sizes
    module = nn.Conv(features, (kernel, kernel), strides=stride, feature_group_count=groups)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(BATCH, size, size, channels)), jnp.float32)
    params = module.init(jax.random.key(0), x)

    def gradients(params, x):
        grads = jax.grad(lambda params, x: jnp.sum(module.apply(params, x) ** 2), argnums=(0, 1))(params, x)
        return jax.tree.map(lambda p, g: p - 1e-6 * g, (params, x), grads)

    closed = rewritten(jax.make_jaxpr(gradients)(params, x), rules)
    tree = jax.tree.structure((params, x))

    def step(carry, _):
        run = lambda *state: jax.tree.unflatten(tree, jaxpr_as_fun(closed)(*jax.tree.leaves(state)))  # noqa: E731
        return jax.vmap(run)(*carry), None

    start = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (lanes, *leaf.shape)), (params, x))
    run = jax.jit(lambda carry: jax.lax.scan(step, carry, length=BURST)[0])
    begin = time.perf_counter()
    jax.block_until_ready(run(start))
    return lambda: run(start), time.perf_counter() - begin


def layers(names, rounds):
    """A table of single layers."""
    print("\nOne layer, forward and backward, 4 lanes in a scan; milliseconds per lane and step\n")
    print("| layer | native | rewritten | native / rewritten | first call native, s | rewritten, s |")
    print("|---|---|---|---|---|---|")
    for name in names:
        made = {how: layer(LAYERS[name], 4, rules) for how, rules in (("native", {}), ("ours", RULES))}
        times = seconds({how: run for how, (run, _) in made.items()}, rounds)
        each = {how: [1e3 * t / (4 * BURST) for t in values] for how, values in times.items()}
        ratio = statistics.median(a / b for a, b in zip(each["native"], each["ours"], strict=True))
        cells = spread(each["native"]), spread(each["ours"]), f"{ratio:.2f}", *(f"{made[h][1]:.1f}" for h in made)
        print("| " + " | ".join((name, *cells)) + " |", flush=True)


def main():
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lanes", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one size, few steps: shows that it works")
    options = parser.parse_args()
    print(machine())
    print("lane-steps per second: median (range)\n")
    header = "lanes at once", "native", "rewritten", "rewritten / native", "compile native, s", "compile rewritten, s"
    print("| " + " | ".join(header) + " |")
    print("|" + "---|" * len(header))
    names, bursts = list(LAYERS), 3
    if options.quick:
        options.lanes, options.rounds, names, bursts = [1], 2, names[:1], 1
    for num_lanes in options.lanes:
        print(row(num_lanes, options.rounds, bursts), flush=True)
    layers(names, options.rounds)


if __name__ == "__main__":
    main()
