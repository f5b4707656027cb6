"""Fifty searches at once: does successive halving beat random search at equal lane-steps?

`python docs/halving_vs_random.py` runs everything, and writes the table and the picture of halving_vs_random.md.
"""

import argparse
import functools
import re
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy import stats
from sklearn.datasets import load_digits

import jaxtune as jt

PAGE = Path(__file__).with_suffix(".md")
HALVING = "halving"
SEARCHES = {
    HALVING: jt.SuccessiveHalving(trials=81, min_steps=10, max_steps=270, eta=3),
    "random": jt.FullBudget(trials=9, steps=270),
    "random, 3 times the budget": jt.FullBudget(trials=27, steps=270),
}
QUICK = {  # the same in small
    HALVING: jt.SuccessiveHalving(trials=9, min_steps=10, max_steps=30, eta=3),
    "random": jt.FullBudget(trials=2, steps=30),
    "random, 3 times the budget": jt.FullBudget(trials=6, steps=30),
}
SPACE = {"lr": jt.LogUniform(1e-4, 10.0), "momentum": jt.Uniform(0.0, 0.99)}


class MLP(nn.Module):
    """64 pixels, 16 hidden units, 10 classes."""

    @nn.compact
    def __call__(self, x):
        """[N, 64] pixels to [N, 10] logits."""
        return nn.Dense(10)(nn.relu(nn.Dense(16)(x)))


def sgd(hp):
    """The optimizer of one trial."""
    return optax.sgd(hp["lr"], momentum=hp["momentum"])


@functools.cache
def digits_task():
    """Handwritten digits: 800 to train on, 500 to select by, 497 to test."""
    pixels, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    x, y = (pixels[order] / 8 - 1).astype(np.float32), labels[order].astype(np.int32)
    train, validation, test = ((x[a:b], y[a:b]) for a, b in ((0, 800), (800, 1300), (1300, 1797)))
    return jt.supervised(
        MLP(),
        optimizer=sgd,
        loss=optax.softmax_cross_entropy_with_integer_labels,
        train=train,
        validation=validation,
        test=test,
        batch_size=32,
    )


def winners_test_error(key, task, scheduler):
    """One whole search; the share of test digits that its winner gets wrong."""
    outcome = jt.search(key, task, SPACE, scheduler=scheduler, sampler=jt.Random())
    params = jax.tree.map(lambda leaf: leaf[0], outcome.state["params"])  # [0]: the only replicate
    x, y = task.test
    return jnp.mean(jnp.argmax(MLP().apply({"params": params}, x), axis=-1) != y)


@functools.partial(jax.jit, static_argnames="scheduler")
def many_searches(keys, task, scheduler):
    """Test errors [seeds]: the searches of all keys as one compiled program."""
    return jax.vmap(lambda key: winners_test_error(key, task, scheduler))(keys)


def compare(num_seeds):
    """Test errors [num_seeds] of each search; entry i of every row began from the same key."""
    keys = jax.vmap(jax.random.key)(jnp.arange(num_seeds))
    task = digits_task()
    return {name: np.asarray(many_searches(keys, task, scheduler)) for name, scheduler in SEARCHES.items()}


def interval(values):
    """95 % confidence interval of a mean, by bootstrap over seeds: the errors of random search are far from normal."""
    found = stats.bootstrap((values,), np.mean, rng=np.random.default_rng(0)).confidence_interval
    return float(found.low), float(found.high)


def table(errors):
    """The results as Markdown; differences are taken seed by seed."""
    rows = [
        "| search | trials | lane-steps | test error of the winner | minus halving's | worse than halving's | better |",
        "|---|---:|---:|---|---|---|---|",
    ]
    for name, scheduler in SEARCHES.items():
        plan = scheduler.plan()
        cells = [name, plan.trials, f"{plan.trial_steps:,}", percent(errors[name])]
        cells += ["", "", ""] if name == HALVING else paired(errors[name] - errors[HALVING])
        rows.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(rows)


def paired(differences):
    """Cells about differences seed by seed."""
    counts = [np.sum(differences > 0), np.sum(differences < 0)]
    return [percent(differences), *(f"in {count} of {len(differences)} seeds" for count in counts)]


def percent(values):
    """A mean with its interval, as text."""
    low, high = interval(values)
    return f"{100 * values.mean():.2f} % ({100 * low:.2f} to {100 * high:.2f})"


def draw(errors, file):
    """A dot per search, a bar per mean with its confidence interval."""
    import matplotlib

    matplotlib.use("Agg")  # needs no display
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(figsize=(7, 2.6), layout="constrained")
    jitter = np.random.default_rng(0)
    for row, values in enumerate(errors.values()):
        height = row + jitter.uniform(-0.25, 0.25, len(values))
        ax.scatter(100 * values, height, s=12, color="#2B6CB0", alpha=0.4, linewidths=0)
        ax.plot([100 * bound for bound in interval(values)], [row, row], color="#DD6B20", linewidth=3)
        ax.plot(100 * values.mean(), row, "|", color="#DD6B20", markersize=22, markeredgewidth=3)
    ax.set_yticks(range(len(errors)), labels=list(errors))
    ax.set(xscale="log", xlabel="test error of the winner, %", ylim=(len(errors) - 0.5, -0.5))
    ticks = (2, 3, 5, 10, 20, 50, 100)
    limits = ax.get_xlim()
    ax.set_xticks(ticks, labels=map(str, ticks))
    ax.set_xlim(limits)
    ax.minorticks_off()
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="x", color="#E2E8F0")
    figure.savefig(file, dpi=110)


def main():
    """Runs the comparison and writes the page's table and picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument(
        "--quick", type=Path, metavar="FOLDER", help="few seeds and steps, written there: shows that it works"
    )
    options = parser.parse_args()
    if options.quick:
        SEARCHES.update(QUICK)
    errors = compare(3 if options.quick else options.seeds)
    text, begin, end = table(errors), "<!-- table -->", "<!-- end -->"
    page = PAGE.read_text(encoding="utf-8")
    target = options.quick / PAGE.name if options.quick else PAGE
    target.write_text(re.sub(f"{begin}.*?{end}", f"{begin}\n{text}\n{end}", page, flags=re.DOTALL), encoding="utf-8")
    draw(errors, target.with_suffix(".png"))
    print(text)


if __name__ == "__main__":
    main()
