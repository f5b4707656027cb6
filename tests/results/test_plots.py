"""Pictures, checked by their artists: axes, crosses, fading."""

import enum
import functools
import math
import subprocess
import sys

import numpy as np
import pytest

from jaxtune.results.plots import search as plots, style
from jaxtune.results.plots.axes import MISSING

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402

NAN = np.nan


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def halving_curves(**options):
    steps = np.array([50, 200, 800])
    curves = np.array([[2.0, NAN, NAN], [1.5, 1.0, NAN], [1.0, 0.5, 0.05], [2.2, 2.3, NAN], [NAN, NAN, NAN]])
    status = [
        "pruned",
        "pruned",
        "finished",
        "diverged",
        "diverged",
    ]
    settings = {
        "name": "loss",
        "best": 2,
        "mode": "min",
        "stops": np.array([50, 200, 800, 300, 7]),
        "rungs": steps,
    }
    return plots.plot_curves(steps, curves, status, **(settings | options))


def crosses(ax):
    """Positions [N, 2] of the scatters drawn with the diverged colour."""
    red = matplotlib.colors.to_rgba(style.COLOURS["diverged"])
    found = [c for c in ax.collections if isinstance(c, matplotlib.collections.PathCollection)]
    found = [c for c in found if len(c.get_edgecolor()) and np.allclose(c.get_edgecolor()[0], red)]
    return np.concatenate([c.get_offsets() for c in found]) if found else np.zeros((0, 2))


def lines_of(ax, label):
    return next(c for c in ax.collections if str(c.get_label()).startswith(label))


def test_curves_axes_are_logarithmic_and_labelled():
    ax = halving_curves()
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("steps", "loss")
    assert [t.get_text() for t in ax.get_xticklabels()] == ["50", "200", "800"]


def test_curves_axes_are_linear_for_short_spans_and_maximised_metrics():
    steps = np.array([100, 200, 300])
    ax = plots.plot_curves(steps, np.array([[0.01, 0.5, 0.9]]), ["finished"], name="accuracy", mode="max")
    assert (ax.get_xscale(), ax.get_yscale()) == ("linear", "linear")
    low, high = ax.get_xlim()
    assert low < 100 < 300 < high


def test_generations_are_equally_wide():
    steps = np.arange(200, 3201, 200)
    ax = plots.plot_curves(steps, np.ones((1, 16)), ["finished"], name="loss", rungs=steps)
    assert ax.get_xscale() == "linear"
    halvings = plots.plot_curves(steps, np.ones((1, 16)), ["finished"], name="loss", rungs=[200, 800, 3200])
    assert halvings.get_xscale() == "log"


def test_curves_with_a_step_zero():
    ax = plots.plot_curves(np.array([0, 10, 1000]), np.ones((1, 3)), ["finished"], name="x")
    assert ax.get_xscale() == "symlog"


def test_curves_legend_counts():
    ax = halving_curves()
    texts = [t.get_text() for t in ax.get_legend().get_texts()]
    assert texts == ["pruned (2)", "finished (1)", "diverged (2)", "best (trial 2)"]


def test_curves_pruned_fade_and_best_is_on_top():
    ax = halving_curves()
    pruned, finished = lines_of(ax, "pruned"), lines_of(ax, "finished")
    assert pruned.get_alpha() < finished.get_alpha()
    best = next(line for line in ax.lines if str(line.get_label()).startswith("best"))
    np.testing.assert_array_equal(best.get_ydata(), [1.0, 0.5, 0.05])
    assert best.get_zorder() > max(c.get_zorder() for c in ax.collections)


def test_curves_crosses_end_the_diverged():
    ax = halving_curves()
    points = crosses(ax)
    assert len(points) == 2
    low, high = ax.get_ylim()
    np.testing.assert_allclose(points[0], [200, min(2.3, high)])
    np.testing.assert_allclose(points[1], [50, high])  # never evaluated: worse edge, earliest step
    assert points[:, 1].min() >= low


def test_curves_worse_edge_of_a_maximised_metric_is_the_bottom():
    ax = halving_curves(mode="max", name="accuracy")
    assert crosses(ax)[1, 1] == pytest.approx(ax.get_ylim()[0])


def test_curves_limits_ignore_an_explosion():
    steps = np.array([10, 20])
    curves = np.vstack([np.tile([1.0, 0.5], (99, 1)), [[1.0, 1e30]]])
    ax = plots.plot_curves(steps, curves, ["finished"] * 99 + ["diverged"], name="loss", best=0, mode="min")
    assert ax.get_ylim()[1] < 2
    assert crosses(ax)[0, 1] <= ax.get_ylim()[1]


def test_curves_keep_the_best_inside():
    curves = np.vstack([np.linspace(0.1, 1.0, 100)[:, None].repeat(2, 1), [[50.0, 0.01]]])
    ax = plots.plot_curves(np.array([1, 2]), curves, ["finished"] * 101, name="loss", best=100, mode="min")
    low, high = ax.get_ylim()
    assert low < 0.01
    assert high > 50


def test_curves_of_single_points_show_dots():
    ax = plots.plot_curves(np.array([10]), np.array([[0.5], [0.6]]), ["finished"] * 2, name="loss")
    dots = [c for c in ax.collections if isinstance(c, matplotlib.collections.PathCollection)]
    assert sum(len(c.get_offsets()) for c in dots) == 2


def test_curves_without_anything_to_show():
    ax = plots.plot_curves(np.zeros(0, int), np.zeros((2, 0)), ["diverged", "interrupted"], name="loss")
    ax.figure.canvas.draw()
    ax = plots.plot_curves(np.array([5]), np.full((1, 1), NAN), ["diverged"], name="loss", mode="min")
    ax.figure.canvas.draw()
    assert len(crosses(ax)) == 1


def test_curves_draw_into_given_axes():
    _, mine = plt.subplots()
    assert halving_curves(ax=mine) is mine


def test_curves_of_many_trials_are_few_artists():
    rng = np.random.default_rng(0)
    ax = plots.plot_curves(np.arange(1, 65), rng.random((2048, 64)), ["finished"] * 2048, name="loss", best=3)
    assert len(ax.collections) + len(ax.lines) < 12
    ax.figure.canvas.draw()


def space_panels(**options):
    values = {
        "lr": [1e-4, 1e-3, 1e-2, 1.0],
        "width": [64, 128, 64, 256],
        "act": ["relu", "tanh", "relu", "gelu"],
        "momentum": [0.9, MISSING, 0.5, MISSING],
    }
    settings = {"name": "loss", "best": 2, "mode": "min", "log_names": ("lr",)}
    scores = np.array([2.0, 0.5, 0.05, np.inf])
    return plots.plot_space(values, scores, np.array([50, 200, 3200, 7]), **(settings | options))


def test_space_scales():
    lr, width, act, momentum = space_panels()
    assert [ax.get_xscale() for ax in (lr, width, act, momentum)] == ["log", "linear", "linear", "linear"]
    assert lr.get_yscale() == "log"
    assert [t.get_text() for t in act.get_xticklabels()] == ["gelu", "relu", "tanh"]
    assert [ax.get_xlabel() for ax in (lr, width, act, momentum)] == ["lr", "width", "act", "momentum"]
    assert all(float(t).is_integer() for t in width.get_xticks())


def test_space_crosses_lie_on_the_worse_edge():
    ax = space_panels()[0]
    np.testing.assert_allclose(crosses(ax), [[1.0, ax.get_ylim()[1]]])
    ax = space_panels(mode="max", name="accuracy")[0]
    np.testing.assert_allclose(crosses(ax), [[1.0, ax.get_ylim()[0]]])
    assert ax.get_yscale() == "linear"


def test_space_colours_are_steps():
    figure = space_panels()[0].figure
    bar = figure.axes[-1]
    assert bar.get_ylabel() == "steps trained"
    assert [t.get_text() for t in bar.get_yticklabels()] == ["50", "200", "3,200"]


def test_space_without_a_difference_in_steps_has_no_colour_bar():
    panels = plots.plot_space({"lr": [0.1, 0.2]}, np.array([1.0, 2.0]), np.array([10, 10]), name="loss")
    assert len(panels[0].figure.axes) == 1


class Norm(enum.Enum):
    BATCH = "batch"
    LAYER = "layer"


def panel_of(*values, **options):
    """The panel of one hyperparameter, one trial per value, and label or x -> number of trials there."""
    trials = len(values)
    panels = plots.plot_space({"x": values}, np.linspace(1.0, 2.0, trials), np.full(trials, 9), name="loss", **options)
    panels[0].figure.canvas.draw()
    x = panels[0].collections[0].get_offsets().filled(np.nan)[:, 0]
    return panels[0], x[np.isfinite(x)]


def categories(*values):
    """The trials drawn at each label."""
    ax, x = panel_of(*values)
    labels = {round(tick): text.get_text() for tick, text in zip(ax.get_xticks(), ax.get_xticklabels(), strict=True)}
    assert len(set(labels.values())) == len(labels)
    assert np.all(np.abs(x - np.round(x)) < 0.3)
    return {label: int(np.sum(np.round(x) == place)) for place, label in labels.items()}


def test_space_tells_none_from_missing():
    assert categories(None, 0.5, 1.0, None, MISSING) == {"0.5": 1, "1": 1, "None": 2}
    _, x = panel_of(0.5, MISSING, 1.0)
    np.testing.assert_array_equal(x, [0.5, 1.0])


def negative(value):
    return -value


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ((1, "1", True, "True", None, "None"), ["1", "'1'", "'None'", "'True'", "None", "True"]),
        ((1, 1.0, True, "on"), ["1", "1.0", "True", "on"]),
        ((False, True), ["False", "True"]),
        ((math.inf, 10, 9, -math.inf, 0.5), ["-inf", "0.5", "9", "10", "inf"]),
        ((0.9, 0.9999, 0.99991, None), ["0.9", "0.9999", "0.99991", "None"]),
        ((1.0, 1, "1.0", None), ["'1.0'", "1", "1.0", "None"]),
        ((negative, (64, 1), (64, True), "negative"), ["'negative'", "(64, 1)", "(64, True)", "negative"]),
        ((lambda v: v, lambda v: -v, "<lambda> #1"), ["<lambda> #1", "<lambda> #2", "<lambda> #3"]),
        ((Norm.BATCH, Norm.LAYER, "Norm.BATCH", "batch"), ["'Norm.BATCH'", "Norm.BATCH", "Norm.LAYER", "batch"]),
        (("", " ", "x"), ["' '", "''", "x"]),
        (("$x$", "x", "$\\bad$"), ["$\\bad$", "$x$", "x"]),
        ((np.float32(0.5), np.int32(2), "auto"), ["0.5", "2", "auto"]),
        ((1, 10**400), ["1", "1000000000…0000000000"]),
    ],
)  # fmt: skip
def test_space_has_a_category_per_value(values, labels):
    found = categories(*values, MISSING, *values)
    assert sorted(found) == sorted(labels)
    assert set(found.values()) == {2}


def test_space_sorts_numbers_before_the_rest():
    assert list(categories("a", 10, None, 9.5, math.inf, True)) == ["9.5", "10", "inf", "None", "True", "a"]


def test_space_names_some_of_many_numbers():
    """As where a name is a domain in one branch and None in another."""
    ax, x = panel_of(*np.geomspace(1e-5, 1.0, 50), None, log_names=["x"])
    assert len(x) == 51
    labels = [text.get_text() for text in ax.get_xticklabels()]
    assert len(labels) <= 7
    assert (labels[0], labels[-1]) == ("1e-05", "None")


def test_space_draws_zero_beside_a_logarithmic_domain():
    """As where a name is a LogUniform in one branch and 0 in another."""
    ax, x = panel_of(0.0, 1e-4, 1e-2, log_names=["x"])
    assert ax.get_xscale() == "symlog"
    np.testing.assert_array_equal(ax.transData.transform(np.stack((x, x), 1))[:, 0].argsort(), [0, 1, 2])
    ax, _ = panel_of(0.0, 0, log_names=["x"])
    assert ax.get_xscale() == "linear"


def test_space_has_room_for_long_names(recwarn):
    options = [functools.partial(negative, value) for value in range(4)]
    found = categories(*options, "a/long/path/to/the/first.csv", "a/long/path/to/the/second.csv")
    assert max(map(len, found)) < 25
    assert not recwarn.list  # matplotlib gives up where there is no room


def test_space_wraps_into_rows():
    values = {f"x{i}": [0.1, 0.2] for i in range(5)}
    panels = plots.plot_space(values, np.array([1.0, 2.0]), np.array([10, 10]), name="loss")
    assert len(panels) == 5
    assert len(panels[0].figure.axes) == 5
    with pytest.raises(ValueError, match="at least one hyperparameter"):
        plots.plot_space({}, np.zeros(0), np.zeros(0), name="loss")


def test_space_all_diverged():
    panels = plots.plot_space({"lr": [0.1, 0.2]}, np.array([NAN, NAN]), np.array([3, 4]), name="loss", mode="min")
    assert len(crosses(panels[0])) == 2
    panels[0].figure.canvas.draw()


def test_import_leaves_the_extras_alone():
    code = "import sys, jaxtune.results.result; print({'matplotlib', 'pandas'} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"


def test_trials_that_stopped_early_are_drawn():
    steps, curves = np.array([50, 200]), np.array([[2.0, 1.0], [1.5, NAN]])
    ax = plots.plot_curves(steps, curves, ["finished", "stopped early"], name="loss")
    labels = [str(c.get_label()) for c in ax.collections]
    assert "stopped early (1)" in labels
    assert "finished (1)" in labels


def test_trials_in_training_are_drawn():
    """A callback sees a search that goes on."""
    steps, curves = np.array([50, 200]), np.array([[2.0, 1.0], [1.5, 1.2], [1.6, NAN]])
    ax = plots.plot_curves(steps, curves, ["in training", "in training", "pruned"], name="loss")
    assert [len(lines_of(ax, label).get_segments()) for label in ("in training (2)", "pruned (1)")] == [2, 1]


def test_a_plot_leaves_interactive_mode_as_the_backend_sets_it():
    """A notebook's backend is loaded by the first figure, and turns interactive mode on: it must stay on."""
    code = (
        "import matplotlib, matplotlib.pyplot as plt, numpy as np\n"
        "from jaxtune.results.plots import search as plots\n"
        "import matplotlib.backends.backend_agg as agg\n"
        "original = plt.switch_backend\n"
        "def loading(name):\n"
        "    original(name)\n"
        "    plt.ion()\n"
        "plt.switch_backend = loading\n"
        "plots.plot_curves(np.array([1, 2]), np.array([[2.0, 1.0]]), ['finished'], name='loss')\n"
        "print(plt.isinteractive())"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={"MPLBACKEND": "agg"})
    assert run.stdout.strip() == "True", run.stderr
