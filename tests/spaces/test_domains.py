import dataclasses
import doctest
import importlib
import math
import pickle
import pkgutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy import stats

import jaxtune.spaces.domains
from jaxtune.spaces.domains import Choice, Domain, Integer, LogNormal, LogUniform, Normal, Uniform

UNITS = np.concatenate([[0.0, 1.0], np.random.default_rng(0).random(998)]).astype(np.float32)
FAST = settings(max_examples=40, deadline=None)

DOMAINS = [
    Uniform(-1.3, 2.7),
    Uniform(0.9, 0.999),
    LogUniform(1e-5, 1e-1),
    LogUniform(1e-30, 1e30),
    Integer(-3, 9),
    Integer(1, 5000, log=True),
    Integer(10**8, 10**8 + 50, log=True),
    Choice((32, 64, 128)),
    Choice((0.1, 0.3, 2)),
    Choice((1, 2, 3, 4), weights=(1, 0.5, 3, 0.01), ordered=True),
    Uniform(-0.3, 0.7, step=0.1),
    Uniform(1e3, 1e3 + 2, step=0.01),
    Integer(-5, 40, step=7),
    Integer(8, 1000, step=8, log=True),
    Normal(0.3, 1.7),
    LogNormal(-4.6, 1.1),
]
DISCRETE = [domain for domain in DOMAINS if domain.num_options]
each_domain = pytest.mark.parametrize("domain", DOMAINS, ids=str)
each_discrete = pytest.mark.parametrize("domain", DISCRETE, ids=str)

floats = st.floats(-1e6, 1e6, width=32)
intervals = st.tuples(floats, floats).filter(lambda b: b[0] + 1e-30 < b[1])  # programs flush smaller numbers to 0
positive = st.floats(2.0**-60, 2.0**60, width=32)
positive_intervals = st.tuples(positive, positive).filter(lambda b: b[0] * 1.0001 < b[1])
fractions = st.floats(0.0, 1.0)


def inner_points(num_cells):
    """Three points inside each of equally wide cells; one array length for all, so that JAX compiles once."""
    cells = np.resize(np.repeat(np.arange(num_cells), 3), 1024)
    return cells, ((cells + np.resize([0.01, 0.5, 0.99], 1024)) / num_cells).astype(np.float32)


# Decoding


@each_domain
def test_decode_is_strongly_typed_for_any_shape(domain):
    dtype = jnp.int32 if isinstance(domain.option(0) if domain.num_options else 0.0, int) else jnp.float32
    if domain == Choice((0.1, 0.3, 2)):
        dtype = jnp.float32
    for shape in [(), (2, 5)]:
        value = domain.decode(jnp.full(shape, 0.4, jnp.float32))
        assert value.shape == shape
        assert value.dtype == dtype
        assert not value.aval.weak_type


@each_domain
def test_bounds_are_reached_and_never_crossed(domain):
    values = domain.decode(UNITS)
    low, high = (domain.low, domain.high) if hasattr(domain, "low") else (domain.options[0], domain.options[-1])
    dtype = values.dtype
    assert values[0] == dtype.type(low)
    assert values[1] == dtype.type(high)
    assert (values >= dtype.type(low)).all()
    assert (values <= dtype.type(high)).all()


@each_domain
def test_every_program_decodes_the_same_bits(domain):
    eager = np.asarray(domain.decode(UNITS))
    np.testing.assert_array_equal(jax.jit(domain.decode)(UNITS), eager)
    for size in (3, 5, 17):  # vectorised code and its remainder
        jitted = jax.jit(domain.decode)
        for start in range(0, 300, size):
            some = slice(start, start + size)
            np.testing.assert_array_equal(jitted(UNITS[some]), eager[some])


@each_domain
def test_decoding_follows_the_order_of_the_unit_interval(domain):
    values = np.asarray(domain.decode(np.sort(UNITS)))
    assert (np.diff(values) >= 0).all()


def test_log_uniform_is_precise_in_float32():
    exact = 1e-5 * 1e4 ** UNITS.astype(np.float64)
    np.testing.assert_allclose(LogUniform(1e-5, 1e-1).decode(UNITS), exact, rtol=1e-6)


def test_floats_have_64_bits_under_x64():
    with jax.enable_x64(True):
        assert Uniform(0.0, 1.0).decode(np.float32(0.5)).dtype == jnp.float64
        assert Choice((0.1, 1)).decode(np.float32(0.5)).dtype == jnp.float64
        assert Integer(1, 3).decode(np.float32(0.5)).dtype == jnp.int32


@FAST
@given(st.integers(-1000, 1000), st.integers(1, 300))
def test_integer_cells_are_equally_wide(low, width):
    cells, units = inner_points(width + 1)
    np.testing.assert_array_equal(Integer(low, low + width).decode(units), low + cells)


@FAST
@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=50, unique=True))
def test_choice_cells_are_equally_wide(options):
    cells, units = inner_points(len(options))
    np.testing.assert_array_equal(Choice(options).decode_index(units), cells)


def test_log_integer_cells_end_halfway_between_the_values():
    domain = Integer(2, 40, log=True)
    values = np.arange(2, 41)
    span = math.log(40.5) - math.log(1.5)
    for edge, shift in [(values - 0.5, 1e-5), (values + 0.5, -1e-5)]:
        units = (np.log(edge) - math.log(1.5)) / span + shift
        np.testing.assert_array_equal(domain.decode(units.astype(np.float32)), values)


def test_steps_have_equally_wide_cells():
    cells, units = inner_points(10)
    np.testing.assert_allclose(Uniform(0.1, 1.0, step=0.1).decode(units), 0.1 + 0.1 * cells, rtol=1e-6)
    np.testing.assert_array_equal(Integer(3, 32, step=3).decode(units), 3 + 3 * cells)


def test_log_integer_cells_end_half_a_step_between_the_values():
    values = np.arange(6, 61, 6)
    span = math.log(63) - math.log(3)
    for edge, shift in [(values - 3, 1e-5), (values + 3, -1e-5)]:
        units = (np.log(edge) - math.log(3)) / span + shift
        np.testing.assert_array_equal(Integer(6, 60, step=6, log=True).decode(units.astype(np.float32)), values)


@FAST
@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=20))
def test_weighted_cells_are_proportional(weights):
    domain = Choice(range(len(weights)), weights=weights)
    units = (np.arange(2**14) + 0.5) / 2**14
    shares = np.bincount(domain.decode_index(units.astype(np.float32)), minlength=len(weights)) / len(units)
    np.testing.assert_allclose(shares, np.asarray(weights) / sum(weights), atol=1.01 / len(units))


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (-20.0, 3.0)])
def test_normal_quantiles(mean, std):
    tail = stats.norm.cdf(-4)
    exact = stats.norm(mean, std).ppf(np.clip(UNITS.astype(np.float64), tail, 1 - tail))
    np.testing.assert_allclose(Normal(mean, std).decode(UNITS), exact, atol=1e-3 * std)
    inner = (UNITS > 0.01) & (UNITS < 0.99)
    np.testing.assert_allclose(Normal(mean, std).decode(UNITS)[inner], exact[inner], atol=3e-5 * std)


def test_log_normal_is_normal_in_the_logarithm():
    logs = np.log(LogNormal(math.log(0.01), 1.3).decode(UNITS))
    np.testing.assert_allclose(logs, Normal(math.log(0.01), 1.3).decode(UNITS), atol=1e-5)


# Encoding


@each_discrete
def test_all_options_survive_the_round_trip(domain):
    options = [domain.option(i) for i in range(domain.num_options)]
    assert len(set(options)) == domain.num_options
    units = np.asarray([domain.encode(option) for option in options], np.float32)
    np.testing.assert_array_equal(domain.decode_index(units), np.arange(domain.num_options))
    np.testing.assert_array_equal(domain.grid_units(None), units)
    assert [domain.to_python(value) for value in np.asarray(domain.decode(units))] == options


@FAST
@given(floats, st.floats(2.0**-20, 2.0**20, width=32), st.floats(-3.99, 3.99), st.booleans())
def test_normal_decode_undoes_encode(mean, std, deviations, log):
    if log:
        mean, std = mean / 1e5, std / 2.0**16  # exp(10 + 4 * 16) is a float32
    domain = LogNormal(mean, std) if log else Normal(mean, std)
    value = mean + deviations * std
    again = float(domain.decode(np.float32(domain.encode(math.exp(value) if log else value))))
    # In the upper tail a float32 unit has fewest digits.
    precision = 2e-3 * std + 1e-6 * (log + abs(mean) + 4 * std)
    assert abs((math.log(again) if log else again) - value) <= precision


@FAST
@given(st.integers(-1000, 1000), st.integers(1, 400), st.sampled_from([0.001, 0.01, 0.1, 0.25, 0.3, 1.0]))
def test_steps_are_decimals(first, num_steps, step):
    low = first / 100
    domain = Uniform(low, low + (num_steps + 0.5) * step, step=step)
    assert domain.num_options == num_steps + 1
    for index in (0, num_steps // 2, num_steps):
        value = domain.option(index)
        assert value == round(low + index * step, 6)
        unit = np.float32(domain.encode(value))
        assert domain.decode_index(unit) == index
        assert domain.to_python(np.asarray(domain.decode(unit))) == value


@FAST
@given(intervals, fractions)
def test_uniform_decode_undoes_encode(bounds, fraction):
    low, high = bounds
    value = min(max(low + fraction * (high - low), low), high)
    unit = Uniform(low, high).encode(value)
    assert 0 <= unit <= 1
    assert abs(Uniform(low, high).decode(unit) - value) <= 3e-7 * max(abs(low), abs(high))


@FAST
@given(positive_intervals, fractions)
def test_log_uniform_decode_undoes_encode(bounds, fraction):
    low, high = bounds
    value = min(max(low * (high / low) ** fraction, low), high)
    unit = LogUniform(low, high).encode(value)
    assert 0 <= unit <= 1
    assert abs(LogUniform(low, high).decode(unit) - value) <= 8e-6 * value


@FAST
@given(st.integers(-(2**30), 2**30), st.integers(1, 2**22 - 1), fractions)
def test_integer_decode_undoes_encode(low, width, fraction):
    value = low + round(fraction * width)
    domain = Integer(low, low + width)
    assert domain.decode(domain.encode(value)) == value


@FAST
@given(st.integers(1, 2**30), st.integers(1, 2**18 - 1), fractions)
def test_log_integer_decode_undoes_encode(low, width, fraction):
    value = low + round(fraction * width)
    domain = Integer(low, low + width, log=True)
    assert domain.decode(domain.encode(value)) == value


@pytest.mark.parametrize(
    "domain",
    [Integer(-3, 2**18), Integer(1, 2**18, log=True), Integer(10**9, 10**9 + 1000, log=True)],
    ids=str,
)
def test_every_integer_survives_the_round_trip(domain):
    np.testing.assert_array_equal(domain.decode(domain.grid_units(None)), np.arange(domain.low, domain.high + 1))


@pytest.mark.parametrize("options", [(3, 1, 2), (0.1, 0.2), (1, 2.5, math.inf)])
def test_choice_decode_undoes_encode(options):
    domain = Choice(options)
    for option in options:
        decoded = np.asarray(domain.decode(domain.encode(option)))[()]
        assert decoded == np.float32(option)
        assert domain.to_python(decoded) == option
        assert type(domain.to_python(decoded)) is type(option)


def test_encode_is_the_centre_of_the_cell():
    assert Integer(1, 4).encode(1) == 0.125
    assert Choice(("a", "b")).encode("b") == 0.75
    assert Integer(1, 100, log=True).encode(10) == pytest.approx(math.log(20) / math.log(201))


@FAST
@given(positive)
def test_plain_floats_read_back_as_the_same_float32(value):
    plain = LogUniform(2.0**-60, 2.0**60).to_python(np.float32(value))
    assert np.float32(plain) == np.float32(value)


def test_plain_floats_are_short_and_inside_the_bounds():
    domain = Uniform(0.1, 0.7)
    ends = np.asarray(domain.decode(np.array([0.0, 1.0])))
    assert [domain.to_python(end) for end in ends] == [0.1, 0.7]
    # float32(0.1) lies above 0.1: as the upper bound's own rounding it is still a member.
    assert LogUniform(1e-5, 0.1).encode(float(np.float32(0.1))) == 1.0


def test_encode_accepts_what_arrays_make_of_an_option():
    assert Choice((0.1, 0.2)).encode(float(np.float32(0.1))) == 0.25
    assert Choice((32, 64)).encode(64.0) == Choice((32, 64)).encode(np.int64(64)) == 0.75
    assert Choice((True, 1)).encode(1) == 0.75
    assert Choice((2**24, 2**24 + 1)).encode(2**24 + 1) == 0.75  # equal as float32


# Bad input

BAD = [
    (lambda: Uniform(1.0, 0.0), ValueError, "Uniform needs low < high, got low=1.0, high=0.0."),
    (lambda: Uniform(1, 1), ValueError, "Uniform needs low < high, got low=1, high=1."),
    (lambda: LogUniform(0, 0.1), ValueError, "LogUniform needs 0 < low < high, got low=0, high=0.1."),
    (lambda: LogUniform(-1, 1), ValueError, "LogUniform needs 0 < low < high, got low=-1, high=1."),
    (lambda: LogUniform(1, 0.1), ValueError, "LogUniform needs 0 < low < high, got low=1, high=0.1."),
    (lambda: LogUniform(1e-42, 1), ValueError, "LogUniform needs low >= 1.18e-38"),
    (lambda: Uniform(math.nan, 1), ValueError, "Uniform needs finite bounds, got low=nan, high=1."),
    (lambda: LogUniform(1, math.inf), ValueError, "LogUniform needs finite bounds, got low=1, high=inf."),
    (lambda: Integer(1, math.inf), ValueError, "Integer needs finite bounds, got low=1, high=inf."),
    (lambda: Uniform(0, 1e39), ValueError, "Uniform needs a range that fits float32"),
    (lambda: Uniform(-3e38, 3e38), ValueError, "Uniform needs a range that fits float32"),
    (lambda: Integer(0, 10**400), ValueError, "Integer needs finite bounds"),
    (
        lambda: LogUniform("1e-3", 1),
        TypeError,
        "LogUniform needs a number for low, got the string '1e-3' (YAML reads 1e-3 as text, write 1.0e-3).",
    ),
    (lambda: Uniform(0, "big"), TypeError, "Uniform needs a number for high, got the string 'big'."),
    (lambda: Uniform(False, 1), TypeError, "Uniform needs a number for low, got False of type bool."),
    (lambda: Uniform(None, 1), TypeError, "Uniform needs a number for low, got None of type NoneType."),
    (lambda: Integer(np.bool_(True), 2), TypeError, "Integer needs a number for low"),
    (lambda: Integer(1.5, 3), ValueError, "Integer needs whole numbers as bounds, got low=1.5, high=3."),
    (lambda: Integer(3, 3), ValueError, "Integer needs low < high, got low=3, high=3."),
    (
        lambda: Integer(0, 9, log=True),
        ValueError,
        "Integer with log=True needs 1 <= low < high, got low=0, high=9.",
    ),
    (lambda: Integer(0, 2**31), ValueError, "Integer needs bounds that fit 32 bits"),
    (lambda: Integer(1, 10**8), ValueError, "Integer holds at most 2**24 values"),
    (lambda: Integer(1, 2, log="yes"), TypeError, "Integer needs log=True or False, got log='yes'."),
    (lambda: Integer(1, 2, static=1), TypeError, "Integer needs static=True, False or None, got static=1."),
    (lambda: Choice(()), ValueError, "Choice needs at least one option, got none."),
    (
        lambda: Choice((1, 2, 1)),
        ValueError,
        "Choice options must differ, got 1 more than once in (1, 2, 1).",
    ),
    (lambda: Choice((1, 1.0)), ValueError, "Choice options must differ, got 1.0 more than once"),
    (
        lambda: Choice([[64, 64], [32]]),
        TypeError,
        "Choice options must be hashable: write (64, 64), not [64, 64].",
    ),
    (
        lambda: Choice(([[1], 2],)),
        TypeError,
        "Choice options must be hashable: write ((1,), 2), not [[1], 2].",
    ),
    (lambda: Choice((np.ones(2),)), TypeError, "write a number or a tuple, not an array."),
    (lambda: Choice(({1},)), TypeError, "write frozenset({1}), not {1}."),
    (lambda: Choice(({"a": 1},)), TypeError, "write a tuple or a string, not {'a': 1}."),
    (
        lambda: Choice("adam"),
        TypeError,
        "Choice needs a sequence of options, got 'adam': write ('adam',).",
    ),
    (lambda: Choice({1, 2}), TypeError, "Choice needs options in a fixed order, got the set {1, 2}"),
    (lambda: Choice(3), TypeError, "Choice needs a sequence of options, got 3: write (3,)."),
    (lambda: Choice((math.nan, 1.0)), ValueError, "Choice options can't be NaN"),
    (lambda: Choice(("a", "b"), static=False), ValueError, "Choice with static=False needs numbers"),
    (lambda: Choice((True, False), static=False), ValueError, "bools don't count"),
    (lambda: Choice((1, 2**40), static=False), ValueError, "numbers that fit 32 bits"),
    (lambda: Choice(("adam", "sgd")).encode("adamm"), ValueError, "no option 'adamm', did you mean 'adam'?"),
    (lambda: Choice((1, 2)).encode([1]), ValueError, "Choice has no option [1]"),
    (lambda: Choice((True, 5)).encode(1), ValueError, "Choice has no option 1"),
    (lambda: Choice((1, 2)).encode(True), ValueError, "Choice has no option True"),
    (lambda: Choice((1, 2), ordered=1), TypeError, "Choice needs ordered=True or False, got ordered=1."),
    (lambda: Choice((1, 2), weights=3), TypeError, "Choice needs a sequence of weights, got 3."),
    (lambda: Choice((1, 2), weights=("a", 1)), TypeError, "Choice needs a number for each weight, got the string 'a'."),
    (lambda: Choice((1, 2), weights=(1,)), ValueError, "Choice needs a weight for each of its 2 options, got 1."),
    (lambda: Choice((1, 2), weights=(1, 0)), ValueError, "Choice needs weights above 0, got (1, 0): leave out"),
    (lambda: Choice((1, 2), weights=(1, math.nan)), ValueError, "Choice needs weights above 0, got (1, nan)"),
    (lambda: Choice((1, 2), weights=(1, 1e-9)), ValueError, "at least a millionth of their sum, got (1, 1e-09)."),
    (lambda: Choice({"a": 3}), TypeError, "The sub-space of 'a' is a dict from names to domains or constants, got 3."),
    (lambda: Choice({"a": {1: 2}}), TypeError, "The sub-space of 'a' needs strings as names, got 1."),
    (
        lambda: Choice({"a": {"b": [1]}}),
        TypeError,
        "'b' is the list [1]: to search over its values write Choice([1]); a constant is a tuple, (1,)",
    ),
    (lambda: Choice({"a": {"b": {"c": 1}}}), TypeError, "The constant 'b' is a dict, {'c': 1}: to search over"),
    (lambda: Choice({"a": {"b": Uniform}}), TypeError, "'b' is the class Uniform itself: write Uniform(...)."),
    (lambda: Choice({}), ValueError, "Choice needs at least one option, got none."),
    (lambda: Choice({1: {}, 2: {}}, static=False), ValueError, "with static=False can't have sub-spaces"),
    (lambda: Uniform(0, 1, step=0), ValueError, "Uniform needs 0 < step <= high - low, got low=0.0, high=1.0, step=0."),
    (lambda: Uniform(0, 1, step=2), ValueError, "Uniform needs 0 < step <= high - low, got low=0.0, high=1.0, step=2."),
    (lambda: Uniform(0, 1, step="x"), TypeError, "Uniform needs a number for step, got the string 'x'."),
    (lambda: Uniform(0, 1, step=1e-8), ValueError, "Uniform needs a larger step, because float32 can't tell"),
    (lambda: Uniform(1e6, 1e6 + 1, step=0.1), ValueError, "Uniform needs a larger step, because float32 can't tell"),
    (lambda: Uniform(0, 1, step=0.25).encode(0.3), ValueError, "holds 0.0, 0.25 and so on, got 0.3."),
    (lambda: Integer(1, 9, step=0), ValueError, "Integer needs a whole step from 1 to high - low = 8, got step=0."),
    (lambda: Integer(1, 9, step=1.5), ValueError, "Integer needs a whole step from 1 to high - low = 8, got step=1.5."),
    (lambda: Integer(1, 9, step=9), ValueError, "Integer needs a whole step from 1 to high - low = 8, got step=9."),
    (
        lambda: Integer(2, 9, step=4, log=True),
        ValueError,
        "Integer with log=True needs step < 2 * low, got low=2, step=4.",
    ),
    (lambda: Integer(1, 9, step=2).encode(4), ValueError, "holds 1, 3 and so on, got 4."),
    (lambda: Normal(0, 0), ValueError, "Normal needs a finite mean and a finite std above 0, got mean=0.0, std=0.0."),
    (lambda: Normal(math.nan, 1), ValueError, "Normal needs a finite mean and a finite std above 0, got mean=nan"),
    (lambda: LogNormal(0, -1), ValueError, "LogNormal needs a finite mean and a finite std above 0"),
    (lambda: Normal("a", 1), TypeError, "Normal needs a number for mean, got the string 'a'."),
    (lambda: Normal(0, 1e38), ValueError, "Normal needs values that fit float32 (up to 3.4e+38), got mean=0.0"),
    (lambda: LogNormal(0.01, 50), ValueError, "both are of the natural logarithm, as in LogNormal(math.log(0.01)"),
    (lambda: Normal(0, 1).encode(4.1), ValueError, "Normal(mean=0.0, std=1.0) does not contain 4.1."),
    (lambda: LogNormal(0, 1).encode(-1), ValueError, "LogNormal(mean=0.0, std=1.0) does not contain -1."),
    (lambda: Normal(0, 1).grid_size(None), ValueError, "a grid needs a number of levels for it."),
    (lambda: Uniform(0, 1).encode(1.1), ValueError, "Uniform(low=0.0, high=1.0) does not contain 1.1."),
    (lambda: Uniform(0, 1).encode(math.nan), ValueError, "does not contain nan."),
    (
        lambda: Uniform(0, 1).encode("0.5"),
        TypeError,
        "Uniform(low=0.0, high=1.0) needs a number for the value",
    ),
    (lambda: Integer(1, 9).encode(2.5), ValueError, "holds whole numbers, got 2.5."),
    (lambda: Uniform(0, 1).option(0), TypeError, "is continuous: it has no option indices."),
    (lambda: Uniform(0, 1).decode_index(0.5), TypeError, "is continuous: it has no option indices."),
    (lambda: Uniform(0, 1).grid_size(None), ValueError, "a grid needs a number of levels for it."),
]


@pytest.mark.parametrize(("make", "error", "sentence"), BAD, ids=[sentence for *_, sentence in BAD])
def test_bad_input_gets_a_sentence(make, error, sentence):
    with pytest.raises(error) as caught:
        make()
    assert sentence in str(caught.value)
    assert str(caught.value).endswith(".")


def test_numpy_scalars_are_numbers():
    domain = Uniform(np.float64(0.5), np.int32(2))
    assert domain == Uniform(0.5, 2)
    assert type(domain.low) is type(domain.high) is float
    assert type(Integer(np.int64(1), 3.0).high) is int
    assert Choice(np.array([1, 2])) == Choice([1, 2]) == Choice((1, 2))
    assert type(Choice(np.array([1, 2])).options[0]) is int


# Equality


def test_domains_are_equal_by_value():
    assert Uniform(0, 1) == Uniform(0.0, 1.0)
    assert hash(Uniform(0, 1)) == hash(Uniform(0.0, 1.0))
    assert Integer(1, 3) != Integer(1, 3, log=True)
    assert Integer(1, 3) != Integer(1, 3, static=True)
    assert Uniform(1, 3) != LogUniform(1, 3)
    assert Choice((1, 2)) != Choice((2, 1))
    assert Choice((1, 2)) != Choice((1, 2), weights=(1, 2))
    assert Choice((1, 2)) != Choice((1, 2), ordered=True)
    assert Choice((1, 2), weights=[1, 2]) == Choice((1, 2), weights=(1.0, 2.0))
    assert Uniform(0, 1, step=0.25) == Uniform(0, 1.2, 0.25) != Uniform(0, 1)
    assert Integer(1, 9, step=4) == Integer(1, 12, step=4) != Integer(1, 9)
    assert Normal(0, 1) != LogNormal(0, 1)
    assert hash(Normal(0, 1)) == hash(Normal(0.0, 1.0))


def test_sub_spaces_are_part_of_the_value():
    def choice(lr=0.1, **changes):
        return Choice({"sgd": {"lr": lr, "momentum": Uniform(0, 1)}, "adam": {}}, **changes)

    assert choice() == choice()
    assert hash(choice()) == hash(choice())
    assert choice(1) != choice(1.0)
    assert choice() != choice(weights=(1, 2))
    assert choice() != Choice(("sgd", "adam"))
    assert choice() != Choice({"sgd": {"momentum": Uniform(0, 1), "lr": 0.1}, "adam": {}})  # other dimensions
    assert choice().branches == ((("lr", 0.1), ("momentum", Uniform(0, 1))), ())
    assert pickle.loads(pickle.dumps(choice())) == choice()


@each_domain
def test_domains_show_what_is_not_a_default(domain):
    assert eval(repr(domain)) == domain


@each_domain
def test_replacing_nothing_changes_nothing(domain):
    assert dataclasses.replace(domain) == domain


@pytest.mark.parametrize(("a", "b"), [((1, 2), (1.0, 2.0)), ((1, 2), (True, 2)), (((1, 2), (3,)), ((1.0, 2), (3,)))])
def test_equal_numbers_of_another_type_make_another_choice(a, b):
    assert a == b  # this is what Python thinks
    assert Choice(a) != Choice(b)
    assert Choice(a) == Choice(a)
    assert hash(Choice(a)) == hash(Choice(list(a)))


@each_domain
def test_domains_survive_pickling(domain):
    assert pickle.loads(pickle.dumps(domain)) == domain


# Static and traced


def test_what_can_be_traced():
    assert Choice(("a", 1)).static is True
    assert Choice((True, False)).static is True
    assert Choice((1, 2**40)).static is True
    assert Choice((1, 2.5)).static is None
    assert Choice(("a", "b")) == Choice(("a", "b"), static=True)
    assert Integer(1, 3).static is None
    assert Choice({1: {}, 2: {}}).static is True
    assert Uniform(0, 1).static is LogUniform(1, 2).static is Normal(0, 1).static is False
    assert Uniform(0, 1, step=0.5).static is False
    log = [d for d in DOMAINS if isinstance(d, LogUniform | LogNormal) or "log=True" in str(d)]
    assert [d for d in DOMAINS if d.log] == log


def test_only_unordered_choices_have_no_neighbours():
    assert [d.ordered for d in DOMAINS] == [d not in (Choice((32, 64, 128)), Choice((0.1, 0.3, 2))) for d in DOMAINS]


def test_options():
    assert [Integer(3, 5).option(i) for i in range(3)] == [3, 4, 5]
    assert Integer(3, 5).num_options == 3
    assert Uniform(0, 1).num_options is None
    assert Integer(3, 5).decode_index(np.array([0.0, 0.5, 1.0])).tolist() == [0, 1, 2]
    index = Choice(("a", "b")).decode_index(np.array([0.0, 1.0]))
    assert index.dtype == jnp.int32
    assert index.tolist() == [0, 1]


# Grids


def test_grid_of_a_continuous_domain():
    assert Uniform(0, 1).grid_units(1).tolist() == [0.5]
    assert Uniform(0, 1).grid_units(3).tolist() == [0.0, 0.5, 1.0]
    np.testing.assert_allclose(
        LogUniform(1e-4, 1).decode(LogUniform(1e-4, 1).grid_units(5)), [1e-4, 1e-3, 1e-2, 0.1, 1], rtol=1e-6
    )


@pytest.mark.parametrize(
    ("domain", "levels", "values"),
    [
        (Integer(1, 5), None, [1, 2, 3, 4, 5]),
        (Integer(1, 5), 9, [1, 2, 3, 4, 5]),
        (Integer(1, 9), 3, [1, 5, 9]),
        (Integer(1, 4), 3, [1, 3, 4]),
        (Integer(1, 9), 1, [5]),
        (Integer(1, 100, log=True), 3, [1, 10, 100]),
        (Integer(1, 100, log=True), 1, [10]),
        (Integer(1, 16, log=True), 8, [1, 2, 3, 4, 5, 7, 11, 16]),
        (Choice((8, 4)), 1, [8, 4]),
        (Choice((8, 4), weights=(9, 1)), None, [8, 4]),
        (Integer(1, 9, step=2), None, [1, 3, 5, 7, 9]),
        (Integer(1, 9, step=2), 3, [1, 5, 9]),
        (Integer(8, 800, step=8, log=True), 3, [8, 80, 800]),
        (Uniform(0, 2, step=0.5), None, [0.0, 0.5, 1.0, 1.5, 2.0]),
        (Uniform(0, 2, step=0.5), 3, [0.0, 1.0, 2.0]),
    ],
)
def test_grid_of_a_discrete_domain(domain, levels, values):
    assert domain.decode(domain.grid_units(levels)).tolist() == values
    assert domain.grid_size(levels) == len(values)


@FAST
@given(st.integers(1, 2000), st.integers(1, 2000), st.integers(2, 300), st.booleans())
def test_grid_of_integers_is_distinct_and_holds_both_bounds(low, width, levels, log):
    domain = Integer(low, low + width, log=log)
    units = domain.grid_units(levels)
    assert len(units) == min(levels, width + 1) == domain.grid_size(levels)
    values = domain.decode(np.resize(units, 300)).tolist()[: len(units)]  # one length compiles once
    assert len(set(values)) == len(values)
    assert values == sorted(values)
    assert (values[0], values[-1]) == (low, low + width)


def test_grid_of_a_normal_domain_has_equally_likely_parts():
    quantiles = stats.norm.ppf([0.125, 0.375, 0.625, 0.875])
    np.testing.assert_allclose(Normal(1, 2).decode(Normal(1, 2).grid_units(4)), 1 + 2 * quantiles, atol=1e-4)
    np.testing.assert_allclose(LogNormal(0, 2).decode(LogNormal(0, 2).grid_units(4)), np.exp(2 * quantiles), rtol=1e-4)


@pytest.mark.parametrize("name", [module.name for module in pkgutil.iter_modules(jaxtune.spaces.domains.__path__)])
def test_examples_run(name):
    assert doctest.testmod(importlib.import_module(f"jaxtune.spaces.domains.{name}")).failed == 0


def test_domain_is_the_base_of_all():
    assert all(isinstance(domain, Domain) and domain.traceable for domain in DOMAINS)
