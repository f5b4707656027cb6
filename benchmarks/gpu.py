"""What one accelerator makes of lanes: growth, bfloat16, whole searches, and how far all that is from its limits.

Sections, each a table:

- peaks: FLOP/s of large matmuls (float32 at JAX's default precision, which may be TF32, and at the highest; bfloat16)
  and bytes/s of a copy.
- growth: t(lanes) = a + b * lanes per step of three MLPs, a CNN and a small transformer, in float32 and bfloat16. `a`
  is what a step costs however few lanes there are (on a GPU: launching its kernels), `b` what each lane adds; with
  P* = a/b lanes the device does half of what it can. jaxtune's `advance` takes turns with (b), what a JAX user would
  write by hand: `jit(vmap(scan))` over all lanes with shared batches. Only jaxtune shuffles the data. It trains a large
  population chunk by chunk ("at once"), so beyond one chunk its time is a staircase. Both populations are in memory.
- the floor: the time per step at the largest number of lanes against max(FLOPs / peak, bytes / bandwidth).
- halving: `jt.tune` against a program by hand that trains the same configurations to the end; the first run compiles,
  in a process that has run JAX before; the warm ones have other seeds.
- hyperband: its brackets in one population against the same brackets as searches one after another.

Parts run in the order of their importance, each within its share of the time that is left; the JSON file is written
after each. Nothing begins after `--minutes`, and what still runs after 9.6 (36 seconds later, if that is more) is cut
off. Where a machine's time comes in pieces, run sections in separate calls, and `--report` the files together.
Needs no installation of jaxtune: copy `jaxtune/` and `benchmarks/` side by side to a machine with python3, jax, flax,
optax and numpy (what else jaxtune imports comes with these).

    python3 benchmarks/gpu.py [--output gpu.json] [--minutes 9] [--sections growth ...] [--models cnn ...]
                              [--dtypes bfloat16 ...] [--lanes N ...] [--quick]
    python3 benchmarks/gpu.py --report gpu.json [more.json ...]
"""

import argparse
import json
import os
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import NamedTuple

sys.path.insert(1, str(Path(__file__).resolve().parent.parent))

import jax
from accelerator.effort import FULL, QUICK, QUICK_LANES
from accelerator.floor import peaks
from accelerator.growth import growth
from accelerator.models import MODELS
from accelerator.searches import halving, hyperband
from accelerator.tables import report
from side_by_side import machine

CUT_OFF = 9.6  # minutes, of the ten that a borrowed machine grants


class Job(NamedTuple):
    """A part of the measurement."""

    section: str
    model: str
    dtype: str
    weight: int  # its share of the time
    quick: bool = False  # whether --quick does it, too

    def __str__(self):
        return " ".join(part for part in self[:3] if part)


JOBS = (
    Job("peaks", "", "", 1, quick=True),
    Job("growth", "medium", "float32", 3, quick=True),
    Job("growth", "cnn", "float32", 3, quick=True),
    Job("growth", "transformer", "float32", 3),
    Job("halving", "medium", "float32", 2, quick=True),
    Job("hyperband", "medium", "float32", 2, quick=True),
    Job("growth", "cnn", "bfloat16", 3),
    Job("growth", "transformer", "bfloat16", 3, quick=True),
    Job("growth", "large", "float32", 2),
    Job("growth", "large", "bfloat16", 2),
    Job("halving", "cnn", "float32", 2),
    Job("hyperband", "cnn", "float32", 2),
    Job("growth", "small", "float32", 2),
)
SECTIONS = tuple(dict.fromkeys(job.section for job in JOBS))


def main():
    """Prints tables and writes a JSON file."""
    options = arguments()
    if options.report:
        print(report(merged([json.loads(path.read_text()) for path in options.report])))
        return
    effort = QUICK if options.quick else FULL
    if options.minutes is not None:
        effort = effort._replace(minutes=options.minutes)
    models = dict(models_for(options, effort))
    jobs = [job for job in JOBS if wanted(job, options)]
    saved = {"machine": where(), "jobs": [], "notes": []}
    print(saved["machine"], flush=True)
    guard = threading.Timer(60 * max(CUT_OFF, effort.minutes + 0.6), cut_off, (saved, options.output))
    guard.daemon = True
    guard.start()
    failed = measure(jobs, models, effort, saved, options.output)
    guard.cancel()
    print("\n" + report(saved))
    sys.exit(failed)


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("gpu.json"), help="default: gpu.json")
    parser.add_argument("--minutes", type=float, help="begins nothing after so many (default: 9)")
    parser.add_argument("--sections", nargs="+", choices=SECTIONS[1:], default=SECTIONS[1:], help="besides peaks")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--dtypes", nargs="+", choices=("float32", "bfloat16"), default=("float32", "bfloat16"))
    parser.add_argument("--lanes", nargs="+", type=int, help="numbers of lanes (default: six, by the model's size)")
    parser.add_argument("--quick", action="store_true", help="few lanes and steps: shows that it works")
    parser.add_argument("--report", nargs="+", type=Path, help="prints the tables of such files, and measures nothing")
    return parser.parse_args()


def where():
    """The machine, and what decides its speed."""
    precision = jax.config.jax_default_matmul_precision or "default"
    limit = (jax.devices()[0].memory_stats() or {}).get("bytes_limit")
    memory = f"{limit / 2**30:.1f} GiB of memory for JAX; " if limit else ""
    return f"{machine()}; {memory}matmul precision {precision}; XLA_FLAGS {os.environ.get('XLA_FLAGS') or 'none'}"


def models_for(options, effort):
    """The models at the sizes wanted."""
    lanes = options.lanes or (QUICK_LANES if options.quick else None)
    for name, model in MODELS.items():
        yield name, model._replace(batch=model.batch // effort.batch, lanes=lanes or model.lanes)


def wanted(job, options):
    """Whether a job is to be done; peaks always are, for they are this run's."""
    chosen = job.section in options.sections and job.model in options.models and job.dtype in options.dtypes
    return (chosen or job.section == "peaks") and (job.quick or not options.quick)


def measure(jobs, models, effort, saved, output):
    """Does one job after another; returns whether any failed. One that fails is noted, and the others go on."""
    end, failed = time.monotonic() + 60 * effort.minutes, False
    for number, job in enumerate(jobs):
        begin = time.monotonic()
        if begin > end:
            saved["notes"].append(f"Time was short: {job} was left out.")
            continue
        share = (end - begin) * job.weight / sum(other.weight for other in jobs[number:])
        try:
            result = run(job, models.get(job.model), effort, begin + share)
            saved["jobs"].append({"section": job.section, "title": str(models.get(job.model, "")), **result})
        except Exception as error:  # a borrowed machine's time is too dear to lose the rest
            traceback.print_exc()
            saved["notes"].append(f"{job} failed: {type(error).__name__}: {str(error)[:300]}")
            failed = True
        write(saved, output)
        print(f"{job}: {time.monotonic() - begin:.0f} s", flush=True)
    write(saved, output)
    return failed


def run(job, model, effort, deadline):
    """What a job finds out, as a plain record."""
    if job.section == "peaks":
        return {"peaks": peaks(effort)}
    if job.section == "growth":
        return growth(model, job.dtype, effort, deadline)
    search, schedulers = (halving, effort.halving) if job.section == "halving" else (hyperband, effort.hyperband)
    return {"dtype": job.dtype, **search(model, job.dtype, schedulers[job.model], deadline)}


def write(saved, output):
    """Replaces the JSON file."""
    output.write_text(json.dumps(saved, indent=1) + "\n")


def cut_off(saved, output):
    """Ends the process in the middle of a job; what was finished is kept."""
    saved["notes"].append("Time ran out: what was running was cut off.")
    write(saved, output)
    print("\n" + report(saved), flush=True)
    os._exit(0)


def merged(files):
    """Several runs as one; the floor uses the peaks of the first."""
    return {
        "machine": "\n\n".join(dict.fromkeys(saved["machine"] for saved in files)),
        "jobs": [job for saved in files for job in saved["jobs"]],
        "notes": [note for saved in files for note in saved["notes"]],
    }


if __name__ == "__main__":
    main()
