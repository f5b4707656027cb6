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
import numpy as np
import optax
from lanes import Lanes
from side_by_side import machine, seconds, spread

import jaxtune as jt
from jaxtune import functions

UNIT, BATCH = 10, 32
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
        functions._CACHE.clear()
        population = Lanes.of(task, SPACE, num_lanes, placement, UNIT)
        begin = time.perf_counter()
        jax.block_until_ready(population.train(0))
    return population, time.perf_counter() - begin


def row(num_lanes, rounds, units):
    """One line of the table."""
    native, native_compile = lanes(num_lanes, native=True)
    ours, ours_compile = lanes(num_lanes, native=False)
    times = seconds({"native": lambda: native.train(units), "ours": lambda: ours.train(units)}, rounds)
    logs = [population.group.population.info_sum["loss"] for population in (native, ours)]
    np.testing.assert_allclose(*logs, rtol=0.05)
    steps = num_lanes * UNIT * units
    rates = {name: [steps / t for t in values] for name, values in times.items()}
    ratio = statistics.median(a / b for a, b in zip(rates["ours"], rates["native"], strict=True))
    compiles = f"{native_compile:.1f}", f"{ours_compile:.1f}"
    cells = num_lanes, spread(rates["native"]), spread(rates["ours"]), f"{ratio:.2f}", *compiles
    return "| " + " | ".join(map(str, cells)) + " |"


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lanes", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="few steps: shows that it works")
    options = parser.parse_args()
    print(machine())
    print("lane-steps per second: median (range)\n")
    header = "lanes at once", "native", "rewritten", "rewritten / native", "compile native, s", "compile rewritten, s"
    print("| " + " | ".join(header) + " |")
    print("|" + "---|" * len(header))
    for num_lanes in [1] if options.quick else options.lanes:
        print(row(num_lanes, 2 if options.quick else options.rounds, 1 if options.quick else 3), flush=True)


if __name__ == "__main__":
    main()
