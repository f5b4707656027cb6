"""How near jaxtune comes to the limits: of the machine, and of what a search may cost besides training.

peak     share of the machine's own matrix product rate, and of its memory bandwidth, that training reaches
affine   a and b of the time of a step, a + b * lanes, per model
useful   share of the lane-steps computed that train a trial, per scheduler
growth   time and programs against lanes, steps, trials, rungs, hyperparameters and groups: curves and their exponents
overhead share of a search of over 10 s that is not training
host     host time per trial of a search of 100,000 trials, and the time of its tables
import   what `import jaxtune` adds to `import jax`

    python benchmarks/limits.py [--only SECTION ...] [--plot growth.png] [--quick]

Everything that is compared takes turns in one process (imports: fresh processes in turn). Takes about ten minutes.
"""

import argparse

import jaxtune as jt

jt.set_host_device_count()

from limit.growth import growth  # noqa: E402 - some of these start JAX
from limit.host import host, imports  # noqa: E402
from limit.overhead import overhead  # noqa: E402
from limit.peak import affine, peak  # noqa: E402
from limit.useful import useful  # noqa: E402
from side_by_side import machine  # noqa: E402

SECTIONS = {
    "peak": ("Share of the machine's peak", peak),
    "affine": ("Time of a step: a + b * lanes", affine),
    "useful": ("Useful share of lane-steps", useful),
    "growth": ("Growth", growth),
    "overhead": ("Overhead of evaluating and moving", overhead),
    "host": ("Host time per trial", host),
    "import": ("Import", imports),
}


def main():
    """Prints the tables of each section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS), metavar="SECTION")
    parser.add_argument("--plot", help="where to write a picture of the growth curves (PNG)")
    parser.add_argument("--quick", action="store_true", help="small numbers: shows that it works")
    options = parser.parse_args()
    for name in options.only:
        title, section = SECTIONS[name]
        print(f"### {title}\n\n{machine()}\n", flush=True)
        section(options.quick, **({"plot": options.plot} if name == "growth" else {}))
    print(f"Afterwards: {machine()}")


if __name__ == "__main__":
    main()
