import doctest

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxtune.spaces.space
from jaxtune.spaces.domains import Choice, Integer, LogUniform, Uniform
from jaxtune.spaces.space import Space

SPACE = Space.of(
    {
        "act": Choice(("relu", "tanh")),
        "depth": 3,
        "lr": LogUniform(1e-4, 1.0),
        "width": Choice((64, 128)),
        "name": "mlp",
        "layers": Integer(1, 4, static=True),
    }
)


def test_space_keeps_the_order_of_the_dict():
    assert SPACE.names == ("act", "lr", "width", "layers")
    assert SPACE.hp_names == ("act", "depth", "lr", "width", "name", "layers")
    assert SPACE.constants == (("depth", 3), ("name", "mlp"))
    assert SPACE.num_dims == 4
    assert Space.of(SPACE) is SPACE
    assert Space.of({"a": Uniform(0, 1), "b": Uniform(0, 1)}) != Space.of({"b": Uniform(0, 1), "a": Uniform(0, 1)})


def test_space_knows_static_and_traced():
    assert SPACE.static == ("act", "layers")
    assert SPACE.traced == ("lr", "width")
    assert SPACE.undecided == ("width",)
    pinned = SPACE.pin({"width": True, "lr": False})
    assert pinned.static == ("act", "width", "layers")
    assert pinned.undecided == ()
    assert pinned.hp_names == SPACE.hp_names
    assert pinned.constants == SPACE.constants
    assert pinned != SPACE
    assert pinned.variant({"act": 0, "width": 1, "layers": 0}).static["width"] == 128


@pytest.mark.parametrize(
    ("static", "sentence"),
    [
        ({"widht": True}, "no hyperparameter 'widht', did you mean 'width'?; it has act, lr, width, layers."),
        ({"lr": True}, "'lr' can't be static: LogUniform(low=0.0001, high=1.0) is continuous"),
        (
            {"rate": True},
            "'rate' can't be static: Uniform(low=0.0, high=1.0, step=0.5) holds traced numbers; write Choice",
        ),
        ({"act": False}, "'act' can't be traced: Choice with static=False needs numbers"),
    ],
)
def test_pin_refuses(static, sentence):
    with pytest.raises(ValueError, match=r"hyperparameter|can't be") as caught:
        Space.of({"rate": Uniform(0, 1, step=0.5)} if "rate" in static else SPACE).pin(static)
    assert sentence in str(caught.value)


def test_space_decodes_static_domains_to_indices():
    unit = np.array([[0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]], np.float32)
    for decode in (SPACE.decode, jax.jit(SPACE.decode)):
        decoded = decode(unit)
        assert {name: value.tolist() for name, value in decoded.items()} == {
            "act": [0, 1],
            "lr": [float(np.float32(1e-4)), 1.0],
            "width": [64, 128],
            "layers": [0, 3],
        }
        assert [value.dtype.name for name, value in sorted(decoded.items())] == [
            "int32",
            "int32",
            "float32",
            "int32",
        ]
    with pytest.raises(ValueError, match=r"has 4 dimensions .* got the shape \(2, 3\)"):
        SPACE.decode(unit[:, :3])


def test_space_is_a_static_argument_of_jit():
    traces = []

    def decode(space, unit):
        traces.append(space)
        return space.decode(unit)

    jitted = jax.jit(decode, static_argnums=0)
    for _ in range(2):
        jitted(Space.of({"x": Uniform(0, 1), "n": 1}), np.zeros((2, 1), np.float32))
    assert len(traces) == 1
    jitted(Space.of({"x": Uniform(0, 1), "n": 1.0}), np.zeros((2, 1), np.float32))
    assert len(traces) == 2


def test_row_gives_plain_values_that_encode_accepts():
    unit = np.random.default_rng(1).random((20, 4)).astype(np.float32)
    decoded = SPACE.decode(unit)
    for i in range(20):
        row = SPACE.row(decoded, i)
        assert tuple(row) == SPACE.hp_names
        assert [type(value) for value in row.values()] == [str, int, float, int, str, int]
        again = SPACE.decode(SPACE.encode(row)[None])
        assert SPACE.row(again, 0) | {"lr": 0} == row | {"lr": 0}
        assert np.float32(row["lr"]) == decoded["lr"][i]
        np.testing.assert_allclose(again["lr"][0], decoded["lr"][i], rtol=2e-6)
    assert SPACE.encode(row).dtype == np.float32


def test_a_variant_puts_constants_and_options_in_their_places():
    hp = SPACE.variant({"act": 1, "layers": np.int32(2)}).hp({"lr": 0.5, "width": "traced"})
    assert list(hp.items()) == [
        ("act", "tanh"),
        ("depth", 3),
        ("lr", 0.5),
        ("width", "traced"),
        ("name", "mlp"),
        ("layers", 3),
    ]


HPARAMS = {"act": "relu", "lr": 0.1, "width": 64, "layers": 1}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"layres": 1}, "no hyperparameter 'layres', did you mean 'layers'?"),
        ({"lr": 2.0}, "'lr': LogUniform(low=0.0001, high=1.0) does not contain 2.0."),
        ({"lr": None}, "'lr': LogUniform(low=0.0001, high=1.0) needs a number for the value, got None"),
        ({"depth": 4}, "'depth' is the constant 3 in this space, got 4."),
        ({"act": "gelu"}, "'act': Choice has no option 'gelu'"),
    ],
)
def test_space_encode_refuses(changes, sentence):
    with pytest.raises((TypeError, ValueError)) as caught:
        SPACE.encode(HPARAMS | changes)
    assert sentence in str(caught.value)


def test_space_encode_names_what_is_missing():
    with pytest.raises(ValueError, match=r"The hyperparameters lack 'lr', 'width'\."):
        SPACE.encode({"act": "relu", "layers": 1})
    np.testing.assert_allclose(SPACE.encode(HPARAMS | {"depth": 3}), [0.25, 0.75, 0.25, 0.125], rtol=1e-6)


def test_a_space_of_constants():
    space = Space.of({"lr": 0.1, "b": True})
    assert space.num_dims == 0
    assert space.decode(np.zeros((2, 0), np.float32)) == {}
    assert space.row({}, 0) == {"lr": 0.1, "b": True}
    assert space.encode({}).shape == (0,)
    assert space != Space.of({"lr": 0.1, "b": 1})


def test_numpy_constants_become_python_values():
    assert type(Space.of({"n": np.int64(3)}).constants[0][1]) is int


@pytest.mark.parametrize(("a", "b"), [((1, 2), (1.0, 2.0)), ((1, 2), (True, 2)), (((1, 2), (3,)), ((1.0, 2), (3,)))])
def test_equal_numbers_of_another_type_make_another_constant(a, b):
    assert a == b  # this is what Python thinks
    assert Space.of({"x": a}) != Space.of({"x": b})
    assert Space.of({"x": a}) == Space.of({"x": a})
    assert hash(Space.of({"x": a})) == hash(Space.of({"x": a}))


BAD = [
    (lambda: Space.of([1]), TypeError, "A space is a dict from names to domains or constants, got [1]."),
    (lambda: Space.of({1: Uniform(0, 1)}), TypeError, "A space needs strings as names, got 1."),
    (lambda: Space.of({"lr": Uniform}), TypeError, "'lr' is the class Uniform itself: write Uniform(...)."),
    (
        lambda: Space.of({"size": [64, 64]}),
        TypeError,
        "'size' is the list [64, 64]: to search over its values write Choice([64, 64]); a constant is a tuple",
    ),
    (
        lambda: Space.of({"w": jnp.ones(3)}),
        TypeError,
        "The constant 'w' is an array of shape (3,): to search over its values write",
    ),
]


@pytest.mark.parametrize(("make", "error", "sentence"), BAD, ids=[sentence for *_, sentence in BAD])
def test_bad_input_gets_a_sentence(make, error, sentence):
    with pytest.raises(error) as caught:
        make()
    assert sentence in str(caught.value)
    assert str(caught.value).endswith(".")


def test_examples_run():
    assert doctest.testmod(jaxtune.spaces.space).failed == 0
