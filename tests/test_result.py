"""Result and Trial on hand-written histories: every expectation is a literal."""

import csv
import doctest
import math
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxtune.result
from jaxtune.result import History, PiecewiseConstant, Result, rank_trials

NAN = math.nan


def make_history(values, step, *, active=None, decided=None, hparams=None, metric="accuracy", **changes):
    """A History of one metric; `values` is [E, T] or [E, R, T]; NaN marks what was not in training."""
    values = np.asarray(values, dtype=np.float32)
    values = values[:, None, :] if values.ndim == 2 else values
    E, _, T = values.shape
    fields = {
        "hparams": hparams or tuple({"lr": 0.1 * (t + 1)} for t in range(T)),
        "log_names": ("lr",),
        "bracket": np.zeros(T, int),
        "step": np.array(step),
        "metrics": {metric: values},
        "active": ~np.isnan(values).any(axis=1) if active is None else np.array(active),
        "decided": np.ones(E, bool) if decided is None else np.array(decided),
        "pruned": np.full(T, -1),
        "diverged": np.full(T, -1),
        "source": np.tile(np.arange(T), (E, 1)),
        "schedule": {},
        "lane_steps": np.cumsum(np.diff(step, prepend=0) * T),
    }
    return History(**(fields | changes))


def make_result(history, metric="accuracy", mode="max", **options):
    return Result(history, metric=metric, mode=mode, seed=7, **options)


@pytest.fixture
def halving():
    """Four trials, two survive step 10, one of them finishes first; trial 3 blows up at step 4."""
    return make_history(
        [[0.5, 0.6, 0.7, NAN], [NAN, 0.9, 0.8, NAN]],
        [10, 40],
        active=[[True] * 4, [False, True, True, False]],
        pruned=np.array([10, -1, -1, 10]),
        diverged=np.array([-1, -1, -1, 4]),
        hparams=(
            {"lr": 0.1, "act": "relu"},
            {"lr": 0.01, "act": "=1+1"},
            {"lr": 1e-3, "act": "tanh"},
            {"lr": 9.0, "act": "<b>"},
        ),
    )


# Trials


def test_halving_status_steps_metrics(halving):
    trials = make_result(halving).trials
    assert [t.id for t in trials] == [0, 1, 2, 3]
    assert [t.status for t in trials] == ["pruned at step 10", "finished", "finished", "diverged at step 4"]
    assert [t.steps for t in trials] == [10, 40, 40, 4]
    np.testing.assert_allclose([t.metrics["accuracy"] for t in trials], [0.5, 0.9, 0.8, NAN], rtol=1e-6)
    assert [t.lineage for t in trials] == [((0, i),) for i in range(4)]
    assert trials[1].hparams == {"lr": 0.01, "act": "=1+1"}


def test_interrupted_marks_only_those_still_in_training(halving):
    result = make_result(halving, interrupted=True)
    assert [t.status.split()[0] for t in result.trials] == [
        "pruned",
        "interrupted",
        "interrupted",
        "diverged",
    ]
    assert "interrupted" in repr(result).splitlines()[1]


def test_no_evaluation_at_all():
    history = make_history(np.zeros((0, 1, 2)), [], active=np.zeros((0, 2), bool))
    result = make_result(history, interrupted=True)
    assert [(t.steps, t.status) for t in result.trials] == [(0, "interrupted")] * 2
    assert math.isnan(result.trials[0].metrics["accuracy"])
    assert result.trials[1].lineage == ((0, 1),)
    with pytest.raises(ValueError, match="none has a finite 'accuracy'"):
        _ = result.best
    assert result.curves()["accuracy"].shape == (2, 0)
    assert result.progress()[1].shape == (0,)
    assert "best: none" in repr(result)


def test_a_frozen_diverged_lane_shows_no_value():
    # The engine may go on evaluating the frozen, still finite weights of a diverged lane.
    history = make_history([[0.2, 0.3], [0.1, 0.9]], [10, 20], diverged=np.array([-1, 15]))
    result = make_result(history)
    assert result.best.id == 0
    assert math.isnan(result.trials[1].metrics["accuracy"])
    np.testing.assert_allclose(result.curves()["accuracy"], [[0.2, 0.1], [0.3, NAN]], rtol=1e-6)


def test_divergence_after_the_last_evaluation_hides_the_value():
    active = [[True, True], [True, False]]
    history = make_history([[0.2, 0.9], [0.3, NAN]], [10, 20], active=active, diverged=np.array([-1, 15]))
    trial = make_result(history).trials[1]
    assert math.isnan(trial.metrics["accuracy"])
    assert (trial.steps, trial.status) == (15, "diverged at step 15")


def test_replicates_mean_and_standard_error():
    history = make_history([[[1.0, 0.0], [2.0, 0.0], [6.0, NAN]]], [5], active=[[True, True]])
    trial, broken = make_result(history).trials
    assert trial.metrics["accuracy"] == 3.0
    assert trial.standard_error["accuracy"] == pytest.approx(math.sqrt(7 / 3))  # sd² = (4 + 1 + 9) / 2
    np.testing.assert_array_equal(trial.replicates["accuracy"], [1, 2, 6])
    assert math.isnan(broken.metrics["accuracy"])
    assert make_result(history).records()[0]["accuracy_se"] == trial.standard_error["accuracy"]
    assert "3 ± 1.5" in repr(make_result(history))


def test_one_replicate_has_no_standard_error(halving):
    result = make_result(halving)
    assert math.isnan(result.best.standard_error["accuracy"])
    assert "accuracy_se" not in result.records()[0]
    assert "±" not in repr(result)


def test_state_variables_and_model_belong_to_the_best(halving):
    states = {"w": jnp.arange(6.0).reshape(2, 3)}
    result = make_result(
        halving,
        best_state=states,
        variables_of=lambda state: state["w"],
        model_of=lambda state, hparams: (hparams["lr"], state["w"].sum()),
    )
    assert result.best is result.trials[1]
    assert result.best is result.ranking[0]
    np.testing.assert_array_equal(result.best.variables, [0, 1, 2])
    assert result.best.state["w"].shape == (3,)
    assert result.best.states is states
    assert result.best.model == (0.01, 3.0)
    loser = result.trials[0]
    assert (loser.states, loser.state, loser.variables, loser.model) == (None, None, None, None)


# PBT


@pytest.fixture
def pbt():
    """Three generations: 1 copies 0 at step 10, 2 copies 1 at step 20."""
    return make_history(
        [[0.3, 0.1, 0.2], [0.4, 0.5, 0.2], [0.5, 0.6, 0.7]],
        [10, 20, 30],
        hparams=tuple({"lr": lr, "k": 4, "act": "relu", "wd": 0.5} for lr in (0.1, 0.2, 0.3)),
        source=np.array([[0, 0, 2], [0, 1, 1], [0, 1, 2]]),
        schedule={
            "lr": np.array([[0.1, 0.2, 0.3], [0.1, 0.12, 0.3], [0.1, 0.12, 0.15]], np.float32),
            "k": np.array([[4, 4, 4], [4, 6, 4], [4, 6, 9]], np.float32),
        },
    )


def test_pbt_lineage(pbt):
    trials = make_result(pbt).trials
    assert trials[0].lineage == ((0, 0),)
    assert trials[1].lineage == ((0, 0), (10, 1))
    assert trials[2].lineage == ((0, 0), (10, 1), (20, 2))


def test_pbt_schedule_follows_the_lineage(pbt):
    best = make_result(pbt).best
    assert best.id == 2
    lr = best.schedule("lr")
    assert lr.boundaries == (10, 20)
    np.testing.assert_allclose(lr.values, [0.1, 0.12, 0.15], rtol=1e-6)
    np.testing.assert_allclose(
        [lr(i) for i in (0, 9, 10, 19, 20, 29, 99)], [0.1, 0.1, 0.12, 0.12, 0.15, 0.15, 0.15]
    )
    assert best.schedule("k") == PiecewiseConstant((10, 20), (4, 6, 9))
    assert isinstance(best.schedule("k").values[-1], int)


def test_pbt_hparams_are_those_last_in_force(pbt):
    trials = make_result(pbt).trials
    assert trials[2].hparams == {"lr": pytest.approx(0.15), "k": 9, "act": "relu", "wd": 0.5}
    assert trials[0].hparams["lr"] == 0.1  # exactly: it never changed
    assert trials[0].schedule("lr") == PiecewiseConstant((), (0.1,))


def test_pbt_weights_may_come_back_to_their_slot():
    source = np.array([[1, 0], [1, 1], [0, 1]])  # they swap at 10; 0 takes from 1 at 20
    history = make_history(np.full((3, 2), 0.5), [10, 20, 30], source=source)
    trials = make_result(history).trials
    assert trials[0].lineage == ((0, 0), (10, 1), (20, 0))
    assert trials[1].lineage == ((0, 0), (10, 1))


def test_pbt_evaluations_without_a_decision_do_not_split_the_lineage():
    source = np.array([[0, 1], [0, 0], [0, 1], [0, 1]])
    history = make_history(
        np.full((4, 2), 0.5), [5, 10, 15, 20], source=source, decided=[False, True, False, True]
    )
    assert make_result(history).trials[1].lineage == ((0, 0), (10, 1))


def test_pbt_exploit_after_the_last_evaluation_is_not_in_the_lineage():
    history = make_history([[0.5, 0.4]], [10], source=np.array([[0, 0]]))
    assert make_result(history).trials[1].lineage == ((0, 1),)


def test_pbt_a_diverged_trial_that_was_overwritten_is_healthy():
    history = make_history(
        [[0.3, NAN], [0.4, 0.5], [0.6, 0.7]],
        [10, 20, 30],
        active=np.ones((3, 2), bool),
        diverged=np.array([-1, 7]),
        source=np.array([[0, 0], [0, 1], [0, 1]]),
    )
    result = make_result(history)
    assert result.best.id == 1
    assert (result.best.status, result.best.steps) == ("finished", 30)
    assert result.best.lineage == ((0, 0), (10, 1))


def test_pbt_divergence_in_the_interval_after_the_exploit_counts():
    # Overwritten at 10 *before* it diverged at step 10 (the eleventh step).
    history = make_history(
        [[0.3, 0.2], [0.4, NAN]],
        [10, 20],
        active=np.ones((2, 2), bool),
        diverged=np.array([-1, 10]),
        source=np.array([[0, 0], [0, 1]]),
    )
    assert make_result(history).trials[1].status == "diverged at step 10"


# Schedules


def test_schedule_is_traceable_weak_and_equal_by_value(pbt):
    lr = make_result(pbt).best.schedule("lr")
    traced = jax.jit(lr)(jnp.int32(12))
    assert traced == pytest.approx(0.12)
    assert traced.weak_type
    assert jnp.asarray(1, jnp.bfloat16).dtype == (traced * jnp.asarray(1, jnp.bfloat16)).dtype
    np.testing.assert_allclose(lr(np.array([0, 10, 25])), [0.1, 0.12, 0.15], rtol=1e-6)
    assert hash(lr) == hash(make_result(pbt).best.schedule("lr"))


def test_schedule_replays_in_optax(pbt):
    optimizer = optax.sgd(make_result(pbt).best.schedule("lr"))
    weights = jnp.zeros((), jnp.bfloat16)

    def step(carry, _):
        weights, state = carry
        update, state = optimizer.update(jnp.ones((), jnp.bfloat16), state, weights)
        return (optax.apply_updates(weights, update), state), update

    _, updates = jax.lax.scan(step, (weights, optimizer.init(weights)), length=30)
    np.testing.assert_allclose(updates[jnp.array([0, 10, 29])].astype(float), [-0.1, -0.12, -0.15], rtol=1e-2)


def test_schedule_constant_and_refusals(pbt):
    trial = make_result(pbt).trials[0]
    assert float(trial.schedule("wd")(3)) == 0.5
    assert trial.schedule("wd")(np.arange(4)).shape == (4,)
    with pytest.raises(KeyError, match=r"schedule\('lrr'\): trial 0 has lr, k, act, wd"):
        trial.schedule("lrr")
    with pytest.raises(KeyError, match="act is 'relu', only numbers have a schedule"):
        trial.schedule("act")


# Ranking


def test_ranking_prefers_the_last_rung_then_reach_then_value():
    history = make_history(
        [[0.99, 0.5, 0.6, 0.7], [NAN, 0.95, 0.2, 0.3], [NAN, NAN, 0.1, 0.2]],
        [10, 20, 30],
        pruned=np.array([10, 20, -1, -1]),
    )
    assert rank_trials(history, "accuracy", "max") == [3, 2, 1, 0]
    assert rank_trials(history, "accuracy", "min") == [2, 3, 1, 0]


def test_ranking_of_non_finite_values_and_ties():
    values = [[0.5, NAN, -np.inf, np.inf, 0.5, 0.4]]
    history = make_history(values, [10], active=np.ones((1, 6), bool))
    assert rank_trials(history, "accuracy", "min") == [5, 0, 4, 1, 2, 3]
    assert rank_trials(history, "accuracy", "max") == [0, 4, 5, 1, 2, 3]


def test_ranking_puts_diverged_last_even_if_they_got_further():
    history = make_history(
        [[0.1, 0.9], [NAN, 0.95]], [10, 20], pruned=np.array([10, -1]), diverged=np.array([-1, 19])
    )
    assert rank_trials(history, "accuracy", "max") == [0, 1]


def test_ranking_uses_the_last_rung_and_not_evaluations_after_it():
    values = [[0.5, 0.6], [0.9, 0.2]]
    assert rank_trials(make_history(values, [10, 20], decided=[True, False]), "accuracy", "max") == [1, 0]
    assert rank_trials(make_history(values, [10, 20], decided=[False, False]), "accuracy", "max") == [0, 1]


def test_ranking_averages_replicates():
    history = make_history([[[0.9, 0.6], [0.1, 0.6]]], [10])
    assert rank_trials(history, "accuracy", "max") == [1, 0]


@pytest.mark.parametrize(
    ("metric", "mode", "text"),
    [
        ("f1", "max", "'f1' was not recorded; there are accuracy"),
        ("accuracy", "maximize", "mode must be"),
    ],
)
def test_ranking_refuses_unknown_metric_and_mode(halving, metric, mode, text):
    with pytest.raises(ValueError, match=text):
        make_result(halving, metric, mode)


def test_all_diverged_says_which_learning_rates_were_tried():
    hparams = ({"lr": 0.5, "head_LR": 1.0, "wd": 1e-4}, {"lr": 20.0, "head_LR": 2.0, "wd": 1e-3})
    history = make_history(
        [[NAN, NAN]], [10], active=[[True, True]], diverged=np.array([3, 4]), hparams=hparams
    )
    result = make_result(history)
    with pytest.raises(ValueError, match=r"Every trial diverged.* lr from 0.5 to 20, head_LR from 1 to 2\. "):
        _ = result.best
    assert "2 diverged" in repr(result)
    assert len(result.ranking) == 2
    with pytest.raises(ValueError, match="Every trial diverged"):
        make_result(history, test_fn=lambda: {}).test()


def test_all_diverged_without_a_learning_rate_names_all_numbers():
    hparams = ({"wd": 1e-4, "act": "relu"}, {"wd": 1e-3, "act": "tanh"})
    history = make_history(
        [[NAN, NAN]], [10], active=[[True, True]], diverged=np.array([3, 4]), hparams=hparams
    )
    with pytest.raises(ValueError, match=r"Tried: wd from 0.0001 to 0.001\. "):
        _ = make_result(history).best


# The test split


def test_test_means_errors_and_count(halving):
    result = make_result(
        halving, test_fn=lambda: {"accuracy": np.array([0.8, 1.0]), "loss": jnp.array([1.0, 1.0])}
    )
    assert result.test() == {"accuracy": 0.9, "loss": 1.0, "accuracy_se": pytest.approx(0.1), "loss_se": 0.0}
    result.test()
    assert result.num_tests == 2
    assert make_result(halving, test_fn=lambda: {"accuracy": np.array([0.8])}).test() == {"accuracy": 0.8}


def test_test_without_test_data(halving):
    result = make_result(halving)
    with pytest.raises(ValueError, match="test data"):
        result.test()
    assert result.num_tests == 0


# Curves


def test_curves_shapes_and_gaps(halving):
    curves = make_result(halving).curves()
    assert list(curves) == ["accuracy", "steps"]
    np.testing.assert_array_equal(curves["steps"], [10, 40])
    np.testing.assert_allclose(
        curves["accuracy"], [[0.5, NAN], [0.6, 0.9], [0.7, 0.8], [NAN, NAN]], rtol=1e-6
    )
    with pytest.raises(ValueError, match="no metric 'f1'; there are accuracy"):
        make_result(halving).curves("f1")


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
    with pytest.raises(
        ImportError, match=rf'result.{name}\(\) needs matplotlib: pip install "jaxtune\[plots\]"'
    ):
        getattr(make_result(make_history([[0.5]], [10])), name)()


# Tables and text


def test_records_columns(halving):
    records = make_result(halving).records()
    assert list(records[0]) == ["id", "lr", "act", "accuracy", "steps", "status", "bracket"]
    assert records[0]["act"] == "relu"


def test_records_conditional_and_clashing_names():
    hparams = ({"steps": 3, "momentum": 0.9}, {"steps": 4})
    records = make_result(make_history([[0.1, 0.2]], [10], hparams=hparams)).records()
    assert [r["hp_steps"] for r in records] == [3, 4]
    assert [r["steps"] for r in records] == [10, 10]
    assert [r["momentum"] for r in records] == [0.9, None]


def test_dataframe(halving):
    pandas = pytest.importorskip("pandas")
    frame = make_result(halving).to_dataframe()
    assert isinstance(frame, pandas.DataFrame)
    assert frame.shape == (4, 7)
    assert frame.sort_values("accuracy", ascending=False).id.iloc[0] == 1


def test_dataframe_without_pandas(halving, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r'to_dataframe\(\) needs pandas: pip install "jaxtune\[pandas\]"'):
        make_result(halving).to_dataframe()
    assert len(make_result(halving).records()) == 4


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


def test_table_is_formatted_best_first(halving):
    rows = make_result(halving).table(num=2)
    assert rows[0] == {
        "rank": "1", "trial": "1", "accuracy": "0.9", "lr": "0.01", "act": "=1+1", "steps": "40",
        "status": "finished",
    }  # fmt: skip
    assert [row["trial"] for row in rows] == ["1", "2"]


def test_repr(halving):
    assert repr(make_result(halving, timing={"compile": 8.12, "run": 2.3})).splitlines() == [
        "Result: 4 trials, 2 finished, 1 pruned, 1 diverged",
        "  best: trial 1, accuracy 0.9 (max) after 40 steps",
        "    lr=0.01, act==1+1",
        "  time: compile 8.1 s, run 2.3 s",
    ]


def test_html_escapes_everything(halving):
    page = make_result(halving)._repr_html_()
    assert "<b>" not in page
    assert "&lt;b&gt;" in page
    assert page.count("<tr>") == 5
    named = make_history([[0.5]], [10], hparams=({"<i>x": 1.0},), metric="<u>")
    page = make_result(named, metric="<u>")._repr_html_()
    assert "<i>" not in page
    assert "<u>" not in page


def test_sixteen_thousand_trials_are_fast():
    history = make_history(np.random.default_rng(0).random((4, 16384)), [10, 20, 30, 40])
    start = time.perf_counter()
    assert len(make_result(history).records()) == 16384
    assert time.perf_counter() - start < 5.0


def test_docstring_examples():
    assert doctest.testmod(jaxtune.result).failed == 0
