import numpy as np
import pytest
from diagnosing import make_result, said

import jaxtune as jt
from jaxtune.results.analysis.importance import Importance, Share
from jaxtune.results.diagnosis import irrelevant


def test_a_hyperparameter_that_does_not_matter():
    rng = np.random.default_rng(0)
    lr, idle = rng.uniform(size=(2, 600))
    hparams = tuple({"lr": float(a), "idle": float(b)} for a, b in zip(lr, idle, strict=True))
    (found,) = said("irrelevant", make_result(((lr - 0.4) ** 2)[:, None], hparams=hparams))
    assert found.hyperparameter == "idle"
    assert found.sentence.startswith("idle hardly matters, neither among all trials nor among the ")
    assert found.advice.startswith(f"Fix idle at {idle[np.argmin((lr - 0.4) ** 2)]:.2g}, as the winner has it, and")
    assert not said("irrelevant", make_result(((lr - 0.4) ** 2 + (idle - 0.6) ** 2)[:, None], hparams=hparams))
    three = tuple({"lr": hp["lr"], "idle": hp["idle"], "two": hp["idle"] ** 2} for hp in hparams)
    (both,) = said("irrelevant", make_result(((lr - 0.4) ** 2)[:, None], hparams=three))
    assert both.sentence.startswith(("idle and two hardly matter,", "two and idle hardly matter,"))
    assert "as the winner has them, and" in both.advice
    assert both.hyperparameter is None
    few = make_result(((lr - 0.4) ** 2)[:9, None], hparams=hparams[:9])
    assert not said("irrelevant", few)
    learned = make_result(((lr - 0.4) ** 2)[:, None], hparams=hparams, generation=np.arange(600) // 300)
    assert not said("irrelevant", learned)


def test_options_and_branches_that_do_not_matter():
    """The winner need not have what does not matter."""
    rng = np.random.default_rng(0)
    lr = rng.uniform(size=600)
    hparams = [{"lr": float(x), "act": ("relu", "tanh")[n % 2]} for n, x in enumerate(lr)]
    curves = ((lr - 0.4) ** 2)[:, None]
    (found,) = said("irrelevant", make_result(curves, hparams=tuple(hparams)))
    winner = int(np.argmin(curves))
    assert found.advice.startswith(f"Fix act at {hparams[winner]['act']}, as")
    del hparams[winner]["act"]
    (found,) = said("irrelevant", make_result(curves, hparams=tuple(hparams)))
    assert found.advice.startswith("Fix act, as")


TWO = tuple({"lr": n / 40, "wd": 7 * n % 40 / 40} for n in range(40))


@pytest.mark.parametrize(("highest", "is_idle"), [(0.09, True), (0.11, False)])
def test_how_little_is_hardly(monkeypatch, highest, is_idle):
    """With confidence, of all trials and of the better half."""
    asked = []

    def importance(result, **options):
        asked.append(options)
        return Importance(
            (Share("lr", 0.95, 0.9, 1.0), Share("wd", 0.05, 0.0, highest)), "loss", "ped_anova", None, 40, 5
        )

    monkeypatch.setattr(irrelevant, "importance", importance)
    found = said(
        "irrelevant",
        make_result(np.arange(40.0)[:, None], hparams=TWO),
    )
    assert asked == [{"region": 1.0}, {"region": 0.5}]
    assert bool(found) == is_idle
    assert all("at most 9 %" in one.sentence for one in found)


def of_draws(num, names, loss):
    """Trials with uniform draws of hyperparameters, and a loss of these, [T, D]."""
    draws = np.random.default_rng(0).uniform(size=(num, len(names)))
    hparams = tuple(dict(zip(names, map(float, row), strict=True)) for row in draws)
    return make_result(np.asarray(loss(draws))[:, None], hparams=hparams)


def test_what_decides_among_all_trials_matters():
    """All of the better half have the good option."""
    result = of_draws(400, ("lr", "opt"), lambda x: (x[:, 0] - 0.4) ** 2 + 5 * (x[:, 1] > 0.55))
    assert jt.importance(result, region=0.5)["opt"].high < 0.1 < jt.importance(result)["opt"].low
    assert not said("irrelevant", result)


def test_many_that_matter_alike_all_matter():
    names = tuple(f"x{n}" for n in range(20))
    result = of_draws(2000, names, lambda x: ((x - 0.5) ** 2).sum(axis=1))
    assert min(one.high for one in jt.importance(result, region=0.5)) < 0.1
    assert not said("irrelevant", result)


def test_a_constant_of_a_branch_is_not_searched():
    rng = np.random.default_rng(0)
    lr = rng.uniform(size=600)
    hparams = tuple({"lr": float(x), **({"k": 5} if n % 2 else {})} for n, x in enumerate(lr))
    result = make_result(((lr - 0.4) ** 2)[:, None], hparams=hparams)
    assert jt.importance(result)["k"].high < 0.1
    assert not said("irrelevant", result)


def test_noise_among_few_trials_tells_no_hyperparameter_from_another():
    names = tuple(f"x{n}" for n in range(40))
    assert not said("irrelevant", of_draws(64, names, lambda x: np.random.default_rng(1).random(len(x))))
