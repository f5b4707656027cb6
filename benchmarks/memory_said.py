"""Memory said and memory taken: what `jt.plan` says of a search, against what the search took.

* demo: 512 trials of the demo's network, by JAX's and XLA's own account: all arrays, and the largest scratch of a
  program. They are small beside what compilers take.
* padded: 1,025 trials of 1 MB, for which there are 2,048 slots.
* data: 200 MB of data on 1, 4 and 16 devices of the CPU.
* limited: 1,000 and 1,025 trials of 1 MB in a control group (a container) that allows 1.5 GB; root alone may make one.

    python benchmarks/memory_said.py [--quick]     # Linux

Each in a process of its own. Where nothing else is said, taken is how far resident memory rose in a second search of
the same programs: what compilers take is not counted.
"""

import argparse
import gc
import json
import os
import subprocess
import sys
from contextlib import contextmanager, nullcontext
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import psutil
from side_by_side import machine

import jaxtune as jt
from jaxtune.cli.demo import digits
from jaxtune.engine.programs import Programs

LIMIT = 1_500_000_000  # bytes, of the control group
GROUPS = Path("/sys/fs/cgroup")
CASES = {
    "demo, 512 trials": ("demo", 512, 1),
    "1,025 trials of 1 MB, padded to 2,048": ("states", 1025, 1),
    "200 MB of data, 1 device": ("data", 50_000, 1),
    "200 MB of data, 4 devices": ("data", 50_000, 4),
    "200 MB of data, 16 devices": ("data", 50_000, 16),
    "1,000 trials of 1 MB, 1.5 GB allowed": ("limited", 1000, 1),
    "1,025 trials of 1 MB, 1.5 GB allowed": ("limited", 1025, 1),
}
QUICK = {  # one of each kind that needs no control group
    "demo, 512 trials": ("demo", 8, 1),
    "1,025 trials of 1 MB, padded to 2,048": ("states", 33, 1),
    "200 MB of data, 4 devices": ("data", 500, 4),
}


def states(number, size=512):
    """Trials of a matrix each."""
    task = jt.Task(
        init=lambda key, hp: jnp.full((size, size), hp["a"]),
        step=lambda key, state, batch, hp: (state * 0.99, {}),
        evaluate=lambda key, state, data, hp: {"loss": jnp.mean(state)},
    )
    return task, {"a": jt.Uniform(0.5, 1.0)}, jt.FullBudget(number, 2)


def data(examples, size=1000):
    """A linear model on so many examples."""
    x, y = np.ones((examples, size), np.float32), np.zeros(examples, np.int32)
    cut = examples * 9 // 10
    task = jt.supervised(
        nn.Dense(2),
        optimizer=lambda hp: optax.sgd(hp["lr"]),
        loss=optax.softmax_cross_entropy_with_integer_labels,
        train=(x[:cut], y[:cut]),
        validation=(x[cut:], y[cut:]),
        batch_size=64,
    )
    return task, {"lr": jt.LogUniform(1e-4, 0.1)}, jt.FullBudget(16, 4)


def demo(trials):
    """The demo's halving."""
    return digits.task("mlp"), digits.SPACE, digits.scheduler("halving", trials, 400)


SEARCHES = {"demo": demo, "states": states, "data": data, "limited": states}


def measure(case, number, devices):
    """Prints in JSON what was said and taken, in bytes; or how the search was refused."""
    jt.set_host_device_count(devices)
    task, space, scheduler = SEARCHES[case](number)
    said = jt.plan(task, space, scheduler=scheduler)
    try:
        search(task, space, scheduler)
    except MemoryError as error:
        return print(json.dumps({"refused": str(error)}))
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak
    before, accounts = psutil.Process().memory_info().rss, watched()
    search(task, space, scheduler)
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    taken = max(accounts) if case == "demo" else 1024 * int(peak.split()[1]) - before
    return print(json.dumps({"said": [said.memory, said.data, said.scratch], "taken": taken}))


def search(task, space, scheduler):
    """Runs a search and forgets it."""
    jt.tune(task, space, scheduler=scheduler, metric="loss", progress=False)


def watched():
    """A list to which each call of a program adds what all arrays take, and its scratch."""
    get, seen = Programs.ready, []

    def watching(self, name, *layouts):
        scratch = self.host.compiled_program(self._start(name, *layouts)).scratch_bytes
        seen.append(sum(x.nbytes for x in jax.live_arrays()) + scratch)
        return get(self, name, *layouts)

    Programs.ready = watching
    return seen


@contextmanager
def control_group():
    """Yields what moves a new process into a control group that allows LIMIT bytes."""
    first = (GROUPS / "memory").is_dir()
    group = (GROUPS / "memory" if first else GROUPS) / f"jaxtune-{os.getpid()}"
    group.mkdir()
    try:
        (group / ("memory.limit_in_bytes" if first else "memory.max")).write_text(str(LIMIT))
        yield lambda: (group / "cgroup.procs").write_text(str(os.getpid()))
    finally:
        group.rmdir()


def row(case, number, devices):
    """Said, taken and their ratio, as cells."""
    command = [sys.executable, __file__, "--part", case, str(number), str(devices)]
    with control_group() if case == "limited" else nullcontext() as enter:
        run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=600, preexec_fn=enter)
    done = json.loads(run.stdout.splitlines()[-1])
    if "refused" in done:
        return "refused", done["refused"], ""
    said = " + ".join(f"{size / 1e6:,.1f}" for size in done["said"])
    return said, f"{done['taken'] / 1e6:,.1f}", f"{sum(done['said']) / done['taken']:.2f}"


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="some searches in small: shows that it works")
    parser.add_argument("--part", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        return measure(options.part[0], *map(int, options.part[1:]))
    print(machine())
    print("\n| search | said: states + data + scratch, MB | taken, MB | said / taken |")
    print("|---|---|---|---|")
    for name, case in (QUICK if options.quick else CASES).items():
        try:
            cells = row(*case)
        except OSError as error:  # only root may make control groups
            cells = "not measured", str(error.strerror), ""
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
    return None


if __name__ == "__main__":
    main()
