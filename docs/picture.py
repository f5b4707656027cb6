"""Makes the picture at the top of the README: `python docs/picture.py` writes docs/curves.png.

The search is the one of `jaxtune demo`, evaluated more often, so that the first rung has curves too.
"""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # needs no display
import numpy as np

import jaxtune as jt
from jaxtune.cli.demo import digits
from jaxtune.results.plots import search as plots

FILE = Path(__file__).with_name("curves.png")
EVERY = 10  # steps between evaluations


def main():
    """Runs the search and writes the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", type=Path, metavar="FOLDER", help="a small search, drawn there: shows that it works")
    folder = parser.parse_args().quick
    jt.set_host_device_count()
    scheduler = digits.scheduler("halving", *((8, 160) if folder else (None, 3200)))
    result = digits.search(digits.task("mlp"), scheduler, EVERY, seed=0)
    ax = draw(result)
    ax.figure.set_size_inches(9, 4.2)
    ax.set(title=f"{len(result.trials)} configurations, trained side by side", ylabel="validation loss")
    ax.figure.savefig(folder / FILE.name if folder else FILE, dpi=110)


def draw(result):
    """`result.plot_curves()` with points evenly spread over the logarithmic axis: 320 would be a band of noise."""
    steps, rungs = result.history.step, result.history.step[result.history.decided]
    wanted = np.concatenate([np.geomspace(EVERY, steps[-1], 36), rungs])
    shown = np.unique(np.searchsorted(steps, wanted.round()))
    return plots.plot_curves(
        steps[shown],
        result.curves("loss")["loss"][:, shown],
        [trial.status.kind for trial in result.trials],
        name="loss",
        best=result.best.id,
        mode=result.mode,
        rungs=rungs,
    )


if __name__ == "__main__":
    main()
