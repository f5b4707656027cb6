"""Result on hand-written histories: every expectation is a literal."""

import csv
import math
import pickle
import sys
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from counting import COUNTING
from histories import NAN, halving, make_history

import jaxtune as jt
from jaxtune.results.result import Result


def winner(test, metrics=None):
    """Stands in for the best trial: test data, or None, and the metrics that it reaches on them."""
    return SimpleNamespace(
        trained=SimpleNamespace(states={"w": np.zeros((2, 3))}),
        task=SimpleNamespace(test=test),
        metrics={"test": metrics}.__getitem__,
        averages=lambda split, combine: {},
    )


def make_result(history, metric="accuracy", mode="max", **options):
    return Result(history, metric=metric, mode=mode, seed=7, **options)


def test_one_replicate_has_no_standard_error():
    result = make_result(halving())
    assert math.isnan(result.best.standard_error["accuracy"])
    assert "accuracy_se" not in result.records()[0]
    assert "±" not in repr(result)


# The best trial


def test_all_diverged_says_which_learning_rates_were_tried():
    hparams = ({"lr": 0.5, "head_LR": 1.0, "wd": 1e-4}, {"lr": 20.0, "head_LR": 2.0, "wd": 1e-3})
    history = make_history([[NAN, NAN]], [10], active=[[True, True]], diverged=np.array([3, 4]), hparams=hparams)
    result = make_result(history)
    with pytest.raises(ValueError, match=r"Every trial diverged.* lr from 0.5 to 20, head_LR from 1 to 2\. "):
        _ = result.best
    assert "2 diverged" in repr(result)
    assert len(result.ranking) == 2
    with pytest.raises(ValueError, match="Every trial diverged"):
        make_result(history, weights={0: winner("data", {})}).test()


def test_all_diverged_without_a_learning_rate_names_all_numbers():
    hparams = ({"wd": 1e-4, "act": "relu"}, {"wd": 1e-3, "act": "tanh"})
    history = make_history([[NAN, NAN]], [10], active=[[True, True]], diverged=np.array([3, 4]), hparams=hparams)
    with pytest.raises(ValueError, match=r"Tried: wd from 0.0001 to 0.001\. "):
        _ = make_result(history).best


# The test split


def test_test_means_errors_and_count():
    values = {"accuracy": np.array([0.8, 1.0]), "loss": np.array([1.0, 1.0])}
    result = make_result(halving(), weights={1: winner("data", values)})
    assert result.test() == {"accuracy": 0.9, "loss": 1.0, "accuracy_se": pytest.approx(0.1), "loss_se": 0.0}
    result.test()
    assert result.num_tests == 2
    single = make_result(halving(), weights={1: winner("data", {"accuracy": np.array([0.8])})})
    assert single.test() == {"accuracy": 0.8}


def test_test_of_a_result_without_the_weights():
    # The trials that outlived the best one diverged: its weights were dropped at the rung.
    history = make_history(
        [[0.5, 0.6], [NAN, NAN]],
        [10, 40],
        active=[[True] * 2, [False, True]],
        pruned=np.array([10, -1]),
        diverged=np.array([-1, 20]),
    )
    with pytest.raises(ValueError, match=r"needs the weights .* trial 0 \(pruned at step 10\) has none"):
        make_result(history).test()


def test_test_without_test_data():
    result = make_result(halving(), weights={1: winner(None)})
    with pytest.raises(ValueError, match="needs test data"):
        result.test()
    assert result.num_tests == 0


# Curves


def test_curves_shapes_and_gaps():
    curves = make_result(halving()).curves()
    assert list(curves) == ["accuracy", "steps"]
    np.testing.assert_array_equal(curves["steps"], [10, 40])
    np.testing.assert_allclose(curves["accuracy"], [[0.5, NAN], [0.6, 0.9], [0.7, 0.8], [NAN, NAN]], rtol=1e-6)
    with pytest.raises(ValueError, match="no metric 'f1'; there are accuracy"):
        make_result(halving()).curves("f1")


def test_progress_is_the_best_so_far():
    values = [[NAN, -np.inf], [0.5, 0.7], [0.6, 0.1]]
    history = make_history(values, [10, 20, 30], active=np.ones((3, 2), bool))
    lane_steps, best = make_result(history, mode="max").progress()
    np.testing.assert_array_equal(lane_steps, [20, 40, 60])
    np.testing.assert_allclose(best, [NAN, 0.7, 0.7], rtol=1e-6)
    np.testing.assert_allclose(make_result(history, mode="min").progress()[1], [NAN, 0.5, 0.1], rtol=1e-6)


# Pictures (what they draw is in test_plots.py)


def test_result_methods_pass_everything_on():
    plt = pytest.importorskip("matplotlib.pyplot")
    active = [[True] * 3, [False, True, True]]
    history = make_history(
        [[0.5, 0.6, NAN], [NAN, 0.9, NAN]],
        [10, 400],
        active=active,
        pruned=np.array([10, -1, -1]),
        diverged=np.array([-1, -1, 4]),
    )
    result = make_result(history)
    ax = result.plot_curves()
    texts = [t.get_text() for t in ax.get_legend().get_texts()]
    assert texts == ["pruned (1)", "finished (1)", "diverged (1)", "best (trial 1)"]
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "linear")
    panels = result.plot_space()
    assert [p.get_xlabel() for p in panels] == ["lr"]
    assert panels[0].get_xscale() == "log"
    legend = panels[0].figure.legends[0]
    assert [t.get_text() for t in legend.get_texts()] == ["best", "diverged (1)"]
    with pytest.raises(ValueError, match="no hyperparameter 'wd'; there are lr"):
        result.plot_space(["wd"])
    with pytest.raises(ValueError, match="no metric 'f1'"):
        result.plot_space(metric="f1")
    plt.close("all")


@pytest.mark.parametrize("name", ["plot_curves", "plot_space"])
def test_missing_matplotlib_names_the_extra(monkeypatch, name):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=rf'result.{name}\(\) needs matplotlib: pip install "jaxtune\[plots\]"'):
        getattr(make_result(make_history([[0.5]], [10])), name)()


# Tables and text


def test_records_columns():
    records = make_result(halving()).records()
    assert list(records[0]) == ["id", "lr", "act", "accuracy", "steps", "status", "bracket", "generation"]
    assert records[0]["act"] == "relu"


def test_records_conditional_and_clashing_names():
    hparams = ({"steps": 3, "momentum": 0.9}, {"steps": 4})
    records = make_result(make_history([[0.1, 0.2]], [10], hparams=hparams)).records()
    assert [r["hp_steps"] for r in records] == [3, 4]
    assert [r["steps"] for r in records] == [10, 10]
    assert [r["momentum"] for r in records] == [0.9, None]


NAMES = ["loss", "loss_se", "hp_loss", "id", "steps", "status", "bracket", "rank", "trial", "metric_steps", "lr"]


def crowded():
    """Hyperparameters and metrics named like one another and like every other column."""
    hparams = tuple({name: 100 * t + i for i, name in enumerate(NAMES)} for t in range(2))
    history = make_history([[[0.1, 0.2], [0.3, 0.4]]], [10], hparams=hparams, metric="loss")
    for i, name in enumerate(["loss_se", "id", "steps", "status", "rank", "trial", "hp_lr"], start=1):
        history.metrics[name] = history.metrics["loss"] + i
    return make_result(history, metric="loss", mode="min")


def test_no_column_hides_another_one(tmp_path):
    result = crowded()
    record = result.records()[1]
    assert len(record) == 5 + len(NAMES) + 8 + 1
    assert {name: record[name] for name in ("id", "steps", "status", "bracket")} == {
        "id": 1, "steps": 10, "status": "finished", "bracket": 0
    }  # fmt: skip
    assert [record[name] for name in ("loss", "loss_se", "metric_id", "hp_lr")] == pytest.approx([0.3, 1.3, 2.3, 7.3])
    assert record["error_loss_se"] == pytest.approx(0.1)
    assert [record[name] for name in ("hp_hp_loss", "hp_loss", "hp_id", "hp_metric_steps", "lr")] == [
        100, 102, 103, 109, 110
    ]  # fmt: skip
    result.to_csv(tmp_path / "trials.csv")
    with open(tmp_path / "trials.csv", newline="") as file:
        heading, *rows = csv.reader(file)
    assert heading == list(record)
    assert [float(cell) for cell in rows[1] if cell != "finished"] == pytest.approx(
        [value for value in record.values() if value != "finished"]
    )


def test_no_column_of_the_table_hides_another_one():
    row = crowded().table()[1]
    assert len(row) == 4 + len(NAMES) + 8
    assert [row[name] for name in ("rank", "trial", "steps", "status")] == ["2", "1", "10", "finished"]
    assert [row[name] for name in ("metric_rank", "hp_rank", "metric_trial", "hp_trial")] == [
        "5.3 ± 0.1", "107", "6.3 ± 0.1", "108"
    ]  # fmt: skip


def test_dataframe():
    pandas = pytest.importorskip("pandas")
    frame = make_result(halving()).to_dataframe()
    assert isinstance(frame, pandas.DataFrame)
    assert frame.shape == (4, 8)
    assert frame.sort_values("accuracy", ascending=False).id.iloc[0] == 1


def test_dataframe_without_pandas(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r'to_dataframe\(\) needs pandas: pip install "jaxtune\[pandas\]"'):
        make_result(halving()).to_dataframe()
    assert len(make_result(halving()).records()) == 4


def test_curves_as_a_long_table():
    pandas = pytest.importorskip("pandas")
    frame = make_result(halving()).curves_dataframe()
    assert list(frame.columns) == ["trial", "step", "accuracy"]
    expected = [(0, 10, 0.5), (1, 10, 0.6), (1, 40, 0.9), (2, 10, 0.7), (2, 40, 0.8), (3, 10, NAN)]
    pandas.testing.assert_frame_equal(frame, pandas.DataFrame(expected, columns=frame.columns), rtol=1e-6)


def test_the_long_table_tells_replicates_and_folds_apart():
    pytest.importorskip("pandas")
    values = np.arange(8.0).reshape(1, 4, 2) / 10  # [E, R, T]
    frame = make_result(make_history(values, [5], metric="step"), "step", num_folds=2).curves_dataframe()
    assert list(frame.columns) == ["trial", "replicate", "fold", "step", "metric_step"]
    last = frame[frame.trial == 1]
    assert list(zip(last.replicate, last.fold, last.metric_step.round(1), strict=True)) == [
        (0, 0, 0.1), (0, 1, 0.3), (1, 0, 0.5), (1, 1, 0.7)
    ]  # fmt: skip
    folds = make_result(make_history(values, [5]), num_folds=4).curves_dataframe()
    assert list(folds.columns) == ["trial", "fold", "step", "accuracy"]


def test_curves_dataframe_without_pandas(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"curves_dataframe\(\) needs pandas: .* result.curves\(\) gives arrays"):
        make_result(halving()).curves_dataframe()


def test_csv_escapes_formulas_and_reads_back(tmp_path):
    texts = ("=1+1", "+a", "-b", "@c", 'with "quotes", and commas', jax.nn.relu, (64, 64), -0.5)
    hparams = tuple({"=act": text} for text in texts)
    path = tmp_path / "trials.csv"
    make_result(make_history([[0.25] * 8], [10], hparams=hparams)).to_csv(path)
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["'=act"] for row in rows] == [
        "'=1+1", "'+a", "'-b", "'@c", 'with "quotes", and commas', "relu", "(64, 64)", "-0.5",
    ]  # fmt: skip
    assert {row["accuracy"] for row in rows} == {"0.25"}


def test_csv_headings_differ(tmp_path):
    make_result(make_history([[0.5]], [10], hparams=({"=a": 1, "'=a": 2},))).to_csv(tmp_path / "trials.csv")
    with open(tmp_path / "trials.csv", newline="") as file:
        row = next(csv.DictReader(file))
    assert (row["'=a"], row["''=a"]) == ("1", "2")


def cells(result, path):
    """The column `x` of the table, by id, and of the CSV file."""
    result.to_csv(path)
    with open(path, newline="") as file:
        rows = [row["x"] for row in csv.DictReader(file)]
    return [row["x"] for row in sorted(result.table(99), key=lambda row: int(row["trial"]))], rows


@pytest.mark.parametrize(
    ("options", "in_table", "in_file"),
    [
        ([abs, math.sqrt, np.sqrt], ["abs", "sqrt #1", "sqrt #2"], ["abs", "sqrt #1", "sqrt #2"]),
        ([lambda v: v, lambda v: -v], ["<lambda> #1", "<lambda> #2"], ["<lambda> #1", "<lambda> #2"]),
        ([1, "1", True, "True"], ["1", "'1'", "True", "'True'"], ["1", "'1'", "True", "'True'"]),
        ([1.0, 1, "1.0"], ["1.0", "1", "'1.0'"], ["1.0", "1", "'1.0'"]),
        ([None, "None", ""], ["None", "'None'", "''"], ["", "None", "''"]),
        ([0.9999, 0.99991, 0.5], ["0.9999", "0.99991", "0.5"], ["0.9999", "0.99991", "0.5"]),
        (["=1", "'=1", "1"], ["=1", "'=1", "1"], ["'=1", "''=1", "1"]),
    ],
)
def test_different_options_have_different_cells(tmp_path, options, in_table, in_file):
    history = make_history([[0.25] * len(options)], [10], hparams=tuple({"x": option} for option in options))
    assert cells(make_result(history), tmp_path / "trials.csv") == (in_table, in_file)


def test_a_function_has_the_same_number_in_every_table():
    functions = (lambda: 0, lambda: 1, lambda: 2, lambda: 3)
    hparams = [{"lr": 0.1 + 1e-5 * k, "f": f} for k, f in enumerate(functions)]
    result = make_result(make_history([[0.1, 0.2, 0.3, 0.4, 0.0]], [10], hparams=(*hparams, {"lr": 0.5})))
    assert [row["f"] for row in result.table(2)] == ["<lambda> #4", "<lambda> #3"]
    assert [row["f"] for row in result.table()] == ["<lambda> #4", "<lambda> #3", "<lambda> #2", "<lambda> #1", ""]
    assert result.table(1)[0]["lr"] == "0.1"  # a float has to differ from those beside it only


def test_table_is_formatted_best_first():
    rows = make_result(halving()).table(num=2)
    assert rows[0] == {
        "rank": "1", "trial": "1", "accuracy": "0.9", "lr": "0.01", "act": "=1+1", "steps": "40",
        "status": "finished",
    }  # fmt: skip
    assert [row["trial"] for row in rows] == ["1", "2"]


def test_repr():
    assert repr(make_result(halving(), timing={"compile": 8.12, "run": 2.3})).splitlines() == [
        "Result: 4 trials, 2 finished, 1 pruned, 1 diverged",
        "  best: trial 1, accuracy 0.9 (max) after 40 steps",
        "    lr=0.01, act==1+1",
        "  time: compile 8.1 s, run 2.3 s",
    ]


def test_html_escapes_everything():
    page = make_result(halving())._repr_html_()
    assert "<b>" not in page
    assert "&lt;b&gt;" in page
    assert page.count("<tr>") == 5
    named = make_history([[0.5]], [10], hparams=({"<i>x": 1.0},), metric="<u>")
    page = make_result(named, metric="<u>")._repr_html_()
    assert "<i>" not in page
    assert "<u>" not in page


def test_interruption_and_errors_of_replicates_are_shown():
    values = [[[1.0, 0.0], [2.0, 0.0], [6.0, NAN]]]
    history = make_history(values, [5], active=[[True, True]], total_steps=np.full(2, 10))
    result = make_result(history, interrupted=True)
    assert result.records()[0]["accuracy_se"] == pytest.approx(math.sqrt(7 / 3))
    assert "3 ± 1.5" in repr(result)
    assert "interrupted" in repr(result).splitlines()[1]


def test_results_can_be_pickled():
    """Also where the space has a function for a constraint, and after the trials have been looked at."""
    space = jt.constrain({"lr": jt.LogUniform(1e-4, 1e-1)}, lambda hp: hp["lr"] > 1e-4)
    result = jt.tune(COUNTING, space, scheduler=jt.FullBudget(4, 8), progress=False)
    trials = [(t.hparams, t.metrics) for t in result.trials]
    history = pickle.loads(pickle.dumps(result.history))
    assert list(history.hparams) == [hparams for hparams, _ in trials]
    copy = Result(history, metric="loss", mode="min", seed=0)
    assert [(t.hparams, t.metrics) for t in copy.trials] == trials
    again = pickle.loads(pickle.dumps(copy))
    assert [(t.hparams, t.metrics) for t in again.ranking] == [(t.hparams, t.metrics) for t in copy.ranking]
