"""Pictures of hyperparameters, progress and lineages, checked by their artists; also of what is hard to draw."""

import warnings

import numpy as np
import pytest
from histories import NAN, make_history, pbt

from jaxtune.results.result import Result

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402

RNG = np.random.default_rng(0)
MIXED = ["plot_parallel", "plot_importance", "plot_contour", "plot_progress", "plot_isolation", "plot_space"]


@pytest.fixture(autouse=True)
def closed_without_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of glyphs, layouts and empty legends
        yield
    plt.close("all")


def made(history, **options):
    metric = next(iter(history.metrics))
    return Result(**({"history": history, "metric": metric, "mode": "min", "seed": 0, "ended": True} | options))


def searched(num=40, names=("lr", "dropout"), **changes):
    """Trials of a full budget, in which the first hyperparameter decides."""
    columns = [np.geomspace(1e-4, 1.0, num)[RNG.permutation(num)], *RNG.random((len(names), num))]
    hparams = [
        {name: float(column[t]) for name, column in zip(names, columns, strict=False)}
        | {"act": ("relu", "tanh")[t % 2]}
        for t in range(num)
    ]
    values = np.abs(np.log10(columns[0]) + 2.1)
    options = {"hparams": hparams, "log_names": names[:1], "metric": "loss"} | changes
    return made(make_history([values + 1, values], [10, 20], **options))


def broken():
    """Half of the trials diverge, those with high learning rates."""
    result = searched()
    lr = np.array([hp["lr"] for hp in result.history.hparams])
    values = np.where(lr > 0.01, NAN, np.abs(np.log10(lr) + 2))
    history = make_history(
        [values],
        [10],
        active=np.ones((1, 40), bool),
        diverged=np.where(lr > 0.01, 5, -1),
        hparams=result.history.hparams,
        log_names=("lr",),
        metric="loss",
    )
    return made(history)


def drawn(found):
    """The Axes, of a picture that has been rendered."""
    axes = list(np.ravel(found))
    axes[0].figure.canvas.draw()
    return axes


def texts(ax):
    return [text.get_text() for text in ax.texts]


def collection(ax, label):
    return next(one for one in ax.collections if str(one.get_label()).startswith(label))


# Parallel coordinates


def test_parallel_has_an_axis_per_hyperparameter_and_the_rank():
    result = searched()
    (ax,) = drawn(result.plot_parallel())
    assert [label.get_text() for label in ax.get_xticklabels()] == ["lr", "dropout", "act", "rank by loss"]
    assert {"0.0001", "0.01", "1", "relu", "tanh", "best", "worst"} <= set(texts(ax))
    best = next(line for line in ax.lines if str(line.get_label()).startswith("best"))
    assert best.get_label() == f"best (trial {result.best.id})"
    assert best.get_ydata()[-1] == 1.0
    assert ax.get_yticklabels() == []


def test_parallel_puts_the_best_on_top():
    lines = drawn(searched().plot_parallel())[0].collections[0]
    heights = [segment[-1, 1] for segment in lines.get_segments()]
    assert heights == sorted(heights)
    assert lines.get_edgecolor()[-1, 3] > lines.get_edgecolor()[0, 3]


def test_parallel_of_some_names_and_of_own_axes():
    _, own = plt.subplots()
    (ax,) = drawn(searched().plot_parallel(["act", "lr"], ax=own))
    assert ax is own
    assert [label.get_text() for label in ax.get_xticklabels()] == ["act", "lr", "rank by loss"]
    with pytest.raises(ValueError, match=r"'wd' is no hyperparameter that differs between trials; lr, dropout, act do"):
        searched().plot_parallel(["wd"])


@pytest.mark.parametrize("picture", ["plot_parallel", "plot_isolation", "plot_space"])
def test_one_name_is_no_list_of_names(picture):
    with pytest.raises(TypeError, match=rf"^{picture}\(\): names are a list, got 'lr': write \['lr'\]"):
        getattr(searched(), picture)(names="lr")


def test_parallel_shows_what_diverged_at_the_bottom():
    red = collection(drawn(broken().plot_parallel())[0], "diverged (")
    assert {segment[-1, 1] for segment in red.get_segments()} == {0.0}
    assert str(red.get_label()) == f"diverged ({len(red.get_segments())})"


def test_parallel_leads_past_what_a_trial_does_not_have():
    hparams = [{"lr": 0.1 * (t + 1)} | ({"momentum": 0.5 + 0.01 * t} if t % 2 else {}) for t in range(12)]
    result = made(make_history([np.arange(12.0)], [10], hparams=hparams, metric="loss"))
    (ax,) = drawn(result.plot_parallel())
    assert [label.get_text() for label in ax.get_yticklabels()] == ["none"]
    below = [segment[1, 1] < 0 for segment in ax.collections[0].get_segments()]
    assert sum(below) == 6


# Importance, contours


def test_importance_has_bars_with_whiskers():
    result = searched()
    (ax,) = drawn(result.plot_importance())
    assert next(label.get_text() for label in ax.get_yticklabels()) == "lr"
    bars = [bar.get_width() for bar in ax.patches]
    assert bars == sorted(bars, reverse=True)
    assert ax.yaxis_inverted()
    assert "the best 5 of 40 trials by loss at step 10" in result.plot_importance(step=10).get_xlabel()


def test_importance_without_intervals():
    pytest.importorskip("optuna")
    pytest.importorskip("sklearn")
    (ax,) = drawn(searched().plot_importance(method="fanova"))
    assert "functional ANOVA" in ax.get_xlabel()


def test_contour_takes_the_most_important():
    result = searched()
    ax, *_ = drawn(result.plot_contour())
    assert ax.get_xlabel() == "lr"
    ax, *_ = drawn(result.plot_contour(y="lr"))
    assert ax.get_ylabel() == "lr"
    ax, *_ = drawn(result.plot_contour("act", "dropout"))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("act", "dropout")
    assert [label.get_text() for label in ax.get_xticklabels()] == ["relu", "tanh"]


@pytest.mark.parametrize("names", [("lr", "lr"), ("wd", None)])
def test_contour_needs_two_that_differ(names):
    with pytest.raises(ValueError, match="differ"):
        searched().plot_contour(*names)
    with pytest.raises(
        ValueError, match="two hyperparameters that differ between trials, and trials that have both; got lr"
    ):
        made(make_history([[0.1, 0.2]], [10], metric="loss")).plot_contour()


def test_contour_needs_trials_that_have_both():
    """As no trial has the hyperparameters of two branches."""
    hparams = [({"momentum": 0.1 * t} if t % 2 else {"b1": 0.1 * t}) | {"lr": 0.1 * (t + 1)} for t in range(12)]
    result = made(make_history([np.arange(12.0)], [10], hparams=hparams, metric="loss"))
    with pytest.raises(ValueError, match="trials that have both; got momentum, b1"):
        result.plot_contour("momentum", "b1")
    ax, *_ = drawn(result.plot_contour("momentum"))
    assert ax.get_ylabel() == "lr"


# Progress


def test_progress_of_a_full_budget_has_the_expected_best():
    best, expected = drawn(searched().plot_progress())
    assert best.get_xlabel() == "lane-steps spent"
    line = expected.lines[0]
    assert (line.get_xdata()[0], line.get_xdata()[-1]) == (1, 40)
    assert np.all(np.diff(line.get_ydata()) < 0)


def test_progress_of_a_halving_has_it_at_the_first_rung():
    values = np.array([np.arange(8.0), np.where(np.arange(8) < 2, np.arange(8.0), NAN)])
    history = make_history(values, [10, 40], pruned=np.where(np.arange(8) < 2, -1, 10), metric="loss")
    _, expected = drawn(made(history).plot_progress())
    assert expected.get_xlabel() == "trials, of those at step 10"


def test_progress_of_a_population_has_one_panel():
    assert len(drawn(made(pbt(), mode="max").plot_progress())) == 1


def test_progress_marks_generations():
    values = np.full((2, 4), NAN)
    values[0, :2], values[1, 2:] = [2.0, 3.0], [1.0, 4.0]
    history = make_history(
        values, [10, 10], metric="loss", generation=np.array([0, 0, 1, 1]), lane_steps=np.array([20, 40])
    )
    ax, expected = drawn(made(history).plot_progress())
    assert expected.lines[0].get_xdata()[-1] == 2
    assert [line.get_xdata()[0] for line in ax.lines[:1]] == [20]
    assert "generation" in ax.get_xlabel()


# Isolation


def test_isolation_has_the_best_of_each_bucket():
    lr, dropout, act = drawn(searched().plot_isolation())[:3]
    assert [ax.get_xlabel() for ax in (lr, dropout, act)] == ["lr", "dropout", "act"]
    dots = lr.collections[1].get_offsets()
    assert len(dots) == 10
    assert abs(dots[np.argmin(dots[:, 1]), 0] - 0.475) < 0.05  # 10**-2.1 between 1e-4 and 1
    assert [label.get_text() for label in act.get_xticklabels()] == ["relu", "tanh"]


def test_isolation_crosses_out_buckets_that_diverged():
    lr = drawn(broken().plot_isolation(["lr"]))[0]
    crosses = lr.collections[-2].get_offsets()
    assert np.all(crosses[:, 0] > 0.5)
    np.testing.assert_allclose(crosses[:, 1], lr.get_ylim()[1])


# Lineage


def population(**options):
    return made(pbt(), mode="max", **options)


def test_lineage_of_the_best():
    top, *below = drawn(population().plot_lineage())
    assert [ax.get_ylabel() for ax in below] == ["lr", "k"]
    assert below[0].get_yscale() == "log"
    path = top.lines[-1]
    assert path.get_label() == "weights of trial 2"
    # Trial 2 is the best, 1 the second, 0 the last: its weights rose through all slots.
    np.testing.assert_array_equal(path.get_xdata(), [0, 10, 10, 20, 20, 30])
    np.testing.assert_array_equal(path.get_ydata(), [2, 2, 1, 1, 0, 0])
    np.testing.assert_allclose(below[0].lines[-1].get_ydata(), [0.1, 0.1, 0.12, 0.12, 0.15, 0.15])
    assert str(collection(top, "copies").get_label()) == "copies (2)"


def test_lineage_of_another():
    top, *_ = drawn(population().plot_lineage(0))
    np.testing.assert_array_equal(top.lines[-1].get_ydata(), [2] * 6)
    with pytest.raises(ValueError, match=r"plot_lineage\(trial=3\): trials have ids from 0 to 2"):
        population().plot_lineage(3)


def test_lineage_is_for_populations():
    with pytest.raises(ValueError, match="population-based training"):
        searched().plot_lineage()


# What is hard to draw


@pytest.mark.parametrize("name", MIXED)
def test_names_are_long_or_no_formulas(name):
    names = ("$\\bad_{", "ein sehr langer Name einer Größe mit Umlauten äöü und so fort")
    result = searched(names=names)
    result = made(result.history, metric="loss")
    drawn(getattr(result, name)())


@pytest.mark.parametrize("name", MIXED)
def test_metrics_are_no_formulas(name):
    history = searched().history
    values = history.metrics["loss"]
    odd = make_history(values[:, 0], [10, 20], hparams=history.hparams, log_names=("lr",), metric="$x_{")
    drawn(getattr(made(odd), name)())


@pytest.mark.parametrize("name", MIXED)
def test_there_may_be_forty_hyperparameters(name):
    drawn(getattr(searched(names=tuple(f"x{i}" for i in range(40))), name)())


@pytest.mark.parametrize("name", MIXED)
def test_half_may_diverge(name):
    drawn(getattr(broken(), name)())


@pytest.mark.parametrize("name", MIXED)
def test_all_may_diverge(name):
    hparams = [{"lr": 0.1 * (t + 1), "act": ("relu", "tanh")[t % 2]} for t in range(12)]
    nothing = {"active": np.ones((1, 12), bool), "diverged": np.full(12, 3), "metric": "loss"}
    result = made(make_history(np.full((1, 12), NAN), [10], hparams=hparams, **nothing))
    if name == "plot_importance":
        with pytest.raises(ValueError, match="none of the 12 trials has a finite 'loss'"):
            result.plot_importance()
    else:
        drawn(getattr(result, name)())


@pytest.mark.parametrize("name", MIXED)
def test_there_may_be_one_trial(name):
    result = made(make_history([[0.5]], [10], metric="loss"))
    if name in ("plot_progress", "plot_space"):
        drawn(getattr(result, name)())
    else:
        with pytest.raises(ValueError, match="differs between"):
            getattr(result, name)()


@pytest.mark.parametrize("name", MIXED)
def test_several_replicates_are_averaged(name):
    history = searched().history
    values = history.metrics["loss"].repeat(3, axis=1)
    several = make_history(values, [10, 20], hparams=history.hparams, log_names=("lr",), metric="loss")
    drawn(getattr(made(several, num_folds=3), name)())


@pytest.mark.parametrize("value", [0.9, 3, "nesterov"])
@pytest.mark.parametrize("name", MIXED)
def test_some_trials_may_have_a_constant(name, value):
    """As where a branch has one."""
    hparams = [{"lr": 0.1 * (t + 1)} | ({"momentum": value} if t % 2 else {}) for t in range(12)]
    history = make_history([np.arange(12.0)], [10], hparams=hparams, log_names=("lr", "momentum"), metric="loss")
    drawn(getattr(made(history), name)())
