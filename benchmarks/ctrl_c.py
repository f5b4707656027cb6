"""How late Ctrl-C is heard: the time from the signal until `tune` has returned, or raised, and until the process ended.

* slow step: one step of all lanes takes about a second, 100 of them make up the only rung.
* four groups: of different widths, before their first evaluation.
* compiling: before anything is trained; there is no result yet, and `tune` raises KeyboardInterrupt.

    python benchmarks/ctrl_c.py [--quick]

Each in a process of its own.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
from side_by_side import machine

import jaxtune as jt
from jaxtune.engine.programs import Programs

CASES = "slow step", "four groups", "compiling"


def task(loops, size):
    """Multiplies matrices: `loops` products a step."""
    matrix = np.random.default_rng(0).normal(size=(size, size)).astype(np.float32) / np.sqrt(size)

    def step(key, x, batch, hp):
        return jax.lax.fori_loop(0, loops, lambda i, x: jnp.tanh(hp["a"] * x @ matrix), x), {}

    return jt.Task(
        init=lambda key, hp: jax.random.normal(key, (hp.get("rows", size), size)),
        step=step,
        evaluate=lambda key, x, data, hp: {"loss": jnp.mean(x**2)},
    )


def measure(case, quick):
    """Presses Ctrl-C in a search, a second after all its groups began to train, and prints what came of it in JSON."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background of a shell
    pressed = []

    def press():
        pressed.append(time.time())
        os.kill(os.getpid(), signal.SIGINT)

    space, steps, groups = {"a": jt.Uniform(0.5, 1.0)}, 100, 1
    searched = task(20, 128)
    if case == "slow step":
        searched = task(100, 128) if quick else task(200, 256)
    elif case == "four groups":
        space, steps, groups = space | {"rows": jt.Choice((32, 64, 96, 128), static=True)}, 10**6, 4
    timer = threading.Timer(1.0, press)
    if case == "compiling":
        timer.start()
    else:
        start_with_training(timer, groups)
    outcome = {"case": case}
    try:
        result = jt.tune(searched, space, scheduler=jt.FullBudget(8, steps), progress=False)
        outcome["answer"] = f"result at step {result.history.step[-1]:,} of {steps:,}"
    except KeyboardInterrupt:
        outcome["answer"] = "KeyboardInterrupt"
    print(json.dumps(outcome | {"seconds": time.time() - pressed[0], "returned": time.time()}), flush=True)


def start_with_training(timer, groups):
    """Starts a timer when so many groups have begun to train."""
    advance, seen = Programs.advance, set()

    def watched(self, *args):
        seen.add(id(self))
        if len(seen) == groups and timer.ident is None:
            timer.start()
        return advance(self, *args)

    Programs.advance = watched


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a faster step")
    parser.add_argument("--part", choices=CASES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        return measure(options.part, options.quick)
    print(machine())
    print("\n| Ctrl-C in | answer | s until then | s until the process ended |")
    print("|---|---|---|---|")
    for case in CASES:
        command = [sys.executable, __file__, "--part", case, *(["--quick"] if options.quick else [])]
        text = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=300).stdout
        done = json.loads(text.splitlines()[-1])
        ended = done["seconds"] + time.time() - done["returned"]
        print(f"| {case} | {done['answer']} | {done['seconds']:.1f} | {ended:.1f} |", flush=True)
    return None


if __name__ == "__main__":
    main()
