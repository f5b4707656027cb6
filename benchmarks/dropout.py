"""What random numbers cost: a population of the demo's network with dropout, and its compile.

The engine draws with JAX's Threefry, its rounds written out (`jaxtune/bits.py`); "JAX's" is the same engine without
that, and its bits are the same. In "no draw" the bits are the position of each element times an odd number: what is
left of dropout then is the comparison, the selection and the data movement, so the share of the draws is
1 - (no draw / row). The network without dropout has none of that. All cores are CPU devices of JAX, except that a
table of single draws uses one of them.

    python benchmarks/dropout.py [--quick]

Takes about four minutes on 4 cores.
"""

import argparse
import contextlib
import functools
import math
import time
from unittest import mock

import jaxtune as jt

jt.set_host_device_count()

import jax  # noqa: E402 - JAX starts below
import jax.numpy as jnp  # noqa: E402
from jax.extend.core import jaxpr_as_fun  # noqa: E402
from jax.extend.random import define_prng_impl, threefry_prng_impl  # noqa: E402
from lanes import Lanes  # noqa: E402
from side_by_side import machine, seconds, spread  # noqa: E402

from jaxtune.cli.demo import digits  # noqa: E402
from jaxtune.tasks import functions  # noqa: E402
from jaxtune.tasks.executables import EXECUTABLES  # noqa: E402

SHAPE = 64, 128  # the numbers of one step of the demo's network
BURST = 50


def _positions(key, bit_width, shape):
    """Not random at all, and nearly free."""
    count = jax.lax.iota(jnp.uint32, math.prod(shape)).reshape(shape)
    return ((count * jnp.uint32(0x9E3779B9)) ^ key[0]).astype(f"uint{bit_width}")


_FREE = define_prng_impl(
    key_shape=(2,),
    seed=threefry_prng_impl.seed,
    split=threefry_prng_impl.split,
    fold_in=threefry_prng_impl.fold_in,
    random_bits=_positions,
    name="positions",
    tag="pos",
)


KINDS = {
    "JAX's": {"jaxtune.tasks.functions._FASTER": {}},
    "written out": {},
    "no draw": {"jaxtune.tasks.cpu.bits._UNROLLED": _FREE},
}
DRAWS = {
    "bits": lambda key: jax.random.bits(key, SHAPE),
    "uniform": lambda key: jax.random.uniform(key, SHAPE),
    "bernoulli": lambda key: jax.random.bernoulli(key, 0.3, SHAPE),
    "normal": lambda key: jax.random.normal(key, SHAPE),
}


@contextlib.contextmanager
def draws(kind):
    """The engine with one kind of draws, and nothing compiled before."""
    with contextlib.ExitStack() as stack:
        for name, value in KINDS[kind].items():
            stack.enter_context(mock.patch(name, value))
        EXECUTABLES.clear()
        yield


def numbers(draw, repeats, rounds):
    """Kind -> nanoseconds per number, drawn in a loop that keeps them."""

    def loop(key):
        return jax.lax.scan(lambda _, i: (None, draw(jax.random.fold_in(key, i))), None, jnp.arange(repeats))[1]

    key, candidates = jax.random.key(0), {}
    for kind in KINDS:
        with draws(kind):
            traced = functions.rewritten(jax.make_jaxpr(loop)(key), functions._FASTER)
            candidates[kind] = functools.partial(jax.jit(jaxpr_as_fun(traced)).lower(key).compile(), key)
    each = repeats * math.prod(SHAPE) * 1e-9
    return {kind: [t / each for t in times] for kind, times in seconds(candidates, rounds).items()}


def task(dropout):
    """The demo's task, or the same without dropout."""
    model = digits.mlp if dropout else digits.MLP()
    return jt.supervised(model, optimizer=digits.optimizer, loss=digits.loss, batch_size=64, **digits.splits())


def population(kind, dropout, num_lanes, bursts):
    """A call that trains some lanes, and the seconds of their start and of the first training, which compile."""
    space = {name: domain for name, domain in digits.SPACE.items() if dropout or name != "dropout"}
    with draws(kind):
        begin = time.perf_counter()
        lanes = Lanes.of(task(dropout), space, num_lanes, jt.Placement(), BURST)
        jax.block_until_ready(lanes.group.population)
        middle = time.perf_counter()
        jax.block_until_ready(lanes.train(bursts))
        end = time.perf_counter()
    return functools.partial(lanes.train, bursts), (middle - begin, end - middle)


def steps(num_lanes, bursts, rounds):
    """Prints a row for each kind of draws, and one for the network without dropout."""
    made = {kind: population(kind, True, num_lanes, bursts) for kind in KINDS}
    made["no dropout"] = population("written out", False, num_lanes, bursts)
    times = seconds({kind: train for kind, (train, _) in made.items()}, rounds)
    micro = {kind: [t / bursts / BURST * 1e6 for t in values] for kind, values in times.items()}
    for kind, values in micro.items():
        share = [100 * (1 - floor / t) for t, floor in zip(values, micro["no draw"], strict=True)]
        over = [100 * (t / base - 1) for t, base in zip(values, micro["no dropout"], strict=True)]
        spawn, advance = (f"{spent:.1f}" for spent in made[kind][1])
        told = spread(share) if kind in ("JAX's", "written out") else "-"
        print_row(str(num_lanes), kind, spread(values), told, spread(over), spawn, advance)


def print_row(*cells):
    """Prints a line of a table."""
    print("| " + " | ".join(cells) + " |", flush=True)


def main():
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few lanes and rounds: shows that it works")
    quick = parser.parse_args().quick
    rounds = 2 if quick else 9
    print(machine() + "\n")
    print_row("ns per number", *KINDS, "JAX's / written out")
    print("|" + "---|" * (len(KINDS) + 2))
    for name, draw in DRAWS.items():
        times = numbers(draw, 100 if quick else 400, rounds)
        ratio = [a / b for a, b in zip(times["JAX's"], times["written out"], strict=True)]
        print_row(name, *(spread(values) for values in times.values()), spread(ratio))
    print()
    heads = "lanes", "draws", "us per step of all lanes", "share of the draws, %", "more than without dropout, %"
    print_row(*heads, "start with compile, s", "first training with compile, s")
    print("|" + "---|" * 7)
    for num_lanes in (8,) if quick else (8, 64, 512):
        steps(num_lanes, 2 if quick else max(2, 512 // num_lanes), rounds)
    print(f"\nAfterwards: {machine()}")


if __name__ == "__main__":
    main()
