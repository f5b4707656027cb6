"""How long gpu.py measures."""

import math
import time
from typing import NamedTuple

import jax

import jaxtune as jt


class Effort(NamedTuple):
    """Sizes of what is timed, and for how long."""

    burst: int  # steps of the innermost loop
    rounds: int
    seconds: float  # of a timed call, at least
    minutes: float  # in all, about
    matmul: int  # rows and columns of the matrices that tell the peak
    copy: int  # float32 numbers of the copy that tells the bandwidth
    batch: int  # batches are divided by this
    halving: dict[str, jt.SuccessiveHalving]  # model -> search
    hyperband: dict[str, jt.Hyperband]  # of other min_steps, for programs of its own: its first run compiles


FULL = Effort(
    burst=50,
    rounds=5,
    seconds=0.2,
    minutes=9.0,
    matmul=8192,
    copy=2**28,
    batch=1,
    halving={"medium": jt.SuccessiveHalving(512, 50, 3200, eta=4), "cnn": jt.SuccessiveHalving(64, 25, 400, eta=4)},
    hyperband={"medium": jt.Hyperband(25, 2025), "cnn": jt.Hyperband(20, 540)},
)
QUICK = Effort(
    burst=5,
    rounds=2,
    seconds=0.01,
    minutes=1.0,
    matmul=512,
    copy=2**22,
    batch=8,
    halving={"medium": jt.SuccessiveHalving(16, 5, 20, eta=2)},
    hyperband={"medium": jt.Hyperband(5, 15)},
)
QUICK_LANES = (1, 2, 4)


def bursts_for(run, wanted):
    """How many bursts take about so many seconds."""
    jax.block_until_ready(run(1))  # compiles
    begin = time.perf_counter()
    jax.block_until_ready(run(1))
    return max(1, min(1000, math.ceil(wanted / (time.perf_counter() - begin))))
