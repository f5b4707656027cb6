import numpy as np

from jaxtune.results.analysis.dimensions import dimensions
from jaxtune.results.diagnosis.split import best_split, best_splits

RNG = np.random.default_rng(0)


def spread(num, names=("a", "b")):
    values = RNG.uniform(size=(num, len(names)))
    return dimensions([dict(zip(names, map(float, row), strict=True)) for row in values], [])


def test_the_threshold_that_parts_best():
    found = spread(100)
    a = np.array(found[0].values)
    split = best_split(found, a < 0.25, np.ones(100, bool))
    assert split.dimension.name == "a"
    cut = float(split.side.removeprefix("below "))
    assert abs(cut - 0.25) < 0.05
    assert (split.other_side, split.inside, split.outside) == (f"above {cut}", 1.0, 0.0)
    np.testing.assert_array_equal(split.beyond, a < 0.25)


def test_chance_parts_nothing():
    everyone = np.ones(100, bool)
    for _ in range(50):
        names = tuple("abcdefghij")
        assert best_split(spread(100, names), RNG.uniform(size=100) < 0.3, everyone) is None


def test_only_known_trials_count():
    found = spread(100)
    a = np.array(found[0].values)
    assert best_split(found, a < 0.25, a >= 0.25) is None
    assert best_split(found, a < 0.25, np.zeros(100, bool)) is None


def test_few_trials_or_a_minority_part_nothing():
    found = spread(40)
    a = np.array(found[0].values)
    assert best_split(found, a <= np.sort(a)[1], np.ones(40, bool)) is None  # two of five at the end
    rank = np.argsort(np.argsort(a))
    assert best_split(found, (rank < 20) & (rank % 3 == 0), np.ones(40, bool)) is None  # at most three of seven there


def test_both_ends():
    found = spread(200)
    a = np.array(found[0].values)
    kind = (a < 0.3) | (a > 0.8)
    low, high = sorted(best_splits(found, kind, np.ones(200, bool), None), key=lambda split: split.side, reverse=True)
    assert low.side.startswith("below ")
    assert high.side.startswith("above ")
    winner = int(np.argmax(a))
    assert best_splits(found, kind, np.ones(200, bool), winner)[0].side.startswith("below ")


def test_trials_without_the_hyperparameter():
    hparams = [{"a": float(n)} if n % 2 else {"b": 1} for n in range(60)]
    found = [one for one in dimensions(hparams, []) if one.name == "a"]
    split = best_split(found, np.arange(60) > 29, np.ones(60, bool))
    assert split.beyond.sum() == 15


def test_options():
    """One against all others, and all others against one, of those that trials have."""
    hparams = [{"opt": ("sgd", "adam", "lion")[n % 3]} if n % 4 else {"b": 1} for n in range(80)]
    found = [one for one in dimensions(hparams, []) if one.name == "opt"]
    opt = np.array([one.get("opt", "") for one in hparams])
    split = best_split(found, opt == "adam", np.ones(80, bool))
    np.testing.assert_array_equal(split.beyond, opt == "adam")
    assert (split.side, set(split.other_side.split(" or "))) == ("adam", {"sgd", "lion"})
    split = best_split(found, opt != "adam", np.ones(80, bool))
    np.testing.assert_array_equal(split.beyond, np.isin(opt, ["sgd", "lion"]))
    assert split.other_side == "adam"
    assert best_split(found, RNG.uniform(size=80) < 0.5, np.ones(80, bool)) is None
