"""The list of findings as text, the table of rules, and what they say of real searches."""

import html
import pickle
from pathlib import Path

import numpy as np
import pytest
from diagnosing import make_result, said
from histories import NAN, halving, pbt
from toys import NET, NET_SPACE, X, Y, tune

import jaxtune as jt
from jaxtune.results.diagnosis.finding import Diagnosis, Finding
from jaxtune.results.diagnosis.rules import RULES
from jaxtune.results.result import Result

ROOT = Path(__file__).parents[3]
HOSTILE = "<script>alert(1)</script>\n| **lr** `x` %s {0}"

# As text


def test_findings_print_in_order():
    found = Diagnosis(
        [Finding("edge", "This is so.", "Do that.", "Someone, 2020", (3,), "lr"), Finding("tie", "So.", "Do.", "X, 1")]
    )
    assert repr(found) == (
        "Diagnosis: 2 findings, most important first\n"
        "  1. edge: This is so.\n"
        "     -> Do that.\n"
        "  2. tie: So.\n"
        "     -> Do."
    )
    assert [one.rule for one in found] == ["edge", "tie"]
    assert found[0].trials == (3,)
    assert len(found[:1]) == 1
    assert str(found[1]) == "So. Do."


def test_hostile_names():
    hparams = tuple({HOSTILE: value} for value in (0.999, 0.998, 0.997, 0.996, *np.linspace(0.1, 0.9, 56).tolist()))
    curves = 0.1 + 0.01 * np.arange(60)[:, None]
    result = make_result(curves, hparams=hparams, space={HOSTILE: jt.Uniform(0.0, 1.01)}, metric="<b>loss")
    found = result.diagnose()
    (edge,) = said("edge", result)
    assert edge.hyperparameter == HOSTILE
    text = found._repr_html_()
    assert "<script>" not in text
    assert "<b>loss" not in text
    assert html.escape(edge.sentence) in text
    assert all(len(line) <= 120 for line in repr(found).splitlines())


def test_nothing_found_is_said():
    found = make_result([[1.0, 0.5]]).diagnose()
    assert len(found) == 0
    assert repr(found).startswith("Nothing stands out: no rule found anything to change")
    assert "Nothing stands out" in found._repr_html_()


def test_what_was_not_checked_is_said_at_the_end():
    found = Diagnosis([Finding("edge", "So.", "Do.", "X, 1")], unchecked="Not fully checked: a <b> (c).")
    assert repr(found).endswith("     -> Do.\n  Not fully checked: a <b> (c).")
    assert found._repr_html_().endswith("<p>Not fully checked: a &lt;b&gt; (c).</p></div>")
    assert not repr(Diagnosis([])).endswith("\n")


CURVE = np.linspace(1.0, 0.2, 8)


def test_curves_of_few_points_are_not_checked():
    assert make_result([CURVE], train=[CURVE]).diagnose().unchecked is None
    assert make_result([CURVE[:3]], train=[CURVE[:3]]).diagnose().unchecked == (
        "Not fully checked: overfitting, still falling, plateau (the winner's curve has 3 points; evaluate_every= "
        "gives more)."
    )
    assert make_result([CURVE[:6]], train=[CURVE[:6]]).diagnose().unchecked is None  # three in each half


def test_a_rule_that_spoke_was_checked():
    found = make_result([[1.0, 0.6, 0.2]], train=[[1.0, 0.3, 0.01]]).diagnose()
    assert "overfitting" in [one.rule for one in found]
    assert "overfitting" not in found.unchecked


def test_without_training_metrics_the_fit_is_not_checked():
    assert make_result([CURVE]).diagnose().unchecked == (
        "Not fully checked: underfitting, overfitting (there is no train_loss beside the same on validation data)."
    )
    found = make_result([CURVE], metric="accuracy", mode="max").diagnose()
    assert "no train_accuracy or train_loss" in found.unchecked


def test_chosen_trials_are_no_sample_to_check():
    curves = {"train": [CURVE] * 4}
    later = make_result([CURVE] * 4, generation=np.array([0, 0, 1, 1]), **curves).diagnose()
    assert later.unchecked == (
        "Not fully checked: more trials, fewer trials, irrelevant (later trials were chosen by what earlier ones had "
        "shown)."
    )
    explored = make_result([CURVE] * 4, schedule={"lr": np.ones((8, 4), np.float32)}, **curves).diagnose()
    assert "irrelevant (hyperparameters changed during training)" in explored.unchecked


def test_a_search_that_was_cut_says_so():
    result = make_result([[1.0, 0.5]], total_steps=np.array([400]))
    assert repr(result.diagnose()).startswith("Nothing stands out so far, for the search did not come to its end")
    result = make_result([[1.0, 0.5], [0.9, 0.6]], options={"interrupted": True})
    assert repr(result.diagnose()).startswith("Diagnosis so far, for the search did not come to its end: 1 finding\n")


def test_a_diagnosis_can_be_pickled():
    found = Result(halving(), metric="accuracy", mode="max", seed=0).diagnose()
    assert repr(pickle.loads(pickle.dumps(found))) == repr(found)


# The table of rules


def test_the_document_has_the_table():
    document = ROOT.joinpath("docs", "diagnosis.md").read_text(encoding="utf-8")
    rows = [f"| {rule.name} | {rule.when} | {rule.then} | {rule.source} |" for rule in RULES]
    assert "\n".join(rows) in document


def test_rules_are_complete():
    assert len({rule.name for rule in RULES}) == len(RULES) == 16
    for rule in RULES:
        assert any(char.isdigit() for char in rule.source), rule.name
        assert rule.when.endswith("."), rule.name
        assert rule.then.endswith("."), rule.name


# Odd records


@pytest.mark.parametrize(
    "result",
    [
        make_result([[0.5]]),
        make_result([[NAN]], active=[[True]], diverged=np.array([3])),
        make_result(np.full((20, 8), NAN), active=np.ones((8, 20), bool), diverged=np.full(20, 3)),
        make_result(np.full((20, 8), NAN), active=np.ones((8, 20), bool)),  # undefined, though nothing diverged
        make_result(np.full((20, 8), 0.5)),
        make_result(np.full((20, 8), -np.inf), active=np.ones((8, 20), bool)),
        make_result(np.linspace(-5, 5, 160).reshape(20, 8), mode="max"),
        make_result(np.linspace(1, 2, 160).reshape(20, 8), train=np.full((20, 8), NAN)),
        make_result(np.linspace(1, 2, 160).reshape(20, 4, 2), hparams=({"act": "relu"},) * 20),
        make_result([[1e30, 1e-30]] * 20),
        Result(halving(), metric="accuracy", mode="max", seed=0),
        Result(pbt(), metric="accuracy", mode="max", seed=0),
    ],
)
def test_odd_records(result):
    sound(result.diagnose())


def sound(diagnosis):
    """Nothing that is no number is told, and everything is a sentence."""
    known = {rule.name for rule in RULES}
    for one in diagnosis:
        assert one.rule in known
        for text in (one.sentence, one.advice):
            assert text == text.strip()
            assert text.endswith(".")
            assert "nan" not in text.replace("names", "")
            assert " inf" not in text
            assert "  " not in text
        assert all(type(trial) is int for trial in one.trials)
    assert diagnosis.unchecked is None or diagnosis.unchecked.endswith(").")
    repr(diagnosis)
    diagnosis._repr_html_()


# Real searches

HALVING = jt.SuccessiveHalving(trials=16, min_steps=20, max_steps=80, eta=4)
WIDE = {"lr": jt.LogUniform(1e-6, 30.0), "dropout": jt.Uniform(0.0, 0.5)}


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"scheduler": HALVING},
        {"scheduler": HALVING, "evaluate_every": 5, "keep": "best"},
        {"scheduler": HALVING, "evaluate_every": 5, "patience": 2},
        {"scheduler": HALVING, "replicates": 2, "generations": 2, "sampler": jt.TPE()},
        {"scheduler": HALVING, "callback": lambda result: True},
        {"scheduler": HALVING, "confirm": jt.Confirm(top=3, replicates=2)},
        {"scheduler": HALVING, "folds": 5},
        {"scheduler": jt.Hyperband(min_steps=10, max_steps=90, eta=3)},
        {"scheduler": jt.PopulationBasedTraining(8, 80, interval=10)},
        {"scheduler": jt.FullBudget(24, 80), "evaluate_every": 10},
    ],
    ids=lambda options: "-".join([type(options["scheduler"]).__name__, *list(options)[1:]]),
)
def test_real_searches(options):
    task = NET if "folds" not in options else NET.replace(train=(X, Y), validation=None)
    result = tune(task, WIDE, **options)
    found = result.diagnose()
    sound(found)
    assert result.interrupted == ("so far" in repr(found))
    for one in found:
        assert one.hyperparameter in (None, "lr", "dropout")
        assert all(0 <= trial < len(result.trials) for trial in one.trials)
    before = len(result.trials)
    more = tune(task, WIDE, previous=result, **options | {"callback": None})
    sound(more.diagnose())
    assert len(more.trials) > before


def test_a_range_that_is_too_high():
    found = tune(NET, {"lr": jt.LogUniform(1e-3, 1e4), "dropout": 0.1}, scheduler=jt.FullBudget(32, 40)).diagnose()
    (diverged,) = [one for one in found if one.rule == "diverged"]
    assert diverged.hyperparameter == "lr"
    assert "above" in diverged.sentence


def test_a_callback_sees_findings_so_far():
    seen = []
    tune(NET, NET_SPACE, scheduler=HALVING, callback=lambda result: seen.append(repr(result.diagnose())))
    assert "so far" in seen[0]
    assert "so far" not in seen[-1]
