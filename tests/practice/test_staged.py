"""Staged tuning: what is searched when, what is fixed meanwhile, and what it finds."""

import jax.numpy as jnp
import numpy as np
import pytest
from toys import DESCENT, ONE

import jaxtune as jt
from jaxtune.practice.staged import _default_stages

BEST = {"lr": 1e-2, "dropout": 0.3, "width": 3}


def init(key, hp):
    return jnp.zeros(())


def step(key, x, batch, hp):
    return x, {}


def separable(key, x, data, hp):
    """Each hyperparameter has its own best value, whatever the others are."""
    rate = (jnp.log10(hp["lr"]) + 2) ** 2
    return {"loss": x + rate + (hp["dropout"] - BEST["dropout"]) ** 2 + jnp.abs(hp["width"] - BEST["width"])}


TASK = jt.Task(init=init, step=step, evaluate=separable)
SPACE = {"dropout": jt.Uniform(0.0, 1.0), "lr": jt.LogUniform(1e-4, 1e-1), "width": jt.Integer(1, 5)}
SIXTEEN = jt.FullBudget(16, 5)


def staged(task=TASK, space=SPACE, stages=None, **changes):
    arguments = {"scheduler": SIXTEEN, "progress": False, "placement": ONE, **changes}
    return jt.staged(task, space, stages, **arguments)


@pytest.fixture(scope="module")
def found():
    return staged(stages=[["lr"], "width", ["dropout"]], scheduler=[SIXTEEN, jt.FullBudget(5, 5), jt.FullBudget(24, 5)])


def test_finds_the_optimum_of_a_separable_function(found):
    """As near as so many points of each axis come; a joint search of as many trials does not."""
    assert abs(np.log10(found.hparams["lr"]) + 2) < 3 / 16
    assert abs(found.hparams["dropout"] - 0.3) < 1 / 16
    assert found.hparams["width"] == 3
    joint = jt.tune(TASK, SPACE, scheduler=jt.FullBudget(45, 5), progress=False, placement=ONE)
    assert found.best.metrics["loss"] < joint.best.metrics["loss"]


def test_others_are_fixed_exactly(found):
    first, second, third = ([trial.hparams for trial in result.trials] for result in found.results)
    assert {hp["width"] for hp in first} == {3}
    assert {hp["dropout"] for hp in first} == {0.5}
    assert {hp["lr"] for hp in second} == {hp["lr"] for hp in third} == {found.results[0].best.hparams["lr"]}
    assert {hp["dropout"] for hp in second} == {0.5}
    assert {hp["width"] for hp in third} == {found.results[1].best.hparams["width"]}
    assert len({hp["lr"] for hp in first}) == 16
    assert sorted(hp["width"] for hp in second) == [1, 2, 3, 4, 5]
    assert len({hp["dropout"] for hp in third}) == 24


def test_winner_so_far_is_the_first_trial_and_comes_to_the_same_value(found):
    for before, after in zip(found.results, found.results[1:], strict=False):
        assert after.trials[0].hparams == before.best.hparams
        assert after.trials[0].metrics["loss"] == before.best.metrics["loss"]
        assert after.best.metrics["loss"] <= before.best.metrics["loss"]


def test_budget_is_reported_per_stage(found):
    assert found.lane_steps == (16 * 5, 5 * 5, 24 * 5)
    assert "225 lane-steps in all" in repr(found)
    assert [row["lane_steps"] for row in found.table()] == [80, 25, 120]
    assert [list(row["found"]) for row in found.table()] == [["lr"], ["width"], ["dropout"]]


def test_best_is_that_of_the_last_stage(found):
    assert found.best is found.results[-1].best
    assert found.best.state is not None


def test_start_fixes_what_comes_later():
    first = staged(stages=["lr", ["width", "dropout"]], start={"dropout": 0.125, "lr": 1e-3}).results[0]
    assert {trial.hparams["dropout"] for trial in first.trials} == {0.125}
    assert first.trials[0].hparams == {"dropout": 0.125, "lr": 1e-3, "width": 3}


def test_a_name_may_be_searched_again():
    again = staged(stages=["lr", ["dropout", "width"], "lr"], scheduler=jt.FullBudget(6, 5))
    assert len({trial.hparams["lr"] for trial in again.results[2].trials}) == 6
    assert len({trial.hparams["lr"] for trial in again.results[1].trials}) == 1


def test_later_stages_compile_nothing(compiled):
    space = {"lr": jt.LogUniform(1e-4, 1e-1), "dropout": jt.Uniform(0.0, 1.0), "width": jt.Integer(1, 5, static=False)}
    task = TASK.replace(init=lambda key, hp: jnp.ones(()))
    staged(task, space, ["lr", "dropout", "width"], scheduler=jt.FullBudget(4, 5))
    assert set(compiled.values()) == {1}  # each program once, over three searches


def test_population_based_training_moves_only_what_is_searched():
    """Perturbations are drawn for every traced hyperparameter, and must leave a fixed one where it is."""
    scheduler = jt.PopulationBasedTraining(trials=8, steps=40, interval=10)
    space = {"lr": jt.LogUniform(1e-4, 1e-2), "unused": jt.Uniform(0.0, 1.0)}
    task = DESCENT.replace(evaluate=lambda key, s, d, hp: {"loss": jnp.sum(s["x"] ** 2) + hp["unused"]})
    result = staged(task, space, ["lr", "unused"], scheduler=scheduler).results[0]
    np.testing.assert_array_equal(result.history.schedule["unused"], 0.5)
    assert len(np.unique(result.history.schedule["lr"])) > 8


# The default order


def test_default_order():
    names = ["b1", "width", "weight_decay", "batch_size", "peak_lr", "dropout_rate", "num_layers", "momentum", "warmup"]
    space = jt.Space.of(dict.fromkeys(names, jt.Uniform(0.0, 1.0)) | {"depth": 3})
    assert _default_stages(space) == (
        ("peak_lr", "warmup"),
        ("batch_size",),
        ("weight_decay", "dropout_rate"),
        ("width", "num_layers"),
        ("b1", "momentum"),
    )


def test_words_are_whole():
    """`noise` is in `noisemaker` and `lr` in `lrn`, but they mean something else."""
    space = jt.Space.of({"noisemaker": jt.Uniform(0.0, 1.0), "lrn": jt.Uniform(0.0, 1.0), "LR": jt.Uniform(0.0, 1.0)})
    assert _default_stages(space) == (("LR",), ("noisemaker", "lrn"))


def test_default_stages_are_searched_in_order():
    assert staged(scheduler=jt.FullBudget(4, 5)).stages == (("lr",), ("dropout",), ("width",))


# Conditional choices


def conditional(key, x, data, hp):
    if hp["optimizer"] == "sgd":
        return {"loss": 1.0 + (hp["momentum"] - 0.5) ** 2 + hp["dropout"]}
    return {"loss": (hp["b1"] - 0.9) ** 2 + hp["dropout"]}


CONDITIONAL = {
    "dropout": jt.Uniform(0.0, 1.0),
    "optimizer": jt.Choice({"sgd": {"momentum": jt.Uniform(0.0, 1.0)}, "adam": {"b1": jt.Uniform(0.0, 1.0)}}),
}


def test_branches_are_searched_with_their_choice_and_fixed_with_it():
    task = TASK.replace(evaluate=conditional)
    found = staged(task, CONDITIONAL, ["optimizer", "dropout"], start={"optimizer": "sgd"})
    first, second = ([trial.hparams for trial in result.trials] for result in found.results)
    assert first[0] == {"dropout": 0.5, "optimizer": "sgd", "momentum": 0.5}
    assert {hp["optimizer"] for hp in first} == {"sgd", "adam"}
    assert len({hp["b1"] for hp in first if "b1" in hp}) > 4
    best = found.results[0].best.hparams
    assert best["optimizer"] == "adam"
    assert all((hp["optimizer"], hp["b1"]) == ("adam", best["b1"]) for hp in second)
    assert found.table()[0]["found"].keys() == {"optimizer", "b1"}


def test_branch_of_a_fixed_choice_can_be_a_stage():
    task = TASK.replace(evaluate=conditional)
    found = staged(task, CONDITIONAL, ["momentum", "optimizer", "dropout"], start={"optimizer": "sgd"})
    first = [trial.hparams for trial in found.results[0].trials]
    assert {hp["optimizer"] for hp in first} == {"sgd"}
    assert len({hp["momentum"] for hp in first}) == 16


# Bad input


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"task": 1}, TypeError, "task must be a jaxtune Task, as .* makes one, got 1"),
        ({"space": 1}, TypeError, "A space is a dict"),
        ({"space": {"lr": 0.1}}, ValueError, "at least one domain: there is nothing to search"),
        ({"stages": ["lr", "droput", "width"]}, ValueError, "stages has 'droput', .*did you mean 'dropout'"),
        ({"stages": ["lr", "width"]}, ValueError, "No stage searches 'dropout': add it to one"),
        ({"stages": []}, ValueError, "No stage searches 'dropout'"),
        ({"stages": [[], ["lr", "dropout", "width"]]}, ValueError, "A stage needs at least one name"),
        ({"stages": [["lr", "lr"], "dropout", "width"]}, ValueError, "A stage needs different names"),
        ({"stages": [["lr", 3]]}, TypeError, "A stage must be a list of names, got 3"),
        ({"stages": [3]}, TypeError, "A stage must be a list of names, got 3"),
        ({"stages": "lr"}, TypeError, "stages must be a list of lists of names"),
        ({"stages": {"lr": 1}}, TypeError, "stages must be a list of lists of names"),
        ({"scheduler": [SIXTEEN]}, ValueError, "scheduler has 1 entries for 3 stages"),
        ({"scheduler": 3}, TypeError, "scheduler must be a scheduler such as"),
        ({"sampler": 3}, TypeError, "sampler must be a sampler"),
        ({"start": {"x": 1}}, ValueError, "start has 'x', which the space doesn't search"),
        ({"start": {"lr": 7.0}}, ValueError, "start: 'lr': LogUniform.* does not contain 7"),
        ({"start": [1]}, TypeError, "start must be a dict from names to values"),
        (
            {"space": jt.constrain(SPACE, lambda hp: hp["dropout"] > 0.7)},
            ValueError,
            "The start .* violates a constraint",
        ),
        ({"metric": "auc"}, ValueError, "metric='auc' is unknown"),
        ({"replicates": 0}, ValueError, "replicates must be a whole number >= 1"),
        ({"seed": -1}, ValueError, "seed must be a whole number >= 0"),
        ({"placement": 3}, TypeError, "placement must be a jt.Placement"),
    ],
)
def test_bad_input(changes, error, message):
    with pytest.raises(error, match=message):
        staged(**changes)


def test_stage_without_a_winner_is_named():
    task = TASK.replace(
        evaluate=lambda key, x, data, hp: {"loss": x + jnp.inf * hp["lr"] * hp["dropout"] * hp["width"]}
    )
    with pytest.raises(ValueError, match=r"Stage 1 \(lr\) has no winner: Every trial diverged"):
        staged(task, scheduler=jt.FullBudget(4, 5))
