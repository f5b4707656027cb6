"""Conditional sub-spaces: which hyperparameters exist, by key and by name."""

import itertools

import jax
import numpy as np
import pytest
from hypothesis import assume, given, settings, strategies as st
from spaces import configurations, spaces

from jaxtune.spaces.domains import Choice, Integer, LogUniform, Uniform
from jaxtune.spaces.enumeration import combinations, num_combinations, num_configurations
from jaxtune.spaces.space import Space

FAST = settings(max_examples=40, deadline=None)

SPACE = {
    "optimizer": Choice(
        {
            "sgd": {
                "lr": LogUniform(1e-3, 1.0),
                "momentum": 0.9,
                "nesterov": Choice((False, True)),
                "schedule": Choice({"cosine": {"warmup": Integer(1, 5, static=False)}, "constant": {}}),
            },
            "adam": {"lr": LogUniform(1e-5, 0.1), "b2": Uniform(0.9, 0.999), "warmup": 0},
            "none": {},
        }
    ),
    "act": Choice(("relu", "tanh")),
    "depth": 2,
}
FLAT = Space.of(SPACE)
SGD = {"optimizer": "sgd", "lr": 0.5, "nesterov": True, "schedule": "cosine", "warmup": 2, "act": "tanh"}


def decoded(space, num_points, seed=0):
    unit = np.random.default_rng(seed).random((num_points, space.num_dims)).astype(np.float32)
    return {key: np.asarray(values) for key, values in space.decode(unit).items()}


# Keys and names


def test_keys_and_names():
    assert FLAT.names == (
        "optimizer",
        "optimizer=sgd.lr",
        "optimizer=sgd.nesterov",
        "optimizer=sgd.schedule",
        "optimizer=sgd.schedule=cosine.warmup",
        "optimizer=adam.lr",
        "optimizer=adam.b2",
        "act",
    )
    assert FLAT.constants == (("optimizer=sgd.momentum", 0.9), ("optimizer=adam.warmup", 0), ("depth", 2))
    hp_names = ("optimizer", "lr", "momentum", "nesterov", "schedule", "warmup", "b2", "act", "depth")
    assert FLAT.hp_names == hp_names
    assert FLAT.hp_name("optimizer=adam.lr") == "lr"
    assert FLAT.log_names == ("lr",)
    assert FLAT.static == ("optimizer", "optimizer=sgd.nesterov", "optimizer=sgd.schedule", "act")
    assert FLAT.domain("optimizer=adam.lr") == LogUniform(1e-5, 0.1)
    chosen = {"optimizer": 0, "optimizer=sgd.nesterov": 1, "optimizer=sgd.schedule": 1, "act": 0}
    assert FLAT.variant(chosen).static["schedule"] == "constant"


def test_pin_takes_keys():
    space = Space.of({"a": Choice({"x": {"n": Integer(1, 3)}, "y": {"n": Integer(1, 9)}})})
    assert space.undecided == ("a=x.n", "a=y.n")
    pinned = space.pin({"a=x.n": True, "a=y.n": False})
    assert (pinned.static, pinned.traced) == (("a", "a=x.n"), ("a=y.n",))
    with pytest.raises(ValueError, match="'a' can't be traced: its options have sub-spaces, so each needs a program"):
        space.pin({"a": False})
    with pytest.raises(ValueError, match="no hyperparameter 'n'"):
        space.pin({"n": True})


@pytest.mark.parametrize(
    ("indices", "active"),
    [
        (
            {"optimizer": 0, "optimizer=sgd.schedule": 0, "optimizer=sgd.nesterov": 1, "act": 0},
            {
                "optimizer": "optimizer",
                "lr": "optimizer=sgd.lr",
                "momentum": "optimizer=sgd.momentum",
                "nesterov": "optimizer=sgd.nesterov",
                "schedule": "optimizer=sgd.schedule",
                "warmup": "optimizer=sgd.schedule=cosine.warmup",
                "act": "act",
                "depth": "depth",
            },
        ),
        (
            {"optimizer": 1, "act": 0},
            {
                "optimizer": "optimizer",
                "lr": "optimizer=adam.lr",
                "b2": "optimizer=adam.b2",
                "warmup": "optimizer=adam.warmup",
                "act": "act",
                "depth": "depth",
            },
        ),
        (
            {"optimizer": 2, "optimizer=sgd.schedule": 0, "act": 0},
            {"optimizer": "optimizer", "act": "act", "depth": "depth"},
        ),
    ],
    ids=["sgd", "adam", "none"],
)
def test_what_exists(indices, active):
    variant = FLAT.variant(indices)
    assert list(variant.keys.items()) == list(active.items())
    assert tuple(variant.keys) == tuple(active)
    traced = {name: key for name, key in active.items() if key in FLAT.traced}
    assert list(variant.traced.items()) == list(traced.items())
    assert set(variant.static) == set(active) - set(traced)
    assert variant.indices == {key: index for key, index in indices.items() if key in active.values()}


def test_a_variant_takes_traced_values_by_name():
    hp = FLAT.variant({"optimizer": 1, "act": np.int32(0)}).hp({"lr": "traced", "b2": 0.99})
    assert list(hp.items()) == [
        ("optimizer", "adam"),
        ("lr", "traced"),
        ("b2", 0.99),
        ("warmup", 0),
        ("act", "relu"),
        ("depth", 2),
    ]


def test_spaces_with_branches_are_values():
    assert Space.of(SPACE) == FLAT
    assert hash(Space.of(SPACE)) == hash(FLAT)
    one, same, other = (Space.of({"a": Choice({"x": {"n": n}, "y": {}})}) for n in (1, 1, 1.0))
    assert one == same != other


# Encoding and decoding


def test_encode_writes_the_middle_where_nothing_exists():
    np.testing.assert_allclose(
        FLAT.encode({"optimizer": "none", "act": "tanh"}), [5 / 6, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.75], rtol=1e-6
    )
    np.testing.assert_allclose(
        FLAT.encode({"optimizer": "adam", "lr": 0.1, "b2": 0.9, "act": "relu"}),
        [0.5, 0.5, 0.5, 0.5, 0.5, 1.0, 0.0, 0.25],
    )
    assert FLAT.encode(SGD)[4] == np.float32(0.3)


def test_complete_adds_the_constants_that_exist():
    assert list(FLAT.complete(SGD)) == [
        "optimizer",
        "lr",
        "momentum",
        "nesterov",
        "schedule",
        "warmup",
        "act",
        "depth",
    ]
    assert FLAT.complete({"optimizer": "none", "act": "relu"}) == {"optimizer": "none", "act": "relu", "depth": 2}


@pytest.mark.parametrize(
    ("hparams", "sentence"),
    [
        (
            SGD | {"b2": 0.99},
            "'b2' does not exist with optimizer='sgd', schedule='cosine': the space has optimizer=adam.b2.",
        ),
        (
            {"optimizer": "none", "lr": 0.1, "act": "relu"},
            "'lr' does not exist with optimizer='none': the space has optimizer=sgd.lr and optimizer=adam.lr.",
        ),
        ({"optimizer": "sgd", "lr": 0.1, "act": "relu"}, "The hyperparameters lack 'nesterov', 'schedule'."),
        ({"act": "relu"}, "The hyperparameters lack 'optimizer'."),
        (SGD | {"optimizer": "sdg"}, "'optimizer': Choice has no option 'sdg', did you mean 'sgd'?"),
        (SGD | {"lr": 3.0}, "'lr': LogUniform(low=0.001, high=1.0) does not contain 3.0."),
        (SGD | {"momentum": 0.5}, "'momentum' is the constant 0.9 in this space, got 0.5."),
        (SGD | {"momentun": 0.5}, "no hyperparameter 'momentun', did you mean 'momentum'?"),
    ],
)
def test_encode_refuses(hparams, sentence):
    with pytest.raises(ValueError, match=".") as caught:
        FLAT.encode(hparams)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("space", "sentence"),
    [
        (
            {"lr": 0.1, "optimizer": Choice({"sgd": {"lr": Uniform(0, 1)}})},
            "'lr' and 'optimizer=sgd.lr' can exist at the same time, and both would be hp['lr']: rename one of them.",
        ),
        (
            {"a": Choice({"x": {"n": 1}, "y": {}}), "b": Choice({"z": {}, "w": {"n": 1}})},
            "'a=x.n' and 'b=w.n' can exist at the same time",
        ),
        ({"a": Choice({"x": {"a": 1}})}, "'a' and 'a=x.a' can exist at the same time"),
        (
            {"a": Choice({"x": {"n": 1, "b": Choice({"z": {"n": 2}})}})},
            "'a=x.n' and 'a=x.b=z.n' can exist at the same time",
        ),
        ({"a": Choice({"x": {"n": 1}}), "a=x.n": 2}, "The space has two hyperparameters that read 'a=x.n'"),
        ({"a": Choice({"1": {"n": 1}, 1: {"n": 1}})}, "The space has two hyperparameters that read 'a=1.n'"),
    ],
)
def test_names_that_could_exist_twice_are_refused(space, sentence):
    with pytest.raises(ValueError, match=".") as caught:
        Space.of(space)
    assert sentence in str(caught.value)


def test_a_dict_is_no_constant():
    with pytest.raises(TypeError, match=r"'sgd' is a dict, .* write Choice\(\{...\}\)\."):
        Space.of({"sgd": {"lr": 0.1}})


# Properties of any space


def walk(space, hparams):
    """The names that exist in a nested dict, found by walking down it."""
    names = []
    for name, value in space.items():
        names.append(name)
        if isinstance(value, Choice) and value.branches is not None:
            names += walk(dict(value.branches[value.options.index(hparams[name])]), hparams)
    return names


@FAST
@given(spaces(), st.integers(0, 100))
def test_rows_hold_what_exists_and_survive_the_round_trip(space, seed):
    flat = Space.of(space)
    table = decoded(flat, 8, seed)
    for t in range(8):
        row = flat.row(table, t)
        variant = flat.variant({key: int(table[key][t]) for key in flat.static})
        assert list(row) == list(variant.keys) == walk(space, row)
        assert flat.complete(row) == row
        unit = flat.encode(row)
        assert unit.dtype == np.float32
        again = flat.row({key: np.asarray(values) for key, values in flat.decode(unit[None]).items()}, 0)
        assert list(again) == list(row)
        active = variant.keys.values()
        for i, (key, domain) in enumerate(flat.domains):
            name = flat.hp_name(key)
            if key not in active:
                assert unit[i] == 0.5
            elif domain.num_options is None:
                np.testing.assert_allclose(again[name], row[name], rtol=1e-3, atol=1e-3)
            else:
                assert type(again[name]) is type(row[name])
                assert again[name] == row[name]


@FAST
@given(spaces(), st.integers(0, 100))
def test_groups_are_the_trials_with_the_same_static_values(space, seed):
    flat = Space.of(space)
    flat = flat.pin(dict.fromkeys(flat.undecided, True))
    table = decoded(flat, 24, seed)
    groups, number = flat.groups(table) if table else ([flat.variant({})], np.zeros(24, int))
    static = {flat.hp_name(key) for key in flat.static}
    rows = [flat.row(table, t) for t in range(24)]
    seen = [{name: value for name, value in row.items() if name in static} for row in rows]
    for t, u in itertools.combinations(range(24), 2):
        keys = [flat.variant({key: int(table[key][v]) for key in flat.static}).keys.values() for v in (t, u)]
        same = list(keys[0]) == list(keys[1]) and all(
            table[key][t] == table[key][u] for key in flat.static if key in keys[0]
        )
        assert (number[t] == number[u]) == same
    assert number.shape == (24,)
    for t in range(24):
        variant = groups[number[t]]
        assert all(type(index) is int for index in variant.indices.values())
        searched = {flat.hp_name(key) for key in variant.indices}
        assert {name: value for name, value in variant.static.items() if name in searched} == {
            name: value for name, value in seen[t].items() if variant.keys[name] in flat.static
        }
    assert sorted(set(number.tolist())) == list(range(len(groups)))


@FAST
@given(spaces(finite=True))
def test_variants_are_the_leaves_of_the_tree(space):
    flat = Space.of(space)
    flat = flat.pin(dict.fromkeys(flat.undecided, True))
    assume(num_configurations(flat) <= 500)
    found = [variant.indices for variant in flat.variants()]
    indices = combinations(flat, lambda entry: np.arange(entry.value.num_options)).astype(int)
    groups, _ = flat.groups(dict(zip(flat.names, indices.T, strict=True)))
    assert sorted(map(sorted_items, found)) == sorted(sorted_items(group.indices) for group in groups)
    changes = [sum(index > 0 for index in leaf.values()) for leaf in found]
    assert changes == sorted(changes)
    assert len(set(map(sorted_items, found))) == len(found)


def sorted_items(indices):
    return tuple(sorted(indices.items()))


@pytest.mark.parametrize("num_options", [2, 1000])
def test_variants_try_each_choice_soon(num_options):
    space = Space.of({"a": Integer(1, num_options, static=True), "b": Choice(("x", "y")), "c": Choice(("x", "y"))})
    first = [variant.indices for variant in itertools.islice(space.variants(), 4)]
    assert first == [
        {"a": 0, "b": 0, "c": 0},
        {"a": 1, "b": 0, "c": 0},
        {"a": 0, "b": 1, "c": 0},
        {"a": 0, "b": 0, "c": 1},
    ]


def test_groups_of_a_space_of_constants():
    groups, number = Space.of({"a": 1}).groups({})
    assert [group.indices for group in groups] == [{}]
    assert number.tolist() == [0]


def test_inactive_options_do_not_split_a_group():
    unit = np.full((4, FLAT.num_dims), 0.5, np.float32)
    unit[:, 0] = 0.9  # none
    unit[:, 2] = [0.1, 0.9, 0.1, 0.9]  # nesterov of sgd
    groups, number = FLAT.groups({key: np.asarray(values) for key, values in FLAT.decode(unit).items()})
    assert [group.indices for group in groups] == [{"optimizer": 2, "act": 1}]
    assert number.tolist() == [0, 0, 0, 0]


# Enumeration


@settings(max_examples=20, deadline=None)
@given(spaces(finite=True))
def test_the_product_over_the_tree(space):
    flat = Space.of(space)
    expected = num_configurations(flat)
    assume(expected <= 300)
    points = combinations(flat, lambda entry: entry.value.grid_units(None))
    assert points.shape == (expected, flat.num_dims)
    assert points.dtype == np.float32
    table = {key: np.asarray(values) for key, values in flat.decode(points).items()}
    rows = [flat.row(table, t) for t in range(expected)]
    assert rows == configurations(space)
    for point, row in zip(points, rows, strict=True):
        np.testing.assert_array_equal(point, flat.encode(row))


def test_number_of_configurations():
    assert num_configurations(FLAT) is None
    sizes = {"lr": 4, "nesterov": 2, "warmup": 5, "b2": 3, "act": 2}
    assert num_combinations(FLAT, lambda entry: sizes[entry.name]) == (4 * 2 * (5 + 1) + 4 * 3 + 1) * 2
    assert num_configurations(Space.of({"a": 1})) == 1
    huge = Space.of({f"x{i}": Integer(1, 1000) for i in range(8)})
    assert num_configurations(huge) == 10**24


def test_inactive_dimensions_are_decoded_like_all_others():
    unit = np.random.default_rng(3).random((4, FLAT.num_dims)).astype(np.float32)
    decoded = jax.jit(FLAT.decode)(unit)
    assert set(decoded) == set(FLAT.names)
    for i, (key, domain) in enumerate(FLAT.domains):
        np.testing.assert_array_equal(
            decoded[key], (domain.decode_index if domain.static else domain.decode)(unit[:, i])
        )
