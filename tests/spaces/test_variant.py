"""A variant: what trials with equal static hyperparameters have in common."""

import jaxtune as jt

OPTIMIZER = jt.Choice({"sgd": {"lr": jt.Uniform(0.0, 1.0), "momentum": 0.9}, "adam": {"lr": 1e-3}})
SPACE = jt.Space.of({"optimizer": OPTIMIZER, "act": jt.Choice(("relu", "tanh"), static=True), "rate": jt.Uniform(0, 1)})


def test_what_exists_and_what_is_known_of_it():
    sgd = SPACE.variant({"optimizer": 0, "act": 1})
    assert tuple(sgd.keys) == ("optimizer", "lr", "momentum", "act", "rate")
    assert sgd.static == {"optimizer": "sgd", "momentum": 0.9, "act": "tanh"}
    assert sgd.traced == {"lr": "optimizer=sgd.lr", "rate": "rate"}
    assert SPACE.variant({"optimizer": 1, "act": 0}).traced == {"rate": "rate"}


def test_hp_is_in_the_order_of_the_space():
    hp = SPACE.variant({"optimizer": 0, "act": 0}).hp({"rate": 0.5, "lr": 0.25})
    assert list(hp.items()) == [("optimizer", "sgd"), ("lr", 0.25), ("momentum", 0.9), ("act", "relu"), ("rate", 0.5)]


def test_equal_variants_are_equal():
    found = [tuple(variant.indices.values()) for variant in SPACE.variants()]
    assert sorted(found) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert found[0] == (0, 0)
    assert SPACE.variant({"optimizer": 0, "act": 0}) == next(SPACE.variants())
